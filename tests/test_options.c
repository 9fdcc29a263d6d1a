#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "src/options.h"

/* The environment of the test: NAME, value pairs. */
static const char *const *environment;
static const char *const nothing[] = {NULL};

static char *find_variable(const char *name)
{
    for (size_t i = 0; environment[i] != NULL; i += 2) {
        if (strcmp(environment[i], name) == 0) {
            return (char *)(uintptr_t)environment[i + 1];
        }
    }
    return NULL;
}

/* Parses a command line of words on a machine whose process may use CPUs 0, 2, 3 and 5. */
static int parse(struct options *options_out, char *error_out, const char *line)
{
    static char words[1024]; /* Outlives the call: options borrow from it. */
    char *argv[32] = {(char *)(uintptr_t) "ringcast"};
    int argc = 1;
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET(0, &cpus);
    CPU_SET(2, &cpus);
    CPU_SET(3, &cpus);
    CPU_SET(5, &cpus);
    snprintf(words, sizeof words, "%s", line);
    for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    struct options_input input = {
        .argc = argc, .argv = argv, .variable = find_variable, .cpus = &cpus};
    error_out[0] = '\0';
    return options_parse(options_out, &input, error_out);
}

static struct options parsed(const char *line)
{
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {0};
    int status = parse(&options, error, line);
    if (status != 0) {
        fail_msg("%s: %s", line, error);
    }
    return options;
}

/* The line is refused, and the error holds each of the words. */
static void assert_refused(const char *line, const char *word, const char *more)
{
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {.port = 77};
    assert_int_equal(parse(&options, error, line), -EINVAL);
    assert_int_equal(options.port, 77);
    if (strstr(error, word) == NULL || strstr(error, more) == NULL) {
        fail_msg("%s: the error is: %s", line, error);
    }
}

static int set_up(void **state)
{
    (void)state;
    environment = nothing;
    return 0;
}

static void defaults_are_those_of_the_reference(void **state)
{
    (void)state;
    struct options options = parsed("");
    assert_string_equal(options.host, "0.0.0.0");
    assert_int_equal(options.port, 8765);
    assert_string_equal(options.admin_host, "127.0.0.1");
    assert_int_equal(options.admin_port, 8080);
    assert_null(options.unix_path);
    assert_int_equal(options.core_count, 1);
    assert_int_equal(options.cpus[0], -1);
    assert_int_equal(options.publisher, OPTIONS_PUBLISHER_INLINE);
    assert_false(options.busy_poll);
    assert_int_equal(options.feed_count, 1);
    assert_string_equal(options.feed_specs[0], "sim");
    assert_int_equal(options.connections_max, 1000);
    assert_int_equal(options.subscriptions_max, 100);
    assert_int_equal(options.frame_log_bytes, 64 * MIB);
    assert_int_equal(options.send_buffer_bytes, 128 * KIB);
    assert_int_equal(options.heartbeat_interval_ns, 30 * NS_PER_SECOND);
    assert_int_equal(options.idle_timeout_ns, 300 * NS_PER_SECOND);
    assert_int_equal(options.lag_ms_max, 0);
    assert_int_equal(options.compression, 1);
    assert_int_equal(options.compression_threshold_bytes, 1024);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
    assert_int_equal(options.log_format, 0);
}

static void an_option_wins_over_a_variable_and_that_over_the_default(void **state)
{
    (void)state;
    static const char *const variables[] = {
        "WEBSOCKET_PORT", "1111", "MAX_CONNECTIONS", "22", "LOG_LEVEL", "", NULL};
    environment = variables;
    struct options options = parsed("--port 3333");
    assert_int_equal(options.port, 3333);
    assert_int_equal(options.connections_max, 22);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
}

static void a_bad_variable_is_named_in_the_error(void **state)
{
    (void)state;
    static const char *const variables[] = {"MAX_CONNECTIONS", "many", NULL};
    environment = variables;
    assert_refused("", "MAX_CONNECTIONS: \"many\"", "1 to 1000000");
    assert_int_equal(parsed("--help").action, OPTIONS_ACTION_HELP);
}

static void redis_and_consul_are_accepted_and_reported(void **state)
{
    (void)state;
    static const char *const variables[] = {"CONSUL_HOST", "c", "REDIS_HOST", "r", NULL};
    environment = variables;
    struct options options = parsed("");
    assert_int_equal(options.ignored_count, 2);
    assert_string_equal(options.ignored_variables[0], "REDIS_HOST");
    assert_string_equal(options.ignored_variables[1], "CONSUL_HOST");
}

static void a_value_follows_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    struct options options = parsed("--port=1 --host :: --feed sim:rate=5 --feed=replay:a=b");
    assert_int_equal(options.port, 1);
    assert_string_equal(options.host, "::");
    assert_int_equal(options.feed_count, 2);
    assert_string_equal(options.feed_specs[0], "sim:rate=5");
    assert_string_equal(options.feed_specs[1], "replay:a=b");
}

