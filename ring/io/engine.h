/*
 * engine: the seam between a core and the kernel.
 *
 * Its user prepares SQEs, enters, and reaps CQEs. Which engine carries them out does not show: the
 * real one is io_uring (engine_uring.h), tests and benchmarks have simulated ones.
 *
 * Owner    The core (or publisher) it belongs to. Threads: that one only, except for engine_wake().
 * Memory   The queues and receive buffers, from open to close. What an SQE points to belongs to the
 *          user, until enter().
 * Errors   0 or a negative errno; -EINTR and -ETIME are no errors and return 0.
 * Source   Linux 6.1 and newer; io_uring_setup(2), io_uring_enter(2).
 */
#ifndef RINGCAST_RING_ENGINE_H
#define RINGCAST_RING_ENGINE_H

#include <liburing.h>
#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "codec/base/check.h"

#define ENGINE_WAIT_FOREVER UINT64_MAX
#define ENGINE_ERROR_BYTES_MAX 512
#define ENGINE_RECV_GROUP 0
#define ENGINE_RECV_BUFFERS_MAX 32768 /* The kernel's limit. */
#define ENGINE_SEND_FLAGS (MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL)

struct engine;

/* Bytes of a file. */
struct engine_stretch {
    int fd;
    uint64_t offset;
    uint64_t bytes;
};

struct engine_options {
    uint32_t sq_entries;
    uint32_t cq_entries;
    uint32_t recv_buffer_count; /* a power of two; 0: no receive buffers */
    uint32_t recv_buffer_bytes;
};

/* What an engine implements, and its own function to open it. */
struct engine_ops {
    int (*enable)(struct engine *engine);
    int (*enter)(struct engine *engine, uint64_t timeout_ns);
    int64_t (*send_file)(struct engine *engine, int fd, const struct engine_stretch *stretch);
    bool (*wake)(struct engine *engine, struct engine *waker, uint64_t tag);
    void (*close)(struct engine *engine);
};

/* Completions that were taken out of the queue, to be reaped later: from first on. */
struct engine_late {
    struct io_uring_cqe *cqes;
    uint32_t capacity;
    uint32_t first;
    uint32_t count; /* those before first included */
};

/* The engine's own, except for the functions below. */
struct engine {
    const struct engine_ops *ops;
    bool sends_files_to_unix; /* engine_send_file() never waits for a Unix-domain peer. */
    struct io_uring ring;     /* The queues in memory; every engine has them. */
    struct io_uring_buf_ring *recv_ring;
    uint8_t *recv_buffers;
    uint32_t recv_buffer_count;
    uint32_t recv_buffer_bytes;
    struct engine_late late;
};

/* ---- Life ---- */

/* Hands the engine over to the calling thread, before its first enter(). */
static inline int engine_enable(struct engine *engine)
{
    return engine->ops->enable(engine);
}

void engine_close(struct engine *engine);

/* Submits what is queued; waits for a completion for at most timeout_ns (0: does not wait). */
static inline int engine_enter(struct engine *engine, uint64_t timeout_ns)
{
    return engine->ops->enter(engine, timeout_ns);
}

/* Sends bytes of a file by reference: the kernel gets the pages of shared memory, not a copy, and
 * reads them until the peer has them. A system call of its own, at once, which does not wait.
 * Returns how many bytes left, or if none did a negative errno (-EAGAIN: the socket is full). The
 * process ignores SIGPIPE: here nothing else keeps it away. */
static inline int64_t engine_send_file(struct engine *engine, int fd,
                                       const struct engine_stretch *stretch)
{
    return engine->ops->send_file(engine, fd, stretch);
}

/* Ends the wait of an engine of another thread, by a completion with this tag, when the waker
 * enters. false: the waker's queue is full. A wake-up that fails posts tag 0 to the waker. */
static inline bool engine_wake(struct engine *engine, struct engine *waker, uint64_t tag)
{
    return engine->ops->wake(engine, waker, tag);
}

/* For ops->wake of engines that carry out IORING_OP_MSG_RING. */
bool engine_wake_by_message(struct engine *engine, struct engine *waker, uint64_t tag);

/* ---- Submission ---- */

/* A free SQE; NULL: the queue is full. Its user sets user_data. */
static inline struct io_uring_sqe *engine_try_sqe(struct engine *engine)
{
    return io_uring_get_sqe(&engine->ring);
}

/* Enters when the queue is full. NULL: the kernel takes nothing. */
struct io_uring_sqe *engine_sqe(struct engine *engine);

/* SQEs that the kernel has not taken. */
static inline uint32_t engine_queued_count(const struct engine *engine)
{
    return io_uring_sq_ready(&engine->ring);
}

/* The socket does not block, for engine_send_file(); all else that it is used for is as of one that
 * does. */
static inline void engine_prepare_accept(struct io_uring_sqe *sqe, int fd, bool is_multishot)
{
    io_uring_prep_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    sqe->ioprio |= is_multishot ? IORING_ACCEPT_MULTISHOT : 0;
}

/* Into receive buffers, until it ends by a CQE without IORING_CQE_F_MORE. */
static inline void engine_prepare_recv(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = ENGINE_RECV_GROUP;
}

