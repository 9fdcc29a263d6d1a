/* The requests to end, and the drain: connections are notified, and closed one after the other. */
#include "ring/core/core_state.h"
#include "ring/link/deadlines.h"

#define CORE_DRAIN_CONNS_PER_TURN 256 /* notified at a time, so that frames go on */
#define CORE_DRAIN_RETRY_NS (20 * NS_PER_MS)

void core_stop(struct core *core)
{
    atomic_store_explicit(&core->stopping, 1, memory_order_release);
}

void core_drain(struct core *core, uint64_t end_ns, bool refuses)
{
    core->drain_refuses = refuses;
    atomic_store_explicit(&core->drain_end_wanted_ns, end_ns, memory_order_release);
}

static void core_drain_begin(struct core *core, uint64_t end_ns)
{
    core->drain_began_ns = core->time.now_ns;
    core->drain_end_ns = end_ns > core->time.now_ns ? end_ns : core->time.now_ns;
    core->links.is_refusing = core->drain_refuses;
    core->drain_conn_count = counter_get(&core->counters->conns_streaming);
    core_accept_cancel(core); /* Those that are not kept are armed again. */
}

/* The middle of the place'th of as many parts of the window as there were conns; its end for those
 * that came later. */
static uint64_t core_drain_slot_ns(const struct core *core, uint64_t place)
{
    uint64_t window_ns = core->drain_end_ns - core->drain_began_ns;
    if (place >= core->drain_conn_count) {
        return core->drain_end_ns;
    }
    uint64_t parts = 2 * core->drain_conn_count;
    uint64_t halves = 2 * place + 1;
    uint64_t slot_ns = window_ns / parts * halves + window_ns % parts * halves / parts;
    return core->drain_began_ns + (slot_ns < window_ns ? slot_ns : window_ns);
}

static void core_drain_tell(struct core *core, uint32_t conn)
{
    uint64_t now_ns = core->time.now_ns;
    uint64_t drain_ns = core_drain_slot_ns(core, core->drain_told_count++);
    uint64_t close_ns = drain_ns > now_ns ? drain_ns - now_ns : 0;
    uint64_t end_ns = core->drain_end_ns > now_ns ? core->drain_end_ns - now_ns : 0;
    deadlines_set_drain(&core->links, core_link(core, conn), drain_ns);
    core->options.ops->on_drain(core->options.context, core, conn, close_ns, end_ns);
}

bool core_drain_go_on(struct core *core)
{
    if (core->drain_end_ns == 0) {
        uint64_t end_ns = atomic_load_explicit(&core->drain_end_wanted_ns, memory_order_acquire);
        if (end_ns == 0) {
            return false;
        }
        core_drain_begin(core, end_ns);
    }
    for (uint32_t told = 0; core->drain_next < core->slab_count;) {
        if (told == CORE_DRAIN_CONNS_PER_TURN) {
            return true;
        }
        uint32_t conn = core->drain_next++;
        if (core_is_streaming(core, conn)) {
            core_drain_tell(core, conn);
            told++;
        }
    }
    return false;
}

void core_drain_open(struct core *core, uint32_t conn)
{
    if (core->drain_end_ns != 0 && conn < core->drain_next) {
        core_drain_tell(core, conn);
    }
}

void core_drain_close(struct core *core, uint32_t conn)
{
    uint64_t now_ns = core->time.now_ns;
    struct link *link = core_link(core, conn);
    if (!fan_is_current(&core->fan, core_subscriber(core, conn)) && now_ns < core->drain_end_ns) {
        uint64_t again_ns = now_ns + CORE_DRAIN_RETRY_NS;
        deadlines_set_drain(&core->links, link,
                            again_ns < core->drain_end_ns ? again_ns : core->drain_end_ns);
        return;
    }
    counter_add(&core->counters->closed_drain, 1);
    link_close(&core->links, link, CORE_DRAIN_CLOSE_CODE, "drain", "drain");
}