static void a_count_of_cores_takes_the_first_cpus_of_the_mask(void **state)
{
    (void)state;
    struct options options = parsed("--cores 3");
    assert_int_equal(options.core_count, 3);
    assert_int_equal(options.cpus[0], 0);
    assert_int_equal(options.cpus[1], 2);
    assert_int_equal(options.cpus[2], 3);
    assert_int_equal(options.publisher, OPTIONS_PUBLISHER_THREAD);
    assert_int_equal(parsed("--cores 2 --publisher inline").publisher, OPTIONS_PUBLISHER_INLINE);
}

static void a_list_of_cores_pins_to_exactly_those(void **state)
{
    (void)state;
    struct options options = parsed("--cores 5,2-3");
    assert_int_equal(options.core_count, 3);
    assert_int_equal(options.cpus[0], 5);
    assert_int_equal(options.cpus[1], 2);
    assert_int_equal(options.cpus[2], 3);
    options = parsed("--cores 2-2");
    assert_int_equal(options.core_count, 1);
    assert_int_equal(options.cpus[0], 2);
}

static void cores_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"--cores 0",   "--cores 5-",  "--cores 9",
                                      "--cores 0,1", "--cores 0,0", "--cores 3-2",
                                      "--cores 0,",  "--cores ,0",  "--cores 2-99999999999",
                                      "--cores -1",  "--cores a",   "--cores 0;2"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_refused(bad[i], "--cores", "1 to 4");
        assert_refused(bad[i], "--cores", "0,2-3,5");
    }
}

static void sizes_are_bytes_or_have_a_unit(void **state)
{
    (void)state;
    assert_int_equal(parsed("--frame-log-bytes 16m").frame_log_bytes, 16 * MIB);
    assert_int_equal(parsed("--frame-log-bytes 16MiB").frame_log_bytes, 16 * MIB);
    assert_int_equal(parsed("--frame-log-bytes 1048576").frame_log_bytes, MIB);
    assert_int_equal(parsed("--frame-log-bytes 2G").frame_log_bytes, 2048 * MIB);
    assert_int_equal(parsed("--send-buffer-bytes 64KB").send_buffer_bytes, 64 * KIB);
    assert_refused("--frame-log-bytes 3m", "3m", "a power of two");
    assert_refused("--frame-log-bytes 512k", "512k", "1048576");
    assert_refused("--frame-log-bytes 18446744073709551615g", "g", "power of two");
    assert_refused("--send-buffer-bytes 1x", "1x", "4096");
    assert_refused("--send-buffer-bytes 5g", "5g", "67108864");
}

static void durations_are_seconds_with_decimals(void **state)
{
    (void)state;
    assert_int_equal(parsed("--heartbeat-interval 0.25").heartbeat_interval_ns, 250 * NS_PER_MS);
    assert_int_equal(parsed("--idle-timeout 7").idle_timeout_ns, 7 * NS_PER_SECOND);
    static const char *const bad[] = {"0x5", "1e3", "nan", "inf", "-1", "1.2.3", ".", "0", "5s"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--heartbeat-interval %s", bad[i]);
        assert_refused(line, "--heartbeat-interval", "seconds from 0.1");
    }
}

static void choices_ignore_case_and_errors_list_them(void **state)
{
    (void)state;
    assert_int_equal(parsed("--log-level warning").log_level, LOG_LEVEL_WARNING);
    assert_int_equal(parsed("--log-format JSON").log_format, 1);
    assert_refused("--log-level loud", "loud", "DEBUG, INFO, WARNING, ERROR, CRITICAL");
    assert_refused("--engine epoll", "--engine", "uring");
}

static void numbers_outside_their_range_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"65536", "-1", "+1", "1 ", "", "99999999999999999999", "8x"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char line[64];
        snprintf(line, sizeof line, "--port=%s", bad[i]);
        if (strchr(bad[i], ' ') == NULL) {
            assert_refused(line, "--port", "0 to 65535");
        }
    }
    assert_refused("--max-connections 1000001", "1000001", "1000000");
}

static void an_unknown_option_names_the_nearest_one(void **state)
{
    (void)state;
    assert_refused("--prot 1", "--prot", "--port");
    assert_refused("--max-conections=1", "--max-conections", "--max-connections");
    assert_refused("--qqqqqqqqqqqqqq", "--qqqqqqqqqqqqqq", "--help");
}

static void words_that_are_no_options_are_refused(void **state)
{
    (void)state;
    assert_refused("8765", "8765", "not an option");
    assert_refused("-p", "-p", "not an option");
    assert_refused("--", "--", "not an option");
    assert_refused("--port", "--port", "missing");
    assert_refused("--busy-poll=yes", "--busy-poll", "without a value");
}

