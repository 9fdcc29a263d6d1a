/*
 * Question  What does user space spend per subscriber on fanning ticks out?
 * Method    A core as the server makes it, in its own loop (core_run), on a kernel that does
 *           nothing (bench_null_engine.h). Clients connect and are subscribed; then the core's
 *           inline publisher appends a burst of FRAME_BYTES frames a turn. A sample is the time
 *           from the end of one publish to the begin of the next, that is a whole turn without the
 *           publishing, divided by the frames delivered, and by the sends made. Cases "cold" have
 *           the caches used between batches as by a kernel, whose time does not count. Sort;
 *           report p50, p99, p99.9, max.
 * Run       zig build bench -- fanout           (full)
 *           zig build test                      (small: proves it still works)
 *           bench_fanout full|small CASE        (only cases that have CASE in their name)
 *           valgrind --tool=callgrind --toggle-collect=core_run --zero-before=bench_begin_count
 *             --dump-before=bench_end_count bench_fanout small CASE     (see bench/README.md)
 *           perf record bench_fanout full CASE
 */
#include "bench/bench_null_engine.h"
#include "bench/bench_samples.h"
#include "ring/core/core_state.h"
#include "ring/fan/fanout.h"
#include "ring/fan/puller.h"

#define FRAME_BYTES 256
#define LOG_BYTES (64 * MIB)
#define WARM_UP_TURNS 5
#define KERNEL_BYTES 4096 /* of sockets, buffers and queues that a send goes through, about */
#define CLOCK_STEP_NS NS_PER_SECOND /* when the core is to stop: nobody's end is awaited */

static const struct bench_size {
    const char *name;
    uint32_t turn_divisor;
} sizes[] = {
    {.name = "small", .turn_divisor = 200},
    {.name = "full", .turn_divisor = 1},
};

/* How often a kind of turn is run makes its case a second or so. */
static const struct bench_case {
    const char *name;
    uint32_t conn_count;
    uint32_t channel_count;
    uint32_t channels_per_conn; /* 0: the whole group */
    uint32_t burst;             /* frames a turn */
    bool is_burst_of_one;       /* all of one channel; otherwise each of another */
    bool is_shuffled;           /* subscribed in another order than connected */
    bool is_behind;             /* They pull each burst, as many as a turn takes. */
    uint32_t turn_count;
    size_t touched_bytes; /* by the kernel in place of one, for each send */
} bench_cases[] = {
    {"1000 conns, 1 frame", 1000, 1, 1, 1, true, false, false, 20000, 0},
    {"10000 conns, 1 frame", 10000, 1, 1, 1, true, false, false, 2000, 0},
    {"10000 conns shuffled, 1 frame", 10000, 1, 1, 1, true, true, false, 2000, 0},
    {"10000 conns, 1 frame, cold", 10000, 1, 1, 1, true, false, false, 1000, KERNEL_BYTES},
    {"1000 conns, 32 frames of 1", 1000, 1, 1, 32, true, false, false, 5000, 0},
    {"1000 conns, 32 frames of 1, cold", 1000, 1, 1, 32, true, false, false, 2000, KERNEL_BYTES},
    {"1000 conns, 32 frames of a group", 1000, 200, 0, 32, false, false, false, 5000, 0},
    {"1000 conns at 20/200, 50 frames", 1000, 200, 20, 50, false, false, false, 5000, 0},
    {"64 behind, 128 frames of a group", PULLER_CONNS_PER_TURN, 128, 0, 128, false, false, true,
     5000, 0},
    {"64 behind, 128 frames of 1", PULLER_CONNS_PER_TURN, 1, 1, 128, true, false, true, 5000, 0},
    {"64 behind at 8/8, 128 frames", PULLER_CONNS_PER_TURN, 8, 8, 128, false, false, true, 5000, 0},
    {"64 behind at 8/200, 200 frames", PULLER_CONNS_PER_TURN, 200, 8, 200, false, false, true, 5000,
     0},
};

struct bench_world {
    const struct bench_case *test;
    struct core *core;
    struct frame_log *log;
    struct core_encoding encoding; /* of the log */
    struct core_counters counters;
    _Atomic uint32_t open_count, place_count; /* the core's */
    uint32_t opened_count;
    uint32_t turn_count; /* with the warm-up */
    uint32_t turn;
    uint32_t next_channel;
    uint64_t random;
    uint64_t clock_ahead_ns;
    bool is_settled;
    bool is_over;
    /* Of the turn under way. */
    uint64_t start_ns;
    uint64_t frames_before, sends_before;
    uint64_t frames_expected;
    struct bench_samples per_frame, per_send;
};

