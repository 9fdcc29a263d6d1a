/*
 * ringcast-bench: a load of subscribers and what they see. See docs/tools.md.
 *
 *   connect all -> warm-up -> window (measured) -> rest (until all that is due has come) -> report
 *
 * Whether a frame belongs to the window is told by its ts_pub, not by its receipt: so what is due
 * is known exactly, however late it comes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "codec/base/units.h"
#include "tools/bench_report.h"

#define POLL_NS (5 * NS_PER_MS)
#define NOTICE_NS (50 * NS_PER_MS)       /* All threads know the window so long before it begins. */
#define REST_QUIET_NS (300 * NS_PER_MS)  /* The rest is over when nothing has come for so long, */
#define REST_MAX_NS (10 * NS_PER_SECOND) /* or after this. */

static volatile sig_atomic_t interrupted;

static void bench_main_on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static uint64_t bench_main_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_SECOND + (uint64_t)now.tv_nsec;
}

/* Until then, or an interrupt. */
static void bench_main_sleep_until(uint64_t deadline_ns)
{
    struct timespec deadline = {.tv_sec = (time_t)(deadline_ns / NS_PER_SECOND),
                                .tv_nsec = (long)(deadline_ns % NS_PER_SECOND)};
    while (!interrupted && bench_main_now_ns() < deadline_ns) {
        clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &deadline, NULL);
    }
}

static void bench_main_raise_descriptors(uint32_t connection_count)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < connection_count + 64) {
            fprintf(stderr,
                    "ringcast-bench: %u connections do not fit in the limit of %llu open "
                    "files (ulimit -n)\n",
                    connection_count, (unsigned long long)limit.rlim_cur);
        }
    }
}

struct bench_progress {
    uint32_t subscribed;
    uint32_t failed;
    uint64_t frames;
    uint64_t bytes;
};

static struct bench_progress bench_main_progress(struct bench_thread *const *threads,
                                                 uint32_t thread_count)
{
    struct bench_progress progress = {0};
    for (uint32_t i = 0; i < thread_count; i++) {
        progress.subscribed += atomic_load(&threads[i]->subscribed_now);
        progress.failed += atomic_load(&threads[i]->failed_now);
        progress.frames += atomic_load(&threads[i]->frames_now);
        progress.bytes += atomic_load(&threads[i]->bytes_now);
    }
    return progress;
}

static struct bench_sample bench_main_sample(const struct bench_options *options,
                                             struct bench_thread *const *threads)
{
    struct bench_sample sample = {0};
    struct bench_progress progress = bench_main_progress(threads, options->thread_count);
    sample.at_ns = bench_main_now_ns();
    sample.frames = progress.frames;
    sample.bytes = progress.bytes;
    if (options->pid != 0 && proc_usage_read(options->pid, &sample.server) != 0) {
        fprintf(stderr, "ringcast-bench: process %d has gone\n", options->pid);
    }
    if (options->cpu >= 0 && core_usage_read(options->cpu, &sample.core) != 0) {
        fprintf(stderr, "ringcast-bench: /proc/stat has no cpu%d\n", options->cpu);
    }
    return sample;
}

/* Until every connection is subscribed or has failed; returns how many are subscribed. */
static uint32_t bench_main_await_connections(const struct bench_options *options,
                                             struct bench_thread *const *threads)
{
    uint64_t deadline_ns = bench_main_now_ns() + options->connect_timeout_ns;
    struct bench_progress progress = {0};
    while (!interrupted && progress.subscribed + progress.failed < options->connection_count &&
           bench_main_now_ns() < deadline_ns) {
        bench_main_sleep_until(bench_main_now_ns() + POLL_NS);
        progress = bench_main_progress(threads, options->thread_count);
    }
    if (progress.subscribed < options->connection_count) {
        fprintf(stderr, "ringcast-bench: %u of %u connections are subscribed, %u have failed\n",
                progress.subscribed, options->connection_count, progress.failed);
    }
    return progress.subscribed;
}

