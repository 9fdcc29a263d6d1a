/*
 * sim_system: the server's parts together on a simulated kernel, with clients that check every
 * promise of docs/protocol.md that they can see.
 *
 * Run  sim_system [SEED [COUNT]]     (without: 16 seeds from 1)
 *
 * Each seed is one history: one or two cores with their sessions, the publisher (on core 0 or a
 * thread of its own), a feed, access control, all encodings; clients that come and go. The seed
 * chooses who runs next, what goes wrong and how often, and when the clocks are set. After the
 * noise all clients must be up to date, and nothing may be left of them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/base/canary.h"
#include "codec/running_hash.h"
#include "ring/board/frame_log_size.h"
#include "ring/core/core_state.h"
#include "src/access/access.h"
#include "src/base/log.h"
#include "src/market/channel_rates.h"
#include "src/market/publisher.h"
#include "src/session/session.h"
#include "tests/sim_memory.h"
#include "tests/sim_system.h"
#include "tests/sim_threads.h"

#define SEEDS_DEFAULT 32
#ifdef __SANITIZE_ADDRESS__
#define MARKS_ARE_ALL false /* Its allocators never fail. */
#else
#define MARKS_ARE_ALL true
#endif
#define NOISE_NS NS_PER_SECOND
#define CALM_NS (5 * NS_PER_SECOND)
#define END_NS (5 * NS_PER_SECOND)
#define DRAIN_NS (NS_PER_SECOND / 4)
#define STEPS_TO_START 500
#define NAPS_MAX 50000 /* in a row; 100 us each */
#define CONNS_MAX (WORLD_SUBSCRIBERS + 8)

#define TOKENS                                                                                     \
    "{\"tokens\":[{\"name\":\"all\",\"token\":\"" TOKEN_ALL "\"},"                                 \
    "{\"name\":\"some\",\"token\":\"" TOKEN_SOME "\",\"symbols\":[\"A*\"],"                        \
    "\"types\":[\"quote\",\"trade\",\"depth\"]},"                                                  \
    "{\"name\":\"few\",\"token\":\"" TOKEN_FEW "\",\"symbols\":[\"A*\"],\"types\":[\"quote\"]}]}"

struct world world;

/* The server of one life. */
static struct {
    struct book_images *book_images;
    struct channel_rates *rates;
    struct symbols symbols;
    struct counters *counters;
    struct publisher *publisher;
    struct access *access;
    _Atomic uint32_t conn_count, place_count;
    struct sessions *sessions[WORLD_CORES_MAX];
    struct core *cores[WORLD_CORES_MAX];
    uint32_t out_block_count[WORLD_CORES_MAX];
    uint64_t sockets_dead_ns;
    uint64_t opened_ns;
} server;

/* ---- Faults ---- */

_Noreturn void world_fail(const char *what, const char *file, int line)
{
    int client = -1;
    for (uint32_t i = 0; i < WORLD_SUBSCRIBERS; i++) {
        client = subscriber_at(i) == world.subscriber ? (int)i : client;
    }
    printf("seed %llu, step %llu: %s (%s:%d, client %d, channel %u, seq %llu, %llu us); "
           "again with: sim_system %llu 1\n",
           (unsigned long long)world.seed, (unsigned long long)world.step, what, file, line, client,
           world.channel, (unsigned long long)world.seq,
           (unsigned long long)(sim.now_ns - world.began_ns) / 1000,
           (unsigned long long)world.seed);
    printf("%u core(s), publisher %s%s%s%s%s\n", world.core_count,
           world.is_inline ? "inline" : "thread", world.needs_auth ? ", tokens" : "",
           world.has_lag_limit ? ", lag limit" : "", world.leaps ? ", leaps" : "",
           world.is_scarce ? ", memory is scarce" : "");
    fflush(stdout);
    if (getenv("SIM_TRACE") != NULL) {
        abort();
    }
    _exit(1);
}

/* An assertion of the server's. */
static void on_abort(int number)
{
    printf("seed %llu, step %llu: signal %d; again with: sim_system %llu 1\n",
           (unsigned long long)world.seed, (unsigned long long)world.step, number,
           (unsigned long long)world.seed);
    fflush(stdout);
    signal(number, SIG_DFL);
    raise(number);
}

/* ---- Setting up ---- */

