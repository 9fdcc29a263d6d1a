/*
 *   connect all -> warm-up -> window (measured) -> rest (until all that is due has come) -> figures
 *
 * The time in a frame decides whether it belongs to the window, not its receipt. So the frames that
 * are due are known exactly, even if they arrive late, and a server or load generator that pauses
 * cannot hide it.
 */
#include "tools/bench/bench_run.h"

#include <errno.h>
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
#include "tools/bench/bench_show.h"

#define SUSPECT_NS (2 * NS_PER_SECOND) /* A ringcast answers a subscription earlier. */
#define POLL_NS (5 * NS_PER_MS)
#define NOTICE_NS (50 * NS_PER_MS) /* All threads know the window this long before it begins. */
/* The rest is over when nothing has arrived for this long and every reader has received a tick or
 * HEARTBEAT from after the window: frames that a stall of all delayed would have come before it. */
#define REST_QUIET_NS (300 * NS_PER_MS)
/* Other servers may have nothing to send after the window: the rest is over after this time. */
#define REST_SILENT_NS (3 * NS_PER_SECOND)
#define REST_MAX_NS (10 * NS_PER_SECOND) /* and after this in any case */

static volatile sig_atomic_t interrupted; /* 1: the window ends, 2: so does the wait for the rest */
static sigset_t pause_mask; /* Only in a pause may a signal come, and it ends the pause. */

static void bench_run_on_signal(int number)
{
    (void)number;
    interrupted = interrupted == 0 ? 1 : 2;
}

bool bench_run_is_interrupted(void)
{
    return interrupted != 0;
}

static uint64_t bench_run_now_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* The threads inherit that signals are blocked: they come to main, which they have to wake. */
static void bench_run_catch_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &signals, &pause_mask);
    sigdelset(&pause_mask, SIGINT);
    sigdelset(&pause_mask, SIGTERM);
    signal(SIGINT, bench_run_on_signal);
    signal(SIGTERM, bench_run_on_signal);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* A file that grows too long is an error of its write. */
}

static void bench_run_let_signals_go(void)
{
    pthread_sigmask(SIG_SETMASK, &pause_mask, NULL); /* One that is pending still counts. */
    signal(SIGINT, SIG_DFL); /* Messages that arrive now may wait for their reader. */
    signal(SIGTERM, SIG_DFL);
}

static void bench_run_pause(uint64_t pause_ns)
{
    struct timespec pause = {.tv_sec = (time_t)(pause_ns / NS_PER_SECOND),
                             .tv_nsec = (long)(pause_ns % NS_PER_SECOND)};
    (void)ppoll(NULL, 0, &pause, &pause_mask);
}

/* Until then, or an interrupt. */
static void bench_run_sleep_until(struct bench_show *show, uint64_t deadline_ns)
{
    for (uint64_t now_ns = bench_run_now_ns(); !interrupted && now_ns < deadline_ns;
         now_ns = bench_run_now_ns()) {
        bench_show_update(show, now_ns);
        uint64_t next_ns = show->next_ns < deadline_ns ? show->next_ns : deadline_ns;
        bench_run_pause(next_ns > now_ns ? next_ns - now_ns : 0);
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
    uint64_t unanswered;
};

static struct bench_progress bench_run_progress(struct bench_thread *const *threads,
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
        progress.unanswered += atomic_load(&threads[i]->unanswered_now);
    }
    return progress;
}

static struct bench_sample bench_run_sample(const struct bench_options *options,
                                            struct bench_thread *const *threads)
{
    struct bench_sample sample = {0};
    struct bench_progress progress = bench_run_progress(threads, options->thread_count);
    bench_watch_take(&sample, options, threads);
    sample.frames = progress.frames;
    sample.bytes = progress.bytes;
    return sample;
}

/* A server that takes the connection and does not answer is probably another one. */
static void bench_run_suspect(struct bench_show *show, const struct bench_progress *progress)
{
    if (show->options->protocol == BENCH_RINGCAST && progress->upgraded > 0 &&
        progress->subscribed == 0) {
        bench_show_clear(show);
        fprintf(stderr, "ringcast-bench: connected, but no SUBSCRIBED: is it a ringcast? try "
                        "--protocol plain\n");
    }
}

