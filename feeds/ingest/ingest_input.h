/*
 * ingest_input: the bytes of a producer, cut into messages.
 *
 * The fourth byte of a stream decides its form. Zero: each message is a u32 length, little endian,
 * and that many bytes; a length has at most 4 MiB, so that its fourth byte is 0. Any other: lines
 * of text, which have no zero byte.
 *
 * Owner    A producer embeds one; the descriptor stays the caller's.
 * Threads  One at a time.
 * Memory   One buffer: INGEST_INPUT_BYTES, and up to one message while that message is longer. A
 *          message is borrowed until the next call.
 * Units    recv_ns is CLOCK_REALTIME: the kernel's, where it stamps what it receives (TCP);
 *          otherwise read after the read(2).
 * Errors   0 or a negative errno; what a peer does wrong is a status.
 */
#ifndef RINGCAST_FEEDS_INGEST_INPUT_H
#define RINGCAST_FEEDS_INGEST_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define INGEST_INPUT_BYTES (64 * KIB)
#define INGEST_INPUT_MESSAGE_BYTES_MAX (4 * MIB) /* without a length, LF or CR LF */

enum ingest_form {
    INGEST_FORM_UNKNOWN, /* Fewer than four bytes have come. */
    INGEST_FORM_LINES,
    INGEST_FORM_BINARY,
};

enum ingest_input_status {
    INGEST_INPUT_MESSAGE,
    INGEST_INPUT_WAIT,     /* No whole message is there: read. */
    INGEST_INPUT_END,      /* Nothing is left, and nothing will come. */
    INGEST_INPUT_TOO_LONG, /* The message is longer than the limit. */
};

struct ingest_input {
    int fd;
    bool is_tcp;
    bool is_at_end; /* read has returned 0. */
    enum ingest_form form;
    uint64_t recv_ns; /* of the newest bytes */

    const char *message; /* of ingest_input_next */
    size_t message_bytes;
    size_t message_bytes_max;

    char *buffer;
    size_t capacity;
    size_t begin, end; /* bytes that are buffered and not yet handed over */
    size_t searched;   /* So many bytes from begin have no line feed. */
};

/* -ENOMEM. */
int ingest_input_init(struct ingest_input *input, int fd, bool is_tcp);
void ingest_input_deinit(struct ingest_input *input);

/* Empty lines are skipped. */
enum ingest_input_status ingest_input_next(struct ingest_input *input);

/* Reads once; only after INGEST_INPUT_WAIT. -EAGAIN: nothing is there. -ENOMEM and the errors of
 * read(2) end the stream. */
int ingest_input_read(struct ingest_input *input);

/* Reads once and forgets it, for a stream whose messages do not matter any more. */
int ingest_input_discard(struct ingest_input *input);

#endif
