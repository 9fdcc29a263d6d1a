/*
 * json_tick_read: the payload of a JSON data frame back into a tick, as json_tick_encode wrote it.
 *
 * Owner    The caller owns all memory. Threads: pure functions.
 * Memory   Levels and texts go to the caller's room; the tick refers to it.
 * Errors   false: anything else than what json_tick_encode writes, or more than there is room for.
 *
 * It is no reader of JSON: fields come in the order in which they are written.
 */
#ifndef RINGCAST_CODEC_JSON_TICK_READ_H
#define RINGCAST_CODEC_JSON_TICK_READ_H

#include "codec/json_tick.h"

#define JSON_TICK_READ_TEXT_BYTES_MAX 64

struct json_tick_room {
    struct md_level *bids;
    struct md_level *asks;
    uint32_t level_count_max; /* of each side */
    char text[JSON_TICK_READ_TEXT_BYTES_MAX];
    char reason[JSON_TICK_READ_TEXT_BYTES_MAX];
};

/* head: of the frame's channel; type: its type. pad_bytes and channel are left 0. */
bool json_tick_read(struct md_update *update_out, struct json_tick_room *room, enum md_type type,
                    const struct json_tick_head *head, const uint8_t *payload,
                    size_t payload_bytes);

#endif
