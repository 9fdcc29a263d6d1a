/* Subscribers that are behind: what they are told of it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#include "ring/fan/fanout.h"
#include "ring/fan/lag.h"
#include "ring/fan/puller.h"
#include "ring/fan/roster.h"
#include "tests/fan_fixture.h"

#define SUBSCRIBED 0
#define OTHER 1 /* a channel that nobody subscribes to */
#define FRAMES 4
#define FRAME_BYTES 100
#define BEHIND_NS (8 * NS_PER_SECOND)

static struct subscriber *set_up_subscriber(enum lag_policy policy)
{
    uint32_t sub;
    struct subscriber *subscriber = fan_subscriber(&fan, 0);
    struct fan_stream *stream = fan_json(&fan);
    roster_join(&fan, 0, FAN_JSON);
    assert_int_equal(subs_add(&stream->subs, 0, SUBSCRIBED, &subscriber->sub_first, &sub), 0);
    stream->subs.records[sub].policy = (uint8_t)policy & 15;
    stream->subs.records[sub].next_seq = stream->subs.records[sub].first_seq = 1;
    subscriber->sub_count = 1;
    return subscriber;
}

static void publish(uint32_t channel, uint64_t ts_pub_ns)
{
    memset(frame_log_reserve(frames), 'x', FRAME_BYTES);
    frame_log_commit(frames, channel, 0, FRAME_FULL_IMAGE, FRAME_BYTES, ts_pub_ns);
    frame_log_publish(frames);
}

/* A subscriber that is at the first of some frames of another channel, and far behind. */
static struct subscriber *set_up_behind(enum lag_policy policy)
{
    struct subscriber *subscriber = set_up_subscriber(policy);
    for (uint32_t i = 0; i < FRAMES; i++) {
        publish(OTHER, fan.wall_ns - BEHIND_NS);
    }
    assert_true(frame_log_pin(frames, 0, 0));
    fanout_note(&fan, fan_json(&fan), frame_log_head(frames));
    puller_start(&fan, subscriber, 0);
    frame_log_unpin(frames, 0);
    return subscriber;
}

static int set_up(void **state)
{
    (void)state;
    fan_fixture_open(10 * NS_PER_SECOND);
    fan.wall_ns = 1000 * NS_PER_SECOND;
    return 0;
}

/* What it is told is measured when it is told: none of the frames are for it, so nothing else is
 * sent, but it has not passed them yet. */
static void lag_is_told_with_how_far_it_is_behind(void **state)
{
    struct core_lag lag;
    struct link_view view = {.lend_bytes = UINT32_MAX};
    struct subscriber *subscriber = set_up_behind(LAG_SKIP);
    (void)state;
    puller_plan(&fan, subscriber, &view);
    assert_int_equal(fan.batch->notice_count, 1);
    assert_int_equal(fan.batch->notices[0].kind, NOTICE_LAG);
    lag_measure(&fan, subscriber, &lag);
    assert_true(lag.is_behind);
    assert_int_equal(lag.bytes, FRAMES * FRAME_BYTES);
    assert_int_equal(lag.ms, BEHIND_NS / NS_PER_MS);
    assert_int_equal(fan.batch->plan_count, 1); /* The words leave at once. */
}

static void who_is_closed_for_its_own_limit_is_not_told_lag_besides(void **state)
{
    struct link_view view = {.lend_bytes = UINT32_MAX};
    struct subscriber *subscriber = set_up_behind(LAG_DISCONNECT);
    (void)state;
    fan_json(&fan)->subs.records[subscriber->sub_first].max_lag_ms = 1000;
    subscriber->has_lag_limit = true;
    puller_plan(&fan, subscriber, &view);
    assert_int_equal(fan.batch->notice_count, 1);
    assert_int_equal(fan.batch->notices[0].kind, NOTICE_SLOW);
    assert_int_equal(fan.batch->plan_count, 0);
    assert_int_equal(counter_get(&counters.lags_told), 0);
}

/* A subscriber of the whole group, with a frame of each channel in the log that it has not got. */
static struct subscriber *set_up_wide(void)
{
    struct subscriber *subscriber = fan_subscriber(&fan, 0);
    roster_join(&fan, 0, FAN_JSON);
    assert_int_equal(roster_set_groups(&fan, subscriber, 1), 0);
    for (uint32_t i = 0; i < FRAMES; i++) {
        publish(i % 2 == 0 ? SUBSCRIBED : OTHER, fan.wall_ns);
    }
    assert_true(frame_log_pin(frames, 0, 0));
    fanout_note(&fan, fan_json(&fan), frame_log_head(frames));
    puller_start(&fan, subscriber, 0);
    return subscriber;
}

/* S98, S104: a client that is behind gets what is ready, as one contiguous range. */
static void frames_of_a_whole_group_are_one_stretch(void **state)
{
    struct link_view view = {.lend_bytes = UINT32_MAX};
    struct subscriber *subscriber = set_up_wide();
    (void)state;
    puller_plan(&fan, subscriber, &view);
    assert_int_equal(fan.batch->notice_count, 0);
    assert_int_equal(fan.batch->plan_count, 1);
    assert_int_equal(fan.batch->plans[0].iov_count, 1);
    assert_int_equal(fan.batch->plans[0].frames, FRAMES);
    assert_int_equal(fan.batch->plans[0].bytes, FRAMES * FRAME_BYTES);
    puller_on_cut(&fan, subscriber, 1, FRAMES); /* Only the first left. */
    fan.batch->plan_count = fan.batch->iov_count = 0;
    puller_plan(&fan, subscriber, &view);
    assert_int_equal(fan.batch->plans[0].frames, FRAMES - 1);
    assert_int_equal(counter_get(&counters.frames_lost), 0);
}

static void a_frame_of_a_whole_group_that_is_missing_is_told(void **state)
{
    struct link_view view = {.lend_bytes = UINT32_MAX};
    struct subscriber *subscriber = set_up_wide();
    (void)state;
    subscriber->cursor = 2; /* The first frame of each is lost, */
    subscriber->group_seqs[OTHER].first = 1 | PROGRESS_GAP_DUE; /* and of one that is known. */
    subscriber->group_seqs[OTHER].next = 2;
    puller_plan(&fan, subscriber, &view);
    assert_int_equal(fan.batch->notice_count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(fan.batch->notices[i].kind, NOTICE_GAP);
        assert_int_equal(fan.batch->notices[i].channel, i == 0 ? SUBSCRIBED : OTHER);
        assert_int_equal(fan.batch->notices[i].from_seq, 1);
        assert_int_equal(fan.batch->notices[i].to_seq, 1);
    }
    assert_int_equal(fan.batch->plans[0].frames, FRAMES - 2);
    assert_int_equal(counter_get(&counters.frames_lost), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(frames_of_a_whole_group_are_one_stretch, set_up,
                                        fan_fixture_close),
        cmocka_unit_test_setup_teardown(a_frame_of_a_whole_group_that_is_missing_is_told, set_up,
                                        fan_fixture_close),
        cmocka_unit_test_setup_teardown(lag_is_told_with_how_far_it_is_behind, set_up,
                                        fan_fixture_close),
        cmocka_unit_test_setup_teardown(who_is_closed_for_its_own_limit_is_not_told_lag_besides,
                                        set_up, fan_fixture_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
