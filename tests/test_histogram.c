#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tools/common/histogram.h"

static struct histogram one;
static struct histogram other;

static void an_empty_histogram_has_percentile_0(void **state)
{
    (void)state;
    histogram_reset(&one);
    assert_int_equal(histogram_percentile(&one, 50.0), 0);
    assert_int_equal(histogram_percentile(&one, 100.0), 0);
}

static void values_under_128_are_exact(void **state)
{
    (void)state;
    histogram_reset(&one);
    for (uint64_t value_ns = 1; value_ns <= 100; value_ns++) {
        histogram_record(&one, value_ns);
    }
    assert_int_equal(histogram_percentile(&one, 50.0), 50);
    assert_int_equal(histogram_percentile(&one, 99.0), 99);
    assert_int_equal(histogram_percentile(&one, 100.0), 100);
    assert_int_equal(one.sum_ns, 5050);
}

static void a_percentile_is_never_low_and_at_most_1_part_in_128_high(void **state)
{
    (void)state;
    for (uint64_t value_ns = 1; value_ns < UINT64_C(1) << HISTOGRAM_VALUE_BITS;
         value_ns += value_ns / 3 + 1) {
        histogram_reset(&one);
        histogram_record(&one, value_ns);
        histogram_record(&one, UINT64_C(1) << 39); /* so that max does not cut it */
        if (value_ns >= UINT64_C(1) << 39) {
            continue;
        }
        uint64_t median_ns = histogram_percentile(&one, 50.0);
        assert_true(median_ns >= value_ns);
        assert_true(median_ns <= value_ns + value_ns / HISTOGRAM_SUB_COUNT);
    }
}

static void buckets_never_decrease_with_the_value(void **state)
{
    (void)state;
    uint32_t last = 0;
    for (uint64_t value_ns = 0; value_ns < 1000000; value_ns++) {
        uint32_t bucket = histogram_bucket(value_ns);
        assert_true(bucket == last || bucket == last + 1);
        assert_true(bucket < HISTOGRAM_BUCKETS);
        last = bucket;
    }
}

static void a_value_beyond_the_range_counts_and_max_stays_exact(void **state)
{
    (void)state;
    histogram_reset(&one);
    histogram_record(&one, UINT64_MAX / 2);
    assert_int_equal(one.count, 1);
    assert_true(histogram_percentile(&one, 50.0) == UINT64_MAX / 2);
}

static void merging_is_the_same_as_recording_in_one(void **state)
{
    (void)state;
    static struct histogram both;
    histogram_reset(&one);
    histogram_reset(&other);
    histogram_reset(&both);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t value_ns = i * i;
        histogram_record(i % 3 == 0 ? &one : &other, value_ns);
        histogram_record(&both, value_ns);
    }
    histogram_merge(&one, &other);
    assert_memory_equal(&one, &both, sizeof one);
}

static void mean_and_deviation_are_those_of_the_values(void **state)
{
    (void)state;
    histogram_reset(&one);
    assert_true(isnan(histogram_mean(&one)));
    assert_true(isnan(histogram_deviation(&one)));
    for (uint64_t i = 0; i < 100; i++) {
        histogram_record(&one, i % 2 == 0 ? 20 : 100);
    }
    assert_true(histogram_mean(&one) == 60.0);
    assert_true(histogram_deviation(&one) == 40.0);
    assert_int_equal(histogram_above(&one, 20), 50);
    assert_int_equal(histogram_above(&one, 100), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        histogram_record(&one, 5000000);
    }
    assert_true(fabs(histogram_deviation(&one) - 1437400.0) < 14374.0);
    assert_int_equal(histogram_above(&one, 99), 1050);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_histogram_has_percentile_0),
        cmocka_unit_test(values_under_128_are_exact),
        cmocka_unit_test(a_percentile_is_never_low_and_at_most_1_part_in_128_high),
        cmocka_unit_test(buckets_never_decrease_with_the_value),
        cmocka_unit_test(a_value_beyond_the_range_counts_and_max_stays_exact),
        cmocka_unit_test(merging_is_the_same_as_recording_in_one),
        cmocka_unit_test(mean_and_deviation_are_those_of_the_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
