/*
 * replay_messages: the messages of one file of a recording, compressed by zstd or not, from a file
 * or a stream.
 *
 * A file that a killed server left ends in the middle; so does one that is still written. All that
 * was flushed can be read.
 *
 * Owner    The caller, who owns the reader, too. Threads: one at a time.
 * Memory   The decompressor's, and a buffer that grows to the longest message, of at most 4 MiB. A
 *          message is borrowed until the next.
 * Errors   A status; fault is a sentence that says what is wrong, and offset where.
 * Source   feeds/stream_ticks.h; RFC 8878.
 */
#ifndef RINGCAST_FEEDS_REPLAY_MESSAGES_H
#define RINGCAST_FEEDS_REPLAY_MESSAGES_H

#include "feeds/replay/line_reader.h"

#define REPLAY_MESSAGES_KIND_BYTES 5 /* that show what a file is */

enum replay_messages_status {
    REPLAY_MESSAGES_READY, /* message, message_bytes: without its length */
    REPLAY_MESSAGES_WAIT,  /* as of LINE_READER_WAIT */
    REPLAY_MESSAGES_END,
    REPLAY_MESSAGES_CUT,     /* The file ends in the middle. */
    REPLAY_MESSAGES_CORRUPT, /* See fault and offset. */
    REPLAY_MESSAGES_FAILED,  /* It cannot be read: see the reader's error. */
};

struct replay_messages {
    struct line_reader *reader;
    void *zstd;
    bool is_begun;     /* The first bytes have been read: */
    bool is_plain;     /* not compressed */
    bool is_in_frame;  /* of zstd */
    bool may_have_out; /* The decompressor may have more to give. */
    uint8_t *buffer;
    size_t capacity;
    size_t begin, end; /* of what is decompressed and not yet handed over */
    uint64_t offset;   /* bytes of the file that were read */
    uint64_t number;   /* messages, from 1 */

    const uint8_t *message;
    size_t message_bytes;
    const char *fault;
};

/* Whether a file that begins with these bytes may be a recording. */
bool replay_messages_is_recording(const char *bytes);

/* -ENOMEM. reader: at the beginning of the file. */
int replay_messages_create(struct replay_messages *messages, struct line_reader *reader);
void replay_messages_destroy(struct replay_messages *messages);

enum replay_messages_status replay_messages_next(struct replay_messages *messages);

/* The reader is at the beginning of a file. */
void replay_messages_restart(struct replay_messages *messages);

#endif