/* What was published inside the window and is still under way. */
static void bench_main_await_rest(const struct bench_options *options,
                                  struct bench_thread *const *threads)
{
    uint64_t now_ns = bench_main_now_ns();
    uint64_t deadline_ns = now_ns + REST_MAX_NS;
    uint64_t changed_ns = now_ns;
    uint64_t received = 0;
    while (!interrupted && now_ns < deadline_ns && now_ns - changed_ns < REST_QUIET_NS) {
        uint64_t received_now = 0;
        bench_main_sleep_until(now_ns + POLL_NS);
        now_ns = bench_main_now_ns();
        for (uint32_t i = 0; i < options->thread_count; i++) {
            received_now += atomic_load(&threads[i]->window_frames_now);
        }
        changed_ns = received_now != received ? now_ns : changed_ns;
        received = received_now;
    }
}

static void bench_main_measure(const struct bench_options *options, struct bench_control *control,
                               struct bench_thread *const *threads, struct bench_result *result)
{
    uint64_t warmup_ns = options->warmup_ns;
    warmup_ns = warmup_ns > NOTICE_NS ? warmup_ns : NOTICE_NS;
    uint64_t begin_ns = bench_main_now_ns() + warmup_ns;
    uint64_t end_ns = begin_ns + options->duration_ns;
    atomic_store(&control->window_start_ns, begin_ns);
    atomic_store(&control->window_ns, options->duration_ns);
    bench_main_sleep_until(begin_ns);
    result->begin = bench_main_sample(options, threads);
    if (options->stalled_resume_ns != 0 && options->stalled_resume_ns < options->duration_ns) {
        bench_main_sleep_until(begin_ns + options->stalled_resume_ns);
        atomic_store(&control->resume, true);
    }
    bench_main_sleep_until(end_ns);
    result->end = bench_main_sample(options, threads);
    if (interrupted) { /* What is published from now on is not due. */
        uint64_t now_ns = bench_main_now_ns() + NOTICE_NS;
        atomic_store(&control->window_ns, now_ns > begin_ns ? now_ns - begin_ns : 1);
        interrupted = 0;
    }
    bench_main_await_rest(options, threads);
}

int main(int argc, char **argv)
{
    static struct bench_options options;
    static struct bench_control control;
    static struct bench_result result = {.options = &options};
    struct bench_thread *threads[BENCH_THREADS_MAX];
    int exit_code = bench_options_parse(&options, argc, argv);
    if (exit_code >= 0) {
        return exit_code;
    }
    bench_main_raise_descriptors(options.connection_count);
    signal(SIGINT, bench_main_on_signal);
    signal(SIGTERM, bench_main_on_signal);
    signal(SIGPIPE, SIG_IGN);
    for (uint32_t i = 0; i < options.thread_count; i++) {
        int error = bench_thread_create(&threads[i], &options, &control, i);
        if (error != 0) {
            fprintf(stderr, "ringcast-bench: thread %u cannot start: %s\n", i, strerror(-error));
            return 1;
        }
    }
    for (uint32_t i = 0; i < options.thread_count; i++) {
        if (bench_thread_start(threads[i]) != 0) {
            fprintf(stderr, "ringcast-bench: no thread can be made\n");
            return 1;
        }
    }
    if (bench_main_await_connections(&options, threads) > 0) {
        bench_main_measure(&options, &control, threads, &result);
    }
    atomic_store(&control.stop, true);
    for (uint32_t i = 0; i < options.thread_count; i++) {
        bench_thread_join(threads[i]);
        bench_thread_read_rest(threads[i]);
    }
    bench_report_collect(&result, threads, options.thread_count);
    (options.json ? bench_report_json : bench_report_text)(&result);
    for (uint32_t i = 0; i < options.thread_count; i++) {
        bench_thread_destroy(threads[i]);
    }
    return result.exit_code;
}
