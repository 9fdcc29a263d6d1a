/*
 * bench_null_engine: a kernel behind the seam of ring/io/engine.h that connects clients, and then
 * takes every SQE at once and does nothing, so that what is left is the cost of user space.
 *
 * Owner    The benchmark: one engine at a time. Threads: one. Memory: from open to close.
 *
 * Until bench_null_engine_settle() an enter() accepts the clients, and each receive that is armed
 * gets the client's upgrade request. Sends always succeed completely. A real kernel also uses the
 * caches for its own sockets: with touched_bytes, each send writes to that many bytes of the
 * client; the time for it is in bench_null.spent_ns.
 */
#ifndef RINGCAST_BENCH_BENCH_NULL_ENGINE_H
#define RINGCAST_BENCH_BENCH_NULL_ENGINE_H

#include <stdlib.h>
#include <string.h>

#include "bench/bench_samples.h"
#include "codec/base/check.h"
#include "codec/handshake_client.h"
#include "ring/io/engine.h"

#define BENCH_NULL_FD_FIRST (1 << 24) /* beyond any descriptor that is open */
#define BENCH_NULL_REQUEST_BYTES_MAX 512

/* The ring's memory, which the kernel would share, and the clients. */
static struct {
    unsigned sq_head, sq_flags, sq_mask, cq_head, cq_tail, cq_flags;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    uint16_t buffer_head; /* of the receive ring */
    bool accept_armed;
    uint64_t accept_tag;
    uint32_t client_count; /* that are to come */
    uint32_t accepted_count;
    uint32_t requested_count;
    char request[BENCH_NULL_REQUEST_BYTES_MAX];
    size_t request_bytes;
    uint8_t *sockets; /* touched_bytes for each client */
    size_t touched_bytes;
    uint64_t spent_ns;
} bench_null;

/* For the clients of the next engine that is opened. */
static inline void bench_null_engine_expect(uint32_t client_count, size_t touched_bytes)
{
    static const struct handshake_wish wish = {0};
    memset(&bench_null, 0, sizeof bench_null);
    bench_null.client_count = client_count;
    bench_null.touched_bytes = touched_bytes;
    bench_null.request_bytes =
        handshake_client_request(bench_null.request, sizeof bench_null.request, "bench", "/",
                                 "dGhlIHNhbXBsZSBub25jZQ==", &wish);
    assert_always(bench_null.request_bytes > 0);
}

static inline void bench_null_post(const struct engine *engine, uint64_t tag, int result,
                                   uint32_t flags)
{
    const struct io_uring_cq *cq = &engine->ring.cq;
    assert_always(bench_null.cq_tail - bench_null.cq_head < cq->ring_entries);
    bench_null.cqes[bench_null.cq_tail & cq->ring_mask] =
        (struct io_uring_cqe){.user_data = tag, .res = result, .flags = flags};
    bench_null.cq_tail++;
}

static inline uint32_t bench_null_free_buffers(const struct engine *engine)
{
    return (uint16_t)(engine->recv_ring->tail - bench_null.buffer_head);
}

