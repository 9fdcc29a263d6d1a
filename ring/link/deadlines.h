/*
 * deadlines: what a connection's timer means: its opening took too long, its tick, a ping, its end.
 *
 * Owner    struct links. Threads: the core's own.
 */
#ifndef RINGCAST_RING_DEADLINES_H
#define RINGCAST_RING_DEADLINES_H

#include "ring/link/links.h"

/* The timer of a link. context: the struct links */
void deadlines_on_timer(void *context, uint32_t number);
/* Its next ping comes an interval from now, unless it comes before. */
void deadlines_hasten_ping(struct links *links, struct link *link);
/* It is closed in a drain then, or asked again. */
void deadlines_set_drain(struct links *links, struct link *link, uint64_t drain_ns);

#endif
