/*
 * MODIFY, SNAPSHOT, RESUME and REPLAY over a core that is a double (session_double.h).
 */
#include "tests/session_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- MODIFY ---- */

#define MODIFY(symbols, types, delivery)                                                           \
    "{\"type\":\"MODIFY\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types              \
    "],\"delivery\":{" delivery "}}}"

static void modify_changes_what_is_subscribed_and_nothing_else(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\",\"000002*\",\"*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\",\"600000.SH\",\"XXXX\",\"0*\"",
                                    QUOTE, "\"on_lag\":\"skip\",\"max_lag_ms\":250"),
                             "MODIFIED");
    assert_int_equal(count_of(data, "ok"), 3);
    assert_int_equal(failure(data, "600000.SH", "quote"), 107);
    assert_int_equal(failure(data, "XXXX", "quote"), 107);
    assert_int_equal(failure(data, "0*", "quote"), 107);
    assert_string_equal(table(0), "Ss....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 250);
    assert_int_equal(core->subs[0][1].max_lag_ms, 250);
    assert_int_equal(core->groups[0][MD_QUOTE].policy, LAG_SKIP);
    assert_int_equal(core->groups[0][MD_QUOTE].max_lag_ms, 250);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 0);
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
    entry = entry_of(data, "ok", "000002*", "quote");
    assert_int_equal(number_of(entry, "channels"), 1);
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
    entry = entry_of(data, "ok", "*", "quote");
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
}

static void modify_keeps_what_it_does_not_name(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\",\"000002*\",\"*\"", QUOTE,
                       ",\"delivery\":{\"on_lag\":\"disconnect\",\"max_lag_ms\":100}"),
        "SUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 100);
    assert_int_equal(core->subs[0][1].max_lag_ms, 100);
    ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\"", QUOTE, "\"max_lag_ms\":200"), "MODIFIED");
    assert_string_equal(table(0), "Dd....");
    assert_int_equal(core->groups[0][MD_QUOTE].policy, LAG_DISCONNECT);
    ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\"", QUOTE, "\"on_lag\":\"skip\""), "MODIFIED");
    assert_string_equal(table(0), "Ss....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 200);
    assert_int_equal(core->subs[0][1].max_lag_ms, 200);
    assert_int_equal(core->groups[0][MD_QUOTE].max_lag_ms, 200);
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    for (size_t i = 0; i < 3; i++) {
        const json_t *entry = json_array_get(json_object_get(data, "subscriptions"), i);
        assert_string_equal(text_of(entry, "on_lag"), "skip");
        assert_int_equal(number_of(entry, "max_lag_ms"), 200);
    }
    data = ask(MODIFY("\"000001.SZ\"", QUOTE, "\"max_lag_ms\":0"), "MODIFIED");
    assert_null(json_object_get(entry_of(data, "ok", "000001.SZ", "quote"), "max_lag_ms"));
    assert_int_equal(core->subs[0][0].max_lag_ms, 0);
}

/* One of its channels is not subscribed, since there was no room when it appeared. */
static void a_pattern_that_is_modified_without_room_stays(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    core->room = 0;
    open_channel("000003.SZ", MD_QUOTE);
    assert_string_equal(table(0), "ss.....");
    const json_t *data = ask(MODIFY("\"*.SZ\"", QUOTE, "\"on_lag\":\"disconnect\""), "MODIFIED");
    assert_int_equal(covered(data, "*.SZ"), 2);
    assert_string_equal(table(0), "dd.....");
    data = ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    assert_int_equal(covered(data, "*.SZ"), 2);
    assert_string_equal(table(0), "ss.....");
    data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(number_of(data, "count"), 1);
    core->room = 1;
    ask(MODIFY("\"*.SZ\"", QUOTE, "\"on_lag\":\"skip\""), "MODIFIED");
    assert_string_equal(table(0), "ss....s");
}

