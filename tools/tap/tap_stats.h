/*
 * tap_stats: rates and latencies of what arrives: a line a second, and a table at the end.
 *
 * Latency is from `ts_event` and from `ts_pub` of a tick to its receipt, by the clock of this host.
 * A tick that was published before the subscription was answered counts only in the rates: it is
 * from the past, by snapshot, replay or resume.
 *
 * Owner    main. Threads: one.
 * Memory   Four histograms; about 250 bytes for each symbol, of at most TAP_STATS_SYMBOLS_MAX.
 * Units    *_ns: nanoseconds; monotonic_ns of CLOCK_MONOTONIC, the others since the Unix epoch.
 */
#ifndef RINGCAST_TOOLS_TAP_STATS_H
#define RINGCAST_TOOLS_TAP_STATS_H

#include <stdint.h>
#include <stdio.h>

#include "tools/common/control_reply.h"
#include "tools/tap/tap_tick.h"

#define TAP_STATS_SYMBOLS_MAX 65536 /* Further ones are counted together. */
#define TAP_STATS_ROWS_MAX 20       /* of the table at the end */

struct tap_stats;

/* NULL: no memory. */
struct tap_stats *tap_stats_create(FILE *out, uint64_t monotonic_ns);
void tap_stats_destroy(struct tap_stats *stats);

/* received_ns: the time of this host. */
void tap_stats_on_tick(struct tap_stats *stats, const struct tap_tick *tick, uint64_t received_ns);

/* Learns of GAPs, and since when ticks are live. */
void tap_stats_on_control(struct tap_stats *stats, const struct control_reply *reply);

/* Prints a line if a second has passed. */
void tap_stats_on_pass(struct tap_stats *stats, uint64_t monotonic_ns);

/* Prints the totals and the table. */
void tap_stats_on_end(struct tap_stats *stats, uint64_t monotonic_ns);

#endif
