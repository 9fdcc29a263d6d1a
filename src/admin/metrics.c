#include "src/admin/metrics.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/base/memory_limit.h"

#define METRICS_SAMPLES 61 /* one a second: a minute between the oldest and the newest */
#define METRICS_CPU_SAMPLES 10
#define METRICS_WARN_NS (60 * NS_PER_SECOND) /* the same warning at most once in so long */
#define METRICS_WARN_LATENCY_SECONDS 0.1
#define METRICS_WARN_MEMORY_PERCENT 90
#define METRICS_WARN_CPU_PERCENT 90
/* Buckets from 2^10 ns to 2^34 ns (17 s) are shown; what is above is in +Inf only. */
#define METRICS_LATENCY_BUCKETS_SHOWN 25

enum metrics_warning {
    METRICS_WARN_LAP,
    METRICS_WARN_LATENCY,
    METRICS_WARN_MEMORY,
    METRICS_WARN_CPU,
    METRICS_WARN_COUNT,
};

struct metrics_sample {
    uint64_t now_ns;
    double cpu_seconds;
    uint64_t host_busy; /* in ticks of /proc/stat */
    uint64_t host_total;
    uint64_t ticks;
    uint64_t frames_out;
    uint64_t frames_lost;
    uint64_t core_laps;
    uint64_t latency_sum_ns;
    uint64_t latency_count;
};

struct metrics {
    struct metrics_options options;
    uint32_t cpu_count; /* that the process may use */
    _Atomic int state;

    pthread_mutex_t lock; /* for the samples */
    struct metrics_sample samples[METRICS_SAMPLES];
    uint64_t sample_count; /* ever taken */

    /* main's own. */
    uint64_t warned_ns[METRICS_WARN_COUNT];
};

#define CORE_AT(member) ((uint32_t)offsetof(struct core_counters, member))
#define PUBLISHER_AT(member) ((uint32_t)offsetof(struct publisher_counters, member))
#define COUNTER(member, name, labels, help)                                                        \
    {                                                                                              \
#member, name, labels, help, false, false, CORE_AT(member)                                 \
    }
#define GAUGE(member, name, help)                                                                  \
    {                                                                                              \
#member, name, NULL, help, true, false, CORE_AT(member)                                    \
    }
#define ENCODING(member, name, labels, help)                                                       \
    {                                                                                              \
#member, name, labels, help, false, false, PUBLISHER_AT(member)                            \
    }
#define TICKS(member, name, help)                                                                  \
    {                                                                                              \
#member, name, NULL, help, false, false, PUBLISHER_AT(member)                              \
    }

