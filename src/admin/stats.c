#include "src/admin/stats.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/base/version.h"
#include "ring/board/counters_threads.h"
#include "ring/board/frame_log_size.h"
#include "src/admin/admin_sample.h"
#include "src/admin/admin_stale.h"
#include "src/admin/host.h"

/* jemalloc's, when it is linked. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

static json_t *stats_integer(uint64_t value)
{
    return json_integer((json_int_t)value);
}

static json_t *stats_seconds(uint64_t value_ns)
{
    return json_real((double)value_ns / (double)NS_PER_SECOND);
}

static json_t *stats_mb(uint64_t bytes)
{
    return json_real((double)bytes / (double)MIB);
}

#define STATS_SUM(counters, member)                                                                \
    stats_integer(metrics_sum(counters, offsetof(struct core_counters, member)))

static json_t *stats_connections(const struct metrics_options *source)
{
    const struct counters *counters = source->counters;
    json_t *dropped = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "slow", STATS_SUM(counters, closed_slow), "silent",
        STATS_SUM(counters, closed_silent), "idle", STATS_SUM(counters, closed_idle), "protocol",
        STATS_SUM(counters, closed_protocol), "token", STATS_SUM(counters, closed_token), "rate",
        STATS_SUM(counters, closed_rate), "reset", STATS_SUM(counters, closed_reset));
    return json_pack(
        "{s:o, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "active_connections", STATS_SUM(counters, conns_streaming), "max_connections",
        (json_int_t)source->connections_max, "open", STATS_SUM(counters, conns_open), "blocked",
        STATS_SUM(counters, conns_blocked), "catching_up", STATS_SUM(counters, conns_pulling),
        "subscriptions", STATS_SUM(counters, subscriptions), "accepted",
        STATS_SUM(counters, accepted), "refused_busy", STATS_SUM(counters, refused_busy),
        "refused_handshake", STATS_SUM(counters, refused_handshake), "refused_token",
        STATS_SUM(counters, refused_token), "refused_forbidden",
        STATS_SUM(counters, refused_forbidden), "refused_rate", STATS_SUM(counters, refused_rate),
        "closed", STATS_SUM(counters, closed), "dropped", dropped);
}

static json_t *stats_tls(const struct counters *counters)
{
    json_t *failed =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "not_tls",
                  STATS_SUM(counters, tls_not_tls), "protocol", STATS_SUM(counters, tls_protocol),
                  "certificate", STATS_SUM(counters, tls_certificate), "alert",
                  STATS_SUM(counters, tls_alert), "left", STATS_SUM(counters, tls_left), "timeout",
                  STATS_SUM(counters, tls_late), "internal", STATS_SUM(counters, tls_internal));
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "connections_1_2",
                     STATS_SUM(counters, tls_12), "connections_1_3", STATS_SUM(counters, tls_13),
                     "handshakes_running", STATS_SUM(counters, tls_running), "handshakes_waiting",
                     STATS_SUM(counters, tls_waiting), "handshakes_full",
                     STATS_SUM(counters, tls_full), "handshakes_resumed",
                     STATS_SUM(counters, tls_resumed), "handshakes_failed", failed);
}

/* The queue is the frame log: how far the slowest core is behind, and what was lost. */
static json_t *stats_message_queue(const struct metrics *metrics,
                                   const struct metrics_options *source)
{
    const struct counters *counters = source->counters;
    uint64_t depth = 0;
    for (uint32_t core = 0; core < counters->header.core_count; core++) {
        uint64_t lag = metrics_core_lag(metrics, core);
        depth = lag > depth ? lag : depth;
    }
    uint64_t tail = frame_log_tail(source->log);
    uint64_t head = frame_log_head(source->log);
    assert_debug(tail <= head); /* The head was read later, and is never behind. */
    return json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "depth", stats_integer(depth),
        "frames_in_log", stats_integer(head - tail), "frames_published", stats_integer(head),
        "capacity_bytes", stats_integer(source->log->capacity_bytes), "frames_lost",
        STATS_SUM(counters, frames_lost), "frames_conflated", STATS_SUM(counters, frames_conflated),
        "gaps_sent", STATS_SUM(counters, gaps_sent), "connection_laps", STATS_SUM(counters, laps),
        "core_laps", STATS_SUM(counters, core_laps));
}

/* A statistic of jemalloc's, 0 when it does not tell. */
static json_t *stats_allocator_bytes(const char *name)
{
    size_t value = 0;
    size_t value_bytes = sizeof value;
    if (mallctl(name, &value, &value_bytes, NULL, 0) != 0) {
        value = 0;
    }
    return stats_integer(value);
}

