#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "codec/nearest.h"
#include "feeds/feed.h"
#include "src/base/log.h"
#include "src/config/option_value.h"
#include "src/config/options.h"
#include "src/config/options_help.h"
#include "src/config/options_parse.h"
#include "src/config/options_variables.h"

/* The environment of the test: NAME=value. */
static const char *const *environment;
static const char *const nothing[] = {NULL};

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
    struct options_input input = {.argc = argc,
                                  .argv = argv,
                                  .environment = (char *const *)(uintptr_t)environment,
                                  .cpus = &cpus};
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
    assert_int_equal(options.feeds.count, 1);
    assert_string_equal(options.feeds.texts[0], "sim:symbols=25,types=quote+trade+bar+depth");
    assert_int_equal(options.connections_max, 1000);
    assert_int_equal(options.subscriptions_max, 100);
    assert_int_equal(options.frame_log_bytes, 64 * MIB);
    assert_int_equal(options.memory_bytes_max, 0);
    assert_int_equal(options.send_buffer_bytes, 128 * KIB);
    assert_int_equal(options.zero_copy_bytes, OPTIONS_ZERO_COPY_MEASURED);
    assert_int_equal(options.heartbeat_interval_ns, 30 * NS_PER_SECOND);
    assert_int_equal(options.idle_timeout_ns, 300 * NS_PER_SECOND);
    assert_int_equal(options.drain_timeout_ns, NS_PER_SECOND / 2);
    assert_int_equal(options.lag_ms_max, 0);
    assert_int_equal(options.compression, 1);
    assert_int_equal(options.compression_threshold_bytes, 1024);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
    assert_int_equal(options.log_format, 0);
}

static void an_option_wins_over_a_variable_and_that_over_the_default(void **state)
{
    (void)state;
    static const char *const variables[] = {"WEBSOCKET_PORT=1111", "MAX_CONNECTIONS=22",
                                            "LOG_LEVEL=", NULL};
    environment = variables;
    struct options options = parsed("--port 3333");
    assert_int_equal(options.port, 3333);
    assert_int_equal(options.connections_max, 22);
    assert_int_equal(options.log_level, LOG_LEVEL_INFO);
    options_deinit(&options);
}

static void each_option_has_a_variable_of_its_own(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        char name[OPTIONS_VARIABLES_NAME_BYTES_MAX];
        char text[OPTIONS_VARIABLES_NAME_BYTES_MAX + 8];
        options_variables_name(&table[i], name);
        bool has_none = table[i].name == NULL || table[i].kind == OPTION_ACTION;
        assert_int_equal(name[0] == '\0', has_none);
        if (has_none || option_kind(&table[i]) == OPTION_TEXT ||
            (table[i].kind & OPTION_SECRET) != 0 || option_kind(&table[i]) == OPTION_LIST) {
            continue;
        }
        /* It is read: a value that no such option has is refused, in its name. */
        snprintf(text, sizeof text, "%s=@", name);
        const char *const variables[] = {text, NULL};
        environment = variables;
        char wanted[sizeof name + 8];
        snprintf(wanted, sizeof wanted, "%s: \"@\"", name);
        assert_refused("", wanted, "give");
    }
    environment = nothing;
}

static void variables_of_all_kinds_are_taken(void **state)
{
    (void)state;
    char file[] = "/tmp/ringcast-options-XXXXXX";
    int fd = mkstemp(file);
    assert_int_equal(write(fd, "watchdog_seconds: 7\n", 20), 20);
    close(fd);
    char config[64];
    snprintf(config, sizeof config, "RINGCAST_CONFIG=%s", file);
    const char *const variables[] = {config,
                                     "RINGCAST_PORT=2222",
                                     "WEBSOCKET_PORT=1111",
                                     "RINGCAST_UNIX=/run/r.sock",
                                     "RINGCAST_ENABLE_AUTH=yes",
                                     "RINGCAST_BUSY_POLL=no",
                                     "RINGCAST_AUTH_TOKEN=secret",
                                     "RINGCAST_FEED=sim:rate=1;replay:path=/a b.csv",
                                     "RINGCAST_FRAME_LOG_BYTES=2m",
                                     "RINGCAST_LOG_FORMAT=json",
                                     "RINGCAST_CORES=",
                                     NULL};
    environment = variables;
    struct options options = parsed("");
    unlink(file);
    assert_int_equal(options.watchdog_seconds, 7);
    assert_int_equal(options.port, 2222);
    assert_string_equal(options.unix_path, "/run/r.sock");
    assert_true(options.access.enable_auth);
    assert_false(options.busy_poll);
    assert_string_equal(options.access.auth_token, "secret");
    assert_int_equal(options.feeds.count, 2);
    assert_string_equal(options.feeds.texts[0], "sim:rate=1");
    assert_string_equal(options.feeds.texts[1], "replay:path=/a b.csv");
    assert_string_equal(options.feeds.sources[1], "RINGCAST_FEED");
    assert_int_equal(options.frame_log_bytes, 2 * MIB);
    assert_int_equal(options.log_format, 1);
    assert_int_equal(options.warning_count, 0);
    options_deinit(&options);
}

