/*
 * log: levelled lines on standard error or in a file, as text or JSON; and beside it the access log
 * and the audit log, each in a file.
 *
 * No call waits for a file or standard error: threads write there (log_writer.h), and what they
 * cannot take is counted.
 *
 * Threads  log_write, log_audit, log_write_access: main, admin; they take a lock for a moment.
 *          log_post and its kind: cores and the publisher; they take none: the line goes through a
 *          bounded ring (one per producer), and log_drain on the main thread passes it on. The
 *          others: main.
 * Memory   Fixed rings made by log_open and log_open_file.
 */
#ifndef RINGCAST_SRC_LOG_H
#define RINGCAST_SRC_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "src/base/log_writer.h"

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
};

#define LOG_PRODUCERS_MAX 65 /* 64 cores and the publisher */
#define LOG_LINE_BYTES_MAX 512
#define LOG_POST_BYTES_MAX (LOG_LINE_BYTES_MAX - 12) /* longer ones are cut */

/* What a line is about: members of a line of JSON. NULL, "" or 0: nothing. */
struct log_fields {
    const char *client; /* its session, "0-12" */
    const char *name;   /* its token's */
    int code;           /* of a close */
};

int log_open(enum log_level level, bool json, uint32_t producer_count);
/* What a sink has goes to this file from now on, in place of standard error. Before the producers
 * start. A negative errno: the file cannot be opened, or there is no memory. */
int log_open_file(enum log_sink sink, const char *path);
/* Opens all files again, as they may have been renamed; no line is lost. A file that cannot be
 * opened stays what it is, and the log says so. */
void log_reopen(void);
/* The start is over. Until then lines of ERROR and above are on standard error, too. */
void log_end_start(void);
void log_close(void);

/* The least level that is written; it may change at any time. Any thread. */
void log_set_level(enum log_level level);
enum log_level log_level(void);
const char *log_level_name(enum log_level level); /* "INFO" */

/* Whether lines of a level are written. Any thread. */
bool log_wants(enum log_level level);

/* A line at once. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line from a thread that must not block. producer: 0 is the publisher, 1 + k core k. Lines below
 * WARNING fill its ring up to half: no crowd of them costs a warning or an error. */
void log_post(uint32_t producer, enum log_level level, const char *text);
void log_post_fields(uint32_t producer, enum log_level level, const struct log_fields *fields,
                     const char *text);

/* A line of the audit log: "audit: WORD text". word: GRANTED, or FAILED, DENIED, BLOCKED, KICKED,
 * which are warnings. Where it has a file it goes there whatever the level is. */
void log_audit(const char *word, const char *format, ...) __attribute__((format(printf, 2, 3)));
void log_post_audit(uint32_t producer, const char *word, const struct log_fields *fields,
                    const char *text);

/* Whether there is an access log. Any thread. */
bool log_has_access(void);
bool log_is_json(void);
/* A line of it as it is to be, fewer than LOG_POST_BYTES_MAX bytes. */
void log_write_access(const char *line);
void log_post_access(uint32_t producer, const char *line);

/* Hands on what was posted, oldest first; returns how many lines. The main thread calls it about
 * ten times a second, and more often while many come: nothing wakes it, so that a post costs its
 * producer no system call. */
uint32_t log_drain(void);

/* Waits until all lines are written; where a file or standard error takes none, at most half a
 * second. log_close does so too. */
void log_flush(void);

/* Lines for people, to standard output or error. Before log_open it waits like log_flush. */
void log_say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines of all logs that found no room, or that a file or standard error refused. Any thread. */
uint64_t log_lost_count(void);

#endif