static uint8_t bench_frame[FRAME_BYTES];

static uint64_t bench_random(struct bench_world *world, uint64_t below)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random % below;
}

static void bench_clock(void *context, struct core_time *time_out)
{
    struct bench_world *world = context;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    time_out->now_ns = bench_now_ns() + world->clock_ahead_ns;
    time_out->wall_ns = (uint64_t)wall.tv_sec * NS_PER_SECOND + (uint64_t)wall.tv_nsec;
    world->clock_ahead_ns += world->is_over ? CLOCK_STEP_NS : 0;
}

/* ---- Clients ---- */

static void bench_subscribe_conn(struct bench_world *world, uint32_t conn)
{
    const struct bench_case *test = world->test;
    if (test->channels_per_conn == 0) {
        int error = core_subscribe_group(world->core, conn, 0, LAG_SKIP, false);
        assert_always(error == 0);
    }
    /* Different ones for each conn, and as many for each channel on average. */
    for (uint32_t count = 0; count < test->channels_per_conn;) {
        struct core_subscription wanted = {
            .channel = (uint32_t)bench_random(world, test->channel_count), .policy = LAG_SKIP};
        int error = core_subscribe(world->core, conn, &wanted);
        assert_always(error >= 0);
        count += error == 0;
    }
}

static void bench_subscribe_all(struct bench_world *world)
{
    uint32_t conn_count = world->test->conn_count;
    uint32_t *conns = calloc(conn_count, sizeof *conns);
    assert_always(conns != NULL);
    for (uint32_t i = 0; i < conn_count; i++) {
        uint32_t other = world->test->is_shuffled ? (uint32_t)bench_random(world, i + 1) : i;
        conns[i] = conns[other];
        conns[other] = i;
    }
    for (uint32_t i = 0; i < conn_count; i++) {
        bench_subscribe_conn(world, conns[i]);
    }
    free(conns);
}

/* ---- Turns ---- */

/* As after a send that fell short, with no frame before it to send again. */
static void bench_fall_behind(struct fan *fan)
{
    for (uint32_t conn = 0; conn < fan->subscriber_count; conn++) {
        struct subscriber *subscriber = fan_subscriber(fan, conn);
        if (subscriber->mode == SUBSCRIBER_PUSHED) {
            puller_start(fan, subscriber, fan_stream(fan, subscriber)->position);
        }
    }
}

static void bench_publish(struct bench_world *world)
{
    struct core *core = world->core;
    struct core_time time;
    bench_clock(world, &time);
    world->frames_expected = 0;
    if (world->test->is_behind) {
        bench_fall_behind(&core->fan);
    }
    for (uint32_t i = 0; i < world->test->burst; i++) {
        memcpy(frame_log_reserve(world->log), bench_frame, FRAME_BYTES);
        frame_log_commit(world->log, world->next_channel, 0, FRAME_FULL_IMAGE, FRAME_BYTES,
                         time.wall_ns);
        world->frames_expected += core->fan.streams[0].group_lists[1].count +
                                  core->fan.streams[0].subs.channels[world->next_channel].count;
        if (!world->test->is_burst_of_one) {
            world->next_channel = (world->next_channel + 1) % world->test->channel_count;
        }
    }
    frame_log_publish(world->log);
}

static void bench_end_turn(struct bench_world *world, uint64_t end_ns)
{
    uint64_t frames = counter_get(&world->counters.frames_out) - world->frames_before;
    uint64_t sends = counter_get(&world->counters.sends) - world->sends_before;
    if (world->turn > WARM_UP_TURNS) {
        double elapsed_ns = (double)(end_ns - world->start_ns - bench_null.spent_ns);
        assert_always(frames == world->frames_expected);
        bench_samples_add(&world->per_frame, elapsed_ns / (double)frames);
        bench_samples_add(&world->per_send, elapsed_ns / (double)sends);
    }
    world->frames_before += frames;
    world->sends_before += sends;
}

/* For callgrind, which counts from the call of the first to that of the second. */
static __attribute__((noinline)) void bench_begin_count(void)
{
    __asm__ volatile("");
}

static __attribute__((noinline)) void bench_end_count(void)
{
    __asm__ volatile("");
}

/* The core calls it once a turn, first of all. */
static uint64_t bench_on_publish(void *context, uint64_t now_ns)
{
    (void)now_ns;
    struct bench_world *world = context;
    uint64_t end_ns = bench_now_ns();
    if (world->opened_count < world->test->conn_count) {
        return 0;
    }
    if (!world->is_settled) {
        bench_null_engine_settle(&world->core->links.engine);
        bench_subscribe_all(world);
        world->is_settled = true;
    }
    bench_end_turn(world, end_ns);
    if (world->turn == WARM_UP_TURNS) {
        bench_begin_count();
    }
    if (world->turn == world->turn_count) {
        bench_end_count();
        world->is_over = true;
        core_stop(world->core);
        return UINT64_MAX;
    }
    world->turn++;
    bench_publish(world);
    bench_null.spent_ns = 0;
    world->start_ns = bench_now_ns();
    return 0;
}

