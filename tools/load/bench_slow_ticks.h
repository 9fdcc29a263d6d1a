/*
 * bench_slow_ticks: the slowest ticks of the window, each with its latest receipt.
 *
 * Owner    A thread; main merges them after the join.
 * Threads  One at a time.
 * Memory   The struct.
 * Units    CLOCK_REALTIME nanoseconds.
 */
#ifndef RINGCAST_TOOLS_BENCH_SLOW_TICKS_H
#define RINGCAST_TOOLS_BENCH_SLOW_TICKS_H

#include <stdint.h>

#define BENCH_SLOW_TICKS_MAX 100
#define BENCH_SLOW_SYMBOL_BYTES_MAX 32

struct bench_slow_tick {
    uint64_t latency_ns;
    uint64_t time_ns; /* in the tick */
    uint64_t channel;
    uint64_t seq;
    uint32_t conn_index; /* over all threads */
    uint16_t port;       /* of the connection; 0: it is not known */
    uint8_t symbol_bytes;
    char symbol[BENCH_SLOW_SYMBOL_BYTES_MAX]; /* its beginning; not terminated */
};

struct bench_slow_ticks {
    uint64_t above_ns; /* A tick that is not slower is none of them. */
    uint32_t count;
    uint32_t count_max;
    struct bench_slow_tick list[BENCH_SLOW_TICKS_MAX];
};

/* count_max: how many are wanted. */
void bench_slow_ticks_begin(struct bench_slow_ticks *slow, uint32_t count_max);

/* Adds a receipt. Of one tick (channel, seq and time) only the latest one is kept. */
void bench_slow_ticks_add(struct bench_slow_ticks *slow, const struct bench_slow_tick *tick);

/* The slowest first. */
void bench_slow_ticks_sort(struct bench_slow_ticks *slow);

#endif
