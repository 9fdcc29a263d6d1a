#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "ring/board/counters_table.h"
#include "ring/board/frame_log_size.h"
#include "src/admin/host.h"
#include "src/admin/prometheus.h"
#include "src/admin/stats.h"
#include "src/guard/guard.h"
#include "tests/emulator.h"

static struct counters *counters;
static struct frame_log *frame_log;
static struct metrics *metrics;
static struct feed_table feeds;
static struct watchdog watchdog;
static struct guard *guard;
static _Atomic uint32_t refused_count;

static int set_up(void **state)
{
    static const int cpus[] = {-1, -1};
    static const char *const specs[] = {"sim:symbols=5", "sim"};
    (void)state;
    feeds = (struct feed_table){0};
    feed_table_add(&feeds, "sim", 3, 7 * NS_PER_SECOND);
    feed_table_add(&feeds, "sim", 3, 7 * NS_PER_SECOND);
    struct frame_log_options log_options = {.capacity_bytes = MIB,
                                            .frame_bytes_max = 64 * KIB,
                                            .channel_count_max = 4,
                                            .reader_count = 2};
    assert_int_equal(counters_open(&counters, -1, 2), 0);
    assert_int_equal(frame_log_create(&frame_log, &log_options), 0);
    assert_int_equal(guard_create(&guard), 0);
    struct watchdog_options watchdog_options = {.counters = counters, .limit_ns = NS_PER_SECOND};
    watchdog_init(&watchdog, &watchdog_options);
    struct metrics_options source = {
        .counters = counters,
        .watchdog = &watchdog,
        .log = frame_log,
        .epoch = "0123456789abcdef",
        .log_memory = {.logs = {{"json", frame_log}},
                       .count = 1,
                       .bytes_max = 5 * MIB,
                       .refused_count = &refused_count},
        .connections_max = 77,
        .cpus = cpus,
        .feeds = specs,
        .feed_count = 2,
        .feed_table = &feeds,
        .guard = guard,
    };
    assert_int_equal(metrics_create(&metrics, &source), 0);
    static const struct metrics_certificate certificate = {1800000000, "/etc/\"x\"/chain.pem",
                                                           "a.b"};
    metrics_set_certificates(metrics, &certificate, 1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    metrics_destroy(metrics);
    guard_destroy(guard);
    frame_log_destroy(frame_log);
    counters_close(counters);
    return 0;
}

/* The page has this whole line. */
static void assert_line(const char *page, const char *line)
{
    char whole[256];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(page, whole) == NULL) {
        fail_msg("the page lacks: %s", line);
    }
}

static char *write_page(bool with_aliases)
{
    size_t bytes;
    char *page = prometheus_write(metrics, with_aliases, &bytes);
    assert_non_null(page);
    assert_int_equal(strlen(page), bytes);
    return page;
}

static void every_core_has_a_series_of_its_own(void **state)
{
    (void)state;
    counter_set(&counters->cores[0].frames_out, 5);
    counter_set(&counters->cores[1].frames_out, 6);
    counter_set(&counters->cores[1].closed_slow, 3);
    char *page = write_page(true);
    assert_line(page, "# TYPE ringcast_frames_sent_total counter");
    assert_line(page, "ringcast_frames_sent_total{core=\"0\"} 5");
    assert_line(page, "ringcast_frames_sent_total{core=\"1\"} 6");
    assert_line(page, "ringcast_connections_dropped_total{core=\"1\",reason=\"slow\"} 3");
    assert_line(page, "ringcast_connections_max 77");
    free(page);
}

static void latency_buckets_are_cumulative(void **state)
{
    (void)state;
    counter_set(&counters->cores[0].flush.buckets[0], 1);
    counter_set(&counters->cores[0].flush.buckets[counters_histogram_bucket(2000)], 2);
    counter_set(&counters->cores[0].flush.buckets[COUNTERS_HISTOGRAM_BUCKETS - 1], 4);
    counter_set(&counters->cores[0].flush.sum_ns, 3 * NS_PER_SECOND);
    char *page = write_page(true);
    assert_line(page, "ringcast_flush_latency_seconds_bucket{core=\"0\",le=\"1.024e-06\"} 1");
    assert_line(page, "ringcast_flush_latency_seconds_bucket{core=\"0\",le=\"2.048e-06\"} 3");
    assert_line(page, "ringcast_flush_latency_seconds_bucket{core=\"0\",le=\"17.1798692\"} 3");
    assert_line(page, "ringcast_flush_latency_seconds_bucket{core=\"0\",le=\"+Inf\"} 7");
    assert_line(page, "ringcast_flush_latency_seconds_sum{core=\"0\"} 3");
    assert_line(page, "ringcast_flush_latency_seconds_count{core=\"0\"} 7");
    free(page);
}

