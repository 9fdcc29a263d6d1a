#include "src/admin/metrics.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/host.h"

#define METRICS_SAMPLES 61 /* one a second: a minute between the oldest and the newest */
#define METRICS_CPU_SAMPLES 10

struct metrics_sample {
    uint64_t now_ns;
    double cpu_seconds;
    struct host_cpu host;
    uint64_t ticks;
    uint64_t frames_out;
    uint64_t frames_lost;
    uint64_t core_laps;
    uint64_t latency_sum_ns;
    uint64_t latency_count;
};

struct metrics {
    struct metrics_options options;
    struct counters_read counters;
    uint32_t cpu_count; /* that the process may use */
    _Atomic int state;

    pthread_mutex_t lock; /* for the samples and the certificates */
    struct metrics_certificate certificates[METRICS_CERTIFICATES_MAX];
    uint32_t certificate_count;
    struct metrics_sample samples[METRICS_SAMPLES];
    uint64_t sample_count; /* ever taken */
};

#define CORE_AT(member) ((uint32_t)offsetof(struct core_counters, member))

int metrics_create(struct metrics **metrics_out, const struct metrics_options *options)
{
    assert_always(options->counters != NULL);
    assert_always(options->log != NULL);
    assert_always(options->feed_count == 0 || options->feeds != NULL);
    assert_always(options->feed_count == feed_table_count(options->feed_table));
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (metrics == NULL) {
        return -ENOMEM;
    }
    cpu_set_t cpus;
    metrics->options = *options;
    int error = counters_read_memory(&metrics->counters, options->counters,
                                     counters_bytes(options->counters->header.core_count));
    assert_always(error == 0);
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
    /* It never goes back: what has begun to drain is not ready again. */
    assert_always((int)state >= atomic_load(&metrics->state));
    atomic_store(&metrics->state, state);
}

const char *metrics_state_name(enum metrics_state state)
{
    static const char *const names[] = {[METRICS_STARTING] = "starting",
                                        [METRICS_READY] = "ready",
                                        [METRICS_DRAINING] = "draining"};
    assert_always((size_t)state < sizeof names / sizeof names[0]);
    return names[state];
}

enum metrics_state metrics_state(const struct metrics *metrics)
{
    return (enum metrics_state)atomic_load(&metrics->state);
}

double metrics_uptime_seconds(const struct metrics *metrics)
{
    uint64_t started_ns = metrics->options.counters->header.started_ns;
    return ((double)clock_ns(CLOCK_REALTIME) - (double)started_ns) / (double)NS_PER_SECOND;
}

void metrics_set_limits(struct metrics *metrics, uint32_t connections_max,
                        uint32_t ready_stale_percent)
{
    atomic_store(&metrics->options.connections_max, connections_max);
    atomic_store(&metrics->options.ready_stale_percent, ready_stale_percent);
}

void metrics_set_certificates(struct metrics *metrics,
                              const struct metrics_certificate *certificates, uint32_t count)
{
    assert_always(count <= METRICS_CERTIFICATES_MAX);
    pthread_mutex_lock(&metrics->lock);
    memcpy(metrics->certificates, certificates, count * sizeof *certificates);
    metrics->certificate_count = count;
    pthread_mutex_unlock(&metrics->lock);
}

uint32_t metrics_certificates(struct metrics *metrics,
                              struct metrics_certificate certificates_out[METRICS_CERTIFICATES_MAX])
{
    pthread_mutex_lock(&metrics->lock);
    uint32_t count = metrics->certificate_count;
    memcpy(certificates_out, metrics->certificates, count * sizeof *certificates_out);
    pthread_mutex_unlock(&metrics->lock);
    return count;
}

const struct metrics_options *metrics_options(const struct metrics *metrics)
{
    return &metrics->options;
}

const struct counters_read *metrics_counters(const struct metrics *metrics)
{
    return &metrics->counters;
}

uint64_t metrics_sum(const struct counters *counters, size_t offset)
{
    uint64_t sum = 0;
    assert_always(offset + sizeof(counter) <= sizeof(struct core_counters));
    for (uint32_t i = 0; i < counters->header.core_count; i++) {
        const char *core = (const char *)&counters->cores[i];
        sum += counter_get((const counter *)(const void *)(core + offset));
    }
    return sum;
}

