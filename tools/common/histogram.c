#include "tools/common/histogram.h"

#include <math.h>
#include <string.h>

#include "codec/base/check.h"

void histogram_reset(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += from->buckets[i];
    }
    into->count += from->count;
    into->sum_ns += from->sum_ns;
    into->max_ns = from->max_ns > into->max_ns ? from->max_ns : into->max_ns;
}

static uint64_t histogram_bucket_end(uint32_t bucket)
{
    if (bucket < 2 * HISTOGRAM_SUB_COUNT) {
        return bucket;
    }
    uint32_t shift = bucket / HISTOGRAM_SUB_COUNT - 1;
    uint64_t first = (uint64_t)(bucket - shift * HISTOGRAM_SUB_COUNT) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

uint64_t histogram_bucket_top(const struct histogram *histogram, uint32_t bucket)
{
    uint64_t end = histogram_bucket_end(bucket);
    return end < histogram->max_ns && bucket < HISTOGRAM_BUCKETS - 1 ? end : histogram->max_ns;
}

uint64_t histogram_percentile(const struct histogram *histogram, double percent)
{
    assert_always(percent >= 0.0);
    assert_always(percent <= 100.0);
    double wanted = (double)histogram->count * percent / 100.0;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->buckets[i];
        if (seen > 0 && (double)seen >= wanted) {
            return histogram_bucket_top(histogram, i);
        }
    }
    return histogram->max_ns;
}

uint64_t histogram_above(const struct histogram *histogram, uint64_t value_ns)
{
    uint64_t above = 0;
    for (uint32_t i = histogram_bucket(value_ns) + 1; i < HISTOGRAM_BUCKETS; i++) {
        above += histogram->buckets[i];
    }
    return above;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count > 0 ? (double)histogram->sum_ns / (double)histogram->count : NAN;
}

double histogram_deviation(const struct histogram *histogram)
{
    double mean = histogram_mean(histogram);
    double sum = 0.0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        if (histogram->buckets[i] > 0) {
            double begin = i == 0 ? 0.0 : (double)histogram_bucket_end(i - 1) + 1.0;
            double away = (begin + (double)histogram_bucket_end(i)) / 2.0 - mean;
            sum += away * away * (double)histogram->buckets[i];
        }
    }
    return histogram->count > 0 ? sqrt(sum / (double)histogram->count) : NAN;
}
