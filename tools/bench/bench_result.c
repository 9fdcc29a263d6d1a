#include "tools/bench/bench_result.h"

#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"

#define LOAD_BUSY_MAX 0.9      /* a busier load generator measures itself, */
#define LOAD_WAITED_MAX 0.02   /* and so does one that waits for cores, */
#define LOAD_STOLEN_MAX 0.02   /* whose cores a hypervisor takes, */
#define LOAD_THROTTLED_MAX 0.0 /* or that a limit stops */
#define TURN_SHARE_MAX 0.5     /* of latency: longer turns are what the latency shows */
#define PUBLISH_SHARE_MIN 0.99 /* of what the publisher was asked for */

const struct bench_percentile bench_percentiles[BENCH_PERCENTILES] = {
    {"p50", 50.0},     {"p90", 90.0},       {"p99", 99.0},  {"p99.9", 99.9},
    {"p99.99", 99.99}, {"p99.999", 99.999}, {"max", 100.0},
};

const char *const bench_phase_names[BENCH_PHASES] = {"tcp",       "tls",        "upgrade",
                                                     "subscribe", "first_tick", "snapshot"};

uint32_t bench_result_awaited(const struct bench_options *options)
{
    return options->role_counts[BENCH_READER] + options->role_counts[BENCH_STALLED] +
           options->role_counts[BENCH_LIGHT_READER] + options->role_counts[BENCH_SLOW];
}

static void bench_result_add_stream(struct bench_stream_totals *into,
                                    const struct bench_stream_totals *from)
{
    into->sessions += from->sessions;
    into->refused += from->refused;
    into->ignored += from->ignored;
    into->frames += from->frames;
    into->bytes += from->bytes;
    into->holes += from->holes;
    into->hole_frames += from->hole_frames;
    into->gaps += from->gaps;
    into->gap_frames += from->gap_frames;
    into->gaps_wrong += from->gaps_wrong;
    into->duplicates += from->duplicates;
    for (uint32_t i = 0; i < from->close_code_count; i++) {
        bench_totals_count_close(into, from->closes[i].code, from->closes[i].count);
    }
}

static void bench_result_add_totals(struct bench_totals *into, const struct bench_totals *from)
{
    for (uint32_t role = 0; role < BENCH_ROLES; role++) {
        bench_result_add_stream(&into->streams[role], &from->streams[role]);
    }
    into->window_frames += from->window_frames;
    into->window_wire_bytes += from->window_wire_bytes;
    into->differing += from->differing;
    into->pings += from->pings;
    into->receives += from->receives;
    into->no_buffer += from->no_buffer;
    into->connect_errors += from->connect_errors;
    if (from->last_error != 0) {
        into->last_error = from->last_error;
    }
    into->early_ticks += from->early_ticks;
    into->far_ticks += from->far_ticks;
    into->far_number = from->far_ticks > 0 ? from->far_number : into->far_number;
    if (from->subscribed_channels > into->subscribed_channels) {
        into->subscribed_channels = from->subscribed_channels;
    }
    if (into->refusals == 0) {
        into->first_refusal = from->first_refusal;
    }
    if (into->malformed == 0) {
        into->first_malformed = from->first_malformed;
    }
    if (from->unread > 0) {
        into->last_unread = from->last_unread;
    }
    into->malformed += from->malformed;
    into->unread += from->unread;
    into->ignored += from->ignored;
    into->refusals += from->refusals;
    if (into->first_started_ns == 0 || from->first_started_ns < into->first_started_ns) {
        into->first_started_ns = from->first_started_ns;
    }
    if (from->last_subscribed_ns > into->last_subscribed_ns) {
        into->last_subscribed_ns = from->last_subscribed_ns;
    }
}

static void bench_result_add_requests(struct bench_requests *into,
                                      const struct bench_requests *from)
{
    into->unanswered += from->unanswered;
    into->answered += from->answered;
    into->refused += from->refused;
    if (into->first_ns == 0 || (from->first_ns != 0 && from->first_ns < into->first_ns)) {
        into->first_ns = from->first_ns;
    }
    into->last_ns = from->last_ns > into->last_ns ? from->last_ns : into->last_ns;
    histogram_merge(&into->response, &from->response);
}

