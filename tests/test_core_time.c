/* Where a core's time goes, and that of each tick: what it counts of both, by a clock that the test
 * moves. */
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

#define CLIENTS 2
#define ENCODINGS 2
#define CHANNELS 2
#define ENTER_NS NS_PER_US            /* how long the kernel takes */
#define LATE_NS (300 * NS_PER_US)     /* how much longer than asked for a sleep takes */
#define BEGAN_NS NS_PER_SECOND        /* what the clock says when a core begins */
#define PUBLISHED_NS (10 * NS_PER_US) /* from one frame to the next */
#define FRAME_BYTES 100

static struct {
    void (*on_turn)(struct core *core);
    uint32_t client_count;
    uint32_t opened;
    bool is_over;
    uint32_t turns;    /* since all are open and have their answer, this one included */
    bool is_full;      /* No socket takes another byte. */
    bool wakes;        /* The next sleep ends by a completion. */
    uint32_t sleeps;   /* since all were open */
    uint64_t slept_ns; /* ever */
    uint64_t writable_tags[CLIENTS];
    uint32_t writable_count;
    uint64_t published_ns[8]; /* by number: when a frame was published */
    uint32_t published_count;
} world;

/* ---- The kernel ---- */

static void fill_sockets(struct engine *engine)
{
    const struct io_uring_sq *sq = &engine->ring.sq;
    for (unsigned at = bench_null.sq_head; at != sq->sqe_tail; at++) {
        const struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        if (sqe->opcode == IORING_OP_SEND && world.is_full) {
            bench_null_post(engine, sqe->user_data, -EAGAIN, 0);
        } else if (sqe->opcode == IORING_OP_POLL_ADD) {
            assert_in_range(world.writable_count, 0, CLIENTS - 1);
            world.writable_tags[world.writable_count++] = sqe->user_data;
        }
    }
}

static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    bool is_woken = world.wakes && timeout_ns > 0;
    bool is_at_once = timeout_ns == 0 || engine_has_completions(engine);
    uint64_t took_ns = is_at_once ? ENTER_NS : timeout_ns + LATE_NS;
    idle_core.now_ns += took_ns;
    world.slept_ns += timeout_ns == 0 ? 0 : took_ns;
    world.sleeps += timeout_ns > 0 && world.turns > 0;
    fill_sockets(engine);
    if (is_woken) {
        world.wakes = false;
        bench_null_post(engine, links_tag(OP_WAKE, 0, 0), 0, 0);
    }
    return bench_null_connect_enter(engine, timeout_ns);
}

/* ---- What src would do ---- */

static uint32_t channel_count(void *context)
{
    (void)context;
    return CHANNELS;
}

/* The next client asks for the second encoding. */
static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    static const struct handshake_wish wish = {.protocol = "second"};
    (void)context, (void)core, (void)conn, (void)now_ns;
    assert_int_equal(core_conn_encoding(core, conn), world.opened);
    world.opened++;
    bench_null.client_count = world.client_count;
    bench_null.request_bytes =
        handshake_client_request(bench_null.request, sizeof bench_null.request, "bench", "/",
                                 "dGhlIHNhbXBsZSBub25jZQ==", &wish);
}

/* After the core has fanned out what there was, and before it sleeps. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    bool is_settled = world.opened == world.client_count && core->links.ready.count == 0;
    if (is_settled && !world.is_over) {
        world.turns++;
        world.on_turn(core);
    }
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = idle_on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = channel_count,
    .log = idle_log,
};

/* The first client has the first encoding, the second the other. */
static void run_core(void (*script)(struct core *core), uint32_t client_count)
{
    static const struct handshake_protocol protocols[] = {{"first", 0, 0}, {"second", 1, 1}};
    static const struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = CHANNELS,
        .reader_count = 1,
    };
    struct core_options options = idle_core_begin(client_count, ENCODINGS, &log_options);
    assert_int_equal(idle_core.now_ns, BEGAN_NS);
    memset(&world, 0, sizeof world);
    world.on_turn = script;
    world.client_count = client_count;
    bench_null.client_count = client_count > 0;
    atomic_store(&idle_core.encodings[1].run, 1);
    idle_core.enter = on_enter;
    options.site.protocols = protocols;
    options.site.protocol_count = 2;
    options.ops = &ops;
    idle_core_run(&options);
}

static uint64_t counted(const counter *value)
{
    return counter_get(value);
}

static void stop(struct core *core)
{
    world.is_over = true;
    core_stop(core);
}

/* ---- The core's time ---- */

static void sleep_and_work(struct core *core)
{
    const struct core_counters *counters = &idle_core.counters;
    uint64_t asleep_ns = counted(&counters->asleep_ns);
    assert_int_equal(asleep_ns, world.slept_ns);
    assert_int_equal(counted(&counters->busy_ns) + asleep_ns, idle_core.now_ns - BEGAN_NS);
    if (world.turns == 3) {
        idle_core.now_ns += 3 * NS_PER_MS; /* This turn is slow. */
    } else if (world.turns == 5) {
        world.wakes = true;
    } else if (world.turns == 8) {
        stop(core);
    }
}

