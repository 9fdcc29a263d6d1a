#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feeds/venue/venue_coinbase.h"
#include "tests/venue_fixture.h"

/* 2020-09-13T12:26:40Z */
#define EPOCH_NS UINT64_C(1600000000000000000)

static int set_up(void **state)
{
    return venue_fixture_set_up(state, &venue_coinbase);
}

static void assert_decimal(struct md_decimal decimal, int64_t mantissa, int8_t exponent)
{
    assert_int_equal(decimal.mantissa, mantissa);
    assert_int_equal(decimal.exponent, exponent);
}

static void a_snapshot_keeps_every_level_in_order(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{\"type\":\"snapshot\",\"product_id\":\"abc-USD\","
                                     "\"asks\":[[\"10.02\",\"1.50\"]],"
                                     "\"bids\":[[\"10.01\",\"2.25\"],[\"9.99\",\"100.000\"]]}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    assert_string_equal(recorder_symbol(fixture->recorder, 0), "ABC-USD.COINBASE");
    assert_int_equal(tick->update.type, MD_DEPTH);
    assert_int_equal(tick->update.depth.action, MD_SNAPSHOT);
    assert_int_equal(tick->update.depth.bid_count, 2);
    assert_int_equal(tick->update.depth.ask_count, 1);
    assert_decimal(tick->bids[0].price, 1001, -2);
    assert_decimal(tick->bids[1].price, 999, -2);
    assert_decimal(tick->bids[1].size, 100000, -3);
    assert_decimal(tick->asks[0].size, 150, -2);
    assert_true(tick->update.ts_event_ns == 0);
    assert_true(tick->update.ts_recv_ns == NOW_NS);
}

static void an_update_parts_its_changes_by_side(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{\"type\":\"l2update\",\"product_id\":\"ABC-USD\","
                                     "\"changes\":[[\"buy\",\"10.01\",\"0.00\"],"
                                     "[\"sell\",\"10.02\",\"4.5\"],[\"buy\",\"10.00\",\"1\"]],"
                                     "\"time\":\"2020-09-13T12:26:41.123456Z\"}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    assert_int_equal(tick->update.depth.action, MD_DELTA);
    assert_int_equal(tick->update.depth.bid_count, 2);
    assert_int_equal(tick->update.depth.ask_count, 1);
    assert_decimal(tick->bids[0].size, 0, -2);
    assert_decimal(tick->bids[1].price, 1000, -2);
    assert_decimal(tick->asks[0].size, 45, -1);
    assert_true(tick->update.ts_event_ns == EPOCH_NS + UINT64_C(1123456000));
}

static void the_side_of_a_match_is_turned_round(void **state)
{
    struct fixture *fixture = *state;
    char text[300];
    static const char *const sides[] = {"sell", "buy"};
    for (int i = 0; i < 2; i++) {
        snprintf(text, sizeof text,
                 "{\"type\":\"match\",\"trade_id\":%d,\"side\":\"%s\",\"size\":\"0.50\","
                 "\"price\":\"10.02\",\"product_id\":\"ABC-USD\","
                 "\"time\":\"2020-09-13T12:26:42.000001Z\"}",
                 8 + i, sides[i]);
        assert_int_equal(decode(fixture, text), VENUE_TICK);
    }
    const struct md_trade *trade = &recorder_tick(fixture->recorder, 0)->update.trade;
    assert_int_equal(trade->side, MD_SIDE_BUY);
    assert_decimal(trade->price, 1002, -2);
    assert_decimal(trade->size, 50, -2);
    assert_true(trade->has_id);
    assert_int_equal(trade->id, 8);
    assert_int_equal(recorder_tick(fixture->recorder, 1)->update.trade.side, MD_SIDE_SELL);
}

static void a_ticker_is_a_full_quote(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture,
                            "{\"type\":\"ticker\",\"product_id\":\"ABC-USD\",\"price\":\"10.02\","
                            "\"open_24h\":\"9.5\",\"volume_24h\":\"123.4\",\"low_24h\":\"9.4\","
                            "\"high_24h\":\"10.5\",\"best_bid\":\"10.00\",\"best_ask\":\"10.03\","
                            "\"time\":\"2020-09-13T12:26:42Z\"}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    const struct md_quote *quote = &tick->update.quote;
    assert_decimal(quote->last, 1002, -2);
    assert_decimal(quote->open, 95, -1);
    assert_decimal(quote->high, 105, -1);
    assert_decimal(quote->low, 94, -1);
    assert_decimal(quote->volume, 1234, -1);
    assert_false(md_is_given(quote->prev_close));
    assert_false(md_is_given(quote->turnover));
    assert_int_equal(quote->bid_count, 1);
    assert_decimal(tick->bids[0].price, 1000, -2);
    assert_false(md_is_given(tick->bids[0].size));
    assert_decimal(tick->asks[0].price, 1003, -2);
    assert_true(tick->update.ts_event_ns == EPOCH_NS + 2 * UINT64_C(1000000000));
}

static void an_empty_side_of_a_ticker_is_left_out(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture,
                            "{\"type\":\"ticker\",\"product_id\":\"ABC-USD\",\"price\":\"10.02\","
                            "\"best_bid\":\"0\",\"best_ask\":\"10.03\","
                            "\"best_ask_size\":\"4.0\"}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    assert_int_equal(tick->update.quote.bid_count, 0);
    assert_int_equal(tick->update.quote.ask_count, 1);
    assert_decimal(tick->asks[0].size, 40, -1);
    assert_true(tick->update.ts_event_ns == 0);
    assert_false(md_is_given(tick->update.quote.open));
}

static void what_is_no_tick_is_counted_by_name(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{\"type\":\"last_match\"}"), VENUE_SKIPPED);
    assert_int_equal(decode(fixture, "{\"type\":\"last_match\"}"), VENUE_SKIPPED);
    assert_int_equal(decode(fixture, "{\"type\":\"status\",\"x\":[1]}"), VENUE_SKIPPED);
    assert_int_equal(fixture->counters.skipped, 3);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "last_match"), 2);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "status"), 1);
    assert_int_equal(fixture->recorder->tick_count, 0);
}

