/*
 * ingest_reply: what is sent to a producer.
 *
 * It is queued during a poll, and sent at the beginning of the next one. The ticks of the poll are
 * published by then: an ACK never comes before its ticks.
 *
 * Threads  The publisher's.
 * Memory   The output of the producer, which has room for what one of its messages causes.
 */
#ifndef RINGCAST_FEEDS_INGEST_REPLY_H
#define RINGCAST_FEEDS_INGEST_REPLY_H

#include "feeds/ingest/ingest.h"

/* To producers that have said HELLO only. */
void ingest_reply_welcome(struct ingest_producer *producer);
void ingest_reply_refused(struct ingest_producer *producer, uint64_t q, const char *reason);
void ingest_reply_heartbeat(struct ingest_producer *producer);

/* All up to the last one is handled. Soon: the ACK comes within INGEST_ACK_MS. */
void ingest_reply_ack(struct ingest_producer *producer);
void ingest_reply_ack_soon(struct ingest_producer *producer);

/* To any producer; the connection is closed when it has been sent. detail: a constant sentence, or
 * NULL. */
void ingest_reply_error(struct ingest_producer *producer, enum ingest_code code,
                        const char *detail);

/* Nothing more is read. The connection is closed when the last ACK has been sent. */
void ingest_reply_finish(struct ingest_producer *producer, const char *cause);

/* The connection is closed at the end of the poll. */
void ingest_reply_end(struct ingest_producer *producer, const char *cause);

#endif
