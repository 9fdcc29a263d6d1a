#include "tests/sim_engine.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/running_hash.h"

#define SIM_QUEUE_BYTES (1u << 20)
#define SIM_WALL_NS UINT64_C(1700000000000000000)
#define SIM_LATE_MAX 4096
#define SIM_CLOCK_ROUND_NS (UINT64_C(1) << 52) /* of 32 bits of stamps */
#define SIM_PAUSE_NS (5 * NS_PER_MS)           /* The core waits 10, by a clock of its own. */
#define SIM_RING_FD_FIRST 100000 /* no descriptor, so that liburing cannot enter by itself */

struct sim sim;

/* What the kernel has of one engine: the ring's memory, which both share, and what is armed. */
struct sim_kernel {
    struct engine *engine; /* NULL: free */
    unsigned sq_head, sq_flags, sq_mask, cq_head, cq_tail, cq_flags;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    unsigned cq_entries;
    /* What found the queue full, and what came after it: first in, first out. */
    struct io_uring_cqe late[SIM_LATE_MAX];
    unsigned late_count;
    uint16_t buffer_head; /* of the receive ring */
    struct sim_accept {
        int fd; /* 0: none */
        bool armed;
        uint64_t tag;
    } accepts[SIM_LISTENERS_MAX];
};
static struct sim_kernel kernels[SIM_ENGINES_MAX];
static struct sim_kernel *kernel; /* whose engine has entered */

static struct sim_kernel *sim_kernel_of(const struct engine *engine)
{
    for (uint32_t i = 0; i < SIM_ENGINES_MAX; i++) {
        if (kernels[i].engine == engine) {
            return &kernels[i];
        }
    }
    return NULL;
}

uint64_t sim_random(uint64_t below)
{
    sim.random ^= sim.random << 13;
    sim.random ^= sim.random >> 7;
    sim.random ^= sim.random << 17;
    return below == 0 ? 0 : sim.random % below;
}

static const uint16_t fault_rates[SIM_FAULT_COUNT] = {
    [SIM_SUBMITS_SOME] = 50,     [SIM_SENDS_SHORT] = 12,   [SIM_REFUSES_FILES] = 40,
    [SIM_ACCEPT_FAILS] = 20,     [SIM_HAS_NO_BUFFER] = 40, [SIM_RECV_ENDS] = 30,
    [SIM_WRITABLE_FALSELY] = 50, [SIM_DELIVERS_LATE] = 4,
};

/* Whether it happens now. */
static bool sim_mishap(enum sim_fault fault)
{
    return !sim.calm && sim.one_in[fault] > 0 && sim_random(sim.one_in[fault]) == 0;
}

void sim_draw_fault_rates(void)
{
    for (uint32_t fault = 0; fault < SIM_FAULT_COUNT; fault++) {
        static const uint16_t quarters[] = {0, 1, 4, 4, 16};
        uint64_t quarter = quarters[sim_random(sizeof quarters / sizeof quarters[0])];
        uint64_t one_in = fault_rates[fault] * quarter / 4;
        sim.one_in[fault] = (uint16_t)(one_in == 1 || (quarter > 0 && one_in == 0) ? 2 : one_in);
    }
}

