#include "tools/bench/bench_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/units.h"
#include "tools/common/terminal_text.h"

#define LOAD_BUSY_MAX 0.9      /* a busier load measures itself */
#define PUBLISH_SHARE_MIN 0.99 /* of what the publisher was asked for */

static const struct {
    const char *name;
    double percent;
} percentiles[] = {
    {"p50", 50.0},     {"p90", 90.0},       {"p99", 99.0},  {"p99.9", 99.9},
    {"p99.99", 99.99}, {"p99.999", 99.999}, {"max", 100.0},
};
#define PERCENTILE_COUNT (sizeof percentiles / sizeof percentiles[0])

static const char *const phase_names[BENCH_PHASES] = {"tcp", "upgrade", "subscribe", "first_tick",
                                                      "snapshot"};

static double bench_report_ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : 0.0;
}

static double bench_report_published_per_second(const struct bench_result *result)
{
    return bench_report_ratio((double)result->published_frames * (double)NS_PER_SECOND,
                              (double)result->window_ns);
}

/* On the wire, of the window's ticks. */
static double bench_report_frame_bytes(const struct bench_result *result)
{
    return bench_report_ratio((double)result->totals.window_wire_bytes,
                              (double)result->totals.window_frames);
}

/* An instant more or less may lie in the window. */
static bool bench_report_is_behind(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    double asked = options->publish_rate * (double)result->window_ns / (double)NS_PER_SECOND;
    return (double)result->published_frames + options->publish_burst < PUBLISH_SHARE_MIN * asked;
}

static bool bench_report_is_saturated(const struct bench_result *result)
{
    return result->load_busy > LOAD_BUSY_MAX && !result->options->spin;
}

/* The process of --pid was there at both ends of the window. */
static bool bench_report_has_server(const struct bench_result *result)
{
    return result->begin.has_server && result->end.has_server;
}

/* ---- Text ---- */

static void bench_report_row_text(const char *name, const struct histogram *histogram)
{
    printf("  %-11s", name);
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        uint64_t value_ns = histogram_percentile(histogram, percentiles[i].percent);
        printf(" %9.1f", (double)value_ns / (double)NS_PER_US);
    }
    printf("\n");
}

static void bench_report_times_text(const struct bench_result *result)
{
    printf("  %-11s", "us");
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        printf(" %9s", percentiles[i].name);
    }
    printf("\n");
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        if (phase != BENCH_PHASE_SNAPSHOT || result->options->snapshot) {
            bench_report_row_text(phase_names[phase], &result->phases[phase]);
        }
    }
    bench_report_row_text("latency", &result->latency);
    if (result->spread.count > 0) {
        bench_report_row_text("spread", &result->spread);
    }
}

/* "; 3 holes", when there are any. */
static void bench_report_count_text(uint64_t count, const char *what)
{
    if (count > 0) {
        printf("; %" PRIu64 " %s", count, what);
    }
}

static void bench_report_stream_text(const struct bench_stream_totals *totals)
{
    bench_report_count_text(totals->holes, "HOLES that no GAP told");
    bench_report_count_text(totals->gaps, "GAPs");
    bench_report_count_text(totals->gap_frames, "frames told lost");
    bench_report_count_text(totals->gaps_wrong, "GAPs WRONG");
    bench_report_count_text(totals->duplicates, "DUPLICATES");
    bench_report_count_text(totals->refused, "connects failed");
    bench_report_count_text(totals->ignored, "not answered by a close");
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        const struct bench_close_count *close = &totals->closes[i];
        if (close->code == 0) {
            printf("; %u cut off", close->count);
        } else {
            printf("; %u closed %u", close->count, close->code);
        }
    }
    printf("\n");
}

