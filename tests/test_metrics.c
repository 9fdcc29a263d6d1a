#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "ring/board/frame_log_size.h"
#include "src/admin/host.h"
#include "src/admin/prometheus.h"

static struct counters *counters;
static struct frame_log *frame_log;
static struct metrics *metrics;
static _Atomic uint32_t refused_count;

static int set_up(void **state)
{
    (void)state;
    struct frame_log_options log_options = {.capacity_bytes = MIB,
                                            .frame_bytes_max = 64 * KIB,
                                            .channel_count_max = 4,
                                            .reader_count = 2};
    assert_int_equal(counters_open(&counters, NULL, 2), 0);
    assert_int_equal(frame_log_create(&frame_log, &log_options), 0);
    struct metrics_options source = {
        .counters = counters,
        .log = frame_log,
        .epoch = "0123456789abcdef",
        .log_bytes = MIB,
        .log_memory = {.logs = {{"json", frame_log}},
                       .count = 1,
                       .bytes_max = 5 * MIB,
                       .refused_count = &refused_count},
        .connections_max = 77,
        .busy_poll = true, /* so that a busy test machine causes no warning */
    };
    assert_int_equal(metrics_create(&metrics, &source), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    metrics_destroy(metrics);
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

static void memory_of_logs_is_what_the_kernel_says(void **state)
{
    (void)state;
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

/* docs/metrics.md is read at the root of the repository. */
static void the_reference_names_every_metric(void **state)
{
    (void)state;
    static char reference[65536];
    FILE *file = fopen("docs/metrics.md", "r");
    assert_non_null(file);
    reference[fread(reference, 1, sizeof reference - 1, file)] = '\0';
    fclose(file);
    char *page = write_page(true);
    char *lines = page;
    for (char *line = strsep(&lines, "\n"); line != NULL; line = strsep(&lines, "\n")) {
        if (strncmp(line, "# HELP ", 7) == 0) {
            char name[128];
            snprintf(name, sizeof name, "`%.*s`", (int)strcspn(line + 7, " "), line + 7);
            if (strstr(reference, name) == NULL) {
                fail_msg("docs/metrics.md lacks %s", name);
            }
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
        cmocka_unit_test_setup_teardown(the_reference_names_every_metric, set_up, tear_down),
        cmocka_unit_test_setup_teardown(rates_are_of_the_last_minute, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_lag_of_a_core_is_what_it_has_not_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(the_process_and_the_host_are_seen, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
