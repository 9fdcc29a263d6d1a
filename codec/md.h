/*
 * md: a tick, one normalised market-data event, between a feed and an encoder.
 *
 * Owner    The feed that fills it. A function that gets one may read it during the call only.
 * Memory   Plain values and borrowed pointers; nothing here allocates.
 * Units    Prices and sizes are mantissa x 10^exponent, taken from the source's own text and
 *          never through floating point. Times are nanoseconds since the Unix epoch, UTC;
 *          0 is "not given". A decimal that is not given has the mantissa MD_NONE.
 */
#ifndef RINGCAST_CODEC_MD_H
#define RINGCAST_CODEC_MD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MD_SYMBOL_BYTES_MAX 32
#define MD_INTERVAL_BYTES_MAX 7
#define MD_NONE INT64_MIN

enum md_type {
    MD_QUOTE,
    MD_TRADE,
    MD_BAR,
    MD_DEPTH,
    MD_STATUS,
    MD_TYPE_COUNT,
};

enum md_side {
    MD_SIDE_NONE,
    MD_SIDE_BUY,  /* The aggressor bought. */
    MD_SIDE_SELL, /* The aggressor sold. */
};

enum md_action {
    MD_SNAPSHOT, /* The levels are the whole book. */
    MD_DELTA,    /* The levels replace those of the same price; size 0 removes one. */
};

struct md_decimal {
    int64_t mantissa;
    int8_t exponent; /* -18 to 0 */
};

struct md_level {
    struct md_decimal price;
    struct md_decimal size; /* Written as null when not given. */
};

/* Always a full image: a feed that sends parts merges them first. */
struct md_quote {
    struct md_decimal last, open, high, low, prev_close, volume, turnover;
    const struct md_level *bids; /* Best first. */
    const struct md_level *asks;
    uint32_t bid_count; /* 0 leaves the field out. */
    uint32_t ask_count;
    const char *status; /* NULL: not given. */
};

struct md_trade {
    struct md_decimal price, size;
    enum md_side side;
    bool has_id;
    uint64_t id;
};

struct md_bar {
    char interval[MD_INTERVAL_BYTES_MAX + 1]; /* "1m" */
    uint64_t start_ns;
    struct md_decimal open, high, low, close, volume, turnover;
    bool has_count;
    uint64_t count; /* trades in the bar */
    bool closed;
};

struct md_depth {
    enum md_action action;
    const struct md_level *bids;
    const struct md_level *asks;
    uint32_t bid_count; /* Both sides are always written, also when empty. */
    uint32_t ask_count;
    bool has_checksum;
    uint32_t checksum; /* of the top levels once this is applied (docs/protocol.md) */
};

struct md_status {
    const char *state;  /* "open", "halted", ... */
    const char *reason; /* NULL: not given. */
};

struct md_update {
    enum md_type type;
    uint32_t channel; /* As the feed's sink numbered it. */
    uint64_t ts_event_ns;
    uint64_t ts_recv_ns;
    uint64_t source_seq;   /* The source's own number of it, which grows; 0: it has none. */
    uint64_t source_epoch; /* Grows when the source begins to count anew. */
    uint32_t pad_bytes; /* Not 0: the payload is filled up to exactly this length (quotes only). */
    union {
        struct md_quote quote;
        struct md_trade trade;
        struct md_bar bar;
        struct md_depth depth;
        struct md_status status;
    };
};

static inline bool md_is_given(struct md_decimal decimal)
{
    return decimal.mantissa != MD_NONE;
}

static const struct md_decimal md_none = {.mantissa = MD_NONE};

/* A quote in which nothing is given. */
static const struct md_quote md_quote_none = {
    .last = {.mantissa = MD_NONE},
    .open = {.mantissa = MD_NONE},
    .high = {.mantissa = MD_NONE},
    .low = {.mantissa = MD_NONE},
    .prev_close = {.mantissa = MD_NONE},
    .volume = {.mantissa = MD_NONE},
    .turnover = {.mantissa = MD_NONE},
};

/* "quote", "trade", "bar", "depth", "status". */
const char *md_type_name(enum md_type type);

/* The type of that name (name_bytes long, any case), or MD_TYPE_COUNT. */
enum md_type md_type_by_name(const char *name, size_t name_bytes);

#endif
