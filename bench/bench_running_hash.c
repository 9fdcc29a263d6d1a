/*
 * Question  What does a tick's part of its channel's running hash cost the publisher?
 * Method    Hash a payload and add it to its channel's hash, BATCH_OPS payloads a sample, for
 *           payloads of several lengths. Sort the means; report p50, p99, p99.9, max.
 * Run       zig build bench -- running_hash     (full)
 *           zig build test                      (small: proves it still works)
 */
#include "bench/bench_samples.h"
#include "codec/running_hash.h"

#define BATCH_OPS 64

static const struct bench_size {
    const char *name;
    size_t batch_count;
} sizes[] = {
    {.name = "small", .batch_count = 20},
    {.name = "full", .batch_count = 100000},
};

static const struct bench_payload {
    const char *name;
    size_t bytes;
} bench_payloads[] = {
    {"64 bytes", 64}, {"128 bytes", 128}, {"256 bytes", 256}, {"420 bytes", 420}, {"2 KiB", 2048},
};

int main(int argument_count, char **arguments)
{
    static uint8_t payload[2048 + BATCH_OPS];
    const struct bench_size *size = &sizes[bench_is_full(argument_count, arguments)];
    struct bench_samples samples;
    uint64_t hash = RUNNING_HASH_START;
    bench_samples_init(&samples, size->batch_count);
    for (size_t i = 0; i < sizeof payload; i++) {
        payload[i] = (uint8_t)(i * 37);
    }
    for (size_t i = 0; i < sizeof bench_payloads / sizeof bench_payloads[0]; i++) {
        for (size_t batch = 0; batch < size->batch_count; batch++) {
            uint64_t start_ns = bench_now_ns();
            for (size_t op = 0; op < BATCH_OPS; op++) {
                uint64_t payload_hash = running_hash_payload(payload + op, bench_payloads[i].bytes);
                hash = running_hash_add(hash, payload_hash);
            }
            bench_samples_add(&samples, (double)(bench_now_ns() - start_ns) / BATCH_OPS);
        }
        bench_samples_print(&samples, bench_payloads[i].name);
    }
    bench_print_checksum(hash);
    bench_samples_deinit(&samples);
    return 0;
}
