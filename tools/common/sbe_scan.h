/*
 * sbe_scan: channel, seq and times of a message of md.sbe.v1, at the offsets that all of them
 * share.
 *
 * Owner    The caller's bytes. Threads: pure functions.
 * Memory   Nothing is read beyond payload_bytes.
 * Units    Times: nanoseconds since the Unix epoch.
 * Source   codec/md.xml.
 */
#ifndef RINGCAST_TOOLS_SBE_SCAN_H
#define RINGCAST_TOOLS_SBE_SCAN_H

#include "codec/base/bytes.h"
#include "codec/sbe_tick.h"
#include "tools/common/pattern_scan.h"

static inline uint16_t sbe_scan_u16(const uint8_t *payload, size_t offset)
{
    uint16_t value;
    memcpy(&value, payload + offset, sizeof value);
    return value;
}

static inline uint64_t sbe_scan_u64(const uint8_t *payload, size_t offset)
{
    uint64_t value;
    memcpy(&value, payload + offset, sizeof value);
    return value;
}

/* false: it is no message of the schema. */
static inline bool sbe_scan_place(const uint8_t *payload, size_t payload_bytes,
                                  struct pattern_place *place_out)
{
    uint32_t channel;
    if (payload_bytes < SBE_TICK_COMMON_BYTES ||
        sbe_scan_u16(payload, SBE_TICK_SCHEMA_AT) != SBE_TICK_SCHEMA_ID ||
        sbe_scan_u16(payload, SBE_TICK_BLOCK_BYTES_AT) < SBE_TICK_COMMON_BYTES - SBE_TICK_SEQ_AT) {
        return false;
    }
    memcpy(&channel, payload + SBE_TICK_CHANNEL_AT, sizeof channel);
    place_out->channel = channel;
    place_out->seq = sbe_scan_u64(payload, SBE_TICK_SEQ_AT);
    place_out->end = SBE_TICK_COMMON_BYTES;
    return true;
}

/* A time at one of SBE_TICK_TS_*_AT; false: it is not given. */
static inline bool sbe_scan_time(const uint8_t *payload, size_t offset, uint64_t *time_ns_out)
{
    *time_ns_out = sbe_scan_u64(payload, offset);
    return *time_ns_out != UINT64_MAX;
}

/* Whether it is a whole book. Messages of other types are always images. */
static inline bool sbe_scan_is_image(const uint8_t *payload, size_t payload_bytes)
{
    return sbe_scan_u16(payload, SBE_TICK_TEMPLATE_AT) != MD_DEPTH + 1 ||
           (payload_bytes > SBE_TICK_ACTION_AT && payload[SBE_TICK_ACTION_AT] == 0);
}

#endif
