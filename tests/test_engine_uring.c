/* The behaviour of io_uring on which the senders stand, one row a test; and the engine itself. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "ring/io/engine_uring.h"
#include "tests/emulator.h"

#define BIG_BYTES (8 * MIB)
#define NO_CQE INT32_MAX
#define SHORT_NS (20 * NS_PER_MS)
#define LONG_NS (30 * NS_PER_SECOND) /* for what comes: a busy machine may be late with it */

/* FILE: a send by reference, which is no operation of the ring. */
enum kind {
    UNIX_SEND,
    UNIX_SENDMSG,
    TCP_SEND,
    TCP_SENDMSG,
    KINDS,
    UNIX_FILE = KINDS,
    TCP_FILE,
    ALL_KINDS
};

struct pair {
    int ours;
    int peer;
    struct iovec iov[3];
    struct msghdr message;
};

static struct engine engine;
static int big_fd; /* shared memory */
static uint8_t *big;
static struct io_uring_cqe received;

static int set_up(void **state)
{
    (void)state;
    char words[ENGINE_ERROR_BYTES_MAX];
    const struct engine_options options = {
        .sq_entries = 64,
        .cq_entries = 256,
        .recv_buffer_count = 4,
        .recv_buffer_bytes = 64,
    };
    big_fd = memfd_create("big", MFD_CLOEXEC);
    assert_int_equal(ftruncate(big_fd, BIG_BYTES), 0);
    big = mmap(NULL, BIG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, big_fd, 0);
    assert_ptr_not_equal(big, MAP_FAILED);
    if (engine_uring_open(&engine, &options, words) < 0) {
        print_error("%s\n", words);
        return -1;
    }
    return engine_enable(&engine);
}

static int tear_down(void **state)
{
    (void)state;
    engine_close(&engine);
    munmap(big, BIG_BYTES);
    close(big_fd);
    return 0;
}

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Ours does not block, like what engine_prepare_accept() makes. */
static struct pair make_pair(enum kind kind)
{
    struct pair pair = {0};
    if (kind == UNIX_SEND || kind == UNIX_SENDMSG || kind == UNIX_FILE) {
        int fds[2];
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
        pair.ours = fds[0];
        pair.peer = fds[1];
        return pair;
    }
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &bytes), 0);
    pair.peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(pair.peer, (struct sockaddr *)&address, bytes), 0);
    pair.ours = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(pair.ours >= 0);
    close(listener);
    return pair;
}

static void close_pair(struct pair *pair)
{
    close(pair->ours);
    if (pair->peer >= 0) {
        close(pair->peer);
    }
}

/* Queues one send of so many bytes; SENDMSG: as three iovecs. */
static void queue_send(struct pair *pair, enum kind kind, size_t bytes, uint64_t tag)
{
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    if (kind == UNIX_SEND || kind == TCP_SEND) {
        engine_prepare_send(sqe, pair->ours, big, bytes);
    } else {
        size_t third = bytes / 3;
        pair->iov[0] = (struct iovec){.iov_base = big, .iov_len = third};
        pair->iov[1] = (struct iovec){.iov_base = big + third, .iov_len = third};
        pair->iov[2] = (struct iovec){.iov_base = big + 2 * third, .iov_len = bytes - 2 * third};
        pair->message = (struct msghdr){.msg_iov = pair->iov, .msg_iovlen = 3};
        engine_prepare_sendmsg(sqe, pair->ours, &pair->message);
    }
    sqe->user_data = tag;
}

/* Submits; gathers each tag's result, NO_CQE where none came. */
static void submit_and_reap(int32_t *results, uint32_t count)
{
    struct io_uring_cqe cqe;
    for (uint32_t i = 0; i < count; i++) {
        results[i] = NO_CQE;
    }
    assert_int_equal(engine_enter(&engine, 0), 0);
    assert_int_equal(engine_enter(&engine, SHORT_NS), 0); /* Would show a late one. */
    while (engine_reap(&engine, &cqe)) {
        assert_true(cqe.user_data < count);
        assert_int_equal(results[cqe.user_data], NO_CQE); /* One at most. */
        results[cqe.user_data] = cqe.res;
    }
}

