/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "codec/base/units.h"
#include "ring/link/stamp.h"

#define COUNT(array) (sizeof(array) / sizeof(array)[0])
#define DAY_NS (86400 * NS_PER_SECOND)
#define ROUND_NS (STAMP_NS << 32) /* after which 32 bits of stamps come round */

/* Clocks: at a start, around each place where a bit of what is kept changes, after years. */
static const uint64_t clocks[] = {
    0,
    1,
    STAMP_NS - 1,
    STAMP_NS,
    ROUND_NS / 2 - 1,
    ROUND_NS / 2,
    ROUND_NS / 2 + 12345,
    ROUND_NS - DAY_NS,
    ROUND_NS - NS_PER_SECOND,
    ROUND_NS - 1,
    ROUND_NS,
    ROUND_NS + 1,
    7 * ROUND_NS - 1,
    70 * ROUND_NS - 30 * NS_PER_SECOND,
    3000 * ROUND_NS + 987654321,
};

/* Up to those of a deadline. */
static const uint64_t spans[] = {
    0,
    1,
    STAMP_NS - 1,
    STAMP_NS,
    10 * NS_PER_MS,
    NS_PER_SECOND,
    2 * NS_PER_SECOND + 7,
    3600 * NS_PER_SECOND,
    4 * DAY_NS,
    22 * DAY_NS,
};

static void a_deadline_is_due_within_a_stamp_and_never_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        for (size_t j = 0; j < COUNT(spans); j++) {
            uint64_t end_ns = clocks[i] + spans[j];
            uint32_t deadline = stamp_in(clocks[i], spans[j]);
            assert_true(end_ns == 0 || !stamp_is_due(deadline, end_ns - 1));
            assert_true(stamp_is_due(deadline, end_ns + STAMP_NS));
            assert_in_range(stamp_deadline_ns(deadline, clocks[i]), end_ns, end_ns + STAMP_NS - 1);
            /* Nobody looked for as long as a deadline may be away. */
            assert_true(stamp_is_due(deadline, end_ns + 22 * DAY_NS));
        }
    }
}

static void a_deadline_has_the_same_moment_from_everywhere(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        uint32_t deadline = stamp_in(clocks[i], 22 * DAY_NS);
        uint64_t deadline_ns = stamp_deadline_ns(deadline, clocks[i]);
        for (uint64_t later_ns = 0; later_ns < 44 * DAY_NS; later_ns += DAY_NS / 3) {
            uint64_t now_ns = clocks[i] + later_ns;
            assert_int_equal(stamp_deadline_ns(deadline, now_ns), deadline_ns);
            assert_int_equal(stamp_is_due(deadline, now_ns), now_ns >= deadline_ns);
        }
    }
}

static void a_deadline_beyond_all_bounds_is_in_22_days(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        uint32_t deadline = stamp_in(clocks[i], UINT64_MAX);
        assert_false(stamp_is_due(deadline, clocks[i] + 22 * DAY_NS));
        assert_true(stamp_is_due(deadline, clocks[i] + 23 * DAY_NS));
    }
}

static void an_age_is_right_to_two_stamps_and_never_more_than_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(clocks); i++) {
        uint32_t past = (uint32_t)stamp_of(clocks[i]);
        for (size_t j = 0; j < COUNT(spans); j++) {
            uint64_t age_ns = stamp_age_ns(past, clocks[i] + spans[j]);
            assert_true(age_ns <= spans[j]);
            assert_true(age_ns + 2 * STAMP_NS > spans[j]);
        }
    }
}

/* A connection that says nothing for three years, and is looked at once an hour. */
static void what_is_kept_never_becomes_young_again(void **state)
{
    (void)state;
    uint64_t began_ns = ROUND_NS - 20 * DAY_NS;
    uint64_t last_ns = 0;
    uint32_t past = (uint32_t)stamp_of(began_ns);
    for (uint64_t now_ns = began_ns; now_ns < began_ns + 1100 * DAY_NS;
         now_ns += 3600 * NS_PER_SECOND) {
        uint64_t age_ns = stamp_age_ns(past, now_ns);
        assert_true(age_ns + 2 * STAMP_NS > now_ns - began_ns || age_ns > 45 * DAY_NS);
        assert_true(age_ns + STAMP_NS >= last_ns || age_ns > 45 * DAY_NS);
        last_ns = age_ns;
        past = stamp_keep(past, now_ns);
    }
    assert_in_range(last_ns, 45 * DAY_NS, 46 * DAY_NS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_deadline_is_due_within_a_stamp_and_never_before),
        cmocka_unit_test(a_deadline_has_the_same_moment_from_everywhere),
        cmocka_unit_test(a_deadline_beyond_all_bounds_is_in_22_days),
        cmocka_unit_test(an_age_is_right_to_two_stamps_and_never_more_than_it_is),
        cmocka_unit_test(what_is_kept_never_becomes_young_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
