/*
 * derived: the channels that ringcast computes from a feed's: books cut to N levels, bars built
 * from trades, quotes and books conflated to an interval. Each is computed once for all, while
 * somebody subscribes to it and DERIVED_LINGER_NS longer. Then its number may get another name.
 *
 * Owner    The publisher. Threads: the publisher's; others say what they want in channels.h.
 * Memory   Allocated when a channel is begun, given back when it ends. A tick allocates nothing,
 *          unless it is a book's: each feed's book that had a snapshot is kept, and grows as it
 *          gets levels.
 * Units    now_ns is CLOCK_MONOTONIC, wall_ns CLOCK_REALTIME.
 *
 * What a channel needs from before it was asked for is the kept book, or is read back from the log,
 * some frames a poll (the trades of the open bar, the newest quote).
 */
#ifndef RINGCAST_SRC_DERIVED_H
#define RINGCAST_SRC_DERIVED_H

#include "src/market/derived_core.h"

#define DERIVED_LINGER_NS (60 * NS_PER_SECOND)
/* With more in use, a channel without subscribers ends at once. */
#define DERIVED_LINGER_VARIANTS_MAX (CHANNELS_VARIANTS_MAX / 4 * 3)

struct derived {
    struct derived_source **sources; /* by channel; NULL: nothing is computed from it */
    struct derived_core *core;
};

int derived_create(struct derived *derived, const struct derived_options *options);
void derived_destroy(struct derived *derived);

/* The one question that every tick costs. */
static inline bool derived_wants(const struct derived *derived, const struct md_update *update)
{
    return update->type == MD_DEPTH || derived->sources[update->channel] != NULL;
}

/* A tick that is in the log, of a channel that is wanted. */
void derived_on_tick(struct derived *derived, const struct md_update *update, uint64_t now_ns);

/* A tick of a feed's channel is lost: its book is void until the next snapshot, and what is derived
 * from the channel loses something, too. */
void derived_on_loss(struct derived *derived, uint32_t channel);

/* A feed's book, if it has had a snapshot, and when its newest tick came; NULL: none. */
const struct book *derived_book(const struct derived *derived, uint32_t channel,
                                uint64_t *ts_event_ns_out, uint64_t *ts_recv_ns_out);

/* Does what is due; returns when it wants to be called next, UINT64_MAX: when somebody asks. */
uint64_t derived_poll(struct derived *derived, uint64_t now_ns, uint64_t wall_ns);

/* How many are being computed. */
uint32_t derived_count(const struct derived *derived);

#endif
