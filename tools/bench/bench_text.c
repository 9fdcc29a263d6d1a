#include "tools/bench/bench_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/units.h"
#include "tools/bench/bench_figure.h"
#include "tools/bench/bench_guess.h"
#include "tools/common/terminal_text.h"

#define BENCH_TIME_BYTES_MAX 24
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The columns of the table of times, behind the mean and the deviation. */
static const struct bench_percentile bench_text_columns[] = {
    {"p50", 50.0}, {"p90", 90.0}, {"p99", 99.0}, {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100.0},
};

static struct bench_figure bench_text_count(uint64_t count)
{
    return bench_figure_count((double)count);
}

static void bench_text_row(const char *name, const struct histogram *histogram)
{
    printf("  %-11s %8s %8s", name, bench_figure_time(histogram_mean(histogram)).text,
           bench_figure_time(histogram_deviation(histogram)).text);
    for (size_t i = 0; i < COUNT(bench_text_columns); i++) {
        double value_ns = (double)histogram_percentile(histogram, bench_text_columns[i].percent);
        printf(" %8s", bench_figure_time(histogram->count > 0 ? value_ns : NAN).text);
    }
    printf("\n");
}

/* Without a window there is no latency. A phase without a connection has no row. */
static void bench_text_times(const struct bench_result *result)
{
    bool has_phases = false;
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        has_phases |= result->phases[phase].count > 0;
    }
    if (!has_phases && result->window_ns == 0) {
        return;
    }
    printf("  %-11s %8s %8s", "time", "mean", "stdev");
    for (size_t i = 0; i < COUNT(bench_text_columns); i++) {
        printf(" %8s", bench_text_columns[i].name);
    }
    printf("\n");
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        if (result->phases[phase].count > 0) {
            bench_text_row(bench_phase_names[phase], &result->phases[phase]);
        }
    }
    if (result->window_ns > 0 && bench_result_has_times(result)) {
        if (result->options->echo) {
            bench_text_row("round_trip", &result->latency);
            bench_text_row("send_late", &result->send_late);
        } else {
            bench_text_row("latency", &result->latency);
        }
    }
    if (result->requests.response.count > 0) {
        bench_text_row("response", &result->requests.response);
    }
    if (result->spread.count > 0) {
        bench_text_row("spread", &result->spread);
    }
    if (result->turns.count > 0) {
        bench_text_row("loop", &result->turns);
    }
}

/* --latency: the whole distribution. */
static void bench_text_latency(const struct bench_result *result)
{
    static const double percents[] = {0,    10,    20,    30,     40,     50,      60,       70,
                                      75,   80,    85,    90,     95,     97.5,    99,       99.5,
                                      99.9, 99.95, 99.99, 99.995, 99.999, 99.9999, 99.99999, 100};
    const struct histogram *latency = &result->latency;
    if (!result->options->latency || latency->count == 0) {
        return;
    }
    printf("  percentile    latency    ticks above\n");
    uint64_t above = 1;
    for (size_t i = 0; i < COUNT(percents); i++) {
        if (above == 0 && percents[i] < 100) {
            continue; /* It is the maximum already. */
        }
        uint64_t value_ns = histogram_percentile(latency, percents[i]);
        above = histogram_above(latency, value_ns);
        printf("  %10.8g %10s %14s\n", percents[i], bench_figure_time((double)value_ns).text,
               bench_text_count(above).text);
    }
}

/* The time of day, UTC. */
static void bench_text_time(char text[BENCH_TIME_BYTES_MAX], uint64_t time_ns)
{
    struct tm day;
    time_t seconds = (time_t)(time_ns / NS_PER_SECOND);
    gmtime_r(&seconds, &day);
    size_t bytes = strftime(text, BENCH_TIME_BYTES_MAX, "%H:%M:%S", &day);
    snprintf(text + bytes, BENCH_TIME_BYTES_MAX - bytes, ".%09u",
             (unsigned)(time_ns % NS_PER_SECOND));
}

