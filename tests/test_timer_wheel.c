/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>

#include "codec/base/units.h"
#include "ring/io/timer_wheel.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define SLOT_NS (UINT64_C(1) << TIMER_WHEEL_SHIFT)
#define TURN_NS (SLOT_NS * TIMER_WHEEL_SLOTS)
#define START_NS (12345 * NS_PER_SECOND + 678)
#define TIMERS 200

struct plan {
    struct timer_wheel wheel;
    struct timer timers[TIMERS];
    uint32_t fired[TIMERS];
    uint64_t expected_ns[TIMERS]; /* The reference: UINT64_MAX while disarmed. */
    uint64_t armed_ns[TIMERS];
    uint64_t now_ns;
    uint32_t early;
    uint64_t again_ns; /* The callback arms the timer again, so much later; 0: does not. */
    struct timer *disarm;
};

static int set_up(void **state)
{
    struct plan *plan = calloc(1, sizeof *plan);
    plan->now_ns = START_NS;
    timer_wheel_init(&plan->wheel, START_NS, plan->timers, sizeof *plan->timers);
    for (uint32_t i = 0; i < TIMERS; i++) {
        timer_init(&plan->timers[i]);
        plan->expected_ns[i] = UINT64_MAX;
    }
    *state = plan;
    return 0;
}

static int tear_down(void **state)
{
    free(*state);
    return 0;
}

static void arm(struct plan *plan, uint32_t i, uint64_t deadline_ns)
{
    timer_arm(&plan->wheel, i, deadline_ns);
    plan->expected_ns[i] = deadline_ns;
    plan->armed_ns[i] = plan->now_ns;
}

/* As owners do: one that is called before its deadline is armed again. That happens after a turn
 * only. */
static void on_timer(void *context, uint32_t i)
{
    struct plan *plan = context;
    if (plan->expected_ns[i] > plan->now_ns) {
        plan->early += plan->armed_ns[i] + TURN_NS - 2 * SLOT_NS > plan->now_ns;
        arm(plan, i, plan->expected_ns[i]);
        return;
    }
    plan->fired[i]++;
    plan->expected_ns[i] = UINT64_MAX;
    if (plan->disarm != NULL) {
        timer_disarm(&plan->wheel, (uint32_t)(plan->disarm - plan->timers));
    }
    if (plan->again_ns != 0) {
        arm(plan, i, plan->now_ns + plan->again_ns);
    }
}

static void advance(struct plan *plan, uint64_t now_ns)
{
    plan->now_ns = now_ns;
    timer_wheel_advance(&plan->wheel, now_ns, on_timer, plan);
}

/* Goes on in steps; returns when the first timer fired, 0: not before end_ns. */
static uint64_t first_fire(struct plan *plan, uint64_t step_ns, uint64_t end_ns)
{
    for (uint64_t now = plan->now_ns; now < end_ns; now += step_ns) {
        advance(plan, now);
        if (plan->fired[0] != 0) {
            return now;
        }
    }
    return 0;
}

static void a_timer_fires_within_two_slots_after_its_deadline_and_never_before(void **state)
{
    static const uint64_t delays[] = {
        0,
        1,
        NS_PER_MS,
        SLOT_NS - 1,
        SLOT_NS,
        SLOT_NS + 1,
        TURN_NS,
        3 * NS_PER_SECOND,
        TURN_NS - SLOT_NS,
        TURN_NS + 1,
        60 * NS_PER_SECOND,
    };
    struct plan *plan = *state;
    for (size_t i = 0; i < COUNT(delays); i++) {
        uint64_t deadline = plan->now_ns + delays[i];
        plan->fired[0] = 0;
        arm(plan, 0, deadline);
        uint64_t fired = first_fire(plan, NS_PER_MS / 3, deadline + NS_PER_SECOND);
        assert_in_range(fired, deadline, deadline + 2 * SLOT_NS);
        assert_int_equal(plan->fired[0], 1);
        assert_int_equal(plan->wheel.armed_count, 0);
    }
    assert_int_equal(plan->early, 0);
}