static void bench_report_losses_text(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    printf("  reach       %" PRIu64 " of %" PRIu64 " (%.4f %%)", totals->window_frames,
           result->due_frames,
           100.0 * bench_report_ratio((double)totals->window_frames, (double)result->due_frames));
    if (result->places.connections > 0) {
        printf("; places %.3f to %.3f, deviation %.3f (by chance %.3f)", result->places.min,
               result->places.max, result->places.deviation, result->places.chance);
    }
    bench_report_stream_text(&totals->streams[BENCH_READER]);
    if (totals->malformed + totals->differing > 0) {
        printf("  corrupt     %" PRIu64 " malformed, %" PRIu64 " differ\n", totals->malformed,
               totals->differing);
    }
    if (result->unfinished > 0) {
        printf(
            "  unfinished  %u readers got nothing from after the window: what they were due at its "
            "end is not known\n",
            result->unfinished);
    }
    for (uint32_t role = BENCH_STALLED; role < BENCH_ROLES; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        if (result->options->role_counts[role] > 0) {
            printf("  %-13s %u, came %" PRIu64 " times, %" PRIu64 " frames", bench_role_names[role],
                   result->options->role_counts[role], stream->sessions, stream->frames);
            bench_report_stream_text(stream);
        }
    }
}

static void bench_report_server_text(const struct bench_result *result)
{
    double seconds = bench_result_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    const struct proc_usage *begin = &result->begin.server;
    const struct proc_usage *end = &result->end.server;
    if (!bench_report_has_server(result)) {
        printf("  server      process %d %s\n", result->options->pid,
               result->begin.has_server ? "ENDED in the window" : "was not there");
        return;
    }
    double user_ns = (double)(end->user_ns - begin->user_ns);
    double system_ns = (double)(end->system_ns - begin->system_ns);
    printf(
        "  server      user %.2f s, system %.2f s, %.3f us per frame; RSS %.1f -> %.1f MiB; "
        "switches %.0f/s, forced %.0f/s\n",
        user_ns / 1e9, system_ns / 1e9, bench_report_ratio((user_ns + system_ns) / 1e3, frames),
        (double)begin->rss_bytes / (double)MIB, (double)end->rss_bytes / (double)MIB,
        bench_report_ratio((double)(end->voluntary_switches - begin->voluntary_switches), seconds),
        bench_report_ratio((double)(end->forced_switches - begin->forced_switches), seconds));
}

/* Of the window, when there was one. */
static void bench_report_usage_text(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    if (result->window_ns == 0) {
        return;
    }
    if (options->pid != 0) {
        bench_report_server_text(result);
    }
    if (options->cpu >= 0) {
        double frames = (double)(result->end.frames - result->begin.frames);
        double busy_ns = (double)(result->end.core.busy_ns - result->begin.core.busy_ns);
        printf("  core %-6d busy %.1f %%, %.3f us per frame\n", options->cpu,
               bench_report_ratio(busy_ns / 1e7, bench_result_seconds(result)),
               bench_report_ratio(busy_ns / 1e3, frames));
    }
    printf("  load        its busiest thread took %.0f %% of a core%s\n", 100.0 * result->load_busy,
           bench_report_is_saturated(result)
               ? ": SATURATED, the latencies are its own; give it more threads and cores"
               : "");
    if (options->publish_rate > 0.0) {
        printf("  publisher   %.0f ticks/s of %.0f%s\n", bench_report_published_per_second(result),
               options->publish_rate,
               bench_report_is_behind(result) ? ": BEHIND, or nobody subscribes to some" : "");
    }
}

static const char *bench_report_verdict(const struct bench_result *result)
{
    return result->exit_code == 0   ? result->options->allow_gaps ? "DONE (gaps allowed)" : "VALID"
           : result->exit_code == 2 ? "INVALID: connections failed or were closed"
                                    : "INVALID: not everything was delivered as it should be";
}

