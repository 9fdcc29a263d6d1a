#include "tools/bench_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "tools/bench_frames.h"

static const struct {
    const char *name;
    double percent;
} percentiles[] = {
    {"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100.0},
};
#define PERCENTILE_COUNT (sizeof percentiles / sizeof percentiles[0])

static void bench_report_add_stream(struct bench_stream_totals *into,
                                    const struct bench_stream_totals *from)
{
    into->frames += from->frames;
    into->bytes += from->bytes;
    into->holes += from->holes;
    into->hole_frames += from->hole_frames;
    into->gaps += from->gaps;
    into->gap_frames += from->gap_frames;
    into->gaps_wrong += from->gaps_wrong;
    into->duplicates += from->duplicates;
    for (uint32_t i = 0; i < from->close_code_count; i++) {
        bench_frames_count_close(into, from->closes[i].code, from->closes[i].count);
    }
}

static void bench_report_add_totals(struct bench_totals *into, const struct bench_totals *from)
{
    bench_report_add_stream(&into->readers, &from->readers);
    bench_report_add_stream(&into->stalled, &from->stalled);
    into->window_frames += from->window_frames;
    into->malformed += from->malformed;
    into->control_frames += from->control_frames;
    into->pings += from->pings;
    into->receives += from->receives;
    into->no_buffer += from->no_buffer;
    into->connect_errors += from->connect_errors;
    if (from->last_error != 0) {
        into->last_error = from->last_error;
    }
    if (into->refusals == 0) {
        memcpy(into->refusal_text, from->refusal_text, sizeof into->refusal_text);
    }
    into->refusals += from->refusals;
    if (into->first_started_ns == 0 || from->first_started_ns < into->first_started_ns) {
        into->first_started_ns = from->first_started_ns;
    }
    if (from->last_subscribed_ns > into->last_subscribed_ns) {
        into->last_subscribed_ns = from->last_subscribed_ns;
    }
}

static int bench_report_compare_channels(const void *left, const void *right)
{
    const struct bench_channel *a = left;
    const struct bench_channel *b = right;
    return a->channel < b->channel ? -1 : a->channel > b->channel;
}

/* What was published in the window: for each channel, from the first to the last seq that any
 * reader of any thread received. */
static void bench_report_count_published(struct bench_result *result,
                                         struct bench_thread *const *threads, uint32_t thread_count)
{
    size_t count = 0;
    for (uint32_t i = 0; i < thread_count; i++) {
        count += threads[i]->channel_count;
    }
    struct bench_channel *all = calloc(count + 1, sizeof *all);
    if (all == NULL) {
        return;
    }
    count = 0;
    for (uint32_t i = 0; i < thread_count; i++) {
        size_t bytes = threads[i]->channel_count * sizeof *all;
        memcpy(all + count, threads[i]->channels, bytes);
        count += threads[i]->channel_count;
    }
    qsort(all, count, sizeof *all, bench_report_compare_channels);
    for (size_t i = 0; i < count;) {
        struct bench_channel channel = all[i];
        for (; i < count && all[i].channel == channel.channel; i++) {
            channel.first_seq =
                all[i].first_seq < channel.first_seq ? all[i].first_seq : channel.first_seq;
            channel.last_seq =
                all[i].last_seq > channel.last_seq ? all[i].last_seq : channel.last_seq;
        }
        if (channel.first_seq != UINT64_MAX) {
            result->published_frames += channel.last_seq - channel.first_seq + 1;
            result->channel_count++;
        }
    }
    free(all);
}

static uint32_t bench_report_close_total(const struct bench_stream_totals *totals)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        count += totals->closes[i].count;
    }
    return count;
}

static int bench_report_verdict(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_stream_totals *readers = &result->totals.readers;
    if (options->allow_gaps) {
        return 0;
    }
    if (result->subscribed < options->connection_count || bench_report_close_total(readers) > 0) {
        return 2;
    }
    if (readers->holes > 0 || readers->gaps > 0 || readers->duplicates > 0 ||
        result->totals.malformed > 0 || result->totals.window_frames != result->due_frames ||
        result->due_frames == 0) {
        return 3;
    }
    /* The stalled ones may miss what they were told; nothing else. */
    if (result->totals.stalled.holes > 0 || result->totals.stalled.gaps_wrong > 0 ||
        result->totals.stalled.duplicates > 0) {
        return 3;
    }
    return 0;
}

void bench_report_collect(struct bench_result *result, struct bench_thread *const *threads,
                          uint32_t thread_count)
{
    for (uint32_t i = 0; i < thread_count; i++) {
        bench_report_add_totals(&result->totals, &threads[i]->totals);
        histogram_merge(&result->latency, &threads[i]->latency);
        histogram_merge(&result->connect_time, &threads[i]->connect_time);
        result->subscribed += atomic_load(&threads[i]->subscribed_now);
    }
    uint32_t stalled = result->options->stalled_count;
    result->readers = result->subscribed > stalled ? result->subscribed - stalled : 0;
    bench_report_count_published(result, threads, thread_count);
    result->due_frames = result->published_frames * result->readers;
    result->exit_code = bench_report_verdict(result);
}

