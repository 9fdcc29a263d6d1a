/*
 * wide: the frames of a subscriber of whole groups that is behind and has lost nothing.
 *
 * Mostly it is to get each frame of its groups from its cursor on, in order. Then one table says
 * what is next of each channel, and frames that lie side by side are one stretch. Any other frame
 * is left to the puller: one that it has got, one before which some are lost, one that may be
 * conflated.
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
 * the last of the batch. Returns how many frames were looked at. */
uint64_t wide_take(struct fan *fan, struct subscriber *subscriber, struct send_plan *plan,
                   const struct wide_limits *limits);

#endif