static void stages_are_of_the_publisher_and_of_each_core(void **state)
{
    (void)state;
    counters_histogram_add(&counters->publisher.feed, 2000, 3);
    counters_histogram_add(&counters->cores[1].wait, 1023, 4);
    char *page = write_page(true);
    assert_line(page, "ringcast_stage_seconds_bucket{stage=\"feed\",le=\"1.024e-06\"} 0");
    assert_line(page, "ringcast_stage_seconds_bucket{stage=\"feed\",le=\"2.048e-06\"} 3");
    assert_line(page, "ringcast_stage_seconds_count{stage=\"feed\"} 3");
    assert_line(page, "ringcast_stage_seconds_count{core=\"0\",stage=\"wait\"} 0");
    assert_line(page,
                "ringcast_stage_seconds_bucket{core=\"1\",stage=\"wait\",le=\"1.024e-06\"} 4");
    free(page);
}

/* A feed of the table, as the publisher shows it. */
static void show_feed(uint32_t index, enum feed_state state, const char *cause)
{
    struct feed feed = {
        .counters = {.ticks = 10, .skipped = 2, .malformed = 3, .producers = 4},
        .state = state,
        .state_since_ns = 8 * NS_PER_SECOND,
        .state_revision = 1,
    };
    snprintf(feed.cause, sizeof feed.cause, "%s", cause);
    feed_table_write(&feeds.rows[index], &feed, 9 * NS_PER_SECOND);
}

static void every_feed_has_a_series_of_its_own(void **state)
{
    (void)state;
    show_feed(1, FEED_STALE, "silent");
    char *page = write_page(true);
    assert_line(page, "ringcast_feed_state{feed=\"sim\",state=\"connecting\"} 1");
    assert_line(page, "ringcast_feed_state{feed=\"sim\",state=\"stale\"} 0");
    assert_line(page, "ringcast_feed_state{feed=\"sim#2\",state=\"connecting\"} 0");
    assert_line(page, "ringcast_feed_state{feed=\"sim#2\",state=\"stale\"} 1");
    assert_line(page, "ringcast_feed_state_timestamp_seconds{feed=\"sim\"} 7");
    assert_line(page, "ringcast_feed_state_timestamp_seconds{feed=\"sim#2\"} 8");
    assert_line(page, "ringcast_feed_last_tick_timestamp_seconds{feed=\"sim#2\"} 9");
    assert_line(page, "ringcast_feed_ticks_total{feed=\"sim\"} 0");
    assert_line(page, "ringcast_feed_ticks_total{feed=\"sim#2\"} 10");
    assert_line(page, "ringcast_feed_malformed_total{feed=\"sim#2\"} 3");
    assert_line(page, "# TYPE ringcast_feed_producers gauge");
    assert_line(page, "ringcast_feed_producers{feed=\"sim#2\"} 4");
    free(page);
}

static void stats_have_every_feed(void **state)
{
    (void)state;
    show_feed(1, FEED_DOWN, "the recording has ended");
    json_t *stats = stats_json(metrics);
    const json_t *list = json_object_get(json_object_get(stats, "publisher"), "feeds");
    assert_int_equal(json_array_size(list), 2);
    const json_t *feed = json_array_get(list, 0);
    assert_string_equal(json_string_value(json_object_get(feed, "spec")), "sim:symbols=5");
    assert_true(json_is_null(json_object_get(feed, "cause")));
    assert_true(json_is_null(json_object_get(feed, "last_tick_seconds")));
    feed = json_array_get(list, 1);
    assert_string_equal(json_string_value(json_object_get(feed, "feed")), "sim#2");
    assert_string_equal(json_string_value(json_object_get(feed, "state")), "down");
    assert_string_equal(json_string_value(json_object_get(feed, "cause")),
                        "the recording has ended");
    assert_true(json_real_value(json_object_get(feed, "since_seconds")) == 8);
    assert_true(json_real_value(json_object_get(feed, "last_tick_seconds")) == 9);
    assert_int_equal(json_integer_value(json_object_get(feed, "skipped")), 2);
    json_decref(stats);
}

