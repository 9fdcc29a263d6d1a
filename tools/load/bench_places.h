/*
 * bench_places: the order in which readers receive each tick, over the connections of all threads.
 *
 * Each thread notes its receipts: which tick, when, which connection. Afterwards main sorts the
 * receipts of all threads by time. Two receipts of different threads may appear in the wrong order
 * if they are closer together than the delay with which the threads read them.
 *
 * Owner    A thread; main reads it after the join.
 * Threads  One at a time: threads share nothing while they run.
 * Memory   16 bytes a receipt, growing by doubling, up to the share of a thread in
 *          BENCH_RECEIPTS_MAX. Then every second tick is forgotten, by a hash of its channel and
 *          number, so that all threads keep the same ticks.
 * Units    Nanoseconds of CLOCK_REALTIME. A place is 0 for the first reader and 1 for the last.
 * Errors   -ENOMEM
 */
#ifndef RINGCAST_TOOLS_BENCH_PLACES_H
#define RINGCAST_TOOLS_BENCH_PLACES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_RECEIPTS_MAX (1u << 22) /* of all threads together */
#define BENCH_RECEIPT_CONNECTION_BITS 20

struct bench_receipt {
    uint64_t tick; /* a hash of its channel and number */
    uint64_t at;   /* nanoseconds, whose upper bits are lost, and the number of the connection */
};

struct bench_receipts {
    struct bench_receipt *receipts; /* in order of time */
    size_t count, capacity;
    size_t count_max;
    uint64_t forget_mask; /* Ticks whose hash has one of these bits are forgotten. */
};

/* The mean place of each connection, and how these means differ. */
struct bench_places {
    double min, max;
    double deviation; /* standard, over connections */
    double chance;    /* the deviation if the order of each tick were random */
    uint32_t connections;
    uint32_t ticks; /* that at least two readers received */
};

void bench_places_note(struct bench_receipts *receipts, uint64_t channel, uint64_t seq,
                       uint64_t at_ns, uint32_t connection);
void bench_places_forget(struct bench_receipts *receipts);

/* is_counted: by connection. Connections that do not count take places, but have no mean. */
int bench_places_find(struct bench_places *places_out, const struct bench_receipts *const *threads,
                      uint32_t thread_count, const bool *is_counted, uint32_t connection_count);

#endif
