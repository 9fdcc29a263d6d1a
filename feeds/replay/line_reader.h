/*
 * line_reader: the lines of a regular file or a stream, in bounded memory.
 *
 * Reads in blocks, not by mmap: a file that is truncated while it is read must not end the process
 * by SIGBUS. From its first rewind on, reading a regular file does not block either. A block that
 * is not in memory is requested, where the file system can do that (not tmpfs, which needs no disk,
 * nor most network file systems), and LINE_READER_WAIT means: call again in a millisecond or so.
 * Reading a stream (a FIFO, or standard input that is a pipe or a socket) never blocks:
 * LINE_READER_WAIT means: call again when fd is readable. A FIFO has no end: when its writer closes
 * it, the lines of the next writer follow.
 *
 * Owner    The caller. Threads: one at a time.
 * Memory   One buffer, which doubles for a line that does not fit; a line is borrowed until the
 *          next. A line for which there is no memory counts as too long.
 * Units    Line numbers count from 1.
 * Errors   0 or a negative errno; a line that is too long is a status, not an error.
 */
#ifndef RINGCAST_FEEDS_LINE_READER_H
#define RINGCAST_FEEDS_LINE_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define LINE_READER_LINE_BYTES_MAX (16 * MIB)

enum line_status {
    LINE_READER_LINE,     /* text and text_bytes: without its LF or CRLF; the last may have none. */
    LINE_READER_TOO_LONG, /* A line over the limit has been skipped. */
    LINE_READER_AGAIN,    /* Nothing yet, in the middle of a long line: call again. */
    LINE_READER_WAIT, /* No whole line is here yet: call again, of a stream when fd is readable. */
    LINE_READER_END,  /* Nothing is left. */
    LINE_READER_FAILED, /* error is a negative errno. */
};

struct line_reader {
    int fd;
    bool is_input;       /* standard input */
    bool is_stream;      /* It cannot be read twice. */
    bool may_wait;       /* for the disk */
    uint32_t miss_count; /* how often in a row the next block was not in memory */
    int error;

    const char *text; /* of the line just read */
    size_t text_bytes;
    uint64_t line_number;

    char *buffer;
    size_t capacity;
    size_t begin, end;   /* bytes that are buffered and not yet handed over */
    size_t searched;     /* So many bytes from begin have no line feed. */
    bool is_discarding;  /* The rest of a line that is too long is skipped. */
    bool is_at_file_end; /* read has returned 0. */
};

/* path: "-" is standard input. -EISDIR, or -EINVAL for anything else that is neither a regular file
 * nor a stream; -EBUSY: another feed reads standard input; otherwise the errors of open(2), and
 * -ENOMEM. */
int line_reader_open(struct line_reader *reader, const char *path);
void line_reader_close(struct line_reader *reader);

enum line_status line_reader_next(struct line_reader *reader);

/* For input that has no lines: text and text_bytes are what is buffered, at least bytes_min (of at
 * most 64 KiB), unless the input ends: LINE_READER_LINE, WAIT (there are fewer yet), FAILED, or
 * END: nothing is left. */
enum line_status line_reader_bytes(struct line_reader *reader, size_t bytes_min);
/* So many of these bytes are not needed any more. */
void line_reader_consume(struct line_reader *reader, size_t bytes);

/* Back to line 1; not for a stream. */
int line_reader_rewind(struct line_reader *reader);

#endif