static const struct metrics_field metrics_core_table[] = {
    GAUGE(conns_open, "connections_open", "Sockets, also those still in the handshake."),
    GAUGE(conns_streaming, "connections_active", "Upgraded connections."),
    GAUGE(conns_blocked, "connections_blocked", "Connections whose socket is full."),
    GAUGE(conns_pulling, "connections_catching_up", "Connections that read from the log."),
    GAUGE(subscriptions, "subscriptions", "Subscriptions, a pattern counting once a type."),
    COUNTER(accepted, "connections_accepted_total", NULL, "Sockets accepted."),
    COUNTER(refused_busy, "connections_refused_total", "reason=\"busy\"",
            "Handshakes that were refused."),
    COUNTER(refused_handshake, "connections_refused_total", "reason=\"handshake\"", NULL),
    COUNTER(refused_token, "connections_refused_total", "reason=\"token\"", NULL),
    COUNTER(refused_forbidden, "connections_refused_total", "reason=\"forbidden\"", NULL),
    COUNTER(refused_rate, "connections_refused_total", "reason=\"rate\"", NULL),
    COUNTER(accept_paused, "accept_pauses_total", NULL,
            "Times accept waited for descriptors or connections to become free."),
    COUNTER(closed, "connections_closed_total", NULL, "Connections that ended, for any reason."),
    COUNTER(closed_slow, "connections_dropped_total", "reason=\"slow\"",
            "Connections that ended by a fault."),
    COUNTER(closed_silent, "connections_dropped_total", "reason=\"silent\"", NULL),
    COUNTER(closed_idle, "connections_dropped_total", "reason=\"idle\"", NULL),
    COUNTER(closed_protocol, "connections_dropped_total", "reason=\"protocol\"", NULL),
    COUNTER(closed_token, "connections_dropped_total", "reason=\"token\"", NULL),
    COUNTER(closed_rate, "connections_dropped_total", "reason=\"rate\"", NULL),
    COUNTER(closed_reset, "connections_dropped_total", "reason=\"reset\"", NULL),
    COUNTER(closed_drain, "connections_drained_total", NULL,
            "Connections that were closed with 4201, since the server was to stop."),
    COUNTER(messages_in, "messages_received_total", NULL, "Messages from clients."),
    COUNTER(messages_refused, "messages_refused_total", NULL,
            "Messages over the rate, or before a token."),
    COUNTER(messages_held, "messages_sliced_total", NULL,
            "Messages that were answered in several turns of the core."),
    GAUGE(slice_units_max, "slice_units_max",
          "Most units of work that one client's messages took at once; one is about 25 ns."),
    COUNTER(bytes_in, "received_bytes_total", NULL, "Bytes from clients."),
    COUNTER(frames_out, "frames_sent_total", NULL, "Data frames handed to the kernel whole."),
    COUNTER(bytes_out, "sent_bytes_total", NULL, "Bytes handed to the kernel."),
    COUNTER(control_out, "control_frames_sent_total", NULL, "Control frames sent."),
    COUNTER(sends, "sends_total", "result=\"whole\"", "Send operations."),
    COUNTER(sends_short, "sends_total", "result=\"short\"", NULL),
    COUNTER(sends_full, "sends_total", "result=\"full\"", NULL),
    COUNTER(sends_failed, "sends_total", "result=\"failed\"", NULL),
    COUNTER(lent_sends, "zero_copy_sends_total", NULL, "Sends that lent the log to the kernel."),
    COUNTER(lent_bytes, "zero_copy_bytes_total", "result=\"sent\"",
            "Bytes lent to the kernel: sent without a copy, or copied after all."),
    COUNTER(lent_bytes_copied, "zero_copy_bytes_total", "result=\"copied\"", NULL),
    GAUGE(lent_bytes_held, "zero_copy_held_bytes", "Lent bytes that the kernel refers to."),
    COUNTER(send_enters, "send_enters_total", NULL, "Kernel entries that submitted sends."),
    COUNTER(enters, "kernel_enters_total", NULL, "Kernel entries of the core's ring."),
    COUNTER(frames_lost, "frames_lost_total", NULL, "Data frames clients were told to have lost."),
    COUNTER(frames_conflated, "frames_conflated_total", NULL, "Data frames a newer one replaced."),
    COUNTER(gaps_sent, "gaps_sent_total", NULL, "GAP messages sent."),
    COUNTER(lags_told, "lags_told_total", NULL, "LAG messages sent."),
    COUNTER(laps, "connection_laps_total", NULL, "Connections passed by the writer of the log."),
    COUNTER(core_laps, "core_laps_total", NULL, "Times the core was passed by the writer."),
    COUNTER(recv_no_buffer, "receive_buffer_shortages_total", NULL,
            "Times no buffer was free for a client's bytes."),
    COUNTER(turns, "turns_total", NULL, "Turns of the core's loop: ten a second and more."),
    COUNTER(cq_overflow, "completion_queue_overflows_total", NULL,
            "Times the kernel's completion queue was full: that costs time, and loses nothing."),
};

