#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/decimal.h"
#include "tests/guard_page.h"

#define TEST_SEED UINT64_C(0x5eed0dec1a1)
#define TEST_ROUNDS 200000

struct decimal_case {
    const char *text;
    int64_t mantissa;
    int8_t exponent;
};

/* Texts that are written as they were read. */
static const struct decimal_case decimal_exact[] = {
    {"0", 0, 0},
    {"7", 7, 0},
    {"0.0", 0, -1},
    {"12.30", 1230, -2},
    {"12.34", 1234, -2},
    {"-0.5", -5, -1},
    {"-12", -12, 0},
    {"0.00001305", 1305, -8},
    {"0.35130000", 35130000, -8},
    {"1.0000000", 10000000, -7},
    {"99999999", 99999999, 0},
    {"100000000", 100000000, 0},
    {"9999999.9", 99999999, -1},
    {"10000000.0", 100000000, -1},
    {"65432.12345678", 6543212345678, -8},
    {"1523456.78", 152345678, -2},
    {"9999999999999999", 9999999999999999, 0},
    {"10000000000000000", 10000000000000000, 0},
    {"9223372036854775807", INT64_MAX, 0},
    {"-9223372036854775807", -INT64_MAX, 0},
    {"922337203685477580.7", INT64_MAX, -1},
    {"-92233720368.54775807", -INT64_MAX, -8},
    {"9223372036.854775807", INT64_MAX, -9},
    {"-9.223372036854775807", -INT64_MAX, -18},
    {"0.000000000000000001", 1, -18},
    {"0.000000000", 0, -9},
};

static const struct decimal_case decimal_loose[] = {
    {"+1.5", 15, -1}, {"007", 7, 0}, {".5", 5, -1}, {"-.25", -25, -2}, {"5.", 5, 0}, {"-0", 0, 0},
};

/* With an exponent, or with more zeros than there is room for. */
static const struct decimal_case decimal_wide[] = {
    {"1e-7", 1, -7},
    {"1.234e-05", 1234, -8},
    {"1E+3", 1000, 0},
    {"1e+06", 1000000, 0},
    {"1.50e1", 150, -1},
    {"1.5e0", 15, -1},
    {"12345E-2", 12345, -2},
    {"-2.5e-3", -25, -4},
    {"+2e2", 200, 0},
    {".5e1", 5, 0},
    {"5.e-1", 5, -1},
    {"1e18", INT64_C(1000000000000000000), 0},
    {"1e-18", 1, -18},
    {"10e-19", 1, -18},
    {"9.223372036854775807e18", INT64_MAX, 0},
    {"9.223372036854775807e+0", INT64_MAX, -18},
    {"0e5", 0, 0},
    {"0E-8", 0, -8},
    {"0e-99999999999999999999", 0, -18},
    {"0e99999999999999999999", 0, 0},
    {"-0.0e1", 0, 0},
    {"123456789012.00000000", INT64_C(1234567890120000000), -7},
    {"1.0000000000000000000", INT64_C(1000000000000000000), -18},
    {"0.0000000000000000010", 1, -18},
    {"0000000000000000000000000000007.5e00000000000000000001", 75, 0},
    {"0.00000000000000000000000000000000000000012e40", 12, -1},
    {"1200000000000000000000000000000000000000e-40", INT64_C(120000000000000000), -18},
};

static const char *const decimal_refused[] = {
    "",
    "-",
    "+",
    ".",
    "-.",
    " 1",
    "1 ",
    "e5",
    ".e5",
    "1e",
    "1e+",
    "1e5.0",
    "1e 5",
    "1ee5",
    "1e5e5",
    "1e--5",
    "1e19",
    "9.3e18",
    "1e-19",
    "1.5e-18",
    "1e99999999999999999999",
    "1e-99999999999999999999",
    "inf",
    "1.2.3",
    "--1",
    "+-1",
    "1,5",
    "0x10",
    "NaN",
    "12a",
    "9223372036854775808",
    "-9223372036854775808",
    "92233720368547758070",
    "0.0000000000000000001",
    "1.0000000000000000001",
    "18446744073709551616",
    "100000000000000000000000000000000000001",
};

static void assert_formats(int64_t mantissa, int8_t exponent, const char *expected)
{
    char text[DECIMAL_TEXT_BYTES_MAX + 1];
    memset(text, '~', sizeof text);
    size_t bytes = decimal_format(text, (struct md_decimal){mantissa, exponent});
    assert_int_equal(text[DECIMAL_TEXT_BYTES_MAX], '~');
    text[bytes] = '\0';
    assert_string_equal(text, expected);
}

static void assert_parses(const char *text, int64_t mantissa, int8_t exponent)
{
    struct md_decimal decimal = md_none;
    assert_true(decimal_parse(text, strlen(text), &decimal));
    assert_true(decimal.mantissa == mantissa);
    assert_int_equal(decimal.exponent, exponent);
}

static void texts_are_written_as_they_were_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decimal_exact / sizeof decimal_exact[0]; i++) {
        const struct decimal_case *exact = &decimal_exact[i];
        assert_parses(exact->text, exact->mantissa, exact->exponent);
        assert_formats(exact->mantissa, exact->exponent, exact->text);
    }
}

