#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "codec/base/version.h"
#include "codec/sbe_tick.h"
#include "tools/bench/bench_command.h"

#define URL "ws://127.0.0.1:9/"
#define WORDS_MAX 16

static struct bench_options options;
static char said[16384]; /* on standard error and output, by the last parse */
static char scenario_path[64];

/* Parses words, with the URL behind them; returns what bench_command_parse does. */
static int parse_words(char **words, int count)
{
    FILE *capture = tmpfile();
    assert_non_null(capture);
    fflush(stdout);
    fflush(stderr);
    int out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
    dup2(fileno(capture), STDOUT_FILENO);
    dup2(fileno(capture), STDERR_FILENO);
    optind = 0;                     /* getopt begins anew */
    bench_options_deinit(&options); /* of the parse before */
    int result = bench_command_parse(&options, count, words);
    fflush(stdout);
    fflush(stderr);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(out);
    close(err);
    rewind(capture);
    said[fread(said, 1, sizeof said - 1, capture)] = 0;
    fclose(capture);
    return result;
}

#define PARSE(...)                                                                                 \
    ({                                                                                             \
        static char *words[] = {"ringcast-bench", ##__VA_ARGS__, URL};                             \
        char *copy[sizeof words / sizeof words[0] + 1] = {0};                                      \
        memcpy(copy, words, sizeof words);                                                         \
        parse_words(copy, sizeof words / sizeof words[0]);                                         \
    })

static void expect_said(const char *text)
{
    if (strstr(said, text) == NULL) {
        fail_msg("'%s' is not in: %s", text, said);
    }
}

static void write_scenario(const char *text)
{
    FILE *file = fopen(scenario_path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    fclose(file);
}

static int make_scenario(void **state)
{
    (void)state;
    strcpy(scenario_path, "/tmp/test_bench_command.XXXXXX");
    int fd = mkstemp(scenario_path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_scenario(void **state)
{
    (void)state;
    bench_options_deinit(&options);
    return unlink(scenario_path);
}

static void nothing_said_means_the_defaults(void **state)
{
    (void)state;
    assert_int_equal(PARSE(), -1);
    assert_int_equal(options.connection_count, 10);
    assert_int_equal(options.role_counts[BENCH_READER], 10);
    assert_int_equal(options.duration_ns, 10 * NS_PER_SECOND);
    assert_int_equal(options.protocol, BENCH_RINGCAST);
    assert_string_equal(options.symbols, "*");
    assert_string_equal(options.types, "quote");
    assert_int_equal(options.patience_ns, 15 * NS_PER_SECOND);
    assert_true(options.until_percent == 0.0);
    assert_string_equal(said, "");
}

static void options_are_set_by_both_names(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "20", "--threads", "3", "-d", "2.5", "--zipf=1.25", "--json",
                           "--protocol", "nats", "--publish", "symbols=3,rate=500"),
                     -1);
    assert_int_equal(options.connection_count, 20);
    assert_int_equal(options.thread_count, 3);
    assert_int_equal(options.duration_ns, 2500 * NS_PER_MS);
    assert_true(options.zipf == 1.25);
    assert_true(options.json);
    assert_int_equal(options.protocol, BENCH_NATS);
    assert_true(options.publish_rate == 500.0);
    assert_true(options.publish_burst == 1.0);
    assert_int_equal(PARSE("--publish", "rate=5000,burst=50"), -1);
    assert_true(options.publish_burst == 50.0);
}

static void an_encoding_fits_its_protocol(void **state)
{
    (void)state;
    assert_int_equal(PARSE(), -1);
    assert_int_equal(options.encoding, BENCH_JSON);
    assert_int_equal(PARSE("--encoding", "sbe"), -1);
    assert_int_equal(options.encoding, BENCH_SBE);
    assert_int_equal(options.sbe_time_at, SBE_TICK_TS_PUB_AT);
    assert_int_equal(PARSE("--encoding", "sbe", "--time-pattern", "\"ts_event\":"), -1);
    assert_int_equal(options.sbe_time_at, SBE_TICK_TS_EVENT_AT);
    assert_int_equal(PARSE("--encoding", "deflate", "--protocol", "plain"), -1);
    assert_int_equal(options.encoding, BENCH_DEFLATE);
    assert_int_equal(PARSE("--encoding", "xml"), 1);
    expect_said("'xml' is not json, sbe or deflate");
    assert_int_equal(PARSE("--encoding", "sbe", "--protocol", "nats"), 1);
    expect_said("--encoding sbe needs --protocol ringcast");
    assert_int_equal(PARSE("--encoding", "sbe", "--time-pattern", "\"t\":"), 1);
    expect_said("--encoding sbe has its fields at fixed places");
    assert_int_equal(PARSE("--encoding", "sbe", "--seq-pattern", ""), 1);
    assert_int_equal(PARSE("--encoding", "sbe", "--channel-pattern", ""), 1);
    assert_int_equal(PARSE("--encoding", "sbe", "--time-unit", "us"), 1);
}

static void depth_and_at_once_need_a_subscription(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--depth", "5", "--at-once"), -1);
    assert_int_equal(options.depth, 5);
    assert_true(options.at_once);
    assert_int_equal(PARSE("--depth", "51"), 1);
    expect_said("--depth: '51'");
    assert_int_equal(PARSE("--depth", "5", "--protocol", "plain"), 1);
    expect_said("--depth");
    assert_int_equal(PARSE("--at-once", "--protocol", "plain"), 1);
    expect_said("--at-once needs");
    assert_int_equal(PARSE("--at-once", "--protocol", "nats"), -1);
}

static void the_url_has_what_is_subscribed(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--by-url", "--depth", "5", "-y", "depth,quote", "--snapshot"), -1);
    assert_non_null(strstr(options.url.path, "?types=depth,quote&on_lag=skip&snapshot=true&symbols="
                                             "{symbols}&depth=5"));
    assert_int_equal(PARSE("--by-url", "-s", "A.US,B/C"), -1);
    assert_non_null(
        strstr(options.url.path, "?types=quote&on_lag=skip&snapshot=false&symbols={symbols}"));
    assert_int_equal(PARSE("--by-url", "-s", "A&B"), 1);
    expect_said("a symbol may not need percent-encoding");
    assert_int_equal(PARSE("--by-url", "--protocol", "nats"), 1);
    expect_said("--by-url needs --protocol ringcast");
    assert_int_equal(PARSE("--by-url", "--at-once"), 1);
    expect_said("does not go with --at-once");
}

static void bad_values_name_their_option(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "0"), 1);
    expect_said("--connections: '0'");
    assert_int_equal(PARSE("-c", "12x"), 1);
    expect_said("--connections: '12x'");
    assert_int_equal(PARSE("-c", "-1"), 1);
    expect_said("--connections: '-1'");
    assert_int_equal(PARSE("-d", "nan"), 1);
    expect_said("--duration: 'nan'");
    assert_int_equal(PARSE("-d", "-1"), 1);
    expect_said("--duration: '-1'");
    assert_int_equal(PARSE("--zipf", "11"), 1);
    expect_said("--zipf");
    assert_int_equal(PARSE("--protocol", "stomp"), 1);
    expect_said("'stomp'");
    assert_int_equal(PARSE("--slow-rate", "655361"), 1);
    expect_said("--slow-rate: '655361' is not a number from 10 to 655360, such as 500 or 2k\n");
    assert_int_equal(PARSE("--slow-rate", "655360"), -1);
    assert_int_equal(PARSE("--time-unit", "min"), 1);
    expect_said("'min'");
    assert_int_equal(PARSE("--time-pattern", ""), 1);
    expect_said("--time-pattern '' needs another --protocol");
    assert_int_equal(PARSE("--seq-pattern", "0123456789012345678901234567890123"), 1);
    expect_said("--seq-pattern");
    assert_int_equal(PARSE("another-url"), 1);
    expect_said("one URL at a time; '" URL "' is a second one");
}