static const struct metrics_field metrics_publisher_table[] = {
    TICKS(ticks, "ticks_published_total", "Ticks encoded into the log."),
    TICKS(tick_bytes, "published_bytes_total", "Bytes of frames in the log, ever."),
    TICKS(ticks_refused, "ticks_refused_total", "Ticks too long, or for no channel."),
    {"channels", "channels", NULL, "Channels that exist.", true, false, PUBLISHER_AT(channels)},
    TICKS(turns, "publisher_turns_total", "Polls of the feeds: ten a second and more."),
    TICKS(wakes, "core_wakes_total", "Sleeping cores woken."),
    TICKS(feed_skipped, "feed_skipped_total", "Well-formed input that is no tick."),
    TICKS(feed_malformed, "feed_malformed_total", "Input that does not parse."),
    TICKS(feed_holes, "feed_holes_total", "Missing stretches in a source's own sequence."),
    TICKS(feed_passes, "feed_passes_total", "Completed passes of a looping replay."),
    TICKS(feed_wakes, "feed_wakes_total", "Polls of a feed because its descriptor was readable."),
    TICKS(log_waits, "log_waits_total", "Times the writer waited for a core inside submit."),
    {"log_wait_ns", "log_wait_seconds_total", NULL,
     "How long the writer waited; keeps growing while a core's thread is stopped.", false, true,
     PUBLISHER_AT(log_wait_ns)},
    TICKS(log_saved, "log_saved_total", "Last frames saved before they were lapped."),
    TICKS(log_replaced_bytes, "log_replaced_bytes_total",
          "Bytes of the log given fresh memory, since the kernel still referred to the old."),
    ENCODING(
        sbe_frames, "encoded_frames_total", "encoding=\"sbe\"",
        "Frames in the logs of other encodings, which are written while clients ask for them."),
    ENCODING(deflate_frames, "encoded_frames_total", "encoding=\"json+deflate\"", NULL),
    ENCODING(sbe_bytes, "encoded_bytes_total", "encoding=\"sbe\"", "Bytes of those frames."),
    ENCODING(deflate_bytes, "encoded_bytes_total", "encoding=\"json+deflate\"", NULL),
    {"late_ns", "publish_delay_seconds", NULL, "How late the newest tick was published.", true,
     true, PUBLISHER_AT(late_ns)},
};

const struct metrics_field *metrics_core_fields(size_t *count_out)
{
    *count_out = sizeof metrics_core_table / sizeof metrics_core_table[0];
    return metrics_core_table;
}

const struct metrics_field *metrics_publisher_fields(size_t *count_out)
{
    *count_out = sizeof metrics_publisher_table / sizeof metrics_publisher_table[0];
    return metrics_publisher_table;
}

int metrics_create(struct metrics **metrics_out, const struct metrics_options *options)
{
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL) {
        return -ENOMEM;
    }
    cpu_set_t cpus;
    metrics->options = *options;
    metrics->cpu_count = 1;
    if (sched_getaffinity(0, sizeof cpus, &cpus) == 0) {
        metrics->cpu_count = (uint32_t)CPU_COUNT(&cpus);
    }
    pthread_mutex_init(&metrics->lock, NULL);
    *metrics_out = metrics;
    return 0;
}

void metrics_destroy(struct metrics *metrics)
{
    pthread_mutex_destroy(&metrics->lock);
    free(metrics);
}

void metrics_set_state(struct metrics *metrics, enum metrics_state state)
{
    atomic_store(&metrics->state, state);
}

enum metrics_state metrics_state(const struct metrics *metrics)
{
    return (enum metrics_state)atomic_load(&metrics->state);
}

const struct metrics_options *metrics_options(const struct metrics *metrics)
{
    return &metrics->options;
}

uint64_t metrics_sum(const struct counters *counters, size_t offset)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < counters->core_count; i++) {
        const char *core = (const char *)&counters->cores[i];
        sum += counter_get((const counter *)(const void *)(core + offset));
    }
    return sum;
}

uint64_t metrics_core_lag(const struct metrics *metrics, uint32_t core)
{
    /* The position first: the head only grows, so that the difference is never negative. */
    uint64_t position = counter_get(&metrics->options.counters->cores[core].position);
    uint64_t head = frame_log_head(metrics->options.log);
    return head > position ? head - position : 0;
}

/* ---- The process and the host ---- */

/* The first bytes of a file, terminated; empty when it cannot be read. */
static void metrics_read_file(const char *path, char *text, size_t text_bytes)
{
    FILE *file = fopen(path, "re");
    size_t length = 0;
    if (file != NULL) {
        length = fread(text, 1, text_bytes - 1, file);
        fclose(file);
    }
    text[length] = '\0';
}

/* The number after a name such as "MemTotal:"; 0 when there is none. */
static uint64_t metrics_number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static uint64_t metrics_count_fds(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return 0;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory's own */
}

