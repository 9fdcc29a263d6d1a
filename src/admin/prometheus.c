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

/* Buckets from 2^10 ns to 2^34 ns (17 s) are shown; what is above is in +Inf only. */
#define PROMETHEUS_LATENCY_BUCKETS_SHOWN 25

static_assert(PROMETHEUS_LATENCY_BUCKETS_SHOWN <= COUNTERS_LATENCY_BUCKETS,
              "all that are shown exist");

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
static void prometheus_write_field_head(FILE *out, const struct metrics_field *fields, size_t index)
{
    const struct metrics_field *field = &fields[index];
    assert_debug(field->help != NULL ||
                 (index > 0 && strcmp(field->name, fields[index - 1].name) == 0));
    if (field->help != NULL) {
        char name[96];
        snprintf(name, sizeof name, "ringcast_%s", field->name);
        prometheus_write_head(out, name, field->is_gauge ? "gauge" : "counter", field->help);
    }
}

static void prometheus_write_cores(FILE *out, const struct counters *counters)
{
    size_t count;
    const struct metrics_field *fields = metrics_core_fields(&count);
    for (size_t i = 0; i < count; i++) {
        const struct metrics_field *field = &fields[i];
        prometheus_write_field_head(out, fields, i);
        for (uint32_t core = 0; core < counters->core_count; core++) {
            fprintf(out, "ringcast_%s{core=\"%u\"%s%s} %" PRIu64 "\n", field->name, core,
                    field->labels == NULL ? "" : ",", field->labels == NULL ? "" : field->labels,
                    metrics_field_get(field, &counters->cores[core]));
        }
    }
}

static void prometheus_write_lag(FILE *out, const struct metrics *metrics)
{
    const struct metrics_options *source = metrics_options(metrics);
    prometheus_write_head(out, "ringcast_core_lag_frames", "gauge",
                          "Frames of the log that the core has still to fan out.");
    for (uint32_t core = 0; core < source->counters->core_count; core++) {
        fprintf(out, "ringcast_core_lag_frames{core=\"%u\"} %" PRIu64 "\n", core,
                metrics_core_lag(metrics, core));
    }
}

static void prometheus_write_publisher(FILE *out, const struct counters *counters)
{
    size_t count;
    const struct metrics_field *fields = metrics_publisher_fields(&count);
    for (size_t i = 0; i < count; i++) {
        const struct metrics_field *field = &fields[i];
        double value = (double)metrics_field_get(field, &counters->publisher);
        prometheus_write_field_head(out, fields, i);
        fprintf(out, "ringcast_%s%s%s%s %.17g\n", field->name, field->labels == NULL ? "" : "{",
                field->labels == NULL ? "" : field->labels, field->labels == NULL ? "" : "}",
                field->is_ns ? value / (double)NS_PER_SECOND : value);
    }
}

static void prometheus_write_latency(FILE *out, const struct counters *counters)
{
    static const char name[] = "ringcast_flush_latency_seconds";
    prometheus_write_head(out, name, "histogram",
                          "Time from a tick's publication to the end of the flush that sent it.");
    for (uint32_t core = 0; core < counters->core_count; core++) {
        const struct core_counters *source = &counters->cores[core];
        double sum = (double)counter_get(&source->flush_latency_sum_ns) / (double)NS_PER_SECOND;
        uint64_t count = 0;
        for (uint32_t bucket = 0; bucket < COUNTERS_LATENCY_BUCKETS; bucket++) {
            count += counter_get(&source->flush_latency[bucket]);
            if (bucket < PROMETHEUS_LATENCY_BUCKETS_SHOWN) {
                double limit = (double)(UINT64_C(1) << (bucket + 10)) / (double)NS_PER_SECOND;
                fprintf(out, "%s_bucket{core=\"%u\",le=\"%.9g\"} %" PRIu64 "\n", name, core, limit,
                        count);
            }
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
                           (double)source->counters->started_ns / (double)NS_PER_SECOND);
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
    prometheus_write_cores(out, counters);
    prometheus_write_lag(out, metrics);
    prometheus_write_publisher(out, counters);
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
