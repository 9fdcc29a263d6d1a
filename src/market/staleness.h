/*
 * staleness: when each symbol had its last tick, and whether it is stale.
 *
 * A symbol is stale while its market is open and it has had no tick for as long as after_ns, or the
 * source of one of its channels is gone (silent) and no tick has come since. Ticks of the type
 * status do not count: there may be none for days. A symbol counts from the moment at which a feed
 * names a channel of it, with or without a tick.
 *
 * Whether a symbol is stale is not stored but computed from its last tick: a reader sees a tick at
 * once, and the publisher does no more than one store for it.
 *
 * Owner    src creates it after the channels and destroys it before them.
 * Threads  on_channel, on_tick, on_silence: the publisher's. staleness_watch.h: main's. The others:
 *          any, without a lock.
 * Memory   13 bytes for each channel, touched as channels appear.
 * Units    now_ns is CLOCK_MONOTONIC: the wall clock may be set. CLOCK_REALTIME decides which
 *          markets are open.
 * Source   docs/feeds/stale.md
 */
#ifndef RINGCAST_SRC_STALENESS_H
#define RINGCAST_SRC_STALENESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/check.h"
#include "src/market/channels.h"

#define STALENESS_FEEDS_MAX 16

/* A symbol's last tick, in one word: the time, of which the 65 us of the low bits are left out; the
 * feed that it came from; flags. 0: there is no such symbol. */
#define STALENESS_TIME_MASK (~UINT64_C(0xffff))
#define STALENESS_FEED_SHIFT 8
#define STALENESS_KNOWN 1u
#define STALENESS_SILENT 2u

struct market_hours;

struct staleness_options {
    const struct channels *channels;
    const char *market_hours_path; /* NULL: all markets are always open */
    _Atomic uint64_t after_ns;     /* main may change it; 0: symbols are stale by silence only */
};

struct staleness {
    struct staleness_options options;
    struct market_hours *hours; /* NULL: none */
    _Atomic bool has_silence;   /* A source of some symbol was gone once. */
    _Atomic uint64_t *ticks;    /* by symbol, which is the channel that was its first */
    _Atomic uint32_t *firsts;   /* by channel: 1 + its symbol; 0: it has none */
    uint8_t *markets;           /* by symbol: 1 + its market; 0: it has none */

    /* Written by main: when main saw each market open; 0: it is closed. The first one is that of
     * symbols without a market. */
    _Atomic uint64_t *opened_ns;

    /* main's own. */
    uint32_t logged_count; /* stale symbols at the last line of the log */
    uint64_t logged_ns;    /* of that line */
};

/* A negative errno with error_out, which names the file of market hours and the line. Markets are
 * closed until the first staleness_watch(). */
int staleness_create(struct staleness **staleness_out, const struct staleness_options *options,
                     char *error_out, size_t error_bytes);
/* main: symbols are stale after this long without a tick; 0: by silence only. */
void staleness_set_after(struct staleness *staleness, uint64_t after_ns);
void staleness_destroy(struct staleness *staleness);

/* A feed names a channel; most are known. */
void staleness_on_channel(struct staleness *staleness, uint32_t channel, uint32_t feed,
                          uint64_t now_ns);
/* feed: 0 to STALENESS_FEEDS_MAX - 1. */
static inline void staleness_on_tick(struct staleness *staleness, uint32_t channel, uint32_t feed,
                                     uint64_t now_ns)
{
    assert_always(channel < CHANNELS_MAX);
    uint32_t first = atomic_load_explicit(&staleness->firsts[channel], memory_order_relaxed);
    if (__builtin_expect(first != 0, 1)) {
        atomic_store_explicit(&staleness->ticks[first - 1],
                              (now_ns & STALENESS_TIME_MASK) | feed << STALENESS_FEED_SHIFT |
                                  STALENESS_KNOWN,
                              memory_order_relaxed);
    }
}
/* The source of the channel is gone. */
void staleness_on_silence(struct staleness *staleness, uint32_t channel);

/* Whether any symbol can be stale: with no option and no silence, none can. */
static inline bool staleness_is_possible(const struct staleness *staleness)
{
    return staleness->options.after_ns != 0 ||
           atomic_load_explicit(&staleness->has_silence, memory_order_relaxed);
}
/* The symbol of a channel, or of what is derived from one; CHANNEL_NONE: it has no ticks but of the
 * type status. */
uint32_t staleness_symbol(const struct staleness *staleness, uint32_t channel);
/* symbol: of staleness_symbol(). */
bool staleness_is_stale(const struct staleness *staleness, uint32_t symbol, uint64_t now_ns);

struct staleness_counts {
    uint32_t symbols;
    uint32_t open; /* whose market is open */
    uint32_t stale;
    uint32_t stale_by_feed[STALENESS_FEEDS_MAX]; /* that sent the last tick */
};
/* Reads all symbols: less than 0.2 ms for 65 536 of them. first_out: numbers of some that are
 * stale. */
void staleness_count(const struct staleness *staleness, uint64_t now_ns,
                     struct staleness_counts *counts_out, uint32_t *first_out, uint32_t first_max);

#endif
