/*
 * session_options: what the sessions of one core are made with.
 */
#ifndef RINGCAST_SRC_SESSION_OPTIONS_H
#define RINGCAST_SRC_SESSION_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "src/access/access.h"
#include "src/market/book_images.h"
#include "src/market/channels.h"
#include "src/symbols/symbols.h"

struct core_counters;
struct feed_table;

struct session_options {
    uint32_t conn_count_max;
    uint32_t subscription_count_max; /* per client; a pattern counts once per type */
    uint64_t heartbeat_interval_ns;  /* reported in WELCOME */
    uint64_t idle_timeout_ns;        /* reported in WELCOME */
    bool compression;                /* permessage-deflate is agreed to */
    struct channels *channels;
    const struct symbols *symbols;   /* what SYMBOLS lists */
    const struct feed_table *feeds;  /* what STATUS shows; NULL: no feed */
    struct access *access;           /* NULL: every client may do everything */
    struct core_counters *counters;  /* of the core, for what is refused */
    struct book_images *book_images; /* NULL: there are no snapshots of books */
    char epoch[17];                  /* hex, random, one per run */
};

#endif
