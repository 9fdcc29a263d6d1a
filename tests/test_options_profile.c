#include "tests/options_fixture.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/config/options_alias.h"
#include "src/config/options_profile.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_options_profile_XXXXXX");
    assert_non_null(mkdtemp(folder));
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static void write_file(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void remove_file(const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_int_equal(unlink(path), 0);
}

static struct options in_environment(const char *name, const char *line)
{
    char variable[64];
    const char *const environment[] = {variable, NULL};
    snprintf(variable, sizeof variable, "ENVIRONMENT=%s", name);
    struct options options = options_fixture_parsed(line, environment);
    options.environment = NULL; /* It borrows from the variable. */
    return options;
}

/* S36, S43: ENVIRONMENT selects a profile, by its long or short name. */
static void a_variable_selects_a_profile(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint32_t connections_max;
        int log_level;
    } cases[] = {
        {"development", 100, LOG_LEVEL_DEBUG}, {"dev", 100, LOG_LEVEL_DEBUG},
        {"test", 200, LOG_LEVEL_INFO},         {"production", 10000, LOG_LEVEL_INFO},
        {"prod", 10000, LOG_LEVEL_INFO},       {"Production", 10000, LOG_LEVEL_INFO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct options options = in_environment(cases[i].name, "");
        assert_int_equal(options.connections_max, cases[i].connections_max);
        assert_int_equal(options.log_level, cases[i].log_level);
        assert_int_equal(options.warning_count, 0);
        options_deinit(&options);
    }
}

/* S29: production permits 200 subscriptions. S44: a profile is below all but the defaults. */
static void a_profile_wins_over_the_defaults_only(void **state)
{
    (void)state;
    char variable[128];
    char line[128];
    const char *const variables[] = {"ENVIRONMENT=production", variable, NULL};
    write_file("a.yaml", "environment: dev\nwebsocket:\n  heartbeat_interval: 7\n");
    snprintf(variable, sizeof variable, "RINGCAST_DRAIN_TIMEOUT=8");
    snprintf(line, sizeof line, "--config %s/a.yaml --max-connections 9", folder);
    struct options options = options_fixture_parsed(line, variables);
    assert_string_equal(options_profile_name(&options), "production");
    assert_int_equal(options.subscriptions_max, 200);
    assert_int_equal(options.heartbeat_interval_ns, 7 * NS_PER_SECOND);
    assert_int_equal(options.drain_timeout_ns, 8 * NS_PER_SECOND);
    assert_int_equal(options.connections_max, 9);
    assert_int_equal(options.warning_count, 0);
    options_deinit(&options);

    snprintf(line, sizeof line, "--config %s/a.yaml", folder);
    options = options_fixture_parsed(line, NULL);
    assert_string_equal(options_profile_name(&options), "development");
    assert_string_equal(options.host, "127.0.0.1");
    options_deinit(&options);

    options = options_fixture_parsed("--environment test", variables);
    assert_string_equal(options_profile_name(&options), "test");
    assert_false(options.rate_limit_enabled);
    options_deinit(&options);
    remove_file("a.yaml");
}

static void an_unknown_profile_is_one_warning_that_lists_all(void **state)
{
    (void)state;
    struct options defaults = options_fixture_parsed("", NULL);
    struct options options = in_environment("staging", "");
    assert_int_equal(options.warning_count, 1);
    assert_string_equal(options.warnings[0],
                        "ENVIRONMENT: no profile has the name \"staging\", and none is used; the "
                        "profiles are development (dev), test and production (prod)");
    assert_int_equal(options.connections_max, defaults.connections_max);
    options_deinit(&options);
    options_deinit(&defaults);
}

/* S49: run at the root of the repository. A profile as a file has the values of the profile. */
static void the_file_of_a_profile_gives_the_same_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"development", "test", "production"};
    for (size_t i = 0; i < 3; i++) {
        char line[128];
        snprintf(line, sizeof line, "--config config/deployment-%s.yaml", names[i]);
        struct options from_file = options_fixture_parsed(line, NULL);
        struct options from_name = in_environment(names[i], "");
        assert_string_equal(options_profile_name(&from_file), names[i]);
        assert_int_equal(from_file.warning_count, 0);
        assert_string_equal(from_file.host, from_name.host);
        assert_int_equal(from_file.connections_max, from_name.connections_max);
        assert_int_equal(from_file.subscriptions_max, from_name.subscriptions_max);
        assert_int_equal(from_file.heartbeat_interval_ns, from_name.heartbeat_interval_ns);
        assert_int_equal(from_file.drain_timeout_ns, from_name.drain_timeout_ns);
        assert_int_equal(from_file.frame_log_bytes, from_name.frame_log_bytes);
        assert_int_equal(from_file.log_level, from_name.log_level);
        options_deinit(&from_file);
        options_deinit(&from_name);
    }
}

/* Each is for a row, which has another key or another place, and is no key of another row. */
static void aliases_are_sound(void **state)
{
    (void)state;
    size_t alias_count;
    size_t count;
    const struct option_alias *aliases = options_alias_table(&alias_count);
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < alias_count; i++) {
        size_t found = 0;
        assert_null(strchr(aliases[i].name, '.'));
        for (size_t j = 0; j < count; j++) {
            if (table[j].key == NULL) {
                continue;
            }
            bool is_its_row = strcmp(table[j].key, aliases[i].key) == 0;
            const struct option_alias *alias = options_alias_find(table[j].key);
            found += is_its_row;
            if (alias == &aliases[i] && !is_its_row) {
                fail_msg("%s is the key of two rows", table[j].key);
            }
        }
        assert_int_equal(found, 1);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(aliases[j].name, aliases[i].name);
        }
    }
}

