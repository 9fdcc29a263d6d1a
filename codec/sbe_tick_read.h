/*
 * sbe_tick_read: the payload of a binary data frame (encoding md.sbe.v1) back into a tick.
 *
 * Owner    The caller owns all memory. Threads: pure functions.
 * Memory   Levels and texts are written to the caller's room; the tick refers to it. Nothing is
 *          read beyond payload_bytes.
 * Units    Times are nanoseconds since the Unix epoch.
 * Errors   false: no message of the schema, a value that the schema does not have, a text that is
 *          not UTF-8, or more than there is room for. What is read can be encoded again.
 * Source   codec/md.xml; docs/sbe.md. Fields that later versions append are ignored.
 */
#ifndef RINGCAST_CODEC_SBE_TICK_READ_H
#define RINGCAST_CODEC_SBE_TICK_READ_H

#include "codec/sbe_tick.h"

struct sbe_tick_room {
    struct md_level *levels;
    uint32_t level_count_max; /* of both sides together */
    char *texts;
    size_t texts_bytes; /* of two texts, each with its end */
};

struct sbe_tick {
    struct md_update update; /* with the channel as the frame has it */
    uint64_t seq;
    uint64_t ts_pub_ns;
};

bool sbe_tick_read(struct sbe_tick *tick_out, const struct sbe_tick_room *room,
                   const uint8_t *payload, size_t payload_bytes);

#endif
