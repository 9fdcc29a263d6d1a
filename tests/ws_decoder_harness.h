/*
 * ws_decoder_harness: feeds a decoder in chunks that end at an unreadable page and compares the
 * messages it hands out with those that are expected.
 *
 * Owner    The test: init before, deinit after. Include cmocka.h first.
 */
#ifndef RINGCAST_TESTS_WS_DECODER_HARNESS_H
#define RINGCAST_TESTS_WS_DECODER_HARNESS_H

#include <stdlib.h>
#include <string.h>

#include "codec/ws_decoder.h"
#include "tests/guard_page.h"

#define TEST_MESSAGE_BYTES_MAX 70000
#define TEST_STREAM_BYTES_MAX (1 << 20)

#define FINAL 0x80

/* A text is a literal, so that its length is known and it may hold zeros. */
#define T(literal) literal, sizeof(literal) - 1

struct frame {
    uint8_t first; /* FINAL, reserved bits and opcode */
    const char *payload;
    size_t payload_bytes;
};

struct stream {
    uint8_t *bytes;
    size_t bytes_count;
};

/* Decodes chunks and compares with the messages that are expected, one after another. */
struct harness {
    struct ws_decoder decoder;
    uint8_t *buffer; /* Given to the decoder when it asks. */
    struct guard_page guard;
    const struct frame *expected; /* first: the opcode, and WS_COMPRESSED_BIT */
    size_t expected_index;
    enum ws_status fault;
    bool inflates; /* permessage-deflate is agreed on */
};

static inline void harness_init(struct harness *harness)
{
    harness->inflates = false;
    harness->buffer = malloc(WS_DEFLATE_BYTES_MAX(TEST_MESSAGE_BYTES_MAX));
    guard_page_init(&harness->guard, TEST_STREAM_BYTES_MAX);
}

static inline void harness_deinit(struct harness *harness)
{
    guard_page_deinit(&harness->guard);
    free(harness->buffer);
}

static inline void harness_start(struct harness *harness, const struct frame *expected,
                                 bool expect_mask)
{
    ws_decoder_init(&harness->decoder, TEST_MESSAGE_BYTES_MAX, expect_mask, NULL);
    harness->decoder.inflates = harness->inflates;
    harness->expected = expected;
    harness->expected_index = 0;
    harness->fault = WS_OK;
}

static inline void harness_on_message(struct harness *harness, const struct ws_message *message)
{
    const struct frame *expected = &harness->expected[harness->expected_index++];
    assert_int_equal(message->opcode | (message->is_compressed ? WS_COMPRESSED_BIT : 0),
                     expected->first);
    assert_int_equal(message->payload_bytes, expected->payload_bytes);
    assert_non_null(message->payload);
    if (expected->payload_bytes > 0) {
        assert_memory_equal(message->payload, expected->payload, expected->payload_bytes);
    }
}

static inline void harness_feed(struct harness *harness, const uint8_t *chunk, size_t chunk_bytes)
{
    uint8_t *bytes = guard_page_copy(&harness->guard, chunk, chunk_bytes);
    while (harness->fault == WS_OK) {
        size_t consumed = SIZE_MAX;
        struct ws_message message;
        enum ws_status status =
            ws_decode(&harness->decoder, bytes, chunk_bytes, &consumed, &message);
        assert_true(consumed <= chunk_bytes);
        bytes += consumed;
        chunk_bytes -= consumed;
        if (status == WS_OK) {
            harness_on_message(harness, &message);
        } else if (status == WS_NEED_MORE) {
            assert_int_equal(chunk_bytes, 0);
            return;
        } else if (status == WS_NEED_BUFFER) {
            assert_null(harness->decoder.buffer);
            assert_true(chunk_bytes > 0);
            assert_false(ws_decoder_is_idle(&harness->decoder));
            harness->decoder.buffer = harness->buffer;
        } else {
            harness->fault = status;
        }
    }
}

static inline void stream_append(struct stream *stream, const struct frame *frame,
                                 const uint8_t *mask)
{
    uint8_t *at = stream->bytes + stream->bytes_count;
    enum ws_opcode opcode = (enum ws_opcode)(frame->first & 0x0f);
    size_t header_bytes = mask != NULL
                              ? ws_frame_client_header(at, opcode, frame->payload_bytes, mask)
                              : ws_frame_header(at, opcode, frame->payload_bytes);
    at[0] = frame->first;
    if (frame->payload_bytes > 0) {
        memcpy(at + header_bytes, frame->payload, frame->payload_bytes);
    }
    if (mask != NULL) {
        ws_frame_mask(at + header_bytes, frame->payload_bytes, mask, 0);
    }
    stream->bytes_count += header_bytes + frame->payload_bytes;
    assert_true(stream->bytes_count <= TEST_STREAM_BYTES_MAX);
}

#endif