/* S39: at the top level, below websocket and below performance; but once in a file. */
static void an_alias_stands_in_three_places(void **state)
{
    (void)state;
    static const char *const texts[] = {"idle_timeout: 7.5\n", "websocket:\n  idle_timeout: 7.5\n",
                                        "performance:\n  idle_timeout: 7.5\n"};
    char line[128];
    char error[OPTIONS_ERROR_BYTES_MAX];
    char wanted[128];
    struct options options = {0};
    snprintf(line, sizeof line, "--config %s/a.yaml", folder);
    for (size_t i = 0; i < 3; i++) {
        write_file("a.yaml", texts[i]);
        options = options_fixture_parsed(line, NULL);
        assert_int_equal(options.idle_timeout_ns, 7 * NS_PER_SECOND + NS_PER_SECOND / 2);
        assert_int_equal(options.warning_count, 0);
        options_deinit(&options);
    }
    write_file("a.yaml", "idle_timeout: 1\nwebsocket:\n  idle_timeout: 1\n");
    assert_true(options_fixture_parse(&options, line, NULL, error) < 0);
    snprintf(wanted, sizeof wanted, "%s/a.yaml:3: websocket.idle_timeout: given twice, first in ",
             folder);
    assert_int_equal(strncmp(error, wanted, strlen(wanted)), 0);
    write_file("a.yaml", "security:\n  idle_timeout: 1\n");
    assert_true(options_fixture_parse(&options, line, NULL, error) < 0);
    assert_non_null(strstr(error, "unknown key; did you mean websocket.idle_timeout?"));
    remove_file("a.yaml");
}

static void a_credential_is_a_file_of_a_secret(void **state)
{
    (void)state;
    char variable[128];
    char path[128];
    const char *const variables[] = {variable, NULL};
    snprintf(variable, sizeof variable, "CREDENTIALS_DIRECTORY=%s", folder);
    write_file("tokens", "");
    write_file("auth-token", "");
    write_file("admin-token", "");
    struct options options = options_fixture_parsed("", variables);
    snprintf(path, sizeof path, "%s/tokens", folder);
    assert_string_equal(options.access.tokens_file, path);
    snprintf(path, sizeof path, "%s/auth-token", folder);
    assert_string_equal(options.access.auth_token_file, path);
    snprintf(path, sizeof path, "%s/admin-token", folder);
    assert_string_equal(options.admin_token_file, path);
    assert_null(options.access.jwt_key_file);
    assert_null(options.access.jwt_secret_file);
    options_deinit(&options);

    options = options_fixture_parsed("--tokens-file /other --admin-token x", variables);
    assert_string_equal(options.access.tokens_file, "/other");
    assert_null(options.admin_token_file); /* The secret itself is given. */
    assert_non_null(options.access.auth_token_file);
    options_deinit(&options);
    remove_file("tokens");
    remove_file("auth-token");
    remove_file("admin-token");
}

/* An error of what it names begins with where it is from. */
static void a_credential_is_named_in_errors(void **state)
{
    (void)state;
    char variable[128];
    char located[256];
    const char *const variables[] = {variable, NULL};
    snprintf(variable, sizeof variable, "CREDENTIALS_DIRECTORY=%s", folder);
    write_file("jwt-key", "");
    struct options options = options_fixture_parsed("", variables);
    options_locate(&options, "--jwt-key-file: no keys", located, sizeof located);
    assert_string_equal(located, "$CREDENTIALS_DIRECTORY/jwt-key: no keys");
    options_deinit(&options);
    remove_file("jwt-key");
}

/* The server is not open to all because a secret cannot be read: who reads it reports that. */
static void a_credential_that_cannot_be_reached_is_taken(void **state)
{
    (void)state;
    char variable[160];
    char loop[128];
    const char *const variables[] = {variable, NULL};
    snprintf(loop, sizeof loop, "%s/loop", folder);
    snprintf(variable, sizeof variable, "CREDENTIALS_DIRECTORY=%s", loop);
    assert_int_equal(symlink(loop, loop), 0);
    struct options options = options_fixture_parsed("", variables);
    assert_non_null(options.access.auth_token_file);
    options_deinit(&options);
    remove_file("loop");

    options = options_fixture_parsed("", variables); /* There is no such directory. */
    assert_null(options.access.auth_token_file);
    options_deinit(&options);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_variable_selects_a_profile),
        cmocka_unit_test(a_profile_wins_over_the_defaults_only),
        cmocka_unit_test(an_unknown_profile_is_one_warning_that_lists_all),
        cmocka_unit_test(the_file_of_a_profile_gives_the_same_alone),
        cmocka_unit_test(aliases_are_sound),
        cmocka_unit_test(an_alias_stands_in_three_places),
        cmocka_unit_test(a_credential_is_a_file_of_a_secret),
        cmocka_unit_test(a_credential_is_named_in_errors),
        cmocka_unit_test(a_credential_that_cannot_be_reached_is_taken),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
