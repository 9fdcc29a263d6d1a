#include "tools/bench/bench_result.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"

uint32_t bench_result_awaited(const struct bench_options *options)
{
    return options->role_counts[BENCH_READER] + options->role_counts[BENCH_STALLED] +
           options->role_counts[BENCH_SKIMMER] + options->role_counts[BENCH_SLOW];
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
    into->malformed += from->malformed;
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

static int bench_result_compare_channels(const void *left, const void *right)
{
    const struct bench_channel *a = *(struct bench_channel *const *)left;
    const struct bench_channel *b = *(struct bench_channel *const *)right;
    return a->channel < b->channel ? -1 : a->channel > b->channel;
}

/* A tick's spread counts once everybody has got it. */
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

/* The same channel as count threads saw it: from the first to the last seq that any reader got. */
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
        fprintf(stderr, "ringcast-bench: out of memory: the places are not known\n");
    }
    free(is_counted);
}

static uint32_t bench_result_closes(const struct bench_stream_totals *totals)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < totals->close_code_count; i++) {
        count += totals->closes[i].count;
    }
    return count;
}

static int bench_result_verdict(const struct bench_result *result)
{
    const struct bench_options *options = result->options;
    const struct bench_totals *totals = &result->totals;
    const struct bench_stream_totals *readers = &totals->streams[BENCH_READER];
    const struct bench_stream_totals *skimmers = &totals->streams[BENCH_SKIMMER];
    bool may_lose = options->allow_gaps;
    if (result->subscribed < bench_result_awaited(options) ||
        (bench_result_closes(readers) + bench_result_closes(skimmers) > 0 && !may_lose)) {
        return 2;
    }
    bool is_lossless =
        readers->gaps + skimmers->gaps == 0 && totals->window_frames == result->due_frames;
    bool is_finished = result->unfinished == 0 || options->protocol != BENCH_RINGCAST;
    if (totals->malformed > 0 || totals->differing > 0 || result->due_frames == 0 || !is_finished ||
        !(is_lossless || may_lose)) {
        return 3;
    }
    /* The others may miss what they were told; nothing else. */
    for (uint32_t role = 0; role < BENCH_ROLES; role++) {
        const struct bench_stream_totals *stream = &totals->streams[role];
        if (stream->gaps_wrong > 0 || stream->duplicates > 0 || (stream->holes > 0 && !may_lose)) {
            return 3;
        }
    }
    return 0;
}

void bench_result_collect(struct bench_result *result, const struct bench_load *load,
                          struct bench_thread *const *threads)
{
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        const struct bench_thread *thread = threads[i];
        bench_result_add_totals(&result->totals, &thread->crew.totals);
        histogram_merge(&result->latency, &thread->data.latency);
        histogram_merge(&result->connect_time, &thread->crew.connect_time);
        for (uint32_t phase = 0; phase < BENCH_PHASES; phase++) {
            histogram_merge(&result->phases[phase], &thread->crew.phases[phase]);
        }
        for (uint32_t k = 0; k < result->interval_count; k++) {
            histogram_merge(&result->intervals[k].latency, &thread->data.intervals[k].latency);
            result->intervals[k].frames += thread->data.intervals[k].frames;
            result->intervals[k].bytes += thread->data.intervals[k].bytes;
        }
        double busy =
            thread->cpu_ns == 0 ? 0.0 : (double)thread->cpu_ns / (double)thread->data.window_ns;
        result->load_busy = busy > result->load_busy ? busy : result->load_busy;
        result->subscribed += atomic_load(&thread->crew.subscribed_now);
    }
    bench_result_add_channels(result, load, threads);
    if (result->options->seq_pattern[0] == 0) { /* What was missed cannot be known. */
        result->due_frames = result->totals.window_frames;
    }
    bench_result_add_places(result, threads);
    result->exit_code = bench_result_verdict(result);
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
