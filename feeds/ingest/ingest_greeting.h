/*
 * ingest_greeting: HELLO: the token of a producer, its name, and where it goes on.
 *
 * Threads  The publisher's.
 */
#ifndef RINGCAST_FEEDS_INGEST_GREETING_H
#define RINGCAST_FEEDS_INGEST_GREETING_H

#include "feeds/ingest/ingest.h"

/* The message that input has just passed on is HELLO, or should be. */
void ingest_greeting_take(struct ingest_producer *producer);

/* Asks again for the verdict on the token of a producer in INGEST_ADMITTING. */
void ingest_greeting_go_on(struct ingest_producer *producer);

/* Judges a producer anew: other tokens are valid, or permit something else. */
void ingest_greeting_judge(struct ingest_producer *producer);

/* Gives back what HELLO has brought. */
void ingest_greeting_drop(struct ingest_producer *producer);

#endif
