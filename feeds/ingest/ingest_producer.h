/*
 * ingest_producer: the life of a connection.
 *
 * Owner    feed_ingest creates a producer with its descriptor, and destroys it when its stage is
 *          INGEST_ENDED. Threads: the publisher's.
 * Errors   What goes wrong with a connection ends it, and nothing else.
 */
#ifndef RINGCAST_FEEDS_INGEST_PRODUCER_H
#define RINGCAST_FEEDS_INGEST_PRODUCER_H

#include "feeds/ingest/ingest.h"

enum ingest_kind {
    INGEST_UNIX,
    INGEST_TCP,
    INGEST_STANDARD_INPUT,
};

/* index: of its place in ingest->producers. NULL: no memory; fd is still the caller's. */
struct ingest_producer *ingest_producer_create(struct ingest *ingest, uint32_t index, int fd,
                                               enum ingest_kind kind);
void ingest_producer_destroy(struct ingest_producer *producer);

/* What epoll reports. */
void ingest_producer_on_events(struct ingest_producer *producer, uint32_t events);

/* Takes at most message_count messages, with one read. false: it waits for an event. */
bool ingest_producer_serve(struct ingest_producer *producer, uint32_t message_count);

/* Sends what was queued before this poll. */
void ingest_producer_flush(struct ingest_producer *producer);

/* Heartbeats, silence, and whatever else has a deadline. About once a second. */
void ingest_producer_sweep(struct ingest_producer *producer);

#endif
