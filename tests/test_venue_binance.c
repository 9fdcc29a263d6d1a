#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "feeds/venue/venue_binance.h"
#include "tests/venue_fixture.h"

static int set_up(void **state)
{
    return venue_fixture_set_up(state, &venue_binance);
}

static enum venue_status decode_depth(struct fixture *fixture, const char *symbol, uint64_t first,
                                      uint64_t last, const char *more)
{
    char text[300];
    snprintf(text, sizeof text,
             "{'e':'depthUpdate','E':1600000001001,'s':'%s','U':%llu,'u':%llu%s,'b':[],'a':[]}",
             symbol, (unsigned long long)first, (unsigned long long)last, more);
    return decode(fixture, text);
}

static void assert_decimal(struct md_decimal decimal, int64_t mantissa, int8_t exponent)
{
    assert_int_equal(decimal.mantissa, mantissa);
    assert_int_equal(decimal.exponent, exponent);
}

static void a_depth_update_is_a_delta_with_or_without_its_envelope(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture,
                            "{'stream':'abcusdt@depth','data':{'e':'depthUpdate','E':1600000001001,"
                            "'s':'ABCUSDT','U':10,'u':12,'b':[['0.35130000','6195.0']],'a':[]}}"),
                     VENUE_TICK);
    assert_int_equal(decode_depth(fixture, "abcusdt", 13, 13, ""), VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    assert_string_equal(recorder_symbol(fixture->recorder, 0), "ABCUSDT.BINANCE");
    assert_string_equal(recorder_symbol(fixture->recorder, 1), "ABCUSDT.BINANCE");
    assert_int_equal(tick->update.depth.action, MD_DELTA);
    assert_int_equal(tick->update.depth.bid_count, 1);
    assert_int_equal(tick->update.depth.ask_count, 0);
    assert_decimal(tick->bids[0].price, 35130000, -8);
    assert_decimal(tick->bids[0].size, 61950, -1);
    assert_true(tick->update.ts_event_ns == UINT64_C(1600000001001000000));
    assert_true(tick->update.ts_recv_ns == NOW_NS);
    assert_int_equal(recorder_tick(fixture->recorder, 1)->update.depth.bid_count, 0);
    assert_int_equal(fixture->counters.holes, 0);
}

static void a_hole_in_the_updates_of_spot_is_counted_by_symbol(void **state)
{
    struct fixture *fixture = *state;
    decode_depth(fixture, "A", 10, 12, "");
    decode_depth(fixture, "B", 500, 501, "");
    decode_depth(fixture, "A", 13, 15, "");
    decode_depth(fixture, "B", 502, 502, "");
    assert_int_equal(fixture->counters.holes, 0);
    decode_depth(fixture, "A", 17, 18, "");
    assert_int_equal(fixture->counters.holes, 1);
    decode_depth(fixture, "A", 19, 19, "");
    assert_int_equal(fixture->counters.holes, 1);
    venue_forget_sequences(fixture->venue);
    decode_depth(fixture, "A", 1, 2, "");
    assert_int_equal(fixture->counters.holes, 1);
    assert_int_equal(fixture->counters.ticks, 7);
}

static void a_hole_in_the_updates_of_futures_is_told_by_pu(void **state)
{
    struct fixture *fixture = *state;
    decode_depth(fixture, "A", 100, 120, ",'pu':90");
    decode_depth(fixture, "A", 130, 140, ",'pu':120");
    assert_int_equal(fixture->counters.holes, 0);
    decode_depth(fixture, "A", 141, 150, ",'pu':139");
    assert_int_equal(fixture->counters.holes, 1);
}

static void a_book_ticker_is_a_quote_of_one_level(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(
        decode(fixture, "{'u':1,'s':'ABCUSDT','b':'0.35','B':'6195.0','a':'0.36','A':'2'}"),
        VENUE_TICK);
    assert_int_equal(decode(fixture, "{'stream':'x@bookTicker','data':{'e':'bookTicker','u':1,"
                                     "'s':'ABCUSDT','b':'0.00','B':'0.00','a':'0.36','A':'2',"
                                     "'T':1600000001000,'E':1600000001001}}"),
                     VENUE_TICK);
    const struct recorded_tick *tick = recorder_tick(fixture->recorder, 0);
    assert_int_equal(tick->update.type, MD_QUOTE);
    assert_false(md_is_given(tick->update.quote.last));
    assert_false(md_is_given(tick->update.quote.turnover));
    assert_decimal(tick->bids[0].price, 35, -2);
    assert_decimal(tick->bids[0].size, 61950, -1);
    assert_decimal(tick->asks[0].size, 2, 0);
    assert_true(tick->update.ts_event_ns == 0);
    tick = recorder_tick(fixture->recorder, 1);
    assert_int_equal(tick->update.quote.bid_count, 0); /* An empty side is no level of price 0. */
    assert_int_equal(tick->update.quote.ask_count, 1);
    assert_true(tick->update.ts_event_ns == UINT64_C(1600000001001000000));
}

