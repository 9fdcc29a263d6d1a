/*
 * publisher_wait: how the publisher wakes cores, how its thread sleeps, and the descriptors of
 * feeds that end its sleep, or that of the core that runs it.
 *
 * Owner    The publisher embeds one. Threads: the publisher's.
 * Memory   A ring of its own, opened when it is first needed.
 * Units    Times are CLOCK_MONOTONIC nanoseconds.
 * Errors   0 or a negative errno; the reason is logged.
 */
#ifndef RINGCAST_SRC_PUBLISHER_WAIT_H
#define RINGCAST_SRC_PUBLISHER_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "ring/core/core.h"
#include "ring/core/core_waker.h"
#include "ring/core/core_watch.h"

struct publisher_wait {
    /* Set before the first poll, then constant. */
    struct core *cores[COUNTERS_CORES_MAX];
    uint32_t core_count;
    bool is_inline; /* Core 0 runs the publisher, and needs no wake-up. */

    struct core_waker *waker; /* NULL: not opened yet */
    bool has_failed;
};

int publisher_wait_open(struct publisher_wait *wait);
void publisher_wait_close(struct publisher_wait *wait); /* also if it was never opened */

/* Wakes the cores that sleep, and returns how many those were. */
uint32_t publisher_wait_wake_cores(struct publisher_wait *wait);

/* Sleeps until due_ns or until a descriptor is readable, but no longer than a tenth of a second. It
 * must be open. */
void publisher_wait_until(struct publisher_wait *wait, uint64_t due_ns);

/* What watches descriptors for the ring that the publisher sleeps in. */
struct core_watch *publisher_wait_watch(struct publisher_wait *wait);

#endif
