#include "tests/options_fixture.h"

#include <jansson.h>
#include <stdlib.h>

#include "src/config/options_value.h"

/* Of an option ("--port 1"), or of a name that is not given. */
static void assert_value(const char *line, const char *text, const char *json)
{
    char name[64];
    char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX];
    snprintf(name, sizeof name, "%.*s", (int)strcspn(line + 2, " ="), line + 2);
    struct options options = options_fixture_parsed(strchr(line, '?') == NULL ? line : "", NULL);
    name[strcspn(name, "?")] = '\0';
    json_t *value = options_value_json(&options, options_fixture_row(name));
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    const char *is = option_kind(options_fixture_row(name)) == OPTION_LIST
                         ? NULL
                         : options_value_text(&options, options_fixture_row(name), buffer);
    assert_int_equal(is == NULL, text == NULL);
    assert_true(text == NULL || strcmp(is, text) == 0);
    assert_string_equal(dump, json);
    free(dump);
    json_decref(value);
    options_deinit(&options);
}

static void a_value_is_text_that_the_option_takes_and_json_with_its_type(void **state)
{
    (void)state;
    assert_value("--port 7", "7", "7");
    assert_value("--host ::", "::", "\"::\"");
    assert_value("--unix?", NULL, "null");
    assert_value("--busy-poll", "yes", "true");
    assert_value("--busy-poll?", "no", "false");
    assert_value("--heartbeat-interval 20", "20", "20.0");
    assert_value("--heartbeat-interval 0.125", "0.125", "0.125");
    assert_value("--drain-timeout 0", "0", "0.0");
    assert_value("--frame-log-bytes 64m", "64m", "67108864");
    assert_value("--send-buffer-bytes 5000", "5000", "5000");
    assert_value("--send-buffer-bytes 1025k", "1025k", "1049600");
    assert_value("--memory-max 1024g", "1024g", "1099511627776");
    assert_value("--memory-max?", NULL, "null");
    assert_value("--zero-copy-bytes?", NULL, "null");
    assert_value("--zero-copy-bytes 0", "0", "0");
    assert_value("--log-level debug", "DEBUG", "\"DEBUG\"");
    assert_value("--rate-limit-enabled no", "no", "false");
    assert_value("--compression on", "on", "true");
    assert_value("--engine uring", "uring", "\"uring\"");
    assert_value("--cores 1", "1", "\"1\"");
    assert_value("--cores 2", "0,1", "\"0,1\"");
    assert_value("--cores 3-3", "3-3", "\"3-3\"");
    assert_value("--messages-per-second?", NULL, "null");
    assert_value("--messages-per-second 9", "9", "9");
    assert_value("--feed sim --feed sim:rate=1", NULL, "[\"sim\",\"sim:rate=1\"]");
    assert_value("--tokens-file /a\xff/\xc3\xa4", "/a\xff/\xc3\xa4", "\"/a\\\\xff/\xc3\xa4\"");
}

static void a_secret_is_never_in_json(void **state)
{
    (void)state;
    assert_value("--admin-token hunter2hunter2hu", "hunter2hunter2hu", "\"***\"");
    assert_value("--auth-token?", NULL, "null");
}

static void values_are_equal_when_they_mean_the_same(void **state)
{
    (void)state;
    static const struct {
        const char *name, *a, *b;
        bool is_equal;
    } cases[] = {
        {"port", "", "--port 8765", true},
        {"port", "", "--port 1", false},
        {"heartbeat-interval", "", "--heartbeat-interval 30.0", true},
        {"frame-log-bytes", "--frame-log-bytes 65536k", "", true},
        {"unix", "", "", true},
        {"unix", "", "--unix /a", false},
        {"unix", "--unix /a", "", false},
        {"admin-token", "--admin-token aaaaaaaaaaaaaaaa", "--admin-token aaaaaaaaaaaaaaab", false},
        {"cores", "--cores 2", "--cores 0,1", true},
        {"cores", "--cores 1", "--cores 0-0", false},
        {"feed", "--feed sim", "--feed sim", true},
        {"feed", "--feed sim", "--feed sim --feed sim", false},
        {"feed", "--feed sim", "--feed sim:rate=2", false},
        {"zero-copy-bytes", "", "--zero-copy-bytes 0", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options a = options_fixture_parsed(cases[i].a, NULL);
        struct options b = options_fixture_parsed(cases[i].b, NULL);
        if (options_value_equal(&a, &b, options_fixture_row(cases[i].name)) != cases[i].is_equal) {
            fail_msg("\"%s\" and \"%s\"", cases[i].a, cases[i].b);
        }
        options_deinit(&a);
        options_deinit(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_value_is_text_that_the_option_takes_and_json_with_its_type),
        cmocka_unit_test(a_secret_is_never_in_json),
        cmocka_unit_test(values_are_equal_when_they_mean_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
