#include "ring/io/timer_wheel.h"

#include <stddef.h>

#include "codec/base/check.h"

static struct list_link *timer_wheel_slot(struct timer_wheel *wheel, uint64_t tick)
{
    return &wheel->slots[tick % TIMER_WHEEL_SLOTS];
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns)
{
    for (uint32_t slot = 0; slot < TIMER_WHEEL_SLOTS; slot++) {
        list_init(&wheel->slots[slot]);
    }
    wheel->tick = now_ns >> TIMER_WHEEL_SHIFT;
    wheel->armed_count = 0;
}

void timer_init(struct timer *timer)
{
    list_init(&timer->slot_link);
    timer->deadline_ns = UINT64_MAX;
}

/* A timer beyond the wheel's turn lies in its last slot and is put on again from there. */
void timer_arm(struct timer_wheel *wheel, struct timer *timer, uint64_t deadline_ns)
{
    timer_disarm(wheel, timer);
    uint64_t tick = (deadline_ns >> TIMER_WHEEL_SHIFT) + 1;
    if (tick < wheel->tick) {
        tick = wheel->tick;
    }
    if (tick >= wheel->tick + TIMER_WHEEL_SLOTS) {
        tick = wheel->tick + TIMER_WHEEL_SLOTS - 1;
    }
    timer->deadline_ns = deadline_ns;
    list_append(timer_wheel_slot(wheel, tick), &timer->slot_link);
    wheel->armed_count++;
}

void timer_disarm(struct timer_wheel *wheel, struct timer *timer)
{
    if (!list_empty(&timer->slot_link)) {
        assert_always(wheel->armed_count > 0);
        list_remove(&timer->slot_link);
        wheel->armed_count--;
    }
}

static void timer_wheel_run_slot(struct timer_wheel *wheel, struct list_link *slot, uint64_t now_ns,
                                 void (*on_timer)(void *context, struct timer *timer),
                                 void *context)
{
    struct list_link due;
    list_init(&due);
    while (!list_empty(slot)) {
        struct list_link *link = slot->next;
        list_remove(link);
        list_append(&due, link);
    }
    while (!list_empty(&due)) {
        struct timer *timer = container_of(due.next, struct timer, slot_link);
        timer_disarm(wheel, timer);
        if (timer->deadline_ns <= now_ns) {
            on_timer(context, timer);
        } else {
            timer_arm(wheel, timer, timer->deadline_ns);
        }
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns,
                         void (*on_timer)(void *context, struct timer *timer), void *context)
{
    uint64_t now_tick = now_ns >> TIMER_WHEEL_SHIFT;
    assert_debug(now_tick + 1 >= wheel->tick); /* Time does not go back. */
    /* After a long sleep the last turn sees every slot; what is armed meanwhile lies after it. */
    if (wheel->tick + TIMER_WHEEL_SLOTS <= now_tick) {
        wheel->tick = now_tick - TIMER_WHEEL_SLOTS + 1;
    }
    while (wheel->tick <= now_tick) {
        uint64_t tick = wheel->tick++;
        timer_wheel_run_slot(wheel, timer_wheel_slot(wheel, tick), now_ns, on_timer, context);
    }
}

uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel)
{
    if (wheel->armed_count == 0) {
        return UINT64_MAX;
    }
    uint64_t tick = wheel->tick;
    while (list_empty(&wheel->slots[tick % TIMER_WHEEL_SLOTS])) {
        tick++;
        assert_always(tick < wheel->tick + TIMER_WHEEL_SLOTS); /* An armed timer is in a slot. */
    }
    return tick << TIMER_WHEEL_SHIFT;
}
