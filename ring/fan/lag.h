/*
 * lag: how far a conn is behind, and what holds it up.
 *
 * Owner    A core. Threads: its own.
 * Errors   None: what the kernel does not tell counts as the client's fault.
 * Source   struct tcp_info of linux/tcp.h.
 */
#ifndef RINGCAST_RING_LAG_H
#define RINGCAST_RING_LAG_H

#include "ring/fan/fan.h"

struct tcp_info;

/* Whose fault it is, by how the socket stands now; else by how it stood, since it was opened, while
 * there was something to send. Pure. */
enum lag_cause lag_cause_of(const struct tcp_info *info, uint64_t behind_ms);

/* How far behind it is; not why. Pins what it looks at, unless something older is pinned. */
void lag_measure(struct fan *fan, const struct subscriber *subscriber, struct core_lag *lag_out);

/* Reports once that it has used up half of what it may lag, until it has caught up. Its cursor is
 * pinned, behind_ns the age of the frame there. */
void lag_check(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
               uint64_t behind_ns);

#endif