static void a_window_of_no_time_is_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-d", "0"), 1);
    expect_said("--duration");
    assert_int_equal(PARSE("-w", "0"), -1);
}

static void until_is_a_percentile_and_a_time(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--until", "p99=5ms"), -1);
    assert_true(options.until_percent == 99.0);
    assert_int_equal(options.until_ns, 5 * NS_PER_MS);
    assert_int_equal(PARSE("--until", "p99.9=250us"), -1);
    assert_true(options.until_percent == 99.9);
    assert_int_equal(options.until_ns, 250 * NS_PER_US);
    assert_int_equal(PARSE("--until", "max=1.5s"), -1);
    assert_true(options.until_percent == 100.0);
    assert_int_equal(options.until_ns, 1500 * NS_PER_MS);
    assert_int_equal(PARSE("--until", "p50=90000ns"), -1);
    assert_int_equal(options.until_ns, 90000);
}

static void other_forms_of_until_are_refused(void **state)
{
    (void)state;
    static char *bad[] = {"p99",     "p99=",     "p99=5",    "99=5ms",  "p=5ms",    "p0=5ms",
                          "p-1=5ms", "p101=5ms", "p99=5min", "p99=ms",  "p99=-5ms", "p99=0ms",
                          "max",     "max5ms",   "min=5ms",  "p99 5ms", "",         "p99=5ms "};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char *words[] = {"ringcast-bench", "--until", bad[i], URL, NULL};
        if (parse_words(words, 4) != 1) {
            fail_msg("accepted: '%s'", bad[i]);
        }
        expect_said("--until");
    }
}

