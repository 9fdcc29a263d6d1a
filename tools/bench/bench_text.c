#include "tools/bench/bench_text.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/units.h"
#include "tools/common/terminal_text.h"

struct bench_text_number {
    char text[32];
};

/* "-" is what was not measured. */
static struct bench_text_number bench_text_number(int digits, double value)
{
    struct bench_text_number number = {"-"};
    if (isfinite(value)) {
        snprintf(number.text, sizeof number.text, "%.*f", digits, value);
    }
    return number;
}

static void bench_text_row(const char *name, const struct histogram *histogram)
{
    printf("  %-11s", name);
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        double value_ns = (double)histogram_percentile(histogram, bench_percentiles[i].percent);
        double value = histogram->count > 0 ? value_ns / (double)NS_PER_US : NAN;
        printf(" %9s", bench_text_number(1, value).text);
    }
    printf("\n");
}

/* Without a window there is no latency; phases that nobody went through have no row. */
static void bench_text_times(const struct bench_result *result)
{
    bool has_phases = false;
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        has_phases |= result->phases[phase].count > 0;
    }
    if (!has_phases && result->window_ns == 0) {
        return;
    }
    printf("  %-11s", "us");
    for (size_t i = 0; i < BENCH_PERCENTILES; i++) {
        printf(" %9s", bench_percentiles[i].name);
    }
    printf("\n");
    for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
        if (result->phases[phase].count > 0) {
            bench_text_row(bench_phase_names[phase], &result->phases[phase]);
        }
    }
    if (result->window_ns > 0) {
        bench_text_row("latency", &result->latency);
    }
    if (result->spread.count > 0) {
        bench_text_row("spread", &result->spread);
    }
    if (result->turns.count > 0) {
        bench_text_row("loop", &result->turns);
    }
}

/* "; 3 holes", when there are any. */
static void bench_text_count(uint64_t count, const char *what)
{
    if (count > 0) {
        printf("; %" PRIu64 " %s", count, what);
    }
}

