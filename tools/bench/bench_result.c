/*
 *   connect all -> warm-up -> window (measured) -> rest (until all that is due has come) -> figures
 *
 * Whether a frame belongs to the window is told by the time in it, not by its receipt: so what is
 * due is known exactly, however late it comes, and a server or load that pauses cannot hide it.
 */
#include "tools/bench/bench_result.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "ring/io/engine_uring.h"

#define POLL_NS (5 * NS_PER_MS)
#define NOTICE_NS (50 * NS_PER_MS) /* All threads know the window so long before it begins. */
/* The rest is over when nothing has come for so long and every reader has got a tick or HEARTBEAT
 * from after the window: what a stall of everybody kept back would have come before it. */
#define REST_QUIET_NS (300 * NS_PER_MS)
/* Servers other than ringcast may have nothing to send after the window: over after so much. */
#define REST_SILENT_NS (3 * NS_PER_SECOND)
#define REST_MAX_NS (10 * NS_PER_SECOND) /* and after this in any case */

static volatile sig_atomic_t interrupted; /* 1: the window ends, 2: so does the wait for the rest */
static sigset_t pause_mask; /* Only in a pause may a signal come, and it ends the pause. */

static void bench_result_on_signal(int number)
{
    (void)number;
    interrupted = interrupted == 0 ? 1 : 2;
}

bool bench_result_is_interrupted(void)
{
    return interrupted != 0;
}

static uint64_t bench_result_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* The threads inherit that signals are blocked: they come to main, which they have to wake. */
static void bench_result_catch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &pause_mask);
    sigdelset(&pause_mask, SIGINT);
    sigdelset(&pause_mask, SIGTERM);
    signal(SIGINT, bench_result_on_signal);
    signal(SIGTERM, bench_result_on_signal);
    signal(SIGPIPE, SIG_IGN);
}

static void bench_result_let_signals_go(void)
{
    pthread_sigmask(SIG_SETMASK, &pause_mask, NULL); /* One that is pending still counts. */
    signal(SIGINT, SIG_DFL);                         /* What comes now may wait for its reader. */
    signal(SIGTERM, SIG_DFL);
}

static void bench_result_pause(uint64_t pause_ns)
{
    struct timespec pause = {.tv_sec = (time_t)(pause_ns / NS_PER_SECOND),
                             .tv_nsec = (long)(pause_ns % NS_PER_SECOND)};
    (void)ppoll(NULL, 0, &pause, &pause_mask);
}

/* Until then, or an interrupt. */
static void bench_result_sleep_until(uint64_t deadline_ns)
{
    for (uint64_t now_ns = bench_result_now_ns(); !interrupted && now_ns < deadline_ns;
         now_ns = bench_result_now_ns()) {
        bench_result_pause(deadline_ns - now_ns);
    }
}

struct bench_progress {
    uint32_t upgraded;
    uint32_t subscribed;
    uint32_t failed;
    uint64_t frames;
    uint64_t bytes;
    uint64_t window_frames;
    uint32_t unfinished;
};

static struct bench_progress bench_result_progress(struct bench_thread *const *threads,
                                                   uint32_t thread_count)
{
    struct bench_progress progress = {0};
    for (uint32_t i = 0; i < thread_count; i++) {
        progress.upgraded += atomic_load(&threads[i]->upgraded_now);
        progress.subscribed += atomic_load(&threads[i]->crew.subscribed_now);
        progress.failed += atomic_load(&threads[i]->failed_now);
        progress.frames += atomic_load(&threads[i]->frames_now);
        progress.bytes += atomic_load(&threads[i]->bytes_now);
        progress.window_frames += atomic_load(&threads[i]->window_frames_now);
        progress.unfinished += atomic_load(&threads[i]->unfinished_now);
    }
    return progress;
}

static struct bench_sample bench_result_sample(const struct bench_options *options,
                                               struct bench_thread *const *threads)
{
    struct bench_sample sample = {0};
    struct bench_progress progress = bench_result_progress(threads, options->thread_count);
    sample.at_ns = bench_result_now_ns();
    sample.frames = progress.frames;
    sample.bytes = progress.bytes;
    sample.has_server = options->pid != 0 && proc_usage_read(options->pid, &sample.server) == 0;
    if (options->cpu >= 0) {
        (void)core_usage_read(options->cpu, &sample.core); /* It was there at the start. */
    }
    return sample;
}

/* All others come and go. */
static uint32_t bench_result_awaited(const struct bench_options *options)
{
    return options->role_counts[BENCH_READER] + options->role_counts[BENCH_STALLED] +
           options->role_counts[BENCH_SKIMMER] + options->role_counts[BENCH_SLOW];
}

