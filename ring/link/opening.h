/*
 * opening: a connection's begin, from accept to the finished upgrade.
 *
 * Owner    struct links. Threads: the core's own.
 * Memory   A request that is not complete is kept in an input; see input.h.
 * Errors   None are returned: a request that is refused is answered, and the connection ends.
 */
#ifndef RINGCAST_RING_OPENING_H
#define RINGCAST_RING_OPENING_H

#include "ring/link/links.h"

#define OPENING_STARTS_PER_TURN 256 /* of links that waited for their grant or encoding */

/* What a socket was accepted for. */
enum opening_kind {
    OPENING_TCP,
    OPENING_UNIX,
    OPENING_TLS,
};

extern const char opening_proxy_text[]; /* of a connection that begins without a PROXY header */

/* The first handshake loads libcrypto's tables, which takes milliseconds and megabytes: not from
 * the first client's time. */
void opening_warm_up(void);
/* Answers a socket for which there is no room with 503, or by TLS with an alert, and closes it. */
void opening_turn_away(struct links *links, int fd, enum opening_kind kind);
/* listener: its number. false: no link is free, and the client was turned away. */
bool opening_begin(struct links *links, int fd, enum opening_kind kind, uint32_t listener);
/* Of a link that may say what it requests from now on: its time for that begins. */
void opening_begin_request(struct links *links, struct link *link);
/* Queues an answer of plain HTTP, and closes. text: a constant string. */
void opening_refuse_with(struct links *links, struct link *link, const char *status_line,
                         const char *extra, const char *text);
/* All bytes that have come so far, at the same address as before. Returns how many of them were the
 * request's (and the proxy's before it), or 0: not complete, or refused. */
size_t opening_on_bytes(struct links *links, struct link *link, struct link_request *read,
                        const uint8_t *bytes, size_t count);
/* More bytes of a request that did not come whole. */
void opening_collect(struct links *links, struct link *link, uint8_t *bytes, size_t count);
void opening_on_timer(struct links *links, struct link *link);
/* Finishes openings whose grant has come, or whose encoding has begun. */
void opening_go_on(struct links *links);
/* Of a link that ends while its opening waits. */
void opening_stop_waiting(struct links *links, struct link *link);

#endif