/* As if a whole one left no CQE. */
static int32_t send_file(const struct pair *pair, size_t offset, size_t bytes)
{
    const struct engine_stretch stretch = {.fd = big_fd, .offset = offset, .bytes = bytes};
    int64_t result = engine_send_file(&engine, pair->ours, &stretch);
    return result == (int64_t)bytes ? NO_CQE : (int32_t)result;
}

static int32_t send_one(struct pair *pair, enum kind kind, size_t bytes)
{
    int32_t result;
    if (kind >= KINDS) {
        return send_file(pair, 0, bytes);
    }
    queue_send(pair, kind, bytes, 0);
    submit_and_reap(&result, 1);
    return result;
}

/* So many bytes arrive at the peer, and no more. */
static void expect_at_peer(const struct pair *pair, size_t bytes)
{
    static uint8_t drain[65536];
    const struct timeval patient = {.tv_sec = LONG_NS / NS_PER_SECOND}, soon = {.tv_usec = 20000};
    setsockopt(pair->peer, SOL_SOCKET, SO_RCVTIMEO, &patient, sizeof patient);
    while (bytes > 0) {
        ssize_t got = recv(pair->peer, drain, bytes < sizeof drain ? bytes : sizeof drain, 0);
        assert_true(got > 0);
        bytes -= (size_t)got;
    }
    setsockopt(pair->peer, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof soon);
    assert_int_equal(recv(pair->peer, drain, sizeof drain, 0), -1);
}

/* Whether the peer has shut its window and has said so; a UNIX socket has none. */
static bool is_shut(const struct pair *pair)
{
    struct tcp_info info = {0};
    socklen_t bytes = sizeof info;
    return getsockopt(pair->ours, IPPROTO_TCP, TCP_INFO, &info, &bytes) < 0 ||
           (info.tcpi_unacked == 0 && info.tcpi_snd_wnd == 0);
}

/* TCP goes on to move bytes over to the peer, and to grow, until the peer's window is shut. What
 * is full then stays full. */
static void fill(const struct pair *pair)
{
    const struct timespec moment = {.tv_nsec = NS_PER_MS};
    const uint64_t until_ns = now_ns() + LONG_NS;
    for (bool stays_full = false; !stays_full;) {
        stays_full = is_shut(pair);
        while (send(pair->ours, big, 65536, MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
            /* Until it is full. */
        }
        assert_true(now_ns() < until_ns);
        nanosleep(&moment, NULL);
    }
}

static void a_send_that_succeeds_whole_leaves_no_cqe(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < ALL_KINDS; kind++) {
        struct pair pair = make_pair(kind);
        assert_int_equal(send_one(&pair, kind, 3000), NO_CQE);
        expect_at_peer(&pair, 3000);
        close_pair(&pair);
    }
}

static void a_send_of_more_than_fits_tells_how_much_went(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < ALL_KINDS; kind++) {
        struct pair pair = make_pair(kind);
        int32_t sent = send_one(&pair, kind, BIG_BYTES);
        assert_in_range(sent, 1, BIG_BYTES - 1);
        expect_at_peer(&pair, (size_t)sent);
        close_pair(&pair);
    }
}

static void a_send_into_a_full_socket_is_eagain_at_once(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < ALL_KINDS; kind++) {
        struct pair pair = make_pair(kind);
        fill(&pair);
        assert_int_equal(send_one(&pair, kind, 3000), -EAGAIN);
        close_pair(&pair);
    }
}

static void a_send_to_a_dead_peer_is_an_error_and_no_signal(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < ALL_KINDS; kind++) {
        struct pair pair = make_pair(kind);
        struct linger now = {.l_onoff = 1};
        signal(SIGPIPE, kind >= KINDS ? SIG_IGN : SIG_DFL); /* sendfile(2) cannot but signal. */
        setsockopt(pair.peer, SOL_SOCKET, SO_LINGER, &now, sizeof now); /* TCP: a reset. */
        close(pair.peer);
        pair.peer = -1;
        struct pollfd gone = {.fd = pair.ours}; /* A hang-up is told unasked. */
        assert_int_equal(poll(&gone, 1, LONG_NS / NS_PER_MS), 1);
        int32_t result = send_one(&pair, kind, 3000);
        assert_true(result == -EPIPE || result == -ECONNRESET);
        assert_int_equal(send_one(&pair, kind, 3000), -EPIPE);
        close_pair(&pair);
    }
}

