/* Offsets of time zones, from files that the test writes and from the system's tzdata. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/base/time_zone.h"
#include "tests/guard_page.h"
#include "tests/zone_files.h"

static char error[TIME_ZONE_ERROR_BYTES_MAX];

static int64_t at(int64_t year, unsigned month, unsigned day, unsigned hour, unsigned minute)
{
    return time_zone_day(year, month, day) * 86400 + hour * 3600 + minute * 60;
}

static void dates_have_the_days_of_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = time_zone_day(1900, 1, 1); day <= time_zone_day(2101, 12, 31); day += 1) {
        time_t second = day * 86400;
        struct tm tm;
        gmtime_r(&second, &tm);
        assert_int_equal(
            time_zone_day(tm.tm_year + 1900, (unsigned)tm.tm_mon + 1, (unsigned)tm.tm_mday), day);
        assert_int_equal(time_zone_weekday(day), tm.tm_wday);
    }
    assert_int_equal(time_zone_days_in_month(2028, 2), 29);
    assert_int_equal(time_zone_days_in_month(2026, 2), 28);
    assert_int_equal(time_zone_days_in_month(2000, 2), 29);
    assert_int_equal(time_zone_days_in_month(2100, 2), 28);
    assert_int_equal(time_zone_days_in_month(2026, 12), 31);
}

static void summer_time_of_new_york_begins_and_ends_to_the_second(void **state)
{
    struct time_zone zone;
    (void)state;
    assert_int_equal(time_zone_load(&zone, "America/New_York", error), 0);
    assert_int_equal(time_zone_offset(&zone, at(2026, 3, 8, 7, 0) - 1), -5 * 3600);
    assert_int_equal(time_zone_offset(&zone, at(2026, 3, 8, 7, 0)), -4 * 3600);
    assert_int_equal(time_zone_offset(&zone, at(2026, 11, 1, 6, 0) - 1), -4 * 3600);
    assert_int_equal(time_zone_offset(&zone, at(2026, 11, 1, 6, 0)), -5 * 3600);
    /* After the 32-bit time_t, and in the last summer of the table. */
    assert_int_equal(time_zone_offset(&zone, at(2038, 7, 1, 0, 0)), -4 * 3600);
    assert_int_equal(time_zone_offset(&zone, at(TIME_ZONE_YEAR_LAST, 7, 1, 0, 0)), -4 * 3600);
    assert_int_equal(time_zone_offset(&zone, at(TIME_ZONE_YEAR_LAST + 1, 7, 1, 0, 0)), -5 * 3600);
    time_zone_deinit(&zone);
}

static void utc_needs_no_file(void **state)
{
    struct time_zone zone;
    (void)state;
    setenv("TZDIR", "/nonexistent", 1);
    assert_int_equal(time_zone_load(&zone, "UTC", error), 0);
    assert_int_equal(time_zone_offset(&zone, at(2026, 7, 1, 0, 0)), 0);
    assert_int_equal(time_zone_offset(&zone, INT64_MIN), 0);
    time_zone_deinit(&zone);
    setenv("TZDIR", zone_files_directory, 1);
}

/* Both read the same files; the C library computes what comes after their last change, too. */
static void offsets_are_those_of_the_c_library(void **state)
{
    static const char *const names[] = {
        "America/New_York", "Asia/Shanghai",  "Asia/Hong_Kong",      "Europe/London",
        "Europe/Dublin",    "Asia/Kolkata",   "Australia/Lord_Howe", "Pacific/Auckland",
        "America/Nuuk",     "Asia/Jerusalem", "Africa/Casablanca",   "America/Sao_Paulo",
    };
    (void)state;
    unsetenv("TZDIR");
    if (access("/usr/share/zoneinfo/Africa/Casablanca", R_OK) < 0) {
        setenv("TZDIR", zone_files_directory, 1);
        skip(); /* The package tzdata is not installed. */
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct time_zone zone;
        assert_int_equal(time_zone_load(&zone, names[i], error), 0);
        setenv("TZ", names[i], 1);
        tzset();
        for (int64_t second = at(1970, 1, 1, 0, 0); second < at(2099, 12, 30, 0, 0);
             second += 86400 + 3559) {
            struct tm tm;
            time_t now = second;
            localtime_r(&now, &tm);
            if (time_zone_offset(&zone, second) != tm.tm_gmtoff) {
                print_message("%s at %lld\n", names[i], (long long)second);
            }
            assert_int_equal(time_zone_offset(&zone, second), tm.tm_gmtoff);
        }
        time_zone_deinit(&zone);
    }
    unsetenv("TZ");
    tzset();
    setenv("TZDIR", zone_files_directory, 1);
}

