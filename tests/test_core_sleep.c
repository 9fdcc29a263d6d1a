/* Whether a core sleeps though there are frames that it has not fanned out. */
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
#include "tests/idle_core_ops.h"

#define ENCODINGS 2
#define NOT_ENTERED UINT64_MAX

static struct {
    struct core_encoding encodings[ENCODINGS];
    struct core_counters counters;
    _Atomic uint32_t open_count;
    _Atomic uint32_t place_count;
    uint64_t now_ns;
    uint32_t turns;
    uint32_t published; /* in the log of this encoding; ENCODINGS: in none */
    uint64_t waited_ns; /* what the core was ready to sleep when that was done */
} world;

static void on_clock(void *context, struct core_time *time_out)
{
    (void)context;
    *time_out = (struct core_time){.now_ns = world.now_ns, .wall_ns = world.now_ns};
}

static int on_enter(struct engine *engine, uint64_t timeout_ns)
{
    world.now_ns += timeout_ns > 0 ? timeout_ns : NS_PER_US;
    if (world.turns > 1 && world.waited_ns == NOT_ENTERED) {
        world.waited_ns = timeout_ns;
    }
    return bench_null_connect_enter(engine, timeout_ns);
}

static int open_engine(struct engine *engine, const struct engine_options *options, char *error_out)
{
    static struct engine_ops ops;
    bench_null_engine_expect(1, 0);
    int error = bench_null_engine_open(engine, options, error_out);
    ops = *engine->ops;
    ops.enter = on_enter;
    engine->ops = &ops;
    return error;
}

/* After the core has looked for frames, and before it sleeps. */
static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    world.turns++;
    if (world.turns == 2 && world.published < ENCODINGS) {
        struct frame_log *log = world.encodings[world.published].log;
        memset(frame_log_reserve(log), 'x', 100);
        frame_log_commit(log, 0, 0, FRAME_FULL_IMAGE, 100, world.now_ns);
        frame_log_publish(log);
    } else if (world.turns == 4) {
        core_stop(core);
    }
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static void on_close(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end)
{
    (void)context, (void)core, (void)conn, (void)end;
}

static uint32_t channel_count(void *context)
{
    (void)context;
    return 1;
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

/* Returns how long the core was ready to sleep after a frame had come into one of its logs. */
static uint64_t sleep_after_a_frame_in(uint32_t encoding)
{
    char error[ENGINE_ERROR_BYTES_MAX];
    struct core *core;
    struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 4096,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    memset(&world, 0, sizeof world);
    world.now_ns = NS_PER_SECOND;
    world.published = encoding;
    world.waited_ns = NOT_ENTERED;
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        assert_int_equal(frame_log_create(&world.encodings[i].log, &log_options), 0);
        atomic_store(&world.encodings[i].run, 1);
    }
    struct core_options options = idle_core_options(1);
    options.conn_count = &world.open_count;
    options.place_count = &world.place_count;
    options.encodings = world.encodings;
    options.encoding_count = ENCODINGS;
    options.counters = &world.counters;
    options.ops = &ops;
    options.open_engine = open_engine;
    options.clock = on_clock;
    assert_int_equal(core_create(&core, &options, error, sizeof error), 0);
    assert_int_equal(core_run(core), 0);
    core_destroy(core);
    for (uint32_t i = 0; i < ENCODINGS; i++) {
        frame_log_destroy(world.encodings[i].log);
    }
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_without_news_sleeps),
        cmocka_unit_test(a_core_does_not_sleep_over_a_frame_of_any_log),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