static void open_access(void)
{
    char path[64];
    char error[512] = "";
    struct access_options options = {.enable_auth = world.needs_auth};
    int fd = memfd_create("tokens", 0);
    assert_always(fd >= 0 && write(fd, TOKENS, sizeof TOKENS - 1) == sizeof TOKENS - 1);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    options.tokens_file = world.needs_auth ? path : NULL;
    assert_always(access_create(&server.access, &options, &(struct keyed_hash){{world.seed, 1}},
                                error, sizeof error) == 0);
    close(fd);
}

static void open_market(void)
{
    static const char *const specs[] = {"ticks"};
    char error[512] = "";
    struct encodings_options encodings = {
        .log = {.capacity_bytes = WORLD_LOG_BYTES,
                .frame_bytes_max = WORLD_FRAME_BYTES_MAX,
                .channel_count_max = CHANNELS_MAX,
                .reader_count = world.core_count},
        .compresses = true,
        .compressed_bytes_min = 1024,
    };
    assert_always(channels_create(&world.channels, NULL, &(struct keyed_hash){{world.seed, 0}}) ==
                  0);
    assert_always(book_images_create(&server.book_images) == 0);
    assert_always(counters_open(&server.counters, -1, world.core_count) == 0);
    encodings.channels = world.channels;
    encodings.memory_bytes_max = world.log_count_max * frame_log_size_most(&encodings.log);
    assert_always(encodings_create(&world.encodings, &encodings) == 0);
    assert_always(channel_rates_create(&server.rates) == 0);
    server.symbols = (struct symbols){.channels = world.channels,
                                      .log = encodings_json_log(world.encodings),
                                      .rates = server.rates,
                                      .epoch = world.epoch};
    struct publisher_options options = {
        .channels = world.channels,
        .encodings = world.encodings,
        .book_images = server.book_images,
        .counters = &server.counters->publisher,
        .feed_specs = specs,
        .feed_sources = specs,
        .feed_count = 1,
    };
    assert_always(publisher_create(&server.publisher, &options, error, sizeof error) == 0);
}

static void open_core(uint32_t index)
{
    char error[512] = "";
    uint64_t seed = world.seed;
    struct session_options sessions = {
        .conn_count_max = CONNS_MAX,
        .subscription_count_max = 200,
        .heartbeat_interval_ns = world.leaps ? 3600 * NS_PER_SECOND : NS_PER_SECOND,
        .idle_timeout_ns = 3600 * NS_PER_SECOND,
        .compression = true,
        .channels = world.channels,
        .symbols = &server.symbols,
        .book_images = server.book_images,
        .access = server.access,
        .counters = &server.counters->cores[index],
    };
    memcpy(sessions.epoch, world.epoch, sizeof sessions.epoch);
    assert_always(sessions_create(&server.sessions[index], &sessions) == 0);
    static const char *const paths[] = {"/"};
    struct core_options options = {
        .index = index,
        .cpu = -1,
        .conn_count_max = CONNS_MAX,
        .conn_count = &server.conn_count,
        .place_count = &server.place_count,
        .heartbeat_interval_ns = sessions.heartbeat_interval_ns,
        .idle_timeout_ns = sessions.idle_timeout_ns,
        .max_lag_ns = world.has_lag_limit ? 200 * NS_PER_MS : 0,
        .zero_copy = {.tcp_bytes = seed % 4 == 3 ? 0 : 200},
        .key = {{seed, index}},
        .listeners = {{.fd = WORLD_LISTENER_FD + (int)index}},
        .listener_count = 1,
        .site = {paths, 1, encodings_protocols, ENCODINGS_PROTOCOL_COUNT, true},
        .counters = &server.counters->cores[index],
        .ops = &session_ops,
        .context = server.sessions[index],
        .publish = world.is_inline && index == 0 ? publisher_poll_inline : NULL,
        .publish_context = server.publisher,
        .open_engine = sim_engine_open,
        .clock = sim_clock,
    };
    options.encodings = encodings_table(world.encodings, &options.encoding_count);
    options.claims = encodings_claims(world.encodings);
    assert_always(core_create(&server.cores[index], &options, error, sizeof error) == 0);
    server.out_block_count[index] = server.cores[index]->links.out_pool.free_count;
}

static void run_core(void *context)
{
    EXPECT(core_run(context) == 0);
}

