#include "codec/ws_deflate.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "codec/base/check.h"
#include "codec/utf8.h"

/* What every message ends with, and what is therefore not sent: RFC 7692 section 7.2.1. */
static const uint8_t ws_deflate_tail[4] = {0x00, 0x00, 0xff, 0xff};

#define WS_DEFLATE_MEM_LEVEL 8
#define WS_DEFLATE_AT_BLOCK_END 128 /* zlib's data_type, without bits that are left over */

struct ws_deflate {
    z_stream stream;
    bool is_ready; /* Nothing is allocated any more. */
    bool keeps_context;
    uint32_t payload_bytes_min;
};

struct ws_inflate {
    z_stream stream;
    bool is_ready;
    bool keeps_context;
    bool is_full;   /* All room is used; what comes now goes to beyond. */
    bool has_ended; /* A block said it was the last, and nothing came behind it. */
    uint8_t beyond; /* the first byte that is too many */
};

static void *ws_deflate_allocate(void *is_ready, unsigned count, unsigned bytes)
{
    assert_always(!*(const bool *)is_ready);
    return calloc(count, bytes);
}

static void ws_deflate_release(void *is_ready, void *memory)
{
    (void)is_ready;
    free(memory);
}

/* ---- Compressing ---- */

static bool ws_deflate_is_valid(const struct ws_deflate_options *options)
{
    return options->level >= 1 && options->level <= 9 &&
           options->window_bits >= WS_DEFLATE_WINDOW_BITS_MIN &&
           options->window_bits <= WS_DEFLATE_WINDOW_BITS_MAX;
}

int ws_deflate_create(struct ws_deflate **deflate_out, const struct ws_deflate_options *options)
{
    if (!ws_deflate_is_valid(options)) {
        return -EINVAL;
    }
    struct ws_deflate *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return -ENOMEM;
    }
    state->stream.zalloc = ws_deflate_allocate;
    state->stream.zfree = ws_deflate_release;
    state->stream.opaque = &state->is_ready;
    state->keeps_context = options->keeps_context;
    state->payload_bytes_min = options->payload_bytes_min;
    /* zlib has no raw window of 2^8: with 2^9, and only runs of one byte (a distance of 1)
     * replaced, what it writes needs none. */
    bool is_least = options->window_bits == WS_DEFLATE_WINDOW_BITS_MIN;
    int window_bits = is_least ? WS_DEFLATE_WINDOW_BITS_MIN + 1 : options->window_bits;
    int status = deflateInit2(&state->stream, options->level, Z_DEFLATED, -window_bits,
                              WS_DEFLATE_MEM_LEVEL, is_least ? Z_RLE : Z_DEFAULT_STRATEGY);
    if (status != Z_OK) {
        free(state);
        return -ENOMEM;
    }
    state->is_ready = true;
    *deflate_out = state;
    return 0;
}

void ws_deflate_destroy(struct ws_deflate *state)
{
    if (state != NULL) {
        deflateEnd(&state->stream);
        free(state);
    }
}

size_t ws_deflate_message(struct ws_deflate *state, uint8_t *out, size_t out_bytes,
                          const void *payload, size_t payload_bytes)
{
    z_stream *stream = &state->stream;
    assert_always(payload_bytes <= UINT32_MAX);
    if (out_bytes == 0) {
        return 0;
    }
    if (payload_bytes == 0) {
        *out = 0; /* An empty block, without its tail. zlib flushes nothing twice. */
        return 1;
    }
    if (!state->keeps_context) {
        deflateReset(stream);
    }
    stream->next_in = payload;
    stream->avail_in = (uInt)payload_bytes;
    stream->next_out = out;
    stream->avail_out = out_bytes < UINT32_MAX ? (uInt)out_bytes : UINT32_MAX;
    int status = deflate(stream, Z_SYNC_FLUSH);
    assert_always(status == Z_OK);
    if (stream->avail_out == 0) {
        return 0; /* There may be more to come. */
    }
    size_t bytes = (size_t)(stream->next_out - out);
    assert_always(bytes > sizeof ws_deflate_tail && stream->avail_in == 0);
    assert_debug(memcmp(stream->next_out - sizeof ws_deflate_tail, ws_deflate_tail,
                        sizeof ws_deflate_tail) == 0);
    return bytes - sizeof ws_deflate_tail;
}

