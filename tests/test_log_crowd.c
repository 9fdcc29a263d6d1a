/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>

#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/base/log_crowd.h"

static enum log_level level;
static char posted[256];
static uint32_t posted_count;

/* In place of the log's. */
bool log_wants(enum log_level wanted)
{
    return wanted >= level;
}

void log_post(uint32_t producer, enum log_level posted_level, const char *text)
{
    assert_int_equal(producer, 3);
    assert_int_equal(posted_level, log_crowd_level());
    snprintf(posted, sizeof posted, "%s", text);
    posted_count++;
}

static uint32_t lines_of(struct log_crowd *crowd, enum log_crowd_event event, uint32_t count)
{
    uint32_t lines = 0;
    for (uint32_t i = 0; i < count; i++) {
        lines += log_crowd_has_line(crowd, event);
    }
    return lines;
}

static int set_up(void **state)
{
    (void)state;
    level = LOG_LEVEL_INFO;
    log_crowd_set_when(LOG_CROWD_INFO);
    posted_count = 0;
    return 0;
}

static void lines_and_sums_tell_of_everybody(void **state)
{
    (void)state;
    struct log_crowd crowd = {.began_ns = 0};
    uint64_t now_ns = 1000 * NS_PER_SECOND;
    log_crowd_on_turn(&crowd, 3, now_ns);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 90), 90);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_DISCONNECTED, 20), 10);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 463), 0);
    log_crowd_on_turn(&crowd, 3, now_ns + NS_PER_SECOND - 1);
    assert_int_equal(posted_count, 0);
    log_crowd_on_turn(&crowd, 3, now_ns + NS_PER_SECOND);
    assert_int_equal(posted_count, 1);
    assert_string_equal(posted, "In a second, 463 more clients connected and 10 more disconnected");
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 101), 100);
    log_crowd_sum_up(&crowd, 3); /* The server ends. */
    assert_string_equal(posted, "In a second, 1 more clients connected and 0 more disconnected");
}

static void few_events_have_no_sum(void **state)
{
    (void)state;
    struct log_crowd crowd = {.began_ns = 0};
    for (uint64_t second = 1; second < 10; second++) {
        assert_int_equal(lines_of(&crowd, LOG_CROWD_DISCONNECTED, 100), 100);
        log_crowd_on_turn(&crowd, 3, second * NS_PER_SECOND);
    }
    assert_int_equal(posted_count, 0);
}

static void at_debug_its_lines_are_lines_of_debug(void **state)
{
    (void)state;
    struct log_crowd crowd = {.began_ns = 0};
    log_crowd_set_when(LOG_CROWD_DEBUG);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 150), 0);
    level = LOG_LEVEL_DEBUG;
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 150), 100);
    log_crowd_sum_up(&crowd, 3);
    assert_string_equal(posted, "In a second, 50 more clients connected and 0 more disconnected");
}

static void of_a_sample_every_hundredth_has_a_line_and_the_others_are_counted(void **state)
{
    (void)state;
    struct log_crowd crowd = {.began_ns = 0};
    log_crowd_set_when(LOG_CROWD_SAMPLED);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 1), 1);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 98), 0);
    log_crowd_on_turn(&crowd, 3, NS_PER_SECOND);
    assert_string_equal(posted, "In a second, 98 more clients connected and 0 more disconnected");
    assert_int_equal(lines_of(&crowd, LOG_CROWD_DISCONNECTED, 1), 0);
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 1), 1); /* the 101st */
}

static void nothing_is_summed_up_below_the_level(void **state)
{
    (void)state;
    struct log_crowd crowd = {.began_ns = 0};
    level = LOG_LEVEL_WARNING;
    assert_int_equal(lines_of(&crowd, LOG_CROWD_CONNECTED, 1000), 0);
    log_crowd_on_turn(&crowd, 3, NS_PER_SECOND);
    assert_int_equal(posted_count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(lines_and_sums_tell_of_everybody, set_up),
        cmocka_unit_test_setup(few_events_have_no_sum, set_up),
        cmocka_unit_test_setup(at_debug_its_lines_are_lines_of_debug, set_up),
        cmocka_unit_test_setup(of_a_sample_every_hundredth_has_a_line_and_the_others_are_counted,
                               set_up),
        cmocka_unit_test_setup(nothing_is_summed_up_below_the_level, set_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
