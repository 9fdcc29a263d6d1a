#include "tools/bench/bench_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

/* null is what was not measured. */
static json_t *bench_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *bench_json_integer(bool is_measured, uint64_t value)
{
    return is_measured ? json_integer((json_int_t)value) : json_null();
}

static void bench_json_print(json_t *object, FILE *file)
{
    json_dumpf(object, file, JSON_COMPACT | JSON_REAL_PRECISION(9));
    fputc('\n', file);
    fflush(file);
    json_decref(object);
}

static json_t *bench_json_histogram(const struct histogram *histogram)
{
    json_t *object = json_object();
    bool any = histogram->count > 0;
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        uint64_t value_ns = histogram_percentile(histogram, bench_percentiles[i].percent);
        json_object_set_new(object, bench_percentiles[i].name, bench_json_integer(any, value_ns));
    }
    double mean_ns = any ? histogram_mean(histogram) : 0.0;
    double stdev_ns = any ? histogram_deviation(histogram) : 0.0;
    json_object_set_new(object, "mean", bench_json_integer(any, (uint64_t)mean_ns));
    json_object_set_new(object, "stdev", bench_json_integer(any, (uint64_t)stdev_ns));
    json_object_set_new(object, "count", json_integer((json_int_t)histogram->count));
    return object;
}

static json_t *bench_json_stream(const struct bench_stream_totals *totals)
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

static void bench_json_set(json_t *object, const char *key, bool is_measured, uint64_t value)
{
    json_object_set_new(object, key, bench_json_integer(is_measured, value));
}

static void bench_json_add_process(json_t *usage, const struct bench_sample *begin,
                                   const struct bench_sample *end)
{
    bool has = bench_watch_has_server(begin, end);
    const struct proc_usage *from = &begin->server;
    const struct proc_usage *to = &end->server;
    bench_json_set(usage, "user_ns", has, to->user_ns - from->user_ns);
    bench_json_set(usage, "system_ns", has, to->system_ns - from->system_ns);
    bench_json_set(usage, "rss_bytes_begin", has, from->rss_bytes);
    bench_json_set(usage, "rss_bytes_end", has, to->rss_bytes);
    bench_json_set(usage, "voluntary_switches", has,
                   to->voluntary_switches - from->voluntary_switches);
    bench_json_set(usage, "forced_switches", has, to->forced_switches - from->forced_switches);
}

static json_t *bench_json_usage(const struct bench_result *result)
{
    const struct bench_sample *begin = &result->begin;
    const struct bench_sample *end = &result->end;
    json_t *usage = json_object();
    if (result->options->pid != 0) {
        bench_json_add_process(usage, begin, end);
        json_object_set_new(
            usage, "ended",
            json_boolean(result->window_ns > 0 && !bench_watch_has_server(begin, end)));
    }
    if (result->options->cpu >= 0) {
        bool has = bench_watch_has_core(begin, end);
        bool has_connect = bench_watch_has_core(&result->connect_begin, &result->connect_end);
        double frames = (double)(end->frames - begin->frames);
        uint64_t busy_ns = core_usage_busy_ns(&begin->core, &end->core);
        bench_json_set(usage, "core_busy_ns", has, busy_ns);
        bench_json_set(usage, "core_connect_busy_ns", has_connect,
                       core_usage_busy_ns(&result->connect_begin.core, &result->connect_end.core));
        bench_json_set(usage, "core_idle_ns", has, end->core.idle_ns - begin->core.idle_ns);
        bench_json_set(usage, "core_steal_ns", has, end->core.steal_ns - begin->core.steal_ns);
        json_object_set_new(
            usage, "core_ns_per_frame",
            bench_json_real(has ? bench_result_ratio((double)busy_ns, frames) : NAN));
    }
    return usage;
}

static json_t *bench_json_roles(const struct bench_result *result)
{
    json_t *roles = json_object();
    for (uint32_t role = 0; role < BENCH_ROLES; role++) {
        if (result->options->role_counts[role] > 0 || role <= BENCH_STALLED) {
            json_object_set_new(roles, bench_role_names[role],
                                bench_json_stream(&result->totals.streams[role]));
        }
    }
    return roles;
}

