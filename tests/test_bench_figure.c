#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "tools/bench/bench_figure.h"

static void what_was_not_measured_is_a_dash(void **state)
{
    (void)state;
    assert_string_equal(bench_figure_real(1, NAN).text, "-");
    assert_string_equal(bench_figure_count(INFINITY).text, "-");
    assert_string_equal(bench_figure_time(NAN).text, "-");
    assert_string_equal(bench_figure_bytes(NAN).text, "-");
}

static void thousands_are_apart(void **state)
{
    (void)state;
    assert_string_equal(bench_figure_count(0).text, "0");
    assert_string_equal(bench_figure_count(999).text, "999");
    assert_string_equal(bench_figure_count(1000).text, "1 000");
    assert_string_equal(bench_figure_count(2997000).text, "2 997 000");
    assert_string_equal(bench_figure_count(12345.6).text, "12 346");
    assert_string_equal(bench_figure_count(1e18).text, "1 000 000 000 000 000 000");
}

static void times_have_three_digits_and_a_unit(void **state)
{
    (void)state;
    static const struct {
        double ns;
        const char *text;
    } times[] = {
        {0, "0ns"},          {999, "999ns"},        {1000, "1.00us"},    {14500, "14.5us"},
        {145000, "145us"},   {999600, "1000us"},    {1234567, "1.23ms"}, {9996000, "10.0ms"},
        {99960000, "100ms"}, {1500000000, "1.50s"}, {61e9, "61.0s"},     {3600e9, "3600s"},
    };
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        assert_string_equal(bench_figure_time(times[i].ns).text, times[i].text);
    }
}

static void bytes_have_a_unit(void **state)
{
    (void)state;
    assert_string_equal(bench_figure_bytes(60).text, "60 B");
    assert_string_equal(bench_figure_bytes(1500).text, "1.50 kB");
    assert_string_equal(bench_figure_bytes(43.1e6).text, "43.1 MB");
    assert_string_equal(bench_figure_bytes(1.3e9).text, "1.30 GB");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_not_measured_is_a_dash),
        cmocka_unit_test(thousands_are_apart),
        cmocka_unit_test(times_have_three_digits_and_a_unit),
        cmocka_unit_test(bytes_have_a_unit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
