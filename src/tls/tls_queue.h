/*
 * tls_queue: jobs from one thread to another.
 *
 * Owner    struct tls_threads. Threads: one pushes, one pops; either may ask whether it has any.
 * Memory   Places for all jobs that a core has, so that it never overflows.
 */
#ifndef RINGCAST_SRC_TLS_QUEUE_H
#define RINGCAST_SRC_TLS_QUEUE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/tls_service.h"

struct tls_queue {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t pushed; /* Grow only; written by who pushes, */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t popped; /* and by who pops. */
    _Alignas(CACHE_LINE_BYTES) struct tls_job *jobs[TLS_HANDSHAKES_MAX];
};
static_assert((TLS_HANDSHAKES_MAX & (TLS_HANDSHAKES_MAX - 1)) == 0, "a number has one place");

static inline void tls_queue_push(struct tls_queue *queue, struct tls_job *job)
{
    uint32_t pushed = atomic_load_explicit(&queue->pushed, memory_order_relaxed);
    uint32_t popped = atomic_load_explicit(&queue->popped, memory_order_acquire);
    assert_always(pushed - popped < TLS_HANDSHAKES_MAX);
    queue->jobs[pushed % TLS_HANDSHAKES_MAX] = job;
    atomic_store_explicit(&queue->pushed, pushed + 1, memory_order_release);
}

static inline bool tls_queue_has(struct tls_queue *queue)
{
    return atomic_load_explicit(&queue->pushed, memory_order_acquire) !=
           atomic_load_explicit(&queue->popped, memory_order_relaxed);
}

/* NULL: there is none. */
static inline struct tls_job *tls_queue_pop(struct tls_queue *queue)
{
    uint32_t popped = atomic_load_explicit(&queue->popped, memory_order_relaxed);
    if (!tls_queue_has(queue)) {
        return NULL;
    }
    struct tls_job *job = queue->jobs[popped % TLS_HANDSHAKES_MAX];
    atomic_store_explicit(&queue->popped, popped + 1, memory_order_release);
    return job;
}

#endif