static double bench_report_seconds(const struct bench_result *result)
{
    return (double)(result->end.at_ns - result->begin.at_ns) / (double)NS_PER_SECOND;
}

static double bench_report_connect_seconds(const struct bench_totals *totals)
{
    if (totals->last_subscribed_ns <= totals->first_started_ns) {
        return 0.0;
    }
    return (double)(totals->last_subscribed_ns - totals->first_started_ns) / (double)NS_PER_SECOND;
}

static double bench_report_ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

static void bench_report_histogram_text(const struct histogram *histogram)
{
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        uint64_t value_ns = histogram_percentile(histogram, percentiles[i].percent);
        printf("%s%s %.1f", i == 0 ? "" : "  ", percentiles[i].name,
               (double)value_ns / (double)NS_PER_US);
    }
    printf(" us\n");
}

static void bench_report_stream_text(const struct bench_stream_totals *totals)
{
    printf("untold %" PRIu64 " frames in %" PRIu64 " holes, told %" PRIu64 " frames by %" PRIu64
           " GAPs (%" PRIu64 " wrong), duplicates %" PRIu64 "\n",
           totals->hole_frames, totals->holes, totals->gap_frames, totals->gaps, totals->gaps_wrong,
           totals->duplicates);
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        if (totals->closes[i].code == 0) {
            printf("  closed    %u without a Close frame\n", totals->closes[i].count);
        } else {
            printf("  closed    %u with %u\n", totals->closes[i].count, totals->closes[i].code);
        }
    }
}

static void bench_report_usage_text(const struct bench_result *result)
{
    double seconds = bench_report_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    if (result->options->pid != 0) {
        const struct proc_usage *begin = &result->begin.server;
        const struct proc_usage *end = &result->end.server;
        double user_ns = (double)(end->user_ns - begin->user_ns);
        double system_ns = (double)(end->system_ns - begin->system_ns);
        printf("  server    user %.2f s, system %.2f s, %.3f us per frame; RSS %.1f -> %.1f MiB\n",
               user_ns / 1e9, system_ns / 1e9,
               bench_report_ratio((user_ns + system_ns) / 1e3, frames),
               (double)begin->rss_bytes / (double)MIB, (double)end->rss_bytes / (double)MIB);
    }
    if (result->options->cpu >= 0) {
        double busy_ns = (double)(result->end.core.busy_ns - result->begin.core.busy_ns);
        printf("  core %d    busy %.1f %%, %.3f us per frame\n", result->options->cpu,
               busy_ns / 1e7 / seconds, bench_report_ratio(busy_ns / 1e3, frames));
    }
}

void bench_report_text(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_report_seconds(result);
    double connect_seconds = bench_report_connect_seconds(totals);
    double frames = (double)(result->end.frames - result->begin.frames);
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    printf("ringcast-bench %s: %u connections (%u stalled), %u threads, %.1f s\n",
           options->url_text, options->connection_count, options->stalled_count,
           options->thread_count, seconds);
    printf("  connect   %u of %u in %.3f s (%.0f/s): ", result->subscribed,
           options->connection_count, connect_seconds,
           bench_report_ratio(result->subscribed, connect_seconds));
    bench_report_histogram_text(&result->connect_time);
    if (totals->last_error != 0) {
        printf("  errors    %u, the last: %s\n", totals->connect_errors,
               strerror(-totals->last_error));
    }
    if (totals->refusals > 0) {
        printf("  refused   %" PRIu64 ", the first: %s\n", totals->refusals, totals->refusal_text);
    }
    printf("  frames    %.0f/s, %.1f MB/s, %u channels\n", bench_report_ratio(frames, seconds),
           bench_report_ratio(bytes / 1e6, seconds), result->channel_count);
    printf("  latency   ");
    bench_report_histogram_text(&result->latency);
    printf("  reach     %" PRIu64 " of %" PRIu64 " (%.4f %%)\n", totals->window_frames,
           result->due_frames,
           100.0 * bench_report_ratio((double)totals->window_frames, (double)result->due_frames));
    printf("  losses    ");
    bench_report_stream_text(&totals->readers);
    if (totals->malformed > 0) {
        printf("  malformed %" PRIu64 "\n", totals->malformed);
    }
    if (options->stalled_count > 0) {
        printf("  stalled   %" PRIu64 " frames received, ", totals->stalled.frames);
        bench_report_stream_text(&totals->stalled);
    }
    bench_report_usage_text(result);
    printf("  %s\n", result->exit_code == 0 ? options->allow_gaps ? "DONE (gaps allowed)" : "VALID"
                     : result->exit_code == 2 ? "INVALID: connections failed or were closed"
                                              : "INVALID: not everything was delivered");
}