static void only_feeds_are_parts_of_a_variable(void **state)
{
    (void)state;
    static const char *const empty[] = {"RINGCAST_FEED=sim;", NULL};
    static const char *const number[] = {"RINGCAST_PORT=1;2", NULL};
    environment = empty;
    assert_refused("", "RINGCAST_FEED: \"\"", "none empty");
    environment = number;
    assert_refused("", "RINGCAST_PORT: \"1;2\"", "0 to 65535");
}

static void what_kubernetes_sets_for_a_service_is_ignored(void **state)
{
    (void)state;
    static const char *const variables[] = {"WEBSOCKET_PORT=tcp://10.96.12.34:8765",
                                            "WEBSOCKET_SERVICE_HOST=10.96.12.34",
                                            "RINGCAST_PORT=tcp://[fd00::1]:8765",
                                            "RINGCAST_ADMIN_PORT=udp://10.96.12.35:8080",
                                            "RINGCAST_SERVICE_HOST=10.96.12.34",
                                            "RINGCAST_SERVICE_PORT=8765",
                                            "RINGCAST_SERVICE_PORT_WS=8765",
                                            "RINGCAST_PORT_8765_TCP=tcp://10.96.12.34:8765",
                                            "RINGCAST_PORT_8765_TCP_ADDR=10.96.12.34",
                                            "RINGCAST_METRICS_PORT=tcp://10.96.12.36:80",
                                            NULL};
    environment = variables;
    struct options options = parsed("");
    assert_int_equal(options.port, 8765);
    assert_int_equal(options.admin_port, 8080);
    assert_int_equal(options.warning_count, 4);
    assert_non_null(
        strstr(options.warnings[0], "WEBSOCKET_PORT=tcp://10.96.12.34:8765 is ignored"));
    assert_non_null(strstr(options.warnings[0], "give --port"));
    assert_non_null(strstr(options.warnings[1], "RINGCAST_PORT=tcp://[fd00::1]:8765 is ignored"));
    assert_non_null(strstr(options.warnings[3], "give --metrics-port"));
    options_deinit(&options);
    options = parsed("--port 9 --admin-port 10");
    assert_int_equal(options.port, 9);
    options_deinit(&options);
}

static void a_misspelt_variable_is_reported(void **state)
{
    (void)state;
    static const char *const variables[] = {"RINGCAST_PROT=1", "RINGCAST_HELP=yes",
                                            "RINGCAST_ZZZZZZZZZZZZ=1", "RINGCAST_PORT", NULL};
    environment = variables;
    struct options options = parsed("");
    assert_int_equal(options.port, 8765);
    assert_int_equal(options.warning_count, 3);
    assert_string_equal(options.warnings[0], "RINGCAST_PROT is ignored: no option has this "
                                             "variable; did you mean RINGCAST_PORT?");
    assert_non_null(strstr(options.warnings[1], "RINGCAST_HELP is ignored"));
    assert_string_equal(options.warnings[2],
                        "RINGCAST_ZZZZZZZZZZZZ is ignored: no option has this variable");
    options_deinit(&options);
}

