#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "codec/time_text.h"

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
        if (i != sizeof text - sizeof ":30") { /* +05 is a zone. */
            assert_false(time_text_parse_iso(exact, i, &ns));
        }
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
}

/* The same number has the same time, however it is written. */
static void numbers_tell_their_unit_by_their_value(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1700000000", UINT64_C(1700000000000000000)},
        {"1700000000.0", UINT64_C(1700000000000000000)},
        {"1.7e9", UINT64_C(1700000000000000000)},
        {"1.7E+09", UINT64_C(1700000000000000000)},
        {"0.17e10", UINT64_C(1700000000000000000)},
        {"0.0017e+12", UINT64_C(1700000000000000000)},
        {"17000000000e-1", UINT64_C(1700000000000000000)},
        {"0001700000000", UINT64_C(1700000000000000000)},
        {"1.70000000012345678e9", UINT64_C(1700000000123456780)},
        {"1700000000.1234567891", UINT64_C(1700000000123456789)},
        {"1700000000123.4", UINT64_C(1700000000123400000)},
        {"1.700000000123e12", UINT64_C(1700000000123000000)},
        {"1700000000123456", UINT64_C(1700000000123456000)},
        {"1.700000000123456e+15", UINT64_C(1700000000123456000)},
        {"1700000000123456789", UINT64_C(1700000000123456789)},
        {"1700000000123456789.7", UINT64_C(1700000000123456789)},
        {"1.7e+18", UINT64_C(1700000000000000000)},
        {"9.223372036854775807e18", INT64_MAX},
        {"0", 0},
        {"0.000e5", 0},
    };
    static const char *const refused[] = {
        "1.7e8",         "1.7e10",           "1.7e19",  "9.3e18",      "9300000000",
        "9300000000000", "9300000000000000", "1.7e",    "1.7e+",       "1.7e9x",
        "1.7.e9",        "1.7e99999",        "e9",      ".17e10",      "+1.7e9",
        "-1.7e9",        "1.7 e9",           "1.7e9.0", "17000000000", "",
        "NaN",
    };
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!time_text_parse(good[i].text, strlen(good[i].text), &ns) || ns != good[i].ns) {
            fail_msg("%s", good[i].text);
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        ns = 7;
        if (time_text_parse(refused[i], strlen(refused[i]), &ns) || ns != 7) {
            fail_msg("taken: %s", refused[i]);
        }
    }
}

static void a_zone_is_written_in_several_ways_and_never_guessed(void **state)
{
    (void)state;
    static const char *const good[] = {
        "2023-11-14T22:13:20Z",
        "2023-11-14 22:13:20Z",
        "2023-11-14 22:13:20+00:00",
        "2023-11-14 22:13:20 UTC",
        "2023-11-14 22:13:20.000UTC",
        "2023-11-14 22:13:20+00",
        "2023-11-14 22:13:20 +0000",
        "2023-11-15 06:13:20+08",
        "2023-11-14t22:13:20.0000000000z",
    };
    static const char *const refused[] = {
        "2023-11-14 22:13:20",     "2023-11-14T22:13:20.123",  "2023-11-14 22:13:20 ",
        "2023-11-14 22:13:20+0",   "2023-11-14 22:13:20  UTC", "2023-11-14 22:13:20 CET",
        "2023-11-14 22:13:20+08:", "2023-11-14 22:13:20 UTC1", "2023-11-14",
    };
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!time_text_parse_iso(good[i], strlen(good[i]), &ns) ||
            ns != UINT64_C(1700000000000000000)) {
            fail_msg("%s", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        assert_false(time_text_parse_iso(refused[i], strlen(refused[i]), &ns));
    }
}

/* Go and .NET begin to count at the year 1: what has no time has that one. */
static void the_first_moment_of_the_year_1_is_none(void **state)
{
    (void)state;
    static const char *const none[] = {
        "0001-01-01T00:00:00Z",
        "0001-01-01 00:00:00.0000000 +00:00",
        "0001-01-01T00:00:00.000000Z",
    };
    static const char *const refused[] = {
        "0001-01-01T00:00:00",   "0001-01-01T00:00:01Z",      "0001-01-01T00:00:00.5Z",
        "0001-01-02T00:00:00Z",  "0001-01-01T00:00:00+01:00", "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00.Z", "1969-12-31T23:59:59Z",
    };
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++) {
        uint64_t ns = 7;
        assert_true(time_text_parse_iso(none[i], strlen(none[i]), &ns));
        assert_true(ns == 0);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        uint64_t ns = 7;
        assert_false(time_text_parse_iso(refused[i], strlen(refused[i]), &ns));
        assert_true(ns == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_day_has_the_seconds_that_timegm_says),
        cmocka_unit_test(leap_days_are_known),
        cmocka_unit_test(a_leap_second_is_the_first_of_the_next_minute),
        cmocka_unit_test(every_cut_of_a_time_is_refused),
        cmocka_unit_test(seconds_keep_their_fraction),
        cmocka_unit_test(numbers_tell_their_unit_by_their_value),
        cmocka_unit_test(a_zone_is_written_in_several_ways_and_never_guessed),
        cmocka_unit_test(the_first_moment_of_the_year_1_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
