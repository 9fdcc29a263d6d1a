/*
 * progress: what a subscriber that pulls is to get next of each of its channels.
 *
 * Owner    A core. Threads: its own.
 * Memory   The subscriptions' records; for whole groups a table of seqs, PROGRESS_SEQS_BYTES_MAX
 * for all subscribers.
 */
#ifndef RINGCAST_RING_PROGRESS_H
#define RINGCAST_RING_PROGRESS_H

#include "ring/fan/fan.h"

#define PROGRESS_SEQS_BYTES_MAX (64 * MIB)

/* Bits of a next seq: */
#define PROGRESS_SNAPSHOT_DUE (UINT64_C(1) << 63) /* the newest frame is wanted */
#define PROGRESS_SOUGHT (UINT64_C(1) << 62)       /* where it lies in the log is to be found */
/* Bits of a first seq: */
#define PROGRESS_GAP_DUE                                                                           \
    (UINT64_C(1) << 63)          /* all from it up to the next is lost, and not reported yet */
#define PROGRESS_REASON_SHIFT 61 /* why: 2 bits */
#define PROGRESS_SEQ_MASK ((UINT64_C(1) << 61) - 1)

/* As next_seq and first_seq of struct sub, for a channel that a group covers. */
struct progress_seq {
    uint64_t next;
    uint64_t first;
};

/* How one channel stands with a conn: a view of the sub or the group that covers it. */
struct progress_entry {
    uint64_t *next;
    uint64_t *first;
    enum lag_policy policy;
};

static inline enum gap_reason progress_due_reason(const struct progress_entry *entry)
{
    return (enum gap_reason)(*entry->first >> PROGRESS_REASON_SHIFT & 3);
}

/* It is up to date, or ends: what it needed to pull is given back. */
void progress_release(struct fan *fan, struct subscriber *subscriber);
/* What a subscriber that pulls is to get next of a channel that a group of its covers; NULL: there
 * is no room, and it has failed. */
struct progress_seq *progress_group_seq(struct fan *fan, struct subscriber *subscriber,
                                        uint32_t channel);
/* Room for this many channels of its groups; false: there is none, and it has failed. */
bool progress_grow(struct fan *fan, struct subscriber *subscriber, uint32_t channel_count);
/* progress_find() of any subscriber. */
bool progress_find_any(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                       uint32_t group, struct progress_entry *entry);

/* false: it does not subscribe to the channel, or has failed for want of room. */
static inline bool progress_find(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                 uint32_t group, struct progress_entry *entry)
{
    if (subscriber->sub_count > 0 || channel >= subscriber->group_seqs_count) {
        return progress_find_any(fan, subscriber, channel, group, entry);
    }
    assert_debug(group < SUBSCRIBER_GROUPS_MAX);
    struct progress_seq *seq = &subscriber->group_seqs[channel];
    *entry = (struct progress_entry){
        .next = &seq->next,
        .first = &seq->first,
        .policy = subscriber_group_policy(subscriber, group),
    };
    return (subscriber->group_mask & (1u << group)) != 0;
}

/* All from from_seq on before next_seq is lost: GAP will tell it, before the channel's next frame
 * or with a sweep. */
void progress_lose(struct subscriber *subscriber, const struct progress_entry *entry,
                   uint64_t from_seq, uint64_t next_seq, enum gap_reason reason);
/* Brings each subscription up to date (its newest frame, or its loss) once the cursor is. */
void progress_sweep(struct subscriber *subscriber);

#endif
