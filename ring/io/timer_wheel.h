/*
 * timer_wheel: deadlines to a resolution of about 8 ms, any number of them at constant cost.
 *
 * A timer is named by its number, and does not know its deadline: its owner does. A timer that is
 * further away than one round of the wheel (2.1 s) is called back after that round, before its
 * deadline; its owner checks, and arms it again.
 *
 * Owner    A core. Threads: its own. Memory: the timers are inside their owners' structs, which are
 *          one array.
 * Units    CLOCK_MONOTONIC nanoseconds, given by the caller.
 */
#ifndef RINGCAST_RING_TIMER_WHEEL_H
#define RINGCAST_RING_TIMER_WHEEL_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMER_WHEEL_SHIFT 23 /* 2^23 ns a slot */
#define TIMER_WHEEL_SLOTS 256
#define TIMER_NONE UINT32_MAX

/* Numbers of its neighbours in its slot, a ring that the slot is part of. */
struct timer {
    uint32_t next; /* TIMER_NONE: it is not armed */
    uint32_t prev;
};
static_assert(sizeof(struct timer) == 8, "counted per connection");

struct timer_wheel {
    char *timers;  /* that of number 0; the next ones follow, */
    size_t stride; /* so far apart */
    uint64_t tick; /* Slots before it have been seen. */
    uint64_t armed_count;
    struct timer slots[TIMER_WHEEL_SLOTS + 1]; /* the last one: of those that are being run */
};

/* timers: of number 0. */
void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns, struct timer *timers,
                      size_t stride);
void timer_init(struct timer *timer);

static inline bool timer_is_armed(const struct timer *timer)
{
    return timer->next != TIMER_NONE;
}

/* Calls back at the first advance after deadline_ns, or after a turn; moves an armed timer. */
void timer_arm(struct timer_wheel *wheel, uint32_t number, uint64_t deadline_ns);
void timer_disarm(struct timer_wheel *wheel, uint32_t number);

/* Calls back for each timer whose slot has come, disarmed by then; it may arm and disarm any. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns,
                         void (*on_timer)(void *context, uint32_t number), void *context);

/* When advance has to be called next at the latest; UINT64_MAX: nothing is armed. */
uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel);

#endif
