/*
 * bench_report: the figures of a run, for people or for programs.
 *
 * Owner    main fills struct bench_result after the threads have been joined.
 * Units    In the names.
 */
#ifndef RINGCAST_TOOLS_BENCH_REPORT_H
#define RINGCAST_TOOLS_BENCH_REPORT_H

#include "tools/bench_thread.h"
#include "tools/proc_usage.h"

/* Taken by main at the window's begin and at its end. */
struct bench_sample {
    uint64_t at_ns;
    uint64_t frames; /* received so far, by readers */
    uint64_t bytes;
    struct proc_usage server;
    struct core_usage core;
};

struct bench_result {
    const struct bench_options *options;
    struct bench_sample begin, end;
    struct bench_totals totals; /* of all threads */
    struct histogram latency;
    struct histogram connect_time;
    uint32_t subscribed; /* connections that got SUBSCRIBED */
    uint32_t readers;    /* of them: not stalled */
    uint32_t channel_count;
    uint64_t published_frames; /* in the window, by the seqs that were seen */
    uint64_t due_frames;       /* published_frames x readers */
    int exit_code;
};

/* Adds up what the threads have; sets exit_code. */
void bench_report_collect(struct bench_result *result, struct bench_thread *const *threads,
                          uint32_t thread_count);

void bench_report_text(const struct bench_result *result);
void bench_report_json(const struct bench_result *result);

#endif
