/*
 * receiver: what a receive of a link brings, and who gets it: its handshake, its records, or,
 * without TLS, its request and messages.
 *
 * Owner    struct links. Threads: the core's own. Memory: none; the bytes lie in the engine's
 *          receive buffers, and are given back here.
 */
#ifndef RINGCAST_RING_RECEIVER_H
#define RINGCAST_RING_RECEIVER_H

#include "ring/link/links.h"

void receiver_on_recv(struct links *links, struct link *link, const struct io_uring_cqe *cqe);

#endif
