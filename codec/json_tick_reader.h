/*
 * json_tick_reader: a quote or bar, read back from the frame payload that json_tick wrote, so that
 * an encoding which begins late can start with the newest image of each channel.
 *
 * Owner    The caller. Threads: pure functions.
 * Memory   The caller's; the update points into the struct it lies in.
 * Errors   false: not what json_tick writes for a quote or bar, or more than it has room for.
 * Source   docs/protocol.md, "Data frames".
 */
#ifndef RINGCAST_CODEC_JSON_TICK_READER_H
#define RINGCAST_CODEC_JSON_TICK_READER_H

#include "codec/md.h"

#define JSON_TICK_READER_LEVELS_MAX 64 /* of one side */
#define JSON_TICK_READER_STATUS_BYTES_MAX 63

struct json_tick_reader {
    struct md_update update;
    uint64_t seq;
    uint64_t ts_pub_ns;
    struct md_level bids[JSON_TICK_READER_LEVELS_MAX];
    struct md_level asks[JSON_TICK_READER_LEVELS_MAX];
    char status[JSON_TICK_READER_STATUS_BYTES_MAX + 1];
};

/* A filler (pad) is passed over: the update has none. */
bool json_tick_read(struct json_tick_reader *reader, const uint8_t *payload, size_t payload_bytes);

#endif