static void many_warnings_end_with_one_that_there_are_more(void **state)
{
    (void)state;
    static char texts[100][32];
    const char *variables[101] = {NULL};
    for (int i = 0; i < 100; i++) {
        snprintf(texts[i], sizeof texts[i], "RINGCAST_%d=1", i);
        variables[i] = texts[i];
    }
    environment = variables;
    struct options options = parsed("");
    environment = nothing;
    assert_int_equal(options.warning_count, OPTIONS_WARNINGS_MAX);
    assert_string_equal(options.warnings[OPTIONS_WARNINGS_MAX - 1], "there are more such warnings");
    options_deinit(&options);
}

static void a_bad_variable_is_named_in_the_error(void **state)
{
    (void)state;
    static const char *const variables[] = {"MAX_CONNECTIONS=many", NULL};
    environment = variables;
    assert_refused("", "MAX_CONNECTIONS: \"many\"", "1 to 1000000");
    assert_int_equal(parsed("--help").action, OPTIONS_ACTION_HELP);
}

static void redis_and_consul_are_accepted_and_reported(void **state)
{
    (void)state;
    static const char *const variables[] = {"CONSUL_HOST=c", "REDIS_HOST=r", NULL};
    environment = variables;
    struct options options = parsed("");
    assert_int_equal(options.warning_count, 2);
    assert_int_equal(strncmp(options.warnings[0], "REDIS_HOST is ignored: ", 23), 0);
    assert_int_equal(strncmp(options.warnings[1], "CONSUL_HOST is ignored: ", 24), 0);
    options_deinit(&options);
}

static void a_value_follows_a_space_or_an_equals_sign(void **state)
{
    (void)state;
    struct options options = parsed("--port=1 --host :: --feed sim:rate=5 --feed=replay:a=b");
    assert_int_equal(options.port, 1);
    assert_string_equal(options.host, "::");
    assert_int_equal(options.feeds.count, 2);
    assert_string_equal(options.feeds.texts[0], "sim:rate=5");
    assert_string_equal(options.feeds.texts[1], "replay:a=b");
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
    assert_int_equal(parsed("--zero-copy-bytes 16k").zero_copy_bytes, 16 * KIB);
    assert_int_equal(parsed("--zero-copy-bytes 0").zero_copy_bytes, 0);
    assert_int_equal(parsed("--memory-max 300m").memory_bytes_max, 300 * MIB);
    assert_int_equal(parsed("--memory-max 5000000001").memory_bytes_max, 5000000001);
    assert_refused("--memory-max 1000k", "1000k", "1048576");
    assert_refused("--memory-max 2000000000000", "2000000000000", "1099511627776");
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
    assert_int_equal(parsed("--drain-timeout 0").drain_timeout_ns, 0);
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
    assert_refused("--qqqqqqqqqqqqqq", "--qqqqqqqqqqqqqq", "`ringcast help all`");
}

static void words_that_are_no_options_are_refused(void **state)
{
    (void)state;
    assert_refused("8765", "8765", "not an option");
    assert_refused("-p", "-p", "not an option");
    assert_refused("--", "--", "not an option");
    assert_refused("--port", "--port", "missing");
    assert_refused("--busy-poll=", "--busy-poll", "yes or no");
    assert_refused("--busy-poll=2", "--busy-poll", "yes or no");
    assert_refused("--version=1", "--version", "without a value");
    assert_refused("--config", "--config", "--config FILE");
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
    assert_int_equal(parsed(line).feeds.count, 16);
    strcat(line, "--feed=a");
    assert_refused(line, "--feed", "at most 16");
}

/* ---- The file ---- */

static char file_path[64];

static int make_file(void **state)
{
    snprintf(file_path, sizeof file_path, "/tmp/test_options_XXXXXX");
    int fd = mkstemp(file_path);
    assert_true(fd >= 0);
    close(fd);
    return set_up(state);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(file_path);
}

