/*
 * ingest_ticks: what the messages of a producer do, once they are cut from its stream.
 *
 * Threads  The publisher's.
 * Memory   Nothing is allocated for a tick of a known channel.
 */
#ifndef RINGCAST_FEEDS_INGEST_TICKS_H
#define RINGCAST_FEEDS_INGEST_TICKS_H

#include "feeds/ingest/ingest.h"

/* The message that input has just passed on. HELLO is left to the caller: false. */
bool ingest_ticks_take(struct ingest_producer *producer);

/* Its token permits something else: what it may not publish any more is stale, and its ticks are
 * refused. */
void ingest_ticks_limit(struct ingest_producer *producer);

/* The channels of the producer are stale from here on. */
void ingest_ticks_silence(struct ingest_producer *producer);

#endif