static void stats_have_every_counter(void **state)
{
    (void)state;
    counter_set(&counters->cores[1].blocked_ns, 3 * NS_PER_SECOND / 2);
    counter_set(&counters->process.admin_turns, 6);
    counters_histogram_add(&counters->cores[1].wait, 1023, 99);
    counters_histogram_add(&counters->cores[1].wait, NS_PER_SECOND, 1);
    json_t *stats = stats_json(metrics);
    json_t *core = json_array_get(json_object_get(stats, "cores"), 1);
    json_t *wait = json_object_get(core, "wait");
    assert_true(json_real_value(json_object_get(core, "blocked_seconds")) == 1.5);
    assert_int_equal(json_integer_value(json_object_get(wait, "count")), 100);
    assert_true(json_real_value(json_object_get(wait, "p50_seconds")) == 1.024e-6);
    assert_true(json_real_value(json_object_get(wait, "p99_seconds")) == 1.024e-6);
    double longest = json_real_value(json_object_get(wait, "max_seconds"));
    assert_true(longest > 1 && longest < 1.25);
    json_t *process = json_object_get(stats, "process");
    assert_int_equal(json_integer_value(json_object_get(process, "admin_turns")), 6);
    assert_non_null(json_object_get(json_object_get(stats, "publisher"), "feed"));
    json_decref(stats);
}

static void memory_of_logs_is_what_the_kernel_says(void **state)
{
    (void)state;
    EMULATOR_LACKS("madvise");
    char line[128];
    atomic_store(&refused_count, 7);
    char *page = write_page(false);
    uint64_t before = frame_log_size_now(frame_log);
    assert_true(before >= MIB);
    snprintf(line, sizeof line, "ringcast_log_bytes{encoding=\"json\"} %" PRIu64, before);
    assert_line(page, line);
    assert_line(page, "ringcast_log_bytes_max 5242880");
    assert_line(page, "ringcast_log_refusals_total 7");
    free(page);
    frame_log_clear(frame_log);
    uint64_t after = frame_log_size_now(frame_log);
    assert_true(after < before);
    page = write_page(false);
    snprintf(line, sizeof line, "ringcast_log_bytes{encoding=\"json\"} %" PRIu64, after);
    assert_line(page, line);
    free(page);
}

static void aliases_are_there_unless_left_out(void **state)
{
    (void)state;
    static const char *const names[] = {"\ncpu_usage_percent ", "\nmemory_usage_mb ",
                                        "\nactive_connections ", "\nerror_rate "};
    counter_set(&counters->cores[0].conns_streaming, 2);
    counter_set(&counters->cores[1].conns_streaming, 3);
    char *page = write_page(true);
    assert_line(page, "active_connections 5");
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(strstr(page, names[i]));
    }
    free(page);
    page = write_page(false);
    for (size_t i = 0; i < 4; i++) {
        assert_null(strstr(page, names[i]));
    }
    free(page);
}

static void every_sample_has_help_and_type_once(void **state)
{
    (void)state;
    char *page = write_page(true);
    char *lines = page;
    for (char *line = strsep(&lines, "\n"); line != NULL; line = strsep(&lines, "\n")) {
        if (strncmp(line, "# HELP ", 7) != 0) {
            continue;
        }
        char head[128];
        int name_bytes = (int)strcspn(line + 7, " ");
        snprintf(head, sizeof head, "# TYPE %.*s ", name_bytes, line + 7);
        assert_int_equal(strncmp(lines, head, strlen(head)), 0);
        snprintf(head, sizeof head, "# HELP %.*s ", name_bytes, line + 7);
        assert_null(strstr(lines, head));
    }
    free(page);
}

