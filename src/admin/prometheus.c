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
#include "src/admin/host.h"
#include "src/base/log.h"

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
static void prometheus_write_row_head(FILE *out, const struct counters_row *row,
                                      const char *last_metric)
{
    static const char *const types[] = {[COUNTERS_COUNTER] = "counter",
                                        [COUNTERS_GAUGE] = "gauge",
                                        [COUNTERS_HISTOGRAM] = "histogram",
                                        [COUNTERS_MAX] = "gauge"};
    if (last_metric == NULL || strcmp(row->metric, last_metric) != 0) {
        char name[96];
        snprintf(name, sizeof name, "ringcast_%s", row->metric);
        prometheus_write_head(out, name, types[row->kind],
                              row->family != NULL ? row->family : row->meaning);
    }
}

static double prometheus_value(const struct counters_row *row, const void *counters)
{
    double value = (double)metrics_row_get(row, counters);
    return row->unit == COUNTERS_NS ? value / (double)NS_PER_SECOND : value;
}

static void prometheus_write_rows(FILE *out, const struct counters *counters,
                                  enum counters_scope scope)
{
    size_t count;
    const char *last_metric = NULL;
    const struct counters_row *rows = counters_rows(&count);
    for (size_t i = 0; i < count; i++) {
        const struct counters_row *row = &rows[i];
        if (row->scope != scope || row->metric == NULL || row->kind == COUNTERS_HISTOGRAM) {
            continue;
        }
        const char *labels = row->labels == NULL ? "" : row->labels;
        prometheus_write_row_head(out, row, last_metric);
        last_metric = row->metric;
        if (scope == COUNTERS_PUBLISHER) {
            fprintf(out, "ringcast_%s%s%s%s %.17g\n", row->metric, labels[0] == '\0' ? "" : "{",
                    labels, labels[0] == '\0' ? "" : "}",
                    prometheus_value(row, &counters->publisher));
            continue;
        }
        for (uint32_t core = 0; core < counters->header.core_count; core++) {
            fprintf(out, "ringcast_%s{core=\"%u\"%s%s} %.17g\n", row->metric, core,
                    labels[0] == '\0' ? "" : ",", labels,
                    prometheus_value(row, &counters->cores[core]));
        }
    }
}

static void prometheus_write_lag(FILE *out, const struct metrics *metrics)
{
    const struct metrics_options *source = metrics_options(metrics);
    prometheus_write_head(out, "ringcast_core_lag_frames", "gauge",
                          "Frames of the log that the core has still to fan out.");
    for (uint32_t core = 0; core < source->counters->header.core_count; core++) {
        fprintf(out, "ringcast_core_lag_frames{core=\"%u\"} %" PRIu64 "\n", core,
                metrics_core_lag(metrics, core));
    }
}

static void prometheus_write_latency(FILE *out, const struct counters *counters)
{
    static const char name[] = "ringcast_flush_latency_seconds";
    prometheus_write_head(out, name, "histogram",
                          "Time from a tick's publication to the end of the flush that sent it.");
    for (uint32_t core = 0; core < counters->header.core_count; core++) {
        const struct core_counters *source = &counters->cores[core];
        double sum = (double)counter_get(&source->flush.sum_ns) / (double)NS_PER_SECOND;
        uint64_t count = 0;
        uint32_t bucket = 0;
        for (uint32_t bits = PROMETHEUS_LATENCY_BITS_FIRST; bits <= PROMETHEUS_LATENCY_BITS_LAST;
             bits++) {
            uint64_t limit_ns = UINT64_C(1) << bits;
            for (; counters_histogram_limit_ns(bucket) <= limit_ns; bucket++) {
                count += counter_get(&source->flush.buckets[bucket]);
            }
            fprintf(out, "%s_bucket{core=\"%u\",le=\"%.9g\"} %" PRIu64 "\n", name, core,
                    (double)limit_ns / (double)NS_PER_SECOND, count);
        }
        for (; bucket < COUNTERS_HISTOGRAM_BUCKETS; bucket++) {
            count += counter_get(&source->flush.buckets[bucket]);
        }
        fprintf(out, "%s_bucket{core=\"%u\",le=\"+Inf\"} %" PRIu64 "\n", name, core, count);
        fprintf(out, "%s_sum{core=\"%u\"} %.17g\n", name, core, sum);
        fprintf(out, "%s_count{core=\"%u\"} %" PRIu64 "\n", name, core, count);
    }
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
    prometheus_write_gauge(out, "process_start_time_seconds", "Start, since the Unix epoch.",
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
    prometheus_write_gauge(out, "error_rate", "Data frames lost / due, over the last minute.",
                           rates.error_rate);
}

char *prometheus_write(struct metrics *metrics, bool with_aliases, size_t *bytes_out)
{
    const struct metrics_options *source = metrics_options(metrics);
    const struct counters *counters = source->counters;
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
                           metrics_state(metrics) == METRICS_READY && !is_stalled);
    if (watchdog != NULL) {
        watchdog_write_prometheus(watchdog, out, now_ns);
    }
    prometheus_write_gauge(out, "ringcast_connections_max", "The limit of connections.",
                           source->connections_max);
    prometheus_write_rows(out, counters, COUNTERS_CORE);
    prometheus_write_lag(out, metrics);
    prometheus_write_rows(out, counters, COUNTERS_PUBLISHER);
    prometheus_write_latency(out, counters);
    prometheus_write_gauge(out, "ringcast_log_capacity_bytes",
                           "Size of the frame log of each encoding.", (double)source->log_bytes);
    log_memory_write(&source->log_memory, out);
    prometheus_write_counter(out, "ringcast_log_lines_lost_total",
                             "Log lines that found no room, or that standard error refused.",
                             (double)log_lost_count());
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
