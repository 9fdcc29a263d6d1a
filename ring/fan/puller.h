/*
 * puller: conns that are behind. Each reads the log at its own pace, from its cursor, and knows
 * for each subscription the seq it is to get next; from that follow GAPs, conflation and the
 * newest frames that a new subscription begins with.
 *
 * Owner    A core. Threads: its own.
 * Memory   A conn that pulls whole groups has a table of seqs, PROGRESS_SEQS_BYTES_MAX for all.
 */
#ifndef RINGCAST_RING_PULLER_H
#define RINGCAST_RING_PULLER_H

#include "ring/fan/progress.h"

#define PULLER_FRAMES_MAX 4096 /* read for one conn and turn, */
#define PULLER_BYTES_MAX (128 * KIB)
#define PULLER_IOVS_MAX 256
#define PULLER_CONNS_PER_TURN 64
#define PULLER_SWEEP_BYTES 16384 /* a sweep pauses with so much queued, */
#define PULLER_SWEEP_STEPS 2048  /* or this many channels read */
#define PULLER_TURN_STEPS 16384  /* frames and channels read in a turn, all conns together */

static_assert(PULLER_IOVS_MAX <= PLAN_ROOM_IOVS_MAX, "");
static_assert(PULLER_SWEEP_BYTES / PLAN_NOTICE_BYTES_MIN + 3 <= PLAN_ROOM_NOTICES_MAX,
              "no more than one plan has room for");

/* From push mode: it goes on at cursor; frames from there up to stream->position (which are
 * pinned) were not sent. */
void puller_start(struct fan *fan, struct subscriber *subscriber, uint64_t cursor);
void puller_enqueue(struct fan *fan, struct subscriber *subscriber);
/* What it gets now: notices, and a plan if there is something to send. */
void puller_plan(struct fan *fan, struct subscriber *subscriber, struct link_view *view);
/* A pull was sent: all of it, or all up to the frame at index. */
void puller_on_sent(struct fan *fan, struct subscriber *subscriber, uint64_t to);
void puller_on_cut(struct fan *fan, struct subscriber *subscriber, uint64_t index, uint64_t to);
/* A data frame ahead of all that comes from the log. */
void puller_send_copy(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                      const uint8_t *frame, uint32_t bytes);
void puller_count_copy(struct fan *fan, struct subscriber *subscriber);
/* Adds a frame of the log to a plan, the last of the batch. */
void puller_add_frame(struct plan_batch *batch, struct send_plan *plan, const struct frame_log *log,
                      const struct frame_desc *desc);
/* It is closed, and nothing more of it is planned. */
void puller_end_slow(struct fan *fan, struct subscriber *subscriber);
/* It is lag_ns behind: what has a lower limit is passed over. Between two turns, so that no frame
 * is on its way. */
void puller_limit_lag(struct fan *fan, struct subscriber *subscriber, uint64_t lag_ns);
/* With so much waiting for its link it is sent nothing else first. */
bool puller_is_full(const struct link_view *view);
/* The writer has passed the core, or an encoding has begun again: on with live frames from head on,
 * which is pinned, and so is the log's oldest frame. */
void puller_resync(struct fan *fan, struct fan_stream *stream, uint64_t head);

/* The newest full image of a channel, from the log or from where it was saved; NULL: what is newest
 * is none, or the writer has passed the core. Leaves the log pinned, since the image lies there:
 * the end of the pulls unpins it, any other caller goes back to what was pinned before. */
const uint8_t *puller_newest_image(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                   uint32_t *bytes_out);

#endif