void bench_report_text(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_result_seconds(result);
    double connect_seconds = bench_result_connect_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    printf("ringcast-bench %s: %u connections, %u threads, %.1f s%s\n", options->url_text,
           options->connection_count, options->thread_count, seconds,
           result->interrupted ? " (interrupted)" : "");
    printf("  connect     %u in %.3f s (%.0f/s)\n", result->subscribed, connect_seconds,
           bench_report_ratio(result->subscribed, connect_seconds));
    if (totals->connect_errors > 0) {
        printf("  errors      %u, the last: %s\n", totals->connect_errors,
               strerror(-totals->last_error));
    }
    if (totals->refusals > 0) {
        printf("  refused     %" PRIu64 ", the first: ", totals->refusals);
        terminal_text_print(stdout, totals->refusal_text, strlen(totals->refusal_text));
        printf("\n");
    }
    printf("  frames      %.0f/s, %.1f MB/s, %.1f bytes each, %u channels, %.0f ticks/s\n",
           bench_report_ratio(frames, seconds), bench_report_ratio(bytes / 1e6, seconds),
           bench_report_frame_bytes(result), result->channel_count,
           bench_report_published_per_second(result));
    bench_report_times_text(result);
    bench_report_losses_text(result);
    bench_report_usage_text(result);
    printf("  %s\n", bench_report_verdict(result));
}

/* ---- JSON ---- */

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
    return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "sessions",
                     (json_int_t)totals->sessions, "refused", (json_int_t)totals->refused,
                     "ignored", (json_int_t)totals->ignored, "frames", (json_int_t)totals->frames,
                     "bytes", (json_int_t)totals->bytes, "holes", (json_int_t)totals->holes,
                     "hole_frames", (json_int_t)totals->hole_frames, "gaps",
                     (json_int_t)totals->gaps, "gap_frames", (json_int_t)totals->gap_frames,
                     "gaps_wrong", (json_int_t)totals->gaps_wrong, "duplicates",
                     (json_int_t)totals->duplicates, "closes", closes);
}

static void bench_report_set(json_t *object, const char *key, uint64_t value)
{
    json_object_set_new(object, key, json_integer((json_int_t)value));
}

static json_t *bench_report_usage_json(const struct bench_result *result)
{
    const struct bench_sample *begin = &result->begin;
    const struct bench_sample *end = &result->end;
    double frames = (double)(end->frames - begin->frames);
    json_t *usage = json_object();
    if (result->options->pid != 0 && !bench_report_has_server(result)) {
        json_object_set_new(usage, "ended", json_true());
    } else if (result->options->pid != 0) {
        bench_report_set(usage, "user_ns", end->server.user_ns - begin->server.user_ns);
        bench_report_set(usage, "system_ns", end->server.system_ns - begin->server.system_ns);
        bench_report_set(usage, "rss_bytes_begin", begin->server.rss_bytes);
        bench_report_set(usage, "rss_bytes_end", end->server.rss_bytes);
        bench_report_set(usage, "voluntary_switches",
                         end->server.voluntary_switches - begin->server.voluntary_switches);
        bench_report_set(usage, "forced_switches",
                         end->server.forced_switches - begin->server.forced_switches);
    }
    if (result->options->cpu >= 0) {
        uint64_t busy_ns = end->core.busy_ns - begin->core.busy_ns;
        bench_report_set(usage, "core_busy_ns", busy_ns);
        bench_report_set(usage, "core_connect_busy_ns",
                         result->connect_end.core.busy_ns - result->connect_begin.core.busy_ns);
        bench_report_set(usage, "core_idle_ns", end->core.idle_ns - begin->core.idle_ns);
        bench_report_set(usage, "core_steal_ns", end->core.steal_ns - begin->core.steal_ns);
        json_object_set_new(usage, "core_ns_per_frame",
                            json_real(bench_report_ratio((double)busy_ns, frames)));
    }
    return usage;
}

static json_t *bench_report_roles_json(const struct bench_result *result)
{
    json_t *roles = json_object();
    for (uint32_t role = 0; role < BENCH_ROLES; role++) {
        if (result->options->role_counts[role] > 0 || role <= BENCH_STALLED) {
            json_object_set_new(roles, bench_role_names[role],
                                bench_report_stream_json(&result->totals.streams[role]));
        }
    }
    return roles;
}

