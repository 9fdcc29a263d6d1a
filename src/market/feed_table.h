/*
 * feed_table: the state of each feed and what it has counted, for threads that do not run it.
 *
 * Owner    The publisher embeds one.
 * Threads  add: main. write: the publisher's. Everything else: any, without a lock.
 * Memory   A fixed table.
 * Units    Nanoseconds of CLOCK_REALTIME.
 */
#ifndef RINGCAST_SRC_FEED_TABLE_H
#define RINGCAST_SRC_FEED_TABLE_H

#include "codec/base/bytes.h"
#include "feeds/feed.h"
#include "ring/board/counters.h"

#define FEED_TABLE_FEEDS_MAX 16
#define FEED_TABLE_NAME_BYTES_MAX 32
#define FEED_TABLE_COLUMNS 9
#define FEED_TABLE_CAUSE_WORDS (FEED_CAUSE_BYTES_MAX / sizeof(uint64_t))

/* One of struct feed_counters, as STATUS, /stats and /metrics show it. */
struct feed_table_column {
    const char *name;
    bool is_gauge;
    size_t offset; /* in struct feed_counters */
    const char *meaning;
};
extern const struct feed_table_column feed_table_columns[FEED_TABLE_COLUMNS];

struct feed_table_row {
    char name[FEED_TABLE_NAME_BYTES_MAX]; /* constant: "sim"; the second of a name is "sim#2" */

    /* Written by the publisher's thread. */
    _Alignas(CACHE_LINE_BYTES) counter counts[FEED_TABLE_COLUMNS];
    counter tick_ns; /* of the last poll that handed over a tick; 0: none */
    uint32_t revision;
    /* Odd while the rest is written. */
    _Atomic uint32_t version;
    counter state;
    counter since_ns;
    counter cause[FEED_TABLE_CAUSE_WORDS];
};

struct feed_table {
    uint32_t count;
    struct feed_table_row rows[FEED_TABLE_FEEDS_MAX];
};

/* A row for a feed of this name that is about to be opened. */
struct feed_table_row *feed_table_add(struct feed_table *table, const char *name, size_t name_bytes,
                                      uint64_t wall_ns);
void feed_table_write(struct feed_table_row *row, const struct feed *feed, uint64_t wall_ns);

struct feed_table_view {
    const char *name;
    const char *state;
    uint64_t since_ns;
    uint64_t tick_ns; /* 0: no tick yet */
    uint64_t counts[FEED_TABLE_COLUMNS];
    char cause[FEED_CAUSE_BYTES_MAX]; /* printable ASCII; empty: none */
};

/* How many feeds there are. table: NULL: none. */
static inline uint32_t feed_table_count(const struct feed_table *table)
{
    return table == NULL ? 0 : table->count;
}
void feed_table_read(const struct feed_table *table, uint32_t index, struct feed_table_view *out);

#endif
