/* When markets are open: lunch, nights, summer time, holidays; and what a file may not say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/market_hours.h"
#include "src/base/time_zone.h"
#include "tests/zone_files.h"

static char error[MARKET_HOURS_ERROR_BYTES_MAX];
static struct market_hours *hours;

static int parse(const char *text)
{
    char *copy = strdup(text);
    int result = market_hours_parse(&hours, "hours.txt", copy, error);
    free(copy);
    return result;
}

/* date: "2026-03-09"; hhmm: 930 is 09:30, of UTC. */
static bool is_open_utc(const char *symbol, const char *date, unsigned hhmm)
{
    int year;
    unsigned month;
    unsigned day;
    assert_int_equal(sscanf(date, "%d-%u-%u", &year, &month, &day), 3);
    uint32_t market = market_hours_find(hours, symbol, strlen(symbol));
    assert_int_not_equal(market, MARKET_HOURS_NONE);
    return market_hours_is_open(hours, market,
                                time_zone_day(year, month, day) * 86400 + hhmm / 100 * 3600 +
                                    hhmm % 100 * 60);
}

/* The same, of Shanghai, to the second before the minute. */
static bool was_open_shanghai(const char *date, unsigned hhmm)
{
    int year;
    unsigned month;
    unsigned day;
    assert_int_equal(sscanf(date, "%d-%u-%u", &year, &month, &day), 3);
    return market_hours_is_open(hours, 0,
                                (time_zone_day(year, month, day) - 1) * 86400 + 16 * 3600 +
                                    hhmm / 100 * 3600 + hhmm % 100 * 60 - 1);
}

static bool opens(const char *date, unsigned hhmm)
{
    return !was_open_shanghai(date, hhmm) && was_open_shanghai(date, hhmm + 1);
}

static bool closes(const char *date, unsigned hhmm)
{
    return was_open_shanghai(date, hhmm) && !was_open_shanghai(date, hhmm + 1);
}

static void a_market_has_a_lunch_break_and_a_weekend(void **state)
{
    (void)state;
    assert_int_equal(parse("*.SH,*.SZ Asia/Shanghai Mon-Fri 09:30-11:30,13:00-15:00\n"), 0);
    assert_true(opens("2026-11-30", 930));
    assert_true(closes("2026-11-30", 1130));
    assert_true(opens("2026-11-30", 1300));
    assert_true(closes("2026-11-30", 1500));
    assert_true(opens("2026-12-04", 930)); /* Friday */
    assert_false(was_open_shanghai("2026-12-05", 1000));
    assert_false(was_open_shanghai("2026-12-06", 1000));
    market_hours_destroy(hours);
}

static void new_york_opens_an_hour_earlier_in_utc_in_summer(void **state)
{
    (void)state;
    assert_int_equal(parse("*.US America/New_York Mon-Fri 09:30-16:00"), 0);
    assert_false(is_open_utc("AAPL.US", "2026-03-06", 1429)); /* The Friday before. */
    assert_true(is_open_utc("AAPL.US", "2026-03-06", 1430));
    assert_false(is_open_utc("AAPL.US", "2026-03-09", 1329)); /* The Monday after. */
    assert_true(is_open_utc("AAPL.US", "2026-03-09", 1330));
    assert_true(is_open_utc("AAPL.US", "2026-10-30", 1330));
    assert_false(is_open_utc("AAPL.US", "2026-11-02", 1330));
    assert_true(is_open_utc("AAPL.US", "2026-11-02", 2059));
    assert_false(is_open_utc("AAPL.US", "2026-11-02", 2100));
    assert_true(is_open_utc("AAPL.US", "2038-07-06", 1330)); /* Beyond 32 bits of seconds. */
    assert_false(is_open_utc("AAPL.US", "2038-01-20", 1429));
    assert_true(is_open_utc("AAPL.US", "2038-01-20", 1430));
    market_hours_destroy(hours);
}