static void a_bad_field_is_malformed_and_never_a_tick(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "{}",
        "null",
        "{\"type\":1}",
        "{\"type\":\"match\"}",
        "{\"type\":\"snapshot\",\"product_id\":7,\"asks\":[],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"\",\"asks\":[],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-NAME-THAT-IS-FAR-TOO-LONG\",\"asks\":[],"
        "\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":{},\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[1.5,\"1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"1e5\",\"1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"1\",\"-1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"0\",\"1\"]],\"bids\":[]}",
        "{\"type\":\"l2update\",\"product_id\":\"A-B\",\"changes\":[[\"hold\",\"1\",\"1\"]],"
        "\"time\":\"2020-09-13T12:26:42Z\"}",
        "{\"type\":\"l2update\",\"product_id\":\"A-B\",\"changes\":[[\"buy\",\"1\",\"1\"]]}",
        "{\"type\":\"l2update\",\"product_id\":\"A-B\",\"changes\":[],"
        "\"time\":\"2020-09-13T12:26:42\"}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\"}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\",\"price\":\"1\",\"open_24h\":5}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\",\"price\":\"1\",\"best_bid\":[]}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\",\"price\":\"1\",\"time\":5}",
        "{\"type\":\"match\",\"product_id\":\"A-B\",\"price\":\"1\",\"size\":\"1\","
        "\"side\":\"buy\",\"trade_id\":\"8\",\"time\":\"2020-09-13T12:26:42Z\"}",
        "{\"type\":\"match\",\"product_id\":\"A-B\",\"price\":\"1\",\"size\":\"1\","
        "\"side\":\"\",\"trade_id\":8,\"time\":\"2020-09-13T12:26:42Z\"}",
        "{\"type\":\"match\",\"product_id\":\"A-B\",\"price\":\"1\",\"size\":\"1\","
        "\"side\":\"buy\",\"trade_id\":99999999999999999999,\"time\":\"2020-09-13T12:26:42Z\"}",
    };
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++) {
        if (decode(fixture, texts[i]) != VENUE_MALFORMED) {
            fail_msg("taken: %s", texts[i]);
        }
        assert_non_null(fixture->venue->fault);
    }
    assert_int_equal(fixture->counters.malformed, count);
    assert_int_equal(fixture->recorder->tick_count, 0);
}

static void a_size_that_overflows_only_by_its_zeros_is_taken(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bids\":[],"
                                     "\"asks\":[[\"1.50\",\"1234567890123.00000000\"]]}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    int64_t mantissa = tick->asks[0].size.mantissa;
    for (int i = 0; i < -tick->asks[0].size.exponent; i++) {
        mantissa /= 10;
    }
    assert_int_equal(mantissa, 1234567890123);
}

static void levels_are_taken_up_to_the_limit(void **state)
{
    struct fixture *fixture = *state;
    size_t bytes_max = 100 + (VENUE_LEVELS_MAX + 1) * 10;
    char *text = malloc(bytes_max);
    for (int over = 0; over <= 1; over++) {
        size_t used = (size_t)sprintf(text, "{\"type\":\"snapshot\",\"product_id\":\"A-B\","
                                            "\"asks\":[],\"bids\":[");
        for (int i = 0; i < VENUE_LEVELS_MAX + over; i++) {
            used += (size_t)sprintf(text + used, "%s[\"1\",\"2\"]", i == 0 ? "" : ",");
        }
        sprintf(text + used, "]}");
        assert_int_equal(decode(fixture, text), over ? VENUE_MALFORMED : VENUE_TICK);
    }
    assert_int_equal(recorder_tick(fixture->recorder, 0)->update.depth.bid_count, VENUE_LEVELS_MAX);
    free(text);
}

