/*
 * tls_in: the records that a client sends. Whole ones are opened where they were received; a part
 * of one is kept until the rest comes. Application data goes on as received bytes do; the others
 * (alerts, KeyUpdates) end here.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   Blocks for LINK_TLS_PARTS_MAX parts, mapped only with options.tls, touched when first
 *          used, not in core dumps. When all are used the oldest part gives way, and its link ends.
 * Errors   None are returned: a record that is refused is answered by an alert, and the link ends.
 * Source   RFC 8446 sections 4.6.3, 5 and 6; RFC 5246 sections 6.2, 7.2 and 7.4.1.1.
 */
#ifndef RINGCAST_RING_TLS_IN_H
#define RINGCAST_RING_TLS_IN_H

#include "ring/link/links.h"

#define TLS_IN_EMPTY_MAX 32   /* records in a row without application data */
#define TLS_IN_UPDATES_MAX 32 /* KeyUpdates in */
#define TLS_IN_UPDATES_NS (60 * NS_PER_SECOND)
/* Alerts of TLS 1.2 that are skipped, all together; a refused renegotiation counts as two. */
#define TLS_IN_WARNINGS_MAX 4

/* Of a link that has its keys. */
void tls_in_on_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count);
/* Its part of a record is done with. */
void tls_in_release(struct links *links, struct link *link);
/* Whether the rest of a record has not come for as long as half a message may take. */
bool tls_in_is_late(const struct links *links, const struct link *link);

#endif
