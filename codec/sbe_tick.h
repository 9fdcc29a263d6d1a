/*
 * sbe_tick: a tick as the payload of a binary data frame (encoding md.sbe.v1).
 *
 * Owner    The caller owns all memory. Threads: pure functions.
 * Memory   The payload is written in place, into the frame log.
 * Units    Times are nanoseconds since the Unix epoch.
 * Source   codec/md.xml, the schema; docs/sbe.md.
 *
 * All prices of a message share one exponent, the least of theirs; so do its sizes, the volume
 * among them. The turnover has its own. That is exact, though "12.30" may become "12.300".
 */
#ifndef RINGCAST_CODEC_SBE_TICK_H
#define RINGCAST_CODEC_SBE_TICK_H

#include "codec/md.h"

/* Where a payload of any type has them; md_type + 1 is the template's id. */
#define SBE_TICK_BLOCK_BYTES_AT 0 /* u16 */
#define SBE_TICK_TEMPLATE_AT 2    /* u16 */
#define SBE_TICK_SCHEMA_AT 4      /* u16 */
#define SBE_TICK_SEQ_AT 8         /* u64, as the times */
#define SBE_TICK_TS_EVENT_AT 16   /* UINT64_MAX: not given; so is ts_recv */
#define SBE_TICK_TS_RECV_AT 24
#define SBE_TICK_TS_PUB_AT 32
#define SBE_TICK_CHANNEL_AT 40   /* u32 */
#define SBE_TICK_ACTION_AT 46    /* u8, of depth: 0 snapshot, 1 delta */
#define SBE_TICK_COMMON_BYTES 44 /* header and what all types have */
#define SBE_TICK_SCHEMA_ID 901

#define SBE_TICK_LEVELS_MAX 65534     /* a side */
#define SBE_TICK_TEXT_BYTES_MAX 65534 /* status, state, reason */

/* Writes the message of one tick and returns its length. Nothing is written behind it; update's own
 * channel and pad_bytes are left aside. 0: there is no message, and out is undefined, when
 *   it does not fit in out_bytes;
 *   a side has more levels, or a text more bytes, than the limits above;
 *   a price or size overflows int64 with the exponent of the others (10^12 beside 10^-8);
 *   a level has no price;
 *   a time, id, count or checksum that is given is the highest of its type, which means null. */
size_t sbe_tick_encode(uint8_t *out, size_t out_bytes, uint32_t channel,
                       const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns);

/* Whether the message represents the tick to the digit, so that the same JSON can be written from
 * it: all prices have one exponent, and so do all sizes, and no text is given but empty. */
bool sbe_tick_is_exact(const struct md_update *update);

#endif
