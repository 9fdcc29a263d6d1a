/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "ring/engine.h"

/* What the fan-out stands on: sends that end inside submit, and post only what fell short. */
#define FLAGS (MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL)
#define MUCH (8 * MIB)

static struct engine engine;
static char words[ENGINE_ERROR_BYTES_MAX];
static uint8_t much[MUCH];

static int set_up(void **state)
{
    (void)state;
    struct engine_options options = {
        .sq_entries = 64,
        .cq_entries = 1024,
        .recv_buffer_count = 8,
        .recv_buffer_bytes = 512,
    };
    int error = engine_uring_open(&engine, &options, words);
    return error < 0 ? error : engine_uring_enable(&engine);
}

static int tear_down(void **state)
{
    (void)state;
    engine.close(&engine);
    return 0;
}

static void make_pair(int fds[2])
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t bytes = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listener, 1), 0);
    getsockname(listener, (struct sockaddr *)&address, &bytes);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&address, sizeof address), 0);
    fds[0] = accept(listener, NULL, NULL);
    assert_true(fds[0] >= 0);
    close(listener);
}

static void close_pair(const int fds[2])
{
    close(fds[0]);
    close(fds[1]);
}

static void queue_send(int fd, const void *bytes, size_t count, uint64_t tag)
{
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    io_uring_prep_send(sqe, fd, bytes, count, FLAGS);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, tag);
}

static void queue_sendmsg(int fd, struct msghdr *message, uint64_t tag)
{
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    io_uring_prep_sendmsg(sqe, fd, message, FLAGS);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, tag);
}

/* The one completion there must be. */
static int only_result(uint64_t tag)
{
    struct io_uring_cqe *cqe;
    assert_int_equal(engine.enter(&engine, 0), 0);
    assert_int_equal(io_uring_sq_ready(&engine.ring), 0);
    assert_int_equal(io_uring_cq_ready(&engine.ring), 1);
    assert_int_equal(io_uring_peek_cqe(&engine.ring, &cqe), 0);
    assert_true(cqe->user_data == tag);
    int result = cqe->res;
    io_uring_cqe_seen(&engine.ring, cqe);
    return result;
}

static void a_send_that_went_whole_posts_nothing(void **state)
{
    (void)state;
    int fds[2];
    char seen[16];
    struct iovec iovs[3] = {{"one ", 4}, {"two ", 4}, {"three", 5}};
    struct msghdr message = {.msg_iov = iovs, .msg_iovlen = 3};
    make_pair(fds);
    queue_send(fds[0], "abc", 3, 1);
    queue_sendmsg(fds[0], &message, 2);
    assert_int_equal(engine.enter(&engine, 0), 0);
    assert_int_equal(io_uring_cq_ready(&engine.ring), 0);
    assert_int_equal(recv(fds[1], seen, sizeof seen, 0), 16);
    assert_memory_equal(seen, "abcone two three", 16);
    close_pair(fds);
}

static void a_send_that_did_not_fit_posts_how_much_did_and_then_nothing_fits(void **state)
{
    (void)state;
    int fds[2];
    make_pair(fds);
    queue_send(fds[0], much, MUCH, 7);
    int sent = only_result(7);
    assert_true(sent > 0 && (size_t)sent < MUCH);
    queue_send(fds[0], much, MUCH, 8);
    assert_int_equal(only_result(8), -EAGAIN);
    close_pair(fds);
}

static void a_vector_that_did_not_fit_posts_how_much_did_and_then_nothing_fits(void **state)
{
    (void)state;
    int fds[2];
    struct iovec iovs[64];
    for (size_t i = 0; i < 64; i++) {
        iovs[i] = (struct iovec){much + i * (MUCH / 64), MUCH / 64};
    }
    struct msghdr message = {.msg_iov = iovs, .msg_iovlen = 64};
    make_pair(fds);
    queue_sendmsg(fds[0], &message, 9);
    int sent = only_result(9);
    assert_true(sent > 0 && (size_t)sent < MUCH);
    queue_sendmsg(fds[0], &message, 10);
    assert_int_equal(only_result(10), -EAGAIN);
    close_pair(fds);
}

