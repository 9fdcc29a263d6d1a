#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "codec/md.h"

static void every_type_is_found_by_its_name(void **state)
{
    (void)state;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        const char *name = md_type_name((enum md_type)type);
        assert_int_equal(md_type_by_name(name, strlen(name)), type);
    }
}

static void type_names_match_in_any_case(void **state)
{
    (void)state;
    assert_int_equal(md_type_by_name("QUOTE", 5), MD_QUOTE);
    assert_int_equal(md_type_by_name("Trade", 5), MD_TRADE);
    assert_int_equal(md_type_by_name("bAR", 3), MD_BAR);
}

static void other_names_are_no_type(void **state)
{
    (void)state;
    assert_int_equal(md_type_by_name("", 0), MD_TYPE_COUNT);
    assert_int_equal(md_type_by_name("quot", 4), MD_TYPE_COUNT);
    assert_int_equal(md_type_by_name("quotes", 6), MD_TYPE_COUNT);
    assert_int_equal(md_type_by_name("qu\0te", 5), MD_TYPE_COUNT);
}

static void a_name_is_compared_within_its_length(void **state)
{
    (void)state;
    assert_int_equal(md_type_by_name("depth,status", 5), MD_DEPTH);
}

static void only_the_none_mantissa_is_not_given(void **state)
{
    (void)state;
    assert_false(md_is_given(md_none));
    assert_true(md_is_given((struct md_decimal){0}));
    assert_true(md_is_given((struct md_decimal){.mantissa = INT64_MIN + 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_type_is_found_by_its_name),
        cmocka_unit_test(type_names_match_in_any_case),
        cmocka_unit_test(other_names_are_no_type),
        cmocka_unit_test(a_name_is_compared_within_its_length),
        cmocka_unit_test(only_the_none_mantissa_is_not_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
