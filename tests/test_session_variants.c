/*
 * Depths, bars and intervals over a core that is a double (session_double.h).
 */
#include "tests/session_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONFLATED(interval) ",\"delivery\":{\"mode\":\"conflated\",\"interval_ms\":" interval "}"
#define SZ "\"000001.SZ\""

static uint32_t subscribers_of(uint32_t channel)
{
    uint32_t index = channels_get(channels, channel)->variant_index;
    return atomic_load(&channels_wish(channels, index)->subscriber_count);
}

static void a_variant_is_a_channel_of_its_own(void **state)
{
    (void)state;
    const json_t *data = ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10"), "SUBSCRIBED");
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "depth");
    assert_int_equal(number_of(entry, "ch"), 6);
    assert_int_equal(number_of(entry, "next_seq"), 106);
    assert_int_equal(number_of(entry, "depth"), 10);
    assert_int_equal(core->subs[0][6].group, CHANNELS_VARIANTS_GROUP);
    assert_int_equal(core->subs[0][6].policy, LAG_SKIP);
    assert_int_equal(subscribers_of(6), 1);
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->asks_snapshot), 1);

    data = ask(SUBSCRIBE_WITH(SZ, "\"quote\"", CONFLATED("250")), "SUBSCRIBED");
    entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "interval_ms"), 250);
    assert_int_equal(number_of(entry, "ch"), 7);
    assert_int_equal(core->subs[0][7].policy, LAG_CONFLATE);
    data = ask(SUBSCRIBE_WITH(SZ, "\"bar\",\"depth\"", ",\"bar\":\"1s\""), "SUBSCRIBED");
    assert_string_equal(text_of(entry_of(data, "ok", "000001.SZ", "bar"), "bar"), "1s");
    entry = entry_of(data, "ok", "000001.SZ", "depth"); /* bar is not for depth: the feed's own. */
    assert_int_equal(number_of(entry, "ch"), 4);
    assert_null(json_object_get(entry, "depth"));
    assert_string_equal(table(0), "....S.SCS");

    /* Again: the same channels. A policy may be given. */
    data = ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10" ON_LAG("disconnect")), "SUBSCRIBED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "depth"), "ch"), 6);
    assert_string_equal(table(0), "....S.DCS");
    assert_int_equal(subscribers_of(6), 1);
}

static void variants_are_listed_and_dropped_by_what_they_are(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10"), "SUBSCRIBED");
    ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10" CONFLATED("100")), "SUBSCRIBED");
    ask(SUBSCRIBE(SZ, "\"depth\""), "SUBSCRIBED");
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(number_of(data, "count"), 3);
    const json_t *last = json_array_get(json_object_get(data, "subscriptions"), 2);
    assert_int_equal(number_of(last, "depth"), 10);
    assert_int_equal(number_of(last, "interval_ms"), 100);
    assert_string_equal(text_of(last, "on_lag"), "conflate");

    data = ask(UNSUBSCRIBE(SZ, "\"depth\""), "UNSUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_string_equal(table(0), "......SC");
    data = ask("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[" SZ "],\"data_types\":"
               "[\"depth\"],\"depth\":10}}",
               "UNSUBSCRIBED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "depth"), "depth"), 10);
    assert_string_equal(table(0), ".......C");
    assert_int_equal(subscribers_of(6), 0);
    data = ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "depth"), "interval_ms"), 100);
    assert_int_equal(subscribers_of(7), 0);
}

static void a_conn_that_ends_wishes_for_nothing_any_more(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH(SZ, "\"quote\"", CONFLATED("100")), "SUBSCRIBED");
    assert_int_equal(subscribers_of(6), 1);
    end_conn(0);
    assert_int_equal(subscribers_of(6), 0);
}

static void what_no_variant_can_be_is_refused(void **state)
{
    (void)state;
    const json_t *data = ask(
        SUBSCRIBE_WITH(SZ, "\"trade\",\"depth\",\"bar\",\"quote\",\"status\"", CONFLATED("100")),
        "SUBSCRIBED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_int_equal(failure(data, "000001.SZ", "depth"), 123); /* the deltas of a feed */
    assert_int_equal(failure(data, "000001.SZ", "bar"), 123);
    assert_int_equal(failure(data, "000001.SZ", "status"), 123);
    assert_int_equal(count_of(data, "ok"), 1);
    data = ask(SUBSCRIBE_WITH("\"*\",\"0*\",\"X\",\"000002.SZ\"", "\"depth\"", ",\"depth\":5"),
               "SUBSCRIBED");
    assert_int_equal(failure(data, "*", "depth"), 123);
    assert_int_equal(failure(data, "0*", "depth"), 123);
    assert_int_equal(failure(data, "X", "depth"), 120);
    assert_int_equal(failure(data, "000002.SZ", "depth"), 120);
    assert_string_equal(text_of(entry_of(data, "failed", "000002.SZ", "depth"), "message"),
                        "this symbol has no depth so far; it has: quote");
    data = ask(SUBSCRIBE_WITH("\"000002.SZ\"", "\"bar\"", ",\"bar\":\"1m\""), "SUBSCRIBED");
    assert_int_equal(failure(data, "000002.SZ", "bar"), 120);
    assert_string_equal(text_of(entry_of(data, "failed", "000002.SZ", "bar"), "message"),
                        "this symbol has no bar and no trade so far; it has: quote");
    data = ask("{\"type\":\"SNAPSHOT\",\"data\":{\"symbols\":" SZ ",\"data_types\":\"bar\","
               "\"bar\":\"1m\"}}",
               "SNAPSHOT");
    assert_int_equal(failure(data, "000001.SZ", "bar"), 120);
    assert_string_equal(text_of(entry_of(data, "failed", "000001.SZ", "bar"), "message"),
                        "it is computed only while a client subscribes to it, and no client does");
    data = ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":5" ON_LAG("conflate")), "SUBSCRIBED");
    assert_int_equal(failure(data, "000001.SZ", "depth"), 123);
    assert_int_equal(channels_count(channels), 7); /* What is refused makes no channel. */
}