/* The command line of a file that holds text, and more words. */
static const char *line_of_file(const char *text, const char *words)
{
    static char line[256];
    FILE *file = fopen(file_path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    snprintf(line, sizeof line, "--config %s %s", file_path, words);
    return line;
}

static void assert_file_refused(const char *text, const char *where, const char *what)
{
    char place[128];
    snprintf(place, sizeof place, "%s:%s: ", file_path, where);
    assert_refused(line_of_file(text, ""), place, what);
}

static void a_file_sets_what_its_keys_say(void **state)
{
    (void)state;
    struct options options = parsed(line_of_file("websocket:\n"
                                                 "  host: \"::1\"\n"
                                                 "  port: 4321\n"
                                                 "  heartbeat_interval: 20.5\n"
                                                 "  unix: /tmp/a b\n"
                                                 "feeds:\n"
                                                 "  - sim:rate=5,symbols=7\n"
                                                 "  - replay:path=x\n"
                                                 "cores: 2,3\n"
                                                 "busy_poll: on\n"
                                                 "frame_log_bytes: 16m\n"
                                                 "memory_max: 5g\n"
                                                 "send_buffer_bytes: 64k\n"
                                                 "logging: {level: debug, format: json}\n",
                                                 ""));
    assert_string_equal(options.host, "::1");
    assert_int_equal(options.port, 4321);
    assert_int_equal(options.heartbeat_interval_ns, 20500 * NS_PER_MS);
    assert_string_equal(options.unix_path, "/tmp/a b");
    assert_int_equal(options.feeds.count, 2);
    assert_string_equal(options.feeds.texts[0], "sim:rate=5,symbols=7");
    assert_string_equal(options.feeds.texts[1], "replay:path=x");
    assert_int_equal(options.cpus[1], 3);
    assert_int_equal(options.publisher, OPTIONS_PUBLISHER_THREAD);
    assert_true(options.busy_poll);
    assert_int_equal(options.frame_log_bytes, 16 * MIB);
    assert_int_equal(options.memory_bytes_max, 5120 * MIB);
    assert_int_equal(options.send_buffer_bytes, 64 * KIB);
    assert_int_equal(options.log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(options.log_format, 1);
    assert_int_equal(options.connections_max, 1000);
    assert_false(options.check_config);
    options_deinit(&options);
}

static void a_variable_wins_over_the_file_and_an_option_over_both(void **state)
{
    (void)state;
    static const char *const variables[] = {"WEBSOCKET_PORT=22", "MAX_CONNECTIONS=222",
                                            "LOG_LEVEL=", NULL};
    environment = variables;
    struct options options =
        parsed(line_of_file("websocket: {port: 1, max_connections: 11, max_lag_ms: 111}\n"
                            "logging:\n  level: ERROR\n"
                            "busy_poll: yes\n",
                            "--port 3 --check-config --busy-poll=no"));
    assert_int_equal(options.port, 3);
    assert_int_equal(options.connections_max, 222);
    assert_int_equal(options.lag_ms_max, 111);
    assert_int_equal(options.log_level, LOG_LEVEL_ERROR);
    assert_false(options.busy_poll);
    assert_true(options.check_config);
    options_deinit(&options);
}

static void an_option_before_the_file_wins_too_and_the_last_file_counts(void **state)
{
    (void)state;
    char line[256];
    snprintf(line, sizeof line, "--port 3 --config /nonexistent %s",
             line_of_file("websocket: {port: 1, max_connections: 11}\n", ""));
    struct options options = parsed(line);
    assert_int_equal(options.port, 3);
    assert_int_equal(options.connections_max, 11);
    assert_string_equal(options.config_path, file_path);
    options_deinit(&options);
}

static void feeds_of_an_option_replace_those_of_the_file(void **state)
{
    (void)state;
    struct options options = parsed(line_of_file("feeds: [a, b, c]\n", "--feed d --feed e"));
    assert_int_equal(options.feeds.count, 2);
    assert_string_equal(options.feeds.texts[0], "d");
    assert_string_equal(options.feeds.texts[1], "e");
    options_deinit(&options);
    options = parsed(line_of_file("feeds: a:b=c,d=e\n", ""));
    assert_int_equal(options.feeds.count, 1);
    assert_string_equal(options.feeds.texts[0], "a:b=c,d=e");
    options_deinit(&options);
    assert_file_refused("feeds: [a,a,a,a,a,a,a,a,\n a,a,a,a,a,a,a,a,\n a]\n", "3: feeds",
                        "at most 16");
    assert_file_refused("feeds:\n  - ''\n", "2: feeds", "none empty");
}

static void an_unknown_key_names_its_line_its_path_and_the_nearest(void **state)
{
    (void)state;
    assert_file_refused("cores: 1\nwebsocket:\n  prot: 1\n", "3: websocket.prot",
                        "unknown key; did you mean websocket.port?");
    assert_file_refused("websokcet:\n  port: 1\n", "1: websokcet", "did you mean websocket?");
    assert_file_refused("port: 1\n", "1: port", "did you mean websocket.port?");
    assert_file_refused("websocket:\n  level: INFO\n", "2: websocket.level",
                        "did you mean logging.level?");
    assert_file_refused("max_conections: 1\n", "1: max_conections",
                        "did you mean websocket.max_connections?");
    assert_file_refused("feed: [sim]\n", "1: feed", "did you mean feeds?");
    assert_file_refused("websocket: {prot: {a: 1}}\n", "1: websocket.prot",
                        "did you mean websocket.port?");
    assert_file_refused("qqqqqqqqqqqqqqq: 1\n", "1: qqqqqqqqqqqqqqq",
                        "`ringcast help all` lists all");
    assert_file_refused("qqqqqqqqqqqqqqq: {a: 1}\n", "1: qqqqqqqqqqqqqqq", "`ringcast help all`");
    assert_file_refused("Cores: 1\n", "1: Cores", "did you mean cores?");
}

static void a_value_of_the_wrong_type_or_range_names_its_line_and_path(void **state)
{
    (void)state;
    assert_file_refused("websocket:\n  port: 65536\n", "2: websocket.port", "0 to 65535");
    assert_file_refused("websocket:\n  port: many\n", "2: websocket.port", "\"many\"");
    assert_file_refused("websocket:\n  port: 1.0\n", "2: websocket.port", "a whole number");
    assert_file_refused("websocket:\n  port: [1]\n", "2: websocket.port", "not a list");
    assert_file_refused("websocket:\n  port: {a: 1}\n", "2: websocket.port", "not a section");
    assert_file_refused("websocket:\n  port:\n", "2: websocket.port", "it has no value");
    assert_file_refused("websocket: 1\n", "1: websocket", "a section");
    assert_file_refused("websocket: [port]\n", "1: websocket", "a section");
    assert_file_refused("busy_poll: maybe\n", "1: busy_poll", "yes or no");
    assert_file_refused("cores: 99\n", "1: cores", "0,2-3,5");
    assert_file_refused("logging:\n  level: LOUD\n", "2: logging.level", "DEBUG, INFO");
    assert_file_refused("frame_log_bytes: 3m\n", "1: frame_log_bytes", "a power of two");
    assert_file_refused("environment: [a]\n", "1: environment", "not a list");
    assert_file_refused("websocket:\n  host: ''\n", "2: websocket.host", "1 to 255 bytes");
}

static void what_is_given_twice_is_refused_with_both_lines(void **state)
{
    (void)state;
    assert_file_refused("websocket:\n  port: 1\n  host: a\n  port: 1\n", "4: websocket.port",
                        "given twice, first in line 2");
    assert_file_refused("websocket:\n  port: 1\nwebsocket:\n  host: a\n", "3: websocket",
                        "given twice, first in line 1");
    assert_file_refused("websocket:\nwebsocket:\n  host: a\n", "2: websocket", "given twice");
    assert_file_refused("feeds: [a]\nfeeds: [b]\n", "2: feeds", "given twice, first in line 1");
    assert_file_refused("environment: a\nenvironment: b\n", "2: environment", "given twice");
}

static void a_section_whose_keys_are_all_commented_out_is_good(void **state)
{
    (void)state;
    struct options options = parsed(line_of_file("websocket:\n  # port: 1\ncores: 1\n", ""));
    assert_int_equal(options.port, 8765);
    options_deinit(&options);
}

static void a_file_that_cannot_be_read_is_named(void **state)
{
    (void)state;
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {.port = 77};
    assert_int_equal(parse(&options, error, "--config /nonexistent.yaml"), -ENOENT);
    assert_string_equal(error, "/nonexistent.yaml: the file does not exist");
    assert_int_equal(parse(&options, error, "--config /tmp"), -EISDIR);
    assert_int_equal(options.port, 77);
    assert_refused("--config= ", "--config", "1 to 4096 bytes");
}

/* ---- Rows that the table has none of yet, or few ---- */

static const struct option_spec texts_spec = {
    .name = "texts",
    .kind = OPTION_LIST,
    .offset = offsetof(struct options, feeds),
    .max = 4,
};

static int take(struct options *options, const struct option_spec *spec, enum options_layer layer,
                const char *text, char *error_out)
{
    struct option_value value = {
        .spec = spec,
        .layer = layer,
        .source = "TEXTS",
        .text = text,
        .error_out = error_out,
    };
    return option_value_take(&value, options);
}

static void a_later_layer_replaces_a_list(void **state)
{
    (void)state;
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {0};
    assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_FILE, "a,b", error), 0);
    assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_FILE, "c", error), 0);
    assert_int_equal(options.feeds.count, 2);
    assert_string_equal(options.feeds.texts[0], "a,b");
    assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_VARIABLE, "d", error), 0);
    assert_int_equal(options.feeds.count, 1);
    assert_string_equal(options.feeds.texts[0], "d");
}

