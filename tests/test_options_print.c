#include "tests/options_fixture.h"

#include <stdlib.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/config/option_value.h"
#include "src/config/options_json.h"
#include "src/config/options_origin.h"
#include "src/config/options_print.h"
#include "src/config/options_value.h"

static char folder[64];
static char path[96];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_options_print_XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/a: b.yaml", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* The path has a blank, which no word of the fixture's line can have. */
static struct options parsed_file(const char *words)
{
    char variable[128];
    const char *environment[] = {variable, NULL};
    snprintf(variable, sizeof variable, "RINGCAST_CONFIG=%s", path);
    return options_fixture_parsed(words, environment);
}

/* The caller frees it. */
static char *printed(void (*print)(FILE *out, const struct options *options),
                     const struct options *options)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    print(out, options);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(strlen(text), bytes);
    return text;
}

/* A value that is not the default. */
static const char *sample(const struct option_spec *spec, char *buffer, size_t bytes)
{
    switch (option_kind(spec)) {
    case OPTION_FLAG:
        return "yes";
    case OPTION_TEXT:
        return "\xe4\xb8\xad \"x\\\" # y: \t'z";
    case OPTION_NUMBER:
        snprintf(buffer, bytes, "%llu", (unsigned long long)spec->max);
        return buffer;
    case OPTION_SECONDS:
        snprintf(buffer, bytes, "%llu.000000001", (unsigned long long)spec->max / 1000 - 1);
        return buffer;
    case OPTION_BYTES:
        snprintf(buffer, bytes, "%llu", (unsigned long long)spec->max - 1);
        return buffer;
    case OPTION_LOG_BYTES:
        snprintf(buffer, bytes, "%llu", (unsigned long long)spec->min);
        return buffer;
    case OPTION_CHOICE: {
        bool is_last = spec->choices[1] != NULL && strcmp(spec->default_text, "yes") != 0 &&
                       strcmp(spec->default_text, "on") != 0;
        return spec->choices[is_last ? 1 : 0];
    }
    case OPTION_CORES:
        return "2-3";
    case OPTION_LIST:
        return "sim:types=quote+bar,rate=5";
    case OPTION_ACTION:
    case OPTION_IGNORED:
        break;
    }
    return NULL;
}

/* Options that have a value other than their default, as a file would set them. */
static struct options set_all(bool with_secrets)
{
    static const char *const twice[] = {"sim", "replay:path=a # b: c"};
    struct options options = options_fixture_parsed("", NULL);
    cpu_set_t cpus = options_fixture_cpus();
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        char buffer[64];
        char error[OPTIONS_ERROR_BYTES_MAX] = "";
        const char *text = sample(&table[i], buffer, sizeof buffer);
        bool is_left_out = (table[i].kind & OPTION_SECRET) != 0 && !with_secrets;
        if (text == NULL || table[i].key == NULL || is_left_out) {
            continue;
        }
        struct option_value value = {.spec = &table[i],
                                     .layer = OPTIONS_LAYER_FILE,
                                     .source = "FILE:1: key",
                                     .text = option_value_keep(&options, text, strlen(text)),
                                     .cpus = &cpus,
                                     .error_out = error};
        if (option_value_take(&value, &options) < 0) {
            fail_msg("%s", error);
        }
        for (size_t j = 0; option_kind(&table[i]) == OPTION_LIST && j < 2; j++) {
            value.text = twice[j];
            assert_int_equal(option_value_take(&value, &options), 0);
        }
    }
    return options;
}

static void assert_all_equal(const struct options *a, const struct options *b)
{
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        if (table[i].key != NULL && option_kind(&table[i]) != OPTION_IGNORED &&
            !options_value_equal(a, b, &table[i])) {
            fail_msg("%s differs", table[i].key);
        }
    }
}

/* Item 1 of S38 to S50: what is printed loads again, with each option. */
static void a_printed_configuration_loads_again_as_the_same(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        struct options options = i == 0 ? options_fixture_parsed("", NULL) : set_all(false);
        char *text = printed(options_print_config, &options);
        write_file(text);
        struct options again = parsed_file("");
        assert_all_equal(&options, &again);
        free(text);
        text = printed(options_print_config, &again);
        write_file(text);
        struct options third = parsed_file("");
        assert_all_equal(&options, &third);
        free(text);
        options_deinit(&options);
        options_deinit(&again);
        options_deinit(&third);
    }
}

/* S47: and so do variables. A file of docker has no quotes: a value is the rest of the line. */
static void printed_variables_give_the_same_configuration(void **state)
{
    (void)state;
    static const char *const nothing[] = {NULL};
    struct options options = set_all(false);
    char *text = printed(options_print_env, &options);
    const char *environment[OPTIONS_TABLE_MAX + 1] = {NULL};
    size_t count = 0;
    for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        if (*line != '#') {
            assert_true(count < OPTIONS_TABLE_MAX);
            environment[count++] = line;
        }
    }
    assert_true(count > 50);
    struct options again = options_fixture_parsed("", environment);
    assert_all_equal(&options, &again);
    options_deinit(&again);
    options_deinit(&options);
    free(text);

    options = options_fixture_parsed("", nothing);
    text = printed(options_print_env, &options);
    assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1); /* its first line is its last */
    free(text);
    options_deinit(&options);
}

/* A profile would give another value than the default. */
static void a_value_that_is_set_to_its_default_is_among_the_variables(void **state)
{
    (void)state;
    static const char *const variables[] = {"ENVIRONMENT=production", NULL};
    struct options options = options_fixture_parsed("--max-connections 1000", variables);
    char *text = printed(options_print_env, &options);
    assert_non_null(strstr(text, "\nRINGCAST_MAX_CONNECTIONS=1000\n"));
    assert_non_null(strstr(text, "\nRINGCAST_ENVIRONMENT=production\n"));
    free(text);
    options_deinit(&options);
}