static void the_aggressor_sold_where_the_buyer_was_the_maker(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{'e':'aggTrade','E':1600000002501,'s':'A','a':77,'p':'0.35',"
                                     "'q':'5.0','T':1600000002500,'m':true}"),
                     VENUE_TICK);
    assert_int_equal(decode(fixture, "{'e':'aggTrade','E':1600000002501,'s':'A','a':78,'p':'0.35',"
                                     "'q':'5.0','T':1600000002500,'m':false}"),
                     VENUE_TICK);
    const struct md_update *update = &recorder_tick(fixture->recorder, 0)->update;
    assert_int_equal(update->trade.side, MD_SIDE_SELL);
    assert_int_equal(update->trade.id, 77);
    assert_true(update->trade.has_id);
    assert_decimal(update->trade.size, 50, -1);
    assert_true(update->ts_event_ns == UINT64_C(1600000002500000000));
    assert_int_equal(recorder_tick(fixture->recorder, 1)->update.trade.side, MD_SIDE_BUY);
}

static void a_kline_is_a_bar(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(
        decode(fixture, "{'e':'kline','E':1600000003001,'s':'A','k':{'t':1599999960000,'i':'1m',"
                        "'o':'0.35','c':'0.36','h':'0.37','l':'0.34','v':'5.0','n':3,'x':true,"
                        "'q':'1.75'}}"),
        VENUE_TICK);
    const struct md_update *update = &recorder_tick(fixture->recorder, 0)->update;
    const struct md_bar *bar = &update->bar;
    assert_string_equal(bar->interval, "1m");
    assert_true(bar->start_ns == UINT64_C(1599999960000000000));
    assert_decimal(bar->open, 35, -2);
    assert_decimal(bar->high, 37, -2);
    assert_decimal(bar->low, 34, -2);
    assert_decimal(bar->close, 36, -2);
    assert_decimal(bar->volume, 50, -1);
    assert_decimal(bar->turnover, 175, -2);
    assert_true(bar->has_count);
    assert_int_equal(bar->count, 3);
    assert_true(bar->closed);
    assert_true(update->ts_event_ns == UINT64_C(1600000003001000000));
}

static void others_are_counted_by_name(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(decode(fixture, "{'stream':'a@miniTicker','data':{'e':'24hrMiniTicker'}}"),
                     VENUE_SKIPPED);
    assert_int_equal(decode(fixture, "{'stream':'a@depth5','data':{'lastUpdateId':1,'bids':[]}}"),
                     VENUE_SKIPPED);
    assert_int_equal(decode(fixture, "{'stream':'!ticker@arr','data':[{'e':'24hrTicker'}]}"),
                     VENUE_SKIPPED);
    assert_int_equal(decode(fixture, "{'result':null,'id':1}"), VENUE_SKIPPED);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "24hrMiniTicker"), 1);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "depth5"), 1);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "!ticker@arr"), 1);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "response"), 1);
}

static void kinds_beyond_the_table_are_counted_together_and_made_printable(void **state)
{
    struct fixture *fixture = *state;
    char text[400];
    for (int i = 0; i < KIND_COUNTS_MAX + 5; i++) {
        snprintf(text, sizeof text, "{'e':'kind \\u0001\\n%d'}", i);
        assert_int_equal(decode(fixture, text), VENUE_SKIPPED);
    }
    assert_int_equal(fixture->venue->skipped.total, KIND_COUNTS_MAX + 5);
    assert_int_equal(fixture->venue->skipped.other, 5);
    kind_counts_format(&fixture->venue->skipped, text, sizeof text);
    assert_non_null(strstr(text, "1 kind???0, 1 kind???1"));
    assert_null(strchr(text, '\n'));
}

