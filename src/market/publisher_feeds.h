/*
 * publisher_feeds: the feeds of the publisher: opens them, polls those that are due in turn, and
 * adds up what they count.
 *
 * Owner    The publisher embeds one. Threads: the publisher's.
 * Memory   A fixed table. The feeds allocate when they are opened.
 * Units    now_ns is CLOCK_MONOTONIC; wall_ns, and what feeds work with, is CLOCK_REALTIME.
 * Errors   open: 0 or a negative errno with a message. Nothing else fails.
 */
#ifndef RINGCAST_SRC_PUBLISHER_FEEDS_H
#define RINGCAST_SRC_PUBLISHER_FEEDS_H

#include "feeds/feed.h"
#include "ring/board/counters.h"
#include "src/market/channels.h"
#include "src/market/feed_table.h"
#include "src/market/staleness.h"
#include "src/market/tick_writer.h"

#define PUBLISHER_FEEDS_MAX FEED_TABLE_FEEDS_MAX
/* A poll of all feeds ends after this many ticks, so that the cores get their turn. */
#define PUBLISHER_POLL_TICKS_MAX 1024
/* A feed that is polled gets its ticks in portions. Between two, the clock is read. */
#define PUBLISHER_PORTION_TICKS_MAX 8
#define PUBLISHER_PORTION_BYTES (4 * KIB)

struct publisher_feeds;

/* The context of a feed's sink. */
struct publisher_feed {
    struct publisher_feeds *feeds;
    struct feed_sink sink;
    struct feed *feed;
    uint32_t number;      /* of its row */
    int watched_fd;       /* -1: none */
    uint64_t due_wall_ns; /* FEED_NEVER: it has ended. */
    bool is_timed;        /* It asked to be polled later, and not at once. */
    uint64_t polled_ns;
    struct feed_table_row *shown;
};

struct publisher_feeds {
    /* Set before the first poll, then constant. */
    struct tick_writer *writer;
    struct channels *channels;
    struct staleness *staleness;                                   /* NULL: none */
    const struct core_counters *core_counters[COUNTERS_CORES_MAX]; /* of the writer's cores */

    struct publisher_feed rows[PUBLISHER_FEEDS_MAX];
    struct feed_table table;
    uint32_t count;
    uint32_t first; /* whose turn it is to be polled first */
    bool table_full_logged;
    uint64_t now_ns; /* of the poll of all feeds */

    /* Of the poll of one feed. */
    uint64_t wall_ns; /* when it began */
    uint64_t poll_end_wall_ns;
    bool has_portion; /* The first portion is given without reading the clock. */
};

void publisher_feeds_init(struct publisher_feeds *feeds, struct tick_writer *writer,
                          struct channels *channels, struct staleness *staleness);

/* sink: the calls and values that all feeds have in common; the others are filled in here. */
int publisher_feeds_open(struct publisher_feeds *feeds, const char *spec,
                         const struct feed_sink *sink, char error_out[FEED_ERROR_BYTES_MAX]);
void publisher_feeds_close(struct publisher_feeds *feeds);

/* Polls the feeds that are due. Returns for how long all may be left alone; UINT64_MAX: for ever.
 */
uint64_t publisher_feeds_poll(struct publisher_feeds *feeds, uint64_t now_ns, uint64_t wall_ns);

/* Shows to other threads what the feeds have counted. */
void publisher_feeds_count(struct publisher_feeds *feeds);

/* The index in the log that the slowest core has come to. */
uint64_t publisher_feeds_slowest(const struct publisher_feeds *feeds);

#endif
