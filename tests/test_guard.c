#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "src/guard/guard.h"
#include "src/guard/sample_summary.h"

#define MINUTE_NS (60 * NS_PER_SECOND)
#define BEGIN_NS (5000 * NS_PER_SECOND)
#define MINUTES 1500

static struct sample_history history;
static struct sample samples[SAMPLE_HISTORY_COUNT_MAX];

static int set_up(void **state)
{
    (void)state;
    memset(&history, 0, sizeof history);
    return 0;
}

/* What main would measure. The number is the minute. */
static struct sample sample_at(uint64_t ns)
{
    struct sample sample = {.taken_ns = ns, .wall_s = (int64_t)(ns / NS_PER_SECOND)};
    sample.numbers[SAMPLE_CPU_PERCENT] = (double)((ns - BEGIN_NS) / MINUTE_NS);
    return sample;
}

/* Once a second, as main does. */
static void offer(uint64_t from_ns, uint64_t to_ns)
{
    for (uint64_t ns = from_ns; ns < to_ns; ns += NS_PER_SECOND) {
        struct sample sample = sample_at(ns);
        sample_history_offer(&history, &sample);
    }
}

/* S84, S87: one sample a minute, the newest 1440 of them. */
static void a_day_is_kept_minute_by_minute(void **state)
{
    (void)state;
    offer(BEGIN_NS, BEGIN_NS + MINUTES * MINUTE_NS);
    assert_int_equal(history.count, MINUTES);
    assert_int_equal(sample_history_copy(&history, 0, samples), SAMPLE_HISTORY_COUNT_MAX);
    for (uint32_t i = 0; i < SAMPLE_HISTORY_COUNT_MAX; i++) {
        uint64_t minute = MINUTES - SAMPLE_HISTORY_COUNT_MAX + i;
        assert_true(samples[i].taken_ns == BEGIN_NS + minute * MINUTE_NS);
        assert_true(samples[i].numbers[SAMPLE_CPU_PERCENT] == (double)minute);
    }
}

static void the_first_sample_is_taken_at_once(void **state)
{
    (void)state;
    struct sample sample = sample_at(BEGIN_NS);
    assert_true(sample_history_offer(&history, &sample));
    assert_false(sample_history_offer(&history, &sample));
    assert_int_equal(sample_history_copy(&history, 0, samples), 1);
}

static void only_the_samples_that_are_wanted_are_copied(void **state)
{
    (void)state;
    offer(BEGIN_NS, BEGIN_NS + 10 * MINUTE_NS);
    assert_int_equal(sample_history_copy(&history, BEGIN_NS + 7 * MINUTE_NS, samples), 3);
    assert_true(samples[0].numbers[SAMPLE_CPU_PERCENT] == 7);
}

/* A clock that is set changes what is shown, not how many samples there are or their order. */
static void a_clock_that_jumps_changes_no_schedule(void **state)
{
    (void)state;
    for (uint64_t minute = 0; minute < 10; minute++) {
        struct sample sample = sample_at(BEGIN_NS + minute * MINUTE_NS);
        sample.wall_s += minute < 5 ? 100000 : -100000;
        assert_true(sample_history_offer(&history, &sample));
    }
    assert_int_equal(sample_history_copy(&history, 0, samples), 10);
    assert_true(samples[4].wall_s > samples[5].wall_s);
    assert_true(samples[4].taken_ns < samples[5].taken_ns);
}

static void a_server_that_stood_still_makes_up_for_nothing(void **state)
{
    (void)state;
    uint64_t later_ns = BEGIN_NS + 600 * MINUTE_NS + 7 * NS_PER_SECOND;
    offer(BEGIN_NS, BEGIN_NS + MINUTE_NS);
    offer(later_ns, later_ns + 3 * MINUTE_NS);
    assert_int_equal(sample_history_copy(&history, 0, samples), 4);
    assert_true(samples[1].taken_ns == later_ns);
    assert_true(samples[2].taken_ns == later_ns + MINUTE_NS);
}