static void run_publisher(void *context)
{
    EXPECT(publisher_run(context) == 0);
}

static void open_server(void)
{
    static const unsigned cq_sizes[] = {16384, 256, 64, 16};
    struct core_counters *counters[WORLD_CORES_MAX];
    memset(&server, 0, sizeof server);
    sim.cq_entries = cq_sizes[sim_random(sizeof cq_sizes / sizeof cq_sizes[0])];
    if (world.is_scarce) { /* Where completions are put off, the engine insists on memory. */
        sim.cq_entries = cq_sizes[0];
    }
    sim.delivers_first = sim_random(2) == 0;
    server.opened_ns = sim.now_ns;
    open_market();
    open_access();
    for (uint32_t i = 0; i < world.core_count; i++) {
        open_core(i);
        counters[i] = &server.counters->cores[i];
    }
    publisher_set_cores(server.publisher, server.cores, counters, world.core_count);
    sim_threads_open();
    for (uint32_t i = 0; i < world.core_count; i++) {
        sim_thread_start(run_core, server.cores[i]);
    }
    if (!world.is_inline) {
        sim_thread_start(run_publisher, server.publisher);
    }
}

/* ---- Running ---- */

static uint32_t thread_count(void)
{
    return world.core_count + !world.is_inline;
}

static void step_clocks(void)
{
    if (!world.is_calm && sim_random(3000) == 0) {
        bool is_back = sim_random(2) == 0;
        int64_t step_ns =
            (int64_t)sim_random(sim_random(2) == 0 ? 20 * NS_PER_MS : 100 * NS_PER_SECOND);
        sim.wall_step_ns += is_back ? -step_ns : step_ns;
        world.marks.clock_back += is_back;
        world.marks.clock_forth += !is_back;
    }
    if (world.leaps && !world.is_calm && sim_random(4000) == 0) {
        uint64_t leap_ns = (sim_random(3) == 0 ? 601 : 61) * NS_PER_SECOND;
        sim.now_ns += leap_ns;
        world.calm_ns += leap_ns;
        world.began_ns += leap_ns;
        world.marks.leaps++;
    }
}

/* As by a debugger, wherever it is: its pins stay. */
static void stop_core(void)
{
    if (!world.is_calm && sim.now_ns >= world.stopped_until_ns && sim_random(500) == 0) {
        world.stopped = (uint32_t)sim_random(world.core_count);
        world.stopped_until_ns = sim.now_ns + sim_random(400 * NS_PER_MS);
        world.marks.stops++;
    }
}

/* One thread goes on, or time passes; and some clients. */
static void step(const uint32_t *weights)
{
    uint32_t count = thread_count();
    uint32_t total = 0;
    world.step++;
    world.subscriber = NULL;
    for (uint32_t i = 0; i < count; i++) {
        total += weights[i];
    }
    uint64_t draw = sim_random(total);
    uint32_t chosen = 0;
    while (draw >= weights[chosen]) {
        draw -= weights[chosen++];
    }
    bool is_stopped = chosen == world.stopped && sim.now_ns < world.stopped_until_ns;
    if (is_stopped) {
        sim.now_ns += sim_random(100 * NS_PER_US);
    } else if (!sim_thread_go_on(chosen)) {
        /* Time passes up to the next wake-up; faster while all wait. */
        uint64_t wake_ns = sim_threads_wake_ns();
        uint64_t most_ns = sim_random(wake_ns == 0 ? 100 * NS_PER_US : 2 * NS_PER_MS);
        bool comes_first = wake_ns > sim.now_ns && wake_ns - sim.now_ns < most_ns;
        sim.now_ns = comes_first ? wake_ns : sim.now_ns + most_ns;
    }
    ticks_note();
    EXPECT(sim_threads_naps() < NAPS_MAX); /* else a thread waits for ever, for itself mostly */
    step_clocks();
    stop_core();
    for (uint64_t some = sim_random(4); some > 0; some--) {
        subscriber_step(subscriber_at((uint32_t)sim_random(WORLD_SUBSCRIBERS)));
    }
}

static void check_clients(void)
{
    for (uint32_t i = 0; i < WORLD_SUBSCRIBERS; i++) {
        subscriber_check(subscriber_at(i));
    }
    world.subscriber = NULL;
}

