/*
 * log: levelled lines on standard error, as text or JSON.
 *
 * No call waits for standard error: a thread writes there (log_writer.h), and what it cannot take
 * is counted.
 *
 * Threads  log_write: main, admin; it takes a lock for a moment. log_post: cores and the publisher;
 *          it takes none: the line goes through a bounded ring (one per producer), and log_drain on
 *          the main thread passes it on. The others: main.
 * Memory   Fixed rings made by log_open.
 */
#ifndef RINGCAST_SRC_LOG_H
#define RINGCAST_SRC_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level {
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_INFO,
    LOG_LEVEL_WARNING,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_CRITICAL,
};

#define LOG_PRODUCERS_MAX 65 /* 64 cores and the publisher */
#define LOG_LINE_BYTES_MAX 512

int log_open(enum log_level level, bool json, uint32_t producer_count);
void log_close(void);

/* From now on lines below this level are not written. Any thread. */
void log_set_level(enum log_level level);
/* Whether lines of a level are written. Any thread. */
bool log_wants(enum log_level level);

/* A line at once. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line from a thread that must not block. producer: 0 is the publisher, 1 + k core k. Lines below
 * WARNING fill its ring up to half: no crowd of them costs a warning or an error. */
void log_post(uint32_t producer, enum log_level level, const char *text);

/* Hands on what was posted, oldest first; returns how many lines. The main thread calls it about
 * ten times a second: nothing wakes it, so that a post costs its producer no system call. */
uint32_t log_drain(void);

/* Waits until all lines are written; where standard error takes none, at most half a second.
 * log_close does so too. */
void log_flush(void);

/* Lines for people, to standard output or error. Before log_open it waits like log_flush. */
void log_say(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Lines that found no room, or that standard error refused. Any thread. */
uint64_t log_lost_count(void);

#endif
