/*
 * wide: the frames of a subscriber of whole groups that is behind and has lost nothing.
 *
 * Mostly it is to get each frame of its groups from its cursor on, in order. Then one table has the
 * next seq of each channel, and adjacent frames are one stretch. Other frames are left to the
 * puller: those that it has got already, those after a loss, and those that may be conflated.
 *
 * Owner    One pull. Threads: the core's own. Memory: the caller's.
 * Units    Indices in the log of its own encoding, which is pinned from the cursor on.
 */
#ifndef RINGCAST_RING_WIDE_H
#define RINGCAST_RING_WIDE_H

#include "ring/fan/fan.h"

struct wide_limits {
    uint64_t end; /* index after the last frame, */
    uint64_t bytes;
    uint32_t iovs;
};

bool wide_is_wide(const struct subscriber *subscriber);

/* Adds frames from plan->to on, up to one that is left to the puller, or the limits; its plan is
 * the last of the batch. Returns how many frames were read. */
uint64_t wide_take(struct fan *fan, struct subscriber *subscriber, struct send_plan *plan,
                   const struct wide_limits *limits);

#endif