/* When all clients have been away long enough, what was made for them ends. */
static void be_deserted(const uint32_t *weights)
{
    uint32_t encoding_count;
    struct core_encoding *encodings = encodings_table(world.encodings, &encoding_count);
    for (uint32_t i = 0; i < WORLD_SUBSCRIBERS; i++) {
        subscriber_leave(subscriber_at(i), false);
    }
    for (uint32_t i = 0; i < 3; i++) {
        for (uint64_t until_ns = sim.now_ns + NS_PER_SECOND; sim.now_ns < until_ns;) {
            step(weights);
        }
        sim.now_ns += 601 * NS_PER_SECOND;
    }
    for (uint32_t i = 1; i < encoding_count; i++) {
        EXPECT(!core_encoding_is_written(atomic_load(&encodings[i].run)));
    }
    for (uint32_t i = 0; i < channels_variant_count(world.channels); i++) {
        EXPECT(atomic_load(&channels_wish(world.channels, i)->is_named) == 0);
    }
}

static bool all_have_ended(void)
{
    for (uint32_t i = 0; i < thread_count(); i++) {
        if (!sim_thread_has_ended(i)) {
            return false;
        }
    }
    return true;
}

static void end_server(const uint32_t *weights)
{
    uint64_t until_ns = sim.now_ns + END_NS;
    world.is_ending = true;
    for (uint32_t i = 0; world.drains && i < world.core_count; i++) {
        core_drain(server.cores[i], sim.now_ns + DRAIN_NS, world.seed % 2 == 0);
    }
    for (uint64_t drained_ns = sim.now_ns + 2 * DRAIN_NS;
         world.drains && sim.now_ns < drained_ns;) {
        step(weights);
    }
    for (uint32_t i = 0; i < world.core_count; i++) {
        core_stop(server.cores[i]);
    }
    while (!all_have_ended() && sim.now_ns < until_ns) {
        step(weights);
        bool cores_ended =
            sim_thread_has_ended(0) && (world.core_count == 1 || sim_thread_has_ended(1));
        if (cores_ended) {
            publisher_stop(server.publisher);
        }
    }
    EXPECT(all_have_ended());
}

/* ---- The end ---- */

static void check_core_is_empty(uint32_t index)
{
    const struct core *core = server.cores[index];
    const struct core_counters *counters = &server.counters->cores[index];
    EXPECT(counter_get(&counters->conns_open) == 0);
    EXPECT(counter_get(&counters->accepted) == sim_peer_ended(counters));
    EXPECT(counter_get(&counters->conns_streaming) == 0);
    EXPECT(counter_get(&counters->conns_blocked) == 0);
    EXPECT(counter_get(&counters->subscriptions) == 0);
    EXPECT(core->links.out_pool.free_count == server.out_block_count[index]);
    EXPECT(core->fan.replay_count == 0);
    EXPECT(core->links.free_input_count == core->links.input_count);
    EXPECT(core->fan.group_seqs_bytes == 0);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        EXPECT(!frame_log_is_pinned(core->fan.streams[i].log, index));
        EXPECT(core->fan.streams[i].subs.count == 0);
    }
}

static void check_server_is_empty(void)
{
    uint32_t encoding_count;
    encodings_table(world.encodings, &encoding_count);
    for (uint32_t i = 0; i < world.core_count; i++) {
        check_core_is_empty(i);
        for (uint32_t k = 0; k < encoding_count; k++) {
            EXPECT(k == 0 || core_claims_count(encodings_claims(world.encodings), k) == 0);
        }
    }
    EXPECT(atomic_load(&server.conn_count) == 0);
    EXPECT(atomic_load(&server.place_count) == 0);
    for (uint32_t i = 0; i < channels_variant_count(world.channels); i++) {
        EXPECT(atomic_load(&channels_wish(world.channels, i)->subscriber_count) == 0);
    }
}

static uint64_t counted(const struct counters_histogram *histogram)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < COUNTERS_HISTOGRAM_BUCKETS; i++) {
        count += counter_get(&histogram->buckets[i]);
    }
    return count;
}