static json_t *bench_json_places(const struct bench_result *result)
{
    const struct bench_places *places = &result->places;
    bool any = places->connections > 0;
    return json_pack("{s:o,s:o,s:o,s:o,s:i,s:i}", "min", bench_json_real(any ? places->min : NAN),
                     "max", bench_json_real(any ? places->max : NAN), "deviation",
                     bench_json_real(any ? places->deviation : NAN), "chance",
                     bench_json_real(any ? places->chance : NAN), "connections",
                     (int)places->connections, "ticks", (int)places->ticks);
}

static json_t *bench_json_delivery(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_result_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    bool has_window = result->window_ns > 0;
    bool has_seqs = bench_result_has_seqs(result) && has_window;
    json_t *phases = json_object();
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        json_object_set_new(phases, bench_phase_names[phase],
                            bench_json_histogram(&result->phases[phase]));
    }
    return json_pack(
        "{s:I,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:o,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o}",
        "skipped", (json_int_t)totals->unread, "ignored", (json_int_t)totals->ignored, "each_min",
        bench_json_integer(has_window, result->window_ticks_min), "each_max",
        bench_json_integer(has_window, result->window_ticks_max), "published",
        bench_json_integer(has_seqs, result->published_frames), "due",
        bench_json_integer(bench_result_has_due(result) && has_window, result->due_frames),
        "received", (json_int_t)totals->window_frames, "malformed", (json_int_t)totals->malformed,
        "differing", bench_json_integer(has_seqs, totals->differing), "early",
        (json_int_t)totals->early_ticks, "frames_per_second",
        bench_json_real(bench_result_ratio(frames, seconds)), "bytes_per_second",
        bench_json_real(bench_result_ratio(bytes, seconds)), "bytes_per_frame",
        bench_json_real(bench_result_frame_bytes(result)), "ticks_per_second",
        bench_json_real(bench_result_published_per_second(result)), "channels",
        bench_json_integer(has_seqs, result->channel_count), "latency_ns",
        bench_json_histogram(&result->latency), "spread_ns", bench_json_histogram(&result->spread),
        "loop_ns", bench_json_histogram(&result->turns), "connect_ns",
        bench_json_histogram(&result->connect_time), "phases_ns", phases, "fairness",
        bench_json_places(result));
}

/* --slow-ticks */
static json_t *bench_json_slow_ticks(const struct bench_result *result)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < result->slow_ticks.count; i++) {
        const struct bench_slow_tick *tick = &result->slow_ticks.list[i];
        json_t *symbol =
            tick->symbol_bytes > 0 ? json_stringn(tick->symbol, tick->symbol_bytes) : NULL;
        json_array_append_new(
            list,
            json_pack("{s:I,s:I,s:I,s:o,s:o,s:i,s:o}", "latency_ns", (json_int_t)tick->latency_ns,
                      "time_ns", (json_int_t)tick->time_ns, "ch", (json_int_t)tick->channel, "seq",
                      bench_json_integer(bench_result_has_seqs(result), tick->seq), "symbol",
                      symbol != NULL ? symbol : json_null(), "connection", (int)tick->conn_index,
                      "port", bench_json_integer(tick->port != 0, tick->port)));
    }
    return list;
}

static json_t *bench_json_load(const struct bench_result *result)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:b,s:b,s:b,s:o}", "load_busy",
                     bench_json_real(result->load_busy), "load_waited",
                     bench_json_real(result->load_waited), "load_stolen",
                     bench_json_real(result->load_stolen), "load_throttled",
                     bench_json_real(result->load_throttled), "saturated",
                     bench_result_is_saturated(result), "starved", bench_result_is_starved(result),
                     "slow_loop", bench_result_is_slow(result), "server", bench_json_usage(result));
}