static double metrics_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void metrics_read_process(const struct metrics *metrics, struct metrics_process *process_out)
{
    char text[4096];
    struct rlimit limit;
    struct timespec now;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    *process_out = (struct metrics_process){.cpu_seconds = metrics_cpu_seconds(),
                                            .open_fds = metrics_count_fds()};

    metrics_read_file("/proc/self/statm", text, sizeof text);
    char *end = text;
    process_out->virtual_bytes = strtoull(end, &end, 10) * page_bytes;
    process_out->resident_bytes = strtoull(end, &end, 10) * page_bytes;

    metrics_read_file("/proc/self/status", text, sizeof text);
    process_out->threads = metrics_number_after(text, "\nThreads:");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        process_out->fds_max = limit.rlim_cur;
    }
    clock_gettime(CLOCK_REALTIME, &now);
    process_out->uptime_seconds =
        (double)now.tv_sec + (double)now.tv_nsec / (double)NS_PER_SECOND -
        (double)metrics->options.counters->started_ns / (double)NS_PER_SECOND;
}

/* Lines of /proc/net/dev: "  eth0: received_bytes and 7 more, sent_bytes ...". */
static void metrics_read_network(struct metrics_system *system_out)
{
    char text[16384];
    metrics_read_file("/proc/net/dev", text, sizeof text);
    for (char *at = strchr(text, ':'); at != NULL; at = strchr(at, ':')) {
        at++;
        system_out->network_received_bytes += strtoull(at, &at, 10);
        for (int i = 0; i < 7; i++) {
            (void)strtoull(at, &at, 10);
        }
        system_out->network_sent_bytes += strtoull(at, &at, 10);
    }
}

static void metrics_read_limit(struct metrics_system *system)
{
    struct memory_limit limit;
    memory_limit_read(&limit, "");
    system->memory_is_limited = limit.limit_bytes > 0 && limit.limit_bytes < system->memory_bytes;
    if (system->memory_is_limited) {
        system->memory_bytes = limit.limit_bytes;
        system->memory_available_bytes =
            limit.used_bytes < limit.limit_bytes ? limit.limit_bytes - limit.used_bytes : 0;
    }
}

