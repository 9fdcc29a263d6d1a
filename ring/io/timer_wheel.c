#include "ring/io/timer_wheel.h"

#include "codec/base/check.h"

/* Slots have numbers, too: the highest ones. */
#define TIMER_WHEEL_FIRST_SLOT (TIMER_NONE - TIMER_WHEEL_SLOTS - 1)
#define TIMER_WHEEL_RUNNING TIMER_WHEEL_SLOTS

static uint32_t timer_wheel_slot(uint64_t slot)
{
    return TIMER_WHEEL_FIRST_SLOT + (uint32_t)slot;
}

static struct timer *timer_wheel_timer(const struct timer_wheel *wheel, uint32_t number)
{
    assert_debug(number < TIMER_WHEEL_FIRST_SLOT);
    return (struct timer *)(void *)(wheel->timers + number * wheel->stride);
}

/* A timer's neighbour: a timer, or the slot. */
static struct timer *timer_wheel_neighbour(struct timer_wheel *wheel, uint32_t number)
{
    assert_debug(number != TIMER_NONE);
    return number >= TIMER_WHEEL_FIRST_SLOT ? &wheel->slots[number - TIMER_WHEEL_FIRST_SLOT]
                                            : timer_wheel_timer(wheel, number);
}

static bool timer_wheel_is_empty(const struct timer_wheel *wheel, uint64_t slot)
{
    return wheel->slots[slot].next == timer_wheel_slot(slot);
}

void timer_wheel_init(struct timer_wheel *wheel, uint64_t now_ns, struct timer *timers,
                      size_t stride)
{
    assert_always(stride >= sizeof(struct timer));
    *wheel = (struct timer_wheel){
        .timers = (char *)timers,
        .stride = stride,
        .tick = now_ns >> TIMER_WHEEL_SHIFT,
    };
    for (uint32_t slot = 0; slot <= TIMER_WHEEL_SLOTS; slot++) {
        wheel->slots[slot].next = timer_wheel_slot(slot);
        wheel->slots[slot].prev = timer_wheel_slot(slot);
    }
}

void timer_init(struct timer *timer)
{
    *timer = (struct timer){.next = TIMER_NONE, .prev = TIMER_NONE};
}

/* As the last one of a slot. */
static void timer_wheel_append(struct timer_wheel *wheel, uint64_t slot, uint32_t number)
{
    struct timer *head = &wheel->slots[slot];
    struct timer *timer = timer_wheel_timer(wheel, number);
    *timer = (struct timer){.next = timer_wheel_slot(slot), .prev = head->prev};
    timer_wheel_neighbour(wheel, head->prev)->next = number;
    head->prev = number;
}

static void timer_wheel_remove(struct timer_wheel *wheel, struct timer *timer)
{
    timer_wheel_neighbour(wheel, timer->prev)->next = timer->next;
    timer_wheel_neighbour(wheel, timer->next)->prev = timer->prev;
    timer_init(timer);
}

void timer_arm(struct timer_wheel *wheel, uint32_t number, uint64_t deadline_ns)
{
    assert_always(number < TIMER_WHEEL_FIRST_SLOT);
    timer_disarm(wheel, number);
    uint64_t tick = (deadline_ns >> TIMER_WHEEL_SHIFT) + 1;
    if (tick < wheel->tick) {
        tick = wheel->tick;
    }
    if (tick >= wheel->tick + TIMER_WHEEL_SLOTS) {
        tick = wheel->tick + TIMER_WHEEL_SLOTS - 1;
    }
    timer_wheel_append(wheel, tick % TIMER_WHEEL_SLOTS, number);
    wheel->armed_count++;
}

void timer_disarm(struct timer_wheel *wheel, uint32_t number)
{
    struct timer *timer = timer_wheel_timer(wheel, number);
    if (timer_is_armed(timer)) {
        assert_always(wheel->armed_count > 0);
        timer_wheel_remove(wheel, timer);
        wheel->armed_count--;
    }
}

static void timer_wheel_run_slot(struct timer_wheel *wheel, uint64_t slot,
                                 void (*on_timer)(void *context, uint32_t number), void *context)
{
    struct timer *head = &wheel->slots[slot];
    const struct timer *due = &wheel->slots[TIMER_WHEEL_RUNNING];
    assert_debug(timer_wheel_is_empty(wheel, TIMER_WHEEL_RUNNING));
    while (!timer_wheel_is_empty(wheel, slot)) {
        uint32_t number = head->next;
        timer_wheel_remove(wheel, timer_wheel_timer(wheel, number));
        timer_wheel_append(wheel, TIMER_WHEEL_RUNNING, number);
    }
    while (!timer_wheel_is_empty(wheel, TIMER_WHEEL_RUNNING)) {
        uint32_t number = due->next;
        timer_disarm(wheel, number);
        on_timer(context, number);
    }
}

void timer_wheel_advance(struct timer_wheel *wheel, uint64_t now_ns,
                         void (*on_timer)(void *context, uint32_t number), void *context)
{
    uint64_t now_tick = now_ns >> TIMER_WHEEL_SHIFT;
    assert_debug(now_tick + 1 >= wheel->tick); /* Time does not go back. */
    /* After a long sleep the last turn sees every slot; what is armed meanwhile lies after it. */
    if (wheel->tick + TIMER_WHEEL_SLOTS <= now_tick) {
        wheel->tick = now_tick - TIMER_WHEEL_SLOTS + 1;
    }
    while (wheel->tick <= now_tick) {
        uint64_t tick = wheel->tick++;
        timer_wheel_run_slot(wheel, tick % TIMER_WHEEL_SLOTS, on_timer, context);
    }
}

uint64_t timer_wheel_next_ns(const struct timer_wheel *wheel)
{
    if (wheel->armed_count == 0) {
        return UINT64_MAX;
    }
    uint64_t tick = wheel->tick;
    while (timer_wheel_is_empty(wheel, tick % TIMER_WHEEL_SLOTS)) {
        tick++;
        assert_always(tick < wheel->tick + TIMER_WHEEL_SLOTS); /* An armed timer is in a slot. */
    }
    return tick << TIMER_WHEEL_SHIFT;
}