static void a_list_with_an_empty_part_or_too_many_is_refused(void **state)
{
    (void)state;
    char error[OPTIONS_ERROR_BYTES_MAX];
    struct options options = {0};
    assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_VARIABLE, "", error), -EINVAL);
    assert_string_equal(error, "TEXTS: \"\" is not valid; give at most 4 of them, none empty");
    for (uint64_t i = 0; i < texts_spec.max; i++) {
        assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_VARIABLE, "a", error), 0);
    }
    assert_int_equal(take(&options, &texts_spec, OPTIONS_LAYER_VARIABLE, "e", error), -EINVAL);
    assert_string_equal(error, "TEXTS: \"e\" is not valid; give at most 4 of them, none empty");
}

static void no_error_shows_a_secret(void **state)
{
    (void)state;
    static const char *const choices[] = {"a", NULL};
    for (uint32_t kind = OPTION_FLAG; kind < OPTION_IGNORED; kind++) {
        struct option_spec spec = texts_spec;
        spec.kind = kind | OPTION_SECRET;
        spec.max = 0;
        spec.choices = choices;
        cpu_set_t cpus;
        CPU_ZERO(&cpus);
        char error[OPTIONS_ERROR_BYTES_MAX] = "";
        struct options options = {0};
        struct option_value value = {.spec = &spec,
                                     .layer = OPTIONS_LAYER_VARIABLE,
                                     .source = "TOKEN",
                                     .text = "hunter2",
                                     .cpus = &cpus,
                                     .error_out = error};
        int status = option_value_take(&value, &options);
        assert_int_equal(status, kind == OPTION_ACTION ? 0 : -EINVAL);
        assert_null(strstr(error, "hunter2"));
        assert_true(kind == OPTION_ACTION || strstr(error, "TOKEN: ") == error);
        options_deinit(&options);
    }
}

