/*
 * bench_ticks: for each tick of the window, when the first and the last connection received it, how
 * many did, and whether all received the same bytes.
 *
 * Owner    A thread's channels, one struct bench_ticks each; merged by main after the join.
 * Threads  One at a time.
 * Memory   40 bytes a tick, growing by doubling; at most BENCH_TICKS_MAX a channel. Of further
 *          ticks only latencies are recorded.
 * Units    Nanoseconds of CLOCK_REALTIME.
 */
#ifndef RINGCAST_TOOLS_BENCH_TICKS_H
#define RINGCAST_TOOLS_BENCH_TICKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_TICKS_MAX (1u << 22)
#define BENCH_TICKS_BEFORE 64 /* At the start a connection may be this many ticks behind. */

struct bench_tick {
    uint64_t first_ns; /* 0: none has received it */
    uint64_t last_ns;
    uint64_t time_ns; /* in the tick */
    uint64_t hash;    /* of the bytes that the first one received */
    uint32_t count;
};

struct bench_ticks {
    uint64_t base_seq;
    uint32_t count;
    struct bench_tick *ticks;
};

/* A tick that a connection has received; NULL: there is none. */
static inline const struct bench_tick *bench_ticks_find(const struct bench_ticks *ticks,
                                                        uint64_t seq)
{
    uint64_t place = seq - ticks->base_seq; /* wraps before the base */
    return place < ticks->count && ticks->ticks[place].count > 0 ? &ticks->ticks[place] : NULL;
}

/* The tick's record; NULL: it has none. */
struct bench_tick *bench_ticks_at(struct bench_ticks *ticks, uint64_t seq);
void bench_ticks_deinit(struct bench_ticks *ticks);

/* A 64-bit hash of a tick's payload: against accidents, not against forgery. */
uint64_t bench_ticks_hash(const uint8_t *bytes, size_t count);

/* Merges the records of another thread; returns the number of ticks with other bytes. */
uint64_t bench_ticks_merge(struct bench_ticks *into, const struct bench_ticks *from);

#endif