/* Into a receive buffer once: at most bytes_max bytes, and no more than the buffer holds. */
static inline void engine_prepare_recv_once(struct io_uring_sqe *sqe, int fd, size_t bytes_max)
{
    io_uring_prep_recv(sqe, fd, NULL, bytes_max, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = ENGINE_RECV_GROUP;
}

/* A send ends inside enter(), and posts a CQE only when it falls short. */
static inline void engine_prepare_send(struct io_uring_sqe *sqe, int fd, const void *bytes,
                                       size_t count)
{
    *sqe = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND,
        .flags = IOSQE_CQE_SKIP_SUCCESS,
        .fd = fd,
        .addr = (uint64_t)(uintptr_t)bytes,
        .len = (uint32_t)count,
        .msg_flags = ENGINE_SEND_FLAGS,
    };
}

static inline void engine_prepare_sendmsg(struct io_uring_sqe *sqe, int fd,
                                          const struct msghdr *message)
{
    io_uring_prep_sendmsg(sqe, fd, message, ENGINE_SEND_FLAGS);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* Posts a CQE once there is something to read, or the end, or a failure. */
static inline void engine_prepare_readable(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_poll_add(sqe, fd, POLLIN);
}

/* Posts a CQE once the socket has room, or has failed. */
static inline void engine_prepare_writable(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_poll_add(sqe, fd, POLLOUT);
}

/* By its tag, which the kernel finds at once. To cancel by descriptor it walks all that is armed in
 * the ring: 560 us with 9 500 connections. */
static inline void engine_prepare_cancel(struct io_uring_sqe *sqe, uint64_t tag)
{
    io_uring_prep_cancel64(sqe, tag, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* The kernel does it on a worker thread, which looks the descriptor up then. */
static inline void engine_prepare_shutdown(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_shutdown(sqe, fd, SHUT_WR);
}

static inline void engine_prepare_close(struct io_uring_sqe *sqe, int fd)
{
    io_uring_prep_close(sqe, fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

/* ---- Completions ---- */

/* Whether completions found the queue full. The kernel keeps them until an enter() finds room. */
static inline bool engine_has_overflown(const struct engine *engine)
{
    return (*engine->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW) != 0;
}

/* Whether the completions of a batch might overflow the queue: less than half of it is free. */
static inline bool engine_lacks_room(const struct engine *engine)
{
    return io_uring_cq_ready(&engine->ring) > engine->ring.cq.ring_entries / 2 ||
           engine_has_overflown(engine);
}

bool engine_reap_late(struct engine *engine, struct io_uring_cqe *cqe_out);

/* Takes the oldest completion; false: there is none. */
static inline bool engine_reap(struct engine *engine, struct io_uring_cqe *cqe_out)
{
    struct io_uring_cq *cq = &engine->ring.cq;
    if (__builtin_expect(engine->late.count > 0, 0)) {
        return engine_reap_late(engine, cqe_out);
    }
    uint32_t head = *cq->khead;
    if (head == io_uring_smp_load_acquire(cq->ktail)) {
        return false;
    }
    *cqe_out = cq->cqes[head & cq->ring_mask];
    io_uring_smp_store_release(cq->khead, head + 1);
    return true;
}

/* Whether engine_reap() has any to take. */
static inline bool engine_has_completions(const struct engine *engine)
{
    return engine->late.count > 0 || io_uring_cq_ready(&engine->ring) > 0;
}

/* Completions in the queue, to be read without taking them: number 0 is the oldest. */
static inline uint32_t engine_completion_count(const struct engine *engine)
{
    return io_uring_cq_ready(&engine->ring);
}

static inline const struct io_uring_cqe *engine_completion(const struct engine *engine,
                                                           uint32_t number)
{
    const struct io_uring_cq *cq = &engine->ring.cq;
    assert_debug(number < engine_completion_count(engine));
    return &cq->cqes[(*cq->khead + number) & cq->ring_mask];
}

/* Takes all completions out of the queue, for engine_reap() to return later. The next enter() then
 * has room for those that found it full. */
void engine_put_off(struct engine *engine);

/* ---- Receive buffers ---- */

static inline uint32_t engine_recv_buffer(const struct engine *engine,
                                          const struct io_uring_cqe *cqe)
{
    uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    assert_always((cqe->flags & IORING_CQE_F_BUFFER) != 0);
    assert_always(buffer < engine->recv_buffer_count);
    return buffer;
}

/* What a receive got: cqe->res bytes, the caller's until it gives them back. */
static inline uint8_t *engine_recv_bytes(const struct engine *engine,
                                         const struct io_uring_cqe *cqe)
{
    assert_always(cqe->res > 0 && (uint32_t)cqe->res <= engine->recv_buffer_bytes);
    return engine->recv_buffers +
           (size_t)engine_recv_buffer(engine, cqe) * engine->recv_buffer_bytes;
}

/* Makes a buffer, by its number, available to the kernel. */
static inline void engine_offer_buffer(struct engine *engine, uint32_t buffer)
{
    assert_debug(buffer < engine->recv_buffer_count);
    io_uring_buf_ring_add(engine->recv_ring,
                          engine->recv_buffers + (size_t)buffer * engine->recv_buffer_bytes,
                          engine->recv_buffer_bytes, (unsigned short)buffer,
                          io_uring_buf_ring_mask(engine->recv_buffer_count), 0);
    io_uring_buf_ring_advance(engine->recv_ring, 1);
}

static inline void engine_give_back(struct engine *engine, const struct io_uring_cqe *cqe)
{
    engine_offer_buffer(engine, engine_recv_buffer(engine, cqe));
}

#endif