static inline void bench_null_request(struct engine *engine, uint64_t tag)
{
    assert_always(bench_null_free_buffers(engine) > 0);
    uint32_t mask = engine->recv_buffer_count - 1;
    const struct io_uring_buf *buffer = &engine->recv_ring->bufs[bench_null.buffer_head++ & mask];
    memcpy((void *)(uintptr_t)buffer->addr, bench_null.request, bench_null.request_bytes);
    bench_null.requested_count++;
    bench_null_post(engine, tag, (int)bench_null.request_bytes,
                    IORING_CQE_F_MORE | IORING_CQE_F_BUFFER |
                        (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

/* No more clients than there are buffers for their requests. */
static inline void bench_null_accept(struct engine *engine)
{
    uint32_t waiting = bench_null.accepted_count - bench_null.requested_count;
    uint32_t room = bench_null_free_buffers(engine) - waiting;
    for (; bench_null.accept_armed && room > 0; room--) {
        if (bench_null.accepted_count == bench_null.client_count) {
            return;
        }
        int fd = BENCH_NULL_FD_FIRST + (int)bench_null.accepted_count++;
        bench_null_post(engine, bench_null.accept_tag, fd, IORING_CQE_F_MORE);
    }
}

static inline int bench_null_connect_enter(struct engine *engine, uint64_t timeout_ns)
{
    (void)timeout_ns;
    const struct io_uring_sq *sq = &engine->ring.sq;
    for (; bench_null.sq_head != sq->sqe_tail; bench_null.sq_head++) {
        const struct io_uring_sqe *sqe = &sq->sqes[bench_null.sq_head & sq->ring_mask];
        if (sqe->opcode == IORING_OP_ACCEPT) {
            bench_null.accept_armed = true;
            bench_null.accept_tag = sqe->user_data;
        } else if (sqe->opcode == IORING_OP_RECV) {
            bench_null_request(engine, sqe->user_data);
        }
    }
    bench_null_accept(engine);
    return 0;
}

static inline void bench_null_touch(const struct io_uring_sq *sq)
{
    uint64_t start_ns = bench_now_ns();
    for (; bench_null.sq_head != sq->sqe_tail; bench_null.sq_head++) {
        uint32_t client =
            (uint32_t)sq->sqes[bench_null.sq_head & sq->ring_mask].fd - BENCH_NULL_FD_FIRST;
        uint8_t *socket = bench_null.sockets + client * bench_null.touched_bytes;
        for (size_t at = 0; client < bench_null.client_count && at < bench_null.touched_bytes;
             at += CACHE_LINE_BYTES) {
            socket[at]++;
        }
    }
    bench_null.spent_ns += bench_now_ns() - start_ns;
}

static inline int bench_null_enter(struct engine *engine, uint64_t timeout_ns)
{
    (void)timeout_ns;
    if (bench_null.touched_bytes > 0) {
        bench_null_touch(&engine->ring.sq);
    }
    bench_null.sq_head = engine->ring.sq.sqe_tail;
    return 0;
}

static inline void bench_null_engine_close(struct engine *engine)
{
    free(bench_null.sockets);
    free(bench_null.sqes);
    free(bench_null.cqes);
    free(engine->recv_ring);
    free(engine->recv_buffers);
}

static inline int bench_null_enable(struct engine *engine)
{
    (void)engine;
    return 0;
}

static inline int64_t bench_null_send_file(struct engine *engine, int fd,
                                           const struct engine_stretch *stretch)
{
    (void)engine, (void)fd;
    return (int64_t)stretch->bytes;
}

/* Its core runs in the benchmark's own thread and never sleeps. */
static inline bool bench_null_wake(struct engine *engine, struct engine *waker, uint64_t tag)
{
    (void)engine, (void)waker, (void)tag;
    return false;
}

static const struct engine_ops bench_null_connecting = {
    .enable = bench_null_enable,
    .enter = bench_null_connect_enter,
    .send_file = bench_null_send_file,
    .wake = bench_null_wake,
    .close = bench_null_engine_close,
};
static const struct engine_ops bench_null_settled = {
    .enable = bench_null_enable,
    .enter = bench_null_enter,
    .send_file = bench_null_send_file,
    .wake = bench_null_wake,
    .close = bench_null_engine_close,
};

/* All clients are connected: from now on nothing happens. */
static inline void bench_null_engine_settle(struct engine *engine)
{
    assert_always(bench_null.requested_count == bench_null.client_count);
    engine->ops = &bench_null_settled;
}

static inline void bench_null_add_buffers(struct engine *engine, uint32_t count, uint32_t bytes)
{
    engine->recv_ring = calloc(count + 1, sizeof(struct io_uring_buf));
    engine->recv_buffers = malloc((size_t)count * bytes);
    engine->recv_buffer_count = count;
    engine->recv_buffer_bytes = bytes;
    assert_always(engine->recv_ring != NULL && engine->recv_buffers != NULL);
    for (uint32_t i = 0; i < count; i++) {
        engine_offer_buffer(engine, i);
    }
}

/* For core_options. */
static inline int bench_null_engine_open(struct engine *engine,
                                         const struct engine_options *options, char *error_out)
{
    (void)error_out;
    bench_null.sq_mask = options->sq_entries - 1;
    bench_null.sockets = calloc(bench_null.client_count + 1, bench_null.touched_bytes + 1);
    bench_null.sqes = calloc(options->sq_entries, sizeof *bench_null.sqes);
    bench_null.cqes = calloc(options->cq_entries, sizeof *bench_null.cqes);
    assert_always(bench_null.sqes != NULL && bench_null.cqes != NULL);
    assert_always(bench_null.sockets != NULL);
    *engine = (struct engine){.ops = &bench_null_connecting};
    engine->ring.sq = (struct io_uring_sq){
        .khead = &bench_null.sq_head,
        .kflags = &bench_null.sq_flags,
        .sqes = bench_null.sqes,
        .ring_mask = options->sq_entries - 1,
        .ring_entries = options->sq_entries,
        .kring_mask = &bench_null.sq_mask,
    };
    engine->ring.cq = (struct io_uring_cq){
        .khead = &bench_null.cq_head,
        .ktail = &bench_null.cq_tail,
        .kflags = &bench_null.cq_flags,
        .cqes = bench_null.cqes,
        .ring_mask = options->cq_entries - 1,
        .ring_entries = options->cq_entries,
    };
    engine->ring.features = IORING_FEAT_EXT_ARG;
    bench_null_add_buffers(engine, options->recv_buffer_count, options->recv_buffer_bytes);
    return 0;
}

#endif
