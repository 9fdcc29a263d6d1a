/*
 * replay_frames: data frames of a capture of a ringcast, published again as the ticks that they
 * were made from.
 *
 * A jump in the seq of a channel of trades, status or deltas of a book means that the capture has
 * lost ticks there: the channel's subscribers get a GAP. Quotes and bars replace what was before
 * them, so a jump loses nothing. Control frames are skipped, and counted by their names.
 *
 * Owner    replay_file. Threads: one at a time.
 * Memory   The reader's, and 16 bytes for each channel.
 * Errors   A text that is not as documented is a status, with its reason in fault.
 */
#ifndef RINGCAST_FEEDS_REPLAY_FRAMES_H
#define RINGCAST_FEEDS_REPLAY_FRAMES_H

#include "feeds/feed.h"
#include "feeds/frame_ticks.h"
#include "feeds/kind_counts.h"

struct replay_frames_place {
    uint64_t seq;    /* the newest; 0: none yet */
    uint64_t stream; /* in which it came */
};

struct replay_frames {
    const struct feed_sink *sink;
    struct feed_counters *counters;
    const char *suffix; /* in place of what follows the last dot of a symbol; NULL: as it is */
    struct frame_ticks *reader;
    struct replay_frames_place *places; /* of each channel */
    uint32_t place_count;
    uint64_t stream; /* how often the recording has begun: 1 and more */
    struct kind_counts ticks;
    struct kind_counts skipped;
    const char *fault; /* of the last malformed text: a sentence that never changes */
};

/* suffix is borrowed. -ENOMEM. */
int replay_frames_create(struct replay_frames **frames_out, const char *suffix,
                         const struct feed_sink *sink, struct feed_counters *counters);
void replay_frames_destroy(struct replay_frames *frames);

/* Publishes the tick of one frame, and counts it: ticks, skipped, malformed, holes. */
enum frame_ticks_status replay_frames_decode(struct replay_frames *frames, const char *text,
                                             size_t text_bytes, uint64_t ts_recv_ns);

/* The recording begins again: the next frames do not continue the ones before. */
void replay_frames_restart(struct replay_frames *frames);

#endif
