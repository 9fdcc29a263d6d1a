/*
 * send_costs: what sends by reference and copies cost on this machine, and what follows from it.
 *
 * Owner    The caller of send_costs_measure() has the table. What it opens is closed when it
 *          returns.
 * Threads  Any; before clients connect, since it takes the CPU for a moment.
 * Memory   A memfd of SEND_COSTS_BYTES_MAX, and two sockets, until it returns.
 * Units    Nanoseconds a send (CLOCK_MONOTONIC, medians), bytes.
 * Errors   0 or a negative errno: then the table is zeros, of which the threshold is never.
 * Source   docs/decisions/0044-long-sends-by-reference.md
 */
#ifndef RINGCAST_RING_SEND_COSTS_H
#define RINGCAST_RING_SEND_COSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"

#define SEND_COSTS_SIZES 4 /* 4, 8, 16 and 32 KiB */
#define SEND_COSTS_BYTES_MAX (32 * KIB)
/* A page that is sent by reference costs the writer a fresh one, for any number of connections that
 * share it. That is about what 16 sends save. */
#define SEND_COSTS_SHARERS_MIN 16

struct send_costs {
    uint64_t copy_ns[SEND_COSTS_SIZES];
    uint64_t reference_ns[SEND_COSTS_SIZES];
};

/* The stretch of each row of the table. */
static inline uint32_t send_costs_bytes(uint32_t size)
{
    return SEND_COSTS_BYTES_MAX >> (SEND_COSTS_SIZES - 1 - size);
}

/* The smallest size from which on each send by reference costs less than 0.8 of a copy, so that
 * noise does not choose it; 0: none does. */
uint32_t send_costs_threshold(const struct send_costs *costs);

/* Times send(2) and sendfile(2) on a pair of sockets, TCP on the loopback interface or Unix-domain:
 * 2 to 4 ms. -ETIME: it was not done within limit_ns (and 100 ms more, if bytes get lost).
 * -EOPNOTSUPP: this kernel may wait for the peer in it. */
int send_costs_measure(struct send_costs *costs_out, bool is_unix, uint64_t limit_ns);

#endif
