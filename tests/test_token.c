#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "src/access/token.h"

#define ALPHA "alpha-0123456789abcdef"
#define BETA "beta-0123456789abcdef0"

/* Of BETA, by sha256sum. */
#define BETA_SHA256 "482e7d505e2137e1e10c38a9e187fdf7c73c53a0913e58cb86ebab8fe13791c4"

static struct token_table table;

static int tear_down(void **state)
{
    (void)state;
    token_table_deinit(&table);
    return 0;
}

static const char file[] =
    "{\"tokens\":[{\"name\":\"desk 1\\n\",\"token\":\"" ALPHA "\",\"symbols\":[\"*.SZ\"],"
    "\"max_connections\":2},{\"name\":\"desk-2\",\"sha256\":\"" BETA_SHA256 "\"}]}";

static void load(const char *text)
{
    char error[256] = "";
    if (token_table_load(&table, text, strlen(text), error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
}

static struct token *find(const char *text)
{
    return token_find(&table, text, strlen(text));
}

static void a_token_is_found_by_all_of_it(void **state)
{
    (void)state;
    load(file);
    assert_ptr_equal(find(ALPHA), &table.tokens[0]);
    assert_ptr_equal(find(BETA), &table.tokens[1]);
    assert_null(find(""));
    assert_null(find("alpha-0123456789abcdeF"));
    assert_null(find(BETA_SHA256));
    for (size_t bytes = 0; bytes < sizeof ALPHA - 1; bytes++) {
        assert_null(token_find(&table, ALPHA, bytes));
    }
    assert_null(token_find(&table, ALPHA "\0", sizeof ALPHA));
    assert_string_equal(table.tokens[0].name, "desk?1?");
    assert_true(scope_covers(table.tokens[0].scope, "1.SZ", 4, MD_QUOTE));
    assert_false(scope_covers(table.tokens[0].scope, "1.SH", 4, MD_QUOTE));
    assert_true(scope_covers(table.tokens[1].scope, "*", 1, MD_DEPTH));
}

static void a_token_alone_permits_reading_everything(void **state)
{
    (void)state;
    char error[256];
    assert_int_equal(token_table_add(&table, "auth-token", ALPHA, strlen(ALPHA), error, 256), 0);
    assert_true(scope_covers(find(ALPHA)->scope, "*", 1, MD_TRADE));
    assert_null(find(ALPHA)->scope->publish); /* for clients */
    assert_int_equal(token_table_add(&table, "again", ALPHA, strlen(ALPHA), error, 256), -EINVAL);
    assert_int_equal(token_table_add(&table, "short", "0123456789abcde", 15, error, 256), -EINVAL);
    assert_non_null(strstr(error, "16 to 4096 bytes, and this one has 15"));
    assert_null(strstr(error, "0123456789abcde"));
}

static void connections_are_counted_where_they_are_limited(void **state)
{
    (void)state;
    load(file);
    struct token *limited = find(ALPHA);
    assert_true(token_take(limited));
    assert_true(token_take(limited));
    assert_false(token_take(limited));
    token_release(limited);
    assert_true(token_take(limited));
    for (int i = 0; i < 100; i++) {
        assert_true(token_take(find(BETA)));
    }
}

static void faults_name_the_entry_and_never_a_token(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\",}]}", "not JSON at line 1"},
        {"[\"SECRETSECRETSECRET\"]", "give {\"tokens\":"},
        {"{\"tokens\":[],\"SECRETSECRETSECRET\":1}", "give {\"tokens\":"},
        {"{\"tokens\":[{\"token\":\"SECRETSECRETSECRET\"}]}",
         "tokens[0]: it must be an object with"},
        {"{\"tokens\":[{\"name\":\"a\"}]}", "tokens[0]: give a token"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\",\"sha256\":\"\"}]}",
         "give a token, its sha256"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRET\"}]}",
         "16 to 4096 bytes, and this one has 6"},
        {"{\"tokens\":[{\"name\":\"a\",\"sha256\":\"SECRET\"}]}", "64 hexadecimal digits"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\",\"symbol\":[]}]}",
         "\"symbol\" is not a key"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\","
         "\"publish\":{\"name\":\"a\"}}]}",
         "tokens[0]: publish: \"name\" is not a key"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\",\"max_connections\":0}]}",
         "max_connections"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\","
         "\"max_connections\":1e999}]}",
         "tokens[0]: max_connections must be"},
        {"{\"tokens\":[{\"name\":\"a\",\"token\":\"SECRETSECRETSECRET\"},"
         "{\"name\":\"b\",\"token\":\"SECRETSECRETSECRET\"}]}",
         "tokens[1]: the same token or certificate is there already"},
        {"{\"tokens\":[{\"name\":\"a\",\"certificate\":\"SECRETSECRETSECRET\"}]}",
         "tokens[0]: certificate \"...\": it must begin with"},
        {"{\"tokens\":[{\"name\":\"a\",\"certificate\":7}]}", "tokens[0]: give a token"},
        {"{\"tokens\":[{\"name\":\"a\",\"certificate\":\"cn:a\",\"token\":\"SECRETSECRETSECRET\"}]"
         "}",
         "tokens[0]: give a token"},
        {"{\"tokens\":[{\"name\":\"a\",\"certificate\":\"dns:A.example.com\"},"
         "{\"name\":\"b\",\"certificate\":\"dns:a.EXAMPLE.com\"}]}",
         "tokens[1]: the same token or certificate is there already"},
        {"{\"tokens\":[{\"name\":\"a\",\"certificate\":\"cn:a\",\"publish\":{}}]}",
         "tokens[0]: publish needs a token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char error[256] = "";
        assert_int_equal(
            token_table_load(&table, cases[i][0], strlen(cases[i][0]), error, sizeof error),
            -EINVAL);
        if (strstr(error, cases[i][1]) == NULL || strstr(error, "SECRET") != NULL) {
            fail_msg("%s: %s", cases[i][0], error);
        }
        token_table_deinit(&table);
    }
}

/* Counted, so that no clock is asked: how many digests the longest search compares. */
static void the_longest_search_among_ten_thousand_tokens_is_short(void **state)
{
    (void)state;
    char text[32];
    char error[256] = "";
    uint32_t run = 0;
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        int bytes = snprintf(text, sizeof text, "a token number %05u", i);
        assert_int_equal(token_table_add(&table, "one", text, (size_t)bytes, error, 256), 0);
    }
    for (uint32_t i = 0; i < 2 * 32768; i++) { /* A run may go round the end. */
        run = table.slots[i % 32768] == 0 ? 0 : run + 1;
        assert_true(run < 64);
    }
    for (uint32_t i = 0; i < TOKENS_MAX; i++) {
        int bytes = snprintf(text, sizeof text, "a token number %05u", i);
        assert_ptr_equal(token_find(&table, text, (size_t)bytes), &table.tokens[i]);
    }
    assert_null(token_find(&table, "a token number 10000", 20));
    assert_int_equal(token_table_add(&table, "more", "a token number 10000", 20, error, 256),
                     -EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_token_is_found_by_all_of_it, tear_down),
        cmocka_unit_test_teardown(a_token_alone_permits_reading_everything, tear_down),
        cmocka_unit_test_teardown(connections_are_counted_where_they_are_limited, tear_down),
        cmocka_unit_test_teardown(faults_name_the_entry_and_never_a_token, tear_down),
        cmocka_unit_test_teardown(the_longest_search_among_ten_thousand_tokens_is_short, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
