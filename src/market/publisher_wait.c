#include "src/market/publisher_wait.h"

#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/cpu.h"
#include "src/base/log.h"

#define PUBLISHER_WAIT_NS_MAX (100 * NS_PER_MS) /* how soon publisher_stop is seen */
#define PUBLISHER_WAIT_SPIN_NS (50 * NS_PER_US) /* a sleep would take longer */

int publisher_wait_open(struct publisher_wait *wait)
{
    char text[LOG_LINE_BYTES_MAX];
    assert_always(wait->waker == NULL);
    int error = core_waker_open(&wait->waker, text, sizeof text);
    if (error < 0) {
        log_post(0, LOG_LEVEL_ERROR, text);
    }
    return error;
}

void publisher_wait_close(struct publisher_wait *wait)
{
    if (wait->waker != NULL) {
        core_waker_close(wait->waker);
    }
    wait->waker = NULL;
}

uint32_t publisher_wait_wake_cores(struct publisher_wait *wait)
{
    uint32_t first = wait->is_inline ? 1 : 0;
    if (first >= wait->core_count || wait->has_failed) {
        return 0;
    }
    if (wait->waker == NULL && publisher_wait_open(wait) < 0) {
        wait->has_failed = true; /* The cores find the head when they wake by themselves. */
        return 0;
    }
    uint32_t woken = 0;
    for (uint32_t i = first; i < wait->core_count; i++) {
        woken += core_waker_wake(wait->waker, wait->cores[i]);
    }
    if (woken > 0) {
        core_waker_enter(wait->waker, 0);
    }
    return woken;
}

void publisher_wait_until(struct publisher_wait *wait, uint64_t due_ns)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    assert_always(wait->waker != NULL);
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    if (wait_ns < PUBLISHER_WAIT_SPIN_NS) {
        /* One feed keeps the thread awake; the descriptor of another is to be seen nevertheless. */
        if (core_waker_watch(wait->waker)->armed_count > 0) {
            core_waker_enter(wait->waker, 0);
        }
        while (clock_ns(CLOCK_MONOTONIC) < due_ns) {
            cpu_relax();
        }
        return;
    }
    core_waker_enter(wait->waker,
                     wait_ns < PUBLISHER_WAIT_NS_MAX ? wait_ns : PUBLISHER_WAIT_NS_MAX);
}

struct core_watch *publisher_wait_watch(struct publisher_wait *wait)
{
    assert_always(wait->is_inline ? wait->core_count > 0 : wait->waker != NULL);
    return wait->is_inline ? core_watch_of(wait->cores[0]) : core_waker_watch(wait->waker);
}