static void a_zone_that_is_not_there_says_what_to_do(void **state)
{
    static const char *const names[] = {"Asia/Shangai", "", "/etc/passwd", "../../etc/passwd"};
    struct time_zone zone;
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(time_zone_load(&zone, names[i], error), -EINVAL);
        assert_non_null(strstr(error, "no such time zone in /tmp/"));
    }
    assert_int_equal(time_zone_load(&zone, "Asia", error), -EINVAL);
    assert_non_null(strstr(error, "/Asia: Is a directory"));
    setenv("TZDIR", "/nonexistent", 1);
    assert_int_equal(time_zone_load(&zone, "Asia/Shanghai", error), -EINVAL);
    assert_non_null(strstr(error, "install the package tzdata, which slim container images lack"));
    setenv("TZDIR", zone_files_directory, 1);
}

static void a_file_that_is_cut_off_is_refused(void **state)
{
    struct time_zone zone;
    uint8_t bytes[256];
    size_t count = zone_files_make(bytes, 0, ZONE_FILES_NEW_YORK);
    struct guard_page guard;
    (void)state;
    guard_page_init(&guard, sizeof bytes);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(time_zone_parse(&zone, guard_page_copy(&guard, bytes, i), i, error),
                         -EINVAL);
    }
    assert_int_equal(time_zone_parse(&zone, guard_page_copy(&guard, bytes, count), count, error),
                     0);
    time_zone_deinit(&zone);
    for (unsigned i = 20; i < 44; i++) { /* Counts that the file does not have. */
        uint8_t kept = bytes[44 + i];
        bytes[44 + i] = 0xff;
        assert_int_equal(
            time_zone_parse(&zone, guard_page_copy(&guard, bytes, count), count, error), -EINVAL);
        bytes[44 + i] = kept;
    }
    guard_page_deinit(&guard);
}

static void rules_that_are_not_understood_are_refused(void **state)
{
    static const char *const rules[] = {
        "5",
        "EST",
        "EST5EDT",
        "EST5EDT,M3.2.0",
        "EST5EDT,J60,J300",
        "EST5X",
        "EST200",
        "<EST5",
        "EST5EDT,M13.2.0,M1.1",
        "EST5EDT,M3.0.0,M11.1.0",
        "EST5:99",
        "EST5EDTx",
        "EST5EDT,M3.2.7,M1",
        "EST5EDT,M3.2.0/,M11.1.0",
        "EST5EDT,M3.2.0,M11.1.0x",
    };
    struct time_zone zone;
    uint8_t bytes[256];
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        size_t count = zone_files_make(bytes, 0, rules[i]);
        assert_int_equal(time_zone_parse(&zone, bytes, count, error), -EINVAL);
    }
    size_t count = zone_files_make(bytes, 3600, "");
    assert_int_equal(time_zone_parse(&zone, bytes, count, error), 0);
    assert_int_equal(time_zone_offset(&zone, at(2026, 1, 1, 0, 0)), 3600);
    time_zone_deinit(&zone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_have_the_days_of_the_c_library),
        cmocka_unit_test(summer_time_of_new_york_begins_and_ends_to_the_second),
        cmocka_unit_test(utc_needs_no_file),
        cmocka_unit_test(offsets_are_those_of_the_c_library),
        cmocka_unit_test(a_zone_that_is_not_there_says_what_to_do),
        cmocka_unit_test(a_file_that_is_cut_off_is_refused),
        cmocka_unit_test(rules_that_are_not_understood_are_refused),
    };
    return cmocka_run_group_tests(tests, zone_files_set_up, zone_files_tear_down);
}