static void modify_conflates_only_full_images(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\"", "\"quote\",\"trade\""), "SUBSCRIBED");
    const json_t *data =
        ask(MODIFY("\"000001.SZ\"", "\"quote\",\"trade\"", "\"on_lag\":\"conflate\""), "MODIFIED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_int_equal(count_of(data, "ok"), 1);
    assert_string_equal(table(0), "C..S..");
}

static void a_channel_has_the_limit_of_the_entry_that_covers_it(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"0*\"", QUOTE, ",\"delivery\":{\"max_lag_ms\":100}"), "SUBSCRIBED");
    open_channel("000003.SZ", MD_QUOTE);
    assert_int_equal(core->subs[0][6].max_lag_ms, 100);
    ask(SUBSCRIBE("\"000001.SZ\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 0);
    ask(UNSUBSCRIBE("\"000001.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 100);
}

/* ---- History ---- */

#define RESUME(epoch, cursors, rest)                                                               \
    "{\"type\":\"RESUME\",\"data\":{\"epoch\":\"" epoch "\",\"cursors\":{" cursors "}" rest "}}"

static void each_cursor_gets_its_verdict(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->dropped_seq = 20;
    const json_t *data =
        ask(RESUME(EPOCH, "\"0\":50,\"1\":19,\"2\":51,\"3\":20,\"77\":3,\"999999999\":1", ""),
            "RESUMED");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "ok"), 2);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 0);
    assert_int_equal(number_of(entry, "from"), 51);
    assert_int_equal(number_of(entry, "next_seq"), 100);
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "trade"), "from"), 21);
    assert_int_equal(count_of(data, "gaps"), 1);
    entry = entry_of(data, "gaps", "000002.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 1);
    assert_string_equal(text_of(entry, "gap"), "overrun");
    assert_null(json_object_get(entry, "from"));
    assert_int_equal(count_of(data, "failed"), 3);
    assert_int_equal(failure(data, "600000.SH", "quote"), 112);
    for (size_t i = 1; i < 3; i++) {
        entry = json_array_get(json_object_get(data, "failed"), i);
        assert_int_equal(number_of(entry, "ch"), i == 1 ? 77 : 999999999);
        assert_int_equal(number_of(entry, "code"), 120);
    }
    assert_string_equal(table(0), "CC.S..");
    assert_int_equal(core->subs[0][3].resumed_from, 21);
    assert_int_equal(core->subs[0][3].group, MD_TRADE);
}

static void in_another_epoch_all_is_a_gap(void **state)
{
    (void)state;
    const json_t *data = ask(RESUME("fedcba9876543210", "\"0\":50,\"3\":51", ""), "RESUMED");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "ok"), 0);
    assert_int_equal(count_of(data, "failed"), 0);
    assert_int_equal(count_of(data, "gaps"), 2);
    assert_string_equal(text_of(entry_of(data, "gaps", "000001.SZ", "quote"), "gap"), "restart");
    assert_string_equal(table(0), "C..S..");
}

