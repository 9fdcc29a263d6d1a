#include "src/market/publisher_wait.h"

#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/cpu.h"
#include "ring/io/engine_uring.h"
#include "src/base/log.h"

#define PUBLISHER_WAIT_NS_MAX (100 * NS_PER_MS)      /* how soon publisher_stop is seen */
#define PUBLISHER_WAIT_SPIN_NS (50 * NS_PER_US)      /* a sleep would take longer */
#define PUBLISHER_WAIT_SQ_ENTRIES COUNTERS_CORES_MAX /* one wake-up for each core */
#define PUBLISHER_WAIT_CQ_ENTRIES (2 * PUBLISHER_WAIT_SQ_ENTRIES)

int publisher_wait_open(struct publisher_wait *wait)
{
    char text[ENGINE_ERROR_BYTES_MAX];
    struct engine_options options = {
        .sq_entries = PUBLISHER_WAIT_SQ_ENTRIES,
        .cq_entries = PUBLISHER_WAIT_CQ_ENTRIES,
    };
    assert_always(!wait->is_open);
    int error = engine_uring_open(&wait->engine, &options, text);
    if (error < 0) {
        log_post(0, LOG_LEVEL_ERROR, text);
        return error;
    }
    error = engine_enable(&wait->engine);
    if (error < 0) {
        log_post(0, LOG_LEVEL_ERROR, "publisher: its ring cannot be enabled");
        engine_close(&wait->engine);
        return error;
    }
    core_watch_init(&wait->watch, &wait->engine);
    wait->is_open = true;
    return 0;
}

void publisher_wait_close(struct publisher_wait *wait)
{
    if (wait->is_open) {
        engine_close(&wait->engine);
    }
    wait->is_open = false;
}

static void publisher_wait_enter(struct publisher_wait *wait, uint64_t timeout_ns)
{
    struct io_uring_cqe cqe;
    engine_enter(&wait->engine, timeout_ns);
    while (engine_reap(&wait->engine, &cqe)) {
        /* A wake-up that failed is no harm: a core sleeps 100 ms at most. */
        core_watch_on_completion(&wait->watch, cqe.user_data, cqe.res);
    }
}

uint32_t publisher_wait_wake_cores(struct publisher_wait *wait)
{
    uint32_t first = wait->is_inline ? 1 : 0;
    if (first >= wait->core_count || wait->has_failed) {
        return 0;
    }
    if (!wait->is_open && publisher_wait_open(wait) < 0) {
        wait->has_failed = true; /* The cores find the head when they wake by themselves. */
        return 0;
    }
    uint32_t woken = 0;
    for (uint32_t i = first; i < wait->core_count; i++) {
        woken += core_wake(wait->cores[i], &wait->engine);
    }
    if (woken > 0) {
        publisher_wait_enter(wait, 0);
    }
    return woken;
}

void publisher_wait_until(struct publisher_wait *wait, uint64_t due_ns)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    assert_always(wait->is_open);
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if (wait_ns < PUBLISHER_WAIT_SPIN_NS) {
        if (wait->watch.armed_count > 0) {
            publisher_wait_enter(wait, 0); /* One feed may be busy while another's fd has ticks. */
        }
        while (clock_ns(CLOCK_MONOTONIC) < due_ns) {
            cpu_relax();
        }
        return;
    }
    publisher_wait_enter(wait, wait_ns < PUBLISHER_WAIT_NS_MAX ? wait_ns : PUBLISHER_WAIT_NS_MAX);
}

static struct core_watch *publisher_wait_watch(struct publisher_wait *wait)
{
    assert_always(wait->is_inline ? wait->core_count > 0 : wait->is_open);
    return wait->is_inline ? core_watch_of(wait->cores[0]) : &wait->watch;
}

void publisher_wait_arm(struct publisher_wait *wait, uint32_t number, int fd)
{
    core_watch_arm(publisher_wait_watch(wait), number, fd);
}

void publisher_wait_disarm(struct publisher_wait *wait, uint32_t number)
{
    core_watch_disarm(publisher_wait_watch(wait), number);
}

bool publisher_wait_is_readable(struct publisher_wait *wait, uint32_t number)
{
    return core_watch_is_readable(publisher_wait_watch(wait), number);
}
