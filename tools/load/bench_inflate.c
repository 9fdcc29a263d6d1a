#include "tools/load/bench_inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/ws_deflate.h"
#include "tools/load/bench_options.h"
#include "tools/load/bench_ticks.h"

#define SLOTS 64
#define KEPT_BYTES_MAX 65536

struct bench_inflated {
    uint8_t *bytes; /* the payload, then the message; NULL: empty */
    size_t capacity;
    size_t payload_bytes; /* 0: nothing is kept */
    size_t message_bytes;
};

struct bench_inflate {
    struct ws_inflate *inflate;
    uint8_t *room; /* BENCH_FRAME_BYTES_MAX for a payload, then for its message */
    struct bench_inflated slots[SLOTS];
};

int bench_inflate_create(struct bench_inflate **inflate_out)
{
    struct bench_inflate *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return -ENOMEM;
    }
    state->room = malloc((size_t)2 * BENCH_FRAME_BYTES_MAX);
    if (state->room == NULL || ws_inflate_create(&state->inflate, false) != 0) {
        bench_inflate_destroy(state);
        return -ENOMEM;
    }
    *inflate_out = state;
    return 0;
}

void bench_inflate_destroy(struct bench_inflate *state)
{
    if (state != NULL) {
        for (uint32_t i = 0; i < SLOTS; i++) {
            free(state->slots[i].bytes);
        }
        ws_inflate_destroy(state->inflate);
        free(state->room);
        free(state);
    }
}

/* Without memory it is inflated again the next time. */
static void bench_inflate_keep(struct bench_inflated *slot, const struct ws_message *message,
                               const uint8_t *payload, size_t payload_bytes)
{
    size_t bytes = payload_bytes + message->payload_bytes;
    slot->payload_bytes = 0;
    if (bytes > KEPT_BYTES_MAX) {
        return;
    }
    if (bytes > slot->capacity) {
        uint8_t *grown = realloc(slot->bytes, bytes);
        if (grown == NULL) {
            return;
        }
        slot->bytes = grown;
        slot->capacity = bytes;
    }
    memcpy(slot->bytes, payload, payload_bytes);
    memcpy(slot->bytes + payload_bytes, message->payload, message->payload_bytes);
    slot->payload_bytes = payload_bytes;
    slot->message_bytes = message->payload_bytes;
}

bool bench_inflate_message(struct bench_inflate *state, const uint8_t *payload,
                           size_t payload_bytes, const uint8_t **message_out,
                           size_t *message_bytes_out)
{
    struct bench_inflated *slot = &state->slots[bench_ticks_hash(payload, payload_bytes) % SLOTS];
    if (payload_bytes > 0 && slot->payload_bytes == payload_bytes &&
        memcmp(slot->bytes, payload, payload_bytes) == 0) {
        *message_out = slot->bytes + payload_bytes;
        *message_bytes_out = slot->message_bytes;
        return true;
    }
    memcpy(state->room, payload, payload_bytes);
    struct ws_message message = {
        .opcode = WS_BINARY, /* whose UTF-8 is not looked at */
        .payload = state->room,
        .payload_bytes = payload_bytes,
        .is_compressed = true,
    };
    if (ws_inflate_message(state->inflate, &message, state->room + BENCH_FRAME_BYTES_MAX,
                           BENCH_FRAME_BYTES_MAX) != WS_OK) {
        return false;
    }
    bench_inflate_keep(slot, &message, payload, payload_bytes);
    *message_out = message.payload;
    *message_bytes_out = message.payload_bytes;
    return true;
}
