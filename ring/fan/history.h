/*
 * history: what a conn gets of the past. It asks to go on after a seq (core_resume), or for a
 * channel's newest frame as it was sent (core_find_snapshots).
 *
 * To go on, a channel's next seq is set back; then the oldest frame that is wanted is sought, from
 * the newest back along the links of the channel's descriptors, HISTORY_STEPS_MAX a turn: as many
 * steps in all as there will be frames to send. The conn pulls from there on. Until it has come to
 * what was newest of its channels when it asked, its live frames wait in the log, none is conflated
 * and none is too late.
 *
 * What is in reach is what the first encoding's log (JSON's) has, for all. From where another
 * encoding began its log has the same ticks in the same order: a conn of it reads the JSON log up
 * to there, and then its own (docs/decisions/0017-history-is-the-json-log.md).
 *
 * Owner    A core. Threads: its own.
 * Memory   struct conn_history.
 */
#ifndef RINGCAST_RING_HISTORY_H
#define RINGCAST_RING_HISTORY_H

#include "ring/core/core_state.h"

#define HISTORY_STEPS_MAX                                                                          \
    512 /* for one conn and turn, each to a descriptor somewhere in memory                         \
         */
/* So much of a frame is put into another encoding in the time of one of a puller's steps. */
#define HISTORY_RECODED_STEP_BYTES 16
/* A snapshot of a channel that the conn has not all of yet is found within so many frames. */
#define HISTORY_SNAPSHOT_STEPS_MAX 64

/* Whether a frame is of before the conn asked for the past. */
static inline bool history_is_past(struct core *core, const struct conn *conn, uint64_t index)
{
    return conn->in_history && (conn->reads_json || index < core_history(core, conn)->end);
}

/* The conn is to pull nothing before this is over. */
static inline bool history_is_seeking(struct core *core, const struct conn *conn)
{
    return conn->in_history && core_history(core, conn)->seek_sub != SUB_NONE;
}

static inline bool history_is_over(struct core *core, const struct conn *conn)
{
    return !history_is_seeking(core, conn) && !conn->reads_json &&
           conn->cursor >= core_history(core, conn)->end;
}

enum history_walk {
    HISTORY_FOUND,
    HISTORY_GONE, /* The log has passed it. */
    HISTORY_MORE, /* No steps are left. */
};

/* Follows a channel's links back to its frame with a seq, not beyond the oldest that is pinned.
 * *at: 1 + the index of the frame to look at next, which is not older than that one. */
enum history_walk history_walk_back(const struct frame_log *log, uint64_t oldest, uint64_t seq,
                                    uint64_t *at, uint32_t *steps);
/* The index in a stream's own log of what lies at one in the JSON log, pinned; false: it does not
 * have that, or the core has not come to it. */
bool history_pin_own(const struct core *core, const struct core_stream *stream, uint64_t json_index,
                     uint64_t *index_out);
/* For a conn that reads the JSON log: on with its own, if that has what it is to get next; and
 * otherwise up to where it may read. */
void history_leave_json(struct core *core, struct conn *conn);
uint64_t history_json_end(struct core *core, const struct conn *conn);
/* Whether frames of the JSON log are to be put into the conn's own encoding, as history_send does.
 */
bool history_recodes(struct core *core, const struct conn *conn);
void history_send(struct core *core, struct conn *conn, const struct frame_desc *desc);
/* A piece of the search; at its end the cursor is where it is to be. */
void history_seek(struct core *core, struct conn *conn);
/* The log has passed the conn on its way: what it has not got is lost, whatever the policy. */
void history_lose(struct core *core, struct conn *conn);
/* A subscription is about to go. */
void history_forget_sub(struct core *core, struct conn *conn, uint32_t sub);

#endif