static void until_writes_no_files(void **state)
{
    (void)state;
    static char *files[] = {"--csv", "--hdr-log", "--plot"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char *words[] = {"ringcast-bench", "--until", "p99=5ms", files[i], "a.svg", URL, NULL};
        assert_int_equal(parse_words(words, 6), 1);
        expect_said(files[i]);
        expect_said("--until");
    }
}

static void what_a_protocol_would_ignore_is_refused(void **state)
{
    (void)state;
    static char *protocols[] = {"ringcast", "plain", "nats", "mqtt"};
    for (size_t i = 0; i < sizeof protocols / sizeof protocols[0]; i++) {
        char *types[] = {"ringcast-bench", "--protocol", protocols[i], "-y", "quote", URL, NULL};
        assert_int_equal(parse_words(types, 6), i == 0 ? -1 : 1);
        expect_said(i == 0 ? "" : "--types");
        char *snapshot[] = {"ringcast-bench", "--protocol", protocols[i], "--snapshot", URL, NULL};
        assert_int_equal(parse_words(snapshot, 5), i == 0 ? -1 : 1);
        expect_said(i == 0 ? "" : "--snapshot");
        char *sent[] = {"ringcast-bench", "--protocol", protocols[i], "--send", "{}", URL, NULL};
        assert_int_equal(parse_words(sent, 6), i == 1 ? -1 : 1);
        expect_said(i == 1 ? "" : "--send");
        char *topic[] = {"ringcast-bench", "--protocol", protocols[i], "--topic",
                         "{symbol}",       URL,          NULL};
        assert_int_equal(parse_words(topic, 6), i >= 2 ? -1 : 1);
        expect_said(i >= 2 ? "" : "--topic");
    }
}

static void texts_that_could_only_be_mistakes_are_refused(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--protocol", "plain", "--ignore", "x", "--ignore", ""), 1);
    expect_said("--ignore: the text is empty");
    static char *names[] = {"", "a b", "a\r\nX: y", "\xc3\xa9", "a,b"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *words[] = {"ringcast-bench", "--protocol", "plain", "--subprotocol",
                         names[i],         URL,          NULL};
        assert_int_equal(parse_words(words, 6), 1);
        expect_said("is not the name of a subprotocol");
    }
    assert_int_equal(PARSE("--protocol", "plain", "--subprotocol", "v1.ticks"), -1);
}

static void a_topic_has_a_place_for_the_symbol(void **state)
{
    (void)state;
    static char text[] = "{symbol}xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
                         "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";
    assert_int_equal(PARSE("--protocol", "mqtt"), -1);
    assert_string_equal(options.topic, "md/{symbol}");
    assert_int_equal(PARSE("--protocol", "nats"), -1);
    assert_string_equal(options.topic, "md.{symbol}");
    assert_int_equal(PARSE("--protocol", "mqtt", "--topic", "prices/#"), 1);
    expect_said("--topic: 'prices/#' has no {symbol}");
    assert_int_equal(strlen(text), 129);
    assert_int_equal(PARSE("--protocol", "mqtt", "--topic", text), 1);
    expect_said("over 128 bytes");
    text[128] = 0;
    assert_int_equal(PARSE("--protocol", "mqtt", "--topic", text), -1);
}

static void mqtt_has_patterns_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--protocol", "mqtt", "-s", "A,*"), -1);
    assert_int_equal(PARSE("--protocol", "mqtt", "-s", "a/+/b,#,SIM{1..3}"), -1);
    assert_int_equal(PARSE("--protocol", "mqtt", "-s", "A,SIM*,B"), 1);
    expect_said("'SIM*,B'");
    expect_said("# is all further levels");
    assert_int_equal(PARSE("--protocol", "nats", "-s", "SIM*"), -1);
}

