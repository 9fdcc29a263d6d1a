#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "codec/json_numbers.h"

#define BYTES_MAX 2048

static void check(const char *text, const char *clamped)
{
    char copy[BYTES_MAX];
    size_t bytes = strlen(text);
    assert_true(bytes < sizeof copy);
    memcpy(copy, text, bytes);
    copy[bytes] = '#';
    json_numbers_clamp(copy, bytes);
    assert_int_equal(copy[bytes], '#');
    copy[bytes] = '\0';
    assert_string_equal(copy, clamped);
}

static void check_same(const char *text)
{
    check(text, text);
}

static void numbers_that_a_parser_cannot_hold_are_clamped(void **state)
{
    (void)state;
    check("9223372036854775808", "1e308              ");
    check("-9223372036854775809", "-1e308              ");
    check("[18446744073709551615,1]", "[1e308               ,1]");
    check("{\"a\":99999999999999999999}", "{\"a\":1e308               }");
    check("1e309", "1e308");
    check("-2e308", "-1e308");
    check("1E400", "1e308");
    check("1e+999", "1e308 ");
    check("12.75e99999999999999999999", "1e308                     ");
    check("[1e999,-1e999,1e999]", "[1e308,-1e308,1e308]");
    check("1.7976931348623159e308", "1e308                 ");
}

static void numbers_that_fit_stay_as_they_are(void **state)
{
    (void)state;
    check_same("");
    check_same("[0,-0,-0.0,1.50,1E5,9223372036854775807,-9223372036854775808]");
    check_same("[1e308,1.7976931348623157e308,-1.7976931348623157e308]");
    check_same("[1e-999,-1e-99999999999999999999,0e99999999999999999999,0.1e-400]");
    check_same("[9223372036854775808.0,99999999999999999999.5,99999999999999999999e1]");
}

static void numbers_of_400_digits_are_clamped_unless_a_point_makes_them_fit(void **state)
{
    (void)state;
    char text[500];
    char clamped[500];
    memset(text, '1', 400);
    text[400] = '\0';
    snprintf(clamped, sizeof clamped, "%-400s", "1e308");
    check(text, clamped);
    text[100] = '.';
    check_same(text);
    text[350] = '.';
    text[100] = '1';
    check(text, clamped);
    memset(text, '0', 400);
    memcpy(text + 1, ".", 1);
    memcpy(text + 396, "1e400", 6);
    check_same(text); /* 1e5 */
}

static void what_is_in_a_string_is_no_number(void **state)
{
    (void)state;
    check_same("{\"1e999\":\"99999999999999999999\",\"\\\"1e999\":\"\\\\\"}");
    check("{\"\\\\\":1e999,\"\\\\\\\"\":1}", "{\"\\\\\":1e308,\"\\\\\\\"\":1}");
    check_same("\"1e999");
    check_same("\"1e999\\");
    check_same("\"\\\"1e999\\\"");
}

/* A clamped number stands where the number stood, and touches what it touched. */
static void what_is_no_json_is_none_afterwards(void **state)
{
    (void)state;
    check("{1e999:1}", "{1e308:1}");
    check("1e999x", "1e308x");
    check("[1e999\"a\"]", "[1e308\"a\"]");
    check("1.5.1e999", "1.5.1e308");
    check("+1e999", "+1e308");
    check("01e999", "01e308");
    check("--1e999", "--1e308");
    check("-01234567890123456789012", "-01e308                 ");
    check_same("1e99.9e");
    check_same(".e999");
    check_same("1.e999");
    check_same("1e+");
    check_same("-");
    check_same("-e999");
    check_same("0xffffffffffffffffffffffff");
}