static void bench_text_stream(const struct bench_stream_totals *totals)
{
    bench_text_count(totals->holes, "HOLES that no GAP told");
    bench_text_count(totals->gaps, "GAPs");
    bench_text_count(totals->gap_frames, "frames told lost");
    bench_text_count(totals->gaps_wrong, "GAPs WRONG");
    bench_text_count(totals->duplicates, "DUPLICATES");
    bench_text_count(totals->refused, "connects failed");
    bench_text_count(totals->ignored, "not answered by a close");
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

static void bench_text_losses(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    if (!bench_result_has_seqs(result)) {
        printf("  delivered   %" PRIu64 " of - (ticks without numbers)", totals->window_frames);
    } else if (result->due_frames == 0) {
        printf("  delivered   nothing was due");
    } else {
        printf("  delivered   %" PRIu64 " of %" PRIu64 " (%.4f %%)", totals->window_frames,
               result->due_frames,
               100.0 * (double)totals->window_frames / (double)result->due_frames);
    }
    bench_text_stream(&totals->streams[BENCH_READER]);
    if (result->places.connections > 0) {
        printf("  fairness    mean place of a connection %.3f to %.3f (0.5 is fair), deviation "
               "%.3f (by "
               "chance %.3f)\n",
               result->places.min, result->places.max, result->places.deviation,
               result->places.chance);
    }
    if (totals->malformed + totals->differing > 0) {
        printf("  corrupt     %" PRIu64 " malformed, %" PRIu64 " differ", totals->malformed,
               totals->differing);
        if (totals->malformed_text[0] != 0) {
            printf("; the first malformed: ");
            terminal_text_print(stdout, totals->malformed_text, strlen(totals->malformed_text));
        }
        printf("\n");
    }
    if (result->unfinished > 0) {
        printf("  unfinished  %u reader%s got nothing from after the window: what they were due at "
               "its "
               "end is not known\n",
               result->unfinished, bench_result_s(result->unfinished));
    }
    for (uint32_t role = BENCH_STALLED; role < BENCH_ROLES; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        if (result->options->role_counts[role] > 0) {
            printf("  %-13s %u, came %" PRIu64 " time%s, %" PRIu64 " frame%s",
                   bench_role_names[role], result->options->role_counts[role], stream->sessions,
                   bench_result_s(stream->sessions), stream->frames,
                   bench_result_s(stream->frames));
            bench_text_stream(stream);
        }
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
    printf("  server      user %.2f s, system %.2f s, %s us per frame; RSS %.1f -> %.1f MiB; "
           "switches %s/s, forced %s/s\n",
           user_ns / 1e9, system_ns / 1e9,
           bench_text_number(3, bench_result_ratio((user_ns + system_ns) / 1e3, frames)).text,
           (double)begin->rss_bytes / (double)MIB, (double)end->rss_bytes / (double)MIB,
           bench_text_number(0, bench_result_ratio(waits, seconds)).text,
           bench_text_number(0, bench_result_ratio(forced, seconds)).text);
}

static void bench_text_core(const struct bench_result *result)
{
    double frames = (double)(result->end.frames - result->begin.frames);
    double busy_ns = (double)core_usage_busy_ns(&result->begin.core, &result->end.core);
    if (!bench_watch_has_core(&result->begin, &result->end)) {
        printf("  core %-6d went OFFLINE\n", result->options->cpu);
        return;
    }
    printf(
        "  core %-6d busy %s %%, %s us per frame\n", result->options->cpu,
        bench_text_number(1, bench_result_ratio(busy_ns / 1e7, bench_result_seconds(result))).text,
        bench_text_number(3, bench_result_ratio(busy_ns / 1e3, frames)).text);
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
    printf("  generator   busiest thread took %s %% of a core, and waited %s %% of the window for "
           "one; stolen %s %%, throttled %s %%\n",
           bench_text_number(0, 100.0 * result->load_busy).text,
           bench_text_number(1, 100.0 * result->load_waited).text,
           bench_text_number(1, 100.0 * result->load_stolen).text,
           bench_text_number(1, 100.0 * result->load_throttled).text);
    if (options->publish_rate > 0.0) {
        printf("  publisher   %s ticks/s of %.0f%s\n",
               bench_text_number(0, bench_result_published_per_second(result)).text,
               options->publish_rate,
               bench_result_is_behind(result) ? ": BEHIND, or nobody subscribes to some" : "");
    }
}

/* Returns how many there are. */
static uint32_t bench_text_warnings(const struct bench_result *result)
{
    uint32_t count = 0;
    if (bench_result_is_saturated(result)) {
        count++;
        printf("  warning     SATURATED: the latencies are those of the load; give it more threads "
               "and cores\n");
    }
    if (bench_result_is_starved(result)) {
        count++;
        printf("  warning     STARVED: others had the load's cores, and that is in the latencies; "
               "give it cores of its own\n");
    }
    if (bench_result_is_slow(result)) {
        count++;
        printf(
            "  warning     SLOW: the turns of the load are as long as the latencies; give it more "
            "threads and cores\n");
    }
    if (result->totals.early_ticks > 0) {
        count++;
        printf("  warning     EARLY: %" PRIu64
               " tick%s came before the time in them and count as 0: "
               "the clocks differ\n",
               result->totals.early_ticks, bench_result_s(result->totals.early_ticks));
    }
    return count;
}

/* The unit in which a time would be about now; NULL: none. */
static const char *bench_text_fitting_unit(const struct bench_result *result)
{
    for (size_t i = 0; i < BENCH_TIME_UNITS; i++) {
        double found = result->totals.far_number * (double)bench_time_units[i].ns /
                       (double)result->begin.at_ns;
        if (found > 0.99 && found < 1.01) {
            return bench_time_units[i].name;
        }
    }
    return NULL;
}

static void bench_text_hints(const struct bench_result *result)
{
    const struct bench_totals *totals = &result->totals;
    const struct bench_stream_totals *readers = &totals->streams[BENCH_READER];
    for (uint32_t i = 0; i < readers->close_code_count; i++) {
        if (readers->closes[i].code == 503) {
            printf("  hint        503: the server is full; ringcast's limit is its "
                   "--max-connections\n");
        } else if (readers->closes[i].code == 404) {
            printf("  hint        404: the server has no such path\n");
        }
    }
    if (result->options->protocol == BENCH_RINGCAST && totals->malformed > 0 &&
        result->subscribed == 0) {
        printf("  hint        is it a ringcast? --protocol plain measures any server\n");
    }
    bool is_far = totals->far_ticks > 0 && totals->window_frames == 0;
    const char *unit = is_far ? bench_text_fitting_unit(result) : NULL;
    if (unit != NULL) {
        printf("  hint        --time-unit %s would make the times in the ticks those of now\n",
               unit);
    } else if (is_far) {
        printf("  hint        the times in %" PRIu64 " tick%s are hours from now: --time-pattern "
               "must stand before the time since 1970, in --time-unit\n",
               totals->far_ticks, bench_result_s(totals->far_ticks));
    }
}

void bench_text_run(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    double seconds = bench_result_seconds(result);
    double connect_seconds = bench_result_connect_seconds(result);
    double frames = (double)(result->end.frames - result->begin.frames);
    double bytes = (double)(result->end.bytes - result->begin.bytes);
    printf("ringcast-bench %s: %u connection%s, %u thread%s", options->url_text,
           options->connection_count, bench_result_s(options->connection_count),
           options->thread_count, bench_result_s(options->thread_count));
    if (result->window_ns > 0) {
        printf(", %.1f s", seconds);
    }
    printf("%s\n", result->interrupted ? " (interrupted)" : "");
    if (result->subscribed > 0) {
        printf("  connect     %u in %.3f s (%s/s)\n", result->subscribed, connect_seconds,
               bench_text_number(0, bench_result_ratio(result->subscribed, connect_seconds)).text);
    }
    if (totals->connect_errors > 0) {
        printf("  errors      %u, the last: %s\n", totals->connect_errors,
               strerror(-totals->last_error));
    }
    if (totals->refusals > 0) {
        printf("  refused     %" PRIu64 ", the first: ", totals->refusals);
        terminal_text_print(stdout, totals->refusal_text, strlen(totals->refusal_text));
        printf("\n");
    }
    if (result->window_ns > 0) {
        double channels = bench_result_has_seqs(result) ? result->channel_count : NAN;
        printf("  frames      %s/s, %s MB/s, %s bytes each, %s channel%s, %s ticks/s\n",
               bench_text_number(0, bench_result_ratio(frames, seconds)).text,
               bench_text_number(1, bench_result_ratio(bytes / 1e6, seconds)).text,
               bench_text_number(1, bench_result_frame_bytes(result)).text,
               bench_text_number(0, channels).text, bench_result_s(result->channel_count),
               bench_text_number(0, bench_result_published_per_second(result)).text);
    }
    bench_text_times(result);
    bench_text_losses(result);
    bench_text_usage(result);
    bench_text_hints(result);
    uint32_t warnings = bench_text_warnings(result);
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
    printf("  %7u connection%-1s  %s %10s us  %12s frames/s  load %3s %%  %s%s\n",
           options->connection_count, bench_result_s(options->connection_count),
           options->until_text, bench_text_number(1, value_ns / 1e3).text,
           bench_text_number(0, per_second).text,
           bench_text_number(0, 100.0 * result->load_busy).text,
           holds                    ? "holds"
           : result->exit_code != 0 ? result->verdict
                                    : "over the limit",
           bench_result_is_starved(result) ? " (load STARVED)" : "");
    fflush(stdout);
}

void bench_text_answer(const struct bench_options *options, uint32_t good, uint32_t bad)
{
    printf("%u connection%s served with %s", good, good == 1 ? " is" : "s are",
           options->until_text);
    if (bad == 0) {
        printf(good < options->until_max ? ", and the search was interrupted\n"
                                         : ", and nobody asked for more\n");
    } else {
        printf("; %u %s too many\n", bad, bad == 1 ? "is" : "are");
    }
}
