/*
 * session: what the client protocol knows about a conn: its number, limits and subscriptions.
 *
 * Owner    main creates one table per core, before the core.
 * Threads  The core's thread only, through the ops.
 * Memory   A slab of 40 bytes a conn; with access control another, of which a client takes 184
 *          bytes when it has a token or a limit, and none otherwise; patterns are allocated as they
 *          are asked for, exact subscriptions are kept by the core alone. One buffer for answers,
 *          and with compression one state that inflates everybody's messages.
 * Source   docs/protocol.md.
 */
#ifndef RINGCAST_SRC_SESSION_H
#define RINGCAST_SRC_SESSION_H

#include "ring/core/core.h"
#include "src/access/access.h"
#include "src/market/book_images.h"
#include "src/market/channels.h"
#include "src/market/publisher.h"

struct sessions;

struct session_options {
    uint32_t conn_count_max;
    uint32_t subscription_count_max; /* per client; a pattern counts once per type */
    uint64_t heartbeat_interval_ns;  /* told in WELCOME */
    uint64_t idle_timeout_ns;        /* told in WELCOME */
    bool compression;                /* permessage-deflate is agreed to */
    struct channels *channels;
    struct access *access;              /* NULL: everybody may do everything */
    struct core_counters *counters;     /* of the core, for what access refuses */
    struct book_images *book_images;    /* NULL: there are no snapshots of books */
    struct publisher *inline_publisher; /* NULL: on a thread of its own */
    char epoch[17];                     /* hex, random, one per run */
};

int sessions_create(struct sessions **sessions_out, const struct session_options *options);
void sessions_destroy(struct sessions *sessions);

/* What core_options.ops and .context are to be (context: the struct sessions). */
extern const struct core_ops session_ops;

#endif