static void what_plain_sends_has_a_limit(void **state)
{
    (void)state;
    static char text[WS_CLIENT_MESSAGE_BYTES_MAX + 2];
    char *words[] = {"ringcast-bench", "--protocol", "plain", "--send", text, URL, NULL};
    memset(text, 'x', WS_CLIENT_MESSAGE_BYTES_MAX);
    assert_int_equal(parse_words(words, 6), -1);
    text[WS_CLIENT_MESSAGE_BYTES_MAX] = 'x';
    assert_int_equal(parse_words(words, 6), 1);
    expect_said("--send: over 16384 bytes");
}

static void what_plain_draws_must_be_in_the_url(void **state)
{
    (void)state;
    char *words[] = {"ringcast-bench",  "--protocol", "plain", "--symbols", "A,B",
                     "--subscriptions", "1",          URL,     NULL};
    assert_int_equal(parse_words(words, 8), 1);
    expect_said("{symbols}");
    words[7] = URL "sub/{symbols}";
    assert_int_equal(parse_words(words, 8), -1);
    words[2] = "nats";
    words[7] = URL;
    assert_int_equal(parse_words(words, 8), -1);
}

static void ticks_without_numbers_cannot_be_behind(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--publish", "rate=100", "--seq-pattern", ""), 1);
    expect_said("--publish needs --seq-pattern");
    assert_int_equal(PARSE("--seq-pattern", ""), -1);
}

static void crowds_are_a_part_of_the_connections(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "10", "--churn", "4", "--storm", "5"), -1);
    assert_int_equal(options.role_counts[BENCH_READER], 1);
    assert_int_equal(PARSE("-c", "10", "--churn", "4", "--storm", "6"), -1);
    assert_int_equal(options.role_counts[BENCH_READER], 0);
    assert_int_equal(PARSE("-c", "10", "--churn", "5", "--storm", "6"), 1);
    expect_said("part of -c");
    assert_int_equal(PARSE("--churn", "1000000", "--storm", "1000000", "--slow", "1000000",
                           "--stalled", "1000000", "--malformed-clients", "1000000"),
                     1);
    assert_int_equal(PARSE("--stalled", "2", "--stalled-silent", "3"), 1);
    assert_int_equal(PARSE("--protocol", "plain", "--resubscribers", "1"), 1);
    expect_said("--resubscribers");
    assert_int_equal(PARSE("--until", "p99=5ms", "--churn", "1"), 1);
    expect_said("--until");
}

static void sources_are_addresses(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--source", "127.0.0.2,::1"), -1);
    assert_int_equal(options.source_count, 2);
    assert_int_equal(options.sources[0].address.ss_family, AF_INET);
    assert_int_equal(options.sources[1].address.ss_family, AF_INET6);
    assert_int_equal(PARSE("--source", "127.0.0.2,localhost"), 1);
    expect_said("'localhost'");
}

static void more_threads_than_connections_are_not_made(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c", "2", "-t", "8"), -1);
    assert_int_equal(options.thread_count, 2);
}

static int parse_scenario(const char *text)
{
    write_scenario(text);
    char *words[] = {"ringcast-bench", "--scenario", scenario_path, URL, NULL};
    return parse_words(words, 4);
}

static void a_scenario_file_has_an_option_a_line(void **state)
{
    (void)state;
    assert_int_equal(parse_scenario("# a comment\n"
                                    "\n"
                                    "connections 1000\n"
                                    "  symbols   S{000..199}   # all of them\n"
                                    "subscriptions=20\n"
                                    "zipf = 1.0\r\n"
                                    "\tjson\n"
                                    "time-pattern \"ts_event\":\n"
                                    "symbol-pattern a#b \"c d\"\n"
                                    "duration 1.5"),
                     -1);
    assert_int_equal(options.connection_count, 1000);
    assert_string_equal(options.symbols, "S{000..199}");
    assert_int_equal(options.subscription_count, 20);
    assert_true(options.zipf == 1.0);
    assert_true(options.json);
    assert_string_equal(options.time_pattern, "\"ts_event\":");
    assert_string_equal(options.symbol_pattern, "a#b \"c d\"");
    assert_int_equal(options.duration_ns, 1500 * NS_PER_MS);
}

