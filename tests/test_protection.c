#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/guard/protection.h"

#include "codec/base/units.h"

#define PURGE_NS (60 * NS_PER_SECOND)

static struct protection protection;
static struct protection_reading readings[PROTECTION_RULES];
static uint64_t now_ns;

static int set_up(void **state)
{
    (void)state;
    protection = (struct protection){0};
    for (int i = 0; i < PROTECTION_RULES; i++) {
        readings[i] = (struct protection_reading){.value = 0, .limit = 100};
    }
    now_ns = 1000 * NS_PER_SECOND;
    return 0;
}

/* A second later, with this value of a rule. */
static struct protection_orders tick(enum protection_rule rule, double value)
{
    now_ns += NS_PER_SECOND;
    readings[rule].value = value;
    return protection_tick(&protection, readings, PURGE_NS, now_ns);
}

static bool is_active(enum protection_rule rule)
{
    return protection.states[rule].is_active;
}

static void nothing_is_ordered_below_the_limits(void **state)
{
    (void)state;
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        struct protection_orders orders = tick(rule, 99.9);
        assert_null(orders.refusal);
        assert_false(orders.reaps);
        assert_false(orders.purges);
    }
}

static void a_rule_without_a_limit_is_off(void **state)
{
    (void)state;
    for (enum protection_rule rule = 0; rule < PROTECTION_RULES; rule++) {
        readings[rule].limit = 0;
        assert_null(tick(rule, 1e9).refusal);
        assert_false(is_active(rule));
    }
}

/* S41, S100: the soft watermark purges, and again when its cool-down is over. */
static void the_soft_watermark_purges_once_a_cool_down(void **state)
{
    (void)state;
    uint32_t purge_count = 0;
    for (int second = 0; second < 181; second++) {
        struct protection_orders orders = tick(PROTECTION_MEMORY_SOFT, 100);
        assert_null(orders.refusal);
        purge_count += orders.purges;
    }
    assert_int_equal(purge_count, 4); /* in the seconds 0, 60, 120 and 180 */
    assert_int_equal(protection.states[PROTECTION_MEMORY_SOFT].action_count, 4);
}

/* S41, S90: the hard watermark refuses until memory is 5 % below. */
static void the_hard_watermark_refuses_until_memory_is_well_below(void **state)
{
    (void)state;
    struct protection_orders orders = tick(PROTECTION_MEMORY_HARD, 100);
    assert_non_null(orders.refusal);
    assert_true(orders.purges);
    orders = tick(PROTECTION_MEMORY_HARD, 95);
    assert_non_null(orders.refusal);
    assert_false(orders.purges);
    assert_null(tick(PROTECTION_MEMORY_HARD, 94.9).refusal);
    assert_null(tick(PROTECTION_MEMORY_HARD, 99).refusal);
    assert_non_null(tick(PROTECTION_MEMORY_HARD, 101).refusal);
    assert_int_equal(protection.states[PROTECTION_MEMORY_HARD].action_count, 2);
}

static void a_limit_that_is_removed_ends_its_rule(void **state)
{
    (void)state;
    assert_non_null(tick(PROTECTION_MEMORY_HARD, 100).refusal);
    readings[PROTECTION_MEMORY_HARD].limit = 0;
    assert_null(tick(PROTECTION_MEMORY_HARD, 100).refusal);
    assert_false(is_active(PROTECTION_MEMORY_HARD));
}

static void a_lag_of_a_moment_refuses_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 10; i++) {
        assert_null(tick(PROTECTION_LAG, 100).refusal);
        assert_null(tick(PROTECTION_LAG, 100).refusal);
        assert_null(tick(PROTECTION_LAG, 99).refusal);
    }
    for (int i = 0; i < PROTECTION_LAG_TICKS - 1; i++) {
        assert_null(tick(PROTECTION_LAG, 100).refusal);
    }
    assert_non_null(tick(PROTECTION_LAG, 100).refusal);
    assert_non_null(tick(PROTECTION_LAG, 74).refusal);
    assert_null(tick(PROTECTION_LAG, 73).refusal);
}

/* S90, S91: from 90 % of all connections on until they are below 80 %. */
static void idle_clients_are_reaped_from_90_percent_down_to_80(void **state)
{
    (void)state;
    readings[PROTECTION_CONNECTIONS].limit = 90;
    assert_false(tick(PROTECTION_CONNECTIONS, 89).reaps);
    assert_true(tick(PROTECTION_CONNECTIONS, 90).reaps);
    assert_true(tick(PROTECTION_CONNECTIONS, 80.1).reaps);
    assert_false(tick(PROTECTION_CONNECTIONS, 79.9).reaps);
    assert_false(tick(PROTECTION_CONNECTIONS, 89).reaps);
}

static void of_several_refusals_one_is_given(void **state)
{
    (void)state;
    tick(PROTECTION_DESCRIPTORS, 100);
    struct protection_orders orders = tick(PROTECTION_MEMORY_HARD, 100);
    assert_non_null(orders.refusal);
    assert_non_null(tick(PROTECTION_MEMORY_HARD, 1).refusal);
    assert_null(tick(PROTECTION_DESCRIPTORS, 1).refusal);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_ordered_below_the_limits),
        TEST(a_rule_without_a_limit_is_off),
        TEST(the_soft_watermark_purges_once_a_cool_down),
        TEST(the_hard_watermark_refuses_until_memory_is_well_below),
        TEST(a_limit_that_is_removed_ends_its_rule),
        TEST(a_lag_of_a_moment_refuses_nobody),
        TEST(idle_clients_are_reaped_from_90_percent_down_to_80),
        TEST(of_several_refusals_one_is_given),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