/* ---- What else a core asks for ---- */

static void bench_on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct bench_world *world = context;
    (void)core, (void)conn, (void)now_ns;
    world->opened_count++;
}

static void bench_on_close(void *context, struct core *core, uint32_t conn,
                           const struct core_conn_end *end)
{
    (void)context, (void)core, (void)conn, (void)end;
}

static void bench_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)context, (void)core, (void)conn, (void)now_ns;
}

static void bench_on_channel(void *context, struct core *core, uint32_t channel)
{
    (void)context, (void)core, (void)channel;
}

static uint32_t bench_channel_count(void *context)
{
    const struct bench_world *world = context;
    return world->test->channel_count;
}

static void bench_log(void *context, struct core *core, int level, const char *text)
{
    (void)context, (void)core;
    if (level >= 2) {
        fprintf(stderr, "%s\n", text);
    }
}

static const struct core_ops bench_ops = {
    .on_open = bench_on_open,
    .on_close = bench_on_close,
    .on_quiet = bench_on_quiet,
    .on_channel = bench_on_channel,
    .channel_count = bench_channel_count,
    .log = bench_log,
};

/* ---- Cases ---- */

static struct core *bench_create_core(struct bench_world *world)
{
    char error[ENGINE_ERROR_BYTES_MAX];
    struct core *core;
    struct core_options options = {
        .cpu = -1,
        .conn_count_max = world->test->conn_count,
        .conn_count = &world->open_count,
        .place_count = &world->place_count,
        .heartbeat_interval_ns = 3600 * NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .listeners = {{.fd = BENCH_NULL_FD_FIRST - 1}},
        .listener_count = 1,
        .encodings = &world->encoding,
        .encoding_count = 1,
        .counters = &world->counters,
        .ops = &bench_ops,
        .context = world,
        .publish = bench_on_publish,
        .publish_context = world,
        .open_engine = bench_null_engine_open,
        .clock = bench_clock,
    };
    bench_null_engine_expect(world->test->conn_count, world->test->touched_bytes);
    assert_always(core_create(&core, &options, error, sizeof error) == 0);
    return core;
}

static void bench_print(struct bench_world *world)
{
    char name[128];
    snprintf(name, sizeof name, "%s: a delivery", world->test->name);
    bench_samples_print(&world->per_frame, name);
    snprintf(name, sizeof name, "%s: a send", world->test->name);
    bench_samples_print(&world->per_send, name);
}

/* Returns a checksum. */
static uint64_t bench_run_case(const struct bench_case *test, const struct bench_size *size)
{
    struct bench_world world = {
        .test = test,
        .turn_count = WARM_UP_TURNS + test->turn_count / size->turn_divisor,
        .random = UINT64_C(0x9e3779b97f4a7c15),
    };
    struct frame_log_options log_options = {
        .capacity_bytes = LOG_BYTES,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = test->channel_count,
        .reader_count = 1,
    };
    assert_always(test->burst * FRAME_BYTES < FANOUT_BYTES_MAX); /* One turn takes it. */
    bench_samples_init(&world.per_frame, world.turn_count);
    bench_samples_init(&world.per_send, world.turn_count);
    assert_always(frame_log_create(&world.log, &log_options) == 0);
    world.encoding.log = world.log;
    atomic_store(&world.encoding.run, 1);
    world.core = bench_create_core(&world);
    assert_always(core_run(world.core) == 0);
    assert_always(counter_get(&world.counters.sends_short) == 0);
    bench_print(&world);
    uint64_t checksum = counter_get(&world.counters.bytes_out);
    core_destroy(world.core);
    frame_log_destroy(world.log);
    bench_samples_deinit(&world.per_frame);
    bench_samples_deinit(&world.per_send);
    return checksum;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    const char *wanted = argument_count > 2 ? arguments[2] : "";
    uint64_t checksum = 0;
    memset(bench_frame, 'x', sizeof bench_frame);
    for (size_t i = 0; i < sizeof bench_cases / sizeof bench_cases[0]; i++) {
        if (strstr(bench_cases[i].name, wanted) != NULL) {
            checksum += bench_run_case(&bench_cases[i], size);
        }
    }
    bench_print_checksum(checksum);
    return 0;
}