static void patterns_cover_no_variant(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH(SZ, "\"quote\"", CONFLATED("100")), "SUBSCRIBED");
    open_conn(1);
    forget_texts();
    say(1, SUBSCRIBE("\"*.SZ\",\"*\"", QUOTE));
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(covered(data, "*.SZ"), 2);
    assert_int_equal(covered(data, "*"), 3);
    assert_string_equal(table(1), "cc.....");
    session_ops.on_channel(core->sessions, core, 6);
    assert_string_equal(table(1), "cc.....");
}

static void who_is_full_makes_no_channel(void **state)
{
    (void)state;
    open_channel("A", MD_DEPTH);
    for (int i = 0; i < LIMIT; i++) {
        char symbol[16];
        char text[128];
        snprintf(symbol, sizeof symbol, "S%d", i);
        open_channel(symbol, MD_QUOTE);
        snprintf(text, sizeof text, SUBSCRIBE("\"%s\"", QUOTE), symbol);
        ask(text, "SUBSCRIBED");
    }
    uint32_t before = channels_count(channels);
    const json_t *data = ask(SUBSCRIBE_WITH("\"A\"", "\"depth\"", ",\"depth\":5"), "SUBSCRIBED");
    assert_int_equal(failure(data, "A", "depth"), 122);
    assert_int_equal(channels_count(channels), before);
}

static void a_gap_asks_for_a_snapshot_of_the_book(void **state)
{
    char text[256];
    (void)state;
    ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10,\"snapshot\":false"), "SUBSCRIBED");
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->asks_snapshot), 0);
    session_ops.write_gap(core->sessions, text, 6, 1, 2, "lag");
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->asks_snapshot), 1);
    session_ops.write_gap(core->sessions, text, 0, 1, 2, "lag"); /* of no book: nothing */
}

static void a_book_whose_newest_frame_is_whole_is_not_asked_for(void **state)
{
    (void)state;
    core->has_images = true;
    ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10"), "SUBSCRIBED");
    assert_int_equal(atomic_load(&channels_wish(channels, 0)->asks_snapshot), 0);
    core->has_images = false;
    ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":20"), "SUBSCRIBED");
    assert_int_equal(atomic_load(&channels_wish(channels, 1)->asks_snapshot), 1);
}

/* ---- Numbers that have had another name ---- */

#define RESUME(epoch, cursors)                                                                     \
    "{\"type\":\"RESUME\",\"data\":{\"epoch\":\"" epoch "\",\"cursors\":{" cursors "}}}"
#define SINCE(seq) ",\"since\":{\"epoch\":\"" EPOCH "\",\"seq\":" seq "}"
#define DEPTH_5(rest) SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":5" rest)

/* What the publisher does in a minute: channel 6, which was of depth 5, is of depth 10 from seq 200
 * on. */
static void give_6_another_name(void)
{
    ask(DEPTH_5(), "SUBSCRIBED");
    ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(subscribers_of(6), 0);
    assert_true(channels_unname(channels, 0));
    channels_reuse(channels, 0, 200);
    for (uint32_t i = 1; i < CHANNELS_VARIANTS_MAX; i++) {
        char symbol[16];
        int bytes = snprintf(symbol, sizeof symbol, "V%u", i);
        channels_hold_variant(channels, symbol, (size_t)bytes, MD_DEPTH,
                              (struct variant){.depth = 5});
    }
    assert_int_equal(
        channels_hold_variant(channels, "000001.SZ", 9, MD_DEPTH, (struct variant){.depth = 10}),
        6);
    channels_release(channels, 6);
    core->newest_seq = 300;
}

static long long code_of_cursor(const json_t *data)
{
    assert_int_equal(count_of(data, "failed"), 1);
    return number_of(json_array_get(json_object_get(data, "failed"), 0), "code");
}

