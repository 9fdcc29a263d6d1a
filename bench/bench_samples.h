/*
 * bench_samples: times of repeated work, and their percentiles.
 *
 * Owner    The benchmark: init before, deinit after. Units: nanoseconds.
 */
#ifndef RINGCAST_BENCH_BENCH_SAMPLES_H
#define RINGCAST_BENCH_BENCH_SAMPLES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

struct bench_samples {
    double *values;
    size_t count;
    size_t capacity;
};

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
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
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

/* Sorts the samples, then prints one line of them. */
static inline void bench_samples_print(struct bench_samples *samples, const char *name)
{
    assert_always(samples->count > 0);
    qsort(samples->values, samples->count, sizeof(double), bench_samples_compare);
    size_t last = samples->count - 1;
    printf("%-28s p50 %8.1f  p99 %8.1f  p99.9 %8.1f  max %8.1f ns\n", name,
           samples->values[last / 2], samples->values[last * 99 / 100],
           samples->values[last * 999 / 1000], samples->values[last]);
    samples->count = 0;
}

#endif