static json_t *bench_report_histogram_json(const struct histogram *histogram)
{
    json_t *object = json_object();
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        uint64_t value_ns = histogram_percentile(histogram, percentiles[i].percent);
        json_object_set_new(object, percentiles[i].name, json_integer((json_int_t)value_ns));
    }
    double mean = bench_report_ratio((double)histogram->sum_ns, (double)histogram->count);
    json_object_set_new(object, "mean", json_integer((json_int_t)mean));
    json_object_set_new(object, "count", json_integer((json_int_t)histogram->count));
    return object;
}

static json_t *bench_report_stream_json(const struct bench_stream_totals *totals)
{
    json_t *closes = json_object();
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        char code[16];
        snprintf(code, sizeof code, "%u", totals->closes[i].code);
        json_object_set_new(closes, code, json_integer(totals->closes[i].count));
    }
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "frames", (json_int_t)totals->frames,
                     "bytes", (json_int_t)totals->bytes, "holes", (json_int_t)totals->holes,
                     "hole_frames", (json_int_t)totals->hole_frames, "gaps",
                     (json_int_t)totals->gaps, "gap_frames", (json_int_t)totals->gap_frames,
                     "gaps_wrong", (json_int_t)totals->gaps_wrong, "duplicates",
                     (json_int_t)totals->duplicates, "closes", closes);
}

static json_t *bench_report_usage_json(const struct bench_result *result)
{
    const struct bench_sample *begin = &result->begin;
    const struct bench_sample *end = &result->end;
    json_t *usage = json_object();
    if (result->options->pid != 0) {
        uint64_t user_ns = end->server.user_ns - begin->server.user_ns;
        uint64_t system_ns = end->server.system_ns - begin->server.system_ns;
        json_object_set_new(usage, "user_ns", json_integer((json_int_t)user_ns));
        json_object_set_new(usage, "system_ns", json_integer((json_int_t)system_ns));
        json_object_set_new(usage, "rss_bytes_begin",
                            json_integer((json_int_t)begin->server.rss_bytes));
        json_object_set_new(usage, "rss_bytes_end",
                            json_integer((json_int_t)end->server.rss_bytes));
    }
    if (result->options->cpu >= 0) {
        uint64_t busy_ns = end->core.busy_ns - begin->core.busy_ns;
        uint64_t idle_ns = end->core.idle_ns - begin->core.idle_ns;
        uint64_t steal_ns = end->core.steal_ns - begin->core.steal_ns;
        double frames = (double)(end->frames - begin->frames);
        json_object_set_new(usage, "core_busy_ns", json_integer((json_int_t)busy_ns));
        json_object_set_new(usage, "core_idle_ns", json_integer((json_int_t)idle_ns));
        json_object_set_new(usage, "core_steal_ns", json_integer((json_int_t)steal_ns));
        json_object_set_new(usage, "core_ns_per_frame",
                            json_real(bench_report_ratio((double)busy_ns, frames)));
    }
    return usage;
}

void bench_report_json(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_report_seconds(result);
    json_t *report =
        json_pack("{s:s,s:i,s:i,s:i,s:f,s:b,s:i}", "url", options->url_text, "connections",
                  (int)options->connection_count, "stalled_connections",
                  (int)options->stalled_count, "threads", (int)options->thread_count, "seconds",
                  seconds, "valid", result->exit_code == 0, "exit_code", result->exit_code);
    json_object_update_new(
        report,
        json_pack("{s:i,s:f,s:o,s:o,s:I,s:I,s:I,s:f,s:f,s:i}", "subscribed",
                  (int)result->subscribed, "connect_seconds", bench_report_connect_seconds(totals),
                  "connect_ns", bench_report_histogram_json(&result->connect_time), "latency_ns",
                  bench_report_histogram_json(&result->latency), "published",
                  (json_int_t)result->published_frames, "due", (json_int_t)result->due_frames,
                  "received", (json_int_t)totals->window_frames, "frames_per_second",
                  bench_report_ratio((double)(result->end.frames - result->begin.frames), seconds),
                  "bytes_per_second",
                  bench_report_ratio((double)(result->end.bytes - result->begin.bytes), seconds),
                  "channels", (int)result->channel_count));
    json_object_update_new(
        report,
        json_pack("{s:o,s:o,s:o,s:I,s:I,s:I,s:I,s:I,s:i}", "readers",
                  bench_report_stream_json(&totals->readers), "stalled",
                  bench_report_stream_json(&totals->stalled), "server",
                  bench_report_usage_json(result), "malformed", (json_int_t)totals->malformed,
                  "pings", (json_int_t)totals->pings, "refusals", (json_int_t)totals->refusals,
                  "receives", (json_int_t)totals->receives, "no_buffer",
                  (json_int_t)totals->no_buffer, "connect_errors", (int)totals->connect_errors));
    json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(report);
}