static void a_unix_path_that_no_socket_can_have_is_refused(void **state)
{
    (void)state;
    char line[256] = "--unix /";
    memset(line + strlen(line), 'x', 107);
    assert_refused(line, "--unix", "1 to 107 bytes");
    line[strlen(line) - 1] = '\0';
    assert_int_equal(strlen(parsed(line).unix_path), 107);
}

static void the_seventeenth_feed_is_refused(void **state)
{
    (void)state;
    char line[256] = "";
    for (int i = 0; i < 16; i++) {
        strcat(line, "--feed=a ");
    }
    assert_int_equal(parsed(line).feed_count, 16);
    strcat(line, "--feed=a");
    assert_refused(line, "--feed", "at most 16");
}

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        return NULL;
    }
    char *text = calloc(1, 65536);
    size_t bytes = fread(text, 1, 65535, file);
    fclose(file);
    assert_true(bytes < 65535);
    return text;
}

/* A row of docs/options.md begins so. */
static void write_row(char *row, size_t row_bytes, const struct option_spec *spec)
{
    if (spec->name == NULL) {
        snprintf(row, row_bytes, "| `%s` |", spec->variable);
        return;
    }
    snprintf(row, row_bytes, "| `--%s%s%s` | %s%s%s | %s%s%s |", spec->name,
             spec->value_name == NULL ? "" : " ", spec->value_name == NULL ? "" : spec->value_name,
             spec->default_text == NULL ? "" : "`",
             spec->default_text == NULL ? "" : spec->default_text,
             spec->default_text == NULL ? "" : "`", spec->variable == NULL ? "" : "`",
             spec->variable == NULL ? "" : spec->variable, spec->variable == NULL ? "" : "`");
}

/* Run at the root of the repository. */
static void the_reference_and_the_manual_name_every_option(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    char *reference = read_text("docs/options.md");
    char *manual = read_text("docs/ringcast.1");
    assert_non_null(reference);
    assert_non_null(manual);
    for (size_t i = 0; i < count; i++) {
        char row[256];
        write_row(row, sizeof row, &table[i]);
        if (strstr(reference, row) == NULL) {
            fail_msg("docs/options.md lacks a row that begins: %s", row);
        }
        if (table[i].name != NULL) {
            snprintf(row, sizeof row, ".It Fl \\-%s", table[i].name);
        }
        if (table[i].name != NULL && strstr(manual, row) == NULL) {
            fail_msg("docs/ringcast.1 lacks: %s", row);
        }
    }
    free(reference);
    free(manual);
}

static void help_names_every_option_and_every_feed(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    char *help = NULL;
    size_t help_bytes;
    FILE *out = open_memstream(&help, &help_bytes);
    options_print_help(out);
    fclose(out);
    for (size_t i = 0; i < count; i++) {
        char name[64];
        snprintf(name, sizeof name, "  --%s", table[i].name == NULL ? "" : table[i].name);
        assert_non_null(strstr(help, name));
    }
    assert_non_null(strstr(help, "\n  sim\n"));
    assert_non_null(strstr(help, "\n  replay\n"));
    free(help);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_those_of_the_reference, set_up),
        cmocka_unit_test_setup(an_option_wins_over_a_variable_and_that_over_the_default, set_up),
        cmocka_unit_test_setup(a_bad_variable_is_named_in_the_error, set_up),
        cmocka_unit_test_setup(redis_and_consul_are_accepted_and_reported, set_up),
        cmocka_unit_test_setup(a_value_follows_a_space_or_an_equals_sign, set_up),
        cmocka_unit_test_setup(a_count_of_cores_takes_the_first_cpus_of_the_mask, set_up),
        cmocka_unit_test_setup(a_list_of_cores_pins_to_exactly_those, set_up),
        cmocka_unit_test_setup(cores_that_do_not_exist_are_refused, set_up),
        cmocka_unit_test_setup(sizes_are_bytes_or_have_a_unit, set_up),
        cmocka_unit_test_setup(durations_are_seconds_with_decimals, set_up),
        cmocka_unit_test_setup(choices_ignore_case_and_errors_list_them, set_up),
        cmocka_unit_test_setup(numbers_outside_their_range_are_refused, set_up),
        cmocka_unit_test_setup(an_unknown_option_names_the_nearest_one, set_up),
        cmocka_unit_test_setup(words_that_are_no_options_are_refused, set_up),
        cmocka_unit_test_setup(a_unix_path_that_no_socket_can_have_is_refused, set_up),
        cmocka_unit_test_setup(the_seventeenth_feed_is_refused, set_up),
        cmocka_unit_test_setup(the_reference_and_the_manual_name_every_option, set_up),
        cmocka_unit_test_setup(help_names_every_option_and_every_feed, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