static int bench_result_compare_channels(const void *left, const void *right)
{
    const struct bench_channel *a = *(struct bench_channel *const *)left;
    const struct bench_channel *b = *(struct bench_channel *const *)right;
    return a->channel < b->channel ? -1 : a->channel > b->channel;
}

/* A tick's spread counts once all readers have received it. */
static void bench_result_add_spread(struct bench_result *result, const struct bench_ticks *ticks,
                                    uint32_t readers)
{
    for (uint32_t i = 0; i < ticks->count; i++) {
        const struct bench_tick *tick = &ticks->ticks[i];
        if (tick->count > 1 && tick->count >= readers) {
            histogram_record(&result->spread, tick->last_ns - tick->first_ns);
        }
    }
}

/* The same channel, as count threads saw it: from the first to the last seq that any reader
 * received. */
static void bench_result_add_channel(struct bench_result *result, const struct bench_load *load,
                                     struct bench_channel *const *views, size_t count)
{
    uint32_t readers = bench_load_readers(load, views[0]->symbol);
    uint64_t first_seq = views[0]->first_seq;
    uint64_t last_seq = views[0]->last_seq;
    for (size_t i = 1; i < count; i++) {
        first_seq = views[i]->first_seq < first_seq ? views[i]->first_seq : first_seq;
        last_seq = views[i]->last_seq > last_seq ? views[i]->last_seq : last_seq;
        result->totals.differing += bench_ticks_merge(&views[0]->ticks, &views[i]->ticks);
    }
    result->channel_count++;
    result->published_frames += last_seq - first_seq + 1;
    result->due_frames += (last_seq - first_seq + 1) * readers;
    bench_result_add_spread(result, &views[0]->ticks, readers);
}

static void bench_result_add_channels(struct bench_result *result, const struct bench_load *load,
                                      struct bench_thread *const *threads)
{
    size_t count = 0;
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        count += threads[i]->data.channel_count;
    }
    struct bench_channel **views = calloc(count + 1, sizeof *views);
    if (views == NULL) {
        return;
    }
    count = 0;
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        for (uint32_t k = 0; k < threads[i]->data.channel_count; k++) {
            if (threads[i]->data.channels[k].first_seq != UINT64_MAX) {
                views[count++] = &threads[i]->data.channels[k];
            }
        }
    }
    qsort(views, count, sizeof *views, bench_result_compare_channels);
    for (size_t i = 0; i < count;) {
        size_t same = 1;
        while (i + same < count && views[i + same]->channel == views[i]->channel) {
            same++;
        }
        bench_result_add_channel(result, load, views + i, same);
        i += same;
    }
    free(views);
}

static void bench_result_add_places(struct bench_result *result,
                                    struct bench_thread *const *threads)
{
    const struct bench_receipts *receipts[BENCH_THREADS_MAX];
    uint32_t connection_count = result->options->connection_count;
    bool *is_counted = calloc(connection_count, sizeof *is_counted);
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        const struct bench_crew *crew = &threads[i]->crew;
        receipts[i] = &threads[i]->data.receipts;
        for (uint32_t k = 0; k < crew->conn_count && is_counted != NULL; k++) {
            is_counted[crew->first_conn_index + k] = crew->conns[k].state == BENCH_CONN_STREAMING;
        }
    }
    if (is_counted == NULL ||
        bench_places_find(&result->places, receipts, result->options->thread_count, is_counted,
                          connection_count) != 0) {
        fprintf(stderr, "ringcast-bench: out of memory: fairness is not known\n");
    }
    free(is_counted);
}

/* The readers with the fewest and the most ticks. */
static void bench_result_add_readers(struct bench_result *result,
                                     struct bench_thread *const *threads)
{
    result->window_ticks_min = UINT32_MAX;
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        const struct bench_crew *crew = &threads[i]->crew;
        for (uint32_t k = 0; k < crew->conn_count; k++) {
            uint32_t ticks = crew->conns[k].window_ticks;
            if (crew->conns[k].role == BENCH_READER && ticks < result->window_ticks_min) {
                result->window_ticks_min = ticks;
            }
            if (crew->conns[k].role == BENCH_READER && ticks > result->window_ticks_max) {
                result->window_ticks_max = ticks;
            }
        }
    }
    if (result->window_ticks_min > result->window_ticks_max) {
        result->window_ticks_min = 0; /* There are no readers. */
    }
}

