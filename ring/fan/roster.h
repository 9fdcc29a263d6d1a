/*
 * roster: which subscribers are served: connections open and end, links may take nothing for a
 * while, and messages that are being answered hold frames back.
 *
 * Owner    A core. Threads: its own.
 */
#ifndef RINGCAST_RING_ROSTER_H
#define RINGCAST_RING_ROSTER_H

#include "ring/fan/fan.h"

/* A connection of this index has opened: new frames are pushed to it. */
void roster_join(struct fan *fan, uint32_t index, uint32_t encoding);
/* It gets nothing any more. Its subscriptions stay; the core removes them. */
void roster_leave(struct fan *fan, struct subscriber *subscriber);
/* The link takes bytes again. */
void roster_go_on(struct fan *fan, struct subscriber *subscriber);
/* It subscribes to these groups as a whole, and to no other one. -ENOSPC: no memory; nothing is
 * changed. Without any groups it always succeeds. */
int roster_set_groups(struct fan *fan, struct subscriber *subscriber, uint8_t groups);
/* Its frames wait in the log until the message of its that is under way is answered. */
void roster_hold(struct fan *fan, struct subscriber *subscriber);
void roster_end_hold(struct fan *fan, struct subscriber *subscriber);

#endif
