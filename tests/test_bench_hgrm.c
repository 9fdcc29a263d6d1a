#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tools/bench/bench_hgrm.h"

static void expect_text(const struct histogram *latency, const char *expected)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    assert_non_null(out);
    bench_hgrm_print(latency, out);
    assert_int_equal(fclose(out), 0);
    assert_string_equal(text, expected);
    free(text);
}

/* Percentiles go up by 10 to 50 %, by 5 to 75 %, by 2.5 to 87.5 %: five to each half. */
static void the_lines_are_those_of_hdr_percentiles_print(void **state)
{
    (void)state;
    static struct histogram latency;
    for (uint64_t i = 1; i <= 10; i++) {
        histogram_record(&latency, 10 * i);
    }
    expect_text(&latency, "       Value   Percentile   TotalCount 1/(1-Percentile)\n"
                          "\n"
                          "    0.000010     0.000000            1         1.00\n"
                          "    0.000010     0.100000            1         1.11\n"
                          "    0.000020     0.200000            2         1.25\n"
                          "    0.000030     0.300000            3         1.43\n"
                          "    0.000040     0.400000            4         1.67\n"
                          "    0.000050     0.500000            5         2.00\n"
                          "    0.000060     0.550000            6         2.22\n"
                          "    0.000060     0.600000            6         2.50\n"
                          "    0.000070     0.650000            7         2.86\n"
                          "    0.000070     0.700000            7         3.33\n"
                          "    0.000080     0.750000            8         4.00\n"
                          "    0.000080     0.775000            8         4.44\n"
                          "    0.000080     0.800000            8         5.00\n"
                          "    0.000090     0.825000            9         5.71\n"
                          "    0.000090     0.850000            9         6.67\n"
                          "    0.000090     0.875000            9         8.00\n"
                          "    0.000090     0.887500            9         8.89\n"
                          "    0.000090     0.900000            9        10.00\n"
                          "    0.000100     0.912500           10        11.43\n"
                          "    0.000100     1.000000           10          inf\n"
                          "#[Mean    =     0.000055, StdDeviation   =     0.000029]\n"
                          "#[Max     =     0.000100, Total count    =           10]\n"
                          "#[Buckets =           33, SubBuckets     =          256]\n");
}

/* 1 ms is counted in a bucket of 4096 ns up to 1 003 519; 12 ms is the maximum, which is exact. */
static void a_value_is_the_end_of_its_bucket_and_the_last_one_the_maximum(void **state)
{
    (void)state;
    static struct histogram latency;
    for (int i = 0; i < 3; i++) {
        histogram_record(&latency, 1000000);
    }
    histogram_record(&latency, 12000000);
    expect_text(&latency, "       Value   Percentile   TotalCount 1/(1-Percentile)\n"
                          "\n"
                          "    1.003519     0.000000            3         1.00\n"
                          "    1.003519     0.100000            3         1.11\n"
                          "    1.003519     0.200000            3         1.25\n"
                          "    1.003519     0.300000            3         1.43\n"
                          "    1.003519     0.400000            3         1.67\n"
                          "    1.003519     0.500000            3         2.00\n"
                          "    1.003519     0.550000            3         2.22\n"
                          "    1.003519     0.600000            3         2.50\n"
                          "    1.003519     0.650000            3         2.86\n"
                          "    1.003519     0.700000            3         3.33\n"
                          "    1.003519     0.750000            3         4.00\n"
                          "   12.000000     0.775000            4         4.44\n"
                          "   12.000000     1.000000            4          inf\n"
                          "#[Mean    =     3.750000, StdDeviation   =     4.773704]\n"
                          "#[Max     =    12.000000, Total count    =            4]\n"
                          "#[Buckets =           33, SubBuckets     =          256]\n");
}

static void nothing_measured_has_no_lines(void **state)
{
    (void)state;
    static struct histogram latency;
    expect_text(&latency, "       Value   Percentile   TotalCount 1/(1-Percentile)\n"
                          "\n"
                          "#[Mean    =            -, StdDeviation   =            -]\n"
                          "#[Max     =            -, Total count    =            0]\n"
                          "#[Buckets =           33, SubBuckets     =          256]\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_lines_are_those_of_hdr_percentiles_print),
        cmocka_unit_test(a_value_is_the_end_of_its_bucket_and_the_last_one_the_maximum),
        cmocka_unit_test(nothing_measured_has_no_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