static void a_dead_peer_is_an_error_and_the_rest_of_the_batch_is_unharmed(void **state)
{
    (void)state;
    int dead[2];
    int alive[2];
    char seen[4];
    make_pair(dead);
    make_pair(alive);
    struct linger at_once = {.l_onoff = 1};
    setsockopt(dead[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(dead[1]); /* With a reset. */
    queue_send(alive[0], "ab", 2, 1);
    queue_send(dead[0], "ab", 2, 2);
    queue_send(alive[0], "cd", 2, 3);
    int error = only_result(2);
    assert_true(error == -EPIPE || error == -ECONNRESET);
    assert_int_equal(recv(alive[1], seen, sizeof seen, MSG_WAITALL), 4);
    assert_memory_equal(seen, "abcd", 4);
    close(dead[0]);
    close_pair(alive);
}

static void a_multishot_receive_hands_out_buffers_until_there_are_none(void **state)
{
    (void)state;
    int fds[2];
    struct io_uring_cqe *cqe;
    make_pair(fds);
    struct io_uring_sqe *sqe = engine_sqe(&engine);
    io_uring_prep_recv_multishot(sqe, fds[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    assert_int_equal(send(fds[1], much, 8 * 512 + 100, 0), 8 * 512 + 100);
    uint32_t received = 0;
    for (uint32_t round = 0; round < 20 && received <= 8; round++) {
        assert_int_equal(engine.enter(&engine, 10 * NS_PER_MS), 0);
        while (io_uring_peek_cqe(&engine.ring, &cqe) == 0) {
            bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
            assert_int_equal(cqe->res, received < 8 ? 512 : -ENOBUFS);
            assert_true(received < 8 || !more);
            received++;
            io_uring_cqe_seen(&engine.ring, cqe);
        }
    }
    assert_int_equal(received, 9);
    close_pair(fds);
}

static void one_ring_wakes_another(void **state)
{
    (void)state;
    struct engine waker;
    struct engine_options options = {.sq_entries = 8, .cq_entries = 16};
    assert_int_equal(engine_uring_open(&waker, &options, words), 0);
    assert_int_equal(engine_uring_enable(&waker), 0);
    struct io_uring_sqe *sqe = engine_sqe(&waker);
    io_uring_prep_msg_ring(sqe, engine.ring.ring_fd, 0, 99, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    assert_int_equal(waker.enter(&waker, 0), 0);
    assert_int_equal(engine.enter(&engine, NS_PER_SECOND), 0);
    struct io_uring_cqe *cqe;
    assert_int_equal(io_uring_peek_cqe(&engine.ring, &cqe), 0);
    assert_true(cqe->user_data == 99);
    io_uring_cqe_seen(&engine.ring, cqe);
    assert_int_equal(io_uring_cq_ready(&waker.ring), 0);
    waker.close(&waker);
}

static void what_forbids_io_uring_is_said_with_what_to_do(void **state)
{
    (void)state;
    static const struct {
        int error;
        const char *word;
    } cases[] = {
        {-EPERM, "kernel.io_uring_disabled"},
        {-EPERM, "seccomp"},
        {-ENOSYS, "Linux 6.1"},
        {-ENOMEM, "ulimit -l"},
        {-EINVAL, "Linux 6.1"},
        {-EMFILE, "ulimit -n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        engine_uring_explain(cases[i].error, words, sizeof words);
        assert_non_null(strstr(words, cases[i].word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_send_that_went_whole_posts_nothing),
        cmocka_unit_test(a_send_that_did_not_fit_posts_how_much_did_and_then_nothing_fits),
        cmocka_unit_test(a_vector_that_did_not_fit_posts_how_much_did_and_then_nothing_fits),
        cmocka_unit_test(a_dead_peer_is_an_error_and_the_rest_of_the_batch_is_unharmed),
        cmocka_unit_test(one_ring_wakes_another),
        cmocka_unit_test(a_multishot_receive_hands_out_buffers_until_there_are_none),
        cmocka_unit_test(what_forbids_io_uring_is_said_with_what_to_do),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
