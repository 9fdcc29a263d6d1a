/*
 * publisher: the single writer. Drains feeds, assigns seq, encodes, appends to the frame log.
 *
 * Owner    main. Threads: one, its own (publisher_run) or core 0's (publisher_poll, inline).
 * Memory   Everything at creation; nothing between a tick and the log.
 * Units    now_ns is CLOCK_MONOTONIC; ticks carry wall-clock times.
 */
#ifndef RINGCAST_SRC_PUBLISHER_H
#define RINGCAST_SRC_PUBLISHER_H

#include "feeds/feed.h"
#include "ring/core/core.h"
#include "src/market/book_images.h"
#include "src/market/channels.h"
#include "src/market/encodings.h"
#include "src/market/publisher_feeds.h"

struct publisher;
struct record;

struct publisher_options {
    struct channels *channels; /* It makes what sessions wish for there (derived.h). */
    struct encodings *encodings;
    struct book_images *book_images; /* NULL: nobody asks for books */
    struct staleness *staleness;     /* NULL: nobody asks which symbols are stale */
    struct record *record;           /* NULL: nothing is recorded */
    struct publisher_counters *counters;
    struct control *control; /* Its heart beats at each poll. NULL: none */
    const char *const *feed_specs;
    const char *const *feed_sources; /* where each is given, for its error; NULL: --feed */
    uint32_t feed_count;
    uint64_t epoch;                         /* of this run of the server */
    const struct feed_admission *admission; /* NULL: any producer may publish anything */
    bool reuse_port;                        /* Feeds may listen where another server does. */
    /* Called at the top of each poll, with the admission's context; NULL: nothing. */
    void (*on_poll)(void *context);
};

/* Opens the feeds: their errors (which key, which file, what to do) come in error_out. */
int publisher_create(struct publisher **publisher_out, const struct publisher_options *options,
                     char *error_out, size_t error_bytes);
void publisher_destroy(struct publisher *publisher);

/* The cores it wakes and waits for (elastic feeds stay within half a log of the slowest). */
void publisher_set_cores(struct publisher *publisher, struct core *const *cores,
                         struct core_counters *const *core_counters, uint32_t core_count);

/* The state of each feed, for as long as the publisher exists. */
const struct feed_table *publisher_feed_table(const struct publisher *publisher);

/* Polls what is due, publishes the head; returns when to be called next (0: at once). */
uint64_t publisher_poll(struct publisher *publisher, uint64_t now_ns);
uint64_t publisher_poll_inline(void *publisher, uint64_t now_ns); /* core_options.publish */

/* The thread's loop, with an engine of its own for waking cores and for sleeping. */
int publisher_run(struct publisher *publisher);
void publisher_stop(struct publisher *publisher); /* any thread */

#endif
