/* Which stretches of the log leave by reference. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>

#include "tests/idle_core.h"

#define CLIENTS_MAX 20
#define FRAME_BYTES 1024
#define BURSTS 2
#define TURNS_MAX 1000

static struct {
    uint32_t client_count;
    uint32_t burst_frames;
    uint32_t opened;
    uint32_t bursts;
    uint32_t turns;
    int64_t refusal; /* 0: what is lent is taken */
    uint32_t tries;
} world;

static int64_t send_file(struct engine *engine, int fd, const struct engine_stretch *stretch)
{
    (void)engine, (void)fd;
    world.tries++;
    return world.refusal != 0 ? world.refusal : (int64_t)stretch->bytes;
}

static int open_engine(struct engine *engine, const struct engine_options *options, char *error_out)
{
    static struct engine_ops ops;
    int error = bench_null_engine_open(engine, options, error_out);
    ops = *engine->ops;
    ops.send_file = send_file;
    engine->ops = &ops;
    return error;
}

static uint64_t on_publish(void *context, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    bool is_rest = world.opened == world.client_count && idle_core.core->links.ready.count == 0;
    if (is_rest && world.bursts < BURSTS) { /* No answer of an upgrade waits any more. */
        for (uint32_t i = 0; i < world.burst_frames; i++) {
            idle_core_publish(0, 0, 0, FRAME_BYTES);
        }
        world.bursts++;
    }
    return 0;
}

static void on_turn(void *context, struct core *core, uint64_t now_ns)
{
    (void)context, (void)now_ns;
    uint64_t all = (uint64_t)world.client_count * BURSTS * world.burst_frames;
    if (counter_get(&idle_core.counters.frames_out) == all || ++world.turns == TURNS_MAX) {
        core_stop(core);
        idle_core.now_ns += 10 * NS_PER_SECOND; /* Nobody's end is awaited. */
    }
}

static void on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct core_subscription subscription = {.channel = 0, .policy = LAG_SKIP};
    (void)context, (void)now_ns;
    assert_int_equal(core_subscribe(core, conn, &subscription), 0);
    world.opened++;
}

static const struct core_ops ops = {
    .on_open = on_open,
    .on_close = idle_on_close,
    .on_quiet = idle_on_quiet,
    .on_channel = idle_on_channel,
    .on_turn = on_turn,
    .channel_count = idle_one_channel,
    .log = idle_log,
};

/* Each client gets two bursts of so many frames, which lie side by side. Returns how many sends
 * left by reference. */
static uint64_t lent_sends(uint32_t client_count, uint32_t burst_frames,
                           struct core_zero_copy zero_copy, int64_t refusal)
{
    struct core_options options = idle_core_begin(client_count, 1, NULL);
    memset(&world, 0, sizeof world);
    world.client_count = client_count;
    world.burst_frames = burst_frames;
    world.refusal = refusal;
    options.ops = &ops;
    options.publish = on_publish;
    options.open_engine = open_engine;
    options.zero_copy = zero_copy;
    idle_core_run(&options);
    const struct core_counters *counters = &idle_core.counters;
    uint64_t sends = counter_get(&counters->lent_sends);
    /* Whichever way they leave: all of them, in as many sends. */
    assert_int_equal(counter_get(&counters->frames_out), client_count * BURSTS * burst_frames);
    assert_int_equal(counter_get(&counters->lent_bytes), sends * burst_frames * FRAME_BYTES);
    assert_int_equal(counter_get(&counters->sends_failed), 0);
    return sends;
}

static void so_many_clients_are_to_share_what_leaves_by_reference(void **state)
{
    (void)state;
    const struct core_zero_copy zero_copy = {.tcp_bytes = 8 * FRAME_BYTES, .sharers_min = 16};
    assert_int_equal(lent_sends(16, 8, zero_copy, 0), 16 * BURSTS);
    assert_int_equal(lent_sends(15, 8, zero_copy, 0), 0);
    assert_int_equal(lent_sends(16, 7, zero_copy, 0), 0);
}

static void each_kind_of_socket_has_its_size_and_0_is_never(void **state)
{
    (void)state;
    assert_int_equal(lent_sends(1, 4, (struct core_zero_copy){.tcp_bytes = 4096}, 0), BURSTS);
    assert_int_equal(lent_sends(1, 4, (struct core_zero_copy){.tcp_bytes = 4097}, 0), 0);
    assert_int_equal(lent_sends(CLIENTS_MAX, 60, (struct core_zero_copy){.unix_bytes = 1}, 0), 0);
}

static void what_is_refused_leaves_as_a_copy_and_is_not_tried_again(void **state)
{
    (void)state;
    static const int errors[] = {-EPERM, -ENOSYS, -EINVAL, -ENOMEM};
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        const struct core_zero_copy zero_copy = {.tcp_bytes = 4096};
        assert_int_equal(lent_sends(CLIENTS_MAX, 20, zero_copy, errors[i]), 0);
        assert_int_equal(world.tries, CLIENTS_MAX);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(so_many_clients_are_to_share_what_leaves_by_reference),
        cmocka_unit_test(each_kind_of_socket_has_its_size_and_0_is_never),
        cmocka_unit_test(what_is_refused_leaves_as_a_copy_and_is_not_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
