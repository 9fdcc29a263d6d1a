/*
 * Question  What do deadlines cost a core with 10 000 conns: arming, moving, letting them come?
 * Method    TIMER_COUNT timers, deadlines spread over a second as those of conns are. Time
 *           batches of BATCH_OPS calls of arm and of re-arm, in an order that is not that of the
 *           memory; then whole advances that expire all, and advances over an idle millisecond.
 *           Sort the means; report p50, p99, p99.9, max.
 * Run       zig build bench -- timer_wheel      (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "ring/io/timer_wheel.h"

#define BATCH_OPS 50
#define TIMER_COUNT 10000
#define TIMER_STRIDE 7919 /* Prime: the walk comes by every timer. */
#define START_NS (1000 * NS_PER_SECOND)
#define SPREAD_NS NS_PER_SECOND
#define STEP_NS (8 * NS_PER_MS)

static const struct bench_size {
    const char *name;
    size_t round_count; /* Each arms, moves and expires every timer. */
} sizes[] = {
    {.name = "small", .round_count = 2},
    {.name = "full", .round_count = 100},
};

/* As far apart as in conns. */
struct bench_timer {
    struct timer timer;
    uint8_t rest[64 - sizeof(struct timer)];
};

static struct timer_wheel bench_wheel;
static struct bench_timer bench_timers[TIMER_COUNT];
static uint64_t bench_fired;

static void bench_on_timer(void *context, uint32_t number)
{
    (void)context;
    bench_fired += number < TIMER_COUNT;
}

static void bench_arm_all(struct bench_samples *samples, uint64_t now_ns)
{
    uint32_t at = 0;
    for (uint32_t done = 0; done < TIMER_COUNT; done += BATCH_OPS) {
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            uint64_t offset_ns = (uint64_t)at * (SPREAD_NS / TIMER_COUNT);
            timer_arm(&bench_wheel, at, now_ns + offset_ns);
            at = (at + TIMER_STRIDE) % TIMER_COUNT;
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
}

/* Advances in steps until all have fired; a sample is the mean of those that a step fired. */
static uint64_t bench_expire_all(struct bench_samples *samples, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + SPREAD_NS + 4 * STEP_NS; /* later than any by a slot or two */
    while (now_ns < until_ns) {
        uint64_t fired_before = bench_fired;
        now_ns += STEP_NS;
        uint64_t start_ns = bench_now_ns();
        timer_wheel_advance(&bench_wheel, now_ns, bench_on_timer, NULL);
        uint64_t elapsed_ns = bench_now_ns() - start_ns;
        if (bench_fired > fired_before) {
            bench_samples_add(samples, (double)elapsed_ns / (double)(bench_fired - fired_before));
        }
    }
    assert_always(bench_wheel.armed_count == 0);
    return now_ns;
}

/* What every turn of a core pays: nothing is due, and how long may it sleep? */
static uint64_t bench_idle(struct bench_samples *samples, uint64_t now_ns)
{
    uint64_t checksum = 0;
    for (uint32_t batch = 0; batch < TIMER_COUNT / BATCH_OPS; batch++) {
        uint64_t start_ns = bench_now_ns();
        for (int op = 0; op < BATCH_OPS; op++) {
            timer_wheel_advance(&bench_wheel, now_ns, bench_on_timer, NULL);
            checksum += timer_wheel_next_ns(&bench_wheel);
        }
        bench_samples_add(samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
    }
    return checksum;
}

enum bench_case { CASE_ARM, CASE_MOVE, CASE_IDLE, CASE_EXPIRE, CASE_COUNT };

static const char *const bench_case_names[CASE_COUNT] = {
    [CASE_ARM] = "arm, of 10 000",
    [CASE_MOVE] = "re-arm, of 10 000",
    [CASE_IDLE] = "a turn without a due timer",
    [CASE_EXPIRE] = "expire, of 10 000",
};

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples samples[CASE_COUNT];
    uint64_t now_ns = START_NS;
    uint64_t checksum = 0;
    for (int i = 0; i < CASE_COUNT; i++) {
        bench_samples_init(&samples[i], size->round_count * (TIMER_COUNT / BATCH_OPS));
    }
    timer_wheel_init(&bench_wheel, now_ns, &bench_timers->timer, sizeof *bench_timers);
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        timer_init(&bench_timers[i].timer);
    }
    for (size_t round = 0; round < size->round_count; round++) {
        bench_arm_all(&samples[CASE_ARM], now_ns);
        bench_arm_all(&samples[CASE_MOVE], now_ns + STEP_NS);
        checksum += bench_idle(&samples[CASE_IDLE], now_ns);
        now_ns = bench_expire_all(&samples[CASE_EXPIRE], now_ns);
    }
    assert_always(bench_fired == size->round_count * TIMER_COUNT);
    for (int i = 0; i < CASE_COUNT; i++) {
        bench_samples_print(&samples[i], bench_case_names[i]);
        bench_samples_deinit(&samples[i]);
    }
    bench_print_checksum(checksum + bench_fired);
    return 0;
}