static void what_is_resumed_is_subscribed_as_asked_and_counts(void **state)
{
    (void)state;
    core->newest_seq = 50;
    const json_t *data = ask(RESUME(EPOCH, "\"0\":5,\"3\":5", ON_LAG("conflate")), "RESUMED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_string_equal(table(0), "C.....");
    ask(RESUME(EPOCH, "\"0\":5", ",\"delivery\":{\"on_lag\":\"disconnect\",\"max_lag_ms\":30}"),
        "RESUMED");
    assert_string_equal(table(0), "D.....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 30);
    data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(number_of(data, "count"), 1);
    ask(SUBSCRIBE("\"A*\",\"B*\",\"C*\",\"D*\",\"E*\",\"F*\",\"G*\",\"H*\"", QUOTE), "SUBSCRIBED");
    data = ask(RESUME(EPOCH, "\"0\":9,\"1\":5,\"2\":5", ""), "RESUMED");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_int_equal(failure(data, "600000.SH", "quote"), 122);
    ask(UNSUBSCRIBE("\"000001.SZ\",\"000002.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "......");
}

static void a_cursor_that_finds_no_room_is_told(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->room = 1;
    const json_t *data = ask(RESUME(EPOCH, "\"0\":5,\"1\":5", ""), "RESUMED");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_int_equal(failure(data, "000002.SZ", "quote"), 106);
}

static void since_goes_on_with_one_channel(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->dropped_seq = 20;
#define SINCE(epoch, seq) ",\"since\":{\"epoch\":\"" epoch "\",\"seq\":" seq "}"
    const json_t *data =
        ask(SUBSCRIBE_WITH("\"000001.SZ\"", QUOTE, SINCE(EPOCH, "40")), "SUBSCRIBED");
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "from"), 41);
    assert_int_equal(number_of(entry, "next_seq"), 100);
    data = ask(SUBSCRIBE_WITH("\"000002.SZ\"", QUOTE, SINCE(EPOCH, "4")), "SUBSCRIBED");
    assert_string_equal(text_of(entry_of(data, "ok", "000002.SZ", "quote"), "gap"), "overrun");
    data = ask(SUBSCRIBE_WITH("\"600000.SH\"", QUOTE, SINCE("other", "4")), "SUBSCRIBED");
    assert_string_equal(text_of(entry_of(data, "ok", "600000.SH", "quote"), "gap"), "restart");
    data = ask(SUBSCRIBE_WITH("\"000001.SZ\"", "\"trade\"", SINCE(EPOCH, "51")), "SUBSCRIBED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 112);
    data = ask(SUBSCRIBE_WITH("\"XXXX\"", "\"trade\"", SINCE(EPOCH, "51")), "SUBSCRIBED");
    assert_int_equal(failure(data, "XXXX", "trade"), 120);
    assert_string_equal(table(0), "CCC...");
}

#define SNAPSHOT(symbols, types)                                                                   \
    "{\"type\":\"SNAPSHOT\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]}}"

static void snapshots_follow_their_answer(void **state)
{
    (void)state;
    core->newest_seq = 50;
    const json_t *data =
        ask(SNAPSHOT("\"000001.SZ\",\"XXXX\",\"0*\"", "\"quote\",\"trade\",\"depth\""), "SNAPSHOT");
    assert_int_equal(count_of(data, "ok"), 2);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "trade");
    assert_int_equal(number_of(entry, "ch"), 3);
    assert_int_equal(number_of(entry, "as_of"), 53);
    assert_int_equal(failure(data, "XXXX", "quote"), 120);
    assert_int_equal(failure(data, "0*", "quote"), 107);
    assert_int_equal(failure(data, "000001.SZ", "depth"), 123);
    assert_int_equal(core->sent_count, 2);
    assert_int_equal(core->sent_after, 1);
    assert_int_equal(core->sent[0].channel, 0);
    assert_int_equal(core->sent[0].group, MD_QUOTE);
    assert_int_equal(core->sent[1].channel, 3);
    assert_string_equal(table(0), "......");
}

static void a_snapshot_that_cannot_be_is_refused(void **state)
{
    (void)state;
    core->snapshot_error = -ENODATA;
    const json_t *data = ask(SNAPSHOT("\"000001.SZ\"", QUOTE), "SNAPSHOT");
    assert_int_equal(failure(data, "000001.SZ", "quote"), 108);
    core->snapshot_error = -EAGAIN;
    data = ask(SNAPSHOT("\"000001.SZ\"", QUOTE), "SNAPSHOT");
    assert_int_equal(failure(data, "000001.SZ", "quote"), 106);
    assert_true(
        json_is_true(json_object_get(entry_of(data, "failed", "000001.SZ", "quote"), "retry")));
}

static void history_of_who_gets_sbe_is_defined_first(void **state)
{
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    core->newest_seq = 50;
    say(0, RESUME(EPOCH, "\"3\":5,\"0\":5,\"88\":1", ""));
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(1), "3 0");
    forget_texts();
    say(0, SNAPSHOT("\"000001.SZ\"", QUOTE));
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(1), "0");
    assert_int_equal(core->sent_after, 2);
}

