/*
 * fanout: new frames, noted for each subscriber that keeps up, and planned as one send each.
 *
 * Owner    A core. Threads: its own.
 */
#ifndef RINGCAST_RING_FANOUT_H
#define RINGCAST_RING_FANOUT_H

#include "ring/fan/fan.h"

#define FANOUT_FRAMES_MAX 1024 /* noted before they are sent, */
/* and bytes: half of a pull's, so that subscribers that pull catch up. */
#define FANOUT_BYTES_MAX (64 * KIB)

static_assert(FAN_PIECES_MAX <= PLAN_ROOM_IOVS_MAX, "one subscriber may get all pieces");

/* Of the frames that were noted last: those that were due to a subscriber that keeps up. */
struct fanout_reach {
    uint64_t first; /* index of the oldest, */
    uint64_t last;  /* and of the newest */
    uint32_t frames;
};

/* Notes the frames of a stream from its position up to head, which are pinned, or a batch's worth
 * of them, and moves the position. */
void fanout_note(struct fan *fan, struct fan_stream *stream, uint64_t head);
/* Whether a subscriber is left for which they were noted. */
static inline bool fanout_has_due(const struct fan *fan)
{
    return fan->due_left > 0;
}
/* Plans what is due to this many subscribers at most; 0: nothing is. Their frames count as sent,
 * and account_batch() takes back what was not. */
uint32_t fanout_plan(struct fan *fan, const struct fan_stream *stream, uint32_t count_max);
/* When no subscriber is left. */
struct fanout_reach fanout_reach(const struct fan *fan);
/* Before the subscriptions change of one that frames are due to: it will pull them. */
void fanout_settle(struct fan *fan, struct subscriber *subscriber);

#endif