/* The local port; 0: it has none, or is closed. */
static uint16_t bench_result_port(const struct bench_conn *conn)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    if (conn->fd < 0 || getsockname(conn->fd, (struct sockaddr *)&address, &bytes) < 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET    ? ((struct sockaddr_in *)&address)->sin_port
                 : address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                                 : 0);
}

static void bench_result_add_slow_ticks(struct bench_result *result,
                                        const struct bench_thread *thread)
{
    const struct bench_crew *crew = &thread->crew;
    for (uint32_t i = 0; i < thread->data.slow_ticks.count; i++) {
        struct bench_slow_tick tick = thread->data.slow_ticks.list[i];
        tick.port = bench_result_port(&crew->conns[tick.conn_index - crew->first_conn_index]);
        bench_slow_ticks_add(&result->slow_ticks, &tick);
    }
    bench_slow_ticks_sort(&result->slow_ticks);
}

static uint32_t bench_result_closes(const struct bench_stream_totals *totals)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        count += totals->closes[i].count;
    }
    return count;
}

__attribute__((format(printf, 3, 4))) static int
bench_result_invalid(struct bench_result *result, int exit_code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int bytes = snprintf(result->verdict, sizeof result->verdict, "INVALID: ");
    vsnprintf(result->verdict + bytes, sizeof result->verdict - (size_t)bytes, format, arguments);
    va_end(arguments);
    return exit_code;
}

/* Nothing was due: why? */
static int bench_result_nothing(struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    uint64_t channels = totals->subscribed_channels;
    if (totals->window_frames > 0) {
        return bench_result_invalid(result, 3,
                                    "the symbols in the ticks (--symbol-pattern) are not those "
                                    "subscribed to");
    }
    if (totals->far_ticks > 0) {
        return bench_result_invalid(result, 3, "the times in the ticks are far from now");
    }
    if (totals->streams[BENCH_READER].frames > 0) {
        return bench_result_invalid(result, 3,
                                    result->options->time_pattern[0] == 0
                                        ? "no message was received inside the window"
                                        : "no tick has a time inside the window");
    }
    if (totals->unread > 0) {
        return bench_result_invalid(result, 3,
                                    "none of %" PRIu64 " message%s is a tick by the patterns",
                                    totals->unread, bench_result_s(totals->unread));
    }
    if (result->options->protocol != BENCH_RINGCAST) {
        return bench_result_invalid(result, 3, "no tick was received");
    }
    return channels == 0
               ? bench_result_invalid(result, 3,
                                      "no channel matches the symbols and types asked for")
               : bench_result_invalid(
                     result, 3, "nothing was published on the %" PRIu64 " channel%s subscribed",
                     channels, bench_result_s(channels));
}

/* The fault in the ticks; 0: none. */
static int bench_result_judge_data(struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    const struct bench_stream_totals *readers = &totals->streams[BENCH_READER];
    uint64_t gap_frames = readers->gap_frames + totals->streams[BENCH_LIGHT_READER].gap_frames;
    uint64_t gaps = readers->gaps + totals->streams[BENCH_LIGHT_READER].gaps;
    bool may_lose = result->options->allow_gaps;
    if (totals->malformed > 0) {
        return bench_result_invalid(result, 3, "%" PRIu64 " message%s malformed", totals->malformed,
                                    totals->malformed == 1 ? " is" : "s are");
    }
    if (totals->differing > 0) {
        return bench_result_invalid(result, 3, "%" PRIu64 " frame%s from what another reader got",
                                    totals->differing,
                                    totals->differing == 1 ? " differs" : "s differ");
    }
    if (result->due_frames == 0) {
        return bench_result_nothing(result);
    }
    if (result->unfinished > 0 && result->options->protocol == BENCH_RINGCAST) {
        return bench_result_invalid(result, 3, "%u reader%s received nothing after the window",
                                    result->unfinished, bench_result_s(result->unfinished));
    }
    if (gaps > 0 && !may_lose) {
        return bench_result_invalid(result, 3, "the server reported %" PRIu64 " frame%s lost",
                                    gap_frames, bench_result_s(gap_frames));
    }
    if (totals->window_frames > result->due_frames && !may_lose) {
        return bench_result_invalid(result, 3, "more frames were received than were due");
    }
    if (totals->window_frames < result->due_frames && !may_lose) {
        uint64_t missing = result->due_frames - totals->window_frames;
        return bench_result_invalid(result, 3, "%" PRIu64 " frame%s missing", missing,
                                    missing == 1 ? " is" : "s are");
    }
    /* The others may miss frames that were reported as lost, and no others. */
    for (uint32_t role = 0; role < BENCH_ROLES; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        if (stream->duplicates > 0) {
            return bench_result_invalid(result, 3, "%s received %" PRIu64 " duplicate%s",
                                        bench_role_names[role], stream->duplicates,
                                        bench_result_s(stream->duplicates));
        }
        if (stream->gaps_wrong > 0) {
            return bench_result_invalid(result, 3, "%s received %" PRIu64 " wrong GAP%s",
                                        bench_role_names[role], stream->gaps_wrong,
                                        bench_result_s(stream->gaps_wrong));
        }
        if (stream->holes > 0 && !may_lose) {
            return bench_result_invalid(result, 3, "%s met %" PRIu64 " hole%s without a GAP",
                                        bench_role_names[role], stream->holes,
                                        bench_result_s(stream->holes));
        }
    }
    return 0;
}

