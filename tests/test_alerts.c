#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "src/guard/alerts.h"

static struct alerts alerts;
static struct alert_reading readings[ALERT_RULES];
static int64_t wall_s;

static int set_up(void **state)
{
    (void)state;
    alerts = (struct alerts){0};
    for (int i = 0; i < ALERT_RULES; i++) {
        readings[i] = (struct alert_reading){.limit = 80, .what = "% of a test's thing"};
    }
    wall_s = 1000;
    return 0;
}

/* So many seconds with this value; returns the level. */
static enum alert_level tick(enum alert_rule rule, double value, int count)
{
    readings[rule].value = value;
    for (int i = 0; i < count; i++) {
        alerts_tick(&alerts, readings, ++wall_s);
    }
    return alerts.states[rule].level;
}

/* S89: a warning, once, when the number was over its limit three times in a row. */
static void an_alert_is_raised_by_three_ticks_in_a_row(void **state)
{
    (void)state;
    assert_int_equal(tick(ALERT_CPU, 81, 2), ALERT_NONE);
    assert_int_equal(tick(ALERT_CPU, 80, 1), ALERT_NONE);
    assert_int_equal(tick(ALERT_CPU, 81, 2), ALERT_NONE);
    assert_int_equal(tick(ALERT_CPU, 81, 1), ALERT_WARNING);
    assert_int_equal(tick(ALERT_CPU, 85, 100), ALERT_WARNING);
    assert_int_equal(alerts.event_count, 1);
    assert_int_equal(alerts.events[0].rule, ALERT_CPU);
    assert_int_equal(alerts.events[0].wall_s, 1006);
    assert_int_equal(alerts.states[ALERT_CPU].since_wall_s, 1006);
    assert_true(alerts.states[ALERT_CPU].limit == 80);
}

/* S92: CPU over 90 %, memory and disk over 95 % are critical; connections never. */
static void a_higher_level_is_raised_by_the_same_rule(void **state)
{
    (void)state;
    assert_int_equal(tick(ALERT_CPU, 91, 3), ALERT_CRITICAL);
    assert_true(alerts.states[ALERT_CPU].limit == ALERTS_CPU_CRITICAL);
    assert_int_equal(tick(ALERT_MEMORY, 95, 3), ALERT_WARNING);
    assert_int_equal(tick(ALERT_MEMORY, 96, 3), ALERT_CRITICAL);
    assert_int_equal(tick(ALERT_DISK, 96, 3), ALERT_CRITICAL);
    assert_int_equal(tick(ALERT_CONNECTIONS, 1e6, 10), ALERT_WARNING);
}

static void a_number_between_two_levels_raises_the_lower_one(void **state)
{
    (void)state;
    tick(ALERT_CPU, 95, 1);
    tick(ALERT_CPU, 85, 1);
    assert_int_equal(tick(ALERT_CPU, 95, 1), ALERT_WARNING);
    assert_int_equal(tick(ALERT_CPU, 95, 3), ALERT_CRITICAL);
}

static void an_alert_ends_when_the_number_is_well_below(void **state)
{
    (void)state;
    tick(ALERT_CPU, 85, 3);
    assert_int_equal(tick(ALERT_CPU, 77, 100), ALERT_WARNING);
    assert_int_equal(tick(ALERT_CPU, 75, 2), ALERT_WARNING);
    assert_int_equal(tick(ALERT_CPU, 75, 1), ALERT_NONE);
    assert_int_equal(alerts.event_count, 2);
    assert_true(alerts.events[1].is_cleared);
    assert_int_equal(alerts.events[1].level, ALERT_WARNING);
}

static void a_critical_alert_falls_to_a_warning_first(void **state)
{
    (void)state;
    tick(ALERT_CPU, 99, 3);
    assert_int_equal(tick(ALERT_CPU, 86, 100), ALERT_CRITICAL);
    assert_int_equal(tick(ALERT_CPU, 85, 3), ALERT_WARNING);
    assert_false(alerts.events[1].is_cleared);
    assert_int_equal(tick(ALERT_CPU, 10, 3), ALERT_NONE);
}

static void one_loss_of_a_core_is_an_alert(void **state)
{
    (void)state;
    readings[ALERT_LAPS].limit = 0.5;
    assert_int_equal(tick(ALERT_LAPS, 1, 1), ALERT_WARNING);
    assert_int_equal(tick(ALERT_LAPS, 0, 1), ALERT_NONE);
}

/* S89: limits are configured; 0 is off, at once. */
static void a_rule_that_is_turned_off_ends_its_alert(void **state)
{
    (void)state;
    tick(ALERT_DISK, 99, 3);
    readings[ALERT_DISK].limit = 0;
    assert_int_equal(tick(ALERT_DISK, 99, 1), ALERT_NONE);
    assert_int_equal(tick(ALERT_DISK, 99, 10), ALERT_NONE);
    readings[ALERT_DISK].limit = 80;
    tick(ALERT_DISK, 99, 3);
    assert_int_equal(tick(ALERT_DISK, 90, 1), ALERT_CRITICAL);
    readings[ALERT_DISK].limit = 0;
    assert_int_equal(tick(ALERT_DISK, 90, 1), ALERT_NONE);
    readings[ALERT_DISK].limit = 97; /* above that of the critical level */
    assert_int_equal(tick(ALERT_DISK, 96, 10), ALERT_NONE);
    assert_int_equal(tick(ALERT_DISK, 98, 3), ALERT_CRITICAL);
}

/* S92: the history of alerts. */
static void the_history_keeps_the_newest(void **state)
{
    (void)state;
    readings[ALERT_LAPS].limit = 0.5;
    for (int i = 0; i < ALERTS_HISTORY_COUNT_MAX; i++) {
        tick(ALERT_LAPS, 1, 1);
        tick(ALERT_LAPS, 0, 1);
    }
    assert_int_equal(alerts.event_count, 2 * ALERTS_HISTORY_COUNT_MAX);
    assert_int_equal(alerts.events[0].wall_s, 1000 + ALERTS_HISTORY_COUNT_MAX + 1);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_alert_is_raised_by_three_ticks_in_a_row),
        TEST(a_higher_level_is_raised_by_the_same_rule),
        TEST(a_number_between_two_levels_raises_the_lower_one),
        TEST(an_alert_ends_when_the_number_is_well_below),
        TEST(a_critical_alert_falls_to_a_warning_first),
        TEST(one_loss_of_a_core_is_an_alert),
        TEST(a_rule_that_is_turned_off_ends_its_alert),
        TEST(the_history_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