void metrics_read_system(struct metrics_system *system_out)
{
    char text[4096];
    struct statvfs disk;
    *system_out = (struct metrics_system){0};
    metrics_read_file("/proc/meminfo", text, sizeof text);
    system_out->memory_bytes = metrics_number_after(text, "MemTotal:") * KIB;
    system_out->memory_available_bytes = metrics_number_after(text, "MemAvailable:") * KIB;
    metrics_read_limit(system_out);
    if (statvfs(".", &disk) == 0) {
        system_out->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
        system_out->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    metrics_read_network(system_out);
    (void)getloadavg(system_out->load_average, 3);
}

/* ---- Samples, rates and warnings ---- */

/* "cpu  user nice system idle iowait irq softirq steal ...", in ticks. */
static void metrics_read_host_cpu(struct metrics_sample *sample)
{
    char text[256];
    metrics_read_file("/proc/stat", text, sizeof text);
    char *at = text + strcspn(text, " ");
    for (int i = 0; i < 8; i++) {
        uint64_t ticks = strtoull(at, &at, 10);
        bool idle = i == 3 || i == 4;
        sample->host_total += ticks;
        sample->host_busy += idle ? 0 : ticks;
    }
}

static void metrics_take_sample(const struct counters *counters, struct metrics_sample *sample)
{
    sample->cpu_seconds = metrics_cpu_seconds();
    metrics_read_host_cpu(sample);
    sample->ticks = counter_get(&counters->publisher.ticks);
    sample->frames_out = metrics_sum(counters, CORE_AT(frames_out));
    sample->frames_lost = metrics_sum(counters, CORE_AT(frames_lost));
    sample->core_laps = metrics_sum(counters, CORE_AT(core_laps));
    sample->latency_sum_ns = metrics_sum(counters, CORE_AT(flush_latency_sum_ns));
    for (uint32_t bucket = 0; bucket < COUNTERS_LATENCY_BUCKETS; bucket++) {
        sample->latency_count += metrics_sum(counters, CORE_AT(flush_latency[bucket]));
    }
}

/* part / whole, 0 for a whole of 0. */
static double metrics_share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* The sample that was taken age ticks before the newest, or the oldest there is. The caller
 * holds the lock and knows that there is one. */
static const struct metrics_sample *metrics_sample_at(const struct metrics *metrics, uint64_t age)
{
    uint64_t newest = metrics->sample_count - 1;
    uint64_t age_max = newest < METRICS_SAMPLES - 1 ? newest : METRICS_SAMPLES - 1;
    return &metrics->samples[(newest - (age < age_max ? age : age_max)) % METRICS_SAMPLES];
}

void metrics_read_rates(struct metrics *metrics, struct metrics_rates *rates_out)
{
    *rates_out = (struct metrics_rates){0};
    pthread_mutex_lock(&metrics->lock);
    if (metrics->sample_count > 0) {
        const struct metrics_sample *now = metrics_sample_at(metrics, 0);
        const struct metrics_sample *recent = metrics_sample_at(metrics, METRICS_CPU_SAMPLES);
        const struct metrics_sample *old = metrics_sample_at(metrics, METRICS_SAMPLES - 1);
        double seconds = (double)(now->now_ns - old->now_ns) / (double)NS_PER_SECOND;
        double recent_seconds = (double)(now->now_ns - recent->now_ns) / (double)NS_PER_SECOND;
        double sent = (double)(now->frames_out - old->frames_out);
        double lost = (double)(now->frames_lost - old->frames_lost);
        rates_out->process_cpu_percent = 100 * metrics_share(now->cpu_seconds - recent->cpu_seconds,
                                                             recent_seconds * metrics->cpu_count);
        rates_out->host_cpu_percent =
            100 * metrics_share((double)(now->host_busy - recent->host_busy),
                                (double)(now->host_total - recent->host_total));
        rates_out->messages_per_minute = 60 * metrics_share(sent, seconds);
        rates_out->ticks_per_second = metrics_share((double)(now->ticks - old->ticks), seconds);
        rates_out->latency_seconds_mean =
            metrics_share((double)(now->latency_sum_ns - old->latency_sum_ns),
                          (double)(now->latency_count - old->latency_count)) /
            (double)NS_PER_SECOND;
        rates_out->error_rate = metrics_share(lost, sent + lost);
    }
    pthread_mutex_unlock(&metrics->lock);
}

/* Whether a warning is due that was not given in the last minute. */
static bool metrics_may_warn(struct metrics *metrics, enum metrics_warning warning, bool due,
                             uint64_t now_ns)
{
    uint64_t *warned_ns = &metrics->warned_ns[warning];
    if (!due || (*warned_ns != 0 && now_ns - *warned_ns < METRICS_WARN_NS)) {
        return false;
    }
    *warned_ns = now_ns;
    return true;
}

static void metrics_warn(struct metrics *metrics, uint64_t laps, uint64_t now_ns)
{
    struct metrics_rates rates;
    struct metrics_system system;
    metrics_read_rates(metrics, &rates);
    metrics_read_system(&system);
    double memory_percent = 100 - 100 * metrics_share((double)system.memory_available_bytes,
                                                      (double)system.memory_bytes);
    if (metrics_may_warn(metrics, METRICS_WARN_LAP, laps > 0, now_ns)) {
        log_write(LOG_LEVEL_WARNING,
                  "performance: a core fell a whole frame log behind and lost frames; give it more "
                  "cores, fewer clients or a larger --frame-log-bytes");
    }
    bool slow = rates.latency_seconds_mean > METRICS_WARN_LATENCY_SECONDS;
    if (metrics_may_warn(metrics, METRICS_WARN_LATENCY, slow, now_ns)) {
        log_write(LOG_LEVEL_WARNING,
                  "latency: frames left %.0f ms after publication on average in the last minute",
                  rates.latency_seconds_mean * 1000);
    }
    bool full = system.memory_bytes > 0 && memory_percent > METRICS_WARN_MEMORY_PERCENT;
    if (metrics_may_warn(metrics, METRICS_WARN_MEMORY, full, now_ns)) {
        log_write(LOG_LEVEL_WARNING, "memory: %.0f %% of this %s is in use, %" PRIu64 " MiB left",
                  memory_percent, system.memory_is_limited ? "cgroup's limit" : "host's",
                  system.memory_available_bytes / MIB);
    }
    bool hot = !metrics->options.options->busy_poll &&
               rates.process_cpu_percent > METRICS_WARN_CPU_PERCENT;
    if (metrics_may_warn(metrics, METRICS_WARN_CPU, hot, now_ns)) {
        log_write(LOG_LEVEL_WARNING,
                  "performance: %.0f %% of the CPU time this process may use is in use",
                  rates.process_cpu_percent);
    }
}

void metrics_tick(struct metrics *metrics, uint64_t now_ns)
{
    struct metrics_sample sample = {.now_ns = now_ns};
    metrics_take_sample(metrics->options.counters, &sample);

    pthread_mutex_lock(&metrics->lock);
    uint64_t laps = 0;
    if (metrics->sample_count > 0) {
        laps = sample.core_laps - metrics_sample_at(metrics, 0)->core_laps;
    }
    metrics->samples[metrics->sample_count % METRICS_SAMPLES] = sample;
    metrics->sample_count++;
    pthread_mutex_unlock(&metrics->lock);

    metrics_warn(metrics, laps, now_ns);
}

/* ---- Prometheus text format 0.0.4 ---- */

static void metrics_write_head(FILE *out, const char *name, const char *type, const char *help)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void metrics_write_gauge(FILE *out, const char *name, const char *help, double value)
{
    metrics_write_head(out, name, "gauge", help);
    fprintf(out, "%s %.17g\n", name, value);
}

static void metrics_write_counter(FILE *out, const char *name, const char *help, double value)
{
    metrics_write_head(out, name, "counter", help);
    fprintf(out, "%s %.17g\n", name, value);
}

/* Series of one name follow one another; the first has the help. */
static void metrics_write_field_head(FILE *out, const struct metrics_field *field)
{
    if (field->help != NULL) {
        char name[96];
        snprintf(name, sizeof name, "ringcast_%s", field->name);
        metrics_write_head(out, name, field->is_gauge ? "gauge" : "counter", field->help);
    }
}

static void metrics_write_cores(FILE *out, const struct counters *counters)
{
    size_t count;
    const struct metrics_field *fields = metrics_core_fields(&count);
    for (size_t i = 0; i < count; i++) {
        const struct metrics_field *field = &fields[i];
        metrics_write_field_head(out, field);
        for (uint32_t core = 0; core < counters->core_count; core++) {
            fprintf(out, "ringcast_%s{core=\"%u\"%s%s} %" PRIu64 "\n", field->name, core,
                    field->labels == NULL ? "" : ",", field->labels == NULL ? "" : field->labels,
                    metrics_field_get(field, &counters->cores[core]));
        }
    }
}

static void metrics_write_lag(FILE *out, const struct metrics *metrics)
{
    metrics_write_head(out, "ringcast_core_lag_frames", "gauge",
                       "Frames of the log that the core has still to fan out.");
    for (uint32_t core = 0; core < metrics->options.counters->core_count; core++) {
        fprintf(out, "ringcast_core_lag_frames{core=\"%u\"} %" PRIu64 "\n", core,
                metrics_core_lag(metrics, core));
    }
}

static void metrics_write_publisher(FILE *out, const struct counters *counters)
{
    size_t count;
    const struct metrics_field *fields = metrics_publisher_fields(&count);
    for (size_t i = 0; i < count; i++) {
        const struct metrics_field *field = &fields[i];
        double value = (double)metrics_field_get(field, &counters->publisher);
        metrics_write_field_head(out, field);
        fprintf(out, "ringcast_%s%s%s%s %.17g\n", field->name, field->labels == NULL ? "" : "{",
                field->labels == NULL ? "" : field->labels, field->labels == NULL ? "" : "}",
                field->is_ns ? value / (double)NS_PER_SECOND : value);
    }
}

static void metrics_write_latency(FILE *out, const struct counters *counters)
{
    static const char name[] = "ringcast_flush_latency_seconds";
    metrics_write_head(out, name, "histogram",
                       "Time from a tick's publication to the end of the flush that sent it.");
    for (uint32_t core = 0; core < counters->core_count; core++) {
        const struct core_counters *source = &counters->cores[core];
        double sum = (double)counter_get(&source->flush_latency_sum_ns) / (double)NS_PER_SECOND;
        uint64_t count = 0;
        for (uint32_t bucket = 0; bucket < COUNTERS_LATENCY_BUCKETS; bucket++) {
            count += counter_get(&source->flush_latency[bucket]);
            if (bucket < METRICS_LATENCY_BUCKETS_SHOWN) {
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
static void metrics_write_process(FILE *out, const struct metrics *metrics,
                                  const struct metrics_process *process)
{
    metrics_write_counter(out, "process_cpu_seconds_total", "User and system CPU time.",
                          process->cpu_seconds);
    metrics_write_gauge(out, "process_resident_memory_bytes",
                        "Resident memory; the frame log, mapped twice, counts twice.",
                        (double)process->resident_bytes);
    metrics_write_gauge(out, "process_virtual_memory_bytes", "Virtual memory.",
                        (double)process->virtual_bytes);
    metrics_write_gauge(out, "process_open_fds", "Open file descriptors.",
                        (double)process->open_fds);
    metrics_write_gauge(out, "process_max_fds", "Limit of open file descriptors.",
                        (double)process->fds_max);
    metrics_write_gauge(out, "process_threads", "Threads.", (double)process->threads);
    metrics_write_gauge(out, "process_start_time_seconds", "Start, since the Unix epoch.",
                        (double)metrics->options.counters->started_ns / (double)NS_PER_SECOND);
}

/* The names of requirement S79, which alert rules use. */
static void metrics_write_aliases(FILE *out, struct metrics *metrics,
                                  const struct metrics_process *process)
{
    struct metrics_rates rates;
    metrics_read_rates(metrics, &rates);
    metrics_write_gauge(out, "cpu_usage_percent",
                        "CPU time of this process in percent of what it may use, over 10 s.",
                        rates.process_cpu_percent);
    metrics_write_gauge(out, "memory_usage_mb", "Resident memory of this process in MiB.",
                        (double)process->resident_bytes / (double)MIB);
    metrics_write_gauge(out, "active_connections", "Upgraded connections.",
                        (double)metrics_sum(metrics->options.counters, CORE_AT(conns_streaming)));
    metrics_write_gauge(out, "error_rate", "Data frames lost / due, over the last minute.",
                        rates.error_rate);
}

char *metrics_write_prometheus(struct metrics *metrics, bool with_aliases, size_t *bytes_out)
{
    const struct counters *counters = metrics->options.counters;
    struct metrics_process process;
    char *text = NULL;
    FILE *out = open_memstream(&text, bytes_out);
    if (out == NULL) {
        return NULL;
    }
    metrics_read_process(metrics, &process);
    metrics_write_head(out, "ringcast_build_info", "gauge", "1, with the version as a label.");
    fprintf(out, "ringcast_build_info{version=\"%s\",epoch=\"%s\"} 1\n", RINGCAST_VERSION,
            metrics->options.epoch);
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    const struct watchdog *watchdog = metrics->options.watchdog;
    bool is_stalled = watchdog != NULL && watchdog_is_stalled(watchdog, now_ns);
    metrics_write_gauge(out, "ringcast_ready", "Whether /ready answers 200.",
                        metrics_state(metrics) == METRICS_READY && !is_stalled);
    if (watchdog != NULL) {
        watchdog_write_prometheus(watchdog, out, now_ns);
    }
    metrics_write_gauge(out, "ringcast_connections_max", "The limit of connections.",
                        metrics->options.options->connections_max);
    metrics_write_cores(out, counters);
    metrics_write_lag(out, metrics);
    metrics_write_publisher(out, counters);
    metrics_write_latency(out, counters);
    metrics_write_gauge(out, "ringcast_log_capacity_bytes", "Size of the frame log.",
                        (double)metrics->options.log->capacity_bytes);
    metrics_write_counter(out, "ringcast_log_lines_lost_total",
                          "Log lines that found no room, or that standard error refused.",
                          (double)log_lost_count());
    metrics_write_process(out, metrics, &process);
    if (with_aliases) {
        metrics_write_aliases(out, metrics, &process);
    }
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
