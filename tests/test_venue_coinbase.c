#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/decimal.h"
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
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"1\",\"-1\"]],\"bids\":[]}",
        "{\"type\":\"snapshot\",\"product_id\":\"A-B\",\"asks\":[[\"0\",\"1\"]],\"bids\":[]}",
        "{\"type\":\"l2update\",\"product_id\":\"A-B\",\"changes\":[[\"hold\",\"1\",\"1\"]],"
        "\"time\":\"2020-09-13T12:26:42Z\"}",
        "{\"type\":\"l2update\",\"product_id\":\"A-B\",\"changes\":[],"
        "\"time\":\"2020-09-13T12:26:42\"}",
        "{'type':'snapshot','product_id':'A-B','asks':[['1e19','1']],'bids':[]}",
        "{'type':'snapshot','product_id':'A-B','asks':[['1',null]],'bids':[]}",
        "{'type':'snapshot','product_id':'A-B','asks':[['','1']],'bids':[]}",
        "{'type':'snapshot','product_id':'A-B','asks':'','bids':[]}",
        "{'type':'snapshot','product_id':1.5,'asks':[],'bids':[]}",
        "{'type':'snapshot','product_id':'A\\u0000B','asks':[],'bids':[]}",
        "{'type':'l2update','product_id':'A-B','changes':[['buy','1','']]}",
        "{'type':'l2update','product_id':'A-B','changes':[['buy','1']]}",
        "{'type':'l2update','product_id':'A-B','changes':[[null,'1','1']]}",
        "{'type':'l2update','product_id':'A-B'}",
        "{'type':'ticker','product_id':'A-B','time':'2020-09-13T12:26:42Z'}",
        "{'type':'ticker','product_id':'A-B','price':'-1'}",
        "{'type':'ticker','product_id':'A-B','price':true}",
        "{'type':'ticker','product_id':'A-B','price':'1','best_bid':'1','best_bid_size':'x'}",
        "{'type':'ticker','product_id':'A-B','price':'1','volume_24h':'1e19'}",
        "{'type':'match','product_id':'A-B','price':'','size':'1','side':'buy'}",
        "{'type':'match','product_id':'A-B','price':'0','size':'1','side':'buy'}",
        "{'type':'match','product_id':'A-B','price':'1','size':'-1','side':'buy'}",
        "{'type':'match','product_id':'A-B','price':'1','side':'hold'}",
        "{'type':'match','product_id':'A-B','price':'1','side':7}",
        "{'type':'match','product_id':'A-B','price':'1','time':'2020-09-13 12:26:42'}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\"}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\",\"price\":\"1\",\"best_bid\":[]}",
        "{\"type\":\"ticker\",\"product_id\":\"A-B\",\"price\":\"1\",\"time\":5}",
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