static void modify_names_a_channel_of_its_own_as_subscribe_does(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\"", QUOTE,
                       ",\"delivery\":{\"mode\":\"conflated\",\"interval_ms\":100}"),
        "SUBSCRIBED");
    const json_t *data = ask(MODIFY("\"000001.SZ\"", QUOTE, "\"max_lag_ms\":50"), "MODIFIED");
    assert_int_equal(failure(data, "000001.SZ", "quote"), 107);
    data = ask(MODIFY("\"000001.SZ\"", QUOTE,
                      "\"mode\":\"conflated\",\"interval_ms\":100,\"max_lag_ms\":50"),
               "MODIFIED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "quote"), "ch"), 6);
    assert_int_equal(core->subs[0][6].max_lag_ms, 50);
}

#define REPLAY(symbols, types, rest)                                                               \
    "{\"type\":\"REPLAY\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]" rest "}" \
    "}"
#define FROM_TIME ",\"from\":1700000000000000000"

static void a_replay_is_of_what_is_not_subscribed(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask(REPLAY("\"600000.SH\",\"000001.SZ\",\"000002.SZ\",\"XXXX\",\"0*\","
                                    "\"600000.SH\"",
                                    QUOTE, FROM_TIME ON_LAG("skip")),
                             "REPLAYING");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_int_equal(number_of(entry_of(data, "ok", "600000.SH", "quote"), "ch"), 2);
    assert_int_equal(failure(data, "000002.SZ", "quote"), 107);
    assert_int_equal(failure(data, "XXXX", "quote"), 120);
    assert_int_equal(failure(data, "0*", "quote"), 107);
    assert_int_equal(core->replayed_count, 2);
    assert_int_equal(core->replayed[0].channel, 0);
    assert_int_equal(core->replayed[1].channel, 2);
    assert_int_equal(core->replayed[1].policy, LAG_SKIP);
    assert_int_equal(core->replayed[1].group, MD_QUOTE);
    assert_false(core->replay.is_by_seq);
    ask(SUBSCRIBE("\"*\"", "\"trade\""), "SUBSCRIBED");
    data = ask(REPLAY("\"000001.SZ\"", "\"trade\"", ",\"from\":1,\"to\":9"), "REPLAYING");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 107);
}

static void end_replay(int result, bool is_whole)
{
    struct core_replayed ended[2];
    memcpy(ended, core->replayed, sizeof ended);
    for (int i = 0; i < 2; i++) {
        ended[i].result = result;
        ended[i].last_seq = core->replay.to == 0 ? 70 + (uint64_t)i : 0;
        if (core->replay.to == 0 && result >= 0) {
            core->subs[0][ended[i].channel] = (struct fake_sub){.on = true, .tag = ended[i].tag};
        }
    }
    forget_texts();
    session_ops.on_replay_end(core->sessions, core, 0, ended, 2, is_whole);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "END_OF_REPLAY");
}

static long long subscription_count(void)
{
    return number_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "count");
}

static void what_is_replayed_counts_and_is_subscribed_at_the_end(void **state)
{
    (void)state;
    ask(REPLAY("\"000001.SZ\",\"000002.SZ\"", QUOTE, FROM_TIME), "REPLAYING");
    assert_int_equal(subscription_count(), 2);
    end_replay(0, true);
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "quote"), "last"), 70);
    assert_int_equal(number_of(entry_of(data, "ok", "000002.SZ", "quote"), "last"), 71);
    assert_int_equal(count_of(data, "gaps"), 0);
    assert_int_equal(count_of(data, "failed"), 0);
    assert_int_equal(subscription_count(), 2);
    ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(subscription_count(), 0);
}

static void a_replay_that_missed_something_says_so(void **state)
{
    (void)state;
    ask(REPLAY("\"000001.SZ\",\"000002.SZ\"", QUOTE, FROM_TIME), "REPLAYING");
    end_replay(1, false);
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(count_of(data, "ok"), 0);
    assert_int_equal(number_of(entry_of(data, "gaps", "000001.SZ", "quote"), "last"), 70);
    assert_int_equal(subscription_count(), 2);
}

