/*
 * Question  What does a probe cost that nobody traces?
 * Method    Passes of a loop that mixes a number, in turn without a probe and with PROBES of three
 *           arguments each, more than a CPU can hide behind the mixing. A sample is the mean of
 *           LOOP_PASSES passes; one of 100 probes is from two neighbours. Sort; report p50, p99,
 *           p99.9, max.
 * Run       zig build bench -- probe            (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/base/probes.h"

#define LOOP_PASSES 1000
#define PROBES 512

static const struct bench_size {
    const char *name;
    size_t sample_count;
} sizes[] = {
    {.name = "small", .sample_count = 10},
    {.name = "full", .sample_count = 20000},
};

static inline uint64_t bench_mix(uint64_t value)
{
    value ^= value << 13;
    value ^= value >> 7;
    return value ^ value << 17;
}

static double bench_loop(uint64_t *value, bool has_probes)
{
    uint64_t start_ns = bench_now_ns();
    uint64_t mixed = *value;
    if (has_probes) {
        for (uint64_t pass = 0; pass < LOOP_PASSES; pass++) {
            mixed = bench_mix(mixed);
#pragma clang loop unroll(full)
            for (int i = 0; i < PROBES; i++) {
                PROBE3(bench, pass, mixed, value);
            }
        }
    } else {
        for (uint64_t pass = 0; pass < LOOP_PASSES; pass++) {
            mixed = bench_mix(mixed);
            __asm__ volatile("" ::"r"(mixed)); /* One pass at a time, as in the other loop. */
        }
    }
    *value = mixed;
    return (double)(bench_now_ns() - start_ns) / LOOP_PASSES;
}

int main(int argument_count, char **arguments)
{
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples without, with, probe;
    uint64_t value = 1;
    bench_samples_init(&without, size->sample_count);
    bench_samples_init(&with, size->sample_count);
    bench_samples_init(&probe, size->sample_count);
    for (size_t i = 0; i < size->sample_count; i++) {
        double without_ns = bench_loop(&value, false);
        double with_ns = bench_loop(&value, true);
        bench_samples_add(&without, without_ns);
        bench_samples_add(&with, with_ns);
        bench_samples_add(&probe, (with_ns - without_ns) * 100 / PROBES);
    }
    bench_samples_print(&without, "a pass without probes");
    bench_samples_print(&with, "a pass with 512 probes");
    bench_samples_print(&probe, "100 probes");
    bench_print_checksum(value);
    bench_samples_deinit(&without);
    bench_samples_deinit(&with);
    bench_samples_deinit(&probe);
    return 0;
}
