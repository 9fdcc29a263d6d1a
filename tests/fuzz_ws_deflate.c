/*
 * No bytes make the decoder or zlib touch what is not theirs, inflate beyond the limit, or give
 * other messages when they are cut into other chunks; and what was inflated survives being
 * compressed again. Input: a byte of options (bit 0: contexts are kept; the rest: the chunk size),
 * then the stream of a server.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "codec/ws_deflate.h"

#define FUZZ_MESSAGE_BYTES_MAX 4096
#define FUZZ_HASH_START UINT64_C(0xcbf29ce484222325)
#define FUZZ_HASH_PRIME UINT64_C(0x100000001b3)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_outcome {
    uint64_t hash; /* of all messages */
    uint64_t message_count;
    enum ws_status fault;
};

/* One run: its states, made anew for each. */
struct fuzz_run {
    struct ws_decoder decoder;
    struct ws_inflate *inflate;
    struct fuzz_outcome outcome;
};

static void fuzz_ws_deflate_hash(struct fuzz_outcome *outcome, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        outcome->hash = (outcome->hash ^ ((const uint8_t *)bytes)[i]) * FUZZ_HASH_PRIME;
    }
}

/* The states that compress are made once: there is one for each way, and neither keeps a context.
 */
static void fuzz_ws_deflate_again(const uint8_t *payload, size_t payload_bytes)
{
    static struct ws_deflate *deflate;
    static struct ws_inflate *inflate;
    static uint8_t deflated[WS_DEFLATE_BYTES_MAX(FUZZ_MESSAGE_BYTES_MAX)];
    static uint8_t inflated[FUZZ_MESSAGE_BYTES_MAX];
    struct ws_deflate_options options = {.level = 1, .window_bits = 9};
    if (deflate == NULL) {
        assert_always(ws_deflate_create(&deflate, &options) == 0);
        assert_always(ws_inflate_create(&inflate, false) == 0);
    }
    struct ws_message message = {
        .opcode = WS_BINARY,
        .payload = deflated,
        .payload_bytes =
            ws_deflate_message(deflate, deflated, sizeof deflated, payload, payload_bytes),
        .is_compressed = true,
    };
    assert_always(ws_inflate_message(inflate, &message, inflated, sizeof inflated) == WS_OK);
    assert_always(message.payload_bytes == payload_bytes);
    assert_always(memcmp(inflated, payload, payload_bytes) == 0);
}

static enum ws_status fuzz_ws_deflate_on_message(struct fuzz_run *run, struct ws_message *message)
{
    uint8_t *out = malloc(FUZZ_MESSAGE_BYTES_MAX);
    assert_always(out != NULL);
    enum ws_status status = WS_OK;
    if (message->is_compressed) {
        assert_always(message->payload_bytes <= WS_DEFLATE_BYTES_MAX(FUZZ_MESSAGE_BYTES_MAX));
        status = ws_inflate_message(run->inflate, message, out, FUZZ_MESSAGE_BYTES_MAX);
    }
    if (status == WS_OK) {
        assert_always(message->payload_bytes <= FUZZ_MESSAGE_BYTES_MAX);
        assert_always(message->opcode != WS_TEXT ||
                      utf8_is_valid(message->payload, message->payload_bytes));
        fuzz_ws_deflate_hash(&run->outcome, &message->opcode, sizeof message->opcode);
        fuzz_ws_deflate_hash(&run->outcome, message->payload, message->payload_bytes);
        fuzz_ws_deflate_again(message->payload, message->payload_bytes);
        run->outcome.message_count++;
    }
    free(out);
    return status;
}

/* Each chunk and the buffer are allocations of their own, so that a sanitizer sees their ends. */
static void fuzz_ws_deflate_chunk(struct fuzz_run *run, const uint8_t *data, size_t size)
{
    uint8_t *chunk = malloc(size);
    assert_always(chunk != NULL);
    memcpy(chunk, data, size);
    for (size_t at = 0; run->outcome.fault == WS_OK;) {
        size_t consumed = SIZE_MAX;
        struct ws_message message;
        enum ws_status status =
            ws_decode(&run->decoder, chunk + at, size - at, &consumed, &message);
        assert_always(consumed <= size - at);
        at += consumed;
        if (status == WS_OK) {
            run->outcome.fault = fuzz_ws_deflate_on_message(run, &message);
        } else if (status == WS_NEED_MORE) {
            break;
        } else if (status == WS_NEED_BUFFER) {
            run->decoder.buffer = malloc(WS_DEFLATE_BYTES_MAX(FUZZ_MESSAGE_BYTES_MAX));
            assert_always(run->decoder.buffer != NULL);
        } else {
            run->outcome.fault = status;
        }
    }
    free(chunk);
}

static struct fuzz_outcome fuzz_ws_deflate_run(const uint8_t *data, size_t size, bool keeps_context,
                                               size_t chunk_bytes)
{
    struct fuzz_run run = {.outcome = {.hash = FUZZ_HASH_START}};
    ws_decoder_init(&run.decoder, FUZZ_MESSAGE_BYTES_MAX, false, NULL);
    run.decoder.inflates = true;
    assert_always(ws_inflate_create(&run.inflate, keeps_context) == 0);
    for (size_t at = 0; at < size && run.outcome.fault == WS_OK; at += chunk_bytes) {
        fuzz_ws_deflate_chunk(&run, data + at, size - at < chunk_bytes ? size - at : chunk_bytes);
    }
    ws_inflate_destroy(run.inflate);
    free(run.decoder.buffer);
    return run.outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    bool keeps_context = data[0] & 1;
    size_t chunk_bytes = 1 + (data[0] >> 1);
    struct fuzz_outcome whole = fuzz_ws_deflate_run(data + 1, size - 1, keeps_context, size);
    struct fuzz_outcome parts = fuzz_ws_deflate_run(data + 1, size - 1, keeps_context, chunk_bytes);
    assert_always(whole.fault == parts.fault);
    assert_always(whole.message_count == parts.message_count);
    assert_always(whole.hash == parts.hash);
    return 0;
}
