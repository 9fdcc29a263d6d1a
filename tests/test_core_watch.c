/* Descriptors that end the wait of a real ring. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "ring/core/core_watch.h"
#include "ring/io/engine_uring.h"
#include "tests/emulator.h"

static struct engine engine;
static struct core_watch watch;
static int ends[2]; /* of a pipe */

static int set_up(void **state)
{
    (void)state;
    char words[ENGINE_ERROR_BYTES_MAX];
    const struct engine_options options = {.sq_entries = 8, .cq_entries = 16};
    if (engine_uring_open(&engine, &options, words) < 0) {
        print_error("%s\n", words);
        return -1;
    }
    core_watch_init(&watch, &engine);
    return engine_enable(&engine) < 0 ? -1 : pipe2(ends, O_CLOEXEC | O_NONBLOCK);
}

static int tear_down(void **state)
{
    (void)state;
    engine_close(&engine);
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* Enters the ring; with a time to wait, what was written before must end the wait. */
static void enter(uint64_t timeout_ns)
{
    struct io_uring_cqe cqe;
    bool is_over = false;
    for (uint32_t i = 0; i < 3 && !is_over; i++) { /* A signal ends a wait, too. */
        assert_int_equal(engine_enter(&engine, timeout_ns), 0);
        is_over = timeout_ns == 0;
        while (engine_reap(&engine, &cqe)) {
            core_watch_on_completion(&watch, cqe.user_data, cqe.res);
            is_over = true;
        }
    }
}

static void write_byte(void)
{
    assert_int_equal(write(ends[1], "x", 1), 1);
}

static void read_byte(void)
{
    char byte;
    assert_int_equal(read(ends[0], &byte, 1), 1);
}

static void a_descriptor_is_readable_once_for_each_wait(void **state)
{
    (void)state;
    core_watch_arm(&watch, 3, ends[0]);
    enter(0);
    assert_false(core_watch_is_readable(&watch, 3));
    for (int i = 0; i < 3; i++) {
        write_byte();
        enter(60 * NS_PER_SECOND);
        assert_true(core_watch_is_readable(&watch, 3));
        assert_int_equal(watch.armed_count, 0);
        read_byte();
        core_watch_arm(&watch, 3, ends[0]);
        assert_false(core_watch_is_readable(&watch, 3));
        assert_int_equal(watch.armed_count, 1);
        enter(0);
        assert_false(core_watch_is_readable(&watch, 3));
    }
}

static void what_was_left_unread_ends_the_next_wait(void **state)
{
    (void)state;
    write_byte();
    for (int i = 0; i < 3; i++) {
        core_watch_arm(&watch, 0, ends[0]);
        enter(60 * NS_PER_SECOND);
        assert_true(core_watch_is_readable(&watch, 0));
    }
}

static void a_wait_is_not_begun_twice(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        core_watch_arm(&watch, 0, ends[0]);
    }
    assert_int_equal(watch.armed_count, 1);
    assert_int_equal(engine_queued_count(&engine), 1);
}

static void what_comes_of_a_wait_that_was_ended_is_ignored(void **state)
{
    (void)state;
    int others[2];
    assert_int_equal(pipe2(others, O_CLOEXEC | O_NONBLOCK), 0);
    core_watch_arm(&watch, 0, ends[0]);
    enter(0);
    write_byte(); /* Its completion is on its way when the wait is ended. */
    core_watch_disarm(&watch, 0);
    core_watch_arm(&watch, 0, others[0]);
    enter(0);
    enter(0);
    assert_false(core_watch_is_readable(&watch, 0));
    assert_int_equal(watch.armed_count, 1);
    assert_int_equal(write(others[1], "x", 1), 1);
    enter(60 * NS_PER_SECOND);
    assert_true(core_watch_is_readable(&watch, 0));
    close(others[0]);
    close(others[1]);
}