/* Until every connection is subscribed or has failed; returns whether any is subscribed. */
static bool bench_run_await_connections(struct bench_show *show)
{
    const struct bench_options *options = show->options;
    uint64_t begin_ns = bench_run_now_ns();
    uint64_t now_ns = begin_ns;
    uint64_t suspect_ns = begin_ns + SUSPECT_NS;
    uint32_t awaited = bench_result_awaited(options);
    struct bench_progress progress = {0};
    while (!interrupted && progress.subscribed + progress.failed < awaited &&
           now_ns - begin_ns < options->timeout_ns) {
        bench_run_sleep_until(show, now_ns + POLL_NS);
        progress = bench_run_progress(show->threads, options->thread_count);
        now_ns = bench_run_now_ns();
        if (options->at_once && !atomic_load(&show->control->ask)) {
            suspect_ns = now_ns + SUSPECT_NS; /* Nothing has been asked yet. */
        }
        if (progress.upgraded + progress.failed >= awaited) {
            atomic_store(&show->control->ask, true);
        }
        if (now_ns >= suspect_ns) {
            bench_run_suspect(show, &progress);
            suspect_ns = UINT64_MAX;
        }
    }
    if (progress.subscribed < awaited) {
        bool is_late = now_ns - begin_ns >= options->timeout_ns;
        bench_show_clear(show);
        fprintf(stderr, "ringcast-bench: %u of %u connection%s subscribed, %u failed%s\n",
                progress.subscribed, awaited, bench_result_s(awaited), progress.failed,
                is_late ? "; the others took longer than --timeout" : "");
    }
    return progress.subscribed > 0;
}

/* Waits for ticks of the window that are still on the way, and for answers. Returns the number of
 * readers to which ticks may still be due. */
static uint32_t bench_run_await_rest(const struct bench_options *options,
                                     struct bench_thread *const *threads)
{
    struct bench_progress progress = {.unfinished = 1};
    uint64_t now_ns = bench_run_now_ns();
    uint64_t deadline_ns = now_ns + REST_MAX_NS;
    uint64_t changed_ns = now_ns;
    uint64_t silent_ns =
        options->protocol == BENCH_RINGCAST || options->echo ? REST_MAX_NS : REST_SILENT_NS;
    while (now_ns < deadline_ns && interrupted < 2 &&
           now_ns - changed_ns <
               (progress.unfinished + progress.unanswered == 0 ? REST_QUIET_NS : silent_ns)) {
        bench_run_pause(POLL_NS);
        now_ns = bench_run_now_ns();
        struct bench_progress before = progress;
        progress = bench_run_progress(threads, options->thread_count);
        bool is_same = progress.window_frames == before.window_frames &&
                       progress.unfinished == before.unfinished &&
                       progress.unanswered == before.unanswered;
        changed_ns = is_same ? changed_ns : now_ns;
    }
    return progress.unfinished;
}

/* Sleeps through the window, noting what each interval used. Returns how many have passed. */
static uint32_t bench_run_watch(struct bench_result *result, struct bench_show *show)
{
    const struct bench_options *options = result->options;
    uint64_t begin_ns = result->window_start_ns;
    uint64_t resume_ns =
        options->stalled_resume_ns != 0 ? begin_ns + options->stalled_resume_ns : UINT64_MAX;
    uint64_t end_ns = begin_ns + options->duration_ns;
    uint32_t interval = 0;
    /* Each interval has its end, if late: this thread may be stopped for longer than the window. */
    while (!interrupted && (bench_run_now_ns() < end_ns || interval < result->interval_count)) {
        uint64_t interval_end_ns = begin_ns + (interval + 1) * result->interval_ns;
        uint64_t next_ns = interval < result->interval_count && interval_end_ns < end_ns
                               ? interval_end_ns
                               : end_ns;
        bool resumes = resume_ns < next_ns;
        bench_run_sleep_until(show, resumes ? resume_ns : next_ns);
        if (resumes) {
            atomic_store(&show->control->resume, true);
            resume_ns = UINT64_MAX;
        } else if (interval < result->interval_count) {
            result->interval_ends[interval++] = bench_run_sample(options, show->threads);
        }
    }
    return interval;
}

/* Ticks that are published from now on are not due. The present interval ends; there are no later
 * ones. */