/* S57: nor does any other output of the configuration. */
static void no_secret_is_printed(void **state)
{
    (void)state;
    struct options options = options_fixture_parsed(
        "--auth-token hunter2hunter2hunter2 --admin-token hunter2hunter2hunter2", NULL);
    char *texts[] = {printed(options_print_config, &options), printed(options_print_env, &options),
                     NULL};
    json_t *json = options_json(&options);
    texts[2] = json_dumps(json, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_null(strstr(texts[i], "hunter2"));
    }
    assert_non_null(strstr(texts[0], "\n  # auth_token: secret, not shown # --auth-token\n"));
    assert_non_null(strstr(texts[1], "\n# RINGCAST_ADMIN_TOKEN: secret, not shown\n"));
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "admin"), "token")),
                        "***");
    for (size_t i = 0; i < 3; i++) {
        free(texts[i]);
    }
    json_decref(json);
    options_deinit(&options);
}

static void what_a_form_cannot_hold_is_a_comment(void **state)
{
    (void)state;
    static const char *const variables[] = {"RINGCAST_TOKENS_FILE=/a\xff",
                                            "RINGCAST_JWT_ISSUER=a\nRINGCAST_PORT=1",
                                            "RINGCAST_FEED=replay:path=a\nb", NULL};
    struct options options = options_fixture_parsed("--ip-deny=", variables);
    char *config = printed(options_print_config, &options);
    char *env = printed(options_print_env, &options);
    assert_non_null(strstr(config, "  # tokens_file: not UTF-8; give --tokens-file # "
                                   "RINGCAST_TOKENS_FILE\n"));
    assert_non_null(strstr(config, "  jwt_issuer: \"a\\U0000000aRINGCAST_PORT=1\" # "));
    assert_non_null(strstr(config, "  - \"replay:path=a\\U0000000ab\"\n"));
    assert_non_null(strstr(config, "  ip_deny: \"\" # --ip-deny\n"));
    assert_non_null(strstr(env, "\nRINGCAST_TOKENS_FILE=/a\xff\n"));
    assert_non_null(strstr(env, "\n# RINGCAST_JWT_ISSUER: empty, or of several lines; give "));
    assert_non_null(strstr(env, "\n# RINGCAST_IP_DENY: empty, or of several lines; give "));
    assert_non_null(
        strstr(env, "\n# RINGCAST_FEED: a text of the list has a semicolon or ends the "));
    assert_null(strstr(env, "\nRINGCAST_PORT"));
    free(config);
    free(env);
    options_deinit(&options);
}

static void assert_origin(const struct options *options, const char *name, const char *origin)
{
    char is[OPTIONS_ORIGIN_BYTES_MAX];
    options_origin(options, options_fixture_row(name), is);
    assert_string_equal(is, origin);
}

/* S44: and the origin of each value is the layer that won. */
static void each_value_has_the_origin_that_gave_it(void **state)
{
    (void)state;
    char file_origin[128];
    write_file("environment: production\nwebsocket:\n  port: 1\n  max_connections: 5\n");
    char variable[128];
    snprintf(variable, sizeof variable, "RINGCAST_CONFIG=%s", path);
    const char *const variables[] = {variable, "MAX_CONNECTIONS=6", NULL};
    struct options options = options_fixture_parsed("--host ::", variables);
    assert_origin(&options, "host", "--host");
    assert_origin(&options, "max-connections", "MAX_CONNECTIONS");
    snprintf(file_origin, sizeof file_origin, "%s:3", path);
    assert_origin(&options, "port", file_origin);
    assert_origin(&options, "max-subscriptions", "profile production");
    assert_origin(&options, "idle-timeout", "default");
    options_deinit(&options);
}

/* S59: .heartbeat is a number of seconds. */
static void json_has_each_key_once_and_each_origin(void **state)
{
    (void)state;
    struct options options = set_all(true);
    json_t *json = options_json(&options);
    json_t *origins = json_object_get(json, "origins");
    size_t count;
    size_t key_count = 0;
    const struct option_spec *table = options_table(&count);
    assert_true(json_is_real(json_object_get(json, "heartbeat")));
    for (size_t i = 0; i < count; i++) {
        if (table[i].key == NULL || option_kind(&table[i]) == OPTION_IGNORED) {
            continue;
        }
        char section[64] = "";
        const char *dot = strchr(table[i].key, '.');
        snprintf(section, sizeof section, "%.*s", dot == NULL ? 0 : (int)(dot - table[i].key),
                 table[i].key);
        json_t *in = dot == NULL ? json : json_object_get(json, section);
        assert_non_null(json_object_get(in, dot == NULL ? table[i].key : dot + 1));
        assert_string_equal(json_string_value(json_object_get(origins, table[i].key)), "FILE:1");
        key_count++;
    }
    assert_int_equal(json_object_size(origins), key_count);
    json_decref(json);
    options_deinit(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_printed_configuration_loads_again_as_the_same,
                                        make_folder, remove_folder),
        cmocka_unit_test(printed_variables_give_the_same_configuration),
        cmocka_unit_test(a_value_that_is_set_to_its_default_is_among_the_variables),
        cmocka_unit_test(no_secret_is_printed),
        cmocka_unit_test(what_a_form_cannot_hold_is_a_comment),
        cmocka_unit_test_setup_teardown(each_value_has_the_origin_that_gave_it, make_folder,
                                        remove_folder),
        cmocka_unit_test(json_has_each_key_once_and_each_origin),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
