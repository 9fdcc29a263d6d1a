/*
 * link_tls: what a link has when it speaks TLS: the keys, and what is under way in its record
 * layer. By index, beside struct link; touched by links with is_tls only.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   256 bytes a link, MAP_NORESERVE, not in core dumps; wiped at the link's end.
 */
#ifndef RINGCAST_RING_LINK_TLS_H
#define RINGCAST_RING_LINK_TLS_H

#include "codec/base/units.h"
#include "ring/link/out_pool.h"
#include "ring/tls_service.h"

#define LINK_TLS_NO_PART UINT16_MAX
#define LINK_TLS_WAITS (UINT16_MAX - 1) /* for a job */

struct link_tls {
    /* All that a seal touches: one line. */
    _Alignas(CACHE_LINE_BYTES) struct tls_keys tx;
    bool is_notified;     /* its close_notify is queued */
    bool is_keyed;        /* tx and rx hold; before: in the middle of its handshake */
    uint16_t warnings;    /* alerts of TLS 1.2 that were skipped, and refused renegotiations */
    uint16_t updates;     /* KeyUpdates of the peer since updates_since */
    uint16_t empty_count; /* records in a row without application data */

    struct tls_keys rx;
    struct out_chain sealed; /* bytes as they are on the wire; they leave before all others */

    uint8_t tx_secret[TLS_SECRET_BYTES_MAX]; /* of TLS 1.3, for KeyUpdate */
    uint8_t rx_secret[TLS_SECRET_BYTES_MAX];
    struct tls_peer *peer;  /* until its request is answered */
    uint32_t updates_since; /* a stamp */
    uint32_t received;      /* bytes, until it is keyed */
    uint16_t part;          /* of a record: a block; LINK_TLS_NO_PART: none */
    uint16_t job;           /* while it is not keyed; LINK_TLS_NO_PART: none; LINK_TLS_WAITS */
};
static_assert(sizeof(struct link_tls) == 256, "counted per connection");

#endif
