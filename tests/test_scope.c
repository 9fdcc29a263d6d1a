#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "src/access/scope.h"
#include "src/base/pattern.h"

static struct scope *scope_of(const char *text)
{
    char error[256] = "";
    json_t *object = json_loads(text, 0, NULL);
    struct scope *scope = scope_create(object, NULL, error, sizeof error);
    json_decref(object);
    if (scope == NULL) {
        fail_msg("%s: %s", text, error);
    }
    return scope;
}

static bool covers(const struct scope *scope, const char *text, enum md_type type)
{
    return scope_covers(scope, text, strlen(text), type);
}

static void a_scope_opens_its_symbols_and_types(void **state)
{
    (void)state;
    struct scope *scope = scope_of("{\"symbols\":[\"6*.SH\",\"AAPL.US\"],\"types\":[\"quote\","
                                   "\"bar\"],\"max_subscriptions\":7,\"messages_per_second\":3}");
    assert_true(covers(scope, "600000.SH", MD_QUOTE));
    assert_true(covers(scope, "AAPL.US", MD_BAR));
    assert_false(covers(scope, "AAPL.US", MD_TRADE));
    assert_false(covers(scope, "AAPL.USA", MD_QUOTE));
    assert_false(covers(scope, "000001.SZ", MD_QUOTE));
    assert_false(covers(scope, "", MD_QUOTE));
    assert_int_equal(scope->subscriptions_max, 7);
    assert_int_equal(scope->messages_per_second, 3);
    scope_destroy(scope);
}

static void what_is_left_out_is_not_restricted(void **state)
{
    (void)state;
    struct scope *scope = scope_of("{}");
    for (int type = 0; type < MD_TYPE_COUNT; type++) {
        assert_true(covers(scope, "X", (enum md_type)type));
        assert_true(covers(scope, "*", (enum md_type)type));
        assert_true(covers(&scope_of_all, "*", (enum md_type)type));
    }
    assert_int_equal(scope->subscriptions_max, 0);
    scope_destroy(scope);
    scope = scope_of("{\"symbols\":[],\"types\":[]}");
    assert_false(covers(scope, "X", MD_QUOTE));
    scope_destroy(scope);
}

static void publish_is_a_scope_of_its_own(void **state)
{
    (void)state;
    struct scope *scope = scope_of("{\"symbols\":[\"*.US\"],\"publish\":{\"symbols\":[\"MY.*\"],"
                                   "\"types\":[\"trade\"]}}");
    assert_true(covers(scope->publish, "MY.A", MD_TRADE));
    assert_false(covers(scope->publish, "MY.A", MD_QUOTE));
    assert_false(covers(scope->publish, "A.US", MD_TRADE));
    assert_false(covers(scope, "MY.A", MD_TRADE));
    scope_destroy(scope);
    scope = scope_of("{\"symbols\":[],\"publish\":{}}");
    assert_true(covers(scope->publish, "*", MD_STATUS));
    assert_false(covers(scope, "A", MD_STATUS));
    scope_destroy(scope);
    scope = scope_of("{\"publish\":{\"symbols\":[]}}");
    assert_false(covers(scope->publish, "A", MD_QUOTE));
    scope_destroy(scope);
    scope = scope_of("{}");
    assert_null(scope->publish);
    assert_null(scope_of_all.publish);
    scope_destroy(scope);
}

static void a_pattern_must_lie_within_a_pattern_as_a_whole(void **state)
{
    (void)state;
    static const struct {
        const char *scope, *asked;
        bool is_covered;
    } cases[] = {
        {"*", "*", true},       {"*", "6*.SH", true},       {"*.SH", "6*.SH", true},
        {"*.SH", "*", false},   {"6*.SH", "*.SH", false},   {"6*.SH", "60*.SH", true},
        {"6*.SH", "6*", false}, {"6*.SH", "6*0*.SH", true}, {"A*B*C", "A*C", false},
        {"A*C", "A*B*C", true}, {"AB", "A*", false},        {"AB", "AB", true},
        {"AB*", "A*B*", false}, {"*A*", "*B*", false},      {"*A*", "*AB*", true},
        {"**", "*", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "{\"symbols\":[\"%s\"]}", cases[i].scope);
        struct scope *scope = scope_of(text);
        if (covers(scope, cases[i].asked, MD_QUOTE) != cases[i].is_covered) {
            fail_msg("%s within %s", cases[i].asked, cases[i].scope);
        }
        scope_destroy(scope);
    }
}