static int bench_result_judge_all(struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    uint32_t awaited = bench_result_awaited(result->options);
    uint32_t closes = bench_result_closes(&totals->streams[BENCH_READER]) +
                      bench_result_closes(&totals->streams[BENCH_LIGHT_READER]);
    if (result->subscribed < awaited) {
        return bench_result_invalid(result, 2, "%u of %u connection%s could not be subscribed",
                                    awaited - result->subscribed, awaited, bench_result_s(awaited));
    }
    if (closes > 0 && !result->options->allow_gaps) {
        return bench_result_invalid(result, 2, "%u connection%s closed or cut off", closes,
                                    closes == 1 ? " was" : "s were");
    }
    if (result->publish_failed) {
        return bench_result_invalid(result, 3, "the publisher failed");
    }
    int exit_code = bench_result_judge_data(result);
    uint64_t missing = result->requests.unanswered + result->requests.refused;
    if (exit_code == 0 && missing > 0) {
        exit_code =
            bench_result_invalid(result, 3, "%" PRIu64 " of %u request%s refused or not answered",
                                 missing, result->options->request_count,
                                 result->options->request_count == 1 ? " was" : "s were");
    }
    return exit_code;
}

void bench_result_collect(struct bench_result *result, const struct bench_load *load,
                          struct bench_thread *const *threads)
{
    bench_slow_ticks_begin(&result->slow_ticks, result->options->slow_tick_count);
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        const struct bench_thread *thread = threads[i];
        bench_result_add_slow_ticks(result, thread);
        bench_result_add_totals(&result->totals, &thread->crew.totals);
        bench_result_add_requests(&result->requests, &thread->requests);
        histogram_merge(&result->latency, &thread->data.latency);
        histogram_merge(&result->connect_time, &thread->crew.connect_time);
        for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
            histogram_merge(&result->phases[phase], &thread->crew.phases[phase]);
        }
        for (uint32_t k = 0; k < result->interval_count; k++) {
            histogram_merge(&result->intervals[k].latency, &thread->data.intervals[k].latency);
            result->intervals[k].frames += thread->data.intervals[k].frames;
            result->intervals[k].bytes += thread->data.intervals[k].bytes;
            if (thread->data.intervals[k].turn_max_ns > result->intervals[k].turn_max_ns) {
                result->intervals[k].turn_max_ns = thread->data.intervals[k].turn_max_ns;
            }
        }
        histogram_merge(&result->turns, &thread->turns);
        result->subscribed += atomic_load(&thread->crew.subscribed_now);
    }
    bench_result_add_channels(result, load, threads);
    bench_result_add_readers(result, threads);
    if (!bench_result_has_due(result)) { /* Missing frames cannot be known. */
        result->due_frames = result->totals.window_frames;
    }
    for (uint32_t i = 0; i < result->options->thread_count && result->options->echo; i++) {
        result->due_frames += threads[i]->echo.window_due;
        histogram_merge(&result->send_late, &threads[i]->echo.late);
    }
    bench_result_add_places(result, threads);
    result->load_busy = bench_watch_busy(&result->begin, &result->end);
    result->load_waited = bench_watch_waited(&result->begin, &result->end);
    result->load_stolen = bench_watch_stolen(&result->begin, &result->end);
    result->load_throttled = bench_watch_throttled(&result->begin, &result->end);
}