static void bench_run_end_early(struct bench_result *result, struct bench_control *control,
                                uint32_t passed)
{
    uint64_t begin_ns = result->window_start_ns;
    uint64_t end_ns = bench_run_now_ns() + NOTICE_NS;
    uint64_t window_ns = end_ns > begin_ns ? end_ns - begin_ns : 1;
    result->interrupted = true;
    result->window_ns = window_ns;
    atomic_store(&control->window_ns, window_ns);
    for (uint32_t i = passed; i < result->interval_count; i++) {
        if (i * result->interval_ns >= window_ns) {
            result->interval_count = i;
        } else {
            result->interval_ends[i] = result->end;
        }
    }
}

static void bench_run_measure(struct bench_result *result, struct bench_show *show)
{
    const struct bench_options *options = result->options;
    struct bench_control *control = show->control;
    struct bench_thread *const *threads = show->threads;
    uint64_t warmup_ns = options->warmup_ns > NOTICE_NS ? options->warmup_ns : NOTICE_NS;
    uint64_t begin_ns = bench_run_now_ns() + warmup_ns;
    result->window_start_ns = begin_ns;
    atomic_store(&control->window_start_ns, begin_ns);
    atomic_store(&control->window_ns, options->duration_ns);
    bench_run_sleep_until(show, begin_ns);
    result->begin = bench_run_sample(options, threads);
    uint32_t passed = bench_run_watch(result, show);
    result->end = bench_run_sample(options, threads);
    result->window_ns = options->duration_ns;
    if (interrupted) {
        bench_run_end_early(result, control, passed);
    }
    /* Without times a message belongs to the window by its receipt: nothing is under way. */
    result->unfinished =
        bench_result_has_times(result) ? bench_run_await_rest(options, threads) : 0;
}

/* ---- A run ---- */

static int bench_run_prepare_intervals(struct bench_result *result, struct bench_control *control)
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

static int bench_run_create_threads(const struct bench_options *options,
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

static int bench_run_start_threads(const struct bench_options *options,
                                   struct bench_thread *const *threads)
{
    for (uint32_t i = 0; i < options->thread_count; i++) {
        if (bench_thread_start(threads[i]) != 0) {
            fprintf(stderr, "ringcast-bench: a thread cannot be created\n");
            return 1;
        }
    }
    return 0;
}

int bench_run(struct bench_result *result, const struct bench_options *options)
{
    struct bench_control control = {0};
    struct bench_thread *threads[BENCH_THREADS_MAX];
    struct bench_load *load;
    struct bench_show show;
    char error_text[WS_CLIENT_ERROR_BYTES_MAX];
    memset(result, 0, sizeof *result);
    result->options = options;
    if (!bench_watch_check(options)) {
        return 1;
    }
    bench_run_catch_signals();
    if (bench_load_create(&load, options, error_text) != 0 ||
        bench_load_check(load, error_text) != 0) {
        fprintf(stderr, "ringcast-bench: %s\n", error_text);
        return 1;
    }
    control.load = load;
    if (bench_run_prepare_intervals(result, &control) != 0) {
        fprintf(stderr, "ringcast-bench: out of memory\n");
        return 1;
    }
    struct bench_publish *publish = NULL;
    if (options->publish_to != NULL && (bench_publish_create(&publish, options, &control) != 0 ||
                                        bench_publish_start(publish) != 0)) {
        return 1;
    }
    bench_show_begin(&show, options, &control, threads);
    if (bench_run_create_threads(options, &control, threads) != 0) {
        return 1; /* main exits: nothing is worth undoing */
    }
    result->connect_begin = bench_run_sample(options, threads);
    if (bench_run_start_threads(options, threads) != 0) {
        return 1;
    }
    bool any = bench_run_await_connections(&show);
    result->connect_end = bench_run_sample(options, threads);
    if (any) {
        bench_run_measure(result, &show);
    }
    bench_show_clear(&show);
    if (publish != NULL) {
        bench_publish_stop(publish);
    }
    atomic_store(&control.stop, true);
    for (uint32_t i = 0; i < options->thread_count; i++) {
        bench_thread_join(threads[i]);
        bench_thread_read_rest(threads[i]);
    }
    bench_result_collect(result, load, threads);
    if (publish != NULL) {
        bench_result_take_published(result, load, publish);
        bench_publish_destroy(publish);
    }
    bench_result_judge(result);
    for (uint32_t i = 0; i < options->thread_count; i++) {
        bench_thread_destroy(threads[i]);
    }
    bench_load_destroy(load);
    bench_run_let_signals_go();
    return 0;
}
