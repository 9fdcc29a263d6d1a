/*
 * puller: conns that are behind. Each reads the log at its own pace, from its cursor, and knows
 * for each subscription the seq it is to get next; from that follow GAPs, conflation and the
 * newest frames that a new subscription begins with.
 *
 * Owner    A core. Threads: its own.
 * Memory   A conn that pulls whole groups has a table of seqs, PULLER_SEQS_BYTES_MAX for all.
 */
#ifndef RINGCAST_RING_PULLER_H
#define RINGCAST_RING_PULLER_H

#include "ring/fan/fan.h"

#define PULLER_FRAMES_MAX 4096 /* looked at for one conn and turn, */
#define PULLER_BYTES_MAX (128 * KIB)
#define PULLER_IOVS_MAX 256
#define PULLER_CONNS_PER_TURN 64
#define PULLER_SWEEP_BYTES 16384 /* a sweep pauses with so much queued, */
#define PULLER_SWEEP_STEPS 2048  /* or so many channels looked at */
#define PULLER_TURN_STEPS 16384  /* frames and channels looked at in a turn, all conns together */
#define PULLER_SEQS_BYTES_MAX (64 * MIB)

/* Bits of a next seq: */
#define PULLER_SNAPSHOT_DUE (UINT64_C(1) << 63) /* the newest frame is wanted */
#define PULLER_SOUGHT (UINT64_C(1) << 62)       /* where it lies in the log is to be found */
/* Bits of a first seq: */
#define PULLER_GAP_DUE                                                                             \
    (UINT64_C(1) << 63)        /* all from it up to the next is lost, and not told yet */
#define PULLER_REASON_SHIFT 61 /* why: 2 bits */
#define PULLER_SEQ_MASK ((UINT64_C(1) << 61) - 1)

/* As next_seq and first_seq of struct sub, for a channel that a group covers. */
struct puller_seq {
    uint64_t next;
    uint64_t first;
};

/* How one channel stands with a conn: a view of the sub or the group that covers it. */
struct puller_entry {
    uint64_t *next;
    uint64_t *first;
    enum lag_policy policy;
};

static inline enum gap_reason puller_due_reason(const struct puller_entry *entry)
{
    return (enum gap_reason)(*entry->first >> PULLER_REASON_SHIFT & 3);
}

/* From push mode: it goes on at cursor; frames from there up to stream->position (which are
 * pinned) were not sent. */
void puller_start(struct fan *fan, struct subscriber *subscriber, uint64_t cursor);
/* Brings each subscription up to date (its newest frame, or its loss) once the cursor is. */
void puller_sweep(struct subscriber *subscriber);
void puller_enqueue(struct fan *fan, struct subscriber *subscriber);
/* What it gets now: notices, and a plan if there is something to send. */
void puller_plan(struct fan *fan, struct subscriber *subscriber, struct link_view *view);
/* A pull was sent as a whole, or but for the frames from index on. */
void puller_on_sent(struct fan *fan, struct subscriber *subscriber, uint64_t to);
void puller_on_cut(struct fan *fan, struct subscriber *subscriber, uint64_t index, uint64_t to);
/* It is up to date, or ends: what it needed to pull is given back. */
void puller_release(struct fan *fan, struct subscriber *subscriber);
/* What a subscriber that pulls is to get next of a channel that a group of its covers; NULL: there
 * is no room, and it has failed. */
struct puller_seq *puller_group_seq(struct fan *fan, struct subscriber *subscriber,
                                    uint32_t channel);
/* false: it does not subscribe to the channel, or has failed for want of room. */
bool puller_find(struct fan *fan, struct subscriber *subscriber, uint32_t channel, uint32_t group,
                 struct puller_entry *entry);
/* All from from_seq on before next_seq is lost: GAP will tell it, before the channel's next frame
 * or with a sweep. */
void puller_lose(struct subscriber *subscriber, const struct puller_entry *entry, uint64_t from_seq,
                 uint64_t next_seq, enum gap_reason reason);
/* A data frame ahead of all that comes from the log. */
void puller_send_copy(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                      const uint8_t *frame, uint32_t bytes);
void puller_count_copy(struct fan *fan, struct subscriber *subscriber);
/* Adds a frame of the log to a plan, the last of the batch. */
void puller_add_frame(struct plan_batch *batch, struct send_plan *plan, const struct frame_log *log,
                      const struct frame_desc *desc);
/* With so much waiting for its link it is sent nothing else first. */
bool puller_is_full(const struct link_view *view);
/* The writer has passed the core, or an encoding has begun anew: on with live frames from head on,
 * which is pinned, and so is the log's oldest frame. */
void puller_resync(struct fan *fan, struct fan_stream *stream, uint64_t head);

/* The newest full image of a channel, from the log or from where it was saved; NULL: what is newest
 * is none, or the writer has passed the core. Leaves the log pinned, since the image lies there:
 * the end of puller_run unpins it, any other caller goes back to what was pinned before. */
const uint8_t *puller_newest_image(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                   uint32_t *bytes_out);

#endif
