#include "tools/load/bench_ring.h"

#include <errno.h>
#include <sys/mman.h>

#include "codec/base/check.h"

#define SQ_ENTRIES 4096
#define CQ_ENTRIES 32768
#define RING_DIVISOR_MAX 16
#define BUFFER_GROUP 0

static struct io_uring_sqe *bench_ring_sqe(struct bench_ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->ring);
    if (sqe == NULL) {
        io_uring_submit(&ring->ring);
        sqe = io_uring_get_sqe(&ring->ring);
    }
    assert_always(sqe != NULL);
    return sqe;
}

void bench_ring_connect(struct bench_ring *ring, uint32_t conn, int fd,
                        const struct ws_client_address *address)
{
    struct io_uring_sqe *sqe = bench_ring_sqe(ring);
    io_uring_prep_connect(sqe, fd, (const struct sockaddr *)&address->address,
                          address->address_bytes);
    io_uring_sqe_set_data64(sqe, (uint64_t)BENCH_OP_CONNECT << 32 | conn);
}

void bench_ring_receive(struct bench_ring *ring, uint32_t conn, int fd, uint32_t bytes_max)
{
    struct io_uring_sqe *sqe = bench_ring_sqe(ring);
    if (bytes_max > 0) {
        io_uring_prep_recv(sqe, fd, NULL, bytes_max, 0);
    } else {
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    io_uring_sqe_set_data64(sqe, (uint64_t)BENCH_OP_RECV << 32 | conn);
}

void bench_ring_return_buffer(struct bench_ring *ring, uint16_t buffer_id, int offset)
{
    io_uring_buf_ring_add(ring->buffer_ring, bench_ring_buffer(ring, buffer_id),
                          BENCH_RECV_BUFFER_BYTES, buffer_id,
                          io_uring_buf_ring_mask(BENCH_RECV_BUFFERS), offset);
}

/* All rings of an ordinary user count towards one limit: a smaller one, if need be. What does not
 * fit into its queues waits. */
static int bench_ring_set_up(struct bench_ring *ring)
{
    int error = -ENOMEM;
    for (uint32_t divisor = 1; error == -ENOMEM && divisor <= RING_DIVISOR_MAX; divisor *= 2) {
        struct io_uring_params params = {
            .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                     IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED,
            .cq_entries = CQ_ENTRIES / divisor,
        };
        error = io_uring_queue_init_params(SQ_ENTRIES / divisor, &ring->ring, &params);
    }
    return error;
}

int bench_ring_open(struct bench_ring *ring)
{
    size_t ring_bytes = BENCH_RECV_BUFFERS * sizeof(struct io_uring_buf);
    int error = bench_ring_set_up(ring);
    if (error != 0) {
        return error;
    }
    ring->buffer_ring =
        mmap(NULL, ring_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ring->buffers = mmap(NULL, (size_t)BENCH_RECV_BUFFERS * BENCH_RECV_BUFFER_BYTES,
                         PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (ring->buffer_ring == MAP_FAILED || ring->buffers == MAP_FAILED) {
        return -ENOMEM;
    }
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)ring->buffer_ring,
        .ring_entries = BENCH_RECV_BUFFERS,
        .bgid = BUFFER_GROUP,
    };
    error = io_uring_register_buf_ring(&ring->ring, &registration, 0);
    if (error != 0) {
        return error;
    }
    io_uring_buf_ring_init(ring->buffer_ring);
    for (int i = 0; i < BENCH_RECV_BUFFERS; i++) {
        bench_ring_return_buffer(ring, (uint16_t)i, i);
    }
    io_uring_buf_ring_advance(ring->buffer_ring, BENCH_RECV_BUFFERS);
    return 0;
}

void bench_ring_enable(struct bench_ring *ring)
{
    /* liburing 2.3 forgets to export io_uring_enable_rings(). */
    io_uring_register((unsigned)ring->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
}

void bench_ring_close(struct bench_ring *ring)
{
    io_uring_queue_exit(&ring->ring);
    munmap(ring->buffers, (size_t)BENCH_RECV_BUFFERS * BENCH_RECV_BUFFER_BYTES);
    munmap(ring->buffer_ring, BENCH_RECV_BUFFERS * sizeof(struct io_uring_buf));
}
