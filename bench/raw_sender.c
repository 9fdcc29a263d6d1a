#include "bench/raw_sender.h"

#include <errno.h>
#include <poll.h>

#define WAIT_MS 1000

int raw_sender_init(struct raw_sender *sender, uint32_t uring_batch)
{
    *sender = (struct raw_sender){.uring_batch = uring_batch};
    if (uring_batch == 0) {
        return 0;
    }
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL,
    };
    return io_uring_queue_init_params(uring_batch < 8 ? 8 : uring_batch, &sender->ring, &params);
}

void raw_sender_deinit(struct raw_sender *sender)
{
    if (sender->uring_batch != 0) {
        io_uring_queue_exit(&sender->ring);
    }
}

/* The rest of a send that the socket had no room for. */
static void raw_sender_finish(struct raw_sender *sender, struct raw_server *server,
                              uint32_t peer_index, const uint8_t *bytes, size_t bytes_count)
{
    int fd = raw_server_fd(server, peer_index);
    while (bytes_count > 0) {
        struct pollfd item = {.fd = fd, .events = POLLOUT};
        sender->waits++;
        ssize_t sent = poll(&item, 1, WAIT_MS) == 1
                           ? raw_server_send(server, peer_index, bytes, bytes_count)
                           : -1;
        if (sent < 0 && errno != EAGAIN) {
            raw_server_close(server, peer_index);
            return;
        }
        if (sent > 0) {
            bytes += sent;
            bytes_count -= (size_t)sent;
        }
    }
}

static void raw_sender_by_send(struct raw_sender *sender, struct raw_server *server,
                               const uint8_t *bytes, size_t bytes_count)
{
    for (uint32_t i = 0; i < raw_server_count(server); i++) {
        if (raw_server_fd(server, i) < 0) {
            continue;
        }
        ssize_t sent = raw_server_send(server, i, bytes, bytes_count);
        sender->sends++;
        if (sent == (ssize_t)bytes_count) {
            continue;
        }
        if (sent < 0 && errno != EAGAIN) {
            raw_server_close(server, i);
            continue;
        }
        size_t done = sent < 0 ? 0 : (size_t)sent;
        raw_sender_finish(sender, server, i, bytes + done, bytes_count - done);
    }
}

/* Only what went wrong has posted a completion. */
static void raw_sender_reap(struct raw_sender *sender, struct raw_server *server,
                            const uint8_t *bytes, size_t bytes_count)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&sender->ring, &cqe) == 0) {
        uint32_t peer_index = (uint32_t)io_uring_cqe_get_data64(cqe);
        int result = cqe->res;
        io_uring_cqe_seen(&sender->ring, cqe);
        if (result < 0 && result != -EAGAIN) {
            raw_server_close(server, peer_index);
            continue;
        }
        size_t done = result < 0 ? 0 : (size_t)result;
        raw_sender_finish(sender, server, peer_index, bytes + done, bytes_count - done);
    }
}

static void raw_sender_by_uring(struct raw_sender *sender, struct raw_server *server,
                                const uint8_t *bytes, size_t bytes_count)
{
    uint32_t queued = 0;
    uint32_t count = raw_server_count(server);
    for (uint32_t i = 0; i < count; i++) {
        int fd = raw_server_fd(server, i);
        if (fd >= 0) {
            struct io_uring_sqe *sqe = io_uring_get_sqe(&sender->ring);
            io_uring_prep_send(sqe, fd, bytes, bytes_count,
                               MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL);
            sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
            io_uring_sqe_set_data64(sqe, i);
            sender->sends++;
            queued++;
        }
        if (queued == sender->uring_batch || i + 1 == count) {
            io_uring_submit(&sender->ring);
            raw_sender_reap(sender, server, bytes, bytes_count);
            queued = 0;
        }
    }
}

void raw_sender_send(struct raw_sender *sender, struct raw_server *server, const uint8_t *bytes,
                     size_t bytes_count)
{
    if (sender->uring_batch == 0) {
        raw_sender_by_send(sender, server, bytes, bytes_count);
    } else {
        raw_sender_by_uring(sender, server, bytes, bytes_count);
    }
    sender->bytes += bytes_count * raw_server_count(server);
}
