#include "ring/board/frame_log_pins.h"

#include <sched.h>
#include <time.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/cpu.h"
#include "codec/base/probes.h"

#define FRAME_LOG_SPINS 64               /* between two looks at the clock */
#define FRAME_LOG_NAP_AFTER_NS NS_PER_MS /* A reader inside submit is out sooner. */
#define FRAME_LOG_NAP_NS (100 * NS_PER_US)

/* Nothing bounds how long a reader's thread may be stopped, and to overwrite what it pins would
 * tear frames. So the wait has no end of its own, but it is counted, reported, and leaves the CPU
 * to others. */
struct frame_log_wait {
    const struct frame_log_watch *watch;
    uint32_t reader;
    uint64_t began_ns;
    uint64_t counted_ns; /* up to when it is counted */
    uint64_t report_ns;  /* when it is reported next */
};

static uint64_t frame_log_pins_count_wait(struct frame_log_wait *wait)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    if (wait->watch->waited_ns != NULL) {
        counter_add(wait->watch->waited_ns, now_ns - wait->counted_ns);
    }
    wait->counted_ns = now_ns;
    return now_ns - wait->began_ns;
}

static void frame_log_pins_rest(struct frame_log_wait *wait)
{
    const struct timespec nap = {.tv_nsec = FRAME_LOG_NAP_NS};
    uint64_t waited_ns = frame_log_pins_count_wait(wait);
    if (waited_ns < FRAME_LOG_NAP_AFTER_NS) {
        sched_yield(); /* The reader's CPU may have been taken away inside submit. */
        return;
    }
    if (waited_ns >= wait->report_ns && wait->watch->on_stuck != NULL) {
        wait->watch->on_stuck(wait->watch->context, wait->reader, waited_ns, false);
        wait->report_ns = waited_ns + FRAME_LOG_STUCK_AGAIN_NS;
    }
    nanosleep(&nap, NULL);
}

static inline bool frame_log_pins_hold_back(const struct frame_log_pin *pin, uint64_t tail)
{
    return atomic_load_explicit(&pin->index, memory_order_acquire) < tail;
}

static void frame_log_pins_wait_for(const struct frame_log_pin *pin, struct frame_log_wait *wait,
                                    uint64_t tail)
{
    for (uint32_t spins = 1; frame_log_pins_hold_back(pin, tail); spins++) {
        if (spins % FRAME_LOG_SPINS == 0) {
            frame_log_pins_rest(wait);
        } else {
            cpu_relax();
        }
    }
    uint64_t waited_ns = frame_log_pins_count_wait(wait);
    PROBE2(log_wait, wait->reader, waited_ns);
    if (wait->report_ns > FRAME_LOG_STUCK_NS) {
        wait->watch->on_stuck(wait->watch->context, wait->reader, waited_ns, true);
    }
}

uint32_t frame_log_pins_wait(const struct frame_log_pin *pins, uint32_t reader_count,
                             const struct frame_log_watch *watch, uint64_t tail)
{
    uint32_t wait_count = 0;
    /* Pairs with the fence in frame_log_pin: either the reader sees the new tail, or we see its
     * pin. And a reader of bytes that are overwritten afterwards sees the new tail, too. */
    atomic_thread_fence(memory_order_seq_cst);
    for (uint32_t reader = 0; reader < reader_count; reader++) {
        if (frame_log_pins_hold_back(&pins[reader], tail)) {
            uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
            struct frame_log_wait wait = {
                .watch = watch,
                .reader = reader,
                .began_ns = now_ns,
                .counted_ns = now_ns,
                .report_ns = FRAME_LOG_STUCK_NS,
            };
            frame_log_pins_wait_for(&pins[reader], &wait, tail);
            wait_count++;
        }
    }
    return wait_count;
}
