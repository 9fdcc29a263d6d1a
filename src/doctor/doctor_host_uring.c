#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/io/engine_uring.h"
#include "src/doctor/doctor_host.h"

/* For each of three completions, which come at once unless the machine stands still. */
#define DOCTOR_HOST_WAIT_NS (400 * NS_PER_MS)
#define DOCTOR_HOST_REAPS_MAX 8

enum { TAG_ACCEPT = 1, TAG_RECV, TAG_MESSAGE };

static const struct engine_options doctor_host_ring = {
    .sq_entries = 8, .cq_entries = 32, .recv_buffer_count = 2, .recv_buffer_bytes = 64};

/* false: no completion with this tag comes. */
static bool doctor_host_await(struct engine *engine, uint64_t tag, struct io_uring_cqe *cqe_out)
{
    for (uint32_t i = 0; i < DOCTOR_HOST_REAPS_MAX; i++) {
        if (!engine_has_completions(engine) && engine_enter(engine, DOCTOR_HOST_WAIT_NS) < 0) {
            return false;
        }
        if (!engine_reap(engine, cqe_out)) {
            return false;
        }
        if (cqe_out->user_data == tag) {
            return true;
        }
    }
    return false;
}

/* Accepts the client that waits, and goes on accepting. Returns its socket; -1: it cannot. */
static int doctor_host_accept(struct engine *engine, int listener)
{
    struct io_uring_cqe cqe;
    struct io_uring_sqe *sqe = engine_sqe(engine);
    assert_always(sqe != NULL);
    engine_prepare_accept(sqe, listener, true);
    sqe->user_data = TAG_ACCEPT;
    if (!doctor_host_await(engine, TAG_ACCEPT, &cqe) || cqe.res < 0) {
        return -1;
    }
    if ((cqe.flags & IORING_CQE_F_MORE) == 0) {
        close(cqe.res);
        return -1;
    }
    return cqe.res;
}

/* Receives the byte that waits into a buffer of the ring, and goes on receiving. */
static bool doctor_host_receive(struct engine *engine, int fd)
{
    struct io_uring_cqe cqe;
    struct io_uring_sqe *sqe = engine_sqe(engine);
    assert_always(sqe != NULL);
    engine_prepare_recv(sqe, fd);
    sqe->user_data = TAG_RECV;
    return doctor_host_await(engine, TAG_RECV, &cqe) && cqe.res == 1 &&
           (cqe.flags & IORING_CQE_F_BUFFER) != 0 && (cqe.flags & IORING_CQE_F_MORE) != 0;
}

/* What it lacks; "": nothing; NULL: there was no room for a second ring. */
static const char *doctor_host_lacks_messages(struct engine *engine)
{
    struct engine waker;
    struct io_uring_cqe cqe;
    char text[ENGINE_ERROR_BYTES_MAX];
    if (engine_uring_open(&waker, &doctor_host_ring, text) < 0) {
        return NULL;
    }
    bool is_sent = engine_enable(&waker) == 0 && engine_wake(engine, &waker, TAG_MESSAGE) &&
                   engine_enter(&waker, 0) == 0;
    bool is_there = is_sent && doctor_host_await(engine, TAG_MESSAGE, &cqe);
    engine_close(&waker);
    return is_there ? "" : "messages from one ring to another";
}

/* A client of a listener that only this function knows. NULL: it cannot be tried: no
 * such sockets, or no second ring, can be made. */
static const char *doctor_host_lacks(struct engine *engine)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t name_bytes = sizeof name.sun_family; /* The kernel chooses an abstract name. */
    const char *lacks = NULL;
    int fd = -1;
    int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int client = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr *address = (struct sockaddr *)&name;
    if (listener < 0 || client < 0 || bind(listener, address, name_bytes) < 0 ||
        listen(listener, 1) < 0) {
        goto close_sockets;
    }
    name_bytes = sizeof name;
    if (getsockname(listener, address, &name_bytes) < 0 ||
        connect(client, address, name_bytes) < 0 || send(client, "x", 1, MSG_NOSIGNAL) != 1) {
        goto close_sockets;
    }
    fd = doctor_host_accept(engine, listener);
    lacks = fd < 0                             ? "multishot accept"
            : !doctor_host_receive(engine, fd) ? "multishot receive into provided buffers"
                                               : doctor_host_lacks_messages(engine);

close_sockets:
    for (size_t i = 0; i < 3; i++) {
        int each = i == 0 ? listener : i == 1 ? client : fd;
        if (each >= 0) {
            close(each);
        }
    }
    return lacks;
}

void doctor_host_try_uring(struct doctor_host *host)
{
    struct engine engine;
    char text[ENGINE_ERROR_BYTES_MAX];
    host->uring_error = engine_uring_open(&engine, &doctor_host_ring, text);
    if (host->uring_error < 0) {
        return;
    }
    host->uring_rung = (engine.ring.flags & IORING_SETUP_DEFER_TASKRUN) != 0  ? 0
                       : (engine.ring.flags & IORING_SETUP_COOP_TASKRUN) != 0 ? 1
                                                                              : 2;
    host->uring_error = engine_enable(&engine);
    host->uring_lacks = host->uring_error == 0 ? doctor_host_lacks(&engine) : NULL;
    engine_close(&engine);
}