static void check_quoted(const char *text, const char *expected)
{
    char out[JSON_NUMBERS_QUOTED_MAX(64)];
    char *exact = malloc(strlen(text) + 1); /* so that a read behind it is caught */
    memcpy(exact + 1, text, strlen(text));
    size_t bytes = json_numbers_quote(out, exact + 1, strlen(text));
    free(exact);
    for (size_t i = 0; i < bytes; i++) { /* ~ stands for the mark. */
        if (bytes - i >= 6 && memcmp(out + i, "\\u0000", 6) == 0) {
            out[i] = '~';
            memmove(out + i + 1, out + i + 6, bytes - i - 6);
            bytes -= 5;
        }
    }
    out[bytes] = '\0';
    assert_string_equal(out, expected);
}

static void numbers_are_quoted_with_their_own_text(void **state)
{
    (void)state;
    check_quoted("{\"a\":1.50e-7,\"b\":[0,-0,18446744073709551615]}",
                 "{\"a\":\"~1.50e-7\",\"b\":[\"~0\",\"~-0\",\"~18446744073709551615\"]}");
    check_quoted("{\"1\":\"2\\\"3\",\"\\\\\":4}", "{\"1\":\"2\\\"3\",\"\\\\\":\"~4\"}");
    check_quoted("true 7", "true \"~7\"");
    check_quoted("", "");
    check_quoted("\"\\", "\"\\");
    /* What is no JSON is none afterwards, and there is room for the worst. */
    check_quoted("01", "0\"~1\"");
    check_quoted("-01-01-01-01-01-01-01-01-01", "-0\"~1\"-0\"~1\"-0\"~1\"-0\"~1\"-0\"~1\"-0\"~1\""
                                                "-0\"~1\"-0\"~1\"-0\"~1\"");
    check_quoted("1-1-1-1-1", "\"~1\"\"~-1\"\"~-1\"\"~-1\"\"~-1\"");
    check_quoted("1.5.1", "\"~1.5\".\"~1\"");
}

static void a_number_is_what_json_says(void **state)
{
    (void)state;
    static const char *const numbers[] = {
        "0",    "-0",  "7",    "-7",        "10",    "0.1",
        "1.50", "1E5", "1e+5", "-1.25e-10", "1e400", "99999999999999999999",
        "0e0",
    };
    static const char *const others[] = {
        "",   "-",  "+1",  "01",    "-01", ".5",  "5.",       "1e",  "1e+", "e5",
        "1 ", " 1", "0x7", "1.5.1", "1,",  "NaN", "Infinity", "--1", "1-1", "\"1\"",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        assert_true(json_numbers_is_one(numbers[i], strlen(numbers[i])));
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        assert_false(json_numbers_is_one(others[i], strlen(others[i])));
    }
}

/* A message of many zeros costs a few steps for each: by squares, 16 MiB would take hours. */
static void a_text_of_zeros_is_read_once(void **state)
{
    (void)state;
    size_t bytes = 16 * MIB; /* the longest line of a capture */
    char *text = malloc(bytes + 1);
    char *quoted = malloc(JSON_NUMBERS_QUOTED_MAX(bytes));
    assert_non_null(text);
    assert_non_null(quoted);
    memset(text, '0', bytes + 1);
    alarm(100);
    json_numbers_clamp(text, bytes);
    size_t quoted_bytes = json_numbers_quote(quoted, text, bytes);
    alarm(0);
    assert_int_equal(quoted_bytes, bytes + strlen("\"\\u0000\""));
    free(text);
    free(quoted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_that_a_parser_cannot_hold_are_clamped),
        cmocka_unit_test(numbers_that_fit_stay_as_they_are),
        cmocka_unit_test(numbers_of_400_digits_are_clamped_unless_a_point_makes_them_fit),
        cmocka_unit_test(what_is_in_a_string_is_no_number),
        cmocka_unit_test(what_is_no_json_is_none_afterwards),
        cmocka_unit_test(numbers_are_quoted_with_their_own_text),
        cmocka_unit_test(a_number_is_what_json_says),
        cmocka_unit_test(a_text_of_zeros_is_read_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