static void dates_override_weekdays(void **state)
{
    (void)state;
    assert_int_equal(parse("*.US America/New_York Mon-Fri 09:30-16:00\n"
                           "# Thanksgiving, and the early close of the day after\n"
                           "*.US America/New_York 2026-11-26,2028-02-29 closed # and a leap day\n"
                           "*.US America/New_York 2026-11-27 09:30-13:00\n"
                           "*.US America/New_York 2026-12-24..2027-01-01 closed\r\n"
                           "\n"
                           "*.US\tAmerica/New_York\t2026-11-28\t10:00-11:00\n"),
                     0);
    assert_true(is_open_utc("A.US", "2026-11-25", 1500));
    assert_false(is_open_utc("A.US", "2026-11-26", 1500));
    assert_true(is_open_utc("A.US", "2026-11-27", 1759));
    assert_false(is_open_utc("A.US", "2026-11-27", 1800));
    assert_true(is_open_utc("A.US", "2026-11-28", 1500)); /* A Saturday that trades. */
    assert_true(is_open_utc("A.US", "2026-12-23", 1500));
    assert_false(is_open_utc("A.US", "2026-12-24", 1500));
    assert_false(is_open_utc("A.US", "2027-01-01", 1500));
    assert_true(is_open_utc("A.US", "2027-01-04", 1500));
    assert_true(is_open_utc("A.US", "2028-02-28", 1500));
    assert_false(is_open_utc("A.US", "2028-02-29", 1500));
    assert_true(is_open_utc("A.US", "2028-03-01", 1500));
    market_hours_destroy(hours);
}

static void a_night_belongs_to_the_day_on_which_it_begins(void **state)
{
    (void)state;
    assert_int_equal(
        parse("*.SHFE Asia/Shanghai Mon-Fri 09:00-11:30,13:30-15:00,21:00-02:30\n"
              "*.SHFE Asia/Shanghai 2026-09-30 09:00-11:30,13:30-15:00\n" /* No night before */
              "*.SHFE Asia/Shanghai 2026-10-01..2026-10-07 closed\n"),    /* the holidays. */
        0);
    assert_true(opens("2026-11-30", 2100));
    assert_true(was_open_shanghai("2026-12-01", 1));
    assert_true(closes("2026-12-01", 230));
    assert_true(closes("2026-12-05", 230));             /* Friday's, on Saturday */
    assert_false(was_open_shanghai("2026-11-30", 100)); /* Sunday has none. */
    assert_true(opens("2026-09-29", 2100));
    assert_true(closes("2026-09-30", 230));
    assert_true(closes("2026-09-30", 1500));
    assert_false(was_open_shanghai("2026-09-30", 2200));
    assert_false(was_open_shanghai("2026-10-01", 100));
    assert_true(opens("2026-10-08", 900));
    market_hours_destroy(hours);
}

static void days_wrap_around_the_week_and_hours_fill_a_day(void **state)
{
    (void)state;
    assert_int_equal(parse("*.A UTC sat-MON 00:00-24:00\n"
                           "*.B UTC Sun,Tue 22:00-24:00,23:59-00:00\n"),
                     -EINVAL);
    assert_int_equal(parse("*.A UTC sat-MON 00:00-24:00\n"
                           "*.B UTC Sun,Tue 22:00-00:00\n"),
                     0);
    assert_false(is_open_utc("1.A", "2026-12-04", 2359));
    assert_true(is_open_utc("1.A", "2026-12-05", 0));
    assert_true(is_open_utc("1.A", "2026-12-06", 1200));
    assert_true(is_open_utc("1.A", "2026-12-07", 2359));
    assert_false(is_open_utc("1.A", "2026-12-08", 0));
    assert_true(is_open_utc("1.B", "2026-12-06", 2359));
    assert_false(is_open_utc("1.B", "2026-12-07", 0));
    assert_true(is_open_utc("1.B", "2026-12-08", 2200));
    assert_true(is_open_utc("1.A", "1969-12-27", 1200)); /* Days before 1970 */
    market_hours_destroy(hours);
}

static void the_first_market_with_the_symbol_applies(void **state)
{
    (void)state;
    assert_int_equal(parse("AAPL.US,M*.US UTC Mon-Sun 00:00-24:00\n"
                           "*.US UTC Mon-Fri 09:30-16:00\n"),
                     0);
    assert_int_equal(market_hours_count(hours), 2);
    assert_int_equal(market_hours_find(hours, "AAPL.US", 7), 0);
    assert_int_equal(market_hours_find(hours, "MSFT.US", 7), 0);
    assert_int_equal(market_hours_find(hours, "IBM.US", 6), 1);
    assert_int_equal(market_hours_find(hours, "IBM.UK", 6), MARKET_HOURS_NONE);
    market_hours_destroy(hours);
    assert_int_equal(parse("\n# nothing\n"), 0);
    assert_int_equal(market_hours_count(hours), 0);
    market_hours_destroy(hours);
}