/* Whether so many bytes arrive at the peer that are all this one. */
static bool are_at_peer(const struct pair *pair, size_t bytes, uint8_t fill)
{
    static uint8_t got[4 * 65536];
    assert_true(bytes <= sizeof got);
    assert_int_equal(recv(pair->peer, got, bytes, MSG_WAITALL), bytes);
    for (size_t i = 0; i < bytes; i++) {
        if (got[i] != fill) {
            return false;
        }
    }
    return true;
}

/* What is written there later arrives in their place, unless the pages were given away. */
static void a_send_by_reference_is_of_the_pages_as_they_are_when_the_peer_reads(void **state)
{
    (void)state;
    for (enum kind kind = UNIX_FILE; kind <= TCP_FILE; kind++) {
        for (int is_hole = 0; is_hole <= 1; is_hole++) {
            struct pair pair = make_pair(kind);
            memset(big, 1, MIB);
            assert_int_equal(send_file(&pair, 100, 50000), NO_CQE);
            assert_int_equal(
                is_hole == 0
                    ? 0
                    : fallocate(big_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, MIB),
                0);
            memset(big, 2, MIB);
            assert_true(are_at_peer(&pair, 50000, is_hole == 0 ? 2 : 1));
            close_pair(&pair);
        }
    }
}

/* The kernel moves 64 KiB at a time. */
static void a_long_send_by_reference_is_whole_wherever_it_begins(void **state)
{
    (void)state;
    for (enum kind kind = UNIX_FILE; kind <= TCP_FILE; kind++) {
        for (size_t offset = 0; offset < 3; offset++) {
            struct pair pair = make_pair(kind);
            const int32_t buffer_bytes = MIB;
            setsockopt(pair.ours, SOL_SOCKET, SO_SNDBUF, &buffer_bytes, sizeof buffer_bytes);
            memset(big, 3, MIB);
            int32_t result = send_file(&pair, offset * 4095, 4 * 65536);
            size_t sent = result == NO_CQE ? 4 * 65536 : (size_t)result;
            assert_in_range(sent, 65536, 4 * 65536);
            assert_true(are_at_peer(&pair, sent, 3));
            close_pair(&pair);
        }
    }
}

static void what_cannot_be_sent_by_reference_is_refused_and_nothing_leaves(void **state)
{
    (void)state;
    struct pair pair = make_pair(TCP_FILE);
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    const struct engine_stretch stretch = {.fd = pipe_fds[0], .bytes = 4096};
    assert_in_range(-engine_send_file(&engine, pair.ours, &stretch), 1, 200);
    expect_at_peer(&pair, 0);
    assert_int_equal(send_one(&pair, TCP_SEND, 3000), NO_CQE);
    expect_at_peer(&pair, 3000);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    close_pair(&pair);
}

static void the_others_of_a_batch_are_not_touched_by_one_that_fails(void **state)
{
    (void)state;
    for (enum kind kind = 0; kind < KINDS; kind++) {
        struct pair pairs[5];
        int32_t results[5];
        for (uint32_t i = 0; i < 5; i++) {
            pairs[i] = make_pair(kind);
        }
        close(pairs[1].peer);
        pairs[1].peer = -1;
        shutdown(pairs[1].ours, SHUT_WR);
        fill(&pairs[2]);
        for (uint32_t i = 0; i < 5; i++) {
            queue_send(&pairs[i], kind, i == 3 ? BIG_BYTES : 300, i);
        }
        submit_and_reap(results, 5);
        assert_int_equal(results[0], NO_CQE);
        assert_int_equal(results[1], -EPIPE);
        assert_int_equal(results[2], -EAGAIN);
        assert_in_range(results[3], 1, BIG_BYTES - 1);
        assert_int_equal(results[4], NO_CQE);
        expect_at_peer(&pairs[0], 300);
        expect_at_peer(&pairs[4], 300);
        for (uint32_t i = 0; i < 5; i++) {
            close_pair(&pairs[i]);
        }
    }
}