/* --requests */
static void bench_json_add_requests(json_t *report, const struct bench_result *result)
{
    const struct bench_requests *requests = &result->requests;
    struct bench_grade grade;
    bool has_grade = bench_result_grade(result, &grade);
    json_object_set_new(
        report, "requests",
        json_pack("{s:i,s:I,s:I,s:o,s:o,s:o}", "count", (int)result->options->request_count,
                  "answered", (json_int_t)requests->answered, "refused",
                  (json_int_t)requests->refused, "success_rate",
                  bench_json_real((double)requests->answered / result->options->request_count),
                  "seconds", bench_json_real(bench_result_request_seconds(result)), "per_second",
                  bench_json_real(bench_result_requests_per_second(result))));
    json_object_set_new(report, "response_ns", bench_json_histogram(&requests->response));
    json_object_set_new(report, "grade", has_grade ? json_string(grade.name) : json_null());
    json_object_set_new(report, "grade_reason",
                        has_grade ? json_string(grade.reason) : json_null());
}

static json_t *bench_json_report(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    json_t *report = json_pack(
        "{s:s,s:s,s:i,s:i,s:o,s:b,s:s,s:b,s:i,s:i,s:o,s:b,s:i}", "url", options->url_text,
        "encoding", options->encoding_name, "connections", (int)options->connection_count,
        "threads", (int)options->thread_count, "seconds",
        bench_json_real(result->window_ns > 0 ? bench_result_seconds(result) : NAN), "valid",
        result->exit_code == 0, "verdict", result->verdict, "interrupted", result->interrupted,
        "exit_code", result->exit_code, "subscribed", (int)result->subscribed, "connect_seconds",
        bench_json_real(result->subscribed > 0 ? bench_result_connect_seconds(result) : NAN),
        "behind", bench_result_is_behind(result), "unfinished", (int)result->unfinished);
    json_object_update_new(report, bench_json_load(result));
    json_object_update_new(report, bench_json_delivery(result));
    json_object_update_new(report, bench_json_roles(result));
    json_object_update_new(
        report, json_pack("{s:I,s:I,s:I,s:I,s:i}", "pings", (json_int_t)totals->pings, "refusals",
                          (json_int_t)totals->refusals, "receives", (json_int_t)totals->receives,
                          "no_buffer", (json_int_t)totals->no_buffer, "connect_errors",
                          (int)totals->connect_errors));
    if (options->publish != NULL) {
        json_object_set_new(report, "publish", json_string(options->publish));
    }
    if (result->has_published) {
        bench_json_set(report, "published", true, result->published_frames);
        json_object_set_new(report, "publish_rate", json_real(options->publish_rate));
        bench_json_set(report, "publish_late_ns", true, result->publish_late_ns);
    }
    if (options->echo) {
        json_object_set_new(report, "echo_rate", json_integer(options->echo_rate));
        json_object_set_new(report, "payload_bytes", json_integer(options->payload_bytes));
        json_object_set_new(report, "send_late_ns", bench_json_histogram(&result->send_late));
    }
    if (options->slow_tick_count > 0) {
        json_object_set_new(report, "slow_ticks", bench_json_slow_ticks(result));
    }
    if (options->request_count > 0) {
        bench_json_add_requests(report, result);
    }
    return report;
}

void bench_json_run(const struct bench_result *result)
{
    bench_json_print(bench_json_report(result), stdout);
}

int bench_json_write(const struct bench_result *result, FILE *file)
{
    bench_json_print(bench_json_report(result), file);
    return 0;
}

/* ---- Steps ---- */

void bench_json_step(const struct bench_result *result, double value_ns, bool holds)
{
    const struct bench_options *options = result->options;
    double frames = (double)(result->end.frames - result->begin.frames);
    double per_second = bench_result_ratio(frames, bench_result_seconds(result));
    bool any = isfinite(value_ns);
    bench_json_print(
        json_pack("{s:i,s:I,s:o,s:o,s:o,s:b,s:i,s:b}", "connections",
                  (int)options->connection_count, "limit_ns", (json_int_t)options->until_ns,
                  "value_ns", bench_json_integer(any, any ? (uint64_t)value_ns : 0),
                  "frames_per_second", bench_json_real(per_second), "load_busy",
                  bench_json_real(result->load_busy), "starved", bench_result_is_starved(result),
                  "exit_code", result->exit_code, "holds", holds),
        stdout);
}

void bench_json_answer(const struct bench_options *options, uint32_t good, uint32_t bad)
{
    bench_json_print(json_pack("{s:s,s:I,s:I}", "until", options->until_text, "connections_served",
                               (json_int_t)good, "connections_too_many", (json_int_t)bad),
                     stdout);
}
