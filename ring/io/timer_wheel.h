/*
 * timer_wheel: deadlines to a resolution of about 8 ms, any number of them at constant cost.
 *
 * Owner    A core. Threads: its own. Memory: the timers are inside their owners' structs.
 * Units    CLOCK_MONOTONIC nanoseconds, given by the caller.
 */
#ifndef RINGCAST_RING_TIMER_WHEEL_H
#define RINGCAST_RING_TIMER_WHEEL_H

#include <stdint.h>

#include "codec/base/list.h"

#define TIMER_WHEEL_SHIFT 23 /* 2^23 ns a slot */
#define TIMER_WHEEL_SLOTS 256

struct timer {
    struct list_link slot_link; /* In a slot while armed, otherwise self-linked. */
    uint64_t deadline_ns;
};

struct timer_wheel {
    struct list_link slots[TIMER_WHEEL_SLOTS];
    uint64_t tick; /* Slots before it have been seen. */
    uint64_t armed_count;
};

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns);
void timer_init(struct timer *timer);

/* Fires at the first advance after deadline_ns; moves an armed timer. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns);
void timer_disarm(struct timer_wheel *wheel, struct timer *timer);

/* Calls back for each timer that is due, disarmed by then; it may arm and disarm any. */
void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns,
                         void (*on_timer)(void *context, struct timer *timer), void *context);

/* When advance has to be called next at the latest; UINT64_MAX: nothing is armed. */
uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel);

#endif