static void a_range_leaves_nothing_subscribed(void **state)
{
    (void)state;
    ask(REPLAY("\"000001.SZ\",\"000002.SZ\"", QUOTE, FROM_TIME ",\"to\":1700000000000000009"),
        "REPLAYING");
    assert_int_equal(subscription_count(), 0);
    end_replay(0, true);
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_null(json_object_get(entry_of(data, "ok", "000001.SZ", "quote"), "last"));
    assert_int_equal(subscription_count(), 0);
}

static void what_cannot_go_on_after_a_replay_is_told(void **state)
{
    (void)state;
    ask(REPLAY("\"000001.SZ\",\"000002.SZ\"", QUOTE, FROM_TIME), "REPLAYING");
    end_replay(-EEXIST, true);
    assert_int_equal(failure(json_object_get(core->texts[0], "data"), "000001.SZ", "quote"), 107);
    assert_int_equal(subscription_count(), 0);
    ask(REPLAY("\"000001.SZ\",\"000002.SZ\"", QUOTE, FROM_TIME), "REPLAYING");
    end_replay(-ENOSPC, true);
    assert_int_equal(failure(json_object_get(core->texts[0], "data"), "000001.SZ", "quote"), 106);
}

static void a_replay_that_cannot_be_is_an_error(void **state)
{
    static const int results[][2] = {{-ERANGE, 124}, {-EINVAL, 107}, {-EBUSY, 106}, {-ENOMEM, 100}};
    (void)state;
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        core->replay_result = results[i][0];
        const json_t *data = ask(REPLAY("\"000001.SZ\"", QUOTE, ",\"from\":1"), "ERROR");
        assert_int_equal(number_of(data, "code"), results[i][1]);
        assert_int_equal(json_is_true(json_object_get(data, "retry")),
                         results[i][0] == -EBUSY || results[i][0] == -ENOMEM);
        if (results[i][0] == -ERANGE) {
            assert_non_null(strstr(text_of(data, "message"), "begins at 1700000000000000123"));
        }
        assert_int_equal(subscription_count(), 0);
    }
}

static void dropping_all_ends_a_replay(void **state)
{
    (void)state;
    ask(REPLAY("\"000001.SZ\"", QUOTE, ",\"from\":1"), "REPLAYING");
    assert_int_equal(subscription_count(), 1);
    ask("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"data_types\":[\"quote\"]}}", "UNSUBSCRIBED");
    assert_int_equal(core->replayed_count, 1);
    ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(core->replayed_count, 0);
    assert_int_equal(subscription_count(), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(modify_changes_what_is_subscribed_and_nothing_else),
        TEST(modify_keeps_what_it_does_not_name),
        TEST(a_pattern_that_is_modified_without_room_stays),
        TEST(modify_conflates_only_full_images),
        TEST(a_channel_has_the_limit_of_the_entry_that_covers_it),
        TEST(each_cursor_gets_its_verdict),
        TEST(in_another_epoch_all_is_a_gap),
        TEST(what_is_resumed_is_subscribed_as_asked_and_counts),
        TEST(a_cursor_that_finds_no_room_is_told),
        TEST(since_goes_on_with_one_channel),
        TEST(snapshots_follow_their_answer),
        TEST(a_snapshot_that_cannot_be_is_refused),
        TEST(history_of_who_gets_sbe_is_defined_first),
        TEST(modify_names_a_channel_of_its_own_as_subscribe_does),
        TEST(a_replay_is_of_what_is_not_subscribed),
        TEST(what_is_replayed_counts_and_is_subscribed_at_the_end),
        TEST(a_replay_that_missed_something_says_so),
        TEST(a_range_leaves_nothing_subscribed),
        TEST(what_cannot_go_on_after_a_replay_is_told),
        TEST(a_replay_that_cannot_be_is_an_error),
        TEST(dropping_all_ends_a_replay),
    };
    int failed_count = cmocka_run_group_tests(tests, NULL, NULL);
    slice_units = 1; /* Whatever can be cut is. */
    return failed_count + cmocka_run_group_tests_name("in slices", tests, NULL, NULL);
}