void bench_result_take_published(struct bench_result *result, const struct bench_load *load,
                                 const struct bench_publish *publish)
{
    uint32_t symbol_count = bench_load_symbol_count(load);
    result->publish_failed = bench_publish_has_failed(publish);
    result->publish_late_ns = bench_publish_late_ns(publish);
    result->has_published = true;
    result->published_frames = 0;
    bool has_due = bench_result_has_due(result);
    result->due_frames = has_due ? 0 : result->due_frames;
    for (uint32_t symbol = 0; symbol < symbol_count; symbol++) {
        uint64_t count = bench_publish_count(publish, symbol);
        result->published_frames += count;
        result->due_frames += has_due ? count * bench_load_readers(load, symbol) : 0;
    }
}

void bench_result_judge(struct bench_result *result)
{
    snprintf(result->verdict, sizeof result->verdict, "%s",
             result->options->allow_gaps ? "DONE (gaps allowed)" : "VALID");
    result->exit_code = bench_result_judge_all(result);
}

void bench_result_deinit(struct bench_result *result)
{
    free(result->intervals);
    free(result->interval_ends);
}

double bench_result_seconds(const struct bench_result *result)
{
    return (double)(result->end.at_ns - result->begin.at_ns) / (double)NS_PER_SECOND;
}

double bench_result_connect_seconds(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    if (totals->last_subscribed_ns <= totals->first_started_ns) {
        return 0.0;
    }
    return (double)(totals->last_subscribed_ns - totals->first_started_ns) / (double)NS_PER_SECOND;
}

/* ---- What follows from the figures ---- */

/* NAN: there is nothing to divide by, so nothing was measured. */
double bench_result_ratio(double part, double whole)
{
    return whole > 0.0 ? part / whole : NAN;
}

double bench_result_published_per_second(const struct bench_result *result)
{
    return bench_result_has_seqs(result)
               ? bench_result_ratio((double)result->published_frames * (double)NS_PER_SECOND,
                                    (double)result->window_ns)
               : NAN;
}

double bench_result_request_seconds(const struct bench_result *result)
{
    const struct bench_requests *requests = &result->requests;
    return requests->last_ns > requests->first_ns
               ? (double)(requests->last_ns - requests->first_ns) / (double)NS_PER_SECOND
               : NAN;
}

double bench_result_requests_per_second(const struct bench_result *result)
{
    return bench_result_ratio((double)result->requests.answered,
                              bench_result_request_seconds(result));
}

bool bench_result_grade(const struct bench_result *result, struct bench_grade *grade_out)
{
    if (result->options->request_count == 0 || result->exit_code != 0) {
        return false;
    }
    const struct bench_grade_figures figures = {
        .requests_per_second = bench_result_requests_per_second(result),
        .response_mean_ns = histogram_mean(&result->requests.response),
        .latency_p99_ns =
            result->latency.count > 0 ? (double)histogram_percentile(&result->latency, 99.0) : NAN,
    };
    *grade_out = bench_grade_find(&figures);
    return true;
}

/* On the wire, of the window's ticks. */
double bench_result_frame_bytes(const struct bench_result *result)
{
    return bench_result_ratio((double)result->totals.window_wire_bytes,
                              (double)result->totals.window_frames);
}

/* An instant more or less may lie in the window. */
bool bench_result_is_behind(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    double asked = options->publish_rate * (double)result->window_ns / (double)NS_PER_SECOND;
    return (double)result->published_frames + options->publish_burst < PUBLISH_SHARE_MIN * asked;
}

bool bench_result_is_saturated(const struct bench_result *result)
{
    return result->load_busy > LOAD_BUSY_MAX && !result->options->spin;
}

bool bench_result_is_starved(const struct bench_result *result)
{
    return result->load_waited > LOAD_WAITED_MAX || result->load_stolen > LOAD_STOLEN_MAX ||
           result->load_throttled > LOAD_THROTTLED_MAX;
}

bool bench_result_is_slow(const struct bench_result *result)
{
    return result->turns.count > 0 && result->latency.count > 0 &&
           (double)histogram_percentile(&result->turns, 99.0) >
               TURN_SHARE_MAX * (double)histogram_percentile(&result->latency, 99.0);
}
