/*
 * log_recent: the last lines of the log, for a dump.
 *
 * Threads  Any but cores and the publisher: it takes a lock for a moment.
 * Memory   Fixed; touched as lines come.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_SRC_LOG_RECENT_H
#define RINGCAST_SRC_LOG_RECENT_H

#include <stddef.h>

#define LOG_RECENT_LINES 500
#define LOG_RECENT_LINE_BYTES_MAX 640 /* longer ones are cut */

/* A line with its end. */
void log_recent_put(const char *line, size_t line_bytes);

/* Writes them to a file, oldest first. */
int log_recent_write(int fd);

#endif
