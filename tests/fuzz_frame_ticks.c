/* No text makes the reader of data frames read or write out of bounds. What it takes is JSON for
 * another parser, too; what that parser takes is a message, a tick or a fault of a field. A tick is
 * read from what is written of it, to the digit. Input: a message. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_numbers.h"
#include "codec/json_tick.h"
#include "feeds/frame_ticks.h"

#define PAYLOAD_BYTES (1 << 20)
#define SEQ 7

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct frame_ticks *frames;

/* Numbers of any size are JSON. */
static bool is_json(const char *text, size_t size)
{
    char *quoted = malloc(JSON_NUMBERS_QUOTED_MAX(size));
    assert_always(quoted != NULL);
    size_t bytes = json_numbers_quote(quoted, text, size);
    json_t *parsed = json_loadb(quoted, bytes, JSON_ALLOW_NUL, NULL);
    free(quoted);
    json_decref(parsed);
    return parsed != NULL;
}

/* 0: the payload would be too long. */
static size_t encode(const struct frame_tick *tick, uint8_t *payload)
{
    struct json_tick_head head;
    json_tick_head_init(&head, tick->update.type, tick->symbol, tick->symbol_bytes, 1);
    return json_tick_encode(payload, PAYLOAD_BYTES, &head, &tick->update, SEQ, 1);
}

static void check_tick(const struct frame_tick *tick)
{
    static uint8_t payloads[2][PAYLOAD_BYTES];
    struct frame_tick again;
    size_t bytes = encode(tick, payloads[0]);
    if (bytes > 0) {
        enum frame_ticks_status status =
            frame_ticks_parse(frames, (const char *)payloads[0], bytes, &again);
        assert_always(status == FRAME_TICKS_TICK);
        assert_always(again.seq == SEQ);
        assert_always(encode(&again, payloads[1]) == bytes);
        assert_always(memcmp(payloads[0], payloads[1], bytes) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    struct frame_tick tick;
    if (frames == NULL) {
        assert_always(frame_ticks_create(&frames) == 0);
    }
    enum frame_ticks_status status = frame_ticks_parse(frames, text, size, &tick);
    assert_always((status == FRAME_TICKS_MALFORMED) == (tick.fault != NULL));
    if (status != FRAME_TICKS_MALFORMED) {
        /* jansson refuses the escape of NUL in a key. */
        assert_always(is_json(text, size) || memmem(text, size, "\\u0000", 6) != NULL);
    }
    if (status == FRAME_TICKS_TICK) {
        check_tick(&tick);
    }
    return 0;
}
