/* Subscribers that go on after a seq. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "ring/fan/fanout.h"
#include "ring/fan/history.h"
#include "ring/fan/roster.h"
#include "tests/fan_fixture.h"

#define LONG 0 /* a channel with more frames than one turn's search looks at, */
#define SHORT 1
#define LONG_FRAMES (HISTORY_STEPS_MAX + 100)
#define SHORT_FRAMES 3
#define FRAME_BYTES 20

static int set_up(void **state)
{
    (void)state;
    fan_fixture_open(0);
    return 0;
}

static void publish(uint32_t channel, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        memset(frame_log_reserve(frames), 'x', FRAME_BYTES);
        frame_log_commit(frames, channel, 0, 0, FRAME_BYTES, 1);
    }
    frame_log_publish(frames);
}

/* All of a channel, from its first frame on. Returns the subscription. */
static uint32_t resume(struct subscriber *subscriber, uint32_t channel)
{
    uint32_t sub;
    struct history_reach reach;
    history_find_reach(&fan, subscriber, channel, &reach);
    assert_int_equal(subs_add(&fan_json(&fan)->subs, 0, channel, &subscriber->sub_first, &sub), 0);
    subscriber->sub_count++;
    assert_int_equal(history_resume(&fan, subscriber, channel, 0, 1, true, &reach), 0);
    return sub;
}

static void unsubscribe(struct subscriber *subscriber, uint32_t sub)
{
    history_forget_sub(&fan, subscriber, sub);
    subs_remove(&fan_json(&fan)->subs, sub, &subscriber->sub_first);
    subscriber->sub_count--;
}

static void take_turn(struct subscriber *subscriber)
{
    struct link_view view = {.lend_bytes = UINT32_MAX};
    fan.batch->plan_count = fan.batch->iov_count = 0;
    puller_plan(&fan, subscriber, &view);
    fan_unpin(&fan);
}

/* A subscription that is removed while it is sought must not take along what was found for others:
 * without the way back they would get a GAP, or nothing at all where they conflate. */
static void what_was_found_is_sent_though_the_last_subscription_sought_goes(void **state)
{
    struct subscriber *subscriber = fan_subscriber(&fan, 0);
    (void)state;
    publish(LONG, LONG_FRAMES);
    publish(SHORT, SHORT_FRAMES);
    roster_join(&fan, 0, FAN_JSON);
    assert_true(frame_log_pin(frames, 0, 0));
    fanout_note(&fan, fan_json(&fan), frame_log_head(frames));
    fan_unpin(&fan);
    uint32_t sought_last = resume(subscriber, LONG);
    (void)resume(subscriber, SHORT);
    fan_unpin(&fan);

    take_turn(subscriber);
    assert_int_equal(fan_past(&fan, subscriber)->seek_sub, sought_last);
    unsubscribe(subscriber, sought_last);
    while (subscriber->mode == SUBSCRIBER_PULLING && fan.batch->plan_count == 0) {
        take_turn(subscriber);
    }
    assert_int_equal(fan.batch->plan_count, 1);
    assert_int_equal(fan.batch->plans[0].frames, SHORT_FRAMES);
    assert_int_equal(fan.batch->notice_count, 0);
    puller_on_sent(&fan, subscriber, fan.batch->plans[0].to);
    assert_int_equal(subscriber->mode, SUBSCRIBER_PUSHED);
    assert_false(history_is_seeking(&fan, subscriber));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_was_found_is_sent_though_the_last_subscription_sought_goes, set_up,
            fan_fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