/* --slow-ticks. The time is that in the tick. */
static void bench_text_slow_ticks(const struct bench_result *result)
{
    bool has_seqs = bench_result_has_seqs(result);
    if (result->slow_ticks.count > 0) {
        printf("  slow ticks   latency  channel           seq  %-20s  connection   port  time\n",
               "symbol");
    }
    for (uint32_t i = 0; i < result->slow_ticks.count; i++) {
        const struct bench_slow_tick *tick = &result->slow_ticks.list[i];
        char symbol[4 * BENCH_SLOW_SYMBOL_BYTES_MAX + 1];
        char time[BENCH_TIME_BYTES_MAX];
        char seq[24];
        char port[8];
        terminal_text_copy(symbol, sizeof symbol, tick->symbol, tick->symbol_bytes);
        snprintf(seq, sizeof seq, "%" PRIu64, tick->seq);
        snprintf(port, sizeof port, "%u", tick->port);
        bench_text_time(time, tick->time_ns);
        printf("  %18s  %7" PRIu64 "  %12s  %-20s  %10u  %5s  %s\n",
               bench_figure_time((double)tick->latency_ns).text, tick->channel,
               has_seqs ? seq : "-", tick->symbol_bytes > 0 ? symbol : "-", tick->conn_index,
               tick->port != 0 ? port : "-", time);
    }
}

/* "; 3 holes", when there are any. */
static void bench_text_fault(uint64_t count, const char *one, const char *many)
{
    if (count > 0) {
        printf("; %s %s", bench_text_count(count).text, count == 1 ? one : many);
    }
}

