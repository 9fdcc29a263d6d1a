/*
 * bench_ratio: how many times as much B measured as A, and how sure that is, from a few runs each.
 *
 * The ratio is the Hodges-Lehmann estimate of the logarithms, and its interval that of the
 * Mann-Whitney test with its exact distribution: no assumption is made on how figures scatter.
 *
 * Owner    The caller.
 * Threads  Pure functions.
 * Memory   Allocates while it works.
 * Errors   -ENOMEM.
 * Source   Hollander, Wolfe, Chicken: Nonparametric Statistical Methods, 3rd ed., 4.1 to 4.3.
 */
#ifndef RINGCAST_TOOLS_BENCH_RATIO_H
#define RINGCAST_TOOLS_BENCH_RATIO_H

#include <stdint.h>

#define BENCH_RATIO_RUNS_MAX 64

struct bench_ratio {
    double median_a, median_b; /* NAN: there are no values */
    double ratio;              /* B/A; NAN: a value is not above 0 */
    double low, high;          /* the interval; NAN: there are too few values for one */
    double confidence;         /* that it covers the true ratio, 0 to 1 */
};

/* At most BENCH_RATIO_RUNS_MAX values each, in any order; they are sorted. */
int bench_ratio_find(struct bench_ratio *ratio_out, double *a, uint32_t a_count, double *b,
                     uint32_t b_count);

#endif