static json_t *stats_allocator(void)
{
    if (mallctl == NULL) {
        return json_pack("{s:s}", "name", "libc");
    }
    uint64_t epoch = 1;
    size_t epoch_bytes = sizeof epoch;
    (void)mallctl("epoch", &epoch, &epoch_bytes, &epoch, sizeof epoch);
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o}", "name", "jemalloc", "allocated_bytes",
                     stats_allocator_bytes("stats.allocated"), "active_bytes",
                     stats_allocator_bytes("stats.active"), "resident_bytes",
                     stats_allocator_bytes("stats.resident"), "mapped_bytes",
                     stats_allocator_bytes("stats.mapped"), "retained_bytes",
                     stats_allocator_bytes("stats.retained"));
}

static void stats_add_logs(json_t *object, const struct metrics_log_memory *memory)
{
    uint64_t sum = 0;
    json_t *logs = json_object();
    assert_always(memory->count <= METRICS_LOGS_MAX);
    for (uint32_t i = 0; i < memory->count; i++) {
        uint64_t bytes = frame_log_size_now(memory->logs[i].log);
        json_object_set_new(logs, memory->logs[i].encoding, stats_integer(bytes));
        sum += bytes;
    }
    json_object_set_new(object, "frame_log_bytes", stats_integer(sum));
    json_object_set_new(object, "frame_logs", logs);
    if (memory->bytes_max != 0) {
        json_object_set_new(object, "frame_log_bytes_max", stats_integer(memory->bytes_max));
    }
}

static json_t *stats_memory(const struct metrics_options *source,
                            const struct host_process *process)
{
    json_t *memory =
        json_pack("{s:o, s:o, s:o, s:o}", "resident_bytes", stats_integer(process->resident_bytes),
                  "resident_mb", stats_mb(process->resident_bytes), "virtual_bytes",
                  stats_integer(process->virtual_bytes), "allocator", stats_allocator());
    stats_add_logs(memory, &source->log_memory);
    return memory;
}

/* "wait_ns" is shown in seconds, as "wait_seconds". */
static void stats_add_value(json_t *object, const struct counters_entry *entry, uint64_t value)
{
    char key[sizeof entry->name + 16];
    if (entry->unit != COUNTERS_NS) {
        json_object_set_new(object, entry->name, stats_integer(value));
        return;
    }
    int stem = (int)(strlen(entry->name) - strlen("_ns"));
    assert_debug(stem > 0 && strcmp(entry->name + stem, "_ns") == 0);
    snprintf(key, sizeof key, "%.*s_seconds", stem, entry->name);
    json_object_set_new(object, key, stats_seconds(value));
}

static void stats_add_histogram(json_t *object, const struct counters_read *counters,
                                const struct counters_entry *entry, uint32_t instance)
{
    struct counters_read_histogram histogram;
    counters_read_histogram(counters, entry, instance, &histogram);
    json_object_set_new(
        object, entry->name,
        json_pack("{s:o, s:o, s:o, s:o, s:o}", "count", stats_integer(histogram.count),
                  "sum_seconds", stats_seconds(histogram.sum), "p50_seconds",
                  stats_seconds(counters_read_percentile(&histogram, 0.5)), "p99_seconds",
                  stats_seconds(counters_read_percentile(&histogram, 0.99)), "max_seconds",
                  stats_seconds(counters_read_percentile(&histogram, 1))));
}

static void stats_add_counters(json_t *object, const struct counters_read *counters,
                               enum counters_scope scope, uint32_t instance)
{
    for (uint32_t i = 0; i < counters->header.entry_count; i++) {
        struct counters_entry entry;
        bool is_whole = counters_read_entry(counters, i, &entry);
        assert_always(is_whole);
        if (entry.scope != scope) {
            continue;
        }
        if (entry.kind == COUNTERS_HISTOGRAM) {
            stats_add_histogram(object, counters, &entry, instance);
        } else {
            stats_add_value(object, &entry, counters_read_value(counters, &entry, instance));
        }
    }
}

static json_t *stats_process(const struct metrics *metrics, const struct host_process *process,
                             const struct metrics_rates *rates)
{
    json_t *object =
        json_pack("{s:I, s:f, s:f, s:o, s:o, s:o}", "pid", (json_int_t)getpid(), "cpu_percent",
                  rates->process_cpu_percent, "cpu_seconds", process->cpu_seconds, "threads",
                  stats_integer(process->threads), "open_fds", stats_integer(process->open_fds),
                  "max_fds", stats_integer(process->fds_max));
    stats_add_counters(object, metrics_counters(metrics), COUNTERS_PROCESS, 0);
    return object;
}