static char reference[65536];

/* docs/metrics.md is read at the root of the repository. */
static void read_reference(void)
{
    FILE *file = fopen("docs/metrics.md", "r");
    assert_non_null(file);
    size_t bytes = fread(reference, 1, sizeof reference - 1, file);
    assert_true(bytes < sizeof reference - 1);
    reference[bytes] = '\0';
    fclose(file);
}

static void assert_reference_has(const char *line)
{
    char whole[512];
    snprintf(whole, sizeof whole, "\n%s\n", line);
    if (strstr(reference, whole) == NULL) {
        fail_msg("docs/metrics.md lacks this line: %s", line);
    }
}

static void add_label(char *labels, const char *name)
{
    if (strstr(labels, name) == NULL) {
        sprintf(labels + strlen(labels), "%s%s", labels[0] == '\0' ? "" : ", ", name);
    }
}

/* "core, reason": what all rows of a metric have. */
static void name_labels(const char *metric, char *labels)
{
    size_t count;
    const struct counters_row *rows = counters_rows(&count);
    labels[0] = '\0';
    for (int is_second = 0; is_second <= 1; is_second++) {
        for (size_t i = 0; i < count; i++) {
            if (rows[i].metric == NULL || strcmp(rows[i].metric, metric) != 0) {
                continue;
            }
            if (!is_second && rows[i].scope == COUNTERS_CORE) {
                snprintf(labels, 64, "core");
            } else if (is_second && rows[i].labels != NULL) {
                char name[32];
                snprintf(name, sizeof name, "%.*s", (int)strcspn(rows[i].labels, "="),
                         rows[i].labels);
                add_label(labels, name);
            }
        }
    }
}

static void the_reference_has_a_line_for_each_metric_of_the_page(void **state)
{
    (void)state;
    char *page = write_page(true);
    char *lines = page;
    read_reference();
    for (char *line = strsep(&lines, "\n"); line != NULL; line = strsep(&lines, "\n")) {
        if (strncmp(line, "# HELP ", 7) != 0) {
            continue;
        }
        char begin[128];
        char end[256];
        int name_bytes = (int)strcspn(line + 7, " ");
        int type_bytes = (int)strcspn(lines + 8 + name_bytes, "\n");
        snprintf(begin, sizeof begin, "\n| `%.*s` | %.*s | ", name_bytes, line + 7, type_bytes,
                 lines + 8 + name_bytes);
        snprintf(end, sizeof end, " | %s |", line + 8 + name_bytes);
        const char *found = strstr(reference, begin);
        if (found == NULL ||
            strncmp(strchr(found + strlen(begin) - 1, '|') - 1, end, strlen(end)) != 0) {
            fail_msg("docs/metrics.md lacks this line: %s...%s", begin + 1, end);
        }
    }
    free(page);
}

static void the_reference_says_what_the_table_says(void **state)
{
    (void)state;
    static const char *const types[] = {"counter", "gauge", "histogram", "gauge"};
    size_t count;
    const struct counters_row *rows = counters_rows(&count);
    const char *last = "";
    read_reference();
    for (size_t i = 0; i < count; i++) {
        char line[512];
        char labels[64];
        if (rows[i].metric == NULL) {
            continue;
        }
        if (strcmp(rows[i].metric, last) != 0) {
            name_labels(rows[i].metric, labels);
            snprintf(line, sizeof line, "| `ringcast_%s` | %s | %s | %s |", rows[i].metric,
                     types[rows[i].kind], labels,
                     rows[i].family == NULL ? rows[i].meaning : rows[i].family);
            assert_reference_has(line);
        }
        assert_true(rows[i].labels != NULL || rows[i].family == NULL);
        if (rows[i].labels != NULL) {
            snprintf(line, sizeof line, "| `ringcast_%s` | `%s` | %s |", rows[i].metric,
                     rows[i].labels, rows[i].meaning);
            assert_reference_has(line);
        }
        last = rows[i].metric;
    }
}

static void a_certificate_is_named_by_its_file(void **state)
{
    (void)state;
    char *page = write_page(true);
    assert_line(page,
                "ringcast_tls_certificate_not_after_seconds{file=\"/etc/\\\"x\\\"/chain.pem\","
                "name=\"a.b\"} 1800000000");
    free(page);
}