/* Until every connection is subscribed or has failed; returns whether any is subscribed. */
static bool bench_result_await_connections(const struct bench_options *options,
                                           struct bench_control *control,
                                           struct bench_thread *const *threads)
{
    uint64_t deadline_ns = bench_result_now_ns() + options->connect_timeout_ns;
    uint32_t awaited = bench_result_awaited(options);
    struct bench_progress progress = {0};
    while (!interrupted && progress.subscribed + progress.failed < awaited &&
           bench_result_now_ns() < deadline_ns) {
        bench_result_sleep_until(bench_result_now_ns() + POLL_NS);
        progress = bench_result_progress(threads, options->thread_count);
        if (progress.upgraded + progress.failed >= awaited) {
            atomic_store(&control->ask, true);
        }
    }
    if (progress.subscribed < awaited) {
        fprintf(stderr, "ringcast-bench: %u of %u connections are subscribed, %u have failed\n",
                progress.subscribed, awaited, progress.failed);
    }
    return progress.subscribed > 0;
}

/* What was published inside the window and is still under way. Returns how many readers may still
 * be due something. */
static uint32_t bench_result_await_rest(const struct bench_options *options,
                                        struct bench_thread *const *threads)
{
    struct bench_progress progress = {.unfinished = 1};
    uint64_t now_ns = bench_result_now_ns();
    uint64_t deadline_ns = now_ns + REST_MAX_NS;
    uint64_t changed_ns = now_ns;
    uint64_t silent_ns = options->protocol == BENCH_RINGCAST ? REST_MAX_NS : REST_SILENT_NS;
    while (now_ns < deadline_ns && interrupted < 2 &&
           now_ns - changed_ns < (progress.unfinished == 0 ? REST_QUIET_NS : silent_ns)) {
        bench_result_pause(POLL_NS);
        now_ns = bench_result_now_ns();
        struct bench_progress before = progress;
        progress = bench_result_progress(threads, options->thread_count);
        bool is_same = progress.window_frames == before.window_frames &&
                       progress.unfinished == before.unfinished;
        changed_ns = is_same ? changed_ns : now_ns;
    }
    return progress.unfinished;
}

/* Sleeps through the window, noting what each interval used. */
static void bench_result_watch(struct bench_result *result, struct bench_control *control,
                               struct bench_thread *const *threads)
{
    const struct bench_options *options = result->options;
    uint64_t begin_ns = result->window_start_ns;
    uint64_t resume_ns =
        options->stalled_resume_ns != 0 ? begin_ns + options->stalled_resume_ns : UINT64_MAX;
    uint64_t end_ns = begin_ns + options->duration_ns;
    uint32_t interval = 0;
    /* Each interval has its end, if late: this thread may be stopped for longer than the window. */
    while (!interrupted && (bench_result_now_ns() < end_ns || interval < result->interval_count)) {
        uint64_t interval_end_ns = begin_ns + (interval + 1) * result->interval_ns;
        uint64_t next_ns = interval < result->interval_count && interval_end_ns < end_ns
                               ? interval_end_ns
                               : end_ns;
        bool resumes = resume_ns < next_ns;
        bench_result_sleep_until(resumes ? resume_ns : next_ns);
        if (resumes) {
            atomic_store(&control->resume, true);
            resume_ns = UINT64_MAX;
        } else if (interval < result->interval_count) {
            result->interval_ends[interval++] = bench_result_sample(options, threads);
        }
    }
}

static void bench_result_measure(struct bench_result *result, struct bench_control *control,
                                 struct bench_thread *const *threads)
{
    const struct bench_options *options = result->options;
    uint64_t warmup_ns = options->warmup_ns > NOTICE_NS ? options->warmup_ns : NOTICE_NS;
    uint64_t begin_ns = bench_result_now_ns() + warmup_ns;
    result->window_start_ns = begin_ns;
    atomic_store(&control->window_start_ns, begin_ns);
    atomic_store(&control->window_ns, options->duration_ns);
    bench_result_sleep_until(begin_ns);
    result->begin = bench_result_sample(options, threads);
    bench_result_watch(result, control, threads);
    result->end = bench_result_sample(options, threads);
    result->window_ns = options->duration_ns;
    if (interrupted) { /* What is published from now on is not due. */
        uint64_t now_ns = bench_result_now_ns() + NOTICE_NS;
        result->window_ns = now_ns > begin_ns ? now_ns - begin_ns : 1;
        atomic_store(&control->window_ns, result->window_ns);
        result->interrupted = true;
    }
    result->unfinished = bench_result_await_rest(options, threads);
}