static void every_cut_of_a_message_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    static const char text[] = "{\"type\":\"match\",\"trade_id\":8,\"side\":\"sell\","
                               "\"size\":\"0.50\",\"price\":\"10.02\",\"product_id\":\"ABC-USD\","
                               "\"time\":\"2020-09-13T12:26:42.000001Z\"}";
    char cut[sizeof text];
    for (size_t i = 0; i + 1 < sizeof text; i++) {
        memcpy(cut, text, i);
        cut[i] = '\0';
        assert_int_equal(decode(fixture, cut), VENUE_MALFORMED);
    }
    assert_int_equal(decode(fixture, text), VENUE_TICK);
}

static void a_symbol_without_channel_is_malformed(void **state)
{
    struct fixture *fixture = *state;
    fixture->recorder->channels_max = 0;
    assert_int_equal(decode(fixture, "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"bids\":[],"
                                     "\"asks\":[]}"),
                     VENUE_MALFORMED);
}

#define SNAPSHOT_OF(product)                                                                       \
    "{'type':'snapshot','product_id':'" product "','bids':[['1','1'],['3','1'],['2','1']],"        \
    "'asks':[['5','1'],['4','1']]}"

static void a_snapshot_is_told_best_first(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, SNAPSHOT_OF("A")), VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    for (int64_t i = 0; i < 3; i++) {
        assert_decimal(tick->bids[i].price, 3 - i, 0);
    }
    assert_decimal(tick->asks[0].price, 4, 0);
    assert_decimal(tick->asks[1].price, 5, 0);
}

static void what_a_bad_message_was_of_is_lost_there(void **state)
{
    struct fixture *fixture = *state;
    struct recorder *recorder = fixture->recorder;
    static const char bad[] = "{'type':'l2update','product_id':'B','changes':[['buy','x','1']]}";
    assert_int_equal(decode(fixture, bad), VENUE_MALFORMED); /* Nobody can have had it. */
    assert_int_equal(recorder->lost_count, 0);
    assert_int_equal(decode(fixture, SNAPSHOT_OF("A")), VENUE_TICK);
    assert_int_equal(decode(fixture, SNAPSHOT_OF("B")), VENUE_TICK);
    assert_int_equal(decode(fixture, bad), VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 1);
    assert_int_equal(recorder->lost_channel, 1);
    assert_int_equal(decode(fixture, "{'type':'match','product_id':'A'}"), VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 1); /* There is no channel of its trades. */
}

static void what_nobody_can_read_may_have_been_of_any_book(void **state)
{
    struct fixture *fixture = *state;
    struct recorder *recorder = fixture->recorder;
    assert_int_equal(decode(fixture, SNAPSHOT_OF("A")), VENUE_TICK);
    assert_int_equal(decode(fixture, SNAPSHOT_OF("B")), VENUE_TICK);
    assert_int_equal(decode(fixture, "{'type':'l2upda"), VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 2);
    assert_int_equal(decode(fixture, "{'type':'l2upda"), VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 2); /* They are void already. */
    assert_int_equal(decode(fixture, SNAPSHOT_OF("B")), VENUE_TICK);
    assert_int_equal(decode(fixture, "nothing"), VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 3);
    assert_int_equal(recorder->lost_channel, 1);
    assert_int_equal(decode(fixture, SNAPSHOT_OF("A")), VENUE_TICK);
    /* A symbol that is too long has no channel. */
    assert_int_equal(decode(fixture, SNAPSHOT_OF("A-NAME-THAT-IS-FAR-TOO-LONG-FOR-US")),
                     VENUE_MALFORMED);
    assert_int_equal(recorder->lost_count, 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_snapshot_keeps_every_level_in_order),
        TEST(an_update_parts_its_changes_by_side),
        TEST(the_side_of_a_match_is_turned_round),
        TEST(a_ticker_is_a_full_quote),
        TEST(an_empty_side_of_a_ticker_is_left_out),
        TEST(what_is_no_tick_is_counted_by_name),
        TEST(a_bad_field_is_malformed_and_never_a_tick),
        TEST(a_size_that_overflows_only_by_its_zeros_is_taken),
        TEST(levels_are_taken_up_to_the_limit),
        TEST(every_cut_of_a_message_is_malformed),
        TEST(a_symbol_without_channel_is_malformed),
        TEST(a_snapshot_is_told_best_first),
        TEST(what_a_bad_message_was_of_is_lost_there),
        TEST(what_nobody_can_read_may_have_been_of_any_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
