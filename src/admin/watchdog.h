/*
 * watchdog: notices a core, or the publisher, that makes no progress.
 *
 * Each of them counts its turns, and takes one every 100 ms even when there is nothing to do. main
 * looks at the counts. A thread whose count has not moved for the limit is stalled: the log names
 * it, and /livez and /readyz answer 503 until it goes on.
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

#define WATCHDOG_THREADS_MAX (COUNTERS_CORES_MAX + 1) /* and the publisher, which is the last */
#define WATCHDOG_NAME_BYTES_MAX 16

struct watchdog_options {
    const struct counters *counters;
    uint64_t limit_ns;  /* 0: no thread is ever called stalled */
    bool has_publisher; /* It has a thread of its own; otherwise core 0 runs it. */
};

struct watchdog_thread {
    uint64_t turns;              /* as seen */
    uint64_t still_ns;           /* since they moved */
    _Atomic uint64_t stalled_ns; /* the same when it is over the limit, otherwise 0 */
};

struct watchdog {
    struct watchdog_options options;
    uint32_t thread_count;
    _Atomic uint64_t looked_ns; /* 0: not yet */
    _Atomic uint64_t stall_count;
    struct watchdog_thread threads[WATCHDOG_THREADS_MAX];
};

void watchdog_init(struct watchdog *watchdog, const struct watchdog_options *options);

/* Whether every thread has taken a turn. */
bool watchdog_has_begun(const struct watchdog *watchdog);

/* Several times a second; now_ns: CLOCK_MONOTONIC. Logs which thread stalls, and which goes on. */
void watchdog_look(struct watchdog *watchdog, uint64_t now_ns);

/* "core-1" or "publisher", as the thread itself is named; "main" follows the last of them. */
void watchdog_name(const struct watchdog *watchdog, uint32_t thread,
                   char name_out[WATCHDOG_NAME_BYTES_MAX]);

/* How long a thread is stalled; 0: it is not. Of thread_count, main: since it last looked, when
 * that is over the limit. */
uint64_t watchdog_stalled_ns(const struct watchdog *watchdog, uint32_t thread, uint64_t now_ns);

bool watchdog_is_stalled(const struct watchdog *watchdog, uint64_t now_ns);

void watchdog_write_prometheus(const struct watchdog *watchdog, FILE *out, uint64_t now_ns);

#endif
