#include "src/server_guard.h"

#include "codec/base/check.h"
#include "ring/board/frame_log_size.h"
#include "src/admin/admin_sample.h"
#include "src/admin/metrics.h"
#include "src/guard/guard.h"

#define SERVER_GUARD_LATENCY_MS 100 /* on average in a minute; above, there is an alert */

int server_create_guard(struct server *server)
{
    int error = guard_create(&server->guard);
    return error == 0 ? 0 : server_fail(error, "cannot create the guard", "free some memory");
}

/* What the server has allocated, and each frame log once (RSS counts them twice). */
static uint64_t server_guard_own_bytes(const struct server *server)
{
    const struct metrics_log_memory *logs = &metrics_options(server->metrics)->log_memory;
    uint64_t bytes = host_private_bytes();
    for (uint32_t i = 0; i < logs->count; i++) {
        bytes += frame_log_size_now(logs->logs[i].log);
    }
    return bytes;
}

static double server_guard_mb(uint64_t bytes)
{
    return (double)bytes / (double)MIB;
}

/* The hard watermark is the one of two that is nearer: --memory-hard is judged by what the server
 * itself takes, and so is --memory-percent of a machine; --memory-percent of a cgroup by what the
 * cgroup takes, since that gets the server killed. */
static struct protection_reading server_guard_memory_hard(const struct server *server,
                                                          const struct host_system *system,
                                                          uint64_t own_bytes)
{
    const struct options *options = &server->options;
    uint64_t used_bytes = system->memory_is_limited
                              ? system->memory_bytes - system->memory_available_bytes
                              : own_bytes;
    struct protection_reading fixed = {.value = server_guard_mb(own_bytes),
                                       .limit = server_guard_mb(options->memory_hard_bytes)};
    struct protection_reading share = {.value = server_guard_mb(used_bytes),
                                       .limit = server_guard_mb(system->memory_bytes) *
                                                options->memory_percent_max / 100};
    if (fixed.limit == 0 || share.limit == 0) {
        return fixed.limit == 0 ? share : fixed;
    }
    return fixed.value / fixed.limit > share.value / share.limit ? fixed : share;
}

/* The core that is furthest behind, in percent of the log, once it has been filled; 100: a core or
 * the publisher makes no progress. */
static double server_guard_lag(const struct server *server, uint64_t now_ns)
{
    const struct frame_log *log = metrics_options(server->metrics)->log;
    uint64_t lag = 0;
    if (watchdog_is_stalled(&server->watchdog, now_ns)) {
        return 100;
    }
    for (uint32_t core = 0; core < server->core_count; core++) {
        uint64_t core_lag = metrics_core_lag(server->metrics, core);
        lag = core_lag > lag ? core_lag : lag;
    }
    uint64_t tail = frame_log_tail(log);
    uint64_t head = frame_log_head(log);
    assert_always(tail <= head); /* The head was read later. */
    double percent = tail == 0 ? 0 : 100 * (double)lag / (double)(head - tail);
    return percent < 100 ? percent : 100;
}

static void server_guard_read_protections(const struct server *server,
                                          const struct host_system *system, uint64_t now_ns,
                                          struct protection_reading *readings)
{
    const struct options *options = &server->options;
    uint64_t own_bytes = server_guard_own_bytes(server);
    double places = atomic_load(&server->place_count);
    readings[PROTECTION_MEMORY_SOFT] = (struct protection_reading){
        server_guard_mb(own_bytes), server_guard_mb(options->memory_soft_bytes)};
    readings[PROTECTION_MEMORY_HARD] = server_guard_memory_hard(server, system, own_bytes);
    if (server->descriptors.place_count < options->connections_max) { /* 0: there are enough */
        readings[PROTECTION_DESCRIPTORS] = (struct protection_reading){
            atomic_load(&server->conn_count), server->descriptors.place_count};
    }
    readings[PROTECTION_LAG] =
        (struct protection_reading){server_guard_lag(server, now_ns), PROTECTION_LAG_PERCENT};
    readings[PROTECTION_CONNECTIONS] = (struct protection_reading){
        places, (double)options->connections_max * PROTECTION_CONNECTIONS_PERCENT / 100};
}

static void server_guard_read_alerts(const struct server *server, const struct host_system *system,
                                     const struct metrics_rates *rates, const struct sample *sample,
                                     struct alert_reading *readings)
{
    const struct options *options = &server->options;
    const double *numbers = sample->numbers;
    readings[ALERT_CPU] = (struct alert_reading){
        rates->process_cpu_percent, options->busy_poll ? 0 : options->alert_cpu_percent,
        "% of the CPU time this process may use is in use"};
    readings[ALERT_MEMORY] =
        (struct alert_reading){numbers[SAMPLE_MEMORY_PERCENT], options->alert_memory_percent,
                               system->memory_is_limited ? "% of this cgroup's limit is in use"
                                                         : "% of this host's memory is in use"};
    readings[ALERT_DISK] =
        (struct alert_reading){numbers[SAMPLE_DISK_USAGE_PERCENT], options->alert_disk_percent,
                               "% of the file system of the working directory is in use"};
    readings[ALERT_CONNECTIONS] = (struct alert_reading){
        numbers[SAMPLE_ACTIVE_CONNECTIONS], options->alert_connections, "clients are connected"};
    readings[ALERT_LATENCY] =
        (struct alert_reading){1000 * rates->latency_seconds_mean, SERVER_GUARD_LATENCY_MS,
                               "ms after publication frames left, on average in the last minute"};
    readings[ALERT_LAPS] = (struct alert_reading){
        (double)rates->core_laps, 0.5,
        "times in the last minute a core fell a whole frame log behind and lost frames; give it "
        "more cores, fewer clients or a larger --frame-log-bytes"};
}

void server_guard_tick(struct server *server, uint64_t now_ns)
{
    struct host_system system;
    struct metrics_rates rates;
    struct guard_readings readings = {
        .gc_interval_ns = server->options.gc_interval_ns,
        .cleanup_interval_ns = server->options.cleanup_interval_ns,
    };
    assert_always(server->guard != NULL);
    assert_always(server->metrics != NULL);
    host_read_system(&system);
    metrics_read_rates(server->metrics, &rates);
    admin_sample_take(server->metrics, &system, &rates, now_ns, &readings.sample);
    server_guard_read_protections(server, &system, now_ns, readings.protections);
    server_guard_read_alerts(server, &system, &rates, &readings.sample, readings.alerts);
    guard_tick(server->guard, &readings);
}
