/*
 * log: levelled lines on standard error, as text or JSON.
 *
 * Threads  log_write and friends: any thread that may block (main, admin). log_post: cores and
 *          the publisher; it never blocks: the line goes through a bounded ring (one per
 *          producer) and is written by log_drain on the main thread. What does not fit is counted.
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

/* Whether lines of a level are written. Any thread. */
bool log_wants(enum log_level level);

/* A line at once. Threads: those that may block. */
void log_write(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line from a thread that must not block. producer: 0 is the publisher, 1 + k core k. */
void log_post(uint32_t producer, enum log_level level, const char *text);

/* Writes what was posted, oldest first; returns how many lines. The main thread calls it about
 * ten times a second: nothing wakes it, so that a post costs its producer no system call. */
uint32_t log_drain(void);

/* Lines that found their ring full, since log_open. Any thread. */
uint64_t log_lost_count(void);

#endif
