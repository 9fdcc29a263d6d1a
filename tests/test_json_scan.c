/* Each text is read right before an unreadable page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "feeds/json_scan.h"
#include "tests/guard_page.h"

#define TEXT_BYTES_MAX 4096

static struct guard_page guard;

static int set_up(void **state)
{
    (void)state;
    guard_page_init(&guard, TEXT_BYTES_MAX);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    guard_page_deinit(&guard);
    return 0;
}

/* The text, right before an unreadable page. */
static struct json_scan scan_of(const char *text, size_t bytes)
{
    char *tail = (char *)guard_page_tail(&guard, bytes);
    memcpy(tail, text, bytes);
    return (struct json_scan){.at = tail, .end = tail + bytes};
}

/* The one value that the text is. */
static bool read_one(const char *text, struct json_scan_value *value)
{
    struct json_scan scan = scan_of(text, strlen(text));
    return json_scan_value(&scan, value) && json_scan_skip_rest(&scan, value) &&
           json_scan_is_at_end(&scan);
}

static const char *const judged_texts[] = {
    "null",
    "true",
    "false",
    "nul",
    "nullx",
    "True",
    "",
    " ",
    "\f1",
    " 1 ",
    "1\n",
    "\t[ ]\r",
    "0",
    "-0",
    "-",
    "+1",
    "01",
    "-01",
    "1.",
    ".5",
    "1.5",
    "1e5",
    "1E+3",
    "1e-05",
    "1e",
    "1e+",
    "1.e5",
    "0.0",
    "1.0e-7",
    "12 3",
    "0x1",
    "123456789012345678",
    "NaN",
    "-Infinity",
    "[]",
    "[1]",
    "[1,2]",
    "[1,]",
    "[,1]",
    "[1 2]",
    "[",
    "]",
    "[1",
    "[1,",
    "[]]",
    "[[],[[]]]",
    "{}",
    "{\"a\":1}",
    "{\"a\":1,\"b\":[{}]}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{,}",
    "{1:2}",
    "{\"a\" : 1 , \"b\" : null }",
    "{\"a\":1 \"b\":2}",
    "{\"a\":1",
    "{",
    "[}",
    "{]",
    "{}{}",
    "\"\"",
    "\"a\"",
    "\"a",
    "\"",
    "'a'",
    "\"\\\"\"",
    "\"\\\\\\/\\b\\f\\n\\r\\t\"",
    "\"\\x\"",
    "\"\\",
    "\"\\u0041\"",
    "\"\\u00e4\\u4E2d\"",
    "\"\\u004\"",
    "\"\\u00g0\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud83d\"",
    "\"\\ude00\"",
    "\"\\ud83d\\u0041\"",
    "\"\\ud83dx\\ude00\"",
    "\"\\u0000\"",
    "\"\x01\"",
    "\"\x1f\"",
    "\"\x7f\"",
    "\"\n\"",
    "\"\xc3\xa4\xe4\xb8\xad\xf0\x9f\x98\x80\"",
    "\"\xff\"",
    "\"\xc3\"",
    "\"\xc0\x80\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\xef\xbb\xbf[]",
};

static void it_takes_what_another_parser_takes(void **state)
{
    uint32_t taken_count = 0;
    (void)state;
    for (size_t i = 0; i < sizeof judged_texts / sizeof judged_texts[0]; i++) {
        struct json_scan_value value;
        json_t *parsed = json_loads(
            judged_texts[i], JSON_DECODE_ANY | JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
        if (read_one(judged_texts[i], &value) != (parsed != NULL)) {
            fail_msg("%s", judged_texts[i]);
        }
        taken_count += parsed != NULL;
        if (json_is_string(parsed)) {
            char decoded[64];
            size_t bytes = json_scan_text(&value, decoded, sizeof decoded);
            assert_int_equal(bytes, json_string_length(parsed));
            assert_memory_equal(decoded, json_string_value(parsed), bytes);
        }
        json_decref(parsed);
    }
    assert_true(taken_count > 30);
}

static void every_cut_of_a_text_is_refused(void **state)
{
    static const char text[] =
        "{\"a\\u00e4\\ud83d\\ude00\":[1.5e7,true,null,false,{\"\xc3\xa4\":-0.25}]}";
    (void)state;
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        struct json_scan scan = scan_of(text, bytes);
        struct json_scan_value value;
        bool is_taken = json_scan_value(&scan, &value) && json_scan_skip_rest(&scan, &value) &&
                        json_scan_is_at_end(&scan);
        assert_true(is_taken == (bytes == sizeof text - 1));
        assert_true(is_taken || scan.failed || bytes == 0);
    }
}

