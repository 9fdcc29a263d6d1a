/*
 * bench_samples: times of repeated work, their percentiles, and the output of a benchmark.
 *
 * Owner    The benchmark: init before, deinit after. Units: nanoseconds.
 *
 * With RINGCAST_BENCH_JSON=1 in the environment, standard output has one JSON object a line and
 * nothing else (bench/micro.py reads it). Names of cases are constant and need no escapes.
 */
#ifndef RINGCAST_BENCH_BENCH_SAMPLES_H
#define RINGCAST_BENCH_BENCH_SAMPLES_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"

struct bench_samples {
    double *values;
    size_t count;
    size_t capacity;
};

/* The full size was asked for; otherwise the small one is run. */
static inline bool bench_is_full(int argument_count, char **arguments)
{
    return argument_count > 1 && strcmp(arguments[1], "full") == 0;
}

static inline bool bench_is_json(void)
{
    const char *value = getenv("RINGCAST_BENCH_JSON");
    return value != NULL && strcmp(value, "1") == 0;
}

/* The program's name without bench_. */
static inline const char *bench_name(void)
{
    static const char prefix[] = "bench_";
    const char *name = program_invocation_short_name;
    return strncmp(name, prefix, sizeof prefix - 1) == 0 ? name + sizeof prefix - 1 : name;
}

/* So that no work is optimised away. */
static inline void bench_print_checksum(uint64_t checksum)
{
    fprintf(bench_is_json() ? stderr : stdout, "checksum %llu\n", (unsigned long long)checksum);
}

/* Prints a warning that something cannot be measured here, and why. */
static inline void bench_print_skipped(const char *why)
{
    if (bench_is_json()) {
        fprintf(stderr, "SKIPPED: %s\n", why);
        printf("{\"bench\": \"%s\", \"skipped\": true}\n", bench_name());
    } else {
        printf("SKIPPED: %s\n", why);
    }
}

static inline void bench_samples_init(struct bench_samples *samples, size_t capacity)
{
    *samples =
        (struct bench_samples){.values = calloc(capacity, sizeof(double)), .capacity = capacity};
    assert_always(samples->values != NULL);
}

static inline void bench_samples_deinit(struct bench_samples *samples)
{
    free(samples->values);
}

static inline uint64_t bench_now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static inline void bench_samples_add(struct bench_samples *samples, double value)
{
    assert_always(samples->count < samples->capacity);
    samples->values[samples->count++] = value;
}

static inline int bench_samples_compare(const void *left, const void *right)
{
    double difference = *(const double *)left - *(const double *)right;
    return difference < 0 ? -1 : difference > 0;
}

/* Sorts the samples, prints one line of them and forgets them. */
static inline void bench_samples_print(struct bench_samples *samples, const char *name)
{
    assert_always(samples->count > 0);
    qsort(samples->values, samples->count, sizeof(double), bench_samples_compare);
    size_t last = samples->count - 1;
    double p50 = samples->values[last / 2];
    double p99 = samples->values[last * 99 / 100];
    double p999 = samples->values[last * 999 / 1000];
    double max = samples->values[last];
    if (bench_is_json()) {
        printf("{\"bench\": \"%s\", \"case\": \"%s\", \"p50_ns\": %.1f, \"p99_ns\": %.1f, "
               "\"p999_ns\": %.1f, \"max_ns\": %.1f, \"samples\": %zu}\n",
               bench_name(), name, p50, p99, p999, max, samples->count);
    } else {
        printf("%-48s p50 %8.1f  p99 %8.1f  p99.9 %8.1f  max %8.1f ns\n", name, p50, p99, p999,
               max);
    }
    samples->count = 0;
}

#endif
