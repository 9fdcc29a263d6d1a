/*
 * lag: how far a connection is behind, and why.
 *
 * Owner    A core. Threads: its own.
 * Errors   None: if the kernel gives no information, the client counts as the cause.
 * Source   struct tcp_info of linux/tcp.h.
 */
#ifndef RINGCAST_RING_LAG_H
#define RINGCAST_RING_LAG_H

#include "ring/fan/fan.h"

struct tcp_info;

/* The cause, from the state of the socket now, or else from its state since it was opened while
 * there was something to send. Pure. */
enum lag_cause lag_cause_of(const struct tcp_info *info, uint64_t behind_ms);

/* How far behind it is, without the cause. Pins what it reads, unless something older is pinned. */
void lag_measure(struct fan *fan, const struct subscriber *subscriber, struct core_lag *lag_out);

/* Reports once that it has used up half of what it may lag, until it has caught up. Its cursor is
 * pinned, behind_ns the age of the frame there. */
void lag_check(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
               uint64_t behind_ns);

#endif
