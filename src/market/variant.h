/*
 * variant: how a channel that ringcast computes differs from the feed's own of its symbol and type.
 *
 * Threads  Pure functions and constants.
 * Source   docs/protocol.md, "Depth, bars and conflation".
 */
#ifndef RINGCAST_SRC_VARIANT_H
#define RINGCAST_SRC_VARIANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VARIANT_BARS_COUNT 3

/* All 0: none, the feed's own. */
struct variant {
    uint16_t interval_ms; /* The newest image at most once in this time; 0: each one. */
    uint8_t depth;        /* Levels a side of a book; 0: not cut. */
    uint8_t bar;          /* 1 + index of an interval of bars; 0: none. */
};

static inline bool variant_is_none(struct variant variant)
{
    return variant.interval_ms == 0 && variant.depth == 0 && variant.bar == 0;
}

static inline bool variant_is_same(struct variant a, struct variant b)
{
    return a.interval_ms == b.interval_ms && a.depth == b.depth && a.bar == b.bar;
}

/* false: not offered. */
bool variant_is_depth(int64_t levels);
bool variant_is_interval(int64_t interval_ms);

/* 1 + the index of "1s", "1m" or "5m"; 0: not offered. */
uint8_t variant_bar_by_name(const char *name);

const char *variant_bar_name(uint8_t bar);
uint64_t variant_bar_ns(uint8_t bar);

/* For messages. */
#define VARIANT_DEPTHS_TEXT "5, 10, 20 or 50"
#define VARIANT_INTERVALS_TEXT "100, 200, 250, 500, 1000, 2000 or 5000"
#define VARIANT_BARS_TEXT "1s, 1m or 5m"
/* All of them, as JSON. */
#define VARIANT_ALL_JSON                                                                           \
    "{\"depth\":[5,10,20,50],\"bar\":[\"1s\",\"1m\",\"5m\"],"                                      \
    "\"interval_ms\":[100,200,250,500,1000,2000,5000]}"

#endif
