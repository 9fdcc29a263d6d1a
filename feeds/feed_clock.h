/*
 * feed_clock: tells a step of the wall clock from the passing of time.
 *
 * A feed that works by a schedule would freeze when CLOCK_REALTIME is set back, and pour out
 * everything at once when it is set forward. It asks here at each poll and moves its schedule
 * by the answer.
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

/* Called as a poll begins: 0, or by how much the schedule is to be moved. */
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

/* Called as a poll ends, with what it is about to return. */
static inline uint64_t feed_clock_sleep(struct feed_clock *clock, uint64_t wake_ns)
{
    clock->wake_ns = wake_ns > clock->now_ns ? wake_ns : clock->now_ns;
    return wake_ns;
}

#endif
