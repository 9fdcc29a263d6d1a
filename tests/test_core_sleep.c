/* Whether a core sleeps though there are frames that it has not fanned out, and does so while a
 * client does not read. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "tests/idle_core.h"

#define ENCODINGS 2
#define NOT_ENTERED UINT64_MAX

static struct {
    uint32_t turns;
    uint32_t published; /* in the log of this encoding; ENCODINGS: in none */
    uint64_t waited_ns; /* what the core was ready to sleep when that was done */
} world;

static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    idle_core.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (world.turns > 1 && world.waited_ns == NOT_ENTERED) {
        world.waited_ns = timeout_ns;
    }
    return bench_null_connect_enter(engine, timeout_ns);
}

/* After the core has looked for frames, and before it sleeps. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    world.turns++;
    if (world.turns == 2 && world.published < ENCODINGS) {
        idle_core_publish(world.published, 0, FRAME_FULL_IMAGE, 100);
    } else if (world.turns == 4) {
        core_stop(core);
    }
}

static const struct core_ops ops = {
    .on_open = idle_on_open,
    .on_close = idle_on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = idle_one_channel,
    .log = idle_log,
};

/* Returns how long the core was ready to sleep after a frame had come into one of its logs. */
static uint64_t sleep_after_a_frame_in(uint32_t encoding)
{
    struct core_options options = idle_core_begin(1, ENCODINGS, NULL);
    memset(&world, 0, sizeof world);
    world.published = encoding;
    world.waited_ns = NOT_ENTERED;
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        atomic_store(&idle_core.encodings[i].run, 1);
    }
    idle_core.enter = on_enter;
    options.ops = &ops;
    idle_core_run(&options);
    return world.waited_ns;
}

static void a_core_without_news_sleeps(void **state)
{
    (void)state;
    assert_true(sleep_after_a_frame_in(ENCODINGS) > 0);
}

static void a_core_does_not_sleep_over_a_frame_of_any_log(void **state)
{
    (void)state;
    for (uint32_t encoding = 0; encoding < ENCODINGS; encoding++) {
        assert_int_equal(sleep_after_a_frame_in(encoding), 0);
    }
}

/* ---- A client that takes nothing ---- */

static struct {
    uint32_t turns; /* since the client's message waits for the rest to be sent */
    bool is_full;   /* Its socket takes nothing. */
    uint64_t writable_tag;
    uint64_t waited_ns; /* while it is full */
    uint32_t continued_full, continued_drained;
} slow;

static int on_enter_full(struct engine *engine, uint64_t timeout_ns)
{
    const struct io_uring_sq *sq = &engine->ring.sq;
    for (unsigned at = bench_null.sq_head; at != sq->sqe_tail; at++) {
        const struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        if (sqe->opcode == IORING_OP_SEND && slow.is_full) {
            bench_null_post(engine, sqe->user_data, -EAGAIN, 0);
        } else if (sqe->opcode == IORING_OP_POLL_ADD) {
            slow.writable_tag = sqe->user_data;
        }
    }
    idle_core.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    slow.waited_ns += slow.turns > 0 ? timeout_ns : 0;
    return bench_null_connect_enter(engine, timeout_ns);
}

static void on_open_slow(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    slow.is_full = true;
    core_send_text(core, conn, "{}", 2);
    core_hold(core, conn);
}

static bool on_continue_slow(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    bool has_drained = core_await_drain(core, conn);
    assert_int_not_equal(has_drained, slow.is_full);
    slow.continued_full += !has_drained;
    slow.continued_drained += has_drained;
    return has_drained;
}

static void on_turn_slow(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    slow.turns += slow.continued_full > 0 && slow.writable_tag != 0;
    if (slow.turns == 10) {
        slow.is_full = false;
        bench_null_post(&core->links.engine, slow.writable_tag, POLLOUT, 0);
    } else if (slow.turns == 20) {
        core_stop(core);
    }
}

static void it_sleeps_while_a_message_waits_for_a_client_that_takes_nothing(void **state)
{
    static const struct core_ops slow_ops = {
        .on_open = on_open_slow,
        .on_continue = on_continue_slow,
        .on_close = idle_on_close,
        .on_quiet = idle_on_quiet,
        .on_channel = idle_on_channel,
        .on_turn = on_turn_slow,
        .channel_count = idle_one_channel,
        .log = idle_log,
    };
    (void)state;
    struct core_options options = idle_core_begin(1, 1, NULL);
    memset(&slow, 0, sizeof slow);
    idle_core.enter = on_enter_full;
    options.ops = &slow_ops;
    idle_core_run(&options);
    assert_int_equal(slow.continued_full, 1);
    assert_int_equal(slow.continued_drained, 1);
    assert_true(slow.waited_ns > 5 * NS_PER_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_without_news_sleeps),
        cmocka_unit_test(a_core_does_not_sleep_over_a_frame_of_any_log),
        cmocka_unit_test(it_sleeps_while_a_message_waits_for_a_client_that_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
