/*
 * watchdog: notices a core, the publisher or main that makes no progress.
 *
 * Each thread has a record in the counters' file: its name, and its progress word, which moves
 * every 100 ms even when there is nothing to do. main reads the words. A thread whose word has
 * not moved for the limit is stalled: the log names it, and /livez and /readyz answer 503 until it
 * goes on. Threads that rest while they have no work are not watched.
 *
 * Owner    main, which inits it when the counters are there.
 * Threads  watchdog_look: main. All others: any.
 * Memory   The caller's.
 * Units    In the names. Time that main itself did not see (a suspended machine, a stopped process)
 *          counts as a short step, so that no thread is called stalled that could not run.
 */
#ifndef RINGCAST_SRC_WATCHDOG_H
#define RINGCAST_SRC_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "ring/board/counters.h"

struct watchdog_options {
    const struct counters *counters;
    _Atomic uint64_t limit_ns; /* main may change it; 0: no thread is ever called stalled */
};

struct watchdog_thread {
    uint64_t progress;           /* as seen */
    uint64_t still_ns;           /* since it moved */
    _Atomic uint64_t stalled_ns; /* the same when it is over the limit, otherwise 0 */
};

struct watchdog {
    struct watchdog_options options;
    /* When main looked last; 0: not yet. main cannot see itself stand still: others go by this. */
    _Atomic uint64_t looked_ns;
    _Atomic uint64_t stall_count;
    struct watchdog_thread threads[COUNTERS_THREADS_MAX]; /* as the counters' file has them */
};

void watchdog_init(struct watchdog *watchdog, const struct watchdog_options *options);

/* Whether every thread has taken a turn. */
bool watchdog_has_begun(const struct watchdog *watchdog);

/* Several times a second; now_ns: CLOCK_MONOTONIC. Logs which thread stalls, and which goes on. */
void watchdog_look(struct watchdog *watchdog, uint64_t now_ns);

/* How long a thread (counters_threads_get) is stalled; 0: it is not. */
uint64_t watchdog_stalled_ns(const struct watchdog *watchdog, uint32_t thread, uint64_t now_ns);
uint64_t watchdog_main_stalled_ns(const struct watchdog *watchdog, uint64_t now_ns);

bool watchdog_is_stalled(const struct watchdog *watchdog, uint64_t now_ns);

void watchdog_write_prometheus(const struct watchdog *watchdog, FILE *out, uint64_t now_ns);

#endif
