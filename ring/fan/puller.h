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

#include "ring/link/conn.h"

struct core_stream;

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

enum puller_reason {
    PULLER_OVERRUN, /* the log has passed it */
    PULLER_LAG,     /* max_lag */
    PULLER_RESTART, /* another epoch */
};

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

static inline enum puller_reason puller_due_reason(const struct puller_entry *entry)
{
    return (enum puller_reason)(*entry->first >> PULLER_REASON_SHIFT & 3);
}

/* From push mode: the conn goes on at cursor; frames from there up to stream->position (which are
 * pinned) were not sent. */
void puller_start(struct core *core, struct conn *conn, uint64_t cursor);
/* Brings each subscription up to date (its newest frame, or its loss) once the cursor is. */
void puller_sweep(struct core *core, struct conn *conn);
void puller_enqueue(struct core *core, struct conn *conn);
void puller_run(struct core *core);
/* A pull was sent as a whole, or but for the frames from index on. */
void puller_on_sent(struct core *core, struct conn *conn, uint64_t to);
void puller_on_cut(struct core *core, struct conn *conn, uint64_t index, uint64_t to);
void puller_release(struct core *core, struct conn *conn);
/* What a pulling conn is to get next of a channel that a group of its covers; NULL: there is no
 * room, and it is doomed. */
struct puller_seq *puller_group_seq(struct core *core, struct conn *conn, uint32_t channel);
/* false: the conn does not subscribe to the channel, or is doomed for want of room. */
bool puller_find(struct core *core, struct conn *conn, uint32_t channel, uint32_t group,
                 struct puller_entry *entry);
/* All from from_seq on before next_seq is lost: GAP will tell it, before the channel's next frame
 * or with a sweep. */
void puller_lose(struct core *core, struct conn *conn, const struct puller_entry *entry,
                 uint64_t from_seq, uint64_t next_seq, enum puller_reason reason);
/* A data frame ahead of all that comes from the log. */
void puller_send_copy(struct core *core, struct conn *conn, const uint8_t *frame,
                      uint32_t frame_bytes);
/* The writer has passed the core, or an encoding has begun anew: on with live frames. */
void puller_resync(struct core *core, struct core_stream *stream);

/* The newest full image of a channel, from the log or from where it was saved; NULL: what is newest
 * is none, or the writer has passed the core. Leaves the log pinned, since the image lies there:
 * the end of puller_run unpins it, any other caller goes back to what was pinned before. */
const uint8_t *puller_newest_image(struct core *core, struct conn *conn, uint32_t channel,
                                   uint32_t *bytes_out);

#endif
