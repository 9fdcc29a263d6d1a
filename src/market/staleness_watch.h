/*
 * staleness_watch: which markets are open, and lines of the log about stale symbols.
 *
 * Threads  main's, once a second.
 * Units    now_ns is CLOCK_MONOTONIC, wall_s CLOCK_REALTIME.
 */
#ifndef RINGCAST_SRC_STALENESS_WATCH_H
#define RINGCAST_SRC_STALENESS_WATCH_H

#include <stdint.h>

struct staleness;

/* A line when symbols become stale, again when there are twice as many, and when none is stale any
 * more; at most one a minute. */
void staleness_watch(struct staleness *staleness, uint64_t now_ns, int64_t wall_s);

#endif