static void a_value_may_be_empty_or_begin_with_the_sign(void **state)
{
    (void)state;
    assert_int_equal(parse_scenario("protocol plain\n"
                                    "seq-pattern =\n"
                                    "channel-pattern =   # there is one\n"
                                    "time-pattern = =\"\n"
                                    "symbol-pattern==a =b\n"),
                     -1);
    assert_string_equal(options.seq_pattern, "");
    assert_string_equal(options.channel_pattern, "");
    assert_string_equal(options.time_pattern, "=\"");
    assert_string_equal(options.symbol_pattern, "=a =b");
    assert_int_equal(parse_scenario("json =\n"), 1);
    expect_said("'json' takes no value");
    assert_int_equal(parse_scenario("threads =\n"), 1);
    expect_said("--threads: ''");
    assert_int_equal(parse_scenario("seq-pattern\n"), 1);
    expect_said("'seq-pattern' needs a value");
    assert_int_equal(parse_scenario("= 5\n"), 1);
    expect_said("line 1");
}

static void a_fault_in_a_scenario_is_told_with_its_line(void **state)
{
    (void)state;
    assert_int_equal(parse_scenario("connections 10\n# one\n\nconections 20\nthreads 2\n"), 1);
    expect_said("unknown option 'conections'; did you mean connections?");
    expect_said("line 4");
    expect_said(scenario_path);
    assert_int_equal(parse_scenario("connections\n"), 1);
    expect_said("'connections' needs a value");
    expect_said("line 1");
    assert_int_equal(parse_scenario("threads 2\njson yes\n"), 1);
    expect_said("'json' takes no value");
    expect_said("line 2");
    assert_int_equal(parse_scenario("threads many\n"), 1);
    expect_said("'many'");
    expect_said("line 1");
    assert_int_equal(parse_scenario("scenario other\n"), 1);
    expect_said("unknown option 'scenario'");
    assert_int_equal(parse_scenario("--threads 2\n"), 1);
    expect_said("'--threads'");
}

static void a_scenario_that_is_not_there_is_told(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--scenario", "/nonexistent/scenario"), 1);
    expect_said("/nonexistent/scenario");
}

/* 2 000 names are 12 000 bytes. */
static void a_long_line_of_a_scenario_is_one_line(void **state)
{
    (void)state;
    static char text[65536] = "threads 2\nsymbols ";
    size_t used = strlen(text), head = used;
    for (int i = 0; i < 2000; i++) {
        used += (size_t)snprintf(text + used, sizeof text - used, "%sS%04d", i > 0 ? "," : "", i);
    }
    size_t symbols_bytes = used - head;
    snprintf(text + used, sizeof text - used, "\nthreads x\n");
    assert_int_equal(parse_scenario(text), 1);
    expect_said("line 3");
    text[used] = 0;
    assert_int_equal(parse_scenario(text), -1);
    assert_int_equal(strlen(options.symbols), symbols_bytes);
}

static void what_comes_last_holds(void **state)
{
    (void)state;
    write_scenario("connections 20\nthreads 2\nthreads 3\n");
    char *before[] = {"ringcast-bench", "-c", "5", "--scenario", scenario_path, URL, NULL};
    assert_int_equal(parse_words(before, 6), -1);
    assert_int_equal(options.connection_count, 20);
    assert_int_equal(options.thread_count, 3);
    char *after[] = {"ringcast-bench", "--scenario", scenario_path, "-c", "5", URL, NULL};
    assert_int_equal(parse_words(after, 6), -1);
    assert_int_equal(options.connection_count, 5);
}

static void lists_add_up_where_they_are_given_twice(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-s", "A,B", "--symbols", "C", "-y", "quote", "-y", "trade", "--source",
                           "127.0.0.2", "--source", "127.0.0.3"),
                     -1);
    assert_string_equal(options.symbols, "A,B,C");
    assert_string_equal(options.types, "quote,trade");
    assert_int_equal(options.source_count, 2);
    write_scenario("symbols A\nsymbols B\ntypes trade\n");
    char *file[] = {"ringcast-bench", "--scenario", scenario_path, URL, NULL};
    assert_int_equal(parse_words(file, 4), -1);
    assert_string_equal(options.symbols, "A,B");
    /* What the command line says replaces what a file said, and the other way round. */
    char *line[] = {"ringcast-bench", "--scenario", scenario_path, "-s", "C", "-s", "D", URL, NULL};
    assert_int_equal(parse_words(line, 8), -1);
    assert_string_equal(options.symbols, "C,D");
    assert_string_equal(options.types, "trade");
    char *before[] = {"ringcast-bench", "-s", "C", "--scenario", scenario_path, URL, NULL};
    assert_int_equal(parse_words(before, 6), -1);
    assert_string_equal(options.symbols, "A,B");
}

