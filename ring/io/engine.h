/*
 * engine: the one place that enters the kernel.
 *
 * Everything above fills SQEs and reads CQEs in memory; enter() submits and waits. The real
 * engine is io_uring; tests put a simulated kernel behind the same function.
 *
 * Owner    The core (or publisher) it belongs to. Threads: that one only.
 * Errors   0 or a negative errno; -EINTR and -ETIME are no errors and return 0.
 * Source   Linux 6.1 and newer; io_uring_setup(2), io_uring_enter(2).
 */
#ifndef RINGCAST_RING_ENGINE_H
#define RINGCAST_RING_ENGINE_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ENGINE_WAIT_FOREVER UINT64_MAX
#define ENGINE_ERROR_BYTES_MAX 512

struct engine {
    struct io_uring ring;
    /* Submits what is queued; waits for a completion for at most timeout_ns (0: does not wait). */
    int (*enter)(struct engine *engine, uint64_t timeout_ns);
    void (*close)(struct engine *engine);
    struct io_uring_buf_ring *recv_ring;
    uint8_t *recv_buffers;
    uint32_t recv_buffer_count; /* a power of two */
    uint32_t recv_buffer_bytes;
    const char *mode; /* the rung of the set-up ladder, for the log */
};

struct engine_options {
    uint32_t sq_entries;
    uint32_t cq_entries;
    uint32_t recv_buffer_count; /* 0: no receive buffers */
    uint32_t recv_buffer_bytes;
};

/* On failure error_out says what forbids io_uring and what to do. Must be called by the thread
 * that will enter, or the engine be enabled by engine_uring_enable() on it. */
int engine_uring_open(struct engine *engine, const struct engine_options *options,
                      char error_out[ENGINE_ERROR_BYTES_MAX]);

/* Hands the ring over to the calling thread, before its first enter(). */
int engine_uring_enable(struct engine *engine);

/* The words for an errno of io_uring_setup(2). */
void engine_uring_explain(int error, char *text_out, size_t text_bytes);

/* A free SQE; NULL: the queue is full, and the kernel takes none of it. */
static inline struct io_uring_sqe *engine_sqe(struct engine *engine)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&engine->ring);
    if (__builtin_expect(sqe == NULL, 0)) {
        engine->enter(engine, 0);
        sqe = io_uring_get_sqe(&engine->ring);
    }
    return sqe;
}

#endif
