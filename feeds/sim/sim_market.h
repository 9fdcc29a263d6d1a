/*
 * sim_market: invented instruments whose ticks agree with one another.
 *
 * Each instrument walks at random, a cent at a time, within a tenth of its previous close. Its
 * ticks are consistent: a trade lies within the spread; high, low, volume and turnover of the
 * quotes and the bars are those of the trades; a book rebuilt from the depth ticks has ten levels a
 * side and is never crossed, not even between the levels of one tick.
 *
 * Owner    feed_sim. Threads: one at a time.
 * Memory   Allocated at creation; a tick's levels are borrowed until the next one is made.
 * Units    Prices have two decimals, sizes none. Times only decide which minute a bar is of.
 * Errors   create: 0 or -ENOMEM.
 */
#ifndef RINGCAST_FEEDS_SIM_MARKET_H
#define RINGCAST_FEEDS_SIM_MARKET_H

#include "codec/md.h"

#define SIM_MARKET_BOOK_LEVELS 10
#define SIM_MARKET_QUOTE_LEVELS 5
#define SIM_MARKET_SNAPSHOT_EVERY 1000 /* depth ticks of one instrument */

struct sim_market_options {
    uint32_t symbol_count;
    uint32_t types; /* Bit 1 << type of each enum md_type that will be asked for. */
    uint64_t seed;
    bool short_quotes; /* Only the last price and the best levels. */
};

struct sim_market;

int sim_market_create(struct sim_market **market_out, const struct sim_market_options *options);
void sim_market_destroy(struct sim_market *market);

/* The next tick of that type: everything but channel, pad_bytes and ts_recv_ns. */
void sim_market_tick(struct sim_market *market, uint32_t symbol_index, enum md_type type,
                     uint64_t ts_event_ns, struct md_update *update_out);

/* The quote of the longest text that sim_market_tick can make. */
void sim_market_longest_quote(struct sim_market *market, struct md_update *update_out);

#endif