static void a_scenario_that_cannot_be_read_is_told(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--scenario", "/nonexistent"), 1);
    expect_said("/nonexistent: No such file or directory");
    assert_int_equal(PARSE("--scenario", "/"), 1);
    expect_said("it cannot be read: Is a directory");
    expect_said("in /, line 0");
}

static void threads_without_connections_are_told(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-t", "8", "-c", "5"), -1);
    assert_int_equal(options.thread_count, 5);
    expect_said("only 5 of the 8 threads are used, one for each connection");
    assert_int_equal(PARSE("-t", "5", "-c", "5"), -1);
    assert_string_equal(said, "");
    /* Later steps have more connections. */
    assert_int_equal(PARSE("-t", "8", "-c", "5", "--until", "p99=5ms"), -1);
    assert_int_equal(options.thread_count, 8);
}

static void times_and_counts_have_units(void **state)
{
    (void)state;
    assert_int_equal(PARSE("-c1k", "-t2", "-d5s", "-w", "500ms", "--timeout", "1m"), -1);
    assert_int_equal(options.connection_count, 1000);
    assert_int_equal(options.duration_ns, 5 * NS_PER_SECOND);
    assert_int_equal(options.warmup_ns, 500 * NS_PER_MS);
    assert_int_equal(options.timeout_ns, 60 * NS_PER_SECOND);
    assert_int_equal(PARSE("-c", "2.5k", "-d", "1h", "--receive-buffer-bytes", "64k"), -1);
    assert_int_equal(options.connection_count, 2500);
    assert_int_equal(options.duration_ns, 3600 * NS_PER_SECOND);
    assert_int_equal(options.receive_buffer_bytes, 65536);
    assert_int_equal(PARSE("-c", "1m"), -1);
    assert_int_equal(options.connection_count, 1000000);
    write_scenario("connections 1.5k\nduration 500ms\n");
    char *scenario[] = {"ringcast-bench", "--scenario", scenario_path, URL, NULL};
    assert_int_equal(parse_words(scenario, 4), -1);
    assert_int_equal(options.connection_count, 1500);
    assert_int_equal(options.duration_ns, 500 * NS_PER_MS);
    assert_int_equal(PARSE("-d", "5x"), 1);
    expect_said("--duration: '5x' is not a time such as 10s, 500ms, 2m or 1h\n");
    assert_int_equal(PARSE("-c", "1000001"), 1);
    expect_said("--connections: '1000001' is not a number from 1 to 1000000, such as 500 or 2k\n");
}

static void a_misspelt_option_is_told_the_nearest(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--connectoins", "5"), 1);
    assert_string_equal(
        said, "ringcast-bench: unknown option --connectoins; did you mean --connections?\n");
    assert_int_equal(PARSE("--durations=5"), 1);
    expect_said("unknown option --durations; did you mean --duration?");
    assert_int_equal(PARSE("--no-such"), 1);
    expect_said("unknown option --no-such; ringcast-bench --help lists all\n");
    assert_int_equal(PARSE("-Z"), 1);
    expect_said("unknown option -Z; ringcast-bench --help lists all\n");
    assert_int_equal(PARSE("--json=yes"), 1);
    expect_said("--json takes no value\n");
    char *open[] = {"ringcast-bench", "--duration", NULL};
    assert_int_equal(parse_words(open, 2), 1);
    expect_said("--duration needs a value: --duration TIME\n");
    char *letter[] = {"ringcast-bench", "-d", NULL};
    assert_int_equal(parse_words(letter, 2), 1);
    expect_said("-d needs a value\n");
}

static void called_bare_it_prints_a_usage(void **state)
{
    (void)state;
    char *bare[] = {"ringcast-bench", NULL};
    assert_int_equal(parse_words(bare, 1), 1);
    expect_said("Usage: ringcast-bench [options] URL\n");
    expect_said("--help lists all");
    assert_true(strlen(said) < 800);
    char *letter[] = {"ringcast-bench", "-v", NULL};
    assert_int_equal(parse_words(letter, 2), 0);
    assert_string_equal(said, "ringcast-bench " RINGCAST_VERSION "\n");
    char *none[] = {"ringcast-bench", "-j", NULL};
    assert_int_equal(parse_words(none, 2), 1);
    expect_said("the URL is missing");
}