static void sends_to_one_socket_leave_in_the_order_of_the_queue(void **state)
{
    (void)state;
    struct pair pair = make_pair(TCP_SEND);
    int32_t results[60];
    uint8_t got[60];
    for (uint32_t i = 0; i < 60; i++) {
        big[i] = (uint8_t)i;
        struct io_uring_sqe *sqe = engine_sqe(&engine);
        engine_prepare_send(sqe, pair.ours, big + i, 1);
        sqe->user_data = i;
    }
    submit_and_reap(results, 60);
    assert_int_equal(recv(pair.peer, got, sizeof got, MSG_WAITALL), 60);
    assert_memory_equal(got, big, 60);
    close_pair(&pair);
}

/* Returns how long enter took. */
static uint64_t enter_for(uint64_t timeout_ns)
{
    uint64_t began_ns = now_ns();
    assert_int_equal(engine_enter(&engine, timeout_ns), 0);
    return now_ns() - began_ns;
}

/* A busy machine may be late with it, but not always. */
static void enter_waits_for_its_timeout_and_no_longer(void **state)
{
    (void)state;
    static const uint64_t timeouts_ns[] = {0, SHORT_NS};
    for (size_t i = 0; i < 2; i++) {
        uint64_t took_ns = UINT64_MAX;
        for (uint32_t tries = 0; tries < 50 && took_ns >= timeouts_ns[i] + NS_PER_SECOND / 2;
             tries++) {
            took_ns = enter_for(timeouts_ns[i]);
        }
        assert_in_range(took_ns, timeouts_ns[i], timeouts_ns[i] + NS_PER_SECOND / 2);
    }
}

static struct io_uring_cqe next_cqe(void)
{
    struct io_uring_cqe cqe;
    const uint64_t until_ns = now_ns() + LONG_NS;
    while (!engine_reap(&engine, &cqe)) {
        assert_true(now_ns() < until_ns);
        assert_int_equal(engine_enter(&engine, NS_PER_SECOND), 0);
    }
    return cqe;
}

static void *wake_from_another_ring(void *argument)
{
    struct engine second;
    char words[ENGINE_ERROR_BYTES_MAX];
    const struct engine_options options = {.sq_entries = 8, .cq_entries = 16};
    const struct timespec while_it_sleeps = {.tv_nsec = 30 * 1000 * 1000};
    struct io_uring_cqe cqe;
    (void)argument;
    if (engine_uring_open(&second, &options, words) < 0 || engine_enable(&second) < 0) {
        return (void *)1;
    }
    nanosleep(&while_it_sleeps, NULL);
    bool is_queued = engine_wake(&engine, &second, 4711);
    int error = engine_enter(&second, 0);
    error |= engine_enter(&second, SHORT_NS);
    bool is_silent = !engine_reap(&second, &cqe);
    engine_close(&second);
    return is_queued && error == 0 && is_silent ? NULL : (void *)1;
}

