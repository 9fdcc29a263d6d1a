/*
 * replayer: history on a live conn. A replay is a stretch of the first encoding's log (JSON's) and
 * some channels of it; where the conn's own log has the same ticks, they are sent from there. It is
 * sent beside live frames, whose order and lag it never touches: only while its conn is pushed and
 * has got all that is due, REPLAYER_BYTES_MAX of one and REPLAYER_TURN_BYTES_MAX of all in a turn
 * of the core. Its channels are not subscribed meanwhile. At its end, unless it was given one, they
 * are, from where it ended on (core_resume), so that live frames follow without a hole.
 *
 * Owner    A core. Threads: its own.
 * Memory   CORE_REPLAYS_MAX records; the list of channels is allocated for each.
 */
#ifndef RINGCAST_RING_REPLAYER_H
#define RINGCAST_RING_REPLAYER_H

#include "ring/fan/fan.h"

#define REPLAYER_BYTES_MAX (64 * KIB)
#define REPLAYER_TURN_BYTES_MAX (256 * KIB)
#define REPLAYER_FRAMES_MAX 4096 /* read for one and turn */
#define REPLAYER_LOOK_BYTES 16   /* what a frame that is read counts for, of the turn */
#define REPLAYER_RECODE_FACTOR 4 /* a frame that is encoded again counts this many times */
#define REPLAYER_IOVS_MAX 256

static_assert(REPLAYER_IOVS_MAX <= PLAN_ROOM_IOVS_MAX, "");

/* See core_replay. */
int replayer_start(struct fan *fan, struct subscriber *subscriber, const struct core_replay *wanted,
                   const struct core_replayed *channels, uint32_t count);
/* See core_limit_replay. */
uint32_t replayer_limit(struct fan *fan, struct subscriber *subscriber,
                        bool (*keeps)(void *context, uint32_t channel), void *context);
/* Plans what is due of one, and sets fan->replay_due_ns. Returns what it took of the turn, in
 * bytes. */
uint64_t replayer_plan(struct fan *fan, struct replay *replay, struct link_view *view);
/* All before an index of a stream's log, its own or JSON's. */
void replayer_on_sent(struct fan *fan, struct subscriber *subscriber,
                      const struct fan_stream *stream, uint64_t to);
/* Ends it. Its channels, which are returned, are the caller's to free. */
struct core_replayed *replayer_end(struct fan *fan, struct subscriber *subscriber,
                                   struct replay *ended_out);
/* Ends it, if there is one, without another word. */
void replayer_forget(struct fan *fan, struct subscriber *subscriber);

#endif
