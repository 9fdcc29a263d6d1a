/*
 * bench_watch: CPU time and memory of the server's process, its core and the load generator.
 *
 * Owner    main.
 * Threads  Main's; it reads the kernel's figures for the others.
 * Units    Nanoseconds. A share is of the time between two samples; NAN: it was not measured.
 */
#ifndef RINGCAST_TOOLS_BENCH_WATCH_H
#define RINGCAST_TOOLS_BENCH_WATCH_H

#include "tools/common/proc_usage.h"
#include "tools/load/bench_thread.h"

/* Taken by main at the window's begin and at each interval's end. */
struct bench_sample {
    uint64_t at_ns;
    uint64_t frames; /* received so far, by readers */
    uint64_t bytes;
    bool has_server; /* The process of --pid was read; the others below likewise. */
    bool has_core;
    bool has_waits;
    bool has_steal;
    bool has_throttled;
    struct proc_usage server;
    struct core_usage core;
    uint64_t steal_ns; /* of the cores that the load generator may use */
    uint32_t core_count;
    uint64_t throttled_ns;
    uint64_t cpu_ns[BENCH_THREADS_MAX]; /* of the load generator's threads */
    uint64_t wait_ns[BENCH_THREADS_MAX];
};

/* Whether --pid and --cpu can be measured; if not, the reason is printed. */
bool bench_watch_check(const struct bench_options *options);

/* All but frames and bytes. */
void bench_watch_take(struct bench_sample *sample_out, const struct bench_options *options,
                      struct bench_thread *const *threads);

/* The same process was there at both. */
bool bench_watch_has_server(const struct bench_sample *begin, const struct bench_sample *end);
bool bench_watch_has_core(const struct bench_sample *begin, const struct bench_sample *end);

/* CPU time of the busiest thread of the load generator. */
double bench_watch_busy(const struct bench_sample *begin, const struct bench_sample *end);

/* The time for which the thread that waited most was ready to run and had no core. */
double bench_watch_waited(const struct bench_sample *begin, const struct bench_sample *end);

/* The time that hypervisors took from the load generator's cores. */
double bench_watch_stolen(const struct bench_sample *begin, const struct bench_sample *end);

/* The time for which limits of control groups stopped the load generator, sum of all cores. */
double bench_watch_throttled(const struct bench_sample *begin, const struct bench_sample *end);

#endif
