/*
 * ingest_names: how far the ticks of each named producer have come, also while it is away.
 *
 * A name belongs to the token that presents it: the same name with another token is another one.
 *
 * Owner    feed_ingest creates and destroys it. Threads: one at a time.
 * Memory   INGEST_NAMES_MAX places, allocated at creation. A new name takes the place of the one
 *          that has been away for the longest.
 * Units    epoch and q are the producer's own numbers.
 */
#ifndef RINGCAST_FEEDS_INGEST_NAMES_H
#define RINGCAST_FEEDS_INGEST_NAMES_H

#include <stdbool.h>
#include <stdint.h>

#include "feeds/feed.h"

#define INGEST_NAMES_MAX 4096
#define INGEST_NAME_BYTES_MAX 64

/* Where the ticks of a producer are. */
struct ingest_place {
    uint64_t epoch; /* 0: the place ends with its connection */
    uint64_t q;     /* the last one that was handled */
    bool has_q;
};

struct ingest_names;

/* -ENOMEM. */
int ingest_names_create(struct ingest_names **names_out);
void ingest_names_destroy(struct ingest_names *names);

/* The place of a name, which no other name takes until it is closed. epoch: not 0, and that of the
 * place if the name is new; otherwise the place stays as it is. */
struct ingest_place *ingest_names_open(struct ingest_names *names, const char *token,
                                       const char *name, uint64_t epoch);
void ingest_names_close(struct ingest_names *names, struct ingest_place *place);

#endif