static void check_times(void)
{
    const struct publisher_counters *publisher = &server.counters->publisher;
    uint64_t frames = frame_log_end(encodings_json_log(world.encodings));
    EXPECT(counted(&publisher->publish) == frames);
    EXPECT(counter_get(&publisher->ticks) <= frames);
    EXPECT(counted(&publisher->feed) <= counter_get(&publisher->ticks));
    for (uint32_t i = 0; i < world.core_count; i++) {
        const struct core_counters *counters = &server.counters->cores[i];
        uint64_t busy_ns = counter_get(&counters->busy_ns);
        uint64_t asleep_ns = counter_get(&counters->asleep_ns);
        EXPECT(busy_ns + asleep_ns <= sim.now_ns - server.opened_ns);
        EXPECT(counter_get(&counters->overslept_ns) <= asleep_ns);
        EXPECT(counter_get(&counters->turn_max_ns) <= busy_ns);
        EXPECT(counted(&counters->flush) == counted(&counters->wait));
        EXPECT(counted(&counters->flush) == counted(&counters->scatter));
        EXPECT(counted(&counters->flush) == counted(&counters->flush_newest));
        EXPECT(counter_get(&counters->flush.sum_ns) ==
               counter_get(&counters->wait.sum_ns) + counter_get(&counters->scatter.sum_ns));
        world.marks.flushed += counted(&counters->flush);
        world.marks.blocked_ns += counter_get(&counters->blocked_ns);
        world.marks.overslept_ns += counter_get(&counters->overslept_ns);
        world.marks.slow_turns += counter_get(&counters->turns_slow);
    }
}

static void count_marks(void)
{
    struct world_marks *marks = &world.marks;
    uint32_t encoding_count;
    struct core_encoding *encodings = encodings_table(world.encodings, &encoding_count);
    for (uint32_t i = 0; i < world.core_count; i++) {
        marks->laps += counter_get(&server.counters->cores[i].laps);
        marks->core_laps += counter_get(&server.counters->cores[i].core_laps);
    }
    for (uint32_t i = 0; i < encoding_count; i++) {
        uint32_t run = atomic_load(&encodings[i].run);
        marks->encodings_begun += (run + 1) / 2;
        marks->encodings_ended += run / 2;
        marks->pin_waits += encodings[i].log->waited_count;
        marks->replaced_bytes += encodings[i].log->replaced_bytes;
    }
    marks->wakes += counter_get(&server.counters->publisher.wakes);
    marks->lents += sim.lent_count;
    marks->short_sends += sim.cut_count;
    marks->full_sends += sim.full_count;
    marks->late_completions += sim.late_count;
    marks->failed_allocations += sim_memory.failed_count;
    marks->inline_lives += world.is_inline;
    marks->lives++;
}

static void close_server(void)
{
    sim_threads_close();
    for (uint32_t i = 0; i < world.core_count; i++) {
        core_destroy(server.cores[i]);
        sessions_destroy(server.sessions[i]);
    }
    access_destroy(server.access);
    publisher_destroy(server.publisher);
    counters_close(server.counters);
    channel_rates_destroy(server.rates);
    encodings_destroy(world.encodings);
    channels_destroy(world.channels);
    book_images_destroy(server.book_images);
    ticks_forget();
    sim_close();
}

/* From one start of the server to its end. */
static void run_life(uint64_t seed, uint32_t life)
{
    uint32_t weights[SIM_THREADS_MAX];
    sim_open(seed + life * UINT64_C(1000000007), WORLD_SOCKETS, sim_threads_step, NULL);
    sim_draw_fault_rates();
    sim.is_uneven = true;
    snprintf(world.epoch, sizeof world.epoch, WORLD_EPOCH, life % 10);
    world.core_count = 1 + (uint32_t)sim_random(WORLD_CORES_MAX);
    world.is_inline = sim_random(2) == 0;
    world.needs_auth = sim_random(2) == 0;
    world.has_lag_limit = sim_random(3) == 0;
    world.leaps = sim_random(5) == 0;
    world.is_scarce = sim_random(4) == 0;
    world.drains = sim_random(2) == 0;
    world.log_count_max = (world.seed + life) % 6 < 3 ? 1 + (world.seed + life) % 2 : 0;
    world.is_calm = world.is_ending = false;
    world.stopped_until_ns = 0;
    for (uint32_t i = 0; i < SIM_THREADS_MAX; i++) {
        static const uint32_t some[] = {1, 5, 20, 20}; /* Some get on slowly. */
        weights[i] = some[sim_random(sizeof some / sizeof some[0])];
    }
    world.began_ns = sim.now_ns;
    world.calm_ns = sim.now_ns + NOISE_NS;
    open_server();
    for (uint32_t i = 0; i < STEPS_TO_START; i++) {
        step(weights);
    }
    sim_memory_open(seed, world.is_scarce ? 2 + (uint32_t)sim_random(60) : 0);
    while (sim.now_ns < world.calm_ns) {
        step(weights);
    }
    world.is_calm = true;
    sim.calm = true;
    sim_memory.one_in = 0;
    while (sim.now_ns < world.calm_ns + CALM_NS) {
        step(weights);
    }
    check_clients();
    if (sim_random(2) == 0) {
        be_deserted(weights);
    }
    end_server(weights);
    for (uint32_t i = 0; i < WORLD_SUBSCRIBERS; i++) {
        subscriber_leave(subscriber_at(i), false);
    }
    check_server_is_empty();
    check_times();
    count_marks();
    world.trace = running_hash_add(world.trace, sim.read_hash);
    close_server();
}

