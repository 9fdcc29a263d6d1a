/*
 * Question  How long does it take until a core on another CPU sees a new frame, if it sleeps in its
 *           ring, and if it polls? How much does waking it cost the publisher?
 * Method    A core of the server's, with real io_uring and nobody connected, pinned to one CPU; the
 *           publisher here, pinned to another. Each op rests PAUSE_US (and until the core sleeps),
 *           publishes a frame and wakes the core as the publisher does. "seen" is from ts_pub until
 *           the core's turn has fanned the frame out.
 *           "the call" is core_wake and the submit after it. Sort; report p50, p99, p99.9, max.
 * Run       zig build bench -- wake             (full)
 *           zig build test                      (small: proves it still works)
 */
#include <pthread.h>
#include <unistd.h>

#include "bench/bench_cpus.h"
#include "bench/bench_samples.h"
#include "codec/base/cpu.h"
#include "ring/core/core_state.h"
#include "ring/io/engine_uring.h"

#define BATCH_OPS 64
#define FRAME_BYTES 256
#define PAUSE_US 200
#define ANSWER_NS_MAX (30 * NS_PER_SECOND) /* A core that takes longer is broken. */

static const struct bench_size {
    const char *name;
    size_t op_count;
} sizes[] = {
    {.name = "small", .op_count = 50},
    {.name = "full", .op_count = 5000},
};

static struct core_counters bench_counters;

/* Written by the core, the second last. */
static _Atomic uint64_t bench_seen_ns; /* how old its newest frame was when it was fanned out */
static _Atomic uint64_t bench_position;

static uint64_t bench_wall_ns(void)
{
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    return (uint64_t)wall.tv_sec * NS_PER_SECOND + (uint64_t)wall.tv_nsec;
}

/* ---- The core ---- */

static void bench_on_channel(void *context, struct core *core, uint32_t channel)
{
    (void)context, (void)core, (void)channel;
}

static uint32_t bench_channel_count(void *context)
{
    (void)context;
    return 1;
}

static void bench_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core, (void)level;
    fprintf(stderr, "%s\n", text);
}

/* After the core has fanned out what there is. */
static void bench_on_turn(void *context, struct core *core, uint64_t now_ns)
{
    const struct fan_stream *stream = &core->fan.streams[0];
    (void)context, (void)now_ns;
    if (stream->position != atomic_load(&bench_position)) {
        uint64_t ts_pub_ns = frame_log_desc(stream->log, stream->position - 1)->ts_pub_ns;
        atomic_store(&bench_seen_ns, bench_wall_ns() - ts_pub_ns);
        atomic_store(&bench_position, stream->position);
    }
}

static const struct core_ops bench_ops = {
    .on_turn = bench_on_turn,
    .on_channel = bench_on_channel,
    .channel_count = bench_channel_count,
    .log = bench_log,
};

static void *bench_run_core(void *core)
{
    assert_always(core_run(core) == 0);
    return NULL;
}

/* ---- Waking it ---- */

static void bench_await_sleep(const struct core *core)
{
    usleep(PAUSE_US);
    uint64_t deadline_ns = bench_now_ns() + ANSWER_NS_MAX;
    while (!core->options.busy_poll && atomic_load(&core->armed) == 0) {
        assert_always(bench_now_ns() < deadline_ns);
        usleep(PAUSE_US);
    }
}

static uint64_t bench_await_seen(const struct frame_log *log)
{
    uint64_t deadline_ns = bench_now_ns() + ANSWER_NS_MAX;
    while (atomic_load(&bench_position) != frame_log_head(log)) {
        assert_always(bench_now_ns() < deadline_ns);
        cpu_relax();
    }
    return atomic_load(&bench_seen_ns);
}

static void bench_publish(struct frame_log *log)
{
    uint8_t *room = frame_log_reserve(log);
    memset(room, 'x', FRAME_BYTES);
    frame_log_commit(log, 0, 0, 0, FRAME_BYTES, bench_wall_ns());
    frame_log_publish(log);
}

