#include "feeds/replay/replay_messages.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zstd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "feeds/stream_ticks.h"

#define REPLAY_MESSAGES_BUFFER_BYTES (256 * KIB)
#define REPLAY_MESSAGES_PIECE_BYTES (4 * KIB) /* What is before a corrupt one is not lost. */
#define REPLAY_MESSAGES_BUFFER_BYTES_MAX                                                           \
    (STREAM_TICKS_LENGTH_BYTES + STREAM_TICKS_MESSAGE_BYTES_MAX)

bool replay_messages_is_recording(const char *bytes)
{
    /* Text has no byte 0, and no message is so long that the fourth byte of its length has another
     * value; the first message is JSON. gzip has a 0 there, too. */
    uint32_t word = bytes_load_le32((const uint8_t *)bytes);
    bool is_gzip = (word & 0xffff) == 0x8b1f;
    return word == ZSTD_MAGICNUMBER || (bytes[3] == 0 && bytes[4] == '{' && !is_gzip);
}

int replay_messages_create(struct replay_messages *messages, struct line_reader *reader)
{
    *messages = (struct replay_messages){
        .reader = reader,
        .zstd = ZSTD_createDCtx(),
        .buffer = malloc(REPLAY_MESSAGES_BUFFER_BYTES),
        .capacity = REPLAY_MESSAGES_BUFFER_BYTES,
    };
    if (messages->zstd == NULL || messages->buffer == NULL) {
        replay_messages_destroy(messages);
        return -ENOMEM;
    }
    return 0;
}

void replay_messages_destroy(struct replay_messages *messages)
{
    ZSTD_freeDCtx(messages->zstd);
    free(messages->buffer);
    *messages = (struct replay_messages){0};
}

void replay_messages_restart(struct replay_messages *messages)
{
    ZSTD_DCtx_reset(messages->zstd, ZSTD_reset_session_only);
    messages->is_begun = messages->is_in_frame = messages->may_have_out = false;
    messages->begin = messages->end = 0;
    messages->offset = messages->number = 0;
}

static enum replay_messages_status replay_messages_corrupt(struct replay_messages *messages,
                                                           const char *fault)
{
    messages->fault = fault;
    return REPLAY_MESSAGES_CORRUPT;
}

/* Makes room for bytes_min in the buffer. false: no memory. */
static bool replay_messages_make_room(struct replay_messages *messages, size_t bytes_min)
{
    memmove(messages->buffer, messages->buffer + messages->begin, messages->end - messages->begin);
    messages->end -= messages->begin;
    messages->begin = 0;
    if (bytes_min <= messages->capacity) {
        return true;
    }
    assert_always(bytes_min <= REPLAY_MESSAGES_BUFFER_BYTES_MAX);
    uint8_t *grown = realloc(messages->buffer, REPLAY_MESSAGES_BUFFER_BYTES_MAX);
    if (grown == NULL) {
        return false;
    }
    messages->buffer = grown;
    messages->capacity = REPLAY_MESSAGES_BUFFER_BYTES_MAX;
    return true;
}

/* Decompresses some of the reader's bytes, which may be none. */
static enum replay_messages_status replay_messages_unpack(struct replay_messages *messages,
                                                          size_t in_bytes)
{
    ZSTD_inBuffer in = {messages->reader->text, 0, 0};
    ZSTD_outBuffer out = {messages->buffer, messages->capacity, messages->end};
    in.size = in_bytes < REPLAY_MESSAGES_PIECE_BYTES ? in_bytes : REPLAY_MESSAGES_PIECE_BYTES;
    size_t left = ZSTD_decompressStream(messages->zstd, &out, &in);
    if (ZSTD_isError(left)) {
        return replay_messages_corrupt(messages, ZSTD_getErrorName(left));
    }
    messages->is_in_frame = left > 0;
    messages->may_have_out = left > 0 && out.pos == out.size;
    messages->end = out.pos;
    messages->offset += in.pos;
    line_reader_consume(messages->reader, in.pos);
    return REPLAY_MESSAGES_READY;
}

static enum replay_messages_status replay_messages_copy(struct replay_messages *messages)
{
    size_t room = messages->capacity - messages->end;
    size_t bytes = messages->reader->text_bytes < room ? messages->reader->text_bytes : room;
    memcpy(messages->buffer + messages->end, messages->reader->text, bytes);
    messages->end += bytes;
    messages->offset += bytes;
    line_reader_consume(messages->reader, bytes);
    return REPLAY_MESSAGES_READY;
}

/* The first bytes show whether the file is compressed. */
static enum replay_messages_status replay_messages_begin(struct replay_messages *messages)
{
    const struct line_reader *reader = messages->reader;
    if (reader->text_bytes < REPLAY_MESSAGES_KIND_BYTES) {
        return REPLAY_MESSAGES_CUT;
    }
    if (!replay_messages_is_recording(reader->text)) {
        return replay_messages_corrupt(messages, "it is not a recording of ringcast --record");
    }
    messages->is_begun = true;
    messages->is_plain = reader->text[3] == 0;
    return REPLAY_MESSAGES_READY;
}

/* Puts more bytes into the buffer, which has room: READY, or why there are none. */
static enum replay_messages_status replay_messages_fill(struct replay_messages *messages)
{
    assert_always(messages->end < messages->capacity);
    if (messages->may_have_out) {
        return replay_messages_unpack(messages, 0);
    }
    switch (
        line_reader_bytes(messages->reader, messages->is_begun ? 1 : REPLAY_MESSAGES_KIND_BYTES)) {
    case LINE_READER_WAIT:
        return REPLAY_MESSAGES_WAIT;
    case LINE_READER_FAILED:
        return REPLAY_MESSAGES_FAILED;
    case LINE_READER_END:
        return messages->is_in_frame || messages->end > messages->begin ? REPLAY_MESSAGES_CUT
                                                                        : REPLAY_MESSAGES_END;
    default:
        break;
    }
    if (!messages->is_begun) {
        enum replay_messages_status status = replay_messages_begin(messages);
        if (status != REPLAY_MESSAGES_READY) {
            return status;
        }
    }
    return messages->is_plain ? replay_messages_copy(messages)
                              : replay_messages_unpack(messages, messages->reader->text_bytes);
}

enum replay_messages_status replay_messages_next(struct replay_messages *messages)
{
    for (;;) {
        size_t have = messages->end - messages->begin;
        const uint8_t *at = messages->buffer + messages->begin;
        size_t need = STREAM_TICKS_LENGTH_BYTES;
        if (have >= need) {
            uint32_t bytes = bytes_load_le32(at);
            if (bytes == 0 || bytes > STREAM_TICKS_MESSAGE_BYTES_MAX) {
                return replay_messages_corrupt(messages,
                                               "a message has a length that none can have");
            }
            need += bytes;
            if (have >= need) {
                messages->message = at + STREAM_TICKS_LENGTH_BYTES;
                messages->message_bytes = bytes;
                messages->begin += need;
                messages->number++;
                return REPLAY_MESSAGES_READY;
            }
        }
        if (!replay_messages_make_room(messages, need)) {
            return replay_messages_corrupt(messages, "there is no memory for a message");
        }
        enum replay_messages_status status = replay_messages_fill(messages);
        if (status != REPLAY_MESSAGES_READY) {
            return status;
        }
    }
}