static void the_reference_names_no_metric_that_is_not_there(void **state)
{
    (void)state;
    char *page = write_page(true);
    read_reference();
    for (char *at = strstr(reference, "\n| `ringcast_"); at != NULL;
         at = strstr(at + 1, "\n| `ringcast_")) {
        char head[128];
        snprintf(head, sizeof head, "# HELP %.*s ", (int)strcspn(at + 4, "`"), at + 4);
        if (strstr(page, head) == NULL) {
            fail_msg("docs/metrics.md has a line of no metric:%s", head + 6);
        }
    }
    free(page);
}

static void rates_are_of_the_last_minute(void **state)
{
    (void)state;
    struct metrics_rates rates;
    metrics_read_rates(metrics, &rates);
    assert_true(rates.messages_per_minute == 0);
    for (uint64_t second = 0; second <= 100; second++) {
        /* 10 frames a second for 40 s, then 20; of these a fifth is lost. */
        uint64_t later = second > 40 ? second - 40 : 0;
        counter_set(&counters->cores[1].frames_out, 10 * (second - later) + 20 * later);
        counter_set(&counters->cores[0].frames_lost, 5 * later);
        metrics_tick(metrics, NS_PER_SECOND * (1 + second));
    }
    metrics_read_rates(metrics, &rates);
    assert_true(rates.messages_per_minute > 1199 && rates.messages_per_minute < 1201);
    assert_true(rates.error_rate > 0.199 && rates.error_rate < 0.201);
}

/* S72: what the alerts "performance" and "latency" judge. */
static void laps_and_latency_are_of_the_last_minute(void **state)
{
    (void)state;
    struct metrics_rates rates;
    for (uint64_t second = 1; second <= 3; second++) {
        metrics_tick(metrics, NS_PER_SECOND * second);
        counter_add(&counters->cores[1].core_laps, 1);
        counter_add(&counters->cores[0].flush.sum_ns, 500 * NS_PER_MS);
        counter_add(&counters->cores[0].flush.buckets[40], 1);
    }
    metrics_read_rates(metrics, &rates);
    assert_int_equal(rates.core_laps, 2); /* from the first tick to the third */
    assert_true(rates.latency_seconds_mean > 0.499 && rates.latency_seconds_mean < 0.501);
}

static void the_lag_of_a_core_is_what_it_has_not_seen(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        memset(frame_log_reserve(frame_log), 'x', 10);
        frame_log_commit(frame_log, 0, 0, 0, 10, 1);
    }
    frame_log_publish(frame_log);
    counter_set(&counters->cores[0].position, 1);
    counter_set(&counters->cores[1].position, 3);
    assert_int_equal(metrics_core_lag(metrics, 0), 2);
    assert_int_equal(metrics_core_lag(metrics, 1), 0);
}

static void the_process_and_the_host_are_seen(void **state)
{
    (void)state;
    EMULATOR_LACKS("threads of the program alone");
    struct host_process process;
    struct host_system system;
    host_read_process(&process);
    host_read_system(&system);
    assert_true(process.resident_bytes > MIB);
    assert_true(process.open_fds >= 3);
    assert_true(process.fds_max > process.open_fds);
    assert_int_equal(process.threads, 1);
    assert_true(system.memory_bytes > system.memory_available_bytes);
    assert_true(system.disk_bytes >= system.disk_free_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_core_has_a_series_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(latency_buckets_are_cumulative, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_of_logs_is_what_the_kernel_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(aliases_are_there_unless_left_out, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_sample_has_help_and_type_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_reference_has_a_line_for_each_metric_of_the_page,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_reference_says_what_the_table_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_certificate_is_named_by_its_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_reference_names_no_metric_that_is_not_there, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(stages_are_of_the_publisher_and_of_each_core, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(every_feed_has_a_series_of_its_own, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stats_have_every_feed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(stats_have_every_counter, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rates_are_of_the_last_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(laps_and_latency_are_of_the_last_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_lag_of_a_core_is_what_it_has_not_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_process_and_the_host_are_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
