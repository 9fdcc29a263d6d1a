/*
 * fanout: new frames, noted for each subscriber that keeps up, and planned as one send each.
 *
 * Owner    A core. Threads: its own.
 */
#ifndef RINGCAST_RING_FANOUT_H
#define RINGCAST_RING_FANOUT_H

#include "ring/fan/fan.h"

#define FANOUT_FRAMES_MAX 1024 /* noted before they are sent, */
/* and bytes: half of a pull's, so that who pulls catches up. */
#define FANOUT_BYTES_MAX (64 * KIB)

static_assert(FANOUT_FRAMES_MAX / 2 <= PLAN_ROOM_IOVS_MAX, "at most every other frame is due");

/* Notes the frames of a stream from its position up to head, which are pinned, or a batch's worth
 * of them, and moves the position. fan->reach says which of them are due to anybody. */
void fanout_note(struct fan *fan, struct fan_stream *stream, uint64_t head);
/* Plans what is due to so many subscribers at most; 0: nothing is. */
uint32_t fanout_plan(struct fan *fan, uint32_t count_max);
/* Before the subscriptions change of one that frames are due to: it will pull them. */
void fanout_settle(struct fan *fan, struct subscriber *subscriber);

#endif
