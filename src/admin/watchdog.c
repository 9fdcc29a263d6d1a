#include "src/admin/watchdog.h"

#include <inttypes.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/board/counters_threads.h"
#include "src/base/log.h"

#define WATCHDOG_STEP_NS_MAX (500 * NS_PER_MS)

#define WATCHDOG_AT(member) ((uint32_t)offsetof(struct counters, member))

void watchdog_init(struct watchdog *watchdog, const struct watchdog_options *options)
{
    assert_always(options->counters != NULL);
    *watchdog = (struct watchdog){.options = *options};
}

static bool watchdog_is_main(const struct counters_thread *thread)
{
    return thread->progress_at == WATCHDOG_AT(process.main_turns);
}

static bool watchdog_is_watched(const struct counters_thread *thread)
{
    return (thread->flags & COUNTERS_THREAD_RESTS) == 0;
}

bool watchdog_has_begun(const struct watchdog *watchdog)
{
    const struct counters *counters = watchdog->options.counters;
    for (uint32_t i = 0; i < counters_threads_count(counters); i++) {
        const struct counters_thread *thread = counters_threads_get(counters, i);
        if (watchdog_is_watched(thread) && counters_threads_progress(counters, thread) == 0) {
            return false;
        }
    }
    return true;
}

static double watchdog_seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_SECOND;
}

static bool watchdog_has_publisher(const struct counters *counters)
{
    bool has_publisher = false;
    for (uint32_t i = 0; i < counters_threads_count(counters); i++) {
        has_publisher |=
            counters_threads_get(counters, i)->progress_at == WATCHDOG_AT(publisher.turns);
    }
    return has_publisher;
}

static void watchdog_tell_stall(const struct counters *counters,
                                const struct counters_thread *thread, uint64_t still_ns)
{
    const char *effect = "its clients receive nothing";
    if (thread->progress_at == WATCHDOG_AT(publisher.turns)) {
        effect = "no client receives new ticks";
    } else if (thread->progress_at == WATCHDOG_AT(cores[0].turns) &&
               !watchdog_has_publisher(counters)) {
        effect = "its clients receive nothing and, because it also runs the publisher, no client "
                 "receives new ticks";
    }
    log_write(LOG_LEVEL_CRITICAL,
              "%s has made no progress for %.1f s: %s; /livez and /readyz answer 503 until it "
              "continues; find where it hangs with `gdb -p %ld -batch -ex 'thread apply all bt'`, "
              "then restart ringcast",
              thread->name, watchdog_seconds(still_ns), effect, (long)getpid());
}

static void watchdog_look_at(struct watchdog *watchdog, uint32_t index, uint64_t step_ns)
{
    const struct counters *counters = watchdog->options.counters;
    const struct counters_thread *thread = counters_threads_get(counters, index);
    struct watchdog_thread *watched = &watchdog->threads[index];
    uint64_t progress = counters_threads_progress(counters, thread);
    uint64_t stalled_ns = atomic_load_explicit(&watched->stalled_ns, memory_order_relaxed);
    if (progress != watched->progress) {
        watched->progress = progress;
        watched->still_ns = 0;
        atomic_store_explicit(&watched->stalled_ns, 0, memory_order_relaxed);
        if (stalled_ns != 0) {
            log_write(LOG_LEVEL_WARNING, "%s continues after %.1f s without progress", thread->name,
                      watchdog_seconds(stalled_ns));
        }
        return;
    }
    watched->still_ns += step_ns;
    if (watched->still_ns < watchdog->options.limit_ns) {
        return;
    }
    atomic_store_explicit(&watched->stalled_ns, watched->still_ns, memory_order_relaxed);
    if (stalled_ns == 0) {
        atomic_fetch_add_explicit(&watchdog->stall_count, 1, memory_order_relaxed);
        watchdog_tell_stall(counters, thread, watched->still_ns);
    }
}

void watchdog_look(struct watchdog *watchdog, uint64_t now_ns)
{
    if (watchdog->options.limit_ns == 0) {
        return;
    }
    uint64_t looked_ns = atomic_load_explicit(&watchdog->looked_ns, memory_order_relaxed);
    assert_debug(looked_ns <= now_ns);
    uint64_t step_ns = looked_ns == 0 ? 0 : now_ns - looked_ns;
    uint64_t step_ns_max = watchdog->options.limit_ns / 4;
    step_ns_max = step_ns_max < WATCHDOG_STEP_NS_MAX ? step_ns_max : WATCHDOG_STEP_NS_MAX;
    step_ns = step_ns < step_ns_max ? step_ns : step_ns_max;
    atomic_store_explicit(&watchdog->looked_ns, now_ns, memory_order_relaxed);
    for (uint32_t i = 0; i < counters_threads_count(watchdog->options.counters); i++) {
        const struct counters_thread *thread = counters_threads_get(watchdog->options.counters, i);
        if (watchdog_is_watched(thread) && !watchdog_is_main(thread)) {
            watchdog_look_at(watchdog, i, step_ns);
        }
    }
}

uint64_t watchdog_main_stalled_ns(const struct watchdog *watchdog, uint64_t now_ns)
{
    uint64_t looked_ns = atomic_load_explicit(&watchdog->looked_ns, memory_order_relaxed);
    uint64_t still_ns = looked_ns == 0 || looked_ns > now_ns ? 0 : now_ns - looked_ns;
    return still_ns < watchdog->options.limit_ns ? 0 : still_ns;
}

uint64_t watchdog_stalled_ns(const struct watchdog *watchdog, uint32_t thread, uint64_t now_ns)
{
    return watchdog_is_main(counters_threads_get(watchdog->options.counters, thread))
               ? watchdog_main_stalled_ns(watchdog, now_ns)
               : atomic_load_explicit(&watchdog->threads[thread].stalled_ns, memory_order_relaxed);
}

bool watchdog_is_stalled(const struct watchdog *watchdog, uint64_t now_ns)
{
    bool is_stalled = false;
    for (uint32_t i = 0; i < counters_threads_count(watchdog->options.counters); i++) {
        is_stalled |= watchdog_stalled_ns(watchdog, i, now_ns) > 0;
    }
    return is_stalled;
}

void watchdog_write_prometheus(const struct watchdog *watchdog, FILE *out, uint64_t now_ns)
{
    fputs(
        "# HELP ringcast_thread_stalled_seconds How long a thread has made no progress, if longer "
        "than --watchdog-seconds; otherwise 0.\n# TYPE ringcast_thread_stalled_seconds gauge\n",
        out);
    for (uint32_t i = 0; i < counters_threads_count(watchdog->options.counters); i++) {
        const struct counters_thread *thread = counters_threads_get(watchdog->options.counters, i);
        if (watchdog_is_watched(thread)) {
            fprintf(out, "ringcast_thread_stalled_seconds{thread=\"%s\"} %.9g\n", thread->name,
                    watchdog_seconds(watchdog_stalled_ns(watchdog, i, now_ns)));
        }
    }
    fprintf(out,
            "# HELP ringcast_thread_stalls_total Times a thread stalled.\n"
            "# TYPE ringcast_thread_stalls_total counter\n"
            "ringcast_thread_stalls_total %" PRIu64 "\n",
            atomic_load_explicit(&watchdog->stall_count, memory_order_relaxed));
}
