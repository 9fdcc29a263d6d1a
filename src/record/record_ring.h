/*
 * record_ring: a bounded queue of messages from one thread to another. Each message is a u32
 * length, little endian, and that many bytes, in one piece.
 *
 * Owner    record. Threads: one writes (room, push, put), one reads (next, pop).
 * Memory   The ring, made by create; its pages are touched as they are used.
 * Errors   create: -ENOMEM. A message that finds no room is not taken.
 */
#ifndef RINGCAST_SRC_RECORD_RING_H
#define RINGCAST_SRC_RECORD_RING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define RECORD_RING_LENGTH_BYTES 4

struct record_ring {
    /* Set by create, then constant. */
    uint8_t *bytes;
    uint64_t capacity; /* a power of two */

    /* The writer's. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head;
    uint64_t seen_tail; /* as the writer last read it */

    /* The reader's. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail;
};

int record_ring_create(struct record_ring *ring, uint64_t capacity);
void record_ring_destroy(struct record_ring *ring);

/* ---- The writer ---- */

/* Where the next message may be written in place, and how many bytes there are in one piece. */
uint8_t *record_ring_room(struct record_ring *ring, size_t *bytes_out);
/* The message that was written there is complete; bytes: with its length. */
void record_ring_push(struct record_ring *ring, size_t bytes);
/* Copies a message; it may go to the beginning of the ring. false: there is no room. */
bool record_ring_put(struct record_ring *ring, const uint8_t *message, size_t bytes);
/* Bytes that are not read yet. */
uint64_t record_ring_used(struct record_ring *ring);

/* ---- The reader ---- */

/* The next message with its length, or NULL; it stays until pop. */
const uint8_t *record_ring_next(struct record_ring *ring, size_t *bytes_out);
void record_ring_pop(struct record_ring *ring, size_t bytes);

#endif
