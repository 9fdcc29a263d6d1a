/*
 * tls_out: the sending half of a link that speaks TLS.
 *
 * What waits for such a link is of two kinds. `link->out` has plaintext, as of any link.
 * `link_tls.sealed` has bytes of the wire, which leave first and as they are: flights of the
 * handshake, records of control, and the rest of a record that was cut. A send is what is sealed,
 * then records that are made for it, of the plaintext that waits and of the frames that are due.
 *
 * A record of which one byte went is finished as it is: its rest waits, sealed. One of which no
 * byte went never existed: its number is used again. So keys change between sends only.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   What waits is in the out_pool. Records of a batch are sealed in links->arena; a send has
 *          ended before its place is used again.
 * Errors   None are returned: a link that cannot go on is doomed.
 */
#ifndef RINGCAST_RING_TLS_OUT_H
#define RINGCAST_RING_TLS_OUT_H

#include "ring/link/links.h"

#define TLS_OUT_CONTROL_BYTES_MAX 16
/* A record with this number is sealed with new keys (TLS 1.3). RFC 8446 section 5.5 allows AES-GCM
 * 2^24.5 of them. */
#define TLS_OUT_UPDATE_SEQ (UINT64_C(1) << 23)
#define TLS_OUT_ROOM_BYTES (384 * KIB) /* With less of the arena left a batch ends. */

/* ---- Life ---- */

/* A link that was just accepted speaks TLS, and has no keys. */
void tls_out_begin(struct links *links, struct link *link);
/* Before link_end(): wipes all that it has. Its job and its part of a record are given back.
 */
void tls_out_end(struct links *links, struct link *link);

/* ---- For who receives ---- */

/* Bytes of the wire: flights of a handshake, alerts in the clear. */
void tls_out_queue(struct links *links, struct link *link, const void *bytes, size_t count);
/* A record other than data, sealed now; of a link that is keyed. */
void tls_out_control(struct links *links, struct link *link, enum tls_type type, const void *bytes,
                     size_t count);
/* KeyUpdate, which asks for none; then the keys change (TLS 1.3). Not while a batch is sent. */
void tls_out_update_keys(struct links *links, struct link *link);
/* Of a link that is keyed: forgets its plaintext, queues a fatal alert and goes to LINK_CLOSING,
 * where what still comes is read: unread bytes would make the kernel send a reset, which can
 * overtake the alert. text: a constant string. */
void tls_out_fail(struct links *links, struct link *link, enum tls_alert alert, const char *text);

/* ---- For who sends ---- */

/* Queues close_notify, unless it has been queued before, or there are no keys for it. */
void tls_out_notify(struct links *links, struct link *link);
/* Whether the arena suffices for one more send of a batch. */
bool tls_out_has_room(const struct links *links);
/* Seals what a send is to have: its plaintext lies in iov. What finds no room is taken out of the
 * send. Wire_bytes 0: there is nothing to send. */
void tls_out_build(struct links *links, struct link *link, struct send *send,
                   const struct iovec *iov);
/* Of the send so many bytes went. Returns how many bytes of plaintext count as sent. */
uint64_t tls_out_settle(struct links *links, struct link *link, const struct send *send,
                        uint64_t wire_bytes);

#endif