/* What never happens in many seeds is not tested: returns how many such marks. */
static uint64_t print_marks(bool must_happen)
{
    uint64_t missing = 0;
#define MARK(field, text)                                                                          \
    printf("%llu %s%s\n", (unsigned long long)world.marks.field, text,                             \
           must_happen &&world.marks.field == 0 ? ": the simulation no longer exercises this"      \
                                                : "");                                             \
    missing += must_happen && world.marks.field == 0;
    WORLD_MARKS(MARK)
#undef MARK
    return missing;
}

static void run_seed(uint64_t seed)
{
    world.seed = seed;
    world.step = 0;
    world.trace = 0;
    subscribers_forget();
    sim_memory_open(0, 0);
    for (uint32_t life = 0; life < (seed % 3 == 1 ? 2 : 1); life++) {
        run_life(seed, life);
    }
}

#ifdef RINGCAST_CANARY

#define CANARY_SEEDS_MAX 256 /* until one finds it; of the rarest, one in 25 does */

/* Each planted bug is to be found, by a process of its own: whether it failed. */
enum canary canary_planted;

static bool finds_canary(enum canary canary, uint64_t seed, uint64_t count)
{
    int status;
    pid_t child = fork();
    assert_always(child >= 0);
    if (child == 0) {
        canary_planted = canary;
        for (uint64_t i = 0; i < count; i++) {
            run_seed(seed + i);
        }
        _exit(0);
    }
    assert_always(waitpid(child, &status, 0) == child);
    return status != 0;
}

static int run_canaries(uint64_t seed, uint64_t count)
{
    static const char *const texts[CANARY_COUNT] = {"no planted bug",
#define CANARY_ROW(name, text) text,
                                                    CANARIES(CANARY_ROW)
#undef CANARY_ROW
    };
    uint64_t failed = 0;
    for (uint32_t i = 0; i < CANARY_COUNT; i++) {
        fflush(stdout);
        bool is_found = finds_canary((enum canary)i, seed, i == CANARY_NONE ? 2 : count);
        printf("%s: %s\n", texts[i], is_found ? "found" : "not found");
        failed += is_found != (i != CANARY_NONE);
    }
    printf("%llu passed, %llu failed\n", (unsigned long long)(CANARY_COUNT - failed),
           (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}

#endif

int main(int argc, char **argv)
{
    uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : argc > 1 ? 1 : SEEDS_DEFAULT;
    signal(SIGABRT, on_abort);
    signal(SIGSEGV, on_abort);
    signal(SIGPIPE, SIG_IGN);
    json_object_seed(1);
    printf("seeds %llu to %llu\n", (unsigned long long)seed,
           (unsigned long long)(seed + count - 1));
    fflush(stdout);
#ifdef RINGCAST_CANARY
    return run_canaries(seed, argc > 1 ? count : CANARY_SEEDS_MAX);
#endif
    for (uint64_t i = 0; i < count; i++) {
        run_seed(seed + i);
    }
    uint64_t trace = world.trace;
    run_seed(world.seed);
    EXPECT(world.trace == trace); /* What a seed does, it does again. */
    uint64_t failed = print_marks(MARKS_ARE_ALL && argc == 1);
    printf("%llu passed, %llu failed\n", (unsigned long long)count, (unsigned long long)failed);
    return failed == 0 ? 0 : 1;
}
