#include "src/admin/prometheus.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "codec/utf8.h"
#include "ring/board/counters_table.h"
#include "ring/board/frame_log_size.h"
#include "src/admin/admin_stale.h"
#include "src/admin/host.h"
#include "src/base/log.h"
#include "src/guard/guard.h"

/* Powers of two from 2^10 ns to 2^34 ns (17 s) are shown; what is above is in +Inf only. */
#define PROMETHEUS_LATENCY_BITS_FIRST 10
#define PROMETHEUS_LATENCY_BITS_LAST 34

static void prometheus_write_head(FILE *out, const char *name, const char *type, const char *help)
{
    assert_debug(strchr(help, '\n') == NULL);
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void prometheus_write_gauge(FILE *out, const char *name, const char *help, double value)
{
    prometheus_write_head(out, name, "gauge", help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void prometheus_write_counter(FILE *out, const char *name, const char *help, double value)
{
    prometheus_write_head(out, name, "counter", help);
    fprintf(out, "%s %.17g\n", name, value);
}

/* Series of one name follow one another; the first has the help. */
static void prometheus_write_entry_head(FILE *out, const struct counters_entry *entry,
                                        const struct counters_row *row)
{
    static const char *const types[] = {[COUNTERS_COUNTER] = "counter",
                                        [COUNTERS_GAUGE] = "gauge",
                                        [COUNTERS_HISTOGRAM] = "histogram",
                                        [COUNTERS_MAX] = "gauge"};
    char name[sizeof "ringcast_" + sizeof entry->metric];
    snprintf(name, sizeof name, "ringcast_%s", entry->metric);
    prometheus_write_head(out, name, types[entry->kind],
                          row->family != NULL ? row->family : row->meaning);
}

static double prometheus_value(const struct counters_entry *entry, uint64_t value)
{
    return entry->unit == COUNTERS_NS ? (double)value / (double)NS_PER_SECOND : (double)value;
}

static void prometheus_write_histogram(FILE *out, const struct counters_read *counters,
                                       const struct counters_entry *entry, uint32_t instance,
                                       const char *labels)
{
    struct counters_read_histogram histogram;
    const char *comma = labels[0] == '\0' ? "" : ",";
    assert_always(entry->unit == COUNTERS_NS);
    counters_read_histogram(counters, entry, instance, &histogram);
    for (uint32_t bits = PROMETHEUS_LATENCY_BITS_FIRST; bits <= PROMETHEUS_LATENCY_BITS_LAST;
         bits++) {
        uint64_t limit = UINT64_C(1) << bits;
        fprintf(out, "ringcast_%s_bucket{%s%sle=\"%.9g\"} %" PRIu64 "\n", entry->metric, labels,
                comma, prometheus_value(entry, limit), counters_read_below(&histogram, limit));
    }
    fprintf(out, "ringcast_%s_bucket{%s%sle=\"+Inf\"} %" PRIu64 "\n", entry->metric, labels, comma,
            histogram.count);
    fprintf(out, "ringcast_%s_sum{%s} %.17g\n", entry->metric, labels,
            prometheus_value(entry, histogram.sum));
    fprintf(out, "ringcast_%s_count{%s} %" PRIu64 "\n", entry->metric, labels, histogram.count);
}

static void prometheus_write_entry(FILE *out, const struct counters_read *counters,
                                   const struct counters_entry *entry)
{
    for (uint32_t i = 0; i < counters_read_instances(counters, entry); i++) {
        char labels[sizeof entry->labels + 32] = "";
        if (entry->scope == COUNTERS_CORE) {
            snprintf(labels, sizeof labels, "core=\"%u\"%s", i,
                     entry->labels[0] == '\0' ? "" : ",");
        }
        strcat(labels, entry->labels);
        if (entry->kind == COUNTERS_HISTOGRAM) {
            prometheus_write_histogram(out, counters, entry, i, labels);
            continue;
        }
        bool has_labels = labels[0] != '\0';
        fprintf(out, "ringcast_%s%s%s%s %.17g\n", entry->metric, has_labels ? "{" : "", labels,
                has_labels ? "}" : "",
                prometheus_value(entry, counters_read_value(counters, entry, i)));
    }
}

static void prometheus_write_counters(FILE *out, const struct counters_read *counters)
{
    size_t count;
    const struct counters_row *rows = counters_rows(&count);
    struct counters_entry last = {0};
    assert_always(count == counters->header.entry_count);
    for (uint32_t i = 0; i < count; i++) {
        struct counters_entry entry;
        bool is_whole = counters_read_entry(counters, i, &entry);
        assert_always(is_whole);
        if (entry.metric[0] == '\0') {
            continue;
        }
        if (strcmp(entry.metric, last.metric) != 0) {
            prometheus_write_entry_head(out, &entry, &rows[i]);
        }
        prometheus_write_entry(out, counters, &entry);
        last = entry;
    }
}

static void prometheus_write_feed_gauges(FILE *out, const struct feed_table_view *feeds,
                                         uint32_t count)
{
    prometheus_write_head(out, "ringcast_feed_state", "gauge",
                          "1 for the state that the feed is in, 0 for the others.");
    for (uint32_t i = 0; i < count; i++) {
        for (int state = FEED_CONNECTING; state <= FEED_DOWN; state++) {
            const char *name = feed_state_name((enum feed_state)state);
            fprintf(out, "ringcast_feed_state{feed=\"%s\",state=\"%s\"} %d\n", feeds[i].name, name,
                    strcmp(feeds[i].state, name) == 0);
        }
    }
    prometheus_write_head(out, "ringcast_feed_state_timestamp_seconds", "gauge",
                          "When the feed entered its state, since the Unix epoch.");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "ringcast_feed_state_timestamp_seconds{feed=\"%s\"} %.17g\n", feeds[i].name,
                (double)feeds[i].since_ns / (double)NS_PER_SECOND);
    }
    prometheus_write_head(out, "ringcast_feed_last_tick_timestamp_seconds", "gauge",
                          "When the feed last passed on a tick, since the Unix epoch; 0 if never.");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "ringcast_feed_last_tick_timestamp_seconds{feed=\"%s\"} %.17g\n",
                feeds[i].name, (double)feeds[i].tick_ns / (double)NS_PER_SECOND);
    }
}

