#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "tools/common/control_reply.h"

static int parse(struct control_reply *reply, const char *text)
{
    return control_reply_parse(reply, (const uint8_t *)text, strlen(text));
}

static void a_gap_has_its_channel_and_both_ends(void **state)
{
    (void)state;
    struct control_reply reply;
    assert_int_equal(parse(&reply, "{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":5,\"from\":2,"
                                   "\"to\":9,\"reason\":\"lag\"}}"),
                     0);
    assert_int_equal(reply.type, CONTROL_GAP);
    assert_int_equal(reply.channel, 5);
    assert_int_equal(reply.from, 2);
    assert_int_equal(reply.to, 9);
    control_reply_free(&reply);
}

static void subscribed_has_its_two_lists(void **state)
{
    (void)state;
    struct control_reply reply;
    assert_int_equal(parse(&reply, "{\"type\":\"SUBSCRIBED\",\"data\":{\"ok\":[{\"ch\":1}],"
                                   "\"failed\":[]}}"),
                     0);
    assert_int_equal(reply.type, CONTROL_SUBSCRIBED);
    assert_int_equal(json_array_size(reply.ok), 1);
    assert_int_equal(json_array_size(reply.failed), 0);
    control_reply_free(&reply);
}

static void an_unknown_type_is_kept_by_name(void **state)
{
    (void)state;
    struct control_reply reply;
    assert_int_equal(parse(&reply, "{\"type\":\"NOTICE\",\"data\":{\"event\":\"DRAIN\"}}"), 0);
    assert_int_equal(reply.type, CONTROL_OTHER);
    assert_string_equal(reply.name, "NOTICE");
    control_reply_free(&reply);
}

static void a_number_of_any_size_is_no_fault_where_it_is_not_used(void **state)
{
    (void)state;
    struct control_reply reply;
    assert_int_equal(parse(&reply, "{\"type\":\"GAP\",\"id\":18446744073709551615,\"x\":-1e999,"
                                   "\"data\":{\"ch\":5,\"from\":2,\"to\":9}}"),
                     0);
    assert_int_equal(reply.to, 9);
    control_reply_free(&reply);
    assert_int_equal(parse(&reply, "{\"type\":\"GAP\",\"data\":{\"ch\":5,\"from\":2,"
                                   "\"to\":9223372036854775808}}"),
                     -EPROTO);
}

static void what_is_not_of_the_agreed_shape_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"type\":7}",
        "{\"type\":\"A\",\"type\":\"B\"}",
        "{\"type\":\"GAP\"}",
        "{\"type\":\"GAP\",\"data\":{\"ch\":5,\"from\":-2,\"to\":9}}",
        "{\"type\":\"GAP\",\"data\":{\"ch\":5,\"from\":2}}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct control_reply reply;
        assert_int_equal(parse(&reply, texts[i]), -EPROTO);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gap_has_its_channel_and_both_ends),
        cmocka_unit_test(subscribed_has_its_two_lists),
        cmocka_unit_test(an_unknown_type_is_kept_by_name),
        cmocka_unit_test(a_number_of_any_size_is_no_fault_where_it_is_not_used),
        cmocka_unit_test(what_is_not_of_the_agreed_shape_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
