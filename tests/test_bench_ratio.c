#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tools/bench/bench_ratio.h"

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))
#define FIND(a, b) find(a, COUNT(a), b, COUNT(b))

static struct bench_ratio ratio;

static void find(double *a, uint32_t a_count, double *b, uint32_t b_count)
{
    assert_int_equal(bench_ratio_find(&ratio, a, a_count, b, b_count), 0);
}

static void expect_near(double value, double expected)
{
    if (!(fabs(value - expected) < 1e-9 * fabs(expected) + 1e-12)) {
        fail_msg("%.12g is not %.12g", value, expected);
    }
}

/* 3 and 3: the only interval is all of it, which misses with 2 of 20 orders. */
static void three_runs_have_their_whole_range_with_90_percent(void **state)
{
    (void)state;
    double a[] = {3, 1, 2};
    double b[] = {20, 10, 40};
    FIND(a, b);
    expect_near(ratio.median_a, 2);
    expect_near(ratio.median_b, 20);
    expect_near(ratio.confidence, 0.9);
    expect_near(ratio.low, 10.0 / 3.0);
    expect_near(ratio.high, 40.0);
    /* 10/3 5 20/3 10 10 40/3 20 20 40: the one in the middle */
    expect_near(ratio.ratio, 10);
}

/* 5 and 5: of 252 orders u = 0, 1 and 2 have 1, 1 and 2; with 3 and 3 more it would be 7 of 252. */
static void five_runs_leave_two_pairs_out_at_each_end(void **state)
{
    (void)state;
    double a[] = {1, 1, 1, 1, 1};
    double b[] = {2, 3, 5, 7, 11};
    FIND(a, b);
    expect_near(ratio.confidence, 1.0 - 2.0 * 4.0 / 252.0);
    expect_near(ratio.ratio, 5);
    expect_near(ratio.low, 2);
    expect_near(ratio.high, 11);
}

/* The tables of Mann and Whitney: with 10 and 10 U is 23 at most, so 23 pairs are left out. */
static void ten_runs_have_the_critical_value_of_the_tables(void **state)
{
    (void)state;
    double a[10], b[10];
    for (int i = 0; i < 10; i++) {
        a[i] = 1;
        b[i] = 1 + i;
    }
    FIND(a, b);
    assert_true(ratio.confidence >= 0.95);
    assert_true(ratio.confidence < 0.96);
    expect_near(ratio.low, 3); /* of ten pairs with each value, the 24th */
    expect_near(ratio.high, 8);
}

static void too_few_runs_have_no_interval(void **state)
{
    (void)state;
    double a[] = {2, 4};
    double b[] = {3};
    double two[] = {3, 5};
    FIND(a, b);
    expect_near(ratio.median_a, 3);
    assert_true(isnan(ratio.low));
    assert_true(isnan(ratio.high));
    FIND(a, two);
    assert_true(isnan(ratio.low)); /* 2 of 6 orders miss */
    double one[] = {2};
    FIND(one, b);
    expect_near(ratio.ratio, 1.5);
    assert_true(isnan(ratio.high));
}

static void what_is_not_above_0_has_no_ratio(void **state)
{
    (void)state;
    double a[] = {0, 1, 2};
    double b[] = {1, 2, 3};
    FIND(a, b);
    expect_near(ratio.median_a, 1);
    assert_true(isnan(ratio.ratio));
    find(a, 0, b, 3);
    assert_true(isnan(ratio.median_a));
    assert_true(isnan(ratio.ratio));
}

static void many_runs_are_counted_exactly(void **state)
{
    (void)state;
    static double a[BENCH_RATIO_RUNS_MAX], b[BENCH_RATIO_RUNS_MAX];
    for (int i = 0; i < BENCH_RATIO_RUNS_MAX; i++) {
        a[i] = 100 + i;
        b[i] = 200 + 2 * i;
    }
    FIND(a, b);
    expect_near(ratio.ratio, 2);
    assert_true(ratio.confidence >= 0.95);
    assert_true(ratio.confidence < 0.951);
    assert_true(ratio.low < 2);
    assert_true(ratio.high > 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_runs_have_their_whole_range_with_90_percent),
        cmocka_unit_test(five_runs_leave_two_pairs_out_at_each_end),
        cmocka_unit_test(ten_runs_have_the_critical_value_of_the_tables),
        cmocka_unit_test(too_few_runs_have_no_interval),
        cmocka_unit_test(what_is_not_above_0_has_no_ratio),
        cmocka_unit_test(many_runs_are_counted_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