static void prometheus_write_feeds(FILE *out, const struct feed_table *table)
{
    struct feed_table_view feeds[FEED_TABLE_FEEDS_MAX];
    uint32_t count = feed_table_count(table);
    for (uint32_t i = 0; i < count; i++) {
        feed_table_read(table, i, &feeds[i]);
    }
    prometheus_write_feed_gauges(out, feeds, count);
    for (uint32_t column = 0; column < FEED_TABLE_COLUMNS; column++) {
        const struct feed_table_column *row = &feed_table_columns[column];
        char name[64];
        snprintf(name, sizeof name, "ringcast_feed_%s%s", row->name, row->is_gauge ? "" : "_total");
        prometheus_write_head(out, name, row->is_gauge ? "gauge" : "counter", row->meaning);
        for (uint32_t i = 0; i < count; i++) {
            fprintf(out, "%s{feed=\"%s\"} %" PRIu64 "\n", name, feeds[i].name,
                    feeds[i].counts[column]);
        }
    }
}

static void prometheus_write_lag(FILE *out, const struct metrics *metrics)
{
    const struct metrics_options *source = metrics_options(metrics);
    prometheus_write_head(out, "ringcast_core_lag_frames", "gauge",
                          "Frames of the log that the core has not fanned out yet.");
    for (uint32_t core = 0; core < source->counters->header.core_count; core++) {
        fprintf(out, "ringcast_core_lag_frames{core=\"%u\"} %" PRIu64 "\n", core,
                metrics_core_lag(metrics, core));
    }
}

static void prometheus_write_logs(FILE *out, const struct metrics_log_memory *memory)
{
    assert_always(memory->count <= METRICS_LOGS_MAX);
    prometheus_write_head(out, "ringcast_log_bytes", "gauge",
                          "Memory that the frame log of an encoding uses now.");
    for (uint32_t i = 0; i < memory->count; i++) {
        fprintf(out, "ringcast_log_bytes{encoding=\"%s\"} %" PRIu64 "\n", memory->logs[i].encoding,
                frame_log_size_now(memory->logs[i].log));
    }
    if (memory->bytes_max != 0) {
        prometheus_write_gauge(out, "ringcast_log_bytes_max",
                               "Limit for the memory of all frame logs (--memory-max).",
                               (double)memory->bytes_max);
    }
    prometheus_write_counter(
        out, "ringcast_log_refusals_total",
        "Requests for an encoding that were declined because its frame log had no room.",
        atomic_load(memory->refused_count));
}

