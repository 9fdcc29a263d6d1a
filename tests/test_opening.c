/* Requests that are granted and wait for their encoding: many of them, on a core of its own. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "bench/bench_null_engine.h"
#include "codec/base/units.h"
#include "ring/core/core_state.h"
#include "ring/link/opening.h"
#include "tests/idle_core_ops.h"

#define CLIENTS 600 /* more than twice as many as there are inputs */
#define QUIET_NS (60 * NS_PER_MS)

static struct {
    struct core *core;
    struct core_encoding encodings[2];
    struct core_counters counters;
    _Atomic uint32_t open_count;
    _Atomic uint32_t place_count;
    uint64_t now_ns;
    uint64_t all_asked_ns; /* when the last request had come */
    uint32_t quiet_enters; /* since then, until the encoding began */
    uint64_t began_ns;     /* when the encoding began */
    uint32_t opened;       /* conns told by on_open, */
    uint32_t turns_until_opened;
    uint32_t closed;         /* and by on_close */
    uint32_t waiters_at_end; /* of a run in which nobody is served */
    bool begins;
    const struct engine_ops *null_ops;
} world;

static void on_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = world.now_ns, .wall_ns = world.now_ns};
}

static void begin_encoding(void)
{
    world.began_ns = world.now_ns;
    atomic_store(&world.encodings[1].run, 1);
}

/* A kernel in which time passes as the core waits. The encoding begins while it does. */
static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    bool all_have_asked = bench_null.requested_count == CLIENTS;
    int error = world.null_ops->enter(engine, timeout_ns);
    world.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (!all_have_asked) {
        world.all_asked_ns = world.now_ns;
    } else if (world.began_ns > 0) {
        return error;
    } else if (world.begins && world.now_ns >= world.all_asked_ns + QUIET_NS) {
        begin_encoding();
    } else {
        world.quiet_enters++;
    }
    return error;
}

static int open_engine(struct engine *engine, const struct engine_options *options, char *error_out)
{
    static struct engine_ops ops;
    static const uint8_t ping[] = {0x89, 0x80, 0, 0, 0, 0};
    bench_null_engine_expect(CLIENTS, 0);
    memcpy(bench_null.request + bench_null.request_bytes, ping, sizeof ping);
    bench_null.request_bytes += sizeof ping;
    int error = bench_null_engine_open(engine, options, error_out);
    world.null_ops = engine->ops;
    ops = *engine->ops;
    ops.enter = on_enter;
    engine->ops = &ops;
    return error;
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
    assert_true(world.began_ns > 0);
    world.opened++;
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    (void)context, (void)core, (void)conn;
    world.closed += end->close_code != 1001;
}

static uint32_t channel_count(void *context)
{
    (void)context;
    return 1;
}

/* Ends the run: all are served, or it is too late. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context;
    bool is_late = world.all_asked_ns > 0 && now_ns > world.all_asked_ns + 8 * NS_PER_SECOND;
    world.turns_until_opened += world.began_ns > 0 && world.opened < CLIENTS;
    if (is_late || counter_get(&world.counters.messages_in) == CLIENTS) {
        world.waiters_at_end = atomic_load(&world.encodings[1].conn_count);
        core_stop(core);
    }
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = channel_count,
    .log = idle_log,
};

/* All clients ask for the second encoding, which is not written; whether it will be, begins says.
 */
static void run_core(bool begins)
{
    static const struct handshake_protocol protocols[] = {{"second", 1, 1}};
    char error[ENGINE_ERROR_BYTES_MAX];
    struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    memset(&world, 0, sizeof world);
    world.begins = begins;
    world.now_ns = NS_PER_SECOND;
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(frame_log_create(&world.encodings[i].log, &log_options), 0);
    }
    atomic_store(&world.encodings[0].run, 1);
    struct core_options options = idle_core_options(CLIENTS);
    options.site.protocols = protocols;
    options.site.protocol_count = 1;
    options.conn_count = &world.open_count;
    options.place_count = &world.place_count;
    options.encodings = world.encodings;
    options.encoding_count = 2;
    options.counters = &world.counters;
    options.ops = &ops;
    options.open_engine = open_engine;
    options.clock = on_clock;
    assert_int_equal(core_create(&world.core, &options, error, sizeof error), 0);
    assert_int_equal(core_run(world.core), 0);
    core_destroy(world.core);
    for (uint32_t i = 0; i < 2; i++) {
        frame_log_destroy(world.encodings[i].log);
    }
}

static void all_who_wait_for_an_encoding_are_served_when_it_begins(void **state)
{
    (void)state;
    run_core(true);
    assert_int_equal(world.opened, CLIENTS);
    assert_int_equal(world.closed, 0);
    /* What each sent behind its request was not lost. */
    assert_int_equal(counter_get(&world.counters.messages_in), CLIENTS);
}

static void they_cost_no_turns_while_they_wait_and_are_served_at_once(void **state)
{
    (void)state;
    run_core(true);
    assert_true(world.quiet_enters <= 3);
    assert_int_equal(world.turns_until_opened, CLIENTS / OPENING_STARTS_PER_TURN + 1);
}

static void who_waits_longer_than_five_seconds_is_let_go(void **state)
{
    (void)state;
    run_core(false);
    assert_int_equal(world.opened, 0);
    assert_int_equal(world.waiters_at_end, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_who_wait_for_an_encoding_are_served_when_it_begins),
        cmocka_unit_test(they_cost_no_turns_while_they_wait_and_are_served_at_once),
        cmocka_unit_test(who_waits_longer_than_five_seconds_is_let_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