static void the_table_is_sound(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    for (size_t i = 0; i < count; i++) {
        const struct option_spec *spec = &table[i];
        uint32_t kind = option_kind(spec);
        bool is_list = kind == OPTION_LIST;
        assert_true(!is_list || (spec->max >= 1 && spec->max <= OPTIONS_LIST_MAX));
        assert_true(spec->name == NULL || strlen(spec->name) <= NEAREST_NAME_BYTES_MAX);
        if (spec->key == NULL) {
            bool needs_none =
                kind == OPTION_IGNORED || (spec->group & ~OPTION_COMMON) == OPTION_GROUP_CONFIG;
            if (!needs_none) {
                fail_msg("--%s has no key", spec->name);
            }
            continue;
        }
        assert_true(strlen(spec->key) <= NEAREST_NAME_BYTES_MAX);
        assert_ptr_equal(strchr(spec->key, '.'), strrchr(spec->key, '.'));
        for (size_t j = 0; j < i; j++) {
            assert_true(table[j].key == NULL || strcmp(table[j].key, spec->key) != 0);
        }
    }
}

/* ---- The reference ---- */

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

/* "`text` | ", or a blank cell. */
static void write_cell(char *row, size_t row_bytes, const char *before, const char *text)
{
    size_t used = strlen(row);
    snprintf(row + used, row_bytes - used, text == NULL ? " |" : " `%s%s` |", before,
             text == NULL ? "" : text);
}

