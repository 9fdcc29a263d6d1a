/* S94: the score of a connection, from what it has counted. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include "src/base/quality.h"

/* The score after one interval with these counts, of a new connection. */
static int score_of(struct quality_counts counts)
{
    struct quality quality;
    quality_begin(&quality, 7);
    quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
    return quality_score(&quality);
}

static void a_connection_has_no_score_before_a_second_has_passed(void **state)
{
    (void)state;
    struct quality quality;
    struct quality_counts counts = {.frames_sent = 1, .frames_lost = 9};
    quality_begin(&quality, 7);
    assert_int_equal(quality_score(&quality), QUALITY_UNKNOWN);
    quality_sample(&quality, &counts, QUALITY_SHORTEST_NS - 1);
    assert_int_equal(quality_score(&quality), QUALITY_UNKNOWN);
    quality_sample(&quality, &counts, QUALITY_SHORTEST_NS);
    assert_int_equal(quality_score(&quality), 100 - QUALITY_LOST_POINTS);
}

static void a_connection_without_fault_has_100(void **state)
{
    (void)state;
    assert_int_equal(score_of((struct quality_counts){0}), 100);
    assert_int_equal(score_of((struct quality_counts){.frames_sent = 5000, .segments = 3000}), 100);
}

static void each_fault_costs_in_proportion_up_to_its_points(void **state)
{
    (void)state;
    struct quality_counts blocked = {.blocked_ns = QUALITY_INTERVAL_NS / 4};
    assert_int_equal(score_of(blocked), 100 - QUALITY_BLOCKED_POINTS / 2);
    blocked.blocked_ns = QUALITY_INTERVAL_NS / 2;
    assert_int_equal(score_of(blocked), 100 - QUALITY_BLOCKED_POINTS);
    blocked.blocked_ns = QUALITY_INTERVAL_NS;
    assert_int_equal(score_of(blocked), 100 - QUALITY_BLOCKED_POINTS);

    struct quality_counts lost = {.frames_sent = 950, .frames_lost = 50};
    assert_int_equal(score_of(lost), 100 - QUALITY_LOST_POINTS / 2);
    lost.frames_sent = 0;
    assert_int_equal(score_of(lost), 100 - QUALITY_LOST_POINTS);

    struct quality_counts again = {.segments = 100, .segments_again = 4};
    assert_int_equal(score_of(again), 100 - 6);
    again.segments_again = 90;
    assert_int_equal(score_of(again), 100 - QUALITY_AGAIN_POINTS);

    assert_int_equal(score_of((struct quality_counts){.missed_pongs = 1}), 100 - 8);
    assert_int_equal(score_of((struct quality_counts){.missed_pongs = 2}),
                     100 - QUALITY_PONG_POINTS);
}

static void the_worst_connection_has_0(void **state)
{
    (void)state;
    assert_int_equal(score_of((struct quality_counts){.blocked_ns = QUALITY_INTERVAL_NS,
                                                      .frames_lost = 10,
                                                      .segments = 10,
                                                      .segments_again = 10,
                                                      .missed_pongs = 3}),
                     0);
}

/* And only what was counted since the sample before. */
static void a_minute_after_its_last_fault_a_connection_has_100_again(void **state)
{
    (void)state;
    struct quality quality;
    struct quality_counts counts = {.blocked_ns = QUALITY_INTERVAL_NS};
    static const int scores[] = {60, 80, 87, 100, 100};
    quality_begin(&quality, 7);
    for (uint32_t i = 0; i < sizeof scores / sizeof scores[0]; i++) {
        quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
        assert_int_equal(quality_score(&quality), scores[i]);
    }
}

static void counts_beyond_32_bits_are_compared_by_their_low_digits(void **state)
{
    (void)state;
    struct quality quality;
    struct quality_counts counts = {.frames_sent = UINT32_MAX - UINT64_C(10),
                                    .frames_lost = UINT32_MAX - UINT64_C(10),
                                    .segments = UINT32_MAX};
    quality_begin(&quality, 7);
    quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
    counts.frames_sent += 950;
    counts.frames_lost += 50;
    counts.segments += 100;
    for (uint64_t i = 2; i <= 1 + QUALITY_SAMPLES; i++) {
        quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
    }
    /* 15 of one interval, by 3. */
    assert_int_equal(quality_score(&quality), 95);
}

static void another_session_begins_anew(void **state)
{
    (void)state;
    struct quality quality;
    struct quality_counts counts = {.missed_pongs = 2};
    quality_begin(&quality, 7);
    quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
    quality_begin(&quality, 8);
    assert_int_equal(quality.number, 8);
    assert_int_equal(quality_score(&quality), QUALITY_UNKNOWN);
}

/* A server that stood still for minutes: what it counted meanwhile is not compared. */
static void after_a_long_pause_it_begins_anew(void **state)
{
    (void)state;
    struct quality quality;
    struct quality_counts counts = {.blocked_ns = QUALITY_LONGEST_NS * 2};
    quality_begin(&quality, 7);
    quality_sample(&quality, &counts, QUALITY_LONGEST_NS + 1);
    assert_int_equal(quality_score(&quality), QUALITY_UNKNOWN);
    counts.blocked_ns += QUALITY_INTERVAL_NS / 4;
    quality_sample(&quality, &counts, QUALITY_INTERVAL_NS);
    assert_int_equal(quality_score(&quality), 100 - QUALITY_BLOCKED_POINTS / 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_connection_has_no_score_before_a_second_has_passed),
        cmocka_unit_test(a_connection_without_fault_has_100),
        cmocka_unit_test(each_fault_costs_in_proportion_up_to_its_points),
        cmocka_unit_test(the_worst_connection_has_0),
        cmocka_unit_test(a_minute_after_its_last_fault_a_connection_has_100_again),
        cmocka_unit_test(counts_beyond_32_bits_are_compared_by_their_low_digits),
        cmocka_unit_test(another_session_begins_anew),
        cmocka_unit_test(after_a_long_pause_it_begins_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