static void prometheus_write_log_times(FILE *out)
{
    static const char *const logs[] = {
        [LOG_SINK_LOG] = "log", [LOG_SINK_ACCESS] = "access", [LOG_SINK_AUDIT] = "audit"};
    static_assert(sizeof logs / sizeof logs[0] == LOG_SINK_COUNT, "each log has a name");
    prometheus_write_head(out, "ringcast_log_write_seconds", "summary",
                          "Time that writes of log lines took, to a file or standard error.");
    for (enum log_sink sink = 0; sink < LOG_SINK_COUNT; sink++) {
        struct log_writer_times times;
        log_writer_read_times(sink, &times);
        fprintf(out, "ringcast_log_write_seconds_sum{log=\"%s\"} %.17g\n", logs[sink],
                (double)times.write_ns / (double)NS_PER_SECOND);
        fprintf(out, "ringcast_log_write_seconds_count{log=\"%s\"} %" PRIu64 "\n", logs[sink],
                times.write_count);
    }
}

/* What the server shares with others: in a container with a limit, only with itself. */
static void prometheus_write_system(FILE *out)
{
    struct host_system system;
    host_read_system(&system);
    assert_always(system.memory_available_bytes <= system.memory_bytes);
    prometheus_write_gauge(out, "ringcast_memory_limit_bytes",
                           "Limit of the cgroup's memory; without one, the machine's memory.",
                           (double)system.memory_bytes);
    prometheus_write_gauge(out, "ringcast_memory_used_bytes",
                           "Memory in use below that limit, by all programs.",
                           (double)(system.memory_bytes - system.memory_available_bytes));
    prometheus_write_gauge(out, "ringcast_disk_bytes",
                           "Size of the file system of the working directory.",
                           (double)system.disk_bytes);
    prometheus_write_gauge(out, "ringcast_disk_free_bytes", "Free bytes of that file system.",
                           (double)system.disk_free_bytes);
}

/* Names that every Prometheus client library exports. */
static void prometheus_write_process(FILE *out, const struct metrics *metrics,
                                     const struct host_process *process)
{
    const struct metrics_options *source = metrics_options(metrics);
    prometheus_write_counter(out, "process_cpu_seconds_total", "User and system CPU time.",
                             process->cpu_seconds);
    prometheus_write_gauge(out, "process_resident_memory_bytes",
                           "Resident memory; the frame log, mapped twice, counts twice.",
                           (double)process->resident_bytes);
    prometheus_write_gauge(out, "process_virtual_memory_bytes", "Virtual memory.",
                           (double)process->virtual_bytes);
    prometheus_write_gauge(out, "process_open_fds", "Open file descriptors.",
                           (double)process->open_fds);
    prometheus_write_gauge(out, "process_max_fds", "Limit of open file descriptors.",
                           (double)process->fds_max);
    prometheus_write_gauge(out, "process_threads", "Threads.", (double)process->threads);
    prometheus_write_gauge(out, "process_start_time_seconds", "Start time, since the Unix epoch.",
                           (double)source->counters->header.started_ns / (double)NS_PER_SECOND);
}

/* The names that older alert rules use. */
static void prometheus_write_aliases(FILE *out, struct metrics *metrics,
                                     const struct host_process *process)
{
    const struct metrics_options *source = metrics_options(metrics);
    struct metrics_rates rates;
    metrics_read_rates(metrics, &rates);
    prometheus_write_gauge(out, "cpu_usage_percent",
                           "CPU time of this process in percent of what it may use, over 10 s.",
                           rates.process_cpu_percent);
    prometheus_write_gauge(out, "memory_usage_mb", "Resident memory of this process in MiB.",
                           (double)process->resident_bytes / (double)MIB);
    prometheus_write_gauge(
        out, "active_connections", "Upgraded connections.",
        (double)metrics_sum(source->counters, offsetof(struct core_counters, conns_streaming)));
    prometheus_write_gauge(out, "error_rate",
                           "Share of the due data frames that were lost, over the last minute.",
                           rates.error_rate);
}

