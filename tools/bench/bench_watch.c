#include "tools/bench/bench_watch.h"

#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "codec/base/clock.h"

bool bench_watch_check(const struct bench_options *options)
{
    struct proc_usage server;
    struct core_usage core;
    int error = options->pid != 0 ? proc_usage_read(options->pid, &server) : 0;
    if (error != 0) {
        fprintf(stderr, "ringcast-bench: --pid %d: %s\n", options->pid,
                error == -ENOENT ? "there is no such process" : strerror(-error));
        return false;
    }
    error = options->cpu >= 0 ? core_usage_read(options->cpu, &core) : 0;
    if (error != 0) {
        fprintf(stderr, "ringcast-bench: --cpu %d: %s\n", options->cpu,
                error == -ENOENT ? "/proc/stat has no such core, or it is offline"
                                 : strerror(-error));
        return false;
    }
    return true;
}

void bench_watch_take(struct bench_sample *sample_out, const struct bench_options *options,
                      struct bench_thread *const *threads)
{
    struct bench_sample *sample = sample_out;
    sample->at_ns = clock_ns(CLOCK_REALTIME);
    sample->has_server = options->pid != 0 && proc_usage_read(options->pid, &sample->server) == 0;
    sample->has_core = options->cpu >= 0 && core_usage_read(options->cpu, &sample->core) == 0;
    sample->has_steal = core_usage_steal(&sample->steal_ns, &sample->core_count) == 0;
    sample->has_throttled = proc_usage_throttled(&sample->throttled_ns) == 0;
    sample->has_waits = true;
    for (uint32_t i = 0; i < options->thread_count; i++) {
        clockid_t clock;
        int tid = atomic_load(&threads[i]->tid);
        if (tid == 0) { /* It has not run yet. */
            sample->has_waits = false;
            continue;
        }
        if (pthread_getcpuclockid(threads[i]->pthread, &clock) == 0) {
            sample->cpu_ns[i] = clock_ns(clock);
        }
        sample->has_waits &= proc_usage_wait(tid, &sample->wait_ns[i]) == 0;
    }
}

bool bench_watch_has_server(const struct bench_sample *begin, const struct bench_sample *end)
{
    return begin->has_server && end->has_server && end->at_ns > begin->at_ns &&
           begin->server.start_ticks == end->server.start_ticks;
}

bool bench_watch_has_core(const struct bench_sample *begin, const struct bench_sample *end)
{
    return begin->has_core && end->has_core && end->at_ns > begin->at_ns;
}

static double bench_watch_share(const struct bench_sample *begin, const struct bench_sample *end,
                                double used_ns)
{
    return end->at_ns > begin->at_ns ? used_ns / (double)(end->at_ns - begin->at_ns) : NAN;
}

/* Of the threads; threads that do not exist have 0 in both samples. */
static double bench_watch_most(const uint64_t *begin, const uint64_t *end)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < BENCH_THREADS_MAX; i++) {
        most = end[i] > begin[i] && end[i] - begin[i] > most ? end[i] - begin[i] : most;
    }
    return (double)most;
}

double bench_watch_busy(const struct bench_sample *begin, const struct bench_sample *end)
{
    return bench_watch_share(begin, end, bench_watch_most(begin->cpu_ns, end->cpu_ns));
}

double bench_watch_waited(const struct bench_sample *begin, const struct bench_sample *end)
{
    return begin->has_waits && end->has_waits
               ? bench_watch_share(begin, end, bench_watch_most(begin->wait_ns, end->wait_ns))
               : NAN;
}

double bench_watch_stolen(const struct bench_sample *begin, const struct bench_sample *end)
{
    bool is_same = begin->has_steal && end->has_steal && begin->core_count == end->core_count;
    return is_same ? bench_watch_share(begin, end, (double)(end->steal_ns - begin->steal_ns)) /
                         end->core_count
                   : NAN;
}

double bench_watch_throttled(const struct bench_sample *begin, const struct bench_sample *end)
{
    return begin->has_throttled && end->has_throttled
               ? bench_watch_share(begin, end, (double)(end->throttled_ns - begin->throttled_ns))
               : NAN;
}