static void a_message_from_another_ring_ends_the_wait(void **state)
{
    (void)state;
    pthread_t thread;
    struct io_uring_cqe cqe;
    void *failed;
    assert_int_equal(pthread_create(&thread, NULL, wake_from_another_ring, NULL), 0);
    uint64_t began_ns = now_ns();
    do {
        assert_int_equal(engine_enter(&engine, 2 * LONG_NS), 0);
        assert_true(now_ns() - began_ns < LONG_NS);
    } while (!engine_reap(&engine, &cqe)); /* A signal ends a wait, too. */
    assert_int_equal(cqe.user_data, 4711);
    assert_int_equal(cqe.res, 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    assert_null(failed);
}

/* The next completion of the receive; returns its result. */
static int32_t next_recv(char *text, bool *more)
{
    received = next_cqe();
    *more = (received.flags & IORING_CQE_F_MORE) != 0;
    if (received.res > 0) {
        memcpy(text, engine_recv_bytes(&engine, &received), (size_t)received.res);
        text[received.res] = '\0';
    }
    return received.res;
}

static void arm_recv(int fd)
{
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    engine_prepare_recv(sqe, fd);
    assert_int_equal(engine_enter(&engine, 0), 0);
}

static void one_receive_hands_out_buffers_until_the_peer_is_gone(void **state)
{
    (void)state;
    struct pair pair = make_pair(TCP_SEND);
    char text[65];
    bool more;
    arm_recv(pair.ours);
    for (uint32_t i = 0; i < 3; i++) { /* Of four buffers; none is given back. */
        char sent[16];
        int bytes = snprintf(sent, sizeof sent, "message %u", i);
        assert_int_equal(send(pair.peer, sent, (size_t)bytes, 0), bytes);
        assert_int_equal(next_recv(text, &more), bytes);
        assert_string_equal(text, sent);
        assert_true(more);
    }
    close(pair.peer);
    pair.peer = -1;
    assert_int_equal(next_recv(text, &more), 0);
    assert_false(more);
    close_pair(&pair);
}

static void without_a_buffer_the_receive_ends_with_enobufs_and_loses_nothing(void **state)
{
    (void)state;
    struct pair pair = make_pair(UNIX_SEND);
    char text[65];
    bool more;
    size_t total = 0;
    arm_recv(pair.ours);
    assert_int_equal(send(pair.peer, big, 4 * 64 + 10, 0), 4 * 64 + 10);
    int32_t result;
    struct io_uring_cqe first = {0};
    while ((result = next_recv(text, &more)) > 0) {
        first = first.res == 0 ? received : first;
        total += (size_t)result;
    }
    assert_int_equal(result, -ENOBUFS);
    assert_false(more);
    assert_int_equal(total, 4 * 64);
    engine_give_back(&engine, &first);
    arm_recv(pair.ours);
    assert_int_equal(next_recv(text, &more), 10);
    close_pair(&pair);
}

#define CANCEL_TAG 99

/* What an operation that was armed with a tag ends with; it is the next to complete. */
static int32_t end_of(uint64_t tag)
{
    struct io_uring_cqe cqe = next_cqe();
    assert_int_equal(cqe.user_data, tag);
    assert_int_equal(cqe.flags & IORING_CQE_F_MORE, 0);
    return cqe.res;
}

static void cancel(uint64_t tag)
{
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    engine_prepare_cancel(sqe, tag);
    sqe->user_data = CANCEL_TAG;
    assert_int_equal(engine_enter(&engine, 0), 0);
}

static void what_is_cancelled_by_its_tag_ends_alone(void **state)
{
    (void)state;
    struct pair pair = make_pair(TCP_SEND);
    fill(&pair);
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    engine_prepare_writable(sqe, pair.ours);
    sqe->user_data = 1;
    sqe = engine_sqe(&engine);
    engine_prepare_recv(sqe, pair.ours);
    sqe->user_data = 2;
    cancel(2); /* In the submit that arms it. */
    assert_int_equal(end_of(2), -ECANCELED);
    cancel(2);
    assert_int_equal(end_of(CANCEL_TAG), -ENOENT);
    cancel(1);
    assert_int_equal(end_of(1), -ECANCELED);
    assert_int_equal(engine_completion_count(&engine), 0);
    close_pair(&pair);
}

static void queue_nops(struct engine *small, uint64_t from, uint64_t to)
{
    for (uint64_t tag = from; tag < to; tag++) {
        struct io_uring_sqe *sqe = engine_sqe(small);
        io_uring_prep_nop(sqe);
        sqe->user_data = tag;
    }
    assert_int_equal(engine_enter(small, 0), 0);
}

/* What ring/link/sender.c does when its completions are not in the queue. */
static void what_finds_the_queue_full_comes_in_order_once_there_is_room(void **state)
{
    (void)state;
    const struct engine_options options = {.sq_entries = 16, .cq_entries = 32};
    char words[ENGINE_ERROR_BYTES_MAX];
    struct engine small;
    struct io_uring_cqe cqe;
    uint64_t next = 0;
    assert_int_equal(engine_uring_open(&small, &options, words), 0);
    assert_int_equal(engine_enable(&small), 0);
    assert_int_equal(small.ring.cq.ring_entries, 32);
    queue_nops(&small, 0, 100);
    assert_true(engine_has_overflown(&small));
    assert_true(engine_lacks_room(&small));
    for (uint64_t seen = 0; engine_has_overflown(&small); assert_true(seen < 100)) {
        uint32_t count = engine_completion_count(&small);
        assert_true(count > 0);
        for (uint32_t number = 0; number < count; number++) {
            assert_int_equal(engine_completion(&small, number)->user_data, seen++);
        }
        engine_put_off(&small);
        assert_int_equal(engine_enter(&small, 0), 0);
    }
    queue_nops(&small, 100, 110); /* Behind what was put off. */
    while (engine_reap(&small, &cqe)) {
        assert_int_equal(cqe.user_data, next++);
    }
    assert_int_equal(next, 110);
    assert_false(engine_lacks_room(&small));
    engine_close(&small);
}

/* A limit on locked memory counts for others than root only, and for rings since Linux 6.14. */
static void a_ring_that_is_smaller_than_asked_for_tells_its_size(void **state)
{
    (void)state;
    int status;
    pid_t child = fork();
    if (child == 0) {
        const struct rlimit limit = {256 * KIB, 256 * KIB};
        const struct engine_options options = {.sq_entries = 1024, .cq_entries = 16384};
        char words[ENGINE_ERROR_BYTES_MAX];
        struct engine smaller;
        bool is_set = setrlimit(RLIMIT_MEMLOCK, &limit) == 0 &&
                      (geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
        int error = is_set ? engine_uring_open(&smaller, &options, words) : -EIO;
        if (error < 0) {
            _exit(error == -ENOMEM ? 3 : 1);
        }
        uint32_t entries = smaller.ring.cq.ring_entries;
        bool is_true = entries == *smaller.ring.cq.kring_entries;
        _exit(is_true && (entries == 16384 || entries == 8192 || entries == 4096) ? 0 : 2);
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 3) {
        print_message("SKIPPED: this user's other processes hold what may be locked\n");
        skip();
    }
    assert_int_equal(status, 0);
}

static void every_errno_of_the_set_up_is_explained_in_words(void **state)
{
    (void)state;
    static const struct {
        int error;
        const char *says;
    } cases[] = {
        {-EPERM, "kernel.io_uring_disabled"},
        {-EPERM, "seccomp"},
        {-ENOSYS, "6.1"},
        {-ENOSYS, "seccomp"},
        {-ENOMEM, "LimitMEMLOCK"},
        {-ENOMEM, "ulimit -l"},
        {-EINVAL, "6.1"},
        {-EMFILE, "ulimit -n"},
        {-ENFILE, "ulimit -n"},
        {-EIO, "unexpected"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[ENGINE_ERROR_BYTES_MAX];
        engine_uring_explain(cases[i].error, text, sizeof text);
        assert_non_null(strstr(text, "io_uring"));
        assert_non_null(strstr(text, strerror(-cases[i].error)));
        if (strstr(text, cases[i].says) == NULL) {
            fail_msg("\"%s\" does not say \"%s\"", text, cases[i].says);
        }
        assert_true(strlen(text) + 1 < sizeof text);
    }
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_errno_of_the_set_up_is_explained_in_words),
        TEST(a_send_that_succeeds_whole_leaves_no_cqe),
        TEST(a_send_of_more_than_fits_tells_how_much_went),
        TEST(a_send_into_a_full_socket_is_eagain_at_once),
        TEST(a_send_to_a_dead_peer_is_an_error_and_no_signal),
        TEST(a_send_by_reference_is_of_the_pages_as_they_are_when_the_peer_reads),
        TEST(a_long_send_by_reference_is_whole_wherever_it_begins),
        TEST(what_cannot_be_sent_by_reference_is_refused_and_nothing_leaves),
        TEST(the_others_of_a_batch_are_not_touched_by_one_that_fails),
        TEST(sends_to_one_socket_leave_in_the_order_of_the_queue),
        TEST(enter_waits_for_its_timeout_and_no_longer),
        TEST(a_message_from_another_ring_ends_the_wait),
        TEST(one_receive_hands_out_buffers_until_the_peer_is_gone),
        TEST(without_a_buffer_the_receive_ends_with_enobufs_and_loses_nothing),
        TEST(what_is_cancelled_by_its_tag_ends_alone),
        cmocka_unit_test(what_finds_the_queue_full_comes_in_order_once_there_is_room),
        cmocka_unit_test(a_ring_that_is_smaller_than_asked_for_tells_its_size),
    };
    if (emulator_lacks_rings()) {
        return emulator_skip_all(tests, sizeof tests / sizeof tests[0]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
