/*
 * No bytes make the decoder touch what is not its own, and how they are cut into chunks changes
 * neither the messages nor the fault. Input: a byte of options (bit 0: client frames; the rest:
 * the chunk size), then the stream.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/utf8.h"
#include "codec/ws_decoder.h"

#define FUZZ_MESSAGE_BYTES_MAX 4096
#define FUZZ_HASH_START UINT64_C(0xcbf29ce484222325)
#define FUZZ_HASH_PRIME UINT64_C(0x100000001b3)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct fuzz_outcome {
    uint64_t hash; /* of all messages */
    uint64_t message_count;
    enum ws_status fault;
    bool is_idle;
};

static void fuzz_ws_decoder_hash(struct fuzz_outcome *outcome, const void *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        outcome->hash = (outcome->hash ^ ((const uint8_t *)bytes)[i]) * FUZZ_HASH_PRIME;
    }
}

static void fuzz_ws_decoder_on_message(struct fuzz_outcome *outcome,
                                       const struct ws_message *message)
{
    assert_always(message->payload_bytes <= FUZZ_MESSAGE_BYTES_MAX);
    assert_always(message->opcode < WS_CLOSE || message->payload_bytes <= WS_CONTROL_BYTES_MAX);
    assert_always(message->opcode != WS_TEXT ||
                  utf8_is_valid(message->payload, message->payload_bytes));
    fuzz_ws_decoder_hash(outcome, &message->opcode, sizeof message->opcode);
    fuzz_ws_decoder_hash(outcome, &message->payload_bytes, sizeof message->payload_bytes);
    fuzz_ws_decoder_hash(outcome, message->payload, message->payload_bytes);
    outcome->message_count++;
}

/* Each chunk and the buffer are allocations of their own, so that a sanitizer sees their ends. */
static void fuzz_ws_decoder_chunk(struct ws_decoder *decoder, const uint8_t *data, size_t size,
                                  struct fuzz_outcome *outcome)
{
    uint8_t *chunk = malloc(size);
    assert_always(chunk != NULL);
    memcpy(chunk, data, size);
    for (size_t at = 0; outcome->fault == WS_OK;) {
        size_t consumed = SIZE_MAX;
        struct ws_message message;
        enum ws_status status = ws_decode(decoder, chunk + at, size - at, &consumed, &message);
        assert_always(consumed <= size - at);
        at += consumed;
        if (status == WS_OK) {
            fuzz_ws_decoder_on_message(outcome, &message);
        } else if (status == WS_NEED_MORE) {
            assert_always(at == size);
            break;
        } else if (status == WS_NEED_BUFFER) {
            assert_always(decoder->buffer == NULL);
            decoder->buffer = malloc(FUZZ_MESSAGE_BYTES_MAX);
            assert_always(decoder->buffer != NULL);
        } else {
            assert_always(ws_status_close_code(status) != 0);
            outcome->fault = status;
        }
    }
    free(chunk);
}

static struct fuzz_outcome fuzz_ws_decoder_run(const uint8_t *data, size_t size, bool expect_mask,
                                               size_t chunk_bytes)
{
    struct fuzz_outcome outcome = {.hash = FUZZ_HASH_START};
    struct ws_decoder decoder;
    ws_decoder_init(&decoder, FUZZ_MESSAGE_BYTES_MAX, expect_mask, NULL);
    for (size_t at = 0; at < size && outcome.fault == WS_OK; at += chunk_bytes) {
        size_t count = size - at < chunk_bytes ? size - at : chunk_bytes;
        fuzz_ws_decoder_chunk(&decoder, data + at, count, &outcome);
    }
    outcome.is_idle = ws_decoder_is_idle(&decoder);
    free(decoder.buffer);
    return outcome;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    bool expect_mask = data[0] & 1;
    size_t chunk_bytes = 1 + (data[0] >> 1);
    struct fuzz_outcome whole = fuzz_ws_decoder_run(data + 1, size - 1, expect_mask, size);
    struct fuzz_outcome parts = fuzz_ws_decoder_run(data + 1, size - 1, expect_mask, chunk_bytes);
    assert_always(whole.fault == parts.fault);
    assert_always(whole.message_count == parts.message_count);
    assert_always(whole.hash == parts.hash);
    assert_always(whole.fault != WS_OK || whole.is_idle == parts.is_idle);
    return 0;
}
