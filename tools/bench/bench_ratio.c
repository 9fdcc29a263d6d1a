#include "tools/bench/bench_ratio.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>

#include "codec/base/check.h"

#define CONFIDENCE 0.95     /* that is wanted */
#define CONFIDENCE_MIN 0.89 /* 3 runs against 3 have 0.9: an interval with less proves nothing */

static int bench_ratio_compare(const void *left, const void *right)
{
    double a = *(const double *)left;
    double b = *(const double *)right;
    return a < b ? -1 : a > b;
}

/* Of sorted values. */
static double bench_ratio_median(const double *values, uint32_t count)
{
    return count == 0 ? NAN : (values[(count - 1) / 2] + values[count / 2]) / 2.0;
}

/* How many of the orders of a_count and b_count different values have u pairs in which b is less,
 * for each u up to their number: ways_out[u]. Returns how many orders there are. */
static double bench_ratio_orders(uint32_t a_count, uint32_t b_count, double *ways_out, double *work)
{
    uint32_t pairs = a_count * b_count;
    double sum = 0.0;
    /* work[j][u]: the orders of i and j values. The last value is an a, above j, or a b. */
    for (uint32_t i = 0; i <= a_count; i++) {
        for (uint32_t j = 0; j <= b_count; j++) {
            double *row = work + j * (pairs + 1);
            for (uint32_t u = pairs + 1; u-- > 0;) {
                double with_a = i > 0 && u >= j ? row[u - j] : 0.0;
                double with_b = j > 0 ? row[(int64_t)u - (int64_t)(pairs + 1)] : 0.0;
                row[u] = i == 0 ? (double)(u == 0) : j == 0 ? (double)(u == 0) : with_a + with_b;
            }
        }
    }
    for (uint32_t u = 0; u <= pairs; u++) {
        ways_out[u] = work[b_count * (pairs + 1) + u];
        sum += ways_out[u];
    }
    return sum;
}

/* How many of the sorted pairs at each end are outside of the interval: the most at which it still
 * has the confidence wanted, and at least one. */
static uint32_t bench_ratio_outside(const double *ways, double orders, uint32_t pairs,
                                    double *confidence_out)
{
    double tail = ways[0] / orders;
    uint32_t outside = 0; /* beside the first */
    while (outside < pairs / 2 && 1.0 - 2.0 * (tail + ways[outside + 1] / orders) >= CONFIDENCE) {
        tail += ways[++outside] / orders;
    }
    *confidence_out = 1.0 - 2.0 * tail;
    return outside;
}

static void bench_ratio_interval(struct bench_ratio *ratio, double *logs, double *ways,
                                 double *work, uint32_t a_count, uint32_t b_count)
{
    uint32_t pairs = a_count * b_count;
    double orders = bench_ratio_orders(a_count, b_count, ways, work);
    qsort(logs, pairs, sizeof *logs, bench_ratio_compare);
    ratio->ratio = exp(bench_ratio_median(logs, pairs));
    uint32_t outside = bench_ratio_outside(ways, orders, pairs, &ratio->confidence);
    if (ratio->confidence >= CONFIDENCE_MIN) {
        ratio->low = exp(logs[outside]);
        ratio->high = exp(logs[pairs - 1 - outside]);
    }
}

int bench_ratio_find(struct bench_ratio *ratio_out, double *a, uint32_t a_count, double *b,
                     uint32_t b_count)
{
    assert_always(a_count <= BENCH_RATIO_RUNS_MAX);
    assert_always(b_count <= BENCH_RATIO_RUNS_MAX);
    qsort(a, a_count, sizeof *a, bench_ratio_compare);
    qsort(b, b_count, sizeof *b, bench_ratio_compare);
    *ratio_out = (struct bench_ratio){
        .median_a = bench_ratio_median(a, a_count),
        .median_b = bench_ratio_median(b, b_count),
        .ratio = NAN,
        .low = NAN,
        .high = NAN,
    };
    if (a_count == 0 || b_count == 0 || !(a[0] > 0.0) || !(b[0] > 0.0)) {
        return 0;
    }
    size_t pairs = (size_t)a_count * b_count;
    double *logs = malloc(pairs * sizeof *logs);
    double *ways = malloc((pairs + 1) * sizeof *ways);
    double *work = calloc((pairs + 1) * (b_count + 1), sizeof *work);
    int error = logs == NULL || ways == NULL || work == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < pairs && error == 0; i++) {
        logs[i] = log(b[i / a_count] / a[i % a_count]);
    }
    if (error == 0) {
        bench_ratio_interval(ratio_out, logs, ways, work, a_count, b_count);
    }
    free(logs);
    free(ways);
    free(work);
    return error;
}