static uint64_t bench_wake_often(struct core *core, struct engine *waker, size_t op_count)
{
    struct bench_samples seen, call;
    uint64_t woken_count = 0;
    bench_samples_init(&seen, op_count);
    bench_samples_init(&call, op_count);
    for (size_t op = 0; op < op_count; op++) {
        bench_await_sleep(core);
        bench_publish(core->fan.streams[0].log);
        uint64_t start_ns = bench_now_ns();
        bool is_woken = core_wake(core, waker);
        if (is_woken) {
            assert_always(engine_enter(waker, 0) == 0);
        }
        uint64_t elapsed_ns = bench_now_ns() - start_ns;
        bench_samples_add(&seen, (double)bench_await_seen(core->fan.streams[0].log));
        bench_samples_add(&call, (double)elapsed_ns);
        woken_count += is_woken;
    }
    bool is_polling = core->options.busy_poll;
    bench_samples_print(&seen, is_polling ? "core polls: seen" : "core sleeps: seen");
    if (!is_polling) {
        bench_samples_print(&call, "core sleeps: the call");
    }
    bench_samples_deinit(&seen);
    bench_samples_deinit(&call);
    return woken_count;
}

/* A call that finds the core awake is shorter than reading the clock. */
static void bench_wake_in_vain(struct core *core, struct engine *waker, size_t op_count)
{
    struct bench_samples call;
    bench_samples_init(&call, op_count);
    for (size_t batch = 0; batch < op_count; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            assert_always(!core_wake(core, waker));
        }
        bench_samples_add(&call, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    bench_samples_print(&call, "core polls: the call");
    bench_samples_deinit(&call);
}

/* ---- Set-up ---- */

/* Returns a checksum. */
static uint64_t bench_with_core(struct frame_log *log, struct engine *waker, int cpu,
                                bool busy_poll, size_t op_count)
{
    char error[ENGINE_ERROR_BYTES_MAX];
    static _Atomic uint32_t conn_count;
    static _Atomic uint32_t place_count;
    struct core_encoding encoding = {.log = log, .run = 1};
    struct core *core;
    pthread_t thread;
    struct core_options options = {
        .cpu = cpu,
        .conn_count_max = 1,
        .conn_count = &conn_count,
        .place_count = &place_count,
        .heartbeat_interval_ns = NS_PER_SECOND,
        .busy_poll = busy_poll,
        .encodings = &encoding,
        .encoding_count = 1,
        .counters = &bench_counters,
        .ops = &bench_ops,
    };
    assert_always(core_create(&core, &options, error, sizeof error) == 0);
    core->fan.streams[0].position =
        frame_log_head(log); /* What the core before it has seen is old. */
    assert_always(pthread_create(&thread, NULL, bench_run_core, core) == 0);
    uint64_t checksum = bench_wake_often(core, waker, op_count);
    assert_always(busy_poll ? checksum == 0 : checksum > 0);
    if (busy_poll) {
        bench_wake_in_vain(core, waker, op_count);
    }
    core_stop(core);
    pthread_join(thread, NULL);
    core_destroy(core);
    return checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    char error[ENGINE_ERROR_BYTES_MAX] = "the publisher's ring cannot be enabled";
    int cpus[2]; /* the core's, and this thread's */
    if (!bench_cpus_pick(cpus)) {
        bench_print_skipped("waking another CPU needs two of them");
        return 0;
    }
    bench_cpus_pin(cpus[1]);
    struct engine waker;
    struct engine_options options = {.sq_entries = 8, .cq_entries = 64};
    if (engine_uring_open(&waker, &options, error) < 0 || engine_enable(&waker) < 0) {
        bench_print_skipped(error);
        return 0;
    }
    struct frame_log *log;
    struct frame_log_options log_options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = FRAME_BYTES,
        .channel_count_max = 1,
        .reader_count = 1,
    };
    assert_always(frame_log_create(&log, &log_options) == 0);
    uint64_t checksum = bench_with_core(log, &waker, cpus[0], false, size->op_count);
    checksum += bench_with_core(log, &waker, cpus[0], true, size->op_count);
    bench_print_checksum(checksum);
    frame_log_destroy(log);
    engine_close(&waker);
    return 0;
}
