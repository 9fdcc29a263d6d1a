/*
 * rate_limit: how often a client or an address may do something, and how many it may hold.
 *
 * Owner    main creates a table. Each policy that uses it holds it; the last one frees it, after
 *          the cores.
 * Threads  A bucket: one. A table: all cores, without a lock.
 * Memory   A bucket is one number. A table has RATE_TABLE_ENTRIES of 24 bytes (1.5 MiB), touched
 *          as addresses appear, and never grows.
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 *
 * A token bucket kept as the time at which it will be full again (the generic cell rate
 * algorithm): no counter runs over, and forgetting a full bucket forgets nothing.
 *
 * An address counts by its network: an IPv4 address, or the /64 of an IPv6 address, which is what
 * one customer has. A keyed hash decides where an address lies in the table. Only an entry that
 * holds nothing and whose bucket is full gives way to another address, so that no flood of
 * addresses frees one from its limit. An address that finds no entry in its set of 16 shares the
 * set's last one with all such addresses.
 */
#ifndef RINGCAST_SRC_RATE_LIMIT_H
#define RINGCAST_SRC_RATE_LIMIT_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/base/keyed_hash.h"
#include "codec/ip_address.h"

#define RATE_TABLE_ENTRIES 65536
#define RATE_NONE UINT32_MAX

struct rate {
    uint64_t interval_ns; /* between two, in the long run; 0: no limit */
    uint32_t burst;       /* at once, after a pause */
};

/* So many a second, twice as many at once. */
struct rate rate_per_second(uint32_t count);

/* 0: taken. Otherwise nothing is, and it is the time to wait. *full_ns: 0 at first. */
uint64_t rate_take(const struct rate *rate, uint64_t *full_ns, uint64_t now_ns);

struct rate_table;

int rate_table_create(struct rate_table **table_out, const struct keyed_hash *hash);
/* One owner more: it is destroyed as often as it was created and shared. */
struct rate_table *rate_table_share(struct rate_table *table);
void rate_table_destroy(struct rate_table *table);

struct rate_limits {
    struct rate rate;
    uint32_t held_max; /* UINT32_MAX: no limit */
};

enum rate_verdict {
    RATE_OK,
    RATE_TOO_FAST,
    RATE_TOO_MANY,
};

/* Takes one from the address's bucket, and one of what it may hold until rate_table_release.
 * *entry_out: what to release; *wait_ns_out: when RATE_TOO_FAST. */
enum rate_verdict rate_table_take(struct rate_table *table, const struct ip_address *address,
                                  const struct rate_limits *limits, uint64_t now_ns,
                                  uint32_t *entry_out, uint64_t *wait_ns_out);
/* Counts one that the address holds already, whatever its limits. Returns what to release. */
uint32_t rate_table_hold(struct rate_table *table, const struct ip_address *address,
                         uint64_t now_ns);
/* Takes count more from the bucket of an entry that is held, whether it has them or not. */
void rate_table_charge(struct rate_table *table, uint32_t entry, const struct rate *rate,
                       uint32_t count, uint64_t now_ns);
/* entry: RATE_NONE is nothing. */
void rate_table_release(struct rate_table *table, uint32_t entry);

#endif