/* S88: average, extremes and trend. */
static void a_summary_has_average_extremes_and_trend(void **state)
{
    (void)state;
    offer(BEGIN_NS, BEGIN_NS + 60 * MINUTE_NS);
    uint32_t count = sample_history_copy(&history, 0, samples);
    struct sample_summary summary = sample_summarize(samples, count, SAMPLE_CPU_PERCENT);
    assert_true(summary.min == 0 && summary.max == 59);
    assert_true(summary.avg > 29.49 && summary.avg < 29.51);
    assert_true(summary.has_trend);
    assert_true(summary.trend_per_hour > 59.99 && summary.trend_per_hour < 60.01);
    summary = sample_summarize(samples, count, SAMPLE_DISK_FREE_GB);
    assert_true(summary.trend_per_hour == 0 && summary.avg == 0);
    summary = sample_summarize(samples + 5, 1, SAMPLE_CPU_PERCENT);
    assert_true(summary.avg == 5 && !summary.has_trend);
}

/* S85, S86: each number has a name of its own. */
static void each_number_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < SAMPLE_NUMBERS; i++) {
        assert_non_null(sample_rows[i].name);
        for (int j = 0; j < i; j++) {
            assert_string_not_equal(sample_rows[i].name, sample_rows[j].name);
        }
    }
}

/* The whole guard, through 1500 minutes, a tick a second. */
static void a_guard_shows_what_it_was_told(void **state)
{
    (void)state;
    struct guard *guard;
    struct protection protection;
    struct alerts alerts;
    struct sample newest;
    struct guard_readings readings = {.cleanup_interval_ns = NS_PER_SECOND};
    assert_int_equal(guard_create(&guard), 0);
    assert_false(guard_read_newest(guard, &newest));
    readings.protections[PROTECTION_CONNECTIONS] = (struct protection_reading){95, 90};
    readings.protections[PROTECTION_DESCRIPTORS] = (struct protection_reading){100, 100};
    readings.alerts[ALERT_DISK] = (struct alert_reading){99, 90, "% of a test's disk"};
    for (uint64_t second = 0; second < MINUTES * 60; second++) {
        readings.sample = sample_at(BEGIN_NS + second * NS_PER_SECOND);
        guard_tick(guard, &readings);
    }
    assert_int_equal(guard_read_history(guard, 60 * MINUTE_NS, samples), 60);
    assert_int_equal(guard_read_history(guard, UINT64_MAX, samples), SAMPLE_HISTORY_COUNT_MAX);
    assert_true(guard_read_newest(guard, &newest));
    assert_true(newest.taken_ns == readings.sample.taken_ns);
    guard_read_alerts(guard, &alerts);
    assert_int_equal(alerts.event_count, 1);
    guard_read_protection(guard, &protection);
    assert_int_equal(protection.states[PROTECTION_DESCRIPTORS].action_count, 1);
    assert_non_null(guard_refusal(guard));
    assert_true(atomic_load(&guard_pressure(guard)->idle_ns) == NS_PER_SECOND);
    readings.protections[PROTECTION_CONNECTIONS].value = 10;
    readings.protections[PROTECTION_DESCRIPTORS].value = 10;
    guard_tick(guard, &readings);
    assert_null(guard_refusal(guard));
    assert_true(atomic_load(&guard_pressure(guard)->idle_ns) == 0);
    guard_destroy(guard);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_day_is_kept_minute_by_minute),
        TEST(the_first_sample_is_taken_at_once),
        TEST(only_the_samples_that_are_wanted_are_copied),
        TEST(a_clock_that_jumps_changes_no_schedule),
        TEST(a_server_that_stood_still_makes_up_for_nothing),
        TEST(a_summary_has_average_extremes_and_trend),
        TEST(each_number_has_a_name),
        TEST(a_guard_shows_what_it_was_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
