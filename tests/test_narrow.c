/* What conns that are behind cost, when each has one channel of a busy log. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "ring/fan/narrow.h"
#include "tests/idle_core.h"

#define CLIENTS 1000
#define CHANNELS 500
#define ROUNDS 100 /* frames of each channel */
#define FRAME_BYTES 64
#define TURNS_MAX 100000

static struct {
    uint32_t opened;
    uint32_t channels_of_each;
    uint32_t rounds; /* that are published */
    bool is_released;
    uint64_t turns;
    uint64_t looked_at;
} world;

static void on_clock(void *context, struct core_time *time_out)
{
    idle_core.now_ns += NS_PER_US;
    idle_clock(context, time_out);
}

static void hold_all(struct core *core)
{
    bench_null_engine_settle(&core->links.engine);
    for (uint32_t conn = 0; conn < CLIENTS; conn++) {
        for (uint32_t i = 0; i < world.channels_of_each; i++) {
            uint32_t channel = (conn + i * 7) % CHANNELS;
            struct core_subscription subscription = {.channel = channel, .policy = LAG_SKIP};
            assert_int_equal(core_subscribe(core, conn, &subscription), 0);
        }
        core_hold(core, conn);
    }
}

static void publish_round(void)
{
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        idle_core_publish(0, channel, 0, FRAME_BYTES);
    }
    world.rounds++;
}

/* The core calls it once a turn, first of all. */
static uint64_t on_publish(void *context, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    const struct fan_stream *stream = &idle_core.core->fan.streams[0];
    if (world.opened < CLIENTS) {
        return 0;
    }
    if (world.rounds == 0) {
        hold_all(idle_core.core);
    }
    if (world.rounds < ROUNDS) {
        publish_round();
    } else if (stream->position == frame_log_head(stream->log)) {
        world.is_released = true;
    }
    return 0;
}

static bool on_continue(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
    return world.is_released;
}

static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    world.looked_at += core->fan.pull_steps;
    core->fan.pull_steps = 0;
    uint64_t all = (uint64_t)CLIENTS * ROUNDS * world.channels_of_each;
    if (counter_get(&idle_core.counters.frames_out) == all || ++world.turns == TURNS_MAX) {
        core_stop(core);
        idle_core.now_ns += 10 * NS_PER_SECOND; /* Nobody's end is awaited. */
    }
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
    world.opened++;
}

static void on_lag(void *context, struct core *core, uint32_t conn, const struct core_lag *lag)
{
    (void)context, (void)core, (void)conn, (void)lag;
}

static uint32_t channel_count(void *context)
{
    (void)context;
    return CHANNELS;
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = idle_on_close,
    .on_quiet = idle_on_quiet,
    .on_lag = on_lag,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .on_continue = on_continue,
    .channel_count = channel_count,
    .log = idle_log,
};

/* All clients are held while the log goes on, and then catch up. Returns how many descriptors were
 * looked at for each frame that was sent. */
static double run_core(uint32_t channels_of_each)
{
    struct frame_log_options log_options = {
        .capacity_bytes = 16 * MIB,
        .frame_bytes_max = 4096,
        .channel_count_max = CHANNELS,
        .reader_count = 1,
    };
    struct core_options options = idle_core_begin(CLIENTS, 1, &log_options);
    memset(&world, 0, sizeof world);
    world.channels_of_each = channels_of_each;
    options.ops = &ops;
    options.publish = on_publish;
    options.clock = on_clock;
    idle_core_run(&options);
    uint64_t frames = counter_get(&idle_core.counters.frames_out);
    assert_int_equal(frames, (uint64_t)CLIENTS * ROUNDS * channels_of_each);
    assert_int_equal(counter_get(&idle_core.counters.frames_lost), 0);
    print_message("%u channels of %u: %.2f descriptors a frame\n", channels_of_each, CHANNELS,
                  (double)world.looked_at / (double)frames);
    return (double)world.looked_at / (double)frames;
}

static void clients_of_one_channel_that_are_behind_cost_what_their_frames_do(void **state)
{
    (void)state;
    assert_true(run_core(1) <= 1.1);
}

static void so_do_those_of_a_few(void **state)
{
    (void)state;
    /* 1600 frames each, of which 256 are sent at a time. */
    assert_true(run_core(NARROW_SUBS_MAX) <= 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_of_one_channel_that_are_behind_cost_what_their_frames_do),
        cmocka_unit_test(so_do_those_of_a_few),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