static void a_bad_field_is_malformed_and_never_a_tick(void **state)
{
    struct fixture *fixture = *state;
    static const char *const texts[] = {
        "{}",
        "[]",
        "{'stream':'a@depth'}",
        "{'stream':'x','data':7",
        "{'data':{}}",
        "{'e':'depthUpdate','E':1,'s':5,'U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':'1','s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':-1,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':9223372036854775807,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':'1','b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'pu':null,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1','']],'a':[]}",
        "{'e':'bookTicker','s':'A','b':'1','B':'1','a':'1'}",
        "{'e':'bookTicker','s':'A','b':'1','B':'1','a':'1','A':1}",
        "{'e':'bookTicker','s':'A','b':'1','B':'1','a':'1','A':'1','E':'1'}",
        "{'e':'aggTrade','s':'A','a':77,'p':'0','q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'1','q':'5.0','T':1,'m':1}",
        "{'e':'aggTrade','s':'A','a':7.5,'p':'1','q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'1','q':'5.0','m':true}",
        "{'e':'kline','E':1,'s':'A'}",
        "{'e':'kline','E':1,'s':'A','k':[]}",
        "{'e':'kline','E':1,'s':'A','k':{'t':1,'i':'1 month!','o':'1','c':'1','h':'1','l':'1',"
        "'v':'1','n':3,'x':true,'q':'1'}}",
        "{'e':'kline','E':1,'s':'A','k':{'t':1,'i':'\\u0022\\u0022','o':'1','c':'1','h':'1',"
        "'l':'1','v':'1','n':3,'x':true,'q':'1'}}",
        "{'e':'kline','E':1,'s':'A','k':{'t':1,'i':'1m','o':'1','c':'1','h':'1','l':'1','v':'1',"
        "'n':3,'x':'no','q':'1'}}",
    };
    size_t count = sizeof texts / sizeof texts[0];
    for (size_t i = 0; i < count; i++) {
        if (decode(fixture, texts[i]) != VENUE_MALFORMED) {
            fail_msg("taken: %s", texts[i]);
        }
    }
    assert_int_equal(fixture->counters.malformed, count);
    assert_int_equal(fixture->recorder->tick_count, 0);
}

static void more_symbols_than_the_table_holds_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char symbol[16];
    fixture->recorder->channels_max = 0; /* The recorder's own table would make this slow. */
    for (int i = 0; i < VENUE_SYMBOLS_MAX; i++) {
        snprintf(symbol, sizeof symbol, "S%d", i);
        decode_depth(fixture, symbol, 1, 1, "");
    }
    fixture->recorder->channels_max = 10;
    assert_int_equal(decode_depth(fixture, "S0", 2, 2, ""), VENUE_TICK);
    assert_int_equal(decode_depth(fixture, "ONEMORE", 2, 2, ""), VENUE_MALFORMED);
}

static void a_hole_is_lost_but_two_streams_have_none(void **state)
{
    struct fixture *fixture = *state;
    struct recorder *recorder = fixture->recorder;
#define UPDATE(first, last)                                                                        \
    "{'e':'depthUpdate','E':1,'s':'A','U':" first ",'u':" last ",'b':[],'a':[]}"
    assert_int_equal(decode(fixture, UPDATE("1", "2")), VENUE_TICK);
    assert_int_equal(decode(fixture, UPDATE("3", "4")), VENUE_TICK);
    assert_int_equal(recorder->lost_count, 0);
    assert_int_equal(decode(fixture, UPDATE("6", "7")), VENUE_TICK);
    assert_int_equal(recorder->lost_count, 1);
    venue_forget_sequences(fixture->venue);
    assert_int_equal(decode(fixture, UPDATE("1", "2")), VENUE_TICK);
    assert_int_equal(decode(fixture, UPDATE("3", "4")), VENUE_TICK);
    assert_int_equal(recorder->lost_count, 1);
    assert_int_equal(recorder->tick_count, 5);
    assert_int_equal(fixture->counters.holes, 1);
    /* A tick knows the last number of its update, and in which stream that counts. */
    static const uint64_t numbers[] = {2, 4, 7, 2, 4};
    for (uint32_t i = 0; i < 5; i++) {
        const struct md_update *update = &recorder_tick(recorder, i)->update;
        assert_int_equal(update->source_seq, numbers[i]);
        assert_int_equal(update->source_epoch, i < 3 ? 1 : 2);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_depth_update_is_a_delta_with_or_without_its_envelope),
        TEST(a_hole_in_the_updates_of_spot_is_counted_by_symbol),
        TEST(a_hole_in_the_updates_of_futures_is_told_by_pu),
        TEST(a_book_ticker_is_a_quote_of_one_level),
        TEST(the_aggressor_sold_where_the_buyer_was_the_maker),
        TEST(a_kline_is_a_bar),
        TEST(others_are_counted_by_name),
        TEST(kinds_beyond_the_table_are_counted_together_and_made_printable),
        TEST(a_bad_field_is_malformed_and_never_a_tick),
        TEST(more_symbols_than_the_table_holds_are_refused),
        TEST(a_hole_is_lost_but_two_streams_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
