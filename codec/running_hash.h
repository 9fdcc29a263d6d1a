/*
 * running_hash: one number for all that a channel has sent, so that a client can prove that it
 * got every frame, unaltered and in order.
 *
 *   hash(n) = XXH3_64(hash(n - 1), XXH3_64(payload of frame n))      hash(0) = RUNNING_HASH_START
 *
 * where the outer one takes both numbers as 8 bytes each, little-endian. XXH3_64 has no seed and
 * the library's own secret. It finds mistakes and faults, and is no defence against a forger.
 *
 * Threads  Pure functions. Memory: the caller's.
 * Source   docs/protocol.md, "The running hash"; xxhash.com.
 */
#ifndef RINGCAST_CODEC_RUNNING_HASH_H
#define RINGCAST_CODEC_RUNNING_HASH_H

#include <stddef.h>
#include <stdint.h>

#define RUNNING_HASH_START 0

uint64_t running_hash_payload(const void *payload, size_t payload_bytes);

/* The hash after one more frame. */
uint64_t running_hash_add(uint64_t hash, uint64_t payload_hash);

#endif