/* Against the definition: each word of a small alphabet that the asked pattern has, the scope must
 * have. Short words over two letters and one foreign one decide it for patterns so short. */
static void inclusion_is_that_of_the_sets(void **state)
{
    (void)state;
    static const char letters[] = "ab*";
    static const char alphabet[] = "abz";
    char patterns[3 + 9 + 27][4];
    size_t count = 0;
    for (int length = 1; length <= 3; length++) {
        int all = length == 1 ? 3 : length == 2 ? 9 : 27;
        for (int n = 0; n < all; n++) {
            int rest = n;
            for (int i = 0; i < length; i++, rest /= 3) {
                patterns[count][i] = letters[rest % 3];
            }
            patterns[count++][length] = '\0';
        }
    }
    for (size_t outer = 0; outer < count; outer++) {
        char text[64];
        snprintf(text, sizeof text, "{\"symbols\":[\"%s\"]}", patterns[outer]);
        struct scope *scope = scope_of(text);
        for (size_t inner = 0; inner < count; inner++) {
            bool is_subset = true;
            for (int length = 0, all = 1; length <= 6; length++, all *= 3) {
                for (int n = 0; n < all && is_subset; n++) {
                    char word[8];
                    int rest = n;
                    for (int i = 0; i < length; i++, rest /= 3) {
                        word[i] = alphabet[rest % 3];
                    }
                    is_subset = !pattern_matches(patterns[inner], strlen(patterns[inner]), word,
                                                 (size_t)length) ||
                                pattern_matches(patterns[outer], strlen(patterns[outer]), word,
                                                (size_t)length);
                }
            }
            if (covers(scope, patterns[inner], MD_QUOTE) != is_subset) {
                fail_msg("%s within %s: %d", patterns[inner], patterns[outer], is_subset);
            }
        }
        scope_destroy(scope);
    }
}

static void faults_name_the_key(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"[]", "must be an object"},
        {"{\"symbol\":[\"A\"]}", "\"symbol\" is not a key of a scope"},
        {"{\"symbols\":\"A\"}", "symbols must be an array"},
        {"{\"symbols\":[\"A\",\"\"]}", "symbols[1]"},
        {"{\"symbols\":[7]}", "symbols[0]"},
        {"{\"symbols\":[\"0123456789012345678901234567890123456\"]}", "symbols[0]"},
        {"{\"types\":[\"quotes\"]}", "types must be an array of quote"},
        {"{\"types\":\"quote\"}", "types must be"},
        {"{\"max_subscriptions\":0}", "max_subscriptions must be"},
        {"{\"max_subscriptions\":\"7\"}", "max_subscriptions must be"},
        {"{\"messages_per_second\":100000000000}", "messages_per_second must be"},
        {"{\"publsh\":{}}", "messages_per_second, publish"},
        {"{\"publish\":true}", "publish: it must be an object"},
        {"{\"publish\":null}", "publish: it must be an object"},
        {"{\"publish\":[\"A\"]}", "publish: it must be an object"},
        {"{\"publish\":{\"symbol\":[\"A\"]}}",
         "publish: \"symbol\" is not a key of it; valid: symbols"},
        {"{\"publish\":{\"max_subscriptions\":1}}", "publish: \"max_subscriptions\" is not a key"},
        {"{\"publish\":{\"publish\":{}}}", "publish: \"publish\" is not a key"},
        {"{\"publish\":{\"symbols\":\"A\"}}", "publish: symbols must be an array"},
        {"{\"publish\":{\"types\":[\"ticks\"]}}", "publish: types must be an array of quote"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char error[256] = "";
        json_t *object = json_loads(cases[i][0], 0, NULL);
        assert_null(scope_create(object, NULL, error, sizeof error));
        json_decref(object);
        if (strstr(error, cases[i][1]) == NULL) {
            fail_msg("%s: %s", cases[i][0], error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_scope_opens_its_symbols_and_types),
        cmocka_unit_test(what_is_left_out_is_not_restricted),
        cmocka_unit_test(publish_is_a_scope_of_its_own),
        cmocka_unit_test(a_pattern_must_lie_within_a_pattern_as_a_whole),
        cmocka_unit_test(inclusion_is_that_of_the_sets),
        cmocka_unit_test(faults_name_the_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