static json_t *bench_report_delivery_json(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_result_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    json_t *places = json_pack("{s:f,s:f,s:f,s:f,s:i,s:i}", "min", result->places.min, "max",
                               result->places.max, "deviation", result->places.deviation, "chance",
                               result->places.chance, "connections",
                               (int)result->places.connections, "ticks", (int)result->places.ticks);
    json_t *phases = json_object();
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        json_object_set_new(phases, phase_names[phase],
                            bench_report_histogram_json(&result->phases[phase]));
    }
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:f,s:i,s:o,s:o,s:o,s:o,s:o}", "published",
        (json_int_t)result->published_frames, "due", (json_int_t)result->due_frames, "received",
        (json_int_t)totals->window_frames, "malformed", (json_int_t)totals->malformed, "differing",
        (json_int_t)totals->differing, "frames_per_second", bench_report_ratio(frames, seconds),
        "bytes_per_second", bench_report_ratio(bytes, seconds), "bytes_per_frame",
        bench_report_frame_bytes(result), "ticks_per_second",
        bench_report_published_per_second(result), "channels", (int)result->channel_count,
        "latency_ns", bench_report_histogram_json(&result->latency), "spread_ns",
        bench_report_histogram_json(&result->spread), "connect_ns",
        bench_report_histogram_json(&result->connect_time), "phases_ns", phases, "places", places);
}

void bench_report_json(const struct bench_result *result, int exit_code)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    json_t *report = json_pack(
        "{s:s,s:s,s:i,s:i,s:f,s:b,s:b,s:i,s:i,s:f,s:f,s:b,s:b,s:i,s:o}", "url", options->url_text,
        "encoding", options->encoding_name, "connections", (int)options->connection_count,
        "threads", (int)options->thread_count, "seconds", bench_result_seconds(result), "valid",
        result->exit_code == 0, "interrupted", result->interrupted, "exit_code", exit_code,
        "subscribed", (int)result->subscribed, "connect_seconds",
        bench_result_connect_seconds(result), "load_busy", result->load_busy, "saturated",
        bench_report_is_saturated(result), "behind", bench_report_is_behind(result), "unfinished",
        (int)result->unfinished, "server", bench_report_usage_json(result));
    json_object_update_new(report, bench_report_delivery_json(result));
    json_object_update_new(report, bench_report_roles_json(result));
    json_object_update_new(
        report, json_pack("{s:I,s:I,s:I,s:I,s:i}", "pings", (json_int_t)totals->pings, "refusals",
                          (json_int_t)totals->refusals, "receives", (json_int_t)totals->receives,
                          "no_buffer", (json_int_t)totals->no_buffer, "connect_errors",
                          (int)totals->connect_errors));
    if (options->publish != NULL) {
        json_object_set_new(report, "publish", json_string(options->publish));
    }
    json_dumpf(report, stdout, JSON_COMPACT | JSON_REAL_PRECISION(9));
    printf("\n");
    json_decref(report);
}

/* ---- Steps ---- */

void bench_report_step(const struct bench_result *result, uint64_t value_ns, bool holds)
{
    const struct bench_options *options = result->options;
    double frames = (double)(result->end.frames - result->begin.frames);
    double per_second = bench_report_ratio(frames, bench_result_seconds(result));
    if (options->json) {
        printf("{\"connections\":%u,\"limit_ns\":%" PRIu64 ",\"value_ns\":%" PRIu64
               ",\"frames_per_second\":%.0f,\"load_busy\":%.3f,\"exit_code\":%d,\"holds\":%s}\n",
               options->connection_count, options->until_ns, value_ns, per_second,
               result->load_busy, result->exit_code, holds ? "true" : "false");
    } else {
        printf("  %7u connections  %s %10.1f us  %12.0f frames/s  load %3.0f %%  %s\n",
               options->connection_count, options->until_text, (double)value_ns / 1e3, per_second,
               100.0 * result->load_busy,
               holds                    ? "holds"
               : result->exit_code != 0 ? bench_report_verdict(result)
                                        : "over the limit");
    }
    fflush(stdout);
}

void bench_report_steps_end(const struct bench_options *options, uint32_t good, uint32_t bad)
{
    if (options->json) {
        printf("{\"until\":\"%s\",\"connections_served\":%u,\"connections_too_many\":%u}\n",
               options->until_text, good, bad);
    } else if (bad == 0) {
        printf("%u connections are served with %s, and nobody asked for more\n", good,
               options->until_text);
    } else {
        printf("%u connections are served with %s; %u are too many\n", good, options->until_text,
               bad);
    }
}