static void prometheus_write_protections(FILE *out, struct guard *guard)
{
    struct protection protection;
    assert_always(guard != NULL);
    guard_read_protection(guard, &protection);
    prometheus_write_head(out, "ringcast_protection_active", "gauge",
                          "Whether the rule protects the server now.");
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        fprintf(out, "ringcast_protection_active{rule=\"%s\"} %d\n", protection_rule_name(rule),
                protection.states[rule].is_active);
    }
    prometheus_write_head(out, "ringcast_protection_actions_total", "counter",
                          "Times the rule acted: purges of the allocator, or times it began.");
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        fprintf(out, "ringcast_protection_actions_total{rule=\"%s\"} %" PRIu64 "\n",
                protection_rule_name(rule), protection.states[rule].action_count);
    }
}

/* A label's value: what its quotes cannot hold is escaped, and what is not printable is a '?'. */
static void prometheus_write_label(FILE *out, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        struct utf8_character character = utf8_character_at(at, strlen(at));
        bool is_shown = character.is_valid && character.is_printable;
        if (*at == '"' || *at == '\\') {
            fputc('\\', out);
        }
        fprintf(out, "%.*s", is_shown ? (int)character.bytes : 1, is_shown ? at : "?");
        at += character.bytes;
    }
}

static void prometheus_write_certificates(FILE *out, struct metrics *metrics)
{
    struct metrics_certificate certificates[METRICS_CERTIFICATES_MAX];
    uint32_t count = metrics_certificates(metrics, certificates);
    if (count == 0) {
        return;
    }
    prometheus_write_head(out, "ringcast_tls_certificate_not_after_seconds", "gauge",
                          "When a certificate for TLS ends, since the Unix epoch.");
    for (uint32_t i = 0; i < count; i++) {
        fprintf(out, "ringcast_tls_certificate_not_after_seconds{file=\"");
        prometheus_write_label(out, certificates[i].file);
        fprintf(out, "\",name=\"");
        prometheus_write_label(out, certificates[i].name);
        fprintf(out, "\"} %" PRId64 "\n", certificates[i].not_after_s);
    }
}

char *prometheus_write(struct metrics *metrics, bool with_aliases, size_t *bytes_out)
{
    const struct metrics_options *source = metrics_options(metrics);
    struct host_process process;
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes_out);
    if (out == NULL) {
        return NULL;
    }
    host_read_process(&process);
    prometheus_write_head(out, "ringcast_build_info", "gauge", "1, with the version as a label.");
    fprintf(out, "ringcast_build_info{version=\"%s\",epoch=\"%s\"} 1\n", RINGCAST_VERSION,
            source->epoch);
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    const struct watchdog *watchdog = source->watchdog;
    bool is_stalled = watchdog != NULL && watchdog_is_stalled(watchdog, now_ns);
    prometheus_write_gauge(out, "ringcast_ready", "Whether /ready answers 200.",
                           metrics_state(metrics) == METRICS_READY && !is_stalled &&
                               !admin_stale_is_too_much(source) &&
                               (source->guard == NULL || guard_refusal(source->guard) == NULL));
    if (watchdog != NULL) {
        watchdog_write_prometheus(watchdog, out, now_ns);
    }
    prometheus_write_gauge(out, "ringcast_connections_max",
                           "Maximum number of connections (--max-connections).",
                           source->connections_max);
    prometheus_write_counters(out, metrics_counters(metrics));
    prometheus_write_feeds(out, source->feed_table);
    admin_stale_write_prometheus(source, out);
    if (source->guard != NULL) {
        prometheus_write_protections(out, source->guard);
    }
    prometheus_write_certificates(out, metrics);
    prometheus_write_lag(out, metrics);
    prometheus_write_gauge(out, "ringcast_log_capacity_bytes",
                           "Size of the frame log of each encoding.",
                           (double)source->log->capacity_bytes);
    prometheus_write_logs(out, &source->log_memory);
    prometheus_write_counter(
        out, "ringcast_log_lines_lost_total",
        "Log lines lost because there was no room for them, or because standard error or a file "
        "refused them.",
        (double)log_lost_count());
    prometheus_write_log_times(out);
    prometheus_write_system(out);
    prometheus_write_process(out, metrics, &process);
    if (with_aliases) {
        prometheus_write_aliases(out, metrics, &process);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
