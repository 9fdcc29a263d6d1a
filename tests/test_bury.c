/* Where connections end: so many at once that it takes several turns, on a core of its own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <string.h>

#include "tests/idle_core.h"

#define CLIENTS 400 /* more than one turn buries */
#define BURST_TURNS 20

static struct {
    uint64_t publish_ns; /* when the next frame is published */
    bool stops;          /* The core stops; else src closes all of them. */
    bool is_full;        /* No socket takes another byte. */
    uint32_t opened;
    uint32_t turns; /* since all were open; in the first of them each publishes a frame */
    uint32_t closes[CLIENTS + CORE_SPARE_CONNS];
    uint32_t leaves[CLIENTS + CORE_SPARE_CONNS];
    uint32_t closed;
} world;

static void take_operations(struct engine *engine)
{
    const struct io_uring_sq *sq = &engine->ring.sq;
    for (; bench_null.sq_head != sq->sqe_tail; bench_null.sq_head++) {
        const struct io_uring_sqe *sqe = &sq->sqes[bench_null.sq_head & sq->ring_mask];
        bool is_send = sqe->opcode == IORING_OP_SEND || sqe->opcode == IORING_OP_SENDMSG;
        if (is_send && world.is_full) {
            bench_null_post(engine, sqe->user_data, -EAGAIN, 0);
        } else if (sqe->opcode == IORING_OP_ASYNC_CANCEL) {
            bench_null_post(engine, sqe->addr, -ECANCELED, 0);
        }
    }
}

/* Of a writer beside the core. */
static void publish(void)
{
    if (world.opened == CLIENTS && idle_core.now_ns >= world.publish_ns) {
        world.publish_ns = world.turns < BURST_TURNS ? 0 : idle_core.now_ns + NS_PER_MS;
        idle_core_publish(0, 0, FRAME_FULL_IMAGE, 100);
    }
}

/* A kernel in which time passes as the core waits. */
static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    idle_core.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (bench_null.requested_count < CLIENTS) {
        return bench_null_connect_enter(engine, timeout_ns);
    }
    take_operations(engine);
    publish();
    return 0;
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    assert_int_equal(core_subscribe_group(core, conn, 0, LAG_SKIP, false), 0);
    world.opened++;
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    (void)context, (void)core;
    assert_int_equal(end->close_code, world.stops ? 1001 : 4000);
    assert_int_equal(world.leaves[conn], 0);
    world.closes[conn]++;
    world.closed++;
}

static void on_leave(void *context, struct core *core, uint32_t conn)
{
    (void)context, (void)core;
    world.leaves[conn]++;
}

/* The sockets fill up, and all are closed in one turn. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    world.turns += world.opened == CLIENTS;
    if (world.turns == 3) {
        world.is_full = true;
        for (uint32_t conn = 0; !world.stops && conn < CLIENTS + CORE_SPARE_CONNS; conn++) {
            core_close(core, conn, 4000, "");
        }
        if (world.stops) {
            core_stop(core);
        }
    } else if (world.closed == CLIENTS) {
        core_stop(core);
    }
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = on_close,
    .on_leave = on_leave,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = idle_one_channel,
    .log = idle_log,
};

static void run_core(bool stops)
{
    struct core_options options = idle_core_begin(CLIENTS, 1, NULL);
    memset(&world, 0, sizeof world);
    world.stops = stops;
    idle_core.enter = on_enter;
    options.ops = &ops;
    idle_core_run(&options);
}

static void all_have_ended_once_and_nothing_is_left(void)
{
    uint32_t left = 0;
    assert_int_equal(world.opened, CLIENTS);
    for (uint32_t conn = 0; conn < CLIENTS + CORE_SPARE_CONNS; conn++) {
        assert_int_equal(world.closes[conn], world.leaves[conn]);
        assert_in_range(world.leaves[conn], 0, 1);
        left += world.leaves[conn];
    }
    assert_int_equal(left, CLIENTS);
    assert_int_equal(atomic_load(&idle_core.open_count), 0);
    assert_int_equal(atomic_load(&idle_core.place_count), 0);
    assert_int_equal(counter_get(&idle_core.counters.closed), CLIENTS);
    assert_int_equal(counter_get(&idle_core.counters.closed_reset), 0);
    assert_int_equal(counter_get(&idle_core.counters.conns_open), 0);
    assert_int_equal(counter_get(&idle_core.counters.conns_streaming), 0);
    assert_int_equal(counter_get(&idle_core.counters.conns_blocked), 0);
    assert_int_equal(counter_get(&idle_core.counters.subscriptions), 0);
}

/* Frames are due to those that are closing until it is their turn, and their sockets are full. */
static void many_that_close_at_once_with_full_sockets_end_once_each(void **state)
{
    (void)state;
    run_core(false);
    all_have_ended_once_and_nothing_is_left();
}

static void a_core_that_stops_ends_all_once_each(void **state)
{
    (void)state;
    run_core(true);
    all_have_ended_once_and_nothing_is_left();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_that_close_at_once_with_full_sockets_end_once_each),
        cmocka_unit_test(a_core_that_stops_ends_all_once_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
