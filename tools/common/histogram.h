/*
 * histogram: counts of durations in log-linear buckets, for percentiles of any number of values.
 *
 * Values under 128 are exact; above, a bucket is 1/128 of its power of two wide (0.8 %).
 *
 * Owner    The caller. Threads: one writer each; merge when the writers have stopped.
 * Memory   36 KiB inside the struct, nothing else.
 * Units    Nanoseconds, up to 2^40 (18 minutes); longer durations count as 2^40.
 */
#ifndef RINGCAST_TOOLS_HISTOGRAM_H
#define RINGCAST_TOOLS_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS 7
#define HISTOGRAM_SUB_COUNT (1u << HISTOGRAM_SUB_BITS)
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_BUCKETS ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_COUNT)

struct histogram {
    uint64_t count;
    uint64_t max_ns; /* exact */
    uint64_t sum_ns;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

static inline uint32_t histogram_bucket(uint64_t value_ns)
{
    if (value_ns < HISTOGRAM_SUB_COUNT) {
        return (uint32_t)value_ns;
    }
    if (value_ns >> HISTOGRAM_VALUE_BITS != 0) {
        return HISTOGRAM_BUCKETS - 1;
    }
    uint32_t shift = 63 - (uint32_t)__builtin_clzll(value_ns) - HISTOGRAM_SUB_BITS;
    return shift * HISTOGRAM_SUB_COUNT + (uint32_t)(value_ns >> shift);
}

static inline void histogram_record(struct histogram *histogram, uint64_t value_ns)
{
    histogram->buckets[histogram_bucket(value_ns)]++;
    histogram->count++;
    histogram->sum_ns += value_ns;
    if (value_ns > histogram->max_ns) {
        histogram->max_ns = value_ns;
    }
}

void histogram_reset(struct histogram *histogram);
void histogram_merge(struct histogram *into, const struct histogram *from);

/* The smallest value that at least percent (0 to 100) of the values do not exceed, as the upper
 * end of its bucket, never above max_ns; 0 without values. */
uint64_t histogram_percentile(const struct histogram *histogram, double percent);

/* The upper end of a bucket, never above max_ns. */
uint64_t histogram_bucket_top(const struct histogram *histogram, uint32_t bucket);

/* How many values are above the bucket of value_ns. */
uint64_t histogram_above(const struct histogram *histogram, uint64_t value_ns);

/* NAN without values. For the deviation, each value is the middle of its bucket. */
double histogram_mean(const struct histogram *histogram);
double histogram_deviation(const struct histogram *histogram);

#endif