static void a_cursor_of_another_name_is_of_no_channel(void **state)
{
    (void)state;
    give_6_another_name();
    assert_int_equal(code_of_cursor(ask(RESUME(EPOCH, "\"6\":198"), "RESUMED")), 120);
    assert_int_equal(code_of_cursor(ask(RESUME(EPOCH, "\"6\":0"), "RESUMED")), 120);
    assert_int_equal(subscribers_of(6), 0);
    const json_t *data = ask(RESUME(EPOCH, "\"6\":199"), "RESUMED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "depth"), "from"), 200);
    assert_int_equal(subscribers_of(6), 1);
}

static void a_number_without_a_name_is_of_no_channel(void **state)
{
    (void)state;
    ask(DEPTH_5(), "SUBSCRIBED");
    ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_true(channels_unname(channels, 0));
    assert_int_equal(code_of_cursor(ask(RESUME(EPOCH, "\"6\":0"), "RESUMED")), 120);
    const json_t *data = ask(DEPTH_5(), "SUBSCRIBED");
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "depth"), "ch"), 7);
}

static void since_a_seq_of_another_name_is_a_gap(void **state)
{
    (void)state;
    give_6_another_name();
    const json_t *data =
        ask(SUBSCRIBE_WITH(SZ, "\"depth\"", ",\"depth\":10" SINCE("150")), "SUBSCRIBED");
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "depth");
    assert_string_equal(text_of(entry, "gap"), "restart");
    assert_int_equal(core->subs[0][6].resumed_from, 1);
}

static void a_replay_begins_with_the_name(void **state)
{
    (void)state;
#define REPLAY(from)                                                                               \
    "{\"type\":\"REPLAY\",\"data\":{\"symbols\":[" SZ "],\"data_types\":[\"depth\"],"              \
    "\"depth\":10,\"from\":" from "}}"
    give_6_another_name();
    ask(REPLAY("1700000000000000000"), "REPLAYING");
    assert_int_equal(core->replayed[0].channel, 6);
    assert_int_equal(core->replayed[0].first_seq, 200);
    assert_int_equal(number_of(ask(REPLAY("199"), "ERROR"), "code"), 124);
    assert_int_equal(subscribers_of(6), 0);
}

static void one_client_has_256_variants_at_most(void **state)
{
    char text[256];
    (void)state;
    for (uint32_t i = 0; i < CHANNELS_CLIENT_VARIANTS_MAX + 2; i++) {
        char symbol[16];
        snprintf(symbol, sizeof symbol, "V%u", i);
        channels_open(channels, symbol, strlen(symbol), MD_DEPTH);
        snprintf(text, sizeof text, SUBSCRIBE_WITH("\"%s\"", "\"depth\"", ",\"depth\":5"), symbol);
        const json_t *data = ask(text, "SUBSCRIBED");
        if (i < CHANNELS_CLIENT_VARIANTS_MAX) {
            assert_non_null(entry_of(data, "ok", symbol, "depth"));
        } else {
            assert_int_equal(failure(data, symbol, "depth"), 122);
        }
    }
    ask(SUBSCRIBE("\"V0\"", "\"depth\""), "SUBSCRIBED"); /* The feed's own is not counted. */
    ask("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[\"V7\"],\"data_types\":[\"depth\"],"
        "\"depth\":5}}",
        "UNSUBSCRIBED");
    assert_int_equal(count_of(ask(text, "SUBSCRIBED"), "ok"), 1);
    assert_int_equal(
        failure(ask(SUBSCRIBE_WITH("\"V7\"", "\"depth\"", ",\"depth\":5"), "SUBSCRIBED"), "V7",
                "depth"),
        122);
    ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(count_of(ask(text, "SUBSCRIBED"), "ok"), 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        TEST(a_variant_is_a_channel_of_its_own),
        TEST(variants_are_listed_and_dropped_by_what_they_are),
        TEST(a_conn_that_ends_wishes_for_nothing_any_more),
        TEST(what_no_variant_can_be_is_refused),
        TEST(patterns_cover_no_variant),
        TEST(who_is_full_makes_no_channel),
        TEST(a_gap_asks_for_a_snapshot_of_the_book),
        TEST(a_book_whose_newest_frame_is_whole_is_not_asked_for),
        TEST(a_cursor_of_another_name_is_of_no_channel),
        TEST(a_number_without_a_name_is_of_no_channel),
        TEST(since_a_seq_of_another_name_is_a_gap),
        TEST(a_replay_begins_with_the_name),
        cmocka_unit_test_setup_teardown(one_client_has_256_variants_at_most, set_up_wide,
                                        tear_down),
    };
    int failed_count = cmocka_run_group_tests(tests, NULL, NULL);
    slice_units = 1; /* Whatever can be cut is. */
    return failed_count + cmocka_run_group_tests_name("in slices", tests, NULL, NULL);
}
