/*
 * replay_file: a recording of any format as a sequence of timed items.
 *
 *   captures  lines "<seconds>: <JSON>" as recorded from a venue's WebSocket; the time of an item
 *             is when the line was recorded; connection lines and sent messages carry no data
 *   csv       rows of csv_ticks.h; the time of an item is the tick's
 *
 * Owner    feed_replay. Threads: one at a time.
 * Memory   Allocated at open; jansson allocates while a line is decoded.
 * Errors   open: a negative errno with a message that says what to do. Bad lines are a status.
 */
#ifndef RINGCAST_FEEDS_REPLAY_FILE_H
#define RINGCAST_FEEDS_REPLAY_FILE_H

#include "feeds/feed.h"

struct replay_file_options {
    const char *path;   /* "-": standard input */
    const char *name;   /* for messages; borrowed until close */
    const char *format; /* "auto", "coinbase", "binance", "csv" */
    const char *suffix; /* after the last dot of every symbol; NULL: as it is */
    const struct feed_sink *sink;
    struct feed_counters *counters; /* ticks, skipped, malformed and holes are counted here. */
};

enum replay_file_status {
    REPLAY_FILE_READY,     /* An item: its time is known; deliver it when that has come. */
    REPLAY_FILE_TICK,      /* It has been delivered. */
    REPLAY_FILE_NOTHING,   /* A line, or the item just delivered, was not a tick. */
    REPLAY_FILE_AGAIN,     /* In the middle of a line that is too long: call again soon. */
    REPLAY_FILE_WAIT,      /* Nothing is here yet: call again, of a stream when it is readable. */
    REPLAY_FILE_MALFORMED, /* See replay_file_fault. */
    REPLAY_FILE_END,
    REPLAY_FILE_FAILED, /* The file cannot be read: see replay_file_error. */
};

struct replay_file;

/* Finds out the format and refuses a file without a good line among its first 100. A stream is not
 * read yet: its first line will show the format, or end the feed. */
int replay_file_open(struct replay_file **file_out, const struct replay_file_options *options,
                     char error_out[FEED_ERROR_BYTES_MAX]);
void replay_file_close(struct replay_file *file);

/* Reads one more line. After REPLAY_FILE_READY: *ts_ns_out is the item's time. */
enum replay_file_status replay_file_next(struct replay_file *file, uint64_t *ts_ns_out);

/* Decodes the item that is ready and hands it to the sink: TICK, NOTHING or MALFORMED. */
enum replay_file_status replay_file_deliver(struct replay_file *file, uint64_t ts_recv_ns);

/* Back to the first line (not for a stream); sequences of the venue begin anew. */
int replay_file_rewind(struct replay_file *file);

size_t replay_file_line_bytes(const struct replay_file *file); /* of the line just read */
uint64_t replay_file_line_number(const struct replay_file *file);
const char *replay_file_fault(const struct replay_file *file); /* a constant sentence */
const char *replay_file_error(const struct replay_file *file); /* for the operator */

/* The descriptor of a stream, to wait for; -1: a regular file. */
int replay_file_stream(const struct replay_file *file);

/* "9923 ticks (9719 l2update, ..), 13 skipped (10 last_match, ..), 0 malformed, 0 holes" */
void replay_file_summary(const struct replay_file *file, char *text, size_t text_bytes);

#endif
