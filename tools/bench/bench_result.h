/*
 * bench_result: one run, from the first connect to the figures.
 *
 * Owner    main: bench_result_run fills it, bench_result_deinit frees what it holds.
 * Threads  main's.
 * Memory   The intervals, when a file of them is wanted; 36 KiB each.
 * Units    In the names.
 * Errors   0, or 1: the load could not start, and why is printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_RESULT_H
#define RINGCAST_TOOLS_BENCH_RESULT_H

#include "tools/bench/bench_thread.h"
#include "tools/common/proc_usage.h"

/* Taken by main at the window's begin and at each interval's end. */
struct bench_sample {
    uint64_t at_ns;
    uint64_t frames; /* received so far, by readers */
    uint64_t bytes;
    bool has_server; /* The process of --pid is there. */
    struct proc_usage server;
    struct core_usage core;
};

/* When a connection gets a tick among its thread's: 0 always first, 1 always last; on average over
 * the window. All near 0.5: the server favours nobody. */
struct bench_places {
    double min, max;
    double deviation; /* standard, over connections */
    uint32_t count;
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

int bench_result_run(struct bench_result *result, const struct bench_options *options);
void bench_result_deinit(struct bench_result *result);

/* SIGINT or SIGTERM has come since the program began. */
bool bench_result_is_interrupted(void);

/* Between the samples at its ends. */
double bench_result_seconds(const struct bench_result *result);

/* The end of the phase of connecting. */
double bench_result_connect_seconds(const struct bench_result *result);

#endif
