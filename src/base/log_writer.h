/*
 * log_writer: text on its way to a file, or to standard error or output, which may not take it.
 *
 * A thread of its own writes for each sink. It may wait for a pipe without a reader or a stopped
 * terminal; no other thread and no other sink waits for it (docs/decisions/0014, 0074).
 *
 * Owner    log.
 * Threads  put, has_room, lost_count, error, read_times: any; open, set_file, show, flush,
 *          close: one.
 * Memory   One fixed ring for each sink.
 */
#ifndef RINGCAST_SRC_LOG_WRITER_H
#define RINGCAST_SRC_LOG_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOG_WRITER_TEXT_BYTES_MAX 4096 /* one put; a pipe takes so much as a whole */
#define LOG_WRITER_FILE (-1)           /* in place of a descriptor: the file of the sink */

enum log_sink {
    LOG_SINK_LOG, /* and texts for people */
    LOG_SINK_ACCESS,
    LOG_SINK_AUDIT,
    LOG_SINK_COUNT,
};

/* Starts the thread; nothing to do if it runs. 0 or a negative errno. */
int log_writer_open(enum log_sink sink);

/* The file from now on: what waits goes there, too. It takes over fd, and closes the one before it
 * between two texts. */
void log_writer_set_file(enum log_sink sink, int fd);

/* false: it finds no room, and is counted. While the thread does not run, the caller writes, and
 * may wait. */
bool log_writer_put(enum log_sink sink, int fd, const char *text, size_t text_bytes);

/* Whether half of the room is left: what can wait does, so that what cannot finds some. */
bool log_writer_has_room(enum log_sink sink);

/* Waits until all is written, or the clock (CLOCK_MONOTONIC) is at until_ns; up to 5 s more while
 * the descriptor takes bytes and only the thread is late. Returns whether all is written. */
bool log_writer_flush(enum log_sink sink, uint64_t until_ns);

/* Where the thread of LOG_SINK_LOG stores its tid and counts its turns: one each time it wakes or
 * has written a text. NULL: nowhere (any more). */
void log_writer_show(_Atomic uint32_t *tid, _Atomic uint64_t *turns);

/* Ends the thread if all has been written; otherwise leaves it to the end of the process. */
void log_writer_close(enum log_sink sink);

/* Texts that found no room or could not be written, and the newest error of those: 0, or errno. */
uint64_t log_writer_lost_count(enum log_sink sink);
int log_writer_error(enum log_sink sink);

/* What the thread has written, and how long it took. A write that still waits is not part of it. */
struct log_writer_times {
    uint64_t write_count;
    uint64_t write_ns;
};
void log_writer_read_times(enum log_sink sink, struct log_writer_times *times_out);

#endif