static void bench_text_stream(const struct bench_stream_totals *totals)
{
    bench_text_fault(totals->holes, "HOLE without a GAP", "HOLES without a GAP");
    bench_text_fault(totals->gaps, "GAP", "GAPs");
    bench_text_fault(totals->gap_frames, "frame reported lost", "frames reported lost");
    bench_text_fault(totals->gaps_wrong, "WRONG GAP", "WRONG GAPs");
    bench_text_fault(totals->duplicates, "DUPLICATE", "DUPLICATES");
    bench_text_fault(totals->refused, "failed connect", "failed connects");
    bench_text_fault(totals->ignored, "not answered by a close", "not answered by a close");
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

static void bench_text_delivered(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    struct bench_figure received = bench_text_count(totals->window_frames);
    if (result->window_ns > 0 && !bench_result_has_due(result)) {
        printf("  delivered   %s of - (the messages have no %s)", received.text,
               bench_result_has_seqs(result) ? "times" : "numbers");
    } else if (result->due_frames == 0) {
        printf("  delivered   nothing was due");
    } else {
        printf("  delivered   %s of %s (%.4f %%)", received.text,
               bench_text_count(result->due_frames).text,
               100.0 * (double)totals->window_frames / (double)result->due_frames);
    }
    bench_text_stream(&totals->streams[BENCH_READER]);
}

/* --requests */
static void bench_text_requests(const struct bench_result *result)
{
    const struct bench_requests *requests = &result->requests;
    uint32_t count = result->options->request_count;
    if (count == 0 || result->window_ns == 0) {
        return;
    }
    printf("  requests    %s of %s answered (%.2f %%)", bench_text_count(requests->answered).text,
           bench_text_count(count).text, 100.0 * (double)requests->answered / (double)count);
    if (requests->answered > 0) {
        printf(" in %s, %s/s", bench_figure_time(bench_result_request_seconds(result) * 1e9).text,
               bench_figure_count(bench_result_requests_per_second(result)).text);
    }
    bench_text_fault(requests->refused, "REFUSED", "REFUSED");
    printf("\n");
}

/* The receipts of the readers, side by side. */
static void bench_text_fairness(const struct bench_result *result)
{
    if (!bench_result_has_times(result) && result->window_ns > 0) {
        printf("  each        connection received %s to %s messages\n",
               bench_text_count(result->window_ticks_min).text,
               bench_text_count(result->window_ticks_max).text);
    }
    if (result->places.connections > 0) {
        printf("  fairness    mean place %.3f to %.3f (0.5 is fair), deviation %.3f (by chance "
               "%.3f)\n",
               result->places.min, result->places.max, result->places.deviation,
               result->places.chance);
    }
}

static void bench_text_corrupt(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    bool has_ticks = totals->streams[BENCH_READER].frames > 0;
    if (totals->malformed + totals->differing > 0) {
        printf("  corrupt     %s malformed, %s differ%s\n",
               bench_text_count(totals->malformed).text, bench_text_count(totals->differing).text,
               totals->differing == 1 ? "s" : "");
    }
    if (totals->malformed > 0) {
        bench_guess_print(result, "malformed", &totals->first_malformed);
    }
    if (totals->unread > 0) {
        printf("  skipped     %s message%s before the first tick of a connection\n",
               bench_text_count(totals->unread).text, bench_result_s(totals->unread));
    }
    if (totals->unread > 0 && totals->malformed == 0 && !has_ticks) {
        bench_guess_print(result, "no tick", &totals->last_unread);
    }
    if (totals->ignored > 0) {
        printf("  ignored     %s message%s, by --ignore\n", bench_text_count(totals->ignored).text,
               bench_result_s(totals->ignored));
    }
    if (result->unfinished > 0) {
        printf("  unfinished  %u reader%s received nothing after the window, so losses at its end "
               "cannot be ruled out\n",
               result->unfinished, bench_result_s(result->unfinished));
    }
}

/* A line for each role, named as its option. */
static void bench_text_roles(const struct bench_result *result)
{
    for (uint32_t role = BENCH_STALLED; role < BENCH_ROLES; role++) {
        const struct bench_stream_totals *stream = &result->totals.streams[role];
        char name[32];
        if (result->options->role_counts[role] == 0) {
            continue;
        }
        snprintf(name, sizeof name, "%s", bench_role_names[role]);
        for (char *at = name; *at != 0; at++) {
            *at = *at == '_' ? '-' : *at;
        }
        printf("  %-11s %u, came %s time%s, %s frame%s", name, result->options->role_counts[role],
               bench_text_count(stream->sessions).text, bench_result_s(stream->sessions),
               bench_text_count(stream->frames).text, bench_result_s(stream->frames));
        bench_text_stream(stream);
    }
}

static void bench_text_server(const struct bench_result *result)
{
    double seconds = bench_result_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    const struct proc_usage *begin = &result->begin.server;
    const struct proc_usage *end = &result->end.server;
    if (!bench_watch_has_server(&result->begin, &result->end)) {
        printf("  server      process %d %s\n", result->options->pid,
               result->begin.has_server ? "ENDED in the window" : "was not there");
        return;
    }
    double user_ns = (double)(end->user_ns - begin->user_ns);
    double system_ns = (double)(end->system_ns - begin->system_ns);
    double waits = (double)(end->voluntary_switches - begin->voluntary_switches);
    double forced = (double)(end->forced_switches - begin->forced_switches);
    printf("  server      CPU %s user, %s system, %s per frame; RSS %.1f -> %.1f MiB; switches "
           "%s/s, forced %s/s\n",
           bench_figure_time(user_ns).text, bench_figure_time(system_ns).text,
           bench_figure_time(bench_result_ratio(user_ns + system_ns, frames)).text,
           (double)begin->rss_bytes / (double)MIB, (double)end->rss_bytes / (double)MIB,
           bench_figure_count(bench_result_ratio(waits, seconds)).text,
           bench_figure_count(bench_result_ratio(forced, seconds)).text);
}

static void bench_text_core(const struct bench_result *result)
{
    double frames = (double)(result->end.frames - result->begin.frames);
    double busy_ns = (double)core_usage_busy_ns(&result->begin.core, &result->end.core);
    double busy = bench_result_ratio(busy_ns / 1e7, bench_result_seconds(result));
    if (!bench_watch_has_core(&result->begin, &result->end)) {
        printf("  core %-6d went OFFLINE\n", result->options->cpu);
        return;
    }
    printf("  core %-6d busy %s %%, %s per frame\n", result->options->cpu,
           bench_figure_real(1, busy).text,
           bench_figure_time(bench_result_ratio(busy_ns, frames)).text);
}

/* Of the window, when there was one. */
static void bench_text_usage(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    if (result->window_ns == 0) {
        return;
    }
    if (options->pid != 0) {
        bench_text_server(result);
    }
    if (options->cpu >= 0) {
        bench_text_core(result);
    }
    printf(
        "  generator   busiest thread %s %% of a core, waited for one %s %% of the window; stolen "
        "%s %%, throttled %s %%\n",
        bench_figure_real(0, 100.0 * result->load_busy).text,
        bench_figure_real(1, 100.0 * result->load_waited).text,
        bench_figure_real(1, 100.0 * result->load_stolen).text,
        bench_figure_real(1, 100.0 * result->load_throttled).text);
    if (result->has_published) {
        printf("  publisher   %s of %s ticks/s published, the latest %s late%s\n",
               bench_figure_count(bench_result_ratio((double)result->published_frames * 1e9,
                                                     (double)result->window_ns))
                   .text,
               bench_figure_count(options->publish_rate).text,
               bench_figure_time((double)result->publish_late_ns).text,
               bench_result_is_behind(result) ? ": BEHIND. The server takes no more" : "");
    } else if (options->publish_rate > 0.0) {
        printf("  publisher   %s of %s ticks/s seen%s\n",
               bench_figure_count(bench_result_published_per_second(result)).text,
               bench_figure_count(options->publish_rate).text,
               bench_result_is_behind(result)
                   ? ": BEHIND. It is too slow, or some symbols have no subscriber"
                   : "");
    }
}

/* Returns how many there are. */
static uint32_t bench_text_warnings(const struct bench_result *result)
{
    uint64_t early = result->totals.early_ticks;
    uint32_t count = 0;
    if (bench_result_is_saturated(result)) {
        count++;
        printf("  warning     SATURATED: the latencies include delays of the load generator; "
               "give it more threads and cores\n");
    }
    if (bench_result_is_starved(result)) {
        count++;
        printf("  warning     STARVED: other processes used the load generator's cores, and the "
               "latencies include its waits; give it cores of its own\n");
    }
    if (bench_result_is_slow(result)) {
        count++;
        printf("  warning     SLOW: the load generator's loop takes as long as the latencies; give "
               "it more threads and cores\n");
    }
    if (early > 0) {
        count++;
        printf("  warning     EARLY: %s tick%s received before the time in %s, counted as 0: the "
               "clocks differ\n",
               bench_text_count(early).text, early == 1 ? " was" : "s were",
               early == 1 ? "it" : "them");
    }
    return count;
}

static void bench_text_close_hints(const struct bench_stream_totals *readers)
{
    static const struct {
        uint32_t code;
        const char *text;
    } hints[] = {
        {200, "a web server without WebSocket answers there; check the port and the path"},
        {400, "the server refuses the request; another path, or a header (-H)?"},
        {401, "the server wants a token: --token-file FILE"},
        {403, "the server refuses this client; a token, or -H 'Origin: ...'?"},
        {404, "the server has no such path"},
        {429, "too many connections at a time; try a lower --in-flight"},
        {503, "the server is full; ringcast's limit is its --max-connections"},
        {4001, "the server wants a token: --token-file FILE"},
    };
    for (uint32_t i = 0; i < readers->close_code_count; i++) {
        for (size_t k = 0; k < COUNT(hints); k++) {
            if (readers->closes[i].code == hints[k].code) {
                printf("  hint        %u: %s\n", hints[k].code, hints[k].text);
            }
        }
    }
}

static void bench_text_hints(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    bench_text_close_hints(&totals->streams[BENCH_READER]);
    if (result->options->protocol == BENCH_RINGCAST && totals->malformed > 0 &&
        result->subscribed == 0) {
        printf("  hint        is it a ringcast? --protocol plain measures any server\n");
    }
    bool is_far = totals->far_ticks > 0 && totals->window_frames == 0;
    const char *unit = is_far ? bench_guess_unit(result, totals->far_number) : NULL;
    if (unit != NULL) {
        printf("  hint        --time-unit %s would make the times in the ticks those of now\n",
               unit);
    } else if (is_far) {
        printf("  hint        the times in %s tick%s are hours from now: --time-pattern must stand "
               "before the time since 1970, in --time-unit\n",
               bench_text_count(totals->far_ticks).text, bench_result_s(totals->far_ticks));
    }
}

static void bench_text_connect(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_result_connect_seconds(result);
    if (result->subscribed > 0) {
        printf("  connect     %s in %s (%s/s)\n", bench_text_count(result->subscribed).text,
               bench_figure_time(seconds * 1e9).text,
               bench_figure_count(bench_result_ratio(result->subscribed, seconds)).text);
    }
    if (totals->connect_errors > 0) {
        printf("  errors      %u, the last: %s\n", totals->connect_errors,
               strerror(-totals->last_error));
    }
    if (totals->refusals > 0) {
        printf("  refused     %s, the first: ", bench_text_count(totals->refusals).text);
        bench_guess_print_sample(&totals->first_refusal);
    }
}

/* The receipts of readers in the window. */
static void bench_text_frames(const struct bench_result *result)
{
    double seconds = bench_result_seconds(result);
    uint64_t frames = result->end.frames - result->begin.frames;
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    printf("  frames      %s, %s; %s/s, %s/s, %s each\n", bench_text_count(frames).text,
           bench_figure_bytes(bytes).text,
           bench_figure_count(bench_result_ratio((double)frames, seconds)).text,
           bench_figure_bytes(bench_result_ratio(bytes, seconds)).text,
           bench_figure_bytes(bench_result_frame_bytes(result)).text);
    if (bench_result_has_seqs(result)) {
        printf("  published   %s tick%s on %u channel%s, %s/s\n",
               bench_text_count(result->published_frames).text,
               bench_result_s(result->published_frames), result->channel_count,
               bench_result_s(result->channel_count),
               bench_figure_count(bench_result_published_per_second(result)).text);
    }
}

void bench_text_run(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    printf("Benchmark of %s: %s connection%s, %u thread%s", options->url_text,
           bench_text_count(options->connection_count).text,
           bench_result_s(options->connection_count), options->thread_count,
           bench_result_s(options->thread_count));
    if (result->window_ns > 0) {
        printf(", %.1f s", bench_result_seconds(result));
    }
    printf("%s\n", result->interrupted ? " (interrupted)" : "");
    bench_text_connect(result);
    if (result->window_ns > 0) {
        bench_text_frames(result);
    }
    bench_text_times(result);
    bench_text_delivered(result);
    bench_text_requests(result);
    bench_text_fairness(result);
    bench_text_corrupt(result);
    bench_text_roles(result);
    bench_text_usage(result);
    bench_text_latency(result);
    bench_text_slow_ticks(result);
    bench_text_hints(result);
    uint32_t warnings = bench_text_warnings(result);
    struct bench_grade grade;
    if (bench_result_grade(result, &grade)) {
        printf("  grade       %s: %s\n", grade.name, grade.reason);
    }
    bool warns = warnings > 0 && result->exit_code == 0;
    printf("  %s%s%s\n", result->verdict, warns ? ", with warning" : "",
           warns ? bench_result_s(warnings) : "");
}

/* ---- Steps ---- */

void bench_text_step(const struct bench_result *result, double value_ns, bool holds)
{
    const struct bench_options *options = result->options;
    double frames = (double)(result->end.frames - result->begin.frames);
    double per_second = bench_result_ratio(frames, bench_result_seconds(result));
    printf("  %9s connection%-1s  %s %7s  %11s frames/s  generator %3s %%  %s%s\n",
           bench_text_count(options->connection_count).text,
           bench_result_s(options->connection_count), options->until_text,
           bench_figure_time(value_ns).text, bench_figure_count(per_second).text,
           bench_figure_real(0, 100.0 * result->load_busy).text,
           holds                    ? "holds"
           : result->exit_code != 0 ? result->verdict
                                    : "over the limit",
           bench_result_is_starved(result) ? " (load generator STARVED)" : "");
    fflush(stdout);
}

void bench_text_answer(const struct bench_options *options, uint32_t good, uint32_t bad)
{
    printf("%u connection%s served with %s", good, good == 1 ? " is" : "s are",
           options->until_text);
    if (bad == 0) {
        printf(good < options->until_max ? ", and the search was interrupted\n"
                                         : ", the most that --until-max allows\n");
    } else {
        printf("; %u %s too many\n", bad, bad == 1 ? "is" : "are");
    }
}
