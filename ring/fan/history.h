/*
 * history: frames from the past for a conn. It asks to continue after a seq (core_resume), or for a
 * channel's newest frame as it was sent (core_find_snapshots).
 *
 * To go on, a channel's next seq is set back; then the oldest frame that is wanted is sought, from
 * the newest back along the links of the channel's descriptors, HISTORY_STEPS_MAX a turn: as many
 * steps in all as there will be frames to send. The conn pulls from there on. Until it has come to
 * what was newest of its channels when it asked, its live frames wait in the log, none is conflated
 * and none is too late.
 *
 * For all encodings the history is what the first encoding's log (JSON's) has. From the point where
 * another encoding began, its log has the same ticks in the same order. A conn with that encoding
 * reads the JSON log up to there, and then its own
 * (docs/decisions/0017-history-is-the-json-log.md).
 *
 * Owner    A core. Threads: its own.
 * Memory   struct subscriber_past.
 */
#ifndef RINGCAST_RING_HISTORY_H
#define RINGCAST_RING_HISTORY_H

#include "ring/fan/puller.h"

#define HISTORY_STEPS_MAX                                                                          \
    512 /* for one conn and turn, each to a descriptor somewhere in memory                         \
         */
/* So much of a frame is put into another encoding in the time of one of a puller's steps. */
#define HISTORY_RECODED_STEP_BYTES 16
/* A snapshot of a channel that the conn has not all of yet is found within this many frames. */
#define HISTORY_SNAPSHOT_STEPS_MAX 64

/* Whether a frame is of before the conn asked for the past. */
static inline bool history_is_past(struct fan *fan, const struct subscriber *subscriber,
                                   uint64_t index)
{
    return subscriber->in_history &&
           (subscriber->reads_json || index < fan_past(fan, subscriber)->end);
}

/* The connection must pull nothing before this is over. Places that were found also count if the
 * subscription whose place is still sought has ended. */
static inline bool history_is_seeking(struct fan *fan, const struct subscriber *subscriber)
{
    const struct subscriber_past *history = fan_past(fan, subscriber);
    return subscriber->in_history &&
           (history->seek_sub != SUB_NONE || history->first != UINT64_MAX);
}

static inline bool history_is_over(struct fan *fan, const struct subscriber *subscriber)
{
    return !history_is_seeking(fan, subscriber) && !subscriber->reads_json &&
           subscriber->cursor >= fan_past(fan, subscriber)->end;
}

enum history_walk {
    HISTORY_FOUND,
    HISTORY_GONE, /* The log has passed it. */
    HISTORY_MORE, /* No steps are left. */
};

/* Follows a channel's links back to its frame with a seq, not beyond the oldest that is pinned.
 * *at: 1 + the index of the frame to read next, which is not older than that one. */
enum history_walk history_walk_back(const struct frame_log *log, uint64_t oldest, uint64_t seq,
                                    uint64_t *at, uint32_t *steps);
/* The index in a stream's own log of what lies at one in the JSON log, pinned; false: it does not
 * have that, or the core has not come to it. */
bool history_pin_own(const struct fan *fan, const struct fan_stream *stream, uint64_t json_index,
                     uint64_t *index_out);
/* For a conn that reads the JSON log: on with its own, if that has what it is to get next; and
 * otherwise up to where it may read. */
void history_leave_json(struct fan *fan, struct subscriber *subscriber);
uint64_t history_json_end(struct fan *fan, const struct subscriber *subscriber);
/* Whether frames of the JSON log are to be put into the conn's own encoding, as history_send does.
 */
bool history_recodes(struct fan *fan, const struct subscriber *subscriber);
void history_send(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                  const struct frame_desc *desc);
/* A piece of the search; at its end the cursor is where it is to be. */
void history_seek(struct fan *fan, struct subscriber *subscriber);
/* The log has overrun the connection meanwhile: the frames it has not got are lost, for any policy.
 */
void history_lose(struct fan *fan, struct subscriber *subscriber);
/* A subscription is about to go. */
void history_forget_sub(struct fan *fan, struct subscriber *subscriber, uint32_t sub);

/* What the logs have of a channel. */
struct history_reach {
    uint64_t newest_seq;  /* that a client can have got */
    uint64_t end;         /* index after its frame in the own log; 0: that is dropped */
    uint64_t gone_seq;    /* The JSON log has none up to it any more, */
    uint64_t dropped_seq; /* and the own log none up to this one. */
};
void history_find_reach(struct fan *fan, const struct subscriber *subscriber, uint32_t channel,
                        struct history_reach *reach_out);
/* A subscription continues from a seq. 0: all is there; 1: a GAP reports the rest; -ENOSPC. */
int history_resume(struct fan *fan, struct subscriber *subscriber, uint32_t channel, uint32_t group,
                   uint64_t from_seq, bool is_same_epoch, const struct history_reach *reach);
/* A channel's newest frame, or the last that one which is behind has got. oldest: the oldest frame
 * of its log, pinned; what is found is valid as long. */
void history_find_snapshot(struct fan *fan, struct subscriber *subscriber, uint64_t oldest,
                           struct core_snapshot *snapshot);

#endif