static void a_wait_that_was_ended_holds_no_file(void **state)
{
    (void)state;
    core_watch_arm(&watch, 0, ends[0]);
    enter(0);
    core_watch_disarm(&watch, 0);
    enter(0);
    assert_int_equal(watch.armed_count, 0);
    close(ends[0]);
    enter(0);
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(write(ends[1], "x", 1), -1); /* The kernel has let go of the other end. */
    ends[0] = dup(ends[1]);
}

static void a_writer_that_leaves_is_seen(void **state)
{
    (void)state;
    core_watch_arm(&watch, 0, ends[0]);
    enter(0);
    close(ends[1]);
    enter(60 * NS_PER_SECOND);
    assert_true(core_watch_is_readable(&watch, 0));
    ends[1] = dup(ends[0]);
}

/* For a feed with several descriptors. */
static void an_epoll_descriptor_is_readable_when_one_of_its_own_is(void **state)
{
    (void)state;
    int set = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    assert_int_equal(epoll_ctl(set, EPOLL_CTL_ADD, ends[0], &event), 0);
    core_watch_arm(&watch, 0, set);
    enter(0);
    assert_false(core_watch_is_readable(&watch, 0));
    for (int i = 0; i < 3; i++) {
        write_byte();
        enter(60 * NS_PER_SECOND);
        assert_true(core_watch_is_readable(&watch, 0));
        read_byte();
        core_watch_arm(&watch, 0, set);
        enter(0);
        assert_false(core_watch_is_readable(&watch, 0));
    }
    core_watch_disarm(&watch, 0);
    close(set);
}

static void what_cannot_be_polled_is_never_readable_and_not_tried_again(void **state)
{
    (void)state;
    int file = dup(ends[0]);
    assert_true(file >= 0);
    close(file); /* -EBADF */
    core_watch_arm(&watch, 0, file);
    enter(0);
    for (int i = 0; i < 3; i++) {
        core_watch_arm(&watch, 0, file);
        assert_int_equal(engine_queued_count(&engine), 0);
        assert_false(core_watch_is_readable(&watch, 0));
    }
    core_watch_disarm(&watch, 0);
    core_watch_arm(&watch, 0, ends[0]);
    write_byte();
    enter(60 * NS_PER_SECOND);
    assert_true(core_watch_is_readable(&watch, 0));
}

static void every_number_has_a_wait_of_its_own(void **state)
{
    (void)state;
    int pipes[CORE_WATCH_COUNT_MAX][2];
    for (uint32_t i = 0; i < CORE_WATCH_COUNT_MAX; i++) {
        assert_int_equal(pipe2(pipes[i], O_CLOEXEC | O_NONBLOCK), 0);
        core_watch_arm(&watch, i, pipes[i][0]);
    }
    enter(0);
    assert_int_equal(watch.armed_count, CORE_WATCH_COUNT_MAX);
    for (uint32_t i = 0; i < CORE_WATCH_COUNT_MAX; i += 2) {
        assert_int_equal(write(pipes[i][1], "x", 1), 1);
    }
    while (watch.armed_count > CORE_WATCH_COUNT_MAX / 2) {
        enter(60 * NS_PER_SECOND);
    }
    for (uint32_t i = 0; i < CORE_WATCH_COUNT_MAX; i++) {
        assert_int_equal(core_watch_is_readable(&watch, i), i % 2 == 0);
        close(pipes[i][0]);
        close(pipes[i][1]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_descriptor_is_readable_once_for_each_wait),
        TEST(what_was_left_unread_ends_the_next_wait),
        TEST(a_wait_is_not_begun_twice),
        TEST(what_comes_of_a_wait_that_was_ended_is_ignored),
        TEST(a_wait_that_was_ended_holds_no_file),
        TEST(a_writer_that_leaves_is_seen),
        TEST(an_epoll_descriptor_is_readable_when_one_of_its_own_is),
        TEST(what_cannot_be_polled_is_never_readable_and_not_tried_again),
        TEST(every_number_has_a_wait_of_its_own),
    };
    if (emulator_lacks_rings()) {
        return emulator_skip_all(tests, sizeof tests / sizeof tests[0]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
