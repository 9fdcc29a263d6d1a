/*
 * tap_verify: checks whether several connections (readers) received everything, and the same.
 *
 * From its first frame on, a reader's seqs of a channel must be contiguous, except for what a GAP
 * reported. The first reader that receives a frame sets its bytes; those of the others must be
 * equal. Certificate: for each channel the range that all readers have in common (from the highest
 * first seq to the lowest last one) and its digest: SHA-256 over the SHA-256 of each frame's
 * payload, in the order of seq; and one digest over all channels.
 *
 * Each reader computes the running hash of each channel (codec/running_hash.h) from the hash that
 * the server gave first, and compares it with the next one that the server gives: the frames in
 * between are proven. A missing frame breaks the chain, which begins again at the next hash.
 *
 * Owner    main. Threads: one.
 * Memory   56 bytes per reader and channel, 56 per frame that not all readers have yet, at most
 *          65 536 of a channel. A reader further behind cannot be compared, which is reported.
 * Units    A seq is that of the frames; 0 means none.
 */
#ifndef RINGCAST_TOOLS_TAP_VERIFY_H
#define RINGCAST_TOOLS_TAP_VERIFY_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/common/tick_scan.h"

struct tap_verify;

/* NULL: out of memory. */
struct tap_verify *tap_verify_create(uint32_t reader_count);
void tap_verify_destroy(struct tap_verify *verify);

/* A data frame's payload. */
void tap_verify_on_frame(struct tap_verify *verify, uint32_t reader, const uint8_t *payload,
                         size_t payload_bytes);

/* A data frame of SBE; json: the data frame with the same values. */
void tap_verify_on_sbe(struct tap_verify *verify, uint32_t reader, const uint8_t *payload,
                       size_t payload_bytes, const uint8_t *json, size_t json_bytes);

/* Frames that the server reports as not sent; both ends inclusive. */
void tap_verify_on_gap(struct tap_verify *verify, uint32_t reader, uint64_t channel, uint64_t from,
                       uint64_t to);

/* The next seq of a channel, from the server (SUBSCRIBED, HEARTBEAT). */
void tap_verify_on_next_seq(struct tap_verify *verify, uint32_t reader, uint64_t channel,
                            uint64_t next_seq);

/* The running hash before next_seq, from the server (SUBSCRIBED, HEARTBEAT): 16 hexadecimal digits.
 * Call it after tap_verify_on_next_seq. */
void tap_verify_on_hash(struct tap_verify *verify, uint32_t reader, uint64_t channel,
                        uint64_t next_seq, const char *hash);

/* Whether a hash would help: a chain of the reader's is broken, or not proven up to the goal. */
bool tap_verify_wants_hash(const struct tap_verify *verify, uint32_t reader);

/* One epoch for all readers and all the time. */
void tap_verify_on_epoch(struct tap_verify *verify, uint32_t reader, const char *epoch);

/* A text about a malformed message. */
void tap_verify_on_fault(struct tap_verify *verify, uint32_t reader, const char *what);

/* Remembers how far the foremost reader is in each channel ... */
void tap_verify_set_goal(struct tap_verify *verify);
/* ... and returns whether all readers have reached that, and proven it, if there are hashes. */
bool tap_verify_is_at_goal(const struct tap_verify *verify);

#endif