uint64_t metrics_core_lag(const struct metrics *metrics, uint32_t core)
{
    assert_always(core < metrics->options.counters->header.core_count);
    /* The position first: the head only grows, so that the difference is never negative. */
    uint64_t position = counter_get(&metrics->options.counters->cores[core].position);
    uint64_t head = frame_log_head(metrics->options.log);
    return head > position ? head - position : 0;
}

/* ---- Samples and rates ---- */

static void metrics_take_sample(const struct counters *counters, struct metrics_sample *sample)
{
    sample->cpu_seconds = host_process_cpu_seconds();
    host_read_cpu(&sample->host);
    sample->ticks = counter_get(&counters->publisher.ticks);
    sample->frames_out = metrics_sum(counters, CORE_AT(frames_out));
    sample->frames_lost = metrics_sum(counters, CORE_AT(frames_lost));
    sample->core_laps = metrics_sum(counters, CORE_AT(core_laps));
    sample->latency_sum_ns = metrics_sum(counters, CORE_AT(flush.sum_ns));
    for (uint32_t bucket = 0; bucket < COUNTERS_HISTOGRAM_BUCKETS; bucket++) {
        sample->latency_count += metrics_sum(counters, CORE_AT(flush.buckets[bucket]));
    }
}

/* part / whole, 0 for a whole of 0. */
static double metrics_share(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

/* The kernel's counts may go back: iowait does, and all do when a CPU goes. */
static double metrics_host_cpu_share(const struct host_cpu *now, const struct host_cpu *before)
{
    double busy = (double)now->busy - (double)before->busy;
    double total = (double)now->total - (double)before->total;
    return busy <= 0 || total <= 0 ? 0 : busy < total ? busy / total : 1;
}

/* The sample that was taken age ticks before the newest, or the oldest there is. The caller
 * holds the lock and knows that there is one. */
static const struct metrics_sample *metrics_sample_at(const struct metrics *metrics, uint64_t age)
{
    assert_always(metrics->sample_count > 0);
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
        assert_debug(old->now_ns <= recent->now_ns && recent->now_ns <= now->now_ns);
        double seconds = (double)(now->now_ns - old->now_ns) / (double)NS_PER_SECOND;
        double recent_seconds = (double)(now->now_ns - recent->now_ns) / (double)NS_PER_SECOND;
        double sent = (double)(now->frames_out - old->frames_out);
        double lost = (double)(now->frames_lost - old->frames_lost);
        rates_out->process_cpu_percent = 100 * metrics_share(now->cpu_seconds - recent->cpu_seconds,
                                                             recent_seconds * metrics->cpu_count);
        rates_out->host_cpu_percent = 100 * metrics_host_cpu_share(&now->host, &recent->host);
        rates_out->messages_per_minute = 60 * metrics_share(sent, seconds);
        rates_out->ticks_per_second = metrics_share((double)(now->ticks - old->ticks), seconds);
        rates_out->latency_seconds_mean =
            metrics_share((double)(now->latency_sum_ns - old->latency_sum_ns),
                          (double)(now->latency_count - old->latency_count)) /
            (double)NS_PER_SECOND;
        rates_out->core_laps = now->core_laps - old->core_laps;
        rates_out->error_rate = metrics_share(lost, sent + lost);
    }
    pthread_mutex_unlock(&metrics->lock);
}

void metrics_tick(struct metrics *metrics, uint64_t now_ns)
{
    struct metrics_sample sample = {.now_ns = now_ns};
    metrics_take_sample(metrics->options.counters, &sample);

    pthread_mutex_lock(&metrics->lock);
    assert_debug(metrics->sample_count == 0 || now_ns >= metrics_sample_at(metrics, 0)->now_ns);
    metrics->samples[metrics->sample_count % METRICS_SAMPLES] = sample;
    metrics->sample_count++;
    pthread_mutex_unlock(&metrics->lock);
}
