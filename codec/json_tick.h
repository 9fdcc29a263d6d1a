/*
 * json_tick: a tick as the payload of a JSON data frame (encoding md.json.v1).
 *
 * Owner    The caller owns all memory. Threads: pure functions.
 * Memory   The payload is written in place, into the frame log.
 * Units    Times are nanoseconds since the Unix epoch.
 * Source   docs/protocol.md, "Data frames".
 */
#ifndef RINGCAST_CODEC_JSON_TICK_H
#define RINGCAST_CODEC_JSON_TICK_H

#include "codec/md.h"

/* Holds {"type":"quote","symbol":"...","ch":1042,"as_of":9,"part":1,"parts":9,"seq": with a symbol
 * that is all escapes, and the longest numbers. */
#define JSON_TICK_HEAD_BYTES_MAX 312

/* What never changes in the frames of one channel, made once per channel. */
struct json_tick_head {
    uint16_t text_bytes;
    char text[JSON_TICK_HEAD_BYTES_MAX];
};

/* symbol: UTF-8, at most MD_SYMBOL_BYTES_MAX bytes; written with JSON escapes. */
void json_tick_head_init(struct json_tick_head *head, enum md_type type, const char *symbol,
                         size_t symbol_bytes, uint32_t channel);

/* Writes the payload of one tick and returns its length; may scribble behind it, within
 * out_bytes. 0: it does not fit in out_bytes, or (with pad_bytes) what must be said is longer
 * than pad_bytes; out is then undefined. A padded quote says its last price only. */
size_t json_tick_encode(uint8_t *out, size_t out_bytes, const struct json_tick_head *head,
                        const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns);

#endif