static json_t *stats_cores(const struct metrics *metrics, const struct metrics_options *source)
{
    json_t *cores = json_array();
    assert_always(source->cpus != NULL);
    for (uint32_t core = 0; core < source->counters->header.core_count; core++) {
        json_t *object = json_object();
        json_object_set_new(object, "core", stats_integer(core));
        json_object_set_new(object, "cpu", json_integer(source->cpus[core]));
        json_object_set_new(object, "lag_frames", stats_integer(metrics_core_lag(metrics, core)));
        stats_add_counters(object, metrics_counters(metrics), COUNTERS_CORE, core);
        json_array_append_new(cores, object);
    }
    return cores;
}

static json_t *stats_feed(const struct metrics_options *source, uint32_t index)
{
    struct feed_table_view feed;
    feed_table_read(source->feed_table, index, &feed);
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:o, s:o}", "feed", feed.name, "spec", source->feeds[index], "state",
        feed.state, "since_seconds", stats_seconds(feed.since_ns), "cause",
        feed.cause[0] == '\0' ? json_null() : json_string(feed.cause), "last_tick_seconds",
        feed.tick_ns == 0 ? json_null() : stats_seconds(feed.tick_ns));
    for (uint32_t i = 0; i < FEED_TABLE_COLUMNS; i++) {
        json_object_set_new(object, feed_table_columns[i].name, stats_integer(feed.counts[i]));
    }
    return object;
}

json_t *stats_feeds(const struct metrics_options *source)
{
    json_t *feeds = json_array();
    for (uint32_t i = 0; i < source->feed_count; i++) {
        json_array_append_new(feeds, stats_feed(source, i));
    }
    return feeds;
}

static json_t *stats_publisher(const struct metrics *metrics, const struct metrics_options *source,
                               const struct metrics_rates *rates)
{
    json_t *object =
        json_pack("{s:s, s:o, s:f}", "mode", source->is_inline ? "inline" : "thread", "feeds",
                  stats_feeds(source), "ticks_per_second", rates->ticks_per_second);
    stats_add_counters(object, metrics_counters(metrics), COUNTERS_PUBLISHER, 0);
    return object;
}

json_t *stats_json(struct metrics *metrics)
{
    const struct metrics_options *source = metrics_options(metrics);
    struct host_process process;
    struct host_system system;
    struct metrics_rates rates;
    struct sample sample;
    host_read_process(&process);
    host_read_system(&system);
    metrics_read_rates(metrics, &rates);
    admin_sample_take(metrics, &system, &rates, clock_ns(CLOCK_MONOTONIC), &sample);
    json_t *stats =
        json_pack("{s:s, s:s, s:s, s:f, s:i}", "status", metrics_state_name(metrics_state(metrics)),
                  "version", RINGCAST_VERSION, "epoch", source->epoch, "uptime_seconds",
                  metrics_uptime_seconds(metrics), "client_port", source->client_port);
    json_object_set_new(stats, "connections", stats_connections(source));
    json_object_set_new(stats, "tls", stats_tls(source->counters));
    json_object_set_new(stats, "message_queue", stats_message_queue(metrics, source));
    json_object_set_new(stats, "memory", stats_memory(source, &process));
    json_object_set_new(stats, "system", admin_sample_system(&sample));
    json_object_set_new(stats, "process", stats_process(metrics, &process, &rates));
    json_object_set_new(stats, "application", admin_sample_application(&sample));
    json_object_set_new(stats, "publisher", stats_publisher(metrics, source, &rates));
    json_object_set_new(stats, "staleness", admin_stale_json(source));
    json_object_set_new(stats, "cores", stats_cores(metrics, source));
    return stats;
}

static json_t *stats_thread(const struct metrics_options *source, uint32_t index, uint64_t now_ns)
{
    const struct counters_thread *thread = counters_threads_get(source->counters, index);
    uint32_t tid = atomic_load_explicit(&thread->tid, memory_order_relaxed);
    unsigned core;
    json_t *object = json_pack(
        "{s:s, s:o, s:o, s:o, s:o, s:o}", "thread", thread->name, "tid", stats_integer(tid),
        "turns", stats_integer(counters_threads_progress(source->counters, thread)), "cpu_seconds",
        stats_seconds(host_cpu_ns(tid)), "run_delay_seconds", stats_seconds(host_run_delay_ns(tid)),
        "stalled_seconds", stats_seconds(watchdog_stalled_ns(source->watchdog, index, now_ns)));
    if (sscanf(thread->name, "core-%u", &core) == 1) {
        json_object_set_new(object, "core", stats_integer(core));
    }
    return object;
}

json_t *stats_threads(struct metrics *metrics)
{
    const struct metrics_options *source = metrics_options(metrics);
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    json_t *threads = json_array();
    assert_always(source->watchdog != NULL);
    for (uint32_t i = 0; i < counters_threads_count(source->counters); i++) {
        json_array_append_new(threads, stats_thread(source, i, now_ns));
    }
    return threads;
}
