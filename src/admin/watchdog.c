#include "src/admin/watchdog.h"

#include <inttypes.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/base/log.h"

#define WATCHDOG_STEP_NS_MAX (500 * NS_PER_MS)

static_assert(sizeof "publisher" <= WATCHDOG_NAME_BYTES_MAX, "a name is whole");

void watchdog_init(struct watchdog *watchdog, const struct watchdog_options *options)
{
    *watchdog = (struct watchdog){
        .options = *options,
        .thread_count = options->counters->header.core_count + (options->has_publisher ? 1 : 0),
    };
    assert_always(watchdog->thread_count >= 1);
    assert_always(watchdog->thread_count <= WATCHDOG_THREADS_MAX);
}

static bool watchdog_is_core(const struct watchdog *watchdog, uint32_t thread)
{
    return thread < watchdog->options.counters->header.core_count;
}

static uint64_t watchdog_turns(const struct watchdog *watchdog, uint32_t thread)
{
    const struct counters *counters = watchdog->options.counters;
    assert_always(thread < watchdog->thread_count);
    return counter_get(watchdog_is_core(watchdog, thread) ? &counters->cores[thread].turns
                                                          : &counters->publisher.turns);
}

bool watchdog_has_begun(const struct watchdog *watchdog)
{
    for (uint32_t i = 0; i < watchdog->thread_count; i++) {
        if (watchdog_turns(watchdog, i) == 0) {
            return false;
        }
    }
    return true;
}

void watchdog_name(const struct watchdog *watchdog, uint32_t thread,
                   char name_out[WATCHDOG_NAME_BYTES_MAX])
{
    assert_always(thread <= watchdog->thread_count);
    if (watchdog_is_core(watchdog, thread)) {
        snprintf(name_out, WATCHDOG_NAME_BYTES_MAX, "core-%u", thread);
    } else {
        snprintf(name_out, WATCHDOG_NAME_BYTES_MAX, "%s",
                 thread < watchdog->thread_count ? "publisher" : "main");
    }
}

static double watchdog_seconds(uint64_t ns)
{
    return (double)ns / (double)NS_PER_SECOND;
}

static void watchdog_tell_stall(const struct watchdog *watchdog, uint32_t thread, uint64_t still_ns)
{
    char name[WATCHDOG_NAME_BYTES_MAX];
    const char *effect = "no client gets new ticks";
    watchdog_name(watchdog, thread, name);
    if (watchdog_is_core(watchdog, thread)) {
        bool publishes = thread == 0 && !watchdog->options.has_publisher;
        effect = publishes ? "its clients get nothing, and, since it runs the publisher too, no "
                             "client gets new ticks"
                           : "its clients get nothing";
    }
    log_write(LOG_LEVEL_CRITICAL,
              "%s has made no progress for %.1f s: %s; /livez and /readyz answer 503 until it goes "
              "on; see where it hangs with `gdb -p %ld -batch -ex 'thread apply all bt'`, then "
              "restart ringcast",
              name, watchdog_seconds(still_ns), effect, (long)getpid());
}

static void watchdog_look_at(struct watchdog *watchdog, uint32_t thread, uint64_t step_ns)
{
    struct watchdog_thread *watched = &watchdog->threads[thread];
    uint64_t turns = watchdog_turns(watchdog, thread);
    uint64_t stalled_ns = atomic_load_explicit(&watched->stalled_ns, memory_order_relaxed);
    if (turns != watched->turns) {
        watched->turns = turns;
        watched->still_ns = 0;
        atomic_store_explicit(&watched->stalled_ns, 0, memory_order_relaxed);
        if (stalled_ns != 0) {
            char name[WATCHDOG_NAME_BYTES_MAX];
            watchdog_name(watchdog, thread, name);
            log_write(LOG_LEVEL_WARNING, "%s goes on after %.1f s without progress", name,
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
        watchdog_tell_stall(watchdog, thread, watched->still_ns);
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
    for (uint32_t i = 0; i < watchdog->thread_count; i++) {
        watchdog_look_at(watchdog, i, step_ns);
    }
}

uint64_t watchdog_stalled_ns(const struct watchdog *watchdog, uint32_t thread, uint64_t now_ns)
{
    if (thread < watchdog->thread_count) {
        return atomic_load_explicit(&watchdog->threads[thread].stalled_ns, memory_order_relaxed);
    }
    assert_always(thread == watchdog->thread_count); /* main */
    uint64_t looked_ns = atomic_load_explicit(&watchdog->looked_ns, memory_order_relaxed);
    uint64_t still_ns = looked_ns == 0 || looked_ns > now_ns ? 0 : now_ns - looked_ns;
    return still_ns < watchdog->options.limit_ns ? 0 : still_ns;
}

bool watchdog_is_stalled(const struct watchdog *watchdog, uint64_t now_ns)
{
    bool is_stalled = false;
    for (uint32_t i = 0; i <= watchdog->thread_count; i++) {
        is_stalled |= watchdog_stalled_ns(watchdog, i, now_ns) > 0;
    }
    return is_stalled;
}

void watchdog_write_prometheus(const struct watchdog *watchdog, FILE *out, uint64_t now_ns)
{
    fputs("# HELP ringcast_thread_stalled_seconds How long a thread has made no progress, once "
          "that is over --watchdog-seconds; otherwise 0.\n"
          "# TYPE ringcast_thread_stalled_seconds gauge\n",
          out);
    for (uint32_t i = 0; i <= watchdog->thread_count; i++) {
        char name[WATCHDOG_NAME_BYTES_MAX];
        watchdog_name(watchdog, i, name);
        fprintf(out, "ringcast_thread_stalled_seconds{thread=\"%s\"} %.9g\n", name,
                watchdog_seconds(watchdog_stalled_ns(watchdog, i, now_ns)));
    }
    fprintf(out,
            "# HELP ringcast_thread_stalls_total Times a thread stalled.\n"
            "# TYPE ringcast_thread_stalls_total counter\n"
            "ringcast_thread_stalls_total %" PRIu64 "\n",
            atomic_load_explicit(&watchdog->stall_count, memory_order_relaxed));
}