void sim_open(uint64_t seed, uint32_t socket_count,
              void (*step)(void *context, struct engine *engine, uint64_t timeout_ns),
              void *context)
{
    assert_always(socket_count <= SIM_SOCKETS_MAX);
    memset(&sim, 0, sizeof sim);
    sim.socket_count = socket_count;
    sim.random = (seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    /* In every other run what is kept of the clock in 32 bits comes round meanwhile (stamp.h). */
    sim.now_ns = UINT64_C(1000000000000);
    if (seed % 2 == 1) {
        sim.now_ns = (1 + seed % 7) * SIM_CLOCK_ROUND_NS - seed % 101 * 50 * NS_PER_MS;
    }
    sim.step = step;
    sim.context = context;
    memcpy(sim.one_in, fault_rates, sizeof sim.one_in);
    for (uint32_t i = 0; i < socket_count; i++) {
        sim.sockets[i].to_client = malloc(SIM_QUEUE_BYTES);
        sim.sockets[i].to_server = malloc(SIM_QUEUE_BYTES);
        assert_always(sim.sockets[i].to_client != NULL && sim.sockets[i].to_server != NULL);
    }
}

void sim_close(void)
{
    for (uint32_t i = 0; i < SIM_LENTS_MAX; i++) {
        if (sim.lents[i].socket != NULL) {
            close(sim.lents[i].pipe[0]);
            close(sim.lents[i].pipe[1]);
        }
    }
    for (uint32_t i = 0; i < sim.socket_count; i++) {
        free(sim.sockets[i].to_client);
        free(sim.sockets[i].to_server);
    }
}

void sim_clock(void *context, struct core_time *time_out)
{
    (void)context;
    time_out->now_ns = sim.now_ns;
    time_out->wall_ns = sim_wall_ns();
}

uint64_t sim_wall_ns(void)
{
    return SIM_WALL_NS + sim.now_ns + (uint64_t)sim.wall_step_ns;
}

/* ---- The client's side ---- */

struct sim_socket *sim_connect(int listener_fd, size_t send_buffer_bytes)
{
    for (uint32_t i = 0; i < sim.socket_count; i++) {
        struct sim_socket *socket = &sim.sockets[i];
        if (!socket->is_open) {
            struct sim_socket fresh = {
                .is_open = true,
                .listener_fd = listener_fd,
                .to_client = socket->to_client,
                .to_server = socket->to_server,
                .to_client_room = send_buffer_bytes,
            };
            *socket = fresh;
            return socket;
        }
    }
    return NULL;
}

void sim_client_send(struct sim_socket *socket, const void *bytes, size_t count)
{
    assert_always(socket->to_server_bytes + count <= SIM_QUEUE_BYTES);
    memcpy(socket->to_server + socket->to_server_bytes, bytes, count);
    socket->to_server_bytes += count;
}

/* What was sent by reference, from the pages as they are now. */
static void sim_read_lent(struct sim_lent *lent)
{
    uint8_t *out = lent->socket->to_client + lent->offset;
    for (size_t done = 0; done < lent->bytes;) {
        ssize_t got = read(lent->pipe[0], out + done, lent->bytes - done);
        assert_always(got > 0);
        done += (size_t)got;
    }
    close(lent->pipe[0]);
    close(lent->pipe[1]);
    lent->socket = NULL;
}

/* The next bytes of a socket are about to go; what lies behind them stays where it is. */
static void sim_read_lents(const struct sim_socket *socket, size_t count)
{
    for (uint32_t i = 0; i < SIM_LENTS_MAX; i++) {
        struct sim_lent *lent = &sim.lents[i];
        if (lent->socket == socket && lent->offset < count) {
            sim_read_lent(lent);
        } else if (lent->socket == socket) {
            lent->offset -= count;
        }
    }
}

size_t sim_client_read(struct sim_socket *socket, uint8_t *out, size_t max)
{
    size_t count = socket->to_client_bytes < max ? socket->to_client_bytes : max;
    sim_read_lents(socket, count);
    memcpy(out, socket->to_client, count);
    memmove(socket->to_client, socket->to_client + count, socket->to_client_bytes - count);
    socket->to_client_bytes -= count;
    sim.read_hash = running_hash_add(sim.read_hash, running_hash_payload(out, count));
    return count;
}

static void sim_release(struct sim_socket *socket)
{
    sim_read_lents(socket, socket->to_client_bytes);
    if (socket->client_closed && (socket->server_closed || !socket->accepted)) {
        socket->is_open = false;
    }
}

void sim_client_close(struct sim_socket *socket, bool with_reset)
{
    socket->client_closed = true;
    socket->reset = with_reset;
    sim_release(socket);
}

/* ---- Completions ---- */

static bool sim_cq_is_full(void)
{
    return kernel->late_count > 0 || kernel->cq_tail - kernel->cq_head == kernel->cq_entries;
}

static void sim_post(uint64_t tag, int result, uint32_t flags)
{
    struct io_uring_cqe *cqe;
    if (sim_cq_is_full()) {
        assert_always(kernel->late_count < SIM_LATE_MAX);
        cqe = &kernel->late[kernel->late_count++];
        kernel->sq_flags |= IORING_SQ_CQ_OVERFLOW;
        sim.late_count++;
    } else {
        cqe = &kernel->cqes[kernel->cq_tail++ & (kernel->cq_entries - 1)];
    }
    cqe->user_data = tag;
    cqe->res = result;
    cqe->flags = flags;
}

/* As the end of an enter does. */
static void sim_flush_late(void)
{
    unsigned moved = 0;
    for (; moved < kernel->late_count && kernel->cq_tail - kernel->cq_head < kernel->cq_entries;
         moved++) {
        kernel->cqes[kernel->cq_tail++ & (kernel->cq_entries - 1)] = kernel->late[moved];
    }
    kernel->late_count -= moved;
    memmove(kernel->late, kernel->late + moved, kernel->late_count * sizeof *kernel->late);
    if (kernel->late_count == 0) {
        kernel->sq_flags &= ~IORING_SQ_CQ_OVERFLOW;
    }
}

static struct sim_socket *sim_socket_of(int fd)
{
    assert_always(fd >= SIM_FD_FIRST && fd < SIM_FD_FIRST + (int)sim.socket_count);
    return &sim.sockets[fd - SIM_FD_FIRST];
}

/* ---- Operations ---- */

/* Who is told that it may write, and then may not, must not ask again and again. */
static void sim_note_progress(struct sim_socket *socket, bool progress)
{
    assert_always(sim.is_uneven || socket->futile_ns == 0 ||
                  sim.now_ns >= socket->futile_ns + SIM_PAUSE_NS);
    bool is_futile = socket->told_writable && !progress;
    socket->futile_ns = is_futile ? sim.now_ns : 0;
    socket->told_writable = is_futile;
}

static void sim_copy(struct sim_socket *socket, const struct iovec *iovs, size_t iov_count,
                     size_t left)
{
    for (size_t i = 0; i < iov_count && left > 0; i++) {
        size_t piece = iovs[i].iov_len < left ? iovs[i].iov_len : left;
        memcpy(socket->to_client + socket->to_client_bytes, iovs[i].iov_base, piece);
        socket->to_client_bytes += piece;
        left -= piece;
    }
}

/* How many of the bytes a socket takes now. */
static size_t sim_take(struct sim_socket *socket, size_t total)
{
    size_t room = socket->to_client_room - socket->to_client_bytes;
    assert_always(!socket->server_shut);
    if (sim_mishap(SIM_SENDS_SHORT)) {
        room = sim_random(room < total ? room + 1 : total + 1);
        sim.cut_count += room < total;
    }
    size_t sent = total < room ? total : room;
    sim.full_count += sent == 0;
    sim_note_progress(socket, sent > 0);
    return sent;
}

static void sim_send(const struct io_uring_sqe *sqe, const struct iovec *iovs, size_t iov_count)
{
    struct sim_socket *socket = sim_socket_of(sqe->fd);
    size_t total = 0;
    assert_always((sqe->msg_flags & (MSG_DONTWAIT | MSG_WAITALL)) == (MSG_DONTWAIT | MSG_WAITALL));
    assert_always((sqe->flags & IOSQE_CQE_SKIP_SUCCESS) != 0);
    for (size_t i = 0; i < iov_count; i++) {
        total += iovs[i].iov_len;
    }
    if (socket->client_closed) {
        sim_post(sqe->user_data, socket->reset ? -ECONNRESET : -EPIPE, 0);
        return;
    }
    size_t sent = sim_take(socket, total);
    sim_copy(socket, iovs, iov_count, sent);
    if (sent < total) {
        sim_post(sqe->user_data, sent == 0 ? -EAGAIN : (int)sent, 0);
    }
}

static struct sim_lent *sim_unused_lent(void)
{
    for (uint32_t i = 0; i < SIM_LENTS_MAX; i++) {
        if (sim.lents[i].socket == NULL) {
            return &sim.lents[i];
        }
    }
    return NULL;
}

/* Keeps the pages, not the bytes. */
static void sim_lend(struct sim_lent *lent, struct sim_socket *socket, int file_fd, off_t offset,
                     size_t count)
{
    *lent = (struct sim_lent){.socket = socket, .offset = socket->to_client_bytes, .bytes = count};
    assert_always(pipe(lent->pipe) == 0);
    /* No more than it needs: an ordinary user's pipes share 64 MiB. Each page that the bytes touch
     * takes a page of it. */
    int pages_bytes = (int)count + 2 * (int)sysconf(_SC_PAGESIZE);
    assert_always(fcntl(lent->pipe[1], F_SETPIPE_SZ, pages_bytes) >= pages_bytes);
    for (size_t done = 0; done < count;) {
        ssize_t taken = splice(file_fd, &offset, lent->pipe[1], NULL, count - done, 0);
        assert_always(taken > 0);
        done += (size_t)taken;
    }
    socket->to_client_bytes += count;
    sim.lent_count++;
}

static int64_t sim_send_file(struct engine *engine, int fd, const struct engine_stretch *stretch)
{
    static const int refusals[] = {-EINVAL, -ENOMEM, -EPERM};
    struct sim_socket *socket = sim_socket_of(fd);
    struct sim_lent *lent = sim_unused_lent();
    assert_always(socket->kernel == sim_kernel_of(engine));
    assert_always(!socket->writable_armed); /* A try in vain is dear. */
    if (lent == NULL || sim_mishap(SIM_REFUSES_FILES)) {
        return refusals[sim_random(sizeof refusals / sizeof refusals[0])];
    }
    if (socket->client_closed) {
        return socket->reset ? -ECONNRESET : -EPIPE;
    }
    size_t sent = sim_take(socket, stretch->bytes);
    if (sent == 0) {
        return -EAGAIN;
    }
    sim_lend(lent, socket, stretch->fd, (off_t)stretch->offset, sent);
    return (int64_t)sent;
}

static void sim_cancel(const struct io_uring_sqe *sqe)
{
    bool is_found = false;
    assert_always(sqe->cancel_flags == 0); /* By its tag: all else walks what is armed. */
    for (uint32_t i = 0; i < sim.socket_count; i++) {
        struct sim_socket *socket = &sim.sockets[i];
        if (socket->kernel != kernel) {
            continue; /* The cores' tags are alike. */
        }
        if (socket->recv_armed && socket->recv_tag == sqe->addr) {
            socket->recv_armed = false;
            is_found = true;
            sim_post(socket->recv_tag, -ECANCELED, 0);
        }
        if (socket->writable_armed && socket->writable_tag == sqe->addr) {
            socket->writable_armed = false;
            is_found = true;
            sim_post(socket->writable_tag, -ECANCELED, 0);
        }
    }
    for (uint32_t i = 0; i < SIM_LISTENERS_MAX; i++) {
        struct sim_accept *accept = &kernel->accepts[i];
        if (accept->armed && accept->tag == sqe->addr) {
            accept->armed = false;
            is_found = true;
            sim_post(accept->tag, -ECANCELED, 0);
        }
    }
    if (!is_found) {
        sim_post(sqe->user_data, -ENOENT, 0);
    }
}

static void sim_close_socket(int fd)
{
    struct sim_socket *socket = sim_socket_of(fd);
    assert_always(!socket->recv_armed && !socket->writable_armed);
    socket->server_closed = true;
    socket->server_shut = true;
    sim_release(socket);
}

static void sim_send_message(const struct io_uring_sqe *sqe)
{
    struct sim_kernel *own = kernel;
    assert_always(sqe->fd >= SIM_RING_FD_FIRST && sqe->fd < SIM_RING_FD_FIRST + SIM_ENGINES_MAX);
    kernel = &kernels[sqe->fd - SIM_RING_FD_FIRST];
    if (kernel->engine != NULL) {
        sim_post(sqe->off, (int)sqe->len, 0);
    }
    kernel = own;
}

static void sim_poll(const struct io_uring_sqe *sqe)
{
    struct sim_socket *socket = sim_socket_of(sqe->fd);
    if (sqe->poll32_events == POLLIN) {
        assert_always(!socket->recv_armed);
        socket->recv_armed = true;
        socket->recv_is_poll = true;
        socket->recv_tag = sqe->user_data;
        return;
    }
    assert_always(sqe->poll32_events == POLLOUT && !socket->writable_armed);
    socket->writable_armed = true;
    socket->writable_tag = sqe->user_data;
}

static void sim_accept(const struct io_uring_sqe *sqe)
{
    uint32_t i = 0;
    while (i < SIM_LISTENERS_MAX && kernel->accepts[i].fd != 0 &&
           kernel->accepts[i].fd != sqe->fd) {
        i++;
    }
    assert_always(i < SIM_LISTENERS_MAX && !kernel->accepts[i].armed);
    kernel->accepts[i] = (struct sim_accept){.fd = sqe->fd, .armed = true, .tag = sqe->user_data};
}

static void sim_execute(const struct io_uring_sqe *sqe)
{
    struct sim_socket *socket;
    switch (sqe->opcode) {
    case IORING_OP_SEND: {
        struct iovec iov = {(void *)(uintptr_t)sqe->addr, sqe->len};
        sim_send(sqe, &iov, 1);
        break;
    }
    case IORING_OP_SENDMSG: {
        const struct msghdr *message = (const struct msghdr *)(uintptr_t)sqe->addr;
        sim_send(sqe, message->msg_iov, message->msg_iovlen);
        break;
    }
    case IORING_OP_RECV:
        socket = sim_socket_of(sqe->fd);
        assert_always(!socket->recv_armed);
        socket->recv_armed = true;
        socket->recv_is_poll = false;
        socket->recv_max = (sqe->ioprio & IORING_RECV_MULTISHOT) != 0 ? 0 : sqe->len;
        assert_always(socket->recv_max > 0 || sqe->len == 0);
        socket->recv_tag = sqe->user_data;
        break;
    case IORING_OP_POLL_ADD:
        sim_poll(sqe);
        break;
    case IORING_OP_ACCEPT:
        sim_accept(sqe);
        break;
    case IORING_OP_MSG_RING:
        sim_send_message(sqe);
        break;
    case IORING_OP_ASYNC_CANCEL:
        sim_cancel(sqe);
        break;
    case IORING_OP_SHUTDOWN:
        socket = sim_socket_of(sqe->fd);
        socket->server_shut = true;
        sim_post(sqe->user_data, socket->client_closed && socket->reset ? -ENOTCONN : 0, 0);
        break;
    case IORING_OP_CLOSE:
        sim_close_socket(sqe->fd);
        break;
    default:
        assert_always(!"an operation that is not simulated");
    }
}

/* ---- What becomes ready ---- */

static void sim_deliver_accepts(struct sim_accept *accept)
{
    for (uint32_t i = 0; i < sim.socket_count && accept->armed; i++) {
        struct sim_socket *socket = &sim.sockets[i];
        if (!socket->is_open || socket->accepted || socket->listener_fd != accept->fd) {
            continue;
        }
        if (sim_mishap(SIM_ACCEPT_FAILS)) {
            accept->armed = false;
            sim_post(accept->tag, -EMFILE, 0);
            return;
        }
        socket->accepted = true;
        socket->kernel = kernel;
        accept->armed = !sim_cq_is_full();
        sim_post(accept->tag, (int)(SIM_FD_FIRST + i), accept->armed ? IORING_CQE_F_MORE : 0);
    }
}

static void sim_end_recv(struct sim_socket *socket, int result)
{
    socket->recv_armed = false;
    sim_post(socket->recv_tag, result, 0);
}

static void sim_deliver_bytes(struct engine *engine, struct sim_socket *socket)
{
    struct io_uring_buf_ring *ring = engine->recv_ring;
    if (kernel->buffer_head == ring->tail || sim_mishap(SIM_HAS_NO_BUFFER)) {
        sim_end_recv(socket, -ENOBUFS);
        return;
    }
    uint32_t mask = engine->recv_buffer_count - 1;
    const struct io_uring_buf *buffer = &ring->bufs[kernel->buffer_head++ & mask];
    size_t most = socket->to_server_bytes < buffer->len ? socket->to_server_bytes : buffer->len;
    most = socket->recv_max > 0 && socket->recv_max < most ? socket->recv_max : most;
    size_t count = 1 + sim_random(sim_random(3) == 0 ? 16 : most);
    count = count < most ? count : most;
    memcpy((void *)(uintptr_t)buffer->addr, socket->to_server, count);
    memmove(socket->to_server, socket->to_server + count, socket->to_server_bytes - count);
    socket->to_server_bytes -= count;
    bool more = socket->recv_max == 0 && !sim_mishap(SIM_RECV_ENDS) && !sim_cq_is_full();
    socket->recv_armed = more;
    sim_post(socket->recv_tag, (int)count,
             (more ? IORING_CQE_F_MORE : 0) | IORING_CQE_F_BUFFER |
                 (uint32_t)buffer->bid << IORING_CQE_BUFFER_SHIFT);
}

static void sim_deliver(struct engine *engine, struct sim_socket *socket)
{
    if (socket->recv_armed && socket->recv_is_poll) {
        if (socket->client_closed || socket->to_server_bytes > 0) {
            sim_end_recv(socket, POLLIN | (socket->reset ? POLLERR | POLLHUP : 0));
        }
    } else if (socket->recv_armed && socket->client_closed && socket->reset) {
        sim_end_recv(socket, -ECONNRESET);
    } else if (socket->recv_armed && socket->to_server_bytes > 0) {
        sim_deliver_bytes(engine, socket);
    } else if (socket->recv_armed && socket->client_closed) {
        sim_end_recv(socket, 0);
    }
    bool has_room = socket->to_client_bytes < socket->to_client_room / 3 * 2;
    bool spurious = socket->writable_armed && !has_room && sim_mishap(SIM_WRITABLE_FALSELY);
    sim.spurious_count += spurious;
    if (socket->writable_armed && (has_room || socket->client_closed || spurious)) {
        socket->writable_armed = false;
        socket->told_writable = true;
        sim_post(socket->writable_tag, POLLOUT, 0);
    }
}

/* Beginning anywhere, and some of them only the next time. */
static void sim_deliver_some(struct engine *engine)
{
    uint32_t first = (uint32_t)sim_random(sim.socket_count);
    for (uint32_t i = 0; i < sim.socket_count; i++) {
        struct sim_socket *socket = &sim.sockets[(first + i) % sim.socket_count];
        if (socket->kernel == kernel && !socket->server_closed && !sim_mishap(SIM_DELIVERS_LATE)) {
            sim_deliver(engine, socket);
        }
    }
}

static void sim_become_ready(struct engine *engine)
{
    for (uint32_t i = 0; i < SIM_LISTENERS_MAX; i++) {
        sim_deliver_accepts(&kernel->accepts[i]);
    }
    sim_deliver_some(engine);
    sim_flush_late();
}

bool sim_is_ready(struct engine *engine)
{
    kernel = sim_kernel_of(engine);
    sim_become_ready(engine);
    return kernel->cq_tail != kernel->cq_head;
}

void sim_pass_time(uint64_t timeout_ns)
{
    uint64_t most = timeout_ns < 5 * NS_PER_MS ? timeout_ns : 5 * NS_PER_MS;
    sim.now_ns += timeout_ns > 0 ? sim_random(most + 1) : 0;
}

static int sim_enter(struct engine *engine, uint64_t timeout_ns)
{
    struct io_uring_sq *sq = &engine->ring.sq;
    kernel = sim_kernel_of(engine);
    if (sim.delivers_first) {
        sim_deliver_some(engine);
    }
    /* A submit may take only some. */
    unsigned left = sim_mishap(SIM_SUBMITS_SOME) ? (unsigned)sim_random(8) : UINT32_MAX;
    for (; kernel->sq_head != sq->sqe_tail && left > 0; left--) {
        sim_execute(&sq->sqes[kernel->sq_head & sq->ring_mask]);
        kernel->sq_head++;
    }
    sim.now_ns += sim_random(50 * NS_PER_US);
    sim.step(sim.context, engine, timeout_ns);
    kernel = sim_kernel_of(engine);
    sim_become_ready(engine);
    return 0;
}

static void sim_engine_close(struct engine *engine)
{
    kernel = sim_kernel_of(engine);
    kernel->engine = NULL;
    free(kernel->sqes);
    free(kernel->cqes);
    free(engine->recv_ring);
    free(engine->recv_buffers);
}

static int sim_enable(struct engine *engine)
{
    (void)engine;
    return 0;
}

static const struct engine_ops sim_engine_ops = {
    .enable = sim_enable,
    .enter = sim_enter,
    .send_file = sim_send_file,
    .wake = engine_wake_by_message,
    .close = sim_engine_close,
};

int sim_engine_open(struct engine *engine, const struct engine_options *options, char *error_out)
{
    (void)error_out;
    kernel = sim_kernel_of(NULL);
    assert_always(kernel != NULL);
    memset(kernel, 0, sizeof *kernel);
    kernel->engine = engine;
    kernel->cq_entries =
        sim.cq_entries < options->cq_entries ? sim.cq_entries : options->cq_entries;
    kernel->sq_mask = options->sq_entries - 1;
    kernel->sqes = calloc(options->sq_entries, sizeof *kernel->sqes);
    kernel->cqes = calloc(kernel->cq_entries, sizeof *kernel->cqes);
    *engine = (struct engine){.ops = &sim_engine_ops, .sends_files_to_unix = true};
    engine->ring.sq = (struct io_uring_sq){
        .khead = &kernel->sq_head,
        .kflags = &kernel->sq_flags,
        .sqes = kernel->sqes,
        .ring_mask = options->sq_entries - 1,
        .ring_entries = options->sq_entries,
        .kring_mask = &kernel->sq_mask,
    };
    engine->ring.cq = (struct io_uring_cq){
        .khead = &kernel->cq_head,
        .ktail = &kernel->cq_tail,
        .kflags = &kernel->cq_flags,
        .cqes = kernel->cqes,
        .ring_mask = kernel->cq_entries - 1,
        .ring_entries = kernel->cq_entries,
    };
    engine->ring.features = IORING_FEAT_EXT_ARG;
    engine->ring.enter_ring_fd = -1; /* liburing would enter by itself. */
    engine->ring.ring_fd = SIM_RING_FD_FIRST + (int)(kernel - kernels);
    uint32_t count = options->recv_buffer_count;
    if (count == 0) {
        return 0;
    }
    engine->recv_ring = calloc(count + 1, sizeof(struct io_uring_buf));
    engine->recv_buffers = malloc((size_t)count * options->recv_buffer_bytes);
    engine->recv_buffer_count = count;
    engine->recv_buffer_bytes = options->recv_buffer_bytes;
    assert_always(engine->recv_ring != NULL && engine->recv_buffers != NULL);
    for (uint32_t i = 0; i < count; i++) {
        engine_offer_buffer(engine, i);
    }
    return 0;
}
