/*
 * narrow: the frames of a subscriber that is behind and has few channels, found by the channels'
 * links.
 *
 * Reading each descriptor between its cursor and the newest frame costs the same however few of
 * them are its own. Each channel's frames are linked from the newest back, and their seqs show how
 * many are missing. Where those are few, only they are read.
 *
 * Owner    One pull. Threads: the core's own. Memory: the caller's.
 * Units    Indices in the log of its own encoding, which is pinned from the cursor on.
 */
#ifndef RINGCAST_RING_NARROW_H
#define RINGCAST_RING_NARROW_H

#include "ring/fan/fan.h"

#define NARROW_SUBS_MAX 16
#define NARROW_FRAMES_MAX 4096
#define NARROW_SHARE 16 /* One in this many frames of the log is its own, at most. */

/* The frames of each channel, newest first; the lists lie one behind the other. */
struct narrow {
    uint64_t base; /* the cursor */
    uint64_t end;  /* of all lists: the core's position */
    uint32_t list_count;
    uint32_t frame_count;
    uint32_t first[NARROW_SUBS_MAX];       /* where a list begins in distances, */
    uint32_t left[NARROW_SUBS_MAX];        /* and how many of its frames were not taken */
    uint32_t distances[NARROW_FRAMES_MAX]; /* of indices from the base */
};

/* Finds the frames from the cursor on that it is to get. false: it does not pay. */
bool narrow_begin(struct narrow *narrow, struct fan *fan, const struct subscriber *subscriber);

/* Takes the oldest of them; narrow->end when there is none. */
uint64_t narrow_next(struct narrow *narrow);

/* Calls back for each of its frames from one index on before another, a channel's newest
 * first, and reads no more frames than lie between the two. false: that did not suffice; some
 * calls may be missing. */
bool narrow_walk(struct fan *fan, struct subscriber *subscriber, uint64_t from, uint64_t to,
                 void (*on_frame)(struct fan *fan, struct subscriber *subscriber, uint64_t index,
                                  const struct frame_desc *desc));

#endif