static void a_deadline_in_the_past_fires_at_the_next_slot(void **state)
{
    struct plan *plan = *state;
    arm(plan, 0, 0);
    assert_in_range(first_fire(plan, NS_PER_MS, START_NS + NS_PER_SECOND), START_NS,
                    START_NS + 2 * SLOT_NS);
}

static void a_disarmed_timer_does_not_fire_and_may_be_disarmed_twice(void **state)
{
    struct plan *plan = *state;
    arm(plan, 0, START_NS + NS_PER_MS);
    arm(plan, 1, START_NS + NS_PER_MS);
    assert_int_equal(plan->wheel.armed_count, 2);
    timer_disarm(&plan->wheel, 0);
    timer_disarm(&plan->wheel, 0);
    assert_int_equal(plan->wheel.armed_count, 1);
    advance(plan, START_NS + NS_PER_SECOND);
    assert_int_equal(plan->fired[0], 0);
    assert_int_equal(plan->fired[1], 1);
}

static void arming_again_moves_the_deadline(void **state)
{
    struct plan *plan = *state;
    arm(plan, 0, START_NS + NS_PER_MS);
    arm(plan, 0, START_NS + NS_PER_SECOND);
    assert_int_equal(plan->wheel.armed_count, 1);
    uint64_t fired = first_fire(plan, NS_PER_MS, START_NS + 2 * NS_PER_SECOND);
    assert_in_range(fired, START_NS + NS_PER_SECOND, START_NS + NS_PER_SECOND + 2 * SLOT_NS);
}

static void a_callback_may_disarm_another_timer_of_its_slot(void **state)
{
    struct plan *plan = *state;
    for (uint32_t i = 0; i < 3; i++) {
        arm(plan, i, START_NS + NS_PER_MS);
    }
    plan->disarm = &plan->timers[2];
    advance(plan, START_NS + NS_PER_SECOND);
    assert_int_equal(plan->fired[0], 1);
    assert_int_equal(plan->fired[1], 1);
    assert_int_equal(plan->fired[2], 0);
    assert_int_equal(plan->wheel.armed_count, 0);
}

static void a_timer_that_its_callback_arms_again_keeps_its_beat(void **state)
{
    struct plan *plan = *state;
    plan->again_ns = 50 * NS_PER_MS;
    arm(plan, 0, START_NS + plan->again_ns);
    for (uint64_t now = START_NS; now < START_NS + 10 * NS_PER_SECOND; now += NS_PER_MS) {
        advance(plan, now);
    }
    /* A beat is up to two slots longer than asked for. */
    assert_in_range(plan->fired[0], 10000 / (50 + 18), 200);
    assert_int_equal(plan->early, 0);
}

static void after_a_long_sleep_all_that_is_due_fires_at_once(void **state)
{
    struct plan *plan = *state;
    for (uint32_t i = 0; i < TIMERS; i++) {
        arm(plan, i, START_NS + i * 100 * NS_PER_MS);
    }
    advance(plan, START_NS + 15 * NS_PER_SECOND);
    for (uint32_t i = 0; i < TIMERS; i++) {
        if (i != 150) { /* It is due this very moment: now, or at the next slot. */
            assert_int_equal(plan->fired[i], i < 150);
        }
    }
}

static void a_timer_armed_during_a_long_sleeps_advance_is_in_time(void **state)
{
    struct plan *plan = *state;
    uint64_t woken = START_NS + 100 * NS_PER_SECOND;
    /* One that is due and armed again, and one that waits and is put on again. */
    arm(plan, 0, START_NS + NS_PER_MS);
    arm(plan, 1, woken + 30 * NS_PER_MS);
    plan->again_ns = 20 * NS_PER_MS;
    advance(plan, woken);
    assert_int_equal(plan->fired[0], 1);
    plan->again_ns = 0;
    plan->fired[0] = 0;
    assert_in_range(first_fire(plan, NS_PER_MS, woken + 10 * NS_PER_SECOND), woken + 20 * NS_PER_MS,
                    woken + 20 * NS_PER_MS + 2 * SLOT_NS);
    advance(plan, woken + 30 * NS_PER_MS + 2 * SLOT_NS);
    assert_int_equal(plan->fired[1], 1);
}