/* A row of docs/options.md begins so, up to its choices. */
static void write_row(char *row, size_t row_bytes, const struct option_spec *spec)
{
    char option[128] = "";
    if (spec->name != NULL) {
        snprintf(option, sizeof option, "%s%s%s", spec->name, spec->value_name == NULL ? "" : " ",
                 spec->value_name == NULL ? "" : spec->value_name);
    }
    snprintf(row, row_bytes, "|");
    write_cell(row, row_bytes, "--", spec->name == NULL ? NULL : option);
    write_cell(row, row_bytes, "", spec->default_text);
    write_cell(row, row_bytes, "", spec->variable);
    write_cell(row, row_bytes, "", spec->key);
    size_t used = strlen(row);
    snprintf(row + used, row_bytes - used, " %s", spec->help);
}

/* And one of docs/ringcast.1 so. */
static void write_entry(char *entry, size_t entry_bytes, const struct option_spec *spec)
{
    snprintf(entry, entry_bytes, ".It Fl \\-%s%s%s\n%s\n", spec->name,
             spec->value_name == NULL ? "" : " Ar ",
             spec->value_name == NULL ? "" : spec->value_name, spec->help);
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
    const char *in_reference = reference;
    const char *in_manual = manual;
    for (size_t i = 0; i < count; i++) { /* both in the order of the table */
        char row[1024];
        write_row(row, sizeof row, &table[i]);
        in_reference = strstr(in_reference, row);
        if (in_reference == NULL) {
            fail_msg("docs/options.md lacks, or has elsewhere, a row that begins: %s", row);
        }
        if (table[i].name == NULL) {
            continue;
        }
        write_entry(row, sizeof row, &table[i]);
        in_manual = strstr(in_manual, row);
        if (in_manual == NULL) {
            fail_msg("docs/ringcast.1 lacks, or has elsewhere: %s", row);
        }
    }
    free(reference);
    free(manual);
}

/* With KEY: VALUE where the default is written as in the table. */
static void the_example_has_every_key_with_its_default(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    char *example = read_text("docs/ringcast.yaml");
    assert_non_null(example);
    for (size_t i = 0; i < count; i++) {
        if (table[i].key == NULL || table[i].kind == OPTION_IGNORED) {
            continue;
        }
        char wanted[128];
        const char *dot = strchr(table[i].key, '.');
        snprintf(wanted, sizeof wanted, "%s:", dot == NULL ? table[i].key : dot + 1);
        if (strstr(example, wanted) == NULL) {
            fail_msg("docs/ringcast.yaml lacks: %s", table[i].key);
        }
    }
    free(example);
    struct options defaults = parsed(""), options = parsed("--config docs/ringcast.yaml");
    for (size_t i = 0; i < count; i++) { /* Texts that are equal become the same. */
        const char **text = (const char **)(void *)((char *)&options + table[i].offset);
        if (option_kind(&table[i]) == OPTION_TEXT && table[i].default_text != NULL) {
            assert_string_equal(*text, table[i].default_text);
            *text = *(const char **)(void *)((char *)&defaults + table[i].offset);
        }
    }
    assert_int_equal(options.feeds.count, 1);
    assert_string_equal(options.feeds.texts[0], defaults.feeds.texts[0]);
    options_deinit(&options);
    /* What is left are no texts, and to be the same. */
    options.config_path = NULL;
    options.feeds = defaults.feeds;
    memcpy(options.sources, defaults.sources, sizeof options.sources);
    memcpy(options.layers, defaults.layers, sizeof options.layers);
    assert_memory_equal(&options, &defaults, sizeof options);
}

/* What a topic prints; the caller frees it. NULL topic: --help. */
static char *helped(const char *topic)
{
    char *help = NULL;
    size_t help_bytes;
    char error[OPTIONS_ERROR_BYTES_MAX];
    FILE *out = open_memstream(&help, &help_bytes);
    if (topic == NULL) {
        options_help_print(out);
    } else {
        assert_int_equal(options_help_print_topic(out, topic, error), 0);
    }
    fclose(out);
    for (const char *line = help; *line != '\0'; line += strcspn(line, "\n") + 1) {
        if (strcspn(line, "\n") > OPTIONS_HELP_COLUMNS) {
            fail_msg("too long: %.*s", (int)strcspn(line, "\n"), line);
        }
    }
    return help;
}