static void signs_zeros_and_bare_points_are_read(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decimal_loose / sizeof decimal_loose[0]; i++) {
        assert_parses(decimal_loose[i].text, decimal_loose[i].mantissa, decimal_loose[i].exponent);
    }
}

static void exponents_and_zeros_that_do_not_count_are_exact(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decimal_wide / sizeof decimal_wide[0]; i++) {
        assert_parses(decimal_wide[i].text, decimal_wide[i].mantissa, decimal_wide[i].exponent);
    }
}

static void what_is_no_decimal_is_refused_and_leaves_the_result_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof decimal_refused / sizeof decimal_refused[0]; i++) {
        struct md_decimal decimal = {.mantissa = 77, .exponent = -7};
        assert_false(decimal_parse(decimal_refused[i], strlen(decimal_refused[i]), &decimal));
        assert_int_equal(decimal.mantissa, 77);
        assert_int_equal(decimal.exponent, -7);
    }
}

static void parsing_stops_at_the_end_of_the_text(void **state)
{
    (void)state;
    struct guard_page guard;
    guard_page_init(&guard, 64);
    for (size_t i = 0; i < sizeof decimal_exact / sizeof decimal_exact[0]; i++) {
        size_t bytes = strlen(decimal_exact[i].text);
        for (size_t part = 0; part <= bytes; part++) {
            const uint8_t *copy = guard_page_copy(&guard, decimal_exact[i].text, part);
            struct md_decimal decimal;
            bool parsed = decimal_parse((const char *)copy, part, &decimal);
            assert_true(parsed || part < bytes);
        }
    }
    guard_page_deinit(&guard);
}

static void integers_are_written_within_twenty_bytes(void **state)
{
    (void)state;
    static const uint64_t edges[] = {0,          9,         10,         99999999,      100000000,
                                     UINT32_MAX, INT64_MAX, UINT64_MAX, UINT64_MAX - 1};
    struct guard_page guard;
    guard_page_init(&guard, DECIMAL_U64_BYTES_MAX);
    char *text = (char *)guard_page_tail(&guard, DECIMAL_U64_BYTES_MAX);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        char expected[32];
        int expected_bytes = snprintf(expected, sizeof expected, "%" PRIu64, edges[i]);
        assert_int_equal(decimal_format_u64(text, edges[i]), expected_bytes);
        assert_memory_equal(text, expected, (size_t)expected_bytes);
    }
    guard_page_deinit(&guard);
}

static uint64_t test_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static struct md_decimal random_decimal(uint64_t *seed)
{
    uint64_t bits = test_random(seed) >> (test_random(seed) % 64);
    return (struct md_decimal){
        .mantissa = (int64_t)(bits & INT64_MAX) * (test_random(seed) & 1 ? -1 : 1),
        .exponent = (int8_t) - (int)(test_random(seed) % (DECIMAL_PLACES_MAX + 1)),
    };
}

/* The digits of the mantissa by way of printf, with a point before the last places of them. */
static size_t print_with_point(char *text, struct md_decimal decimal, int places)
{
    char digits[48];
    uint64_t value =
        decimal.mantissa < 0 ? -(uint64_t)decimal.mantissa : (uint64_t)decimal.mantissa;
    int count = snprintf(digits, sizeof digits, "%0*" PRIu64, places + 1, value);
    return (size_t)sprintf(text, "%s%.*s.%s", decimal.mantissa < 0 ? "-" : "", count - places,
                           digits, digits + count - places);
}

static void random_decimals_agree_with_printf_and_survive_the_round_trip(void **state)
{
    (void)state;
    uint64_t seed = TEST_SEED;
    for (int i = 0; i < TEST_ROUNDS; i++) {
        struct md_decimal decimal = random_decimal(&seed);
        char expected[64];
        size_t bytes = print_with_point(expected, decimal, -decimal.exponent);
        if (decimal.exponent == 0) {
            expected[bytes - 1] = '\0'; /* without the point */
        }
        assert_formats(decimal.mantissa, decimal.exponent, expected);
        assert_parses(expected, decimal.mantissa, decimal.exponent);
    }
}

/* The point somewhere else, and an exponent that puts it back. */
static void random_decimals_are_the_same_with_an_exponent(void **state)
{
    (void)state;
    uint64_t seed = TEST_SEED;
    for (int i = 0; i < TEST_ROUNDS; i++) {
        struct md_decimal decimal = random_decimal(&seed);
        char text[96];
        int places = (int)(test_random(&seed) % 40);
        size_t bytes = print_with_point(text, decimal, places);
        sprintf(text + bytes, "%c%+03d", places % 2 ? 'e' : 'E', decimal.exponent + places);
        assert_parses(text, decimal.mantissa, decimal.exponent);
    }
}