size_t ws_deflate_frame(struct ws_deflate *state, uint8_t *frame_out, size_t frame_bytes_max,
                        enum ws_opcode opcode, const void *payload, size_t payload_bytes)
{
    assert_always(!state->keeps_context);
    if (payload_bytes < state->payload_bytes_min || frame_bytes_max < WS_FRAME_FINISH_GAP) {
        return 0;
    }
    /* Room for a result that is shorter than the payload, for the tail, and for the byte that shows
     * that it is complete: the work ends early if nothing can be gained. */
    size_t room = frame_bytes_max - WS_FRAME_FINISH_GAP;
    size_t wanted = payload_bytes + sizeof ws_deflate_tail;
    size_t bytes = ws_deflate_message(state, frame_out + WS_FRAME_FINISH_GAP,
                                      room < wanted ? room : wanted, payload, payload_bytes);
    if (bytes == 0 || bytes >= payload_bytes || bytes > WS_FRAME_FINISH_BYTES_MAX) {
        return 0;
    }
    size_t frame_bytes = ws_frame_finish(frame_out, opcode, bytes);
    frame_out[0] |= WS_COMPRESSED_BIT;
    return frame_bytes;
}

/* ---- Inflating ---- */

int ws_inflate_create(struct ws_inflate **inflate_out, bool keeps_context)
{
    struct ws_inflate *state = calloc(1, sizeof *state);
    if (state == NULL) {
        return -ENOMEM;
    }
    z_stream *stream = &state->stream;
    stream->zalloc = ws_deflate_allocate;
    stream->zfree = ws_deflate_release;
    stream->opaque = &state->is_ready;
    state->keeps_context = keeps_context;
    if (inflateInit2(stream, -WS_DEFLATE_WINDOW_BITS_MAX) != Z_OK) {
        free(state);
        return -ENOMEM;
    }
    /* The window is made when it is first written to. */
    if (inflateSetDictionary(stream, ws_deflate_tail, 1) != Z_OK) {
        ws_inflate_destroy(state);
        return -ENOMEM;
    }
    inflateReset(stream);
    state->is_ready = true;
    *inflate_out = state;
    return 0;
}

void ws_inflate_destroy(struct ws_inflate *state)
{
    if (state != NULL) {
        inflateEnd(&state->stream);
        free(state);
    }
}

/* The byte beyond the limit is asked for only when the room is used up: zlib may still have to read
 * an end then that yields nothing. Ends: each round consumes input, fills the room, or is last. */
static enum ws_status ws_inflate_feed(struct ws_inflate *state, const uint8_t *bytes,
                                      size_t bytes_count)
{
    z_stream *stream = &state->stream;
    stream->next_in = bytes;
    stream->avail_in = (uInt)bytes_count;
    for (;;) {
        int status = inflate(stream, Z_SYNC_FLUSH);
        if (status == Z_STREAM_END) {
            /* A block that says it is the last may be followed by others (RFC 7692 section
             * 7.2.3.4), for which the window stays. */
            inflateResetKeep(stream);
            state->has_ended = stream->avail_in == 0;
        } else if (status != Z_OK && status != Z_BUF_ERROR) {
            return WS_BAD_DEFLATE;
        }
        if (stream->avail_out == 0) {
            if (state->is_full) {
                return WS_TOO_LONG;
            }
            state->is_full = true;
            stream->next_out = &state->beyond;
            stream->avail_out = 1;
        } else if (stream->avail_in == 0) {
            return WS_OK;
        }
    }
}

/* The payload and its tail. */
static enum ws_status ws_inflate_whole(struct ws_inflate *state, const struct ws_message *message)
{
    if (message->payload_bytes == 0) {
        return WS_OK; /* What zlib gives a client that flushes an empty message. */
    }
    state->has_ended = false;
    enum ws_status status = ws_inflate_feed(state, message->payload, message->payload_bytes);
    if (status != WS_OK || state->has_ended) {
        return status;
    }
    status = ws_inflate_feed(state, ws_deflate_tail, sizeof ws_deflate_tail);
    bool is_whole = state->stream.data_type == WS_DEFLATE_AT_BLOCK_END && !state->has_ended;
    return status == WS_OK && !is_whole ? WS_BAD_DEFLATE : status;
}

enum ws_status ws_inflate_message(struct ws_inflate *state, struct ws_message *message,
                                  uint8_t *out, size_t bytes_max)
{
    z_stream *stream = &state->stream;
    assert_always(message->is_compressed && message->payload_bytes <= UINT32_MAX);
    assert_always(bytes_max > 0 && bytes_max <= UINT32_MAX);

    if (!state->keeps_context) {
        inflateReset(stream);
    }
    state->is_full = false;
    stream->next_out = out;
    stream->avail_out = (uInt)bytes_max;
    enum ws_status status = ws_inflate_whole(state, message);
    if (status != WS_OK) {
        return status;
    }
    message->payload = out;
    message->payload_bytes = state->is_full ? bytes_max : bytes_max - stream->avail_out;
    message->is_compressed = false;
    bool is_text = message->opcode == WS_TEXT;
    return is_text && !utf8_is_valid(out, message->payload_bytes) ? WS_BAD_UTF8 : WS_OK;
}
