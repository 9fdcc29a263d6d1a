#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "feeds/time_text.h"

static void every_day_has_the_seconds_that_timegm_says(void **state)
{
    (void)state;
    char text[40];
    for (time_t seconds = 0; seconds < INT64_C(9200000000); seconds += 86400 * 7 + 12345) {
        struct tm parts;
        uint64_t ns = 0;
        gmtime_r(&seconds, &parts);
        size_t bytes = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
        assert_true(time_text_parse_iso(text, bytes, &ns));
        assert_true(ns == (uint64_t)seconds * UINT64_C(1000000000));
    }
}

static void leap_days_are_known(void **state)
{
    (void)state;
    uint64_t ns;
    assert_true(time_text_parse_iso("2024-02-29T00:00:00Z", 20, &ns));
    assert_true(time_text_parse_iso("2000-02-29T00:00:00Z", 20, &ns));
    assert_false(time_text_parse_iso("2100-02-29T00:00:00Z", 20, &ns));
    assert_false(time_text_parse_iso("2023-02-29T00:00:00Z", 20, &ns));
    assert_false(time_text_parse_iso("2023-04-31T00:00:00Z", 20, &ns));
    assert_false(time_text_parse_iso("2023-00-01T00:00:00Z", 20, &ns));
    assert_false(time_text_parse_iso("2023-01-00T00:00:00Z", 20, &ns));
}

static void a_leap_second_is_the_first_of_the_next_minute(void **state)
{
    (void)state;
    uint64_t leap = 0;
    uint64_t next = 1;
    assert_true(time_text_parse_iso("2016-12-31T23:59:60Z", 20, &leap));
    assert_true(time_text_parse_iso("2017-01-01T00:00:00Z", 20, &next));
    assert_true(leap == next);
    assert_false(time_text_parse_iso("2016-12-31T23:59:61Z", 20, &leap));
}

static void every_cut_of_a_time_is_refused(void **state)
{
    (void)state;
    static const char text[] = "2021-04-17T16:43:37.075687+05:30";
    uint64_t ns = 7;
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        char exact[sizeof text];
        memcpy(exact, text, i);
        assert_false(time_text_parse_iso(exact, i, &ns));
    }
    assert_int_equal(ns, 7);
    assert_true(time_text_parse_iso(text, sizeof text - 1, &ns));
}

static void seconds_keep_their_fraction(void **state)
{
    (void)state;
    uint64_t ns;
    assert_true(time_text_parse_seconds("1618677816.8434298", 18, &ns));
    assert_true(ns == UINT64_C(1618677816843429800));
    assert_true(time_text_parse_seconds("0", 1, &ns));
    assert_true(ns == 0);
    assert_true(time_text_parse_seconds("9223372035.9999999999", 21, &ns));
    assert_true(ns == UINT64_C(9223372035999999999));
    assert_false(time_text_parse_seconds("9223372037", 10, &ns));
    assert_false(time_text_parse_seconds("1.", 2, &ns));
    assert_false(time_text_parse_seconds(".5", 2, &ns));
    assert_false(time_text_parse_seconds("1.5x", 4, &ns));
    assert_false(time_text_parse_seconds("", 0, &ns));
    assert_false(time_text_parse_ns("9223372036854775808", 19, &ns));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_has_the_seconds_that_timegm_says),
        cmocka_unit_test(leap_days_are_known),
        cmocka_unit_test(a_leap_second_is_the_first_of_the_next_minute),
        cmocka_unit_test(every_cut_of_a_time_is_refused),
        cmocka_unit_test(seconds_keep_their_fraction),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
