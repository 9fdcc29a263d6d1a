/*
 * conn_queue: numbers of connections, first in, first out. Each is on a queue at most once, so that
 * a queue with room for all never overflows.
 *
 * Owner    The caller. Threads: one. Memory: conns, with capacity entries.
 */
#ifndef RINGCAST_RING_CONN_QUEUE_H
#define RINGCAST_RING_CONN_QUEUE_H

#include <stdint.h>

#include "codec/base/check.h"

struct conn_queue {
    uint32_t *conns;
    uint32_t capacity;
    uint32_t first;
    uint32_t count;
};

static inline void conn_queue_push(struct conn_queue *queue, uint32_t conn)
{
    assert_always(queue->count < queue->capacity);
    uint32_t at = queue->first + queue->count++;
    queue->conns[at < queue->capacity ? at : at - queue->capacity] = conn;
}

static inline uint32_t conn_queue_pop(struct conn_queue *queue)
{
    assert_always(queue->count > 0);
    uint32_t conn = queue->conns[queue->first];
    queue->count--;
    /* Begun again when empty, so that memory is touched for as many as wait at a time only. */
    queue->first = queue->count == 0 || queue->first + 1 == queue->capacity ? 0 : queue->first + 1;
    return conn;
}

/* The one that place pops from now would return. */
static inline uint32_t conn_queue_peek(const struct conn_queue *queue, uint32_t place)
{
    uint32_t at = queue->first + place;
    return queue->conns[at < queue->capacity ? at : at - queue->capacity];
}

#endif
