/*
 * core_waker: a ring for a thread that is not a core, from which it wakes cores and in which it
 * sleeps.
 *
 * Owner    The caller of open. Threads: one, from open on.
 * Memory   A small ring and its watched descriptors.
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_RING_CORE_WAKER_H
#define RINGCAST_RING_CORE_WAKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct core;
struct core_waker;
struct core_watch;

/* error_out: on failure, what forbids it and what to do. */
int core_waker_open(struct core_waker **waker_out, char *error_out, size_t error_bytes);
void core_waker_close(struct core_waker *waker);

/* As core_wake(); the core wakes at the next enter. */
bool core_waker_wake(struct core_waker *waker, struct core *core);

/* Waits for a watched descriptor, for at most timeout_ns (0: does not wait). */
void core_waker_enter(struct core_waker *waker, uint64_t timeout_ns);

struct core_watch *core_waker_watch(struct core_waker *waker);

#endif