static void integers_are_read_up_to_64_bits(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t value;
    } good[] = {
        {"0", 0},
        {"-0", 0},
        {"0e-5", 0},
        {"00077", 77},
        {"77.0", 77},
        {"7.7e1", 77},
        {"770e-1", 77},
        {"1.7e+18", UINT64_C(1700000000000000000)},
        {"9223372036854775808", UINT64_C(9223372036854775808)},
        {"1e19", UINT64_C(10000000000000000000)},
        {"10000000000000000000", UINT64_C(10000000000000000000)},
        {"10000000000000000001", UINT64_C(10000000000000000001)},
        {"18446744073709551615", UINT64_MAX},
        {"1.8446744073709551615e19", UINT64_MAX},
        {"18446744073709551615.0", UINT64_MAX},
    };
    static const char *const refused[] = {
        "", "-1", "0.5", "7.5", "1e-1", "18446744073709551616", "2e19", "1e20", "1e999", "x", "0x7",
    };
    uint64_t value;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(decimal_parse_u64(good[i].text, strlen(good[i].text), &value));
        assert_true(value == good[i].value);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        value = 77;
        assert_false(decimal_parse_u64(refused[i], strlen(refused[i]), &value));
        assert_int_equal(value, 77);
    }
}

static void random_integers_agree_with_printf(void **state)
{
    (void)state;
    uint64_t seed = TEST_SEED;
    for (int i = 0; i < TEST_ROUNDS; i++) {
        uint64_t value = test_random(&seed) >> (test_random(&seed) % 64);
        char text[DECIMAL_U64_BYTES_MAX + 1];
        char expected[32];
        snprintf(expected, sizeof expected, "%" PRIu64, value);
        text[decimal_format_u64(text, value)] = '\0';
        assert_string_equal(text, expected);
        uint64_t again;
        assert_true(decimal_parse_u64(text, strlen(text), &again));
        assert_true(again == value);
    }
}

#define D(mantissa, exponent) ((struct md_decimal){mantissa, exponent})

static void decimals_are_compared_by_value(void **state)
{
    (void)state;
    assert_int_equal(decimal_compare(D(1230, -2), D(123, -1)), 0);
    assert_true(decimal_compare(D(1231, -2), D(123, -1)) > 0);
    assert_true(decimal_compare(D(-1, 0), D(1, -18)) < 0);
    assert_true(decimal_compare(D(INT64_MAX, 0), D(INT64_MAX, -18)) > 0);
    assert_true(decimal_compare(D(-INT64_MAX, 0), D(INT64_MAX, -18)) < 0);
}

static void sums_are_exact(void **state)
{
    struct decimal_sum sum = {0};
    (void)state;
    assert_int_equal(decimal_sum_value(&sum).mantissa, 0);
    decimal_sum_add(&sum, D(5, 0));
    decimal_sum_add(&sum, D(25, -2));
    decimal_sum_add(&sum, D(-1, -8));
    assert_true(decimal_sum_value(&sum).mantissa == 524999999);
    assert_int_equal(decimal_sum_value(&sum).exponent, -8);
    decimal_sum_add_product(&sum, D(3, -10), D(7, -10)); /* 20 places, of which 18 are written */
    assert_true(decimal_sum_value(&sum).mantissa == INT64_C(5249999990000000000));
    assert_int_equal(decimal_sum_value(&sum).exponent, -18);
}

static void a_sum_that_is_too_great_has_no_value(void **state)
{
    struct decimal_sum sum = {0};
    (void)state;
    decimal_sum_add(&sum, D(INT64_MAX, 0));
    assert_true(decimal_sum_value(&sum).mantissa == INT64_MAX);
    decimal_sum_add(&sum, D(1, 0));
    assert_false(md_is_given(decimal_sum_value(&sum)));
    decimal_sum_add(&sum, D(-1, 0)); /* It still is exact, */
    assert_true(decimal_sum_value(&sum).mantissa == INT64_MAX);
    for (int i = 0; i < 3; i++) { /* until 127 bits are not enough. */
        decimal_sum_add_product(&sum, D(INT64_MAX, 0), D(INT64_MAX, 0));
    }
    decimal_sum_add_product(&sum, D(-INT64_MAX, 0), D(INT64_MAX, 0));
    assert_true(sum.overflowed);
    assert_false(md_is_given(decimal_sum_value(&sum)));
    struct decimal_sum scaled = {0};
    decimal_sum_add(&scaled, D(INT64_MAX, 0));
    decimal_sum_add_product(&scaled, D(1, -18), D(1, -18));
    assert_true(scaled.overflowed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_written_as_they_were_read),
        cmocka_unit_test(signs_zeros_and_bare_points_are_read),
        cmocka_unit_test(exponents_and_zeros_that_do_not_count_are_exact),
        cmocka_unit_test(what_is_no_decimal_is_refused_and_leaves_the_result_alone),
        cmocka_unit_test(parsing_stops_at_the_end_of_the_text),
        cmocka_unit_test(integers_are_written_within_twenty_bytes),
        cmocka_unit_test(random_decimals_agree_with_printf_and_survive_the_round_trip),
        cmocka_unit_test(random_decimals_are_the_same_with_an_exponent),
        cmocka_unit_test(integers_are_read_up_to_64_bits),
        cmocka_unit_test(random_integers_agree_with_printf),
        cmocka_unit_test(decimals_are_compared_by_value),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(a_sum_that_is_too_great_has_no_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
