#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/base/units.h"
#include "tools/common/quantity.h"

static void expect_time(const char *text, uint64_t expected_ns)
{
    uint64_t value_ns = UINT64_MAX;
    if (!quantity_time(text, NS_PER_SECOND, &value_ns) || value_ns != expected_ns) {
        fail_msg("'%s': %llu", text, (unsigned long long)value_ns);
    }
}

static void times_have_units(void **state)
{
    (void)state;
    expect_time("5", 5 * NS_PER_SECOND);
    expect_time("5s", 5 * NS_PER_SECOND);
    expect_time("0", 0);
    expect_time("1m", 60 * NS_PER_SECOND);
    expect_time("1h", 3600 * NS_PER_SECOND);
    expect_time("0.5h", 1800 * NS_PER_SECOND);
    expect_time("500ms", NS_PER_SECOND / 2);
    expect_time("2.5", 5 * NS_PER_SECOND / 2);
    expect_time(".5s", NS_PER_SECOND / 2);
    expect_time("250us", 250 * NS_PER_US);
    expect_time("2.3us", 2300); /* in binary it is a little less */
    expect_time("90000ns", 90000);
    expect_time("1000000", 1000000 * NS_PER_SECOND);
    uint64_t value_ns;
    assert_false(quantity_time("5", 0, &value_ns));
    assert_true(quantity_time("5ms", 0, &value_ns));
}

static void other_times_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    "s",       "-1",    "+1",  " 1",  "1 ",  "1 s",
                                      "1d",  "5S",      "1.2.3", ".",   "nan", "inf", "0x10",
                                      "1e3", "1000001", "300h",  "5ss", "5min"};
    uint64_t value_ns;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (quantity_time(bad[i], NS_PER_SECOND, &value_ns)) {
            fail_msg("accepted: '%s'", bad[i]);
        }
    }
}

static void counts_have_thousands(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t count, bytes;
    } good[] = {
        {"0", 0, 0},
        {"12", 12, 12},
        {"1k", 1000, 1024},
        {"2.5k", 2500, 2560},
        {"1K", 1000, 1024},
        {"1m", 1000000, 1048576},
        {"1g", 1000000000, 1073741824},
        {"4294967295", UINT32_MAX, UINT32_MAX},
    };
    uint64_t value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(quantity_count(good[i].text, UINT32_MAX, &value));
        assert_int_equal(value, good[i].count);
        assert_true(quantity_bytes(good[i].text, UINT32_MAX, &value));
        assert_int_equal(value, good[i].bytes);
    }
}

static void other_counts_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "k",
                                      "-1",
                                      "12x",
                                      "1kk",
                                      "1.5",
                                      "0.0001k",
                                      "5g",
                                      "1 k",
                                      "1e3",
                                      "nan",
                                      "4294967296",
                                      "99999999999999999999"};
    uint64_t value;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (quantity_count(bad[i], UINT32_MAX, &value)) {
            fail_msg("accepted: '%s'", bad[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_have_units),
        cmocka_unit_test(other_times_are_refused),
        cmocka_unit_test(counts_have_thousands),
        cmocka_unit_test(other_counts_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