static void next_ns_never_oversleeps_a_deadline_by_more_than_a_slot(void **state)
{
    struct plan *plan = *state;
    assert_int_equal(timer_wheel_next_ns(&plan->wheel), UINT64_MAX);
    for (uint64_t delay = 0; delay < 3 * TURN_NS; delay += SLOT_NS / 3) {
        uint64_t deadline = plan->now_ns + delay;
        uint32_t wakes = 0;
        arm(plan, 0, deadline);
        plan->fired[0] = 0;
        while (plan->fired[0] == 0) {
            uint64_t next = timer_wheel_next_ns(&plan->wheel);
            assert_in_range(next, 0, deadline + 2 * SLOT_NS);
            advance(plan, next > plan->now_ns ? next : plan->now_ns);
            wakes++;
        }
        assert_in_range(plan->now_ns, deadline, deadline + 2 * SLOT_NS);
        assert_in_range(wakes, 1, 2 + delay / (TURN_NS - 2 * SLOT_NS));
    }
    assert_int_equal(timer_wheel_next_ns(&plan->wheel), UINT64_MAX);
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void random_timers_fire_as_in_a_plain_list_of_deadlines(void **state)
{
    struct plan *plan = *state;
    uint64_t seed = 20260101;
    for (uint32_t round = 0; round < 100000; round++) {
        uint32_t i = (uint32_t)(next_random(&seed) % TIMERS);
        uint64_t action = next_random(&seed) % 8;
        if (action < 4) {
            uint64_t reach = action == 0 ? 10 * NS_PER_SECOND : NS_PER_SECOND / 4;
            arm(plan, i, plan->now_ns + next_random(&seed) % reach);
        } else if (action == 4) {
            timer_disarm(&plan->wheel, i);
            plan->expected_ns[i] = UINT64_MAX;
        } else {
            uint64_t reach = round % 1000 == 0 ? 20 * NS_PER_SECOND : 15 * NS_PER_MS;
            advance(plan, plan->now_ns + next_random(&seed) % reach);
        }
        uint64_t armed = 0;
        uint64_t earliest = UINT64_MAX;
        for (uint32_t at = 0; at < TIMERS; at++) {
            armed += plan->expected_ns[at] != UINT64_MAX;
            earliest = plan->expected_ns[at] < earliest ? plan->expected_ns[at] : earliest;
        }
        /* None may be overdue by more than the two slots. */
        if (action > 4 && earliest != UINT64_MAX && earliest + 2 * SLOT_NS < plan->now_ns) {
            fail_msg("round %u: overdue by %llu ns", round,
                     (unsigned long long)(plan->now_ns - earliest));
        }
        assert_int_equal(plan->wheel.armed_count, armed);
    }
    assert_int_equal(plan->early, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_timer_fires_within_two_slots_after_its_deadline_and_never_before),
        TEST(a_deadline_in_the_past_fires_at_the_next_slot),
        TEST(a_disarmed_timer_does_not_fire_and_may_be_disarmed_twice),
        TEST(arming_again_moves_the_deadline),
        TEST(a_callback_may_disarm_another_timer_of_its_slot),
        TEST(a_timer_that_its_callback_arms_again_keeps_its_beat),
        TEST(after_a_long_sleep_all_that_is_due_fires_at_once),
        TEST(a_timer_armed_during_a_long_sleeps_advance_is_in_time),
        TEST(next_ns_never_oversleeps_a_deadline_by_more_than_a_slot),
        TEST(random_timers_fire_as_in_a_plain_list_of_deadlines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
