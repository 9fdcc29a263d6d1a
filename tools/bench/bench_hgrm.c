#include "tools/bench/bench_hgrm.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>

#include "codec/base/units.h"

#define TICKS_PER_HALF 5 /* lines from a percentile to half of what is above it */
/* What an HdrHistogram with these buckets has: those of 128 values but the first, of 256. */
#define HDR_BUCKETS (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS)
#define HDR_SUB_BUCKETS (2 * HISTOGRAM_SUB_COUNT)

static void bench_hgrm_line(FILE *out, uint64_t value_ns, double percent, uint64_t count)
{
    fprintf(out, "%12.6f %12.6f %12" PRIu64 " ", (double)value_ns / (double)NS_PER_MS,
            percent / 100.0, count);
    if (percent < 100.0) {
        fprintf(out, "%12.2f\n", 1.0 / (1.0 - percent / 100.0));
    } else {
        fprintf(out, "%12s\n", "inf");
    }
}

/* The percentile of the line behind that of percent. */
static double bench_hgrm_next(double percent)
{
    double halvings = floor(log2(100.0 / (100.0 - percent))) + 1.0;
    return percent + 100.0 / (TICKS_PER_HALF * exp2(halvings));
}

static void bench_hgrm_lines(const struct histogram *latency, FILE *out)
{
    double percent = 0.0;
    uint64_t seen = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS && seen < latency->count; i++) {
        seen += latency->buckets[i];
        double reached = 100.0 * (double)seen / (double)latency->count;
        if (latency->buckets[i] == 0) {
            continue;
        }
        /* The last bucket has one line, and then that of 100 %. */
        for (bool is_first = true; percent <= reached && (is_first || seen < latency->count);
             is_first = false) {
            bench_hgrm_line(out, histogram_bucket_top(latency, i), percent, seen);
            percent = bench_hgrm_next(percent);
        }
    }
    bench_hgrm_line(out, latency->max_ns, 100.0, latency->count);
}

static void bench_hgrm_figure(char text[32], uint64_t count, double value_ns)
{
    if (count > 0) {
        snprintf(text, 32, "%.6f", value_ns / (double)NS_PER_MS);
    } else {
        snprintf(text, 32, "-");
    }
}

void bench_hgrm_print(const struct histogram *latency, FILE *out)
{
    char mean[32], deviation[32], max[32];
    fprintf(out, "%12s %12s %12s %12s\n\n", "Value", "Percentile", "TotalCount",
            "1/(1-Percentile)");
    if (latency->count > 0) {
        bench_hgrm_lines(latency, out);
    }
    bench_hgrm_figure(mean, latency->count, histogram_mean(latency));
    bench_hgrm_figure(deviation, latency->count, histogram_deviation(latency));
    bench_hgrm_figure(max, latency->count, (double)latency->max_ns);
    fprintf(out,
            "#[Mean    = %12s, StdDeviation   = %12s]\n"
            "#[Max     = %12s, Total count    = %12" PRIu64 "]\n"
            "#[Buckets = %12u, SubBuckets     = %12u]\n",
            mean, deviation, max, latency->count, HDR_BUCKETS, HDR_SUB_BUCKETS);
}
