/*
 * venue: the common part of the venues' decoders. A decoder turns one JSON message of a venue into
 * ticks, from a recording or from a live connection.
 *
 * Owner    The feed creates and destroys it. Threads: the feed's.
 * Memory   Levels and symbols are allocated at creation, with limits; jansson allocates for each
 *          message, as long as it is decoded.
 * Units    Prices and sizes keep the exponent of the venue's text.
 * Errors   A message is never an error here: one that is not as documented is counted as malformed,
 *          with its reason in fault. The loss is reported to the sink: for the channel, if it is
 *          known, otherwise for every book that has changed since the last such loss.
 */
#ifndef RINGCAST_FEEDS_VENUE_H
#define RINGCAST_FEEDS_VENUE_H

#include <jansson.h>

#include "feeds/feed.h"
#include "feeds/kind_counts.h"

#define VENUE_LEVELS_MAX 262144 /* a side, in one message */
#define VENUE_LEVELS_MAX_TEXT "262144"
#define VENUE_SYMBOLS_MAX 12288
#define VENUE_SUFFIX_BYTES_MAX 16

enum venue_status {
    VENUE_TICK,      /* One tick went to the sink. */
    VENUE_SKIPPED,   /* Well formed, but not a tick. */
    VENUE_MALFORMED, /* venue->fault is the reason. */
};

struct venue_symbol {
    uint8_t name_bytes;             /* 0: a free slot */
    char name[MD_SYMBOL_BYTES_MAX]; /* NKNUSDT.BINANCE */
    uint64_t sequence;              /* the venue's own, of the newest book update ... */
    uint64_t sequence_stream;       /* ... in this stream; 0: none yet */
    struct venue_symbol *next_book; /* in the list of books */
    bool is_in_books;
    const char *trades; /* the kind of message that its trades come from; NULL: none yet */
    uint32_t channels[MD_TYPE_COUNT];
};

struct venue;

struct venue_ops {
    const char *name;      /* "coinbase": as in format=coinbase */
    const char *host_part; /* What the host of its URLs contains. */
    const char *suffix;    /* "COINBASE" */
    const char *symbol_key;
    const char *symbol_fault; /* for a message that names none there */
    /* Returns through venue_publish, venue_skip or venue_fault. */
    enum venue_status (*decode)(struct venue *venue, const json_t *message, uint64_t ts_recv_ns);
};

struct venue {
    /* Set at creation, then constant. */
    const struct venue_ops *ops;
    const struct feed_sink *sink;
    struct feed_counters *counters;
    char suffix[VENUE_SUFFIX_BYTES_MAX + 1];

    struct venue_symbol *books;  /* with a tick since the last loss that may have been of any */
    struct venue_symbol *symbol; /* of the message at hand; NULL: not known */
    enum md_type type;           /* what it is, if the symbol is known */
    bool is_of_none;             /* Its symbol cannot be subscribed to. */

    uint64_t stream; /* How often the stream has begun: 1 and more. */
    struct kind_counts ticks;
    struct kind_counts skipped;
    const char *fault; /* of the last malformed message: a constant sentence */

    struct md_level *bids; /* VENUE_LEVELS_MAX each, touched as needed, of the message at hand */
    struct md_level *asks;
    struct md_level *scratch;     /* for venue_order */
    struct venue_symbol *symbols; /* open addressing */
    uint32_t symbol_count;
};

/* suffix: NULL for the venue's own, else 1 to VENUE_SUFFIX_BYTES_MAX bytes. -ENOMEM. */
int venue_create(struct venue **venue_out, const struct venue_ops *ops, const char *suffix,
                 const struct feed_sink *sink, struct feed_counters *counters);
void venue_destroy(struct venue *venue);

/* Decodes one message and counts it: ticks, skipped, malformed, holes. */
enum venue_status venue_decode(struct venue *venue, const char *text, size_t text_bytes,
                               uint64_t ts_recv_ns);

/* The stream begins anew (reconnected, or the next pass of a replay): the next messages do not
 * continue the ones before. */
void venue_forget_sequences(struct venue *venue);

/* A message was lost that could not be read. */
void venue_lose_books(struct venue *venue);

/* For decoders, from here on. */

/* One kind of message of a venue. */
struct venue_kind {
    const char *name;
    enum md_type type;
    enum venue_status (*decode)(struct venue *venue, struct venue_symbol *symbol,
                                const json_t *data, struct md_update *update);
};

/* Decodes as the kind of that name does, or skips it. */
enum venue_status venue_decode_kind(struct venue *venue, const struct venue_kind *kinds,
                                    size_t kind_count, const char *name, const json_t *data,
                                    uint64_t ts_recv_ns);

/* Something of a symbol was lost before it reached us. */
void venue_lose(struct venue *venue, struct venue_symbol *symbol, enum md_type type);

/* The three ways out of decode. */
enum venue_status venue_publish(struct venue *venue, struct venue_symbol *symbol, const char *kind,
                                struct md_update *update);
enum venue_status venue_skip(struct venue *venue, const char *kind);
enum venue_status venue_fault(struct venue *venue, const char *fault);

/* The symbol that object[key] names, in upper case and with the suffix; NULL: it names none, or
 * it is too long, or there are too many. */
struct venue_symbol *venue_symbol_of(struct venue *venue, const json_t *object, const char *key);

/* object[key] as text; NULL: it is missing, is not a string, or contains a NUL. */
const char *venue_text(const json_t *object, const char *key);

/* Not there, null or "". */
bool venue_is_absent(const json_t *value);

/* Decimals, of a string or a number, as they are written: of more than 0 (price), or of 0 and more
 * (size). false: not such. */
bool venue_price(const json_t *value, struct md_decimal *decimal_out);
bool venue_size(const json_t *value, struct md_decimal *decimal_out);

/* As above, or md_none where object[key] is absent, and where a price is 0, which is none. */
bool venue_optional_price(const json_t *object, const char *key, struct md_decimal *decimal_out);
bool venue_optional_size(const json_t *object, const char *key, struct md_decimal *decimal_out);

/* The best level of a side, or none where its price is absent or 0. */
bool venue_best(const json_t *object, const char *price_key, const char *size_key,
                struct md_level *level, uint32_t *count_out);

/* An integer of 0 to 2^64 - 1, of a number or a string. */
bool venue_integer(const json_t *object, const char *key, uint64_t *value_out);

/* As above; *is_given_out = false where it is absent. */
bool venue_optional_integer(const json_t *object, const char *key, uint64_t *value_out,
                            bool *is_given_out);

/* Milliseconds, microseconds or nanoseconds since the epoch, up to 2262: less than 10^14 are
 * milliseconds, less than 10^17 microseconds, so that each is right from 1973 on. 0 where it is
 * absent. */
bool venue_time(const json_t *object, const char *key, uint64_t *ns_out);

/* An array of [price, size, ...]: every level, in order. null is an empty one. */
bool venue_levels(const json_t *array, struct md_level *levels, uint32_t *count_out);

/* Turns levels into those of a snapshot, as a client has them that applies them one by one: best
 * first, each price once with its last size, none of size 0. better: 1 for bids, -1 for asks. */
void venue_order(struct venue *venue, struct md_level *levels, uint32_t *count, int better);

#endif