static void what_a_core_does_not_sleep_it_is_busy(void **state)
{
    (void)state;
    run_core(sleep_and_work, 0);
    const struct core_counters *counters = &idle_core.counters;
    assert_true(world.sleeps > 3);
    assert_true(counted(&counters->busy_ns) >= 3 * NS_PER_MS);
    assert_int_equal(counted(&counters->asleep_ns), world.slept_ns);
}

/* One of its sleeps ended by a completion: nobody knows how long it would have been. */
static void it_overslept_when_nothing_woke_it(void **state)
{
    (void)state;
    run_core(sleep_and_work, 0);
    assert_false(world.wakes);
    assert_int_equal(counted(&idle_core.counters.overslept_ns), (world.sleeps - 1) * LATE_NS);
}

static void the_longest_turn_is_one_without_its_sleep(void **state)
{
    (void)state;
    run_core(sleep_and_work, 0);
    assert_in_range(counted(&idle_core.counters.turn_max_ns), 3 * NS_PER_MS,
                    3 * NS_PER_MS + 2 * ENTER_NS);
    assert_int_equal(counted(&idle_core.counters.turns_slow), 1);
}

/* ---- Sockets that are full ---- */

static void publish(uint32_t encoding, uint32_t channel)
{
    assert_in_range(world.published_count, 0, 7);
    world.published_ns[world.published_count++] = idle_core.now_ns;
    idle_core_publish(encoding, channel, FRAME_FULL_IMAGE, FRAME_BYTES);
    idle_core.now_ns += PUBLISHED_NS;
}

static void subscribe(struct core *core, uint32_t conn, uint32_t channel)
{
    struct core_subscription wanted = {.channel = channel, .policy = LAG_SKIP};
    assert_int_equal(core_subscribe(core, conn, &wanted), 0);
}

static uint32_t conn_of(struct core *core, uint32_t encoding)
{
    uint32_t conn = 0;
    while (core_link(core, conn)->stage != LINK_STREAMING ||
           core_subscriber(core, conn)->encoding != encoding) {
        conn++;
        assert_in_range(conn, 0, CLIENTS + CORE_SPARE_CONNS - 1);
    }
    return conn;
}

/* Both are full for 5 ms, then one for another 7, and then none. The second encoding is sent first,
 * and is the first to be full. */
static void fill_and_empty(struct core *core)
{
    const counter *blocked = &idle_core.counters.blocked_ns;
    static uint64_t both_ns, one_ns, ended_ns;
    if (world.turns == 1) {
        subscribe(core, conn_of(core, 0), 0);
        subscribe(core, conn_of(core, 1), 0);
        world.is_full = true;
        publish(0, 0);
        publish(1, 0);
    } else if (world.turns == 2) {
        assert_int_equal(counted(&idle_core.counters.conns_blocked), 2);
        both_ns = idle_core.now_ns;
        idle_core.now_ns += 5 * NS_PER_MS;
    } else if (world.turns == 3) {
        assert_in_range(counted(blocked), 2 * (idle_core.now_ns - both_ns),
                        2 * (idle_core.now_ns - both_ns + 2 * ENTER_NS));
        world.is_full = false;
        bench_null_post(&core->links.engine, world.writable_tags[0], POLLOUT, 0);
        one_ns = idle_core.now_ns;
    } else if (world.turns == 4) {
        assert_int_equal(counted(&idle_core.counters.conns_blocked), 1);
        idle_core.now_ns += 7 * NS_PER_MS;
        link_doom(&core->links, core_link(core, conn_of(core, 0)), 0, "");
        ended_ns = idle_core.now_ns;
    } else if (world.turns == 6) {
        uint64_t expected_ns = 2 * (one_ns - both_ns) + (ended_ns - one_ns);
        assert_int_equal(counted(&idle_core.counters.conns_blocked), 0);
        assert_in_range(counted(blocked), expected_ns, expected_ns + 8 * ENTER_NS);
        idle_core.now_ns += NS_PER_MS;
        ended_ns = counted(blocked);
    } else if (world.turns == 8) {
        assert_int_equal(counted(blocked), ended_ns);
        stop(core);
    }
}

static void
connections_are_blocked_from_a_full_socket_until_it_is_writable_or_they_end(void **state)
{
    (void)state;
    run_core(fill_and_empty, CLIENTS);
    assert_true(world.is_over);
}

/* ---- The time of ticks ---- */

static uint64_t count_of(const struct counters_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < COUNTERS_HISTOGRAM_BUCKETS; i++) {
        count += counted(&histogram->buckets[i]);
    }
    return count;
}

