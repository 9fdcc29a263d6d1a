/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>

#include "codec/base/units.h"
#include "ring/timer_wheel.h"

#define TIMERS 500
#define STEPS 20000
#define LATENESS_NS (2ull << TIMER_WHEEL_SHIFT)

static uint64_t now_ns;
static uint32_t fired_count;
static struct timer *fired_last;
static struct timer_wheel wheel;

static void on_timer(void *context, struct timer *timer)
{
    (void)context;
    assert_true(timer->deadline_ns <= now_ns);
    fired_count++;
    fired_last = timer;
}

static void advance(uint64_t to_ns)
{
    now_ns = to_ns;
    timer_wheel_advance(&wheel, now_ns, on_timer, NULL);
}

static int set_up(void **state)
{
    (void)state;
    now_ns = 1234567890123;
    fired_count = 0;
    timer_wheel_init(&wheel, now_ns);
    return 0;
}

static void a_timer_fires_after_its_deadline_and_never_before(void **state)
{
    (void)state;
    struct timer timer;
    timer_init(&timer);
    uint64_t deadline = now_ns + 100 * NS_PER_MS;
    timer_arm(&wheel, &timer, deadline);
    advance(deadline - 1);
    assert_int_equal(fired_count, 0);
    advance(deadline + LATENESS_NS);
    assert_int_equal(fired_count, 1);
    advance(deadline + NS_PER_SECOND);
    assert_int_equal(fired_count, 1);
}

static void a_deadline_beyond_one_turn_of_the_wheel_is_kept(void **state)
{
    (void)state;
    struct timer timer;
    timer_init(&timer);
    uint64_t deadline = now_ns + 300 * NS_PER_SECOND;
    timer_arm(&wheel, &timer, deadline);
    while (now_ns < deadline - NS_PER_SECOND) {
        advance(now_ns + 50 * NS_PER_MS);
    }
    assert_int_equal(fired_count, 0);
    advance(deadline + LATENESS_NS);
    assert_int_equal(fired_count, 1);
}

static void a_disarmed_timer_does_not_fire(void **state)
{
    (void)state;
    struct timer timer;
    timer_init(&timer);
    timer_arm(&wheel, &timer, now_ns + NS_PER_MS);
    timer_disarm(&wheel, &timer);
    timer_disarm(&wheel, &timer);
    assert_int_equal(wheel.armed_count, 0);
    advance(now_ns + NS_PER_SECOND);
    assert_int_equal(fired_count, 0);
    assert_true(timer_wheel_next_ns(&wheel) == UINT64_MAX);
}

static void arming_again_moves_a_timer(void **state)
{
    (void)state;
    struct timer timer;
    timer_init(&timer);
    uint64_t began = now_ns;
    timer_arm(&wheel, &timer, began + NS_PER_MS);
    timer_arm(&wheel, &timer, began + NS_PER_SECOND);
    advance(began + NS_PER_SECOND / 2);
    assert_int_equal(fired_count, 0);
    advance(began + NS_PER_SECOND + LATENESS_NS);
    assert_int_equal(fired_count, 1);
}

static void after_a_long_sleep_all_that_is_due_fires_at_once(void **state)
{
    (void)state;
    static struct timer timers[TIMERS];
    for (uint32_t i = 0; i < TIMERS; i++) {
        timer_init(&timers[i]);
        timer_arm(&wheel, &timers[i], now_ns + (uint64_t)i * 100 * NS_PER_MS);
    }
    advance(now_ns + 3600 * NS_PER_SECOND);
    assert_int_equal(fired_count, TIMERS);
}

static void next_is_never_later_than_the_first_deadline_needs(void **state)
{
    (void)state;
    struct timer timer;
    timer_init(&timer);
    timer_arm(&wheel, &timer, now_ns + 40 * NS_PER_MS);
    uint64_t next = timer_wheel_next_ns(&wheel);
    assert_true(next >= now_ns + 40 * NS_PER_MS);
    assert_true(next <= now_ns + 40 * NS_PER_MS + LATENESS_NS);
    advance(next);
    assert_int_equal(fired_count, 1);
}

static void a_random_history_agrees_with_a_plain_list(void **state)
{
    (void)state;
    static struct timer timers[TIMERS];
    static uint64_t due[TIMERS]; /* 0: not armed */
    for (uint32_t i = 0; i < TIMERS; i++) {
        timer_init(&timers[i]);
        due[i] = 0;
    }
    srand(1);
    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = (uint32_t)rand() % TIMERS;
        if (rand() % 4 == 0) {
            timer_disarm(&wheel, &timers[i]);
            due[i] = 0;
        } else {
            due[i] = now_ns + (uint64_t)(rand() % 5000) * NS_PER_MS;
            timer_arm(&wheel, &timers[i], due[i]);
        }
        advance(now_ns + (uint64_t)(rand() % 20) * NS_PER_MS);
        for (uint32_t k = 0; k < TIMERS; k++) {
            bool armed = !list_empty(&timers[k].slot_link);
            assert_true(!armed || due[k] != 0);
            assert_true(!armed || due[k] + LATENESS_NS > now_ns);
            if (!armed) {
                assert_true(due[k] <= now_ns);
                due[k] = 0;
            }
        }
    }
    assert_true(fired_count > STEPS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_timer_fires_after_its_deadline_and_never_before, set_up),
        cmocka_unit_test_setup(a_deadline_beyond_one_turn_of_the_wheel_is_kept, set_up),
        cmocka_unit_test_setup(a_disarmed_timer_does_not_fire, set_up),
        cmocka_unit_test_setup(arming_again_moves_a_timer, set_up),
        cmocka_unit_test_setup(after_a_long_sleep_all_that_is_due_fires_at_once, set_up),
        cmocka_unit_test_setup(next_is_never_later_than_the_first_deadline_needs, set_up),
        cmocka_unit_test_setup(a_random_history_agrees_with_a_plain_list, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
