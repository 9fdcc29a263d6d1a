/*
 * link_tls: what a link has when it speaks TLS: the keys, and what is under way in its record
 * layer. By index, beside struct link; touched by links with is_tls only.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   256 bytes a link, MAP_NORESERVE, not in core dumps; wiped at the link's end. Jobs
 *          (29 KiB each) and parts of records (18 KiB each) are touched when they are first used.
 */
#ifndef RINGCAST_RING_LINK_TLS_H
#define RINGCAST_RING_LINK_TLS_H

#include "codec/base/list.h"
#include "codec/base/units.h"
#include "ring/link/out_pool.h"
#include "ring/tls_service.h"

#define LINK_TLS_PARTS_MAX 256 /* of a core, at a time */
#define LINK_TLS_NO_PART UINT16_MAX
#define LINK_TLS_WAITS (UINT16_MAX - 1) /* for a job */

struct link_tls {
    /* All that a seal touches: one line. */
    _Alignas(CACHE_LINE_BYTES) struct tls_keys tx;
    struct out_chain sealed; /* bytes as they are on the wire; they leave before all others */

    bool is_notified;     /* its close_notify is queued */
    bool is_keyed;        /* tx and rx hold; before: in the middle of its handshake */
    uint16_t warnings;    /* alerts of TLS 1.2 that were skipped, and refused renegotiations */
    uint16_t updates;     /* KeyUpdates of the peer since updates_since */
    uint16_t empty_count; /* records in a row without application data */
    struct tls_keys rx;
    uint8_t tx_secret[TLS_SECRET_BYTES_MAX]; /* of TLS 1.3, for KeyUpdate */
    uint8_t rx_secret[TLS_SECRET_BYTES_MAX];
    struct tls_peer *peer;  /* until its request is answered */
    uint32_t updates_since; /* a stamp */
    uint32_t received;      /* bytes, until it is keyed */
    uint16_t part;          /* of a record: a block; LINK_TLS_NO_PART: none */
    uint16_t job;           /* while it is not keyed; LINK_TLS_NO_PART: none; LINK_TLS_WAITS */
};
static_assert(offsetof(struct link_tls, is_notified) == CACHE_LINE_BYTES, "what a seal touches");
static_assert(sizeof(struct link_tls) == 256, "counted per connection");

/* Who has a job. */
struct link_tls_place {
    struct list_link age_link; /* In jobs->taken, oldest first, while a link has the job. */
    uint32_t conn;             /* LINK_NONE: of none; it is free, or on its way back */
    bool has_begun;            /* bytes were submitted */
    uint64_t since_ns;
};

/* The handshakes of a core: see securing.h. */
struct link_tls_jobs {
    struct list_link taken;
    struct list_link waiting; /* by link_backlog.answer_link: links that wait for a job */
    uint32_t waiting_count;
    uint32_t free_count;
    uint16_t free[TLS_HANDSHAKES_MAX];
    struct link_tls_place places[TLS_HANDSHAKES_MAX];
    struct tls_job jobs[TLS_HANDSHAKES_MAX];
};
static_assert(TLS_HANDSHAKES_MAX <= LINK_TLS_WAITS, "a link keeps the number in 16 bits");

/* A record that is not complete. */
struct link_tls_part {
    struct list_link age_link; /* In parts->used, oldest first, while it is used. */
    uint32_t conn;
    uint32_t count;
    uint64_t since_ns;
    uint8_t bytes[TLS_RECORD_BYTES_MAX];
};

/* Those of a core: see tls_in.h. */
struct link_tls_parts {
    struct list_link used;
    uint32_t free_count;
    uint16_t free[LINK_TLS_PARTS_MAX];
    struct link_tls_part parts[LINK_TLS_PARTS_MAX];
};
static_assert(LINK_TLS_PARTS_MAX <= LINK_TLS_NO_PART, "a link keeps the number in 16 bits");

#endif