static void nesting_is_bounded(void **state)
{
    char text[2 * JSON_SCAN_DEPTH_MAX + 3];
    (void)state;
    for (size_t depth = JSON_SCAN_DEPTH_MAX; depth <= JSON_SCAN_DEPTH_MAX + 1; depth++) {
        struct json_scan_value value;
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = '\0';
        assert_true(read_one(text, &value) == (depth == JSON_SCAN_DEPTH_MAX));
    }
}

/* A text is copied as far as there is room, and its whole length is known. */
static void a_text_is_cut_at_the_room(void **state)
{
    static const char *const texts[] = {"\"abcdef\"", "\"\\u0061bcde\\u0066\""};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t room = 0; room <= 7; room++) {
            char out[8] = "#######";
            struct json_scan_value value;
            assert_true(read_one(texts[i], &value));
            assert_int_equal(json_scan_text(&value, out, room), 6);
            assert_memory_equal(out, "abcdef", room < 6 ? room : 6);
            assert_int_equal(out[room < 6 ? room : 6], '#');
        }
    }
}

static void numbers_are_exact_or_refused(void **state)
{
    static const struct {
        const char *text;
        int64_t mantissa; /* MD_NONE: refused */
        int8_t exponent;
    } rows[] = {
        {"0", 0, 0},
        {"-0.0", 0, -1},
        {"12.30", 1230, -2},
        {"\"12.30\"", 1230, -2},
        {"\"1\\u0032.5\"", 125, -1},
        {"10.450000000000001", 10450000000000001, -15},
        {"1e-05", 1, -5},
        {"1E+3", 1000, 0},
        {"123456789012345678", 123456789012345678, 0},
        {"0.12345678901234567", 12345678901234567, -17},
        {"0.123456789012345678", 123456789012345678, -18},
        {"9223372036854775807", INT64_MAX, 0},
        {"-9223372036854775807", -INT64_MAX, 0},
        {"9223372036854775808", MD_NONE, 0},
        {"0.1234567890123456789", MD_NONE, 0},
        {"1e-19", MD_NONE, 0},
        {"1e19", MD_NONE, 0},
        {"\"\"", MD_NONE, 0},
        {"\"x\"", MD_NONE, 0},
        {"null", MD_NONE, 0},
        {"true", MD_NONE, 0},
        {"[]", MD_NONE, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_scan_value value;
        struct md_decimal decimal;
        assert_true(read_one(rows[i].text, &value));
        assert_true(json_scan_decimal(&value, &decimal) == (rows[i].mantissa != MD_NONE));
        if (rows[i].mantissa != MD_NONE) {
            assert_int_equal(decimal.mantissa, rows[i].mantissa);
            assert_int_equal(decimal.exponent, rows[i].exponent);
        }
    }
}

static void integers_are_exact_or_refused(void **state)
{
    static const struct {
        const char *text;
        bool is_good;
        uint64_t value;
    } rows[] = {
        {"0", true, 0},
        {"-0", true, 0},
        {"77.0", true, 77},
        {"7.7e1", true, 77},
        {"\"77\"", true, 77},
        {"18446744073709551615", true, UINT64_MAX},
        {"18446744073709551616", false, 0},
        {"-1", false, 0},
        {"1.5", false, 0},
        {"null", false, 0},
        {"\"\"", false, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct json_scan_value value;
        uint64_t number = 0;
        assert_true(read_one(rows[i].text, &value));
        assert_true(json_scan_u64(&value, &number) == rows[i].is_good);
        assert_int_equal(number, rows[i].value);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_takes_what_another_parser_takes),
        cmocka_unit_test(every_cut_of_a_text_is_refused),
        cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(a_text_is_cut_at_the_room),
        cmocka_unit_test(numbers_are_exact_or_refused),
        cmocka_unit_test(integers_are_exact_or_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
