/*
 * sequencer: gives a tick its seq and its time of publication. Nothing else does.
 *
 * Owner    The publisher. Threads: the publisher's.
 * Memory   None: a channel's last seq is that of its newest frame in the JSON log.
 * Units    Nanoseconds of CLOCK_REALTIME.
 *
 * A seq is taken when the tick is written (encodings_write). Until then, the channel's next tick is
 * stamped with the same seq: what fits no frame takes none.
 */
#ifndef RINGCAST_SRC_SEQUENCER_H
#define RINGCAST_SRC_SEQUENCER_H

#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/md.h"
#include "ring/board/frame_log.h"

/* What is written into the log of every encoding, as it is in each. */
struct tick {
    const struct md_update *update; /* NULL: it is lost; a GAP takes its place */
    uint32_t channel;
    uint8_t group; /* the channel's */
    uint8_t flags; /* enum frame_flags */
    uint64_t seq;
    uint64_t ts_pub_ns;
};

static inline void sequencer_stamp(struct tick *tick, const struct frame_log *json_log)
{
    assert_debug(tick->channel < json_log->channel_count_max);
    tick->seq = frame_log_next_seq(json_log, tick->channel);
    tick->ts_pub_ns = clock_ns(CLOCK_REALTIME);
    assert_debug(tick->seq > 0);
}

#endif
