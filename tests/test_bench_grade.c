#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "codec/base/units.h"
#include "tools/bench/bench_grade.h"

#define MS ((double)NS_PER_MS)

static void expect(const struct bench_grade_figures *figures, const char *name, const char *reason)
{
    struct bench_grade grade = bench_grade_find(figures);
    assert_string_equal(grade.name, name);
    assert_string_equal(grade.reason, reason);
}

static void each_limit_itself_is_within_its_grade(void **state)
{
    (void)state;
    expect(&(struct bench_grade_figures){20000, 5 * MS, 5 * MS}, "S", "no grade is better");
    expect(&(struct bench_grade_figures){2000, 50 * MS, 50 * MS}, "A+",
           "2 000 requests/s, S needs 20 000");
    expect(&(struct bench_grade_figures){2000, 500 * MS, 100 * MS}, "A",
           "mean response 500ms, A+ needs 50.0ms");
    expect(&(struct bench_grade_figures){750, 1200 * MS, 1000 * MS}, "B",
           "750 requests/s, A needs 2 000");
}

static void the_worst_figure_decides_and_is_named(void **state)
{
    (void)state;
    expect(&(struct bench_grade_figures){90000, 1 * MS, 60 * MS}, "A",
           "p99 of latency 60.0ms, A+ needs 50.0ms");
    expect(&(struct bench_grade_figures){90000, 1300 * MS, 1 * MS}, "C",
           "mean response 1.30s, B needs 1.20s");
    expect(&(struct bench_grade_figures){749, 1 * MS, 1 * MS}, "C", "749 requests/s, B needs 750");
}

static void what_was_not_measured_misses_every_limit(void **state)
{
    (void)state;
    expect(&(struct bench_grade_figures){NAN, 1 * MS, 1 * MS}, "C", "- requests/s, B needs 750");
    expect(&(struct bench_grade_figures){90000, 1 * MS, NAN}, "C",
           "p99 of latency -, B needs 1.00s");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_limit_itself_is_within_its_grade),
        cmocka_unit_test(the_worst_figure_decides_and_is_named),
        cmocka_unit_test(what_was_not_measured_misses_every_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
