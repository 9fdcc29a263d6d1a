#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "codec/nearest.h"

static void the_nearest_name_is_at_most_three_edits_away(void **state)
{
    (void)state;
    const char *const names[] = {"symbols", "rate", "up"};
    assert_string_equal(nearest_name("symbol", names, 3), "symbols");
    assert_string_equal(nearest_name("smybls", names, 3), "symbols");
    assert_null(nearest_name("xy", names, 3));
    assert_null(nearest_name("something", names, 3));
    assert_null(nearest_name("u", names + 2, 0));
}

static void half_of_a_name_is_to_be_right(void **state)
{
    (void)state;
    const char *const names[] = {"mode", "csv", "on_lag", "max_lag_ms"};
    assert_null(nearest_name("foo", names, 4));
    assert_string_equal(nearest_name("cvs", names, 4), "csv");
    assert_string_equal(nearest_name("max_lag", names, 4), "max_lag_ms"); /* not on_lag */
}

static void a_text_longer_than_any_name_is_near_to_none(void **state)
{
    (void)state;
    char text[NEAREST_NAME_BYTES_MAX + 2];
    char name[NEAREST_NAME_BYTES_MAX + 1];
    memset(text, 'a', sizeof text - 1);
    memset(name, 'a', sizeof name - 1);
    text[sizeof text - 1] = '\0';
    name[sizeof name - 1] = '\0';
    const char *const names[] = {name};
    assert_null(nearest_name(text, names, 1));
    assert_string_equal(nearest_name(text + 1, names, 1), name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_nearest_name_is_at_most_three_edits_away),
        cmocka_unit_test(half_of_a_name_is_to_be_right),
        cmocka_unit_test(a_text_longer_than_any_name_is_near_to_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