/* What Coinbase and those who record it may write, and what it becomes. */
static void what_is_not_used_or_not_there_costs_no_tick(void **state)
{
#define TICKER(rest) "{'type':'ticker','product_id':'A'," rest "}"
#define MATCH(rest) "{'type':'match','product_id':'A'," rest "}"
#define CHANGES(changes, rest) "{'type':'l2update','product_id':'A','changes':" changes rest "}"
#define LEVELS(bids, asks) "{'type':'snapshot','product_id':'A','bids':" bids ",'asks':" asks "}"
    static const struct venue_case cases[] = {
        {TICKER("'price':'1.5','time':'2020-09-13T12:26:41Z'"), "1600000001000000000 {'last':1.5}"},
        {TICKER("'price':'1.6','best_bid':'','best_ask':'1.7'"),
         "0 {'last':1.6,'asks':[[1.7,null]]}"},
        {TICKER("'price':'1.6','time':''"), "0 {'last':1.6}"},
        {TICKER("'price':'1.6','time':null,'best_bid':null,'best_bid_size':{},'best_ask_size':[]"),
         "0 {'last':1.6}"},
        {TICKER("'price':'','best_bid':'1','best_bid_size':''"), "0 {'bids':[[1,null]]}"},
        {TICKER("'price':'0','open_24h':'0.00','high_24h':'','low_24h':null,'volume_24h':'0'"),
         "0 {'volume':0}"},
        {TICKER("'price':1.60,'open_24h':5,'best_bid':1e-7,'best_bid_size':2.50,'volume_24h':1E3"),
         "0 {'last':1.60,'open':5,'volume':1000,'bids':[[0.0000001,2.50]]}"},
        {TICKER("'price':'1','sequence':18446744073709551616,'last_size':-1e999,'x':'\\u0000'"),
         "0 {'last':1}"},
        {TICKER("'price':'1','time':'2020-09-13 12:26:40+00:00','trade_id':'x'"),
         "1600000000000000000 {'last':1}"},
        {MATCH("'price':'1.234e-05'"), "0 {'price':0.00001234}"},
        {MATCH("'price':'1','size':'','side':'','trade_id':'','time':''"), "0 {'price':1}"},
        {MATCH("'price':'1','size':null,'side':null,'trade_id':null,'time':null"), "0 {'price':1}"},
        {MATCH("'price':'1','size':'0','side':'buy','trade_id':18446744073709551615"),
         "0 {'price':1,'size':0,'side':'sell','id':18446744073709551615}"},
        {MATCH("'price':'1','trade_id':'8','maker_order_id':99999999999999999999"),
         "0 {'price':1,'id':8}"},
        {CHANGES("[['buy','1e-7','0E-8']]", ""),
         "0 {'action':'delta','bids':[[0.0000001,0.00000000]],'asks':[]}"},
        {CHANGES("[['sell',1.10,2,[]],['buy','1','3']]", ",'time':''"),
         "0 {'action':'delta','bids':[[1,3]],'asks':[[1.10,2]]}"},
        {CHANGES("[]", ",'time':'0001-01-01T00:00:00.000000Z'"),
         "0 {'action':'delta','bids':[],'asks':[]}"},
        {CHANGES("null", ",'time':null"), "0 {'action':'delta','bids':[],'asks':[]}"},
        {LEVELS("null", "[[1.5,1e0]]"), "0 {'action':'snapshot','bids':[],'asks':[[1.5,1]]}"},
        /* One price twice, also as other text: the last that was said of it, best first. */
        {LEVELS("[['2','1'],['2','5']]", "[['3','1'],['3.00','7'],['3e0','6']]"),
         "0 {'action':'snapshot','bids':[[2,5]],'asks':[[3,6]]}"},
        {LEVELS("[['1','1'],['2','2'],['1.0','3'],['3','4'],['2.00','5']]", "[]"),
         "0 {'action':'snapshot','bids':[[3,4],[2.00,5],[1.0,3]],'asks':[]}"},
        {LEVELS("[]", "[['3','1'],['1','2'],['2','3'],['1','4']]"),
         "0 {'action':'snapshot','bids':[],'asks':[[1,4],[2,3],[3,1]]}"},
        /* A level of size 0 is none, and takes an earlier one of its price away. */
        {LEVELS("[['2','0'],['1','1']]", "[['3','1'],['3','0'],['4','0.0'],['4','2']]"),
         "0 {'action':'snapshot','bids':[[1,1]],'asks':[[4,2]]}"},
        /* A crossed book is told as the venue has it. */
        {LEVELS("[['5','1']]", "[['4','1']]"),
         "0 {'action':'snapshot','bids':[[5,1]],'asks':[[4,1]]}"},
    };
    struct fixture *fixture = *state;
    check_cases(fixture, cases, sizeof cases / sizeof cases[0]);
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
    size_t bytes_max = 100 + (VENUE_LEVELS_MAX + 1) * 16;
    char *text = malloc(bytes_max);
    for (int over = 0; over <= 1; over++) {
        size_t used = (size_t)sprintf(text, "{\"type\":\"snapshot\",\"product_id\":\"A-B\","
                                            "\"asks\":[],\"bids\":[");
        for (int i = 0; i < VENUE_LEVELS_MAX + over; i++) {
            used += (size_t)sprintf(text + used, "%s[\"%d\",\"2\"]", i == 0 ? "" : ",", i + 1);
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

static uint32_t below(uint64_t *seed, uint32_t bound)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*seed >> 33) % bound;
}

/* Against a table of the last size of each price. */
static void a_snapshot_is_what_its_levels_make_one_by_one(void **state)
{
    static const char *const forms[] = {"%u", "%u.0", "%u.00", "%ue0", "%u0e-1"};
    struct fixture *fixture = *state;
    char text[20000];
    uint64_t seed = 1;
    for (int round = 0; round < 300; round++) {
        uint32_t sizes[100] = {0};
        size_t used = (size_t)sprintf(text, "{'type':'snapshot','product_id':'A','asks':[");
        uint32_t count = below(&seed, round < 200 ? 8 : 500);
        uint32_t prices = round % 2 == 0 ? 6 : 100;
        for (uint32_t i = 0; i < count; i++) {
            uint32_t price = below(&seed, prices);
            sizes[price] = below(&seed, 4);
            used += (size_t)sprintf(text + used, i == 0 ? "['" : ",['");
            used += (size_t)sprintf(text + used, forms[below(&seed, 5)], price + 1);
            used += (size_t)sprintf(text + used, "','%u']", sizes[price]);
        }
        sprintf(text + used, "],'bids':[]}");
        assert_int_equal(decode(fixture, text), VENUE_TICK);
        const struct md_depth *depth =
            &recorder_tick(fixture->recorder, (uint64_t)round)->update.depth;
        uint32_t at = 0;
        for (uint32_t price = 0; price < 100; price++) {
            if (sizes[price] > 0) {
                assert_true(at < depth->ask_count);
                struct md_decimal expected = {.mantissa = price + 1};
                assert_int_equal(decimal_compare(depth->asks[at].price, expected), 0);
                assert_decimal(depth->asks[at++].size, sizes[price], 0);
            }
        }
        assert_int_equal(at, depth->ask_count);
    }
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
        TEST(what_is_not_used_or_not_there_costs_no_tick),
        TEST(a_size_that_overflows_only_by_its_zeros_is_taken),
        TEST(levels_are_taken_up_to_the_limit),
        TEST(every_cut_of_a_message_is_malformed),
        TEST(a_symbol_without_channel_is_malformed),
        TEST(a_snapshot_is_told_best_first),
        TEST(a_snapshot_is_what_its_levels_make_one_by_one),
        TEST(what_a_bad_message_was_of_is_lost_there),
        TEST(what_nobody_can_read_may_have_been_of_any_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
