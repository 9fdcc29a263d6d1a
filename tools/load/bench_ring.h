/*
 * bench_ring: the io_uring of a thread, and its receive buffers.
 *
 * Owner    A thread. It is opened on main's thread and enabled on its own.
 * Threads  The thread's.
 * Memory   8 MiB of receive buffers, used in turn.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_BENCH_RING_H
#define RINGCAST_TOOLS_BENCH_RING_H

#include <liburing.h>

#include "tools/load/bench_options.h"

#define BENCH_RECV_BUFFERS 128 /* few, so that they stay in the cache */

/* The upper half of an operation's user_data; the lower half is a connection. */
enum bench_op {
    BENCH_OP_CONNECT,
    BENCH_OP_RECV,
};

struct bench_ring {
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
};

/* After a failure main exits, so nothing is undone. */
int bench_ring_open(struct bench_ring *ring);
void bench_ring_enable(struct bench_ring *ring);
void bench_ring_close(struct bench_ring *ring);

void bench_ring_connect(struct bench_ring *ring, uint32_t conn, int fd,
                        const struct ws_client_address *address);

/* Queues a receive of at most this many bytes; 0: a multishot receive. */
void bench_ring_receive(struct bench_ring *ring, uint32_t conn, int fd, uint32_t bytes_max);

static inline uint8_t *bench_ring_buffer(const struct bench_ring *ring, uint16_t buffer_id)
{
    return ring->buffers + (size_t)buffer_id * BENCH_RECV_BUFFER_BYTES;
}

/* Buffers that have been read are returned together; offset counts them from 0. */
void bench_ring_return_buffer(struct bench_ring *ring, uint16_t buffer_id, int offset);

#endif
