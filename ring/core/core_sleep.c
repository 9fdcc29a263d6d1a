/* How a core sleeps, and what wakes it. */
#include "ring/core/core_state.h"
#include "ring/link/securing.h"
#include "ring/trace.h"

#define CORE_SLEEP_NS_MAX (100 * NS_PER_MS) /* so that core_stop needs no wake-up of its own */
#define CORE_SPIN_NS (50 * NS_PER_US)       /* before a core without inline publisher sleeps */

uint64_t core_wait_ns(const struct core *core, uint64_t next_publish_ns)
{
    uint64_t due_ns = timer_wheel_next_ns(&core->links.wheel);
    due_ns = core->accept_retry_ns < due_ns ? core->accept_retry_ns : due_ns;
    due_ns = due_ns < core->grace_ns ? core->grace_ns : due_ns;
    due_ns = next_publish_ns < due_ns ? next_publish_ns : due_ns;
    due_ns = core->fan.replay_due_ns < due_ns ? core->fan.replay_due_ns : due_ns;
    if (core->links.ready.count > 0 || core->links.waiting.count > 0 ||
        core->links.ending.count > 0 || !list_empty(&core->links.undecided) ||
        core->fan.failed.count > 0 || core->fan.pulls.count > 0 || due_ns <= core->time.now_ns) {
        return 0;
    }
    uint64_t wait_ns = due_ns - core->time.now_ns;
    return wait_ns < CORE_SLEEP_NS_MAX ? wait_ns : CORE_SLEEP_NS_MAX;
}

/* Mail, a TLS handshake that went on, frames to fan out, or an encoding that conns wait for. In any
 * log: a writer that takes room back shows one log's frames before the others'. */
static bool core_has_news(const struct core *core)
{
    if (core_has_mail(core) || securing_has_result(&core->links)) {
        return true;
    }
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        const struct fan_stream *stream = &core->fan.streams[i];
        uint32_t run = atomic_load_explicit(&core->options.encodings[i].run, memory_order_acquire);
        if (core_encoding_is_written(run) && (frame_log_head(stream->log) != stream->position ||
                                              !list_empty(&core->links.waiters[i]))) {
            return true;
        }
    }
    return false;
}

/* To be called with the clock as it was at the wake-up, and before completions are reaped. */
static void core_count_sleep(struct core *core, uint64_t slept_ns, uint64_t wanted_ns,
                             bool is_woken)
{
    bool has_completions = engine_has_completions(&core->links.engine);
    counter_add(&core->counters->asleep_ns, slept_ns);
    core->counted_ns += slept_ns;
    if (slept_ns > wanted_ns && !has_completions) {
        counter_add(&core->counters->overslept_ns, slept_ns - wanted_ns);
    }
    trace_awake(core->options.index, slept_ns, wanted_ns,
                is_woken          ? TRACE_BY_MESSAGE
                : has_completions ? TRACE_BY_COMPLETION
                                  : TRACE_BY_TIMER);
}

/* Sleeps, unless a head has moved: the publisher stores the heads, then reads armed; we store
 * armed, then read the heads again. One of the two sees the other. */
void core_sleep(struct core *core, uint64_t wait_ns, bool publisher_elsewhere)
{
    /* A sleeping core costs its waker and itself tens of us, so it lingers after work. */
    bool linger = publisher_elsewhere && core->time.now_ns < core->worked_ns + CORE_SPIN_NS;
    if (wait_ns == 0 || linger || core->options.busy_poll) {
        links_enter(&core->links, 0);
        core_read_clock(core);
        return;
    }
    core_read_clock(core); /* When the sleep begins; no other turn needs to know. */
    uint64_t began_ns = core->time.now_ns;
    atomic_store_explicit(&core->armed, 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    wait_ns = core_has_news(core) ? 0 : wait_ns;
    links_enter(&core->links, wait_ns);
    bool is_woken = atomic_load_explicit(&core->armed, memory_order_relaxed) == 0;
    atomic_store_explicit(&core->armed, 0, memory_order_relaxed);
    core_read_clock(core);
    if (wait_ns > 0) {
        core_count_sleep(core, core->time.now_ns - began_ns, wait_ns, is_woken);
    }
}

bool core_wake(struct core *core, struct engine *waker)
{
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&core->armed, memory_order_relaxed) == 0 ||
        atomic_exchange_explicit(&core->armed, 0, memory_order_relaxed) == 0) {
        return false;
    }
    trace_wake(core->options.index);
    /* A core that is not woken wakes by itself, CORE_SLEEP_NS_MAX later at most. */
    return engine_wake(&core->links.engine, waker, links_tag(OP_WAKE, 0, 0));
}
