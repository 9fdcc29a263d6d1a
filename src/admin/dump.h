/*
 * dump: a directory with what the running server knows of itself, for whoever looks for a fault
 * later: DIR/ringcast-dump-PID-TIME, readable by its user only. It has no secrets.
 *
 * Owner    main creates it before the admin server, and destroys it after that.
 * Threads  dump_wait: any. The others: main. A thread of its own writes each dump, so that a slow
 *          disk keeps nobody waiting.
 * Memory   Some KiB, and a page of metrics while it writes.
 * Errors   Negative errno; the log says how each dump ended.
 */
#ifndef RINGCAST_SRC_DUMP_H
#define RINGCAST_SRC_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "src/admin/metrics.h"
#include "src/config/options.h"

#define DUMP_FILES_MAX 16
#define DUMP_PATH_BYTES_MAX 4200
#define DUMP_PAUSE_SECONDS 10 /* from the beginning of one to that of the next */

struct dump;

struct dump_options {
    const struct options *options; /* main's; a reload changes them */
    const char *counters_path;
};

struct dump_result {
    bool is_done;
    int error;                      /* 0, or why it failed: then there is no directory */
    char path[DUMP_PATH_BYTES_MAX]; /* of the directory */
    const char *failed;             /* the file that could not be written; "": the directory */
    const char *files[DUMP_FILES_MAX];
    uint32_t file_count;
};

int dump_create(struct dump **dump_out, const struct dump_options *options);
/* Waits for a dump that is being written. NULL: nothing to do. */
void dump_destroy(struct dump *dump);

/* Begins one. -EBUSY: one is being written. -EAGAIN: the last one began less than
 * DUMP_PAUSE_SECONDS ago. Others: the thread cannot start. */
int dump_begin(struct dump *dump, struct metrics *metrics);
/* Waits for the newest one, until the clock (CLOCK_MONOTONIC) is at until_ns at most. */
void dump_wait(struct dump *dump, uint64_t until_ns, struct dump_result *result_out);

/* Why dump_begin refuses, for people. */
const char *dump_error_text(int error);

#endif