/* ---- Adding up what the threads have ---- */

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
    uint32_t readers = bench_load_readers(load, views[0]->symbol, 0, UINT32_MAX);
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
    struct bench_places places = {.min = 1.0};
    double sum = 0.0, squares = 0.0;
    for (uint32_t i = 0; i < result->options->thread_count; i++) {
        for (uint32_t k = 0; k < threads[i]->crew.conn_count; k++) {
            const struct bench_conn *conn = &threads[i]->crew.conns[k];
            if (conn->place_count == 0) {
                continue;
            }
            double mean = conn->place_sum / conn->place_count;
            places.min = mean < places.min ? mean : places.min;
            places.max = mean > places.max ? mean : places.max;
            places.count++;
            sum += mean;
            squares += mean * mean;
        }
    }
    if (places.count > 0) {
        double mean = sum / places.count;
        double variance = squares / places.count - mean * mean;
        places.deviation = variance > 0.0 ? sqrt(variance) : 0.0;
    }
    result->places = places;
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

static void bench_result_collect(struct bench_result *result, const struct bench_load *load,
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

/* ---- A run ---- */

static int bench_result_prepare_intervals(struct bench_result *result,
                                          struct bench_control *control)
{
    const struct bench_options *options = result->options;
    if (options->csv_path == NULL && options->hdr_path == NULL && options->plot_path == NULL) {
        return 0;
    }
    uint64_t interval_ns = NS_PER_SECOND;
    while (options->duration_ns / interval_ns > BENCH_INTERVALS_MAX) {
        interval_ns += NS_PER_SECOND;
    }
    result->interval_ns = interval_ns;
    result->interval_count = (uint32_t)((options->duration_ns + interval_ns - 1) / interval_ns);
    result->intervals = calloc(result->interval_count + 1, sizeof *result->intervals);
    result->interval_ends = calloc(result->interval_count + 1, sizeof *result->interval_ends);
    control->interval_ns = interval_ns;
    control->interval_count = result->interval_count;
    return result->intervals != NULL && result->interval_ends != NULL ? 0 : -ENOMEM;
}

static int bench_result_create_threads(const struct bench_options *options,
                                       struct bench_control *control, struct bench_thread **threads)
{
    for (uint32_t i = 0; i < options->thread_count; i++) {
        int error = bench_thread_create(&threads[i], options, control, i);
        if (error != 0) {
            char words[ENGINE_ERROR_BYTES_MAX];
            engine_uring_explain(error, words, sizeof words);
            fprintf(stderr, "ringcast-bench: thread %u cannot start: %s\n", i, words);
            return 1;
        }
    }
    return 0;
}

static int bench_result_start_threads(const struct bench_options *options,
                                      struct bench_thread *const *threads)
{
    for (uint32_t i = 0; i < options->thread_count; i++) {
        if (bench_thread_start(threads[i]) != 0) {
            fprintf(stderr, "ringcast-bench: no thread can be made\n");
            return 1;
        }
    }
    return 0;
}

/* What cannot be read would be a figure that nobody measured. */
static int bench_result_check_watched(const struct bench_options *options)
{
    struct proc_usage server;
    struct core_usage core;
    if (options->pid != 0 && proc_usage_read(options->pid, &server) != 0) {
        fprintf(stderr, "ringcast-bench: --pid %d: there is no such process\n", options->pid);
        return 1;
    }
    if (options->cpu >= 0 && core_usage_read(options->cpu, &core) != 0) {
        fprintf(stderr, "ringcast-bench: --cpu %d: /proc/stat has no such core\n", options->cpu);
        return 1;
    }
    return 0;
}

int bench_result_run(struct bench_result *result, const struct bench_options *options)
{
    struct bench_control control = {0};
    struct bench_thread *threads[BENCH_THREADS_MAX];
    struct bench_load *load;
    char error_text[WS_CLIENT_ERROR_BYTES_MAX];
    memset(result, 0, sizeof *result);
    result->options = options;
    if (bench_result_check_watched(options) != 0) {
        return 1;
    }
    bench_result_catch_signals();
    if (bench_load_create(&load, options, error_text) != 0 ||
        bench_load_check(load, error_text) != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", error_text);
        return 1;
    }
    control.load = load;
    if (bench_result_prepare_intervals(result, &control) != 0) {
        fprintf(stderr, "ringcast-bench: out of memory\n");
        return 1;
    }
    if (bench_result_create_threads(options, &control, threads) != 0) {
        return 1; /* main exits: nothing is worth undoing */
    }
    result->connect_begin = bench_result_sample(options, threads);
    if (bench_result_start_threads(options, threads) != 0) {
        return 1;
    }
    bool any = bench_result_await_connections(options, &control, threads);
    result->connect_end = bench_result_sample(options, threads);
    if (any) {
        bench_result_measure(result, &control, threads);
    }
    atomic_store(&control.stop, true);
    for (uint32_t i = 0; i < options->thread_count; i++) {
        bench_thread_join(threads[i]);
        bench_thread_read_rest(threads[i]);
    }
    bench_result_collect(result, load, threads);
    for (uint32_t i = 0; i < options->thread_count; i++) {
        bench_thread_destroy(threads[i]);
    }
    bench_load_destroy(load);
    bench_result_let_signals_go();
    return 0;
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
