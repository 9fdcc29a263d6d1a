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
    assert_int_equal(failure(data, "000002.SZ", "depth"), 120); /* It has quotes only. */
    data = ask(SUBSCRIBE_WITH("\"000002.SZ\"", "\"bar\"", ",\"bar\":\"1m\""), "SUBSCRIBED");
    assert_int_equal(failure(data, "000002.SZ", "bar"), 120); /* neither trades nor bars */
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
    };
    int failed_count = cmocka_run_group_tests(tests, NULL, NULL);
    slice_units = 1; /* Whatever can be cut is. */
    return failed_count + cmocka_run_group_tests_name("in slices", tests, NULL, NULL);
}