/* All four stages count the same ticks, and flush is wait and scatter. */
static void assert_flushed(uint64_t count)
{
    const struct core_counters *counters = &idle_core.counters;
    assert_int_equal(count_of(&counters->flush), count);
    assert_int_equal(count_of(&counters->flush_newest), count);
    assert_int_equal(count_of(&counters->wait), count);
    assert_int_equal(count_of(&counters->scatter), count);
    assert_int_equal(counted(&counters->flush.sum_ns),
                     counted(&counters->wait.sum_ns) + counted(&counters->scatter.sum_ns));
    assert_true(counted(&counters->flush_newest.sum_ns) <= counted(&counters->flush.sum_ns));
}

static void publish_for_nobody(struct core *core)
{
    if (world.turns == 1) {
        publish(0, 0);
        publish(0, 1);
        publish(1, 0);
    } else if (world.turns == 3) {
        assert_int_equal(counted(&idle_core.counters.position), 2);
        assert_flushed(0);
        stop(core);
    }
}

static void a_turn_in_which_nobody_is_due_anything_counts_no_tick(void **state)
{
    (void)state;
    run_core(publish_for_nobody, CLIENTS);
    assert_true(world.is_over);
}

/* Frames 1 and 3 are due, and 0 and 2 are not: the turn begins after all of them. */
static void publish_for_one(struct core *core)
{
    static uint64_t turn_ns;
    if (world.turns == 1) {
        subscribe(core, conn_of(core, 0), 0);
        for (uint32_t i = 0; i < 4; i++) {
            publish(0, i % 2 == 0 ? 1 : 0);
        }
        publish(1, 0);
        turn_ns = idle_core.now_ns + ENTER_NS;
    } else if (world.turns == 2) {
        const struct core_counters *counters = &idle_core.counters;
        assert_flushed(2);
        assert_int_equal(counted(&counters->wait.sum_ns), 2 * (turn_ns - world.published_ns[1]));
        assert_int_equal(counted(&counters->scatter.sum_ns), 2 * ENTER_NS);
        assert_int_equal(counted(&counters->flush_newest.sum_ns),
                         2 * (turn_ns + ENTER_NS - world.published_ns[3]));
        stop(core);
    }
}

static void each_tick_that_is_due_to_anybody_counts_once_with_the_times_of_the_oldest(void **state)
{
    (void)state;
    run_core(publish_for_one, CLIENTS);
    assert_true(world.is_over);
}

/* A channel's subscriber and a group's get the same frames. */
static void publish_for_both(struct core *core)
{
    if (world.turns == 1) {
        subscribe(core, conn_of(core, 0), 0);
        assert_int_equal(core_subscribe_group(core, conn_of(core, 1), 0, LAG_SKIP, false), 0);
        for (uint32_t i = 0; i < 3; i++) {
            publish(0, 0);
            publish(1, i == 0);
        }
    } else if (world.turns == 2) {
        assert_flushed(6);
        assert_int_equal(counted(&idle_core.counters.frames_out), 6);
        stop(core);
    }
}

static void a_tick_for_a_channel_and_for_its_group_counts_once(void **state)
{
    (void)state;
    run_core(publish_for_both, CLIENTS);
    assert_true(world.is_over);
}

/* Who is behind gets frames later, on its own. */
static void publish_for_one_that_is_behind(struct core *core)
{
    if (world.turns == 1) {
        subscribe(core, conn_of(core, 0), 0);
        world.is_full = true;
        publish(0, 0);
    } else if (world.turns == 2) {
        assert_flushed(1); /* It was tried. */
        publish(0, 0);
        publish(0, 0);
    } else if (world.turns == 3) {
        assert_flushed(1);
        world.is_full = false;
        bench_null_post(&core->links.engine, world.writable_tags[0], POLLOUT, 0);
    } else if (world.turns == 5) {
        assert_int_equal(counted(&idle_core.counters.frames_out), 3);
        assert_flushed(1);
        stop(core);
    }
}

static void what_a_client_reads_from_the_log_on_its_own_is_not_counted(void **state)
{
    (void)state;
    run_core(publish_for_one_that_is_behind, 1);
    assert_true(world.is_over);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_core_does_not_sleep_it_is_busy),
        cmocka_unit_test(it_overslept_when_nothing_woke_it),
        cmocka_unit_test(the_longest_turn_is_one_without_its_sleep),
        cmocka_unit_test(
            connections_are_blocked_from_a_full_socket_until_it_is_writable_or_they_end),
        cmocka_unit_test(a_turn_in_which_nobody_is_due_anything_counts_no_tick),
        cmocka_unit_test(each_tick_that_is_due_to_anybody_counts_once_with_the_times_of_the_oldest),
        cmocka_unit_test(a_tick_for_a_channel_and_for_its_group_counts_once),
        cmocka_unit_test(what_a_client_reads_from_the_log_on_its_own_is_not_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
