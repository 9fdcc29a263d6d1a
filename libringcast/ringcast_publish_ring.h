/*
 * ringcast_publish_ring: messages of a producer, from publish to acknowledgement.
 *
 * Owner    The publisher. Threads: its only.
 * Memory   One file of memory, mapped twice in a row: every message and every run of messages is
 *          contiguous. All pages are touched at creation.
 * Units    Positions are bytes since creation: tail <= sent <= end <= tail + capacity.
 *
 * A message is its length (u32, little endian) and either SBE or JSON, which begins with a brace.
 */
#ifndef RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_RING_H
#define RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RINGCAST_PUBLISH_LENGTH_BYTES 4

#pragma GCC visibility push(hidden)

struct ringcast_publish_ring {
    uint8_t *bytes;
    size_t capacity;   /* a power of two */
    uint64_t tail;     /* the first message that is not acknowledged */
    uint64_t boundary; /* where some message ends, at sent or before */
    uint64_t sent;     /* The kernel has everything before, on this connection. */
    uint64_t end;
    uint64_t tick_count; /* not acknowledged */
};

/* 0 or a negative errno. */
int ringcast_publish_ring_create(struct ringcast_publish_ring *ring, size_t bytes);
void ringcast_publish_ring_destroy(struct ringcast_publish_ring *ring);

static inline size_t ringcast_publish_ring_room(const struct ringcast_publish_ring *ring)
{
    return ring->capacity - (size_t)(ring->end - ring->tail);
}

static inline uint8_t *ringcast_publish_ring_at(const struct ringcast_publish_ring *ring,
                                                uint64_t position)
{
    return ring->bytes + (position & (ring->capacity - 1));
}

/* Where the next message belongs, behind its length: room - RINGCAST_PUBLISH_LENGTH_BYTES. */
static inline uint8_t *ringcast_publish_ring_next(const struct ringcast_publish_ring *ring)
{
    return ringcast_publish_ring_at(ring, ring->end) + RINGCAST_PUBLISH_LENGTH_BYTES;
}

/* Whether there is so much room. A buffer full of GAPs alone, which no tick will release, gives up
 * those that were sent. */
bool ringcast_publish_ring_has_room(struct ringcast_publish_ring *ring, size_t bytes);

/* The message is complete. */
void ringcast_publish_ring_append(struct ringcast_publish_ring *ring, size_t message_bytes);

/* The kernel took bytes more. */
void ringcast_publish_ring_on_sent(struct ringcast_publish_ring *ring, size_t bytes);

/* How many bytes after sent complete the message that was sent in part; 0: none was. */
size_t ringcast_publish_ring_rest(struct ringcast_publish_ring *ring);

/* Releases the ticks up to q, and the other messages among them, from those that were sent; of_all:
 * from all. */
void ringcast_publish_ring_release(struct ringcast_publish_ring *ring, uint64_t q, bool of_all);

/* Another connection: everything is to be sent again. */
void ringcast_publish_ring_rewind(struct ringcast_publish_ring *ring);

#pragma GCC visibility pop

#endif
