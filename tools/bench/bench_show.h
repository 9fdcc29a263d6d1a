/*
 * bench_show: shows the progress of a run on standard error: a first line at once, then, on a
 * terminal, a line that is rewritten every second.
 *
 * Owner    bench_run, for one run.
 * Threads  Main's; the other threads answer its questions (bench_thread.h).
 * Memory   The struct.
 */
#ifndef RINGCAST_TOOLS_BENCH_SHOW_H
#define RINGCAST_TOOLS_BENCH_SHOW_H

#include "tools/load/bench_thread.h"

struct bench_show {
    const struct bench_options *options;
    struct bench_control *control;
    struct bench_thread *const *threads;
    bool is_on; /* --quiet is not given, and standard error is a terminal */
    bool is_drawn;
    uint32_t round;     /* of questions to the threads */
    uint64_t next_ns;   /* when the next line is due; UINT64_MAX: never */
    uint64_t before_ns; /* when the last one was */
    uint64_t frames_before;
};

/* Prints the first line. */
void bench_show_begin(struct bench_show *show, const struct bench_options *options,
                      struct bench_control *control, struct bench_thread *const *threads);

/* Draws the line again, if it is time. */
void bench_show_update(struct bench_show *show, uint64_t now_ns);

/* Removes it, so that something else can be printed. */
void bench_show_clear(struct bench_show *show);

#endif
