/*
 * tick_scan: channel, seq and publish time of a JSON data frame, without parsing JSON.
 *
 * docs/protocol.md fixes the order of a data frame's first keys:
 *
 *   {"type":"quote","symbol":"000001.SZ","ch":1042,"seq":58211,...,"ts_pub":1732078800123461200,
 *    ^9: lower case in data frames, upper case in control frames
 *
 * Owner    The caller keeps a struct tick_scan per stream of similar frames. The scanner first
 *          tries the places at which the keys were in the last frame.
 * Threads  One at a time per struct tick_scan.
 * Memory   Nothing is allocated; nothing is read beyond payload_bytes.
 * Units    ts_pub_ns: nanoseconds since the Unix epoch.
 */
#ifndef RINGCAST_TOOLS_TICK_SCAN_H
#define RINGCAST_TOOLS_TICK_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The longest head up to "ts_pub": a symbol of escapes, three times, channel and seq. */
#define TICK_SCAN_HEAD_BYTES_MAX 512
#define TICK_SCAN_TYPE_OFFSET 9 /* strlen of {"type":" */

struct tick_scan {
    uint32_t channel_offset; /* Of "ch": in the frame before. */
    uint32_t pub_distance;   /* From the end of seq to "ts_pub": in the frame before. */
};

struct tick_fields {
    uint64_t channel;
    uint64_t seq;
    uint64_t ts_pub_ns;
    size_t seq_end; /* Offset of the byte after seq's digits. */
};

/* false: a control frame, or no data frame as described above; *fields_out is undefined. */
bool tick_scan_slow(struct tick_scan *scan, const uint8_t *payload, size_t payload_bytes,
                    struct tick_fields *fields_out);

/* Whether it is a data frame or a control frame. The rest of it may be malformed. */
static inline bool tick_scan_is_data(const uint8_t *payload, size_t payload_bytes)
{
    return payload_bytes > TICK_SCAN_TYPE_OFFSET && payload[TICK_SCAN_TYPE_OFFSET] >= 'a' &&
           payload[TICK_SCAN_TYPE_OFFSET] <= 'z';
}

static inline uint64_t tick_scan_load(const uint8_t *at)
{
    uint64_t chunk;
    memcpy(&chunk, at, sizeof chunk);
    return chunk;
}

/* The number of digits at the beginning of the 8 bytes. */
static inline uint32_t tick_scan_digit_count(uint64_t chunk)
{
    uint64_t digits = chunk ^ UINT64_C(0x3030303030303030);
    uint64_t others =
        ((digits + UINT64_C(0x0606060606060606)) | digits) & UINT64_C(0xf0f0f0f0f0f0f0f0);
    return others == 0 ? 8 : (uint32_t)__builtin_ctzll(others) / 8;
}

/* The value of the first digit_count (1 to 8) bytes: three multiplications for all of them. */
static inline uint64_t tick_scan_digits(uint64_t chunk, uint32_t digit_count)
{
    chunk = (chunk << (64 - 8 * digit_count)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
    chunk = (chunk * 2561) >> 8 & UINT64_C(0x00ff00ff00ff00ff);
    chunk = (chunk * 6553601) >> 16 & UINT64_C(0x0000ffff0000ffff);
    return (chunk * UINT64_C(42949672960001)) >> 32;
}

/* Reads up to 24 bytes at *at; digits up to 19. false: no digit, or too many. */
static inline bool tick_scan_number(const uint8_t **at, uint64_t *value_out)
{
    static const uint64_t powers[] = {1,      10,      100,      1000,     10000,
                                      100000, 1000000, 10000000, 100000000};
    uint64_t value = 0;
    uint32_t total = 0;
    for (uint32_t chunk_index = 0; chunk_index < 3; chunk_index++) {
        uint64_t chunk = tick_scan_load(*at);
        uint32_t count = tick_scan_digit_count(chunk);
        if (count > 0) {
            value = value * powers[count] + tick_scan_digits(chunk, count);
        }
        *at += count;
        total += count;
        if (count < 8) {
            break;
        }
    }
    *value_out = value;
    return total > 0 && total <= 19;
}

/* Like tick_scan_slow; costs about 10 ns if the keys are where they were in the last frame. */
static inline bool tick_scan(struct tick_scan *scan, const uint8_t *payload, size_t payload_bytes,
                             struct tick_fields *fields_out)
{
    const uint8_t *at = payload + scan->channel_offset;
    const uint8_t *end = payload + payload_bytes;
    /* Two keys and two numbers, each read by 24 bytes at a time, must lie inside. */
    if (scan->channel_offset + 72 > payload_bytes || memcmp(at, "\"ch\":", 5) != 0) {
        return tick_scan_slow(scan, payload, payload_bytes, fields_out);
    }
    at += 5;
    if (!tick_scan_number(&at, &fields_out->channel) || memcmp(at, ",\"seq\":", 7) != 0) {
        return tick_scan_slow(scan, payload, payload_bytes, fields_out);
    }
    at += 7;
    if (!tick_scan_number(&at, &fields_out->seq)) {
        return tick_scan_slow(scan, payload, payload_bytes, fields_out);
    }
    fields_out->seq_end = (size_t)(at - payload);
    if ((size_t)(end - at) < scan->pub_distance + 33u ||
        memcmp(at + scan->pub_distance, "\"ts_pub\":", 9) != 0) {
        return tick_scan_slow(scan, payload, payload_bytes, fields_out);
    }
    at += scan->pub_distance + 9;
    return tick_scan_number(&at, &fields_out->ts_pub_ns);
}

#endif