static void a_file_of_windows_is_read_like_any_other(void **state)
{
    (void)state;
    assert_int_equal(parse("\xef\xbb\xbf*.SH UTC Mon-Fri 09:30-16:00\r\n\r\n# end\r\n"), 0);
    assert_int_equal(market_hours_count(hours), 1);
    assert_true(is_open_utc("600000.SH", "2026-11-30", 930));
    assert_false(is_open_utc("600000.SH", "2026-11-30", 1600));
    market_hours_destroy(hours);
    assert_int_equal(parse("\xef\xbb\xbf"), 0);
    assert_int_equal(market_hours_count(hours), 0);
    market_hours_destroy(hours);
}

/* 01:30 comes twice on the day on which summer time ends, and 02:30 not at all on the day on which
 * it begins: hours are those of the clock on the wall. */
static void hours_are_those_of_the_wall_on_the_days_of_a_clock_change(void **state)
{
    (void)state;
    assert_int_equal(parse("*.US America/New_York Sun 01:00-02:00\n"
                           "*.X America/New_York Sun 02:00-03:00\n"
                           "*.N America/New_York Sat 20:00-02:00\n"),
                     0);
    assert_false(is_open_utc("A.US", "2026-11-01", 459));
    assert_true(is_open_utc("A.US", "2026-11-01", 500)); /* 01:00 of summer time */
    assert_true(is_open_utc("A.US", "2026-11-01", 659)); /* 01:59 of standard time */
    assert_false(is_open_utc("A.US", "2026-11-01", 700));
    assert_true(is_open_utc("A.N", "2026-11-01", 659));
    assert_false(is_open_utc("A.N", "2026-11-01", 700));
    assert_true(is_open_utc("A.X", "2026-11-01", 700));
    assert_true(is_open_utc("A.US", "2026-03-08", 659));  /* 01:59 */
    assert_false(is_open_utc("A.US", "2026-03-08", 700)); /* 03:00 */
    assert_false(is_open_utc("A.X", "2026-03-08", 700));
    assert_true(is_open_utc("A.N", "2026-03-08", 659));
    assert_false(is_open_utc("A.N", "2026-03-08", 700));
    market_hours_destroy(hours);
}

