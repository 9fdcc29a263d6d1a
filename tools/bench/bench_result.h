/*
 * bench_result: the figures of a run, added up from those of its threads, and the verdict.
 *
 * Owner    main: bench_run fills it, bench_result_deinit frees what it holds.
 * Threads  main's, after the threads have ended.
 * Memory   The intervals, when a file of them is wanted; 36 KiB each.
 * Units    In the names.
 */
#ifndef RINGCAST_TOOLS_BENCH_RESULT_H
#define RINGCAST_TOOLS_BENCH_RESULT_H

#include "tools/common/proc_usage.h"
#include "tools/load/bench_places.h"
#include "tools/load/bench_thread.h"

/* Taken by main at the window's begin and at each interval's end. */
struct bench_sample {
    uint64_t at_ns;
    uint64_t frames; /* received so far, by readers */
    uint64_t bytes;
    bool has_server; /* The process of --pid is there. */
    struct proc_usage server;
    struct core_usage core;
};

struct bench_result {
    const struct bench_options *options;
    struct bench_sample connect_begin, connect_end;
    struct bench_sample begin, end;
    struct bench_totals totals; /* of all threads */
    struct histogram latency;
    struct histogram connect_time;
    struct histogram phases[BENCH_PHASES];
    struct histogram spread; /* from the first to the last receipt of each tick */
    struct bench_places places;
    struct bench_interval *intervals;
    struct bench_sample *interval_ends;
    uint32_t interval_count;
    uint64_t interval_ns;
    uint64_t window_start_ns;
    uint64_t window_ns;  /* 0: there was none */
    uint32_t subscribed; /* connections that came to be subscribed: readers, stalled, slow */
    uint32_t unfinished; /* readers that got nothing from after the window */
    uint32_t channel_count;
    uint64_t published_frames; /* in the window, by the seqs that were seen */
    uint64_t due_frames;       /* published to each reader that subscribed to them */
    double load_busy;          /* share of a core, of the busiest thread of the load */
    bool interrupted;
    int exit_code;
};

/* Adds up what the threads have counted, and judges. */
void bench_result_collect(struct bench_result *result, const struct bench_load *load,
                          struct bench_thread *const *threads);
void bench_result_deinit(struct bench_result *result);

/* How many connections have to be subscribed before the window: all others come and go. */
uint32_t bench_result_awaited(const struct bench_options *options);

/* Between the samples at its ends. */
double bench_result_seconds(const struct bench_result *result);

/* The end of the phase of connecting. */
double bench_result_connect_seconds(const struct bench_result *result);

#endif
