#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "src/base/pattern.h"

static bool matches(const char *pattern, const char *symbol)
{
    return pattern_matches(pattern, strlen(pattern), symbol, strlen(symbol));
}

static void a_star_stands_for_any_run_of_bytes(void **state)
{
    (void)state;
    assert_true(matches("*", "000001.SZ"));
    assert_true(matches("*.SZ", "000001.SZ"));
    assert_true(matches("000001*", "000001.SZ"));
    assert_true(matches("000001.SZ*", "000001.SZ"));
    assert_true(matches("6*.SH", "600000.SH"));
    assert_true(matches("*0*0*1*.SZ", "000001.SZ"));
    assert_true(matches("a*ab", "aabab"));
    assert_true(matches("*a*b*a*", "xxabxa"));
    assert_true(matches("**", "x"));
    assert_false(matches("*.SZ", "600000.SH"));
    assert_false(matches("6*.SH", "000001.SH"));
    assert_false(matches("a*b", "abc"));
    assert_false(matches("aa*a", "aa"));
    assert_false(matches("*ab*ab", "ab"));
    assert_false(matches("abc", "abcd"));
}

/* Every split of the symbol among the stars, tried in turn. */
static bool matches_simply(const char *pattern, const char *symbol)
{
    if (*pattern == '\0') {
        return *symbol == '\0';
    }
    if (*pattern == '*') {
        return matches_simply(pattern + 1, symbol) ||
               (*symbol != '\0' && matches_simply(pattern, symbol + 1));
    }
    return *pattern == *symbol && matches_simply(pattern + 1, symbol + 1);
}

static void matching_agrees_with_trying_every_split(void **state)
{
    static const char letters[] = "ab*";
    (void)state;
    for (uint32_t p = 0; p < 729; p++) { /* 3^6 patterns x 2^6 symbols */
        char pattern[7] = {0};
        for (uint32_t i = 0, rest = p; i < 6; i++, rest /= 3) {
            pattern[i] = letters[rest % 3];
        }
        for (uint32_t s = 0; s < 64; s++) {
            char symbol[7] = {0};
            for (uint32_t i = 0; i < 6; i++) {
                symbol[i] = letters[s >> i & 1];
            }
            assert_int_equal(matches(pattern, symbol), matches_simply(pattern, symbol));
            assert_int_equal(matches(pattern, symbol + 3), matches_simply(pattern, symbol + 3));
        }
    }
}

static void a_pattern_has_at_most_4_stars_and_36_bytes(void **state)
{
    static const char long_one[] = "*23456789*123456789*123456789*123456";
    (void)state;
    assert_true(pattern_is_good(long_one, PATTERN_BYTES_MAX));
    assert_false(pattern_is_good("1*23456789*123456789*123456789*123456", PATTERN_BYTES_MAX + 1));
    assert_true(pattern_is_good("*a*b*c*", 7));
    assert_false(pattern_is_good("*a*b*c**", 8));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_star_stands_for_any_run_of_bytes),
        cmocka_unit_test(matching_agrees_with_trying_every_split),
        cmocka_unit_test(a_pattern_has_at_most_4_stars_and_36_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