static void texts_may_be_given_several_times(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--protocol", "plain", "--ignore", "a,b", "--ignore", "ping"), -1);
    assert_int_equal(options.ignored.count, 2);
    assert_string_equal(options.ignored.list[0], "a,b");
    assert_string_equal(options.ignored.list[1], "ping");
    write_scenario("protocol plain\nignore one\nignore two\n");
    char *file[] = {"ringcast-bench", "--scenario", scenario_path, "--ignore", "three", URL, NULL};
    assert_int_equal(parse_words(file, 6), -1);
    assert_int_equal(options.ignored.count, 1);
    assert_string_equal(options.ignored.list[0], "three");
    assert_int_equal(PARSE("--ignore", "x"), 1);
    expect_said("--ignore needs another --protocol");
    char *many[2 * (BENCH_TEXTS_MAX + 1) + 2] = {"ringcast-bench"};
    for (int i = 0; i <= BENCH_TEXTS_MAX; i++) {
        many[1 + 2 * i] = "--ignore";
        many[2 + 2 * i] = "x";
    }
    assert_int_equal(parse_words(many, 2 * BENCH_TEXTS_MAX + 3), 1);
    expect_said("--ignore: given over 16 times");
}

static void without_times_there_are_no_latencies(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--protocol", "plain", "--time-pattern", ""), -1);
    assert_string_equal(options.seq_pattern, "");
    assert_string_equal(options.channel_pattern, "");
    assert_int_equal(PARSE("--protocol", "plain", "--time-pattern", "", "--seq-pattern", "\"n\":"),
                     -1);
    assert_string_equal(options.seq_pattern, "\"n\":");
    assert_int_equal(PARSE("--protocol", "plain", "--time-pattern", "", "--until", "p99=1s"), 1);
    expect_said("--until needs the times");
    assert_int_equal(PARSE("--protocol", "plain", "--time-pattern", "", "--latency"), 1);
    expect_said("--latency needs the times");
    assert_int_equal(PARSE(), -1);
    assert_string_equal(options.seq_pattern, "\"seq\":");
    assert_string_equal(options.channel_pattern, "\"ch\":");
}

static void a_preset_comes_before_all_other_options(void **state)
{
    (void)state;
    write_scenario("connections 7\ntime-unit us\n");
    char *line[] = {"ringcast-bench", "-s",          "ethusdt@trade",
                    "--scenario",     scenario_path, "--preset",
                    "binance",        URL,           NULL};
    assert_int_equal(parse_words(line, 8), -1);
    assert_int_equal(options.protocol, BENCH_PLAIN);
    assert_string_equal(options.symbols, "ethusdt@trade");
    assert_string_equal(options.time_pattern, "\"E\":");
    assert_int_equal(options.time_unit_ns, NS_PER_US);
    assert_int_equal(options.connection_count, 7);
    assert_string_equal(options.send_text,
                        "{\"method\":\"SUBSCRIBE\",\"params\":[\"{symbols}\"],\"id\":1}");
    assert_int_equal(PARSE("--preset=mqtt"), -1);
    assert_int_equal(options.protocol, BENCH_MQTT);
    assert_string_equal(options.symbols, "*");
}

static void each_preset_is_listed_and_fits_together(void **state)
{
    (void)state;
    static char *names[] = {"ringcast",   "nats",    "mqtt",    "nchan",
                            "websockets", "binance", "coinbase"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *line[] = {"ringcast-bench", "--preset", names[i], URL, NULL};
        assert_int_equal(parse_words(line, 4), -1);
        assert_string_equal(said, "");
        assert_int_equal(PARSE("--preset", "list"), 0);
        expect_said(names[i]);
        assert_int_equal(PARSE("--help"), 0);
        expect_said("\nPresets, whose options all others override:\n");
        expect_said(names[i]);
        assert_int_equal(PARSE("--preset", "kafka"), 1);
        expect_said("--preset: 'kafka' is none of these:\n");
        expect_said(names[i]);
    }
}

