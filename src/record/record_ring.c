#include "src/record/record_ring.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

/* A message never wraps. The rest of the ring behind the last message that fits is left out: it
 * begins with the length 0, or is shorter than a length. */

int record_ring_create(struct record_ring *ring, uint64_t capacity)
{
    assert_always(bytes_is_power_of_two(capacity));
    void *bytes = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED) {
        return -errno;
    }
    memset(ring, 0, sizeof *ring);
    ring->bytes = bytes;
    ring->capacity = capacity;
    return 0;
}

void record_ring_destroy(struct record_ring *ring)
{
    if (ring->bytes != NULL) {
        munmap(ring->bytes, ring->capacity);
    }
}

/* Bytes between a position and the end of the ring. */
static uint64_t record_ring_rest(const struct record_ring *ring, uint64_t position)
{
    return ring->capacity - (position & (ring->capacity - 1));
}

/* ---- The writer ---- */

static uint64_t record_ring_head(const struct record_ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed);
}

uint64_t record_ring_used(struct record_ring *ring)
{
    ring->seen_tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    assert_always(record_ring_head(ring) - ring->seen_tail <= ring->capacity);
    return record_ring_head(ring) - ring->seen_tail;
}

uint8_t *record_ring_room(struct record_ring *ring, size_t *bytes_out)
{
    uint64_t head = record_ring_head(ring);
    uint64_t rest = record_ring_rest(ring, head);
    uint64_t room = ring->capacity - (head - ring->seen_tail);
    if (room < rest) {
        room = ring->capacity - record_ring_used(ring);
    }
    *bytes_out = room < rest ? room : rest;
    return ring->bytes + (head & (ring->capacity - 1));
}

void record_ring_push(struct record_ring *ring, size_t bytes)
{
    uint64_t head = record_ring_head(ring);
    assert_debug(bytes > RECORD_RING_LENGTH_BYTES);
    assert_debug(bytes <= record_ring_rest(ring, head));
    assert_debug(head + bytes - ring->seen_tail <= ring->capacity);
    atomic_store_explicit(&ring->head, head + bytes, memory_order_release);
}

bool record_ring_put(struct record_ring *ring, const uint8_t *message, size_t bytes)
{
    size_t room;
    uint8_t *at = record_ring_room(ring, &room);
    assert_always(bytes > RECORD_RING_LENGTH_BYTES);
    if (bytes > room) {
        uint64_t head = record_ring_head(ring);
        uint64_t rest = record_ring_rest(ring, head);
        if (ring->capacity - record_ring_used(ring) < rest + bytes) {
            return false;
        }
        memset(at, 0, rest < RECORD_RING_LENGTH_BYTES ? rest : RECORD_RING_LENGTH_BYTES);
        atomic_store_explicit(&ring->head, head + rest, memory_order_release);
        at = ring->bytes;
    }
    memcpy(at, message, bytes);
    record_ring_push(ring, bytes);
    return true;
}

/* ---- The reader ---- */

const uint8_t *record_ring_next(struct record_ring *ring, size_t *bytes_out)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_acquire);
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    while (tail != head) {
        const uint8_t *at = ring->bytes + (tail & (ring->capacity - 1));
        uint64_t rest = record_ring_rest(ring, tail);
        uint32_t length = rest < RECORD_RING_LENGTH_BYTES ? 0 : bytes_load_le32(at);
        if (length > 0) {
            *bytes_out = RECORD_RING_LENGTH_BYTES + (size_t)length;
            assert_always(*bytes_out <= rest && *bytes_out <= head - tail);
            return at;
        }
        tail += rest;
        assert_always(tail <= head);
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
    return NULL;
}

void record_ring_pop(struct record_ring *ring, size_t bytes)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
    assert_always(tail + bytes <= atomic_load_explicit(&ring->head, memory_order_relaxed));
    atomic_store_explicit(&ring->tail, tail + bytes, memory_order_release);
}
