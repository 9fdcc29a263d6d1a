/*
 * feed_clock: distinguishes a clock that was set from time that passes.
 *
 * A feed that works by a schedule would stop when CLOCK_REALTIME is set back, and publish
 * everything at once when it is set forward. So it calls feed_clock at each poll, and moves its
 * schedule by the result.
 *
 * Owner    A feed embeds one. Threads: the feed's.
 * Units    Nanoseconds of CLOCK_REALTIME.
 */
#ifndef RINGCAST_FEEDS_FEED_CLOCK_H
#define RINGCAST_FEEDS_FEED_CLOCK_H

#include <stdint.h>

#include "codec/base/units.h"

/* A smaller step is made up for (forward) or waited for (backward). */
#define FEED_CLOCK_STEP_NS_MAX (10 * NS_PER_SECOND)

struct feed_clock {
    uint64_t now_ns;  /* of the last poll */
    uint64_t wake_ns; /* when that poll asked for the next, but never earlier than itself */
};

static inline void feed_clock_init(struct feed_clock *clock, uint64_t now_ns)
{
    clock->now_ns = now_ns;
    clock->wake_ns = now_ns;
}

/* Call it when a poll begins. Returns 0, or the time by which to move the schedule. */
static inline int64_t feed_clock_step(struct feed_clock *clock, uint64_t now_ns)
{
    int64_t step_ns = 0;
    if (now_ns > clock->wake_ns && now_ns - clock->wake_ns > FEED_CLOCK_STEP_NS_MAX) {
        step_ns = (int64_t)(now_ns - clock->wake_ns);
    } else if (now_ns < clock->now_ns && clock->now_ns - now_ns > FEED_CLOCK_STEP_NS_MAX) {
        step_ns = -(int64_t)(clock->now_ns - now_ns);
    }
    clock->now_ns = now_ns;
    return step_ns;
}

/* Call it when a poll ends, with the value that poll returns. */
static inline uint64_t feed_clock_sleep(struct feed_clock *clock, uint64_t wake_ns)
{
    clock->wake_ns = wake_ns > clock->now_ns ? wake_ns : clock->now_ns;
    return wake_ns;
}

#endif
