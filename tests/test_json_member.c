#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "codec/json_member.h"
#include "tests/guard_page.h"

/* expected: NULL: there is none. */
static void check(const char *text, const char *key, const char *expected)
{
    struct json_member value;
    bool is_there = json_member_find(text, strlen(text), key, &value);
    if (is_there != (expected != NULL)) {
        fail_msg("%s in %s", key, text);
    }
    if (is_there) {
        char found[256];
        snprintf(found, sizeof found, "%.*s", (int)value.bytes, value.text);
        assert_string_equal(found, expected);
    }
}

static void a_value_is_found_as_it_is_written(void **state)
{
    (void)state;
    check("{\"id\":1.50}", "id", "1.50");
    check("{\"id\":-0,\"x\":1}", "id", "-0");
    check(" {\n\t\"x\" : 1 ,\r\"id\" :\t1E5 }", "id", "1E5");
    check("{\"x\":\"id\",\"id\":\"a\\\"b,}\"}", "id", "\"a\\\"b,}\"");
    check("{\"id\":{\"id\":[1,{}]},\"x\":2}", "id", "{\"id\":[1,{}]}");
    check("{\"x\":[{\"id\":1},\"]\",\"\\\\\"],\"id\":[ ]}", "id", "[ ]");
    check("{\"id\":null}", "id", "null");
    check("{\"id\":true}", "id", "true");
    check("{\"id\":1,\"id\":2}", "id", "1");
}

static void a_key_may_have_escapes_and_is_matched_whole(void **state)
{
    (void)state;
    check("{\"\\u0069\\u0064\":1}", "id", "1");
    check("{\"t\\u0030\":1}", "t0", "1");
    check("{\"\\u006C\":1}", "l", "1");
    check("{\"\\u00e9d\":1}", "id", NULL);
    check("{\"\\u006\":1}", "id", NULL);
    check("{\"i\":1,\"idx\":2,\"xid\":3,\"\":4,\"i\\\"d\":5}", "id", NULL);
    check("{\"ID\":1}", "id", NULL);
}

static void what_is_no_object_has_no_members(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        " ",
        "[]",
        "7",
        "\"id\"",
        "{}",
        "{",
        "{\"id",
        "{\"id\"",
        "{\"id\":",
        "{\"id\": ",
        "{\"id\":}",
        "{id:1}",
        "{,\"id\":1}",
        "{\"id\\",
        "{\"id\" 1}",
        "{\"x\":1}",
        "{\"x\" 1}",
        "{\"x\":1;\"id\":2}",
        "[\"id\",1]",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check(texts[i], "id", NULL);
    }
}

static void nothing_is_read_behind_the_text(void **state)
{
    (void)state;
    static const char text[] = "{\"x\":[{\"a\":\"\\\"\"}],\"\\u0069d\" : \"a\\\\\" }";
    struct guard_page guard;
    struct json_member value;
    guard_page_init(&guard, sizeof text);
    for (size_t bytes = 0; bytes < sizeof text; bytes++) {
        const char *copy = (const char *)guard_page_copy(&guard, text, bytes);
        if (json_member_find(copy, bytes, "id", &value)) {
            assert_true(value.text > copy && value.text + value.bytes <= copy + bytes);
        }
    }
    guard_page_deinit(&guard);
}

static void no_nesting_is_too_deep(void **state)
{
    (void)state;
    static char text[100000] = "{\"x\":";
    size_t depth = (sizeof text - 100) / 2;
    memset(text + 5, '[', depth);
    memset(text + 5 + depth, ']', depth);
    strcpy(text + 5 + 2 * depth, ",\"id\":7}");
    check(text, "id", "7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_found_as_it_is_written),
        cmocka_unit_test(a_key_may_have_escapes_and_is_matched_whole),
        cmocka_unit_test(what_is_no_object_has_no_members),
        cmocka_unit_test(nothing_is_read_behind_the_text),
        cmocka_unit_test(no_nesting_is_too_deep),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
