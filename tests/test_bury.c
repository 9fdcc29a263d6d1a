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

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/core/core_state.h"
#include "tests/idle_core_ops.h"

#define CLIENTS 400 /* more than one turn buries */
#define BURST_TURNS 20

static struct {
    struct core *core;
    struct core_encoding encoding;
    struct core_counters counters;
    _Atomic uint32_t open_count;
    _Atomic uint32_t place_count;
    uint64_t now_ns;
    uint64_t publish_ns; /* when the next frame is published */
    bool stops;          /* The core stops; else src closes all of them. */
    bool is_full;        /* No socket takes another byte. */
    uint32_t opened;
    uint32_t turns; /* since all were open; in the first of them each publishes a frame */
    uint32_t closes[CLIENTS + CORE_SPARE_CONNS];
    uint32_t leaves[CLIENTS + CORE_SPARE_CONNS];
    uint32_t closed;
} world;

static void on_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = world.now_ns, .wall_ns = world.now_ns};
}

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
    if (world.opened == CLIENTS && world.now_ns >= world.publish_ns) {
        world.publish_ns = world.turns < BURST_TURNS ? 0 : world.now_ns + NS_PER_MS;
        memset(frame_log_reserve(world.encoding.log), 'x', 100);
        frame_log_commit(world.encoding.log, 0, 0, FRAME_FULL_IMAGE, 100, world.now_ns);
        frame_log_publish(world.encoding.log);
    }
}

/* A kernel in which time passes as the core waits. */
static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    world.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (bench_null.requested_count < CLIENTS) {
        return bench_null_connect_enter(engine, timeout_ns);
    }
    take_operations(engine);
    publish();
    return 0;
}

static int open_engine(struct engine *engine, const struct engine_options *options, char *error_out)
{
    static struct engine_ops ops;
    bench_null_engine_expect(CLIENTS, 0);
    int error = bench_null_engine_open(engine, options, error_out);
    ops = *engine->ops;
    ops.enter = on_enter;
    engine->ops = &ops;
    return error;
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

static uint32_t channel_count(void *context)
{
    (void)context;
    return 1;
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
    .channel_count = channel_count,
    .log = idle_log,
};

static void run_core(bool stops)
{
    char error[ENGINE_ERROR_BYTES_MAX];
    struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    memset(&world, 0, sizeof world);
    world.now_ns = NS_PER_SECOND;
    world.stops = stops;
    assert_int_equal(frame_log_create(&world.encoding.log, &log_options), 0);
    atomic_store(&world.encoding.run, 1);
    struct core_options options = idle_core_options(CLIENTS);
    options.conn_count = &world.open_count;
    options.place_count = &world.place_count;
    options.encodings = &world.encoding;
    options.encoding_count = 1;
    options.counters = &world.counters;
    options.ops = &ops;
    options.open_engine = open_engine;
    options.clock = on_clock;
    assert_int_equal(core_create(&world.core, &options, error, sizeof error), 0);
    assert_int_equal(core_run(world.core), 0);
    core_destroy(world.core);
    frame_log_destroy(world.encoding.log);
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
    assert_int_equal(atomic_load(&world.open_count), 0);
    assert_int_equal(atomic_load(&world.place_count), 0);
    assert_int_equal(atomic_load(&world.encoding.conn_count), 0);
    assert_int_equal(counter_get(&world.counters.closed), CLIENTS);
    assert_int_equal(counter_get(&world.counters.closed_reset), 0);
    assert_int_equal(counter_get(&world.counters.conns_open), 0);
    assert_int_equal(counter_get(&world.counters.conns_streaming), 0);
    assert_int_equal(counter_get(&world.counters.conns_blocked), 0);
    assert_int_equal(counter_get(&world.counters.subscriptions), 0);
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