static void a_bad_line_is_refused_with_what_is_valid(void **state)
{
    static const char *const faults[][2] = {
        {"*.US UTC Mon-Fri", "hours.txt:1: a line has 4 columns, and this one has 3"},
        {"*.US UTC Mon-Fri 09:30-11:30, 13:00-15:00", "this one has 5"},
        {"*.US EST5 Mon 09:30-16:00", "time zone \"EST5\": there is no such time zone"},
        {"*.US UTC Mon-Fry 09:30-16:00", "\"Mon-Fry\" is no day; give weekdays"},
        {"*.US UTC Mon-Tue-Wed 09:30-16:00", "\"Mon-Tue-Wed\" is no day"},
        {"*.US UTC Mon, 09:30-16:00", "\"\" is no day"},
        {"*.US UTC Mon-Wed,Tue 09:30-16:00", "\"Tue\": line 1 has hours for this weekday"},
        {"*.US UTC Mon 09:30-16:00\n*.US UTC Mon closed", "hours.txt:2: \"Mon\": line 1 has hours"},
        {"*.US UTC 2026-02-29 closed", "\"2026-02-29\" is no date; give a date that exists"},
        {"*.US UTC 2026-13-01 closed", "is no date"},
        {"*.US UTC 2026-1-01 closed", "is no date"},
        {"*.US UTC 2026-01-02..2026-01-01 closed", "is no date"},
        {"*.US UTC 2026-01-01.. closed", "is no date"},
        {"*.US UTC 2026-01-01x closed", "is no date"},
        {"*.US UTC 2026-01-01..2026-01-05 closed\n*.US UTC 2026-01-05 09:00-10:00",
         "hours.txt:2: \"2026-01-05\": line 1 has hours for the same date"},
        {"*.US UTC Mon 9:30-16:00", "\"9:30-16:00\" is no interval of hours"},
        {"*.US UTC Mon 09:30-16:60", "is no interval"},
        {"*.US UTC Mon 09:30-24:01", "is no interval"},
        {"*.US UTC Mon 24:00-01:00", "is no interval"},
        {"*.US UTC Mon 09:30-09:30", "is no interval"},
        {"*.US UTC Mon 09:30", "is no interval"},
        {"*.US UTC Mon 09:30-10:00,", "\"\" is no interval"},
        {"*.US UTC Mon shut", "give closed, or intervals"},
        {"*.US UTC Mon 09:30-11:30,11:00-15:00", "overlap"},
        {"*.US UTC Mon 13:00-15:00,09:30-11:30", "out of order"},
        {"*.US UTC Mon 01:00-03:00,21:00-02:00", "overlap"},
        {"*.US UTC Mon 00:00-01:00,02:00-03:00,04:00-05:00,06:00-07:00,08:00-09:00,10:00-11:00,"
         "12:00-13:00,14:00-15:00,16:00-17:00",
         "at most 8 intervals"},
        {"*.US UTC Mon 09:30-16:00\n*.US Asia/Shanghai Tue 09:30-16:00",
         "hours.txt:2: time zone Asia/Shanghai: line 1 has UTC for the same symbols"},
        {"*.US UTC Mon 09:30-16:00\n\nA*.US UTC Mon 09:30-16:00",
         "hours.txt:3: A*.US would never be used, because line 1 (*.US) comes first"},
        {"*.US,A UTC Mon 09:30-16:00\nB,A UTC Mon 09:30-16:00", "hours.txt:2: A would never be"},
        {"*.US, UTC Mon 09:30-16:00", "\"\" is no pattern"},
        {"*a*b*c*d*e UTC Mon 09:30-16:00", "is no pattern; give symbols or patterns of at most"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        hours = NULL;
        assert_int_equal(parse(faults[i][0]), -EINVAL);
        if (strstr(error, faults[i][1]) == NULL) {
            fail_msg("%s: %s", faults[i][0], error);
        }
        assert_null(hours);
    }
}

static void too_many_markets_and_dates_are_refused(void **state)
{
    static char text[128 * 1024];
    size_t used = 0;
    (void)state;
    for (int i = 0; i <= MARKET_HOURS_MAX; i++) {
        used += (size_t)sprintf(text + used, "S%03d UTC Mon closed\n", i);
    }
    assert_int_equal(parse(text), -EINVAL);
    assert_string_equal(error, "hours.txt:65: a file has at most 64 markets");
    used = 0;
    for (int i = 0; i <= MARKET_HOURS_DATES_MAX; i++) {
        used += (size_t)sprintf(text + used, "S UTC %04d-01-01 closed\n", i);
    }
    assert_int_equal(parse(text), -EINVAL);
    assert_string_equal(error,
                        "hours.txt:1025: a market has at most 1024 dates or ranges of dates");
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    char path[] = "/tmp/test_market_hours_XXXXXX";
    (void)state;
    assert_int_equal(market_hours_load(&hours, "/nonexistent/hours", error), -EINVAL);
    assert_string_equal(error, "/nonexistent/hours: No such file or directory");
    int fd = mkstemp(path);
    assert_int_equal(write(fd, "*.US UTC Mon closed\n\0\n", 22), 22);
    assert_int_equal(market_hours_load(&hours, path, error), -EINVAL);
    assert_non_null(strstr(error, ": it is not a text file"));
    assert_int_equal(ftruncate(fd, 20), 0);
    assert_int_equal(market_hours_load(&hours, path, error), 0);
    assert_int_equal(market_hours_find(hours, "A.US", 4), 0);
    market_hours_destroy(hours);
    assert_int_equal(ftruncate(fd, (off_t)MARKET_HOURS_FILE_BYTES_MAX + 1), 0);
    assert_int_equal(market_hours_load(&hours, path, error), -EINVAL);
    assert_non_null(strstr(error, ": the file must have at most 256 KiB"));
    close(fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_market_has_a_lunch_break_and_a_weekend),
        cmocka_unit_test(new_york_opens_an_hour_earlier_in_utc_in_summer),
        cmocka_unit_test(dates_override_weekdays),
        cmocka_unit_test(a_night_belongs_to_the_day_on_which_it_begins),
        cmocka_unit_test(days_wrap_around_the_week_and_hours_fill_a_day),
        cmocka_unit_test(the_first_market_with_the_symbol_applies),
        cmocka_unit_test(a_file_of_windows_is_read_like_any_other),
        cmocka_unit_test(hours_are_those_of_the_wall_on_the_days_of_a_clock_change),
        cmocka_unit_test(a_bad_line_is_refused_with_what_is_valid),
        cmocka_unit_test(too_many_markets_and_dates_are_refused),
        cmocka_unit_test(a_file_that_cannot_be_read_is_named),
    };
    return cmocka_run_group_tests(tests, zone_files_set_up, zone_files_tear_down);
}