static void a_channel_by_its_symbol_needs_names(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--channel-pattern", "symbol"), 1);
    expect_said("--channel-pattern symbol needs the names of the symbols: -s *");
    assert_int_equal(PARSE("--channel-pattern", "symbol", "-s", "A,B"), -1);
    assert_true(options.channel_is_symbol);
    assert_string_equal(options.channel_pattern, "");
    assert_int_equal(PARSE("--time-unit", "iso"), -1);
    assert_int_equal(options.time_unit_ns, 0);
    assert_int_equal(PARSE("--time-unit", "min"), 1);
    expect_said("--time-unit: 'min' is not ns, us, ms, s or iso");
}

static void a_scenario_has_no_preset(void **state)
{
    (void)state;
    assert_int_equal(parse_scenario("preset nats\n"), 1);
    expect_said("unknown option 'preset'");
}

static void help_fits_a_terminal(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--help"), 0);
    for (const char *line = said, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        if (end - line > 100) {
            fail_msg("%.*s", (int)(end - line), line);
        }
    }
    expect_said("\nCommon options:\n  -c, --connections N ");
}

static void help_lists_every_option_and_ends_well(void **state)
{
    (void)state;
    assert_int_equal(PARSE("--help"), 0);
    expect_said("--connections N");
    expect_said("Exit code");
}

static void a_bad_url_is_told(void **state)
{
    (void)state;
    char *words[] = {"ringcast-bench", "http://127.0.0.1/", NULL};
    assert_int_equal(parse_words(words, 2), 1);
    expect_said("http://127.0.0.1/");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_said_means_the_defaults),
        cmocka_unit_test(options_are_set_by_both_names),
        cmocka_unit_test(an_encoding_fits_its_protocol),
        cmocka_unit_test(depth_and_at_once_need_a_subscription),
        cmocka_unit_test(the_url_has_what_is_subscribed),
        cmocka_unit_test(bad_values_name_their_option),
        cmocka_unit_test(a_window_of_no_time_is_refused),
        cmocka_unit_test(until_is_a_percentile_and_a_time),
        cmocka_unit_test(other_forms_of_until_are_refused),
        cmocka_unit_test(until_writes_no_files),
        cmocka_unit_test(what_a_protocol_would_ignore_is_refused),
        cmocka_unit_test(texts_that_could_only_be_mistakes_are_refused),
        cmocka_unit_test(a_topic_has_a_place_for_the_symbol),
        cmocka_unit_test(mqtt_has_patterns_of_its_own),
        cmocka_unit_test(what_plain_sends_has_a_limit),
        cmocka_unit_test(what_plain_draws_must_be_in_the_url),
        cmocka_unit_test(ticks_without_numbers_cannot_be_behind),
        cmocka_unit_test(crowds_are_a_part_of_the_connections),
        cmocka_unit_test(sources_are_addresses),
        cmocka_unit_test(more_threads_than_connections_are_not_made),
        cmocka_unit_test(a_scenario_file_has_an_option_a_line),
        cmocka_unit_test(a_value_may_be_empty_or_begin_with_the_sign),
        cmocka_unit_test(a_fault_in_a_scenario_is_told_with_its_line),
        cmocka_unit_test(a_scenario_that_is_not_there_is_told),
        cmocka_unit_test(a_long_line_of_a_scenario_is_one_line),
        cmocka_unit_test(what_comes_last_holds),
        cmocka_unit_test(lists_add_up_where_they_are_given_twice),
        cmocka_unit_test(a_scenario_that_cannot_be_read_is_told),
        cmocka_unit_test(threads_without_connections_are_told),
        cmocka_unit_test(times_and_counts_have_units),
        cmocka_unit_test(a_misspelt_option_is_told_the_nearest),
        cmocka_unit_test(called_bare_it_prints_a_usage),
        cmocka_unit_test(texts_may_be_given_several_times),
        cmocka_unit_test(without_times_there_are_no_latencies),
        cmocka_unit_test(a_preset_comes_before_all_other_options),
        cmocka_unit_test(each_preset_is_listed_and_fits_together),
        cmocka_unit_test(a_channel_by_its_symbol_needs_names),
        cmocka_unit_test(a_scenario_has_no_preset),
        cmocka_unit_test(help_fits_a_terminal),
        cmocka_unit_test(help_lists_every_option_and_ends_well),
        cmocka_unit_test(a_bad_url_is_told),
    };
    return cmocka_run_group_tests(tests, make_scenario, remove_scenario);
}