static void help_has_every_option_once_and_every_feed(void **state)
{
    (void)state;
    size_t count;
    const struct option_spec *table = options_table(&count);
    char *all = helped("all");
    char *common = helped(NULL);
    for (size_t i = 0; i < count; i++) {
        char line[64];
        if (table[i].group == OPTION_GROUP_NONE) {
            continue;
        }
        snprintf(line, sizeof line, "\n  --%s%s", table[i].name,
                 table[i].value_name == NULL ? "\n" : " ");
        const char *found = strstr(all, line);
        assert_non_null(found);
        assert_null(strstr(found + 1, line));
        line[strlen(line) - 1] = ' ';
        assert_int_equal((table[i].group & OPTION_COMMON) != 0, strstr(common, line) != NULL);
    }
    assert_non_null(strstr(all, "\n  sim\n"));
    assert_non_null(strstr(all, "\n  replay\n"));
    free(all);
    free(common);
}

static void help_knows_a_topic_and_an_option_with_or_without_dashes(void **state)
{
    (void)state;
    for (size_t dashes = 0; dashes <= 2; dashes++) {
        char *help = helped(&"--unix"[dashes]);
        assert_string_equal(
            help,
            "  --unix PATH\n"
            "      Also listen on a Unix-domain socket at this path, for clients on the same\n"
            "      host.\n"
            "      Key: websocket.unix. Variable: RINGCAST_UNIX.\n");
        free(help);
    }
    char *access = helped("access");
    assert_non_null(strstr(access, "\n  --ip-deny LIST\n"));
    assert_null(strstr(access, "\n  --port "));
    free(access);
    char error[OPTIONS_ERROR_BYTES_MAX];
    assert_int_equal(options_help_print_topic(stdout, "acess", error), -EINVAL);
    assert_non_null(strstr(error, "unknown help topic \"acess\"; did you mean access? "));
    assert_non_null(strstr(error, ", signals, exit-codes, all"));
    assert_int_equal(options_help_print_topic(stdout, "", error), -EINVAL);
    assert_int_equal(options_help_print_topic(stdout, "--prot", error), -EINVAL);
    assert_non_null(strstr(error, "did you mean port?"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(defaults_are_those_of_the_reference, set_up),
        cmocka_unit_test_setup(an_option_wins_over_a_variable_and_that_over_the_default, set_up),
        cmocka_unit_test_setup(each_option_has_a_variable_of_its_own, set_up),
        cmocka_unit_test_setup(variables_of_all_kinds_are_taken, set_up),
        cmocka_unit_test_setup(only_feeds_are_parts_of_a_variable, set_up),
        cmocka_unit_test_setup(what_kubernetes_sets_for_a_service_is_ignored, set_up),
        cmocka_unit_test_setup(a_misspelt_variable_is_reported, set_up),
        cmocka_unit_test_setup(many_warnings_end_with_one_that_there_are_more, set_up),
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
        cmocka_unit_test_setup_teardown(a_file_sets_what_its_keys_say, make_file, remove_file),
        cmocka_unit_test_setup_teardown(a_variable_wins_over_the_file_and_an_option_over_both,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(an_option_before_the_file_wins_too_and_the_last_file_counts,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(feeds_of_an_option_replace_those_of_the_file, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(an_unknown_key_names_its_line_its_path_and_the_nearest,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(a_value_of_the_wrong_type_or_range_names_its_line_and_path,
                                        make_file, remove_file),
        cmocka_unit_test_setup_teardown(what_is_given_twice_is_refused_with_both_lines, make_file,
                                        remove_file),
        cmocka_unit_test_setup_teardown(a_section_whose_keys_are_all_commented_out_is_good,
                                        make_file, remove_file),
        cmocka_unit_test_setup(a_later_layer_replaces_a_list, set_up),
        cmocka_unit_test_setup(a_list_with_an_empty_part_or_too_many_is_refused, set_up),
        cmocka_unit_test_setup(no_error_shows_a_secret, set_up),
        cmocka_unit_test_setup(the_table_is_sound, set_up),
        cmocka_unit_test_setup(a_file_that_cannot_be_read_is_named, set_up),
        cmocka_unit_test_setup(the_reference_and_the_manual_name_every_option, set_up),
        cmocka_unit_test_setup(the_example_has_every_key_with_its_default, set_up),
        cmocka_unit_test_setup(help_has_every_option_once_and_every_feed, set_up),
        cmocka_unit_test_setup(help_knows_a_topic_and_an_option_with_or_without_dashes, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
