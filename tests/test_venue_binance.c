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
        "{'e':'depthUpdate','E':-1,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1','']],'a':[]}",
        "{'e':'depthUpdate','E':93000000000000,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':9300000000000000,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':9223372036854775808,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1700000000000.5,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':true,'s':'A','U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':18446744073709551616,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':null,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':'','a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1']],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1',null]],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['','1']],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1e-19','1']],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[[1e-19,1]],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':'A','U':1,'u':1,'b':[['1',1e19]],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':7,'U':1,'u':1,'b':[],'a':[]}",
        "{'e':'depthUpdate','E':1,'s':7,'U':1,'u':1,'b':[],'a':[],'x':1e999}",
        "{'e':7,'E':1,'s':'A','U':1,'u':1,'b':[],'a':[],'x':1e999}",
        "{'e':'bookTicker','s':'A'}",
        "{'e':'bookTicker','s':'A','b':'x','B':'1'}",
        "{'e':'bookTicker','s':'A','b':'1','B':'-1'}",
        "{'e':'bookTicker','s':'A','b':'-1','B':'1'}",
        "{'e':'bookTicker','s':'A','b':'1','B':[]}",
        "{'e':'aggTrade','s':'A','a':77,'p':'','q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':null,'q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'1e','q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'1','q':'-5','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':18446744073709551616,'p':'1','q':'5','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':-1,'p':'1','q':'5','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':01,'q':'5','T':1,'m':true,'f':1e999}",
        "{'e':'trade','s':'A','t':'x','p':'1','q':'5','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'0','q':'5.0','T':1,'m':true}",
        "{'e':'aggTrade','s':'A','a':77,'p':'1','q':'5.0','T':1,'m':1}",
        "{'e':'aggTrade','s':'A','a':7.5,'p':'1','q':'5.0','T':1,'m':true}",
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

/* What Binance and those who record it may write, and what it becomes. */
static void what_a_trade_does_not_use_or_have_costs_nothing(void **state)
{
#define TRADE(rest) "{'e':'aggTrade','s':'A'," rest "}"
    static const struct venue_case cases[] = {
        /* Times: milliseconds, microseconds, nanoseconds, or none. */
        {TRADE("'p':'1','T':1700000000123"), "1700000000123000000 {'price':1}"},
        {TRADE("'p':'1','T':1700000000123456"), "1700000000123456000 {'price':1}"},
        {TRADE("'p':'1','T':1700000000123456789"), "1700000000123456789 {'price':1}"},
        {TRADE("'p':'1','T':1.700000000123e12"), "1700000000123000000 {'price':1}"},
        {TRADE("'p':'1','T':'1700000000123'"), "1700000000123000000 {'price':1}"},
        {TRADE("'p':'1','T':99999999999"), "99999999999000000 {'price':1}"},
        {TRADE("'p':'1','T':100000000000000"), "100000000000000000 {'price':1}"},
        {TRADE("'p':'1','T':100000000000000000"), "100000000000000000 {'price':1}"},
        {TRADE("'p':'1','T':9223372036854775807"), "9223372036854775807 {'price':1}"},
        {TRADE("'p':'1','T':0"), "0 {'price':1}"},
        {TRADE("'p':'1','T':null"), "0 {'price':1}"},
        {TRADE("'p':'1','T':''"), "0 {'price':1}"},
        {TRADE("'p':'1'"), "0 {'price':1}"},
        /* Decimals: strings and numbers, with or without an exponent. */
        {TRADE("'p':'1e-7','q':'1E+3'"), "0 {'price':0.0000001,'size':1000}"},
        {TRADE("'p':1.234e-05,'q':1.10"), "0 {'price':0.00001234,'size':1.10}"},
        {TRADE("'p':0.1000000000000000055,'q':0"), "malformed"}, /* 19 places */
        {TRADE("'p':0.100000000000000005,'q':0"), "0 {'price':0.100000000000000005,'size':0}"},
        {TRADE("'p':9007199254740993,'q':9223372036854775807"),
         "0 {'price':9007199254740993,'size':9223372036854775807}"},
        {TRADE("'p':'123456789012.00000000'"), "0 {'price':123456789012.0000000}"},
        /* Trades: the size, the side and the id are left out where they are not there. */
        {TRADE("'p':'1','q':'','m':null,'a':''"), "0 {'price':1}"},
        {TRADE("'p':'1','q':null,'m':false,'a':null"), "0 {'price':1,'side':'buy'}"},
        {TRADE("'p':'1','q':'0','a':18446744073709551615"),
         "0 {'price':1,'size':0,'id':18446744073709551615}"},
        {TRADE("'p':'1','a':9223372036854775808"), "0 {'price':1,'id':9223372036854775808}"},
        {TRADE("'p':'1','a':'77'"), "0 {'price':1,'id':77}"},
        {TRADE("'p':'1','a':77.0"), "0 {'price':1,'id':77}"},
        /* What is not used may be anything. */
        {TRADE("'p':'1.50','a':7,'f':18446744073709551615,'l':1e999,'M':[{}]"),
         "0 {'price':1.50,'id':7}"},
        {TRADE("'p':'1.50','a':7,'f':-99999999999999999999,'l':'\\u0000','E':'never'"),
         "0 {'price':1.50,'id':7}"},
        {"{'stream':5,'data':{'e':'aggTrade','s':'A','p':'1'}}", "0 {'price':1}"},
        {"{'data':{'e':'aggTrade','s':'A','p':'1'},'x':1e999}", "0 {'price':1}"},
        /* The other stream of the same trades is skipped; it comes first for another symbol. */
        {"{'e':'trade','s':'A','t':5,'p':'1','q':'2','T':1,'m':true}", "skipped"},
        {"{'e':'trade','s':'B','t':5,'p':'1','q':'2','T':1,'m':true,'X':7}",
         "1000000 {'price':1,'size':2,'side':'sell','id':5}"},
        {"{'e':'aggTrade','s':'B','p':'1'}", "skipped"},
        /* What was not traded on the market is none. */
        {"{'e':'trade','s':'B','t':6,'p':'0','q':'0','T':1,'X':'NA','m':true}", "skipped"},
        {"{'e':'trade','s':'B','t':7,'p':'1','q':'2','X':'INSURANCE_FUND','m':true}", "skipped"},
        {"{'e':'trade','s':'B','t':8,'p':'1','X':'MARKET'}", "0 {'price':1,'id':8}"},
        {"{'e':'trade','s':'B','t':8,'p':'1','X':''}", "0 {'price':1,'id':8}"},
    };
    struct fixture *fixture = *state;
    check_cases(fixture, cases, sizeof cases / sizeof cases[0]);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "trade-beside-aggTrade"), 1);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "aggTrade-beside-trade"), 1);
    assert_int_equal(kind_counts_get(&fixture->venue->skipped, "trade-off-market"), 2);
}

static void what_a_quote_book_or_bar_does_not_use_or_have_costs_nothing(void **state)
{
#define DEPTH(head, rest) "{'e':'depthUpdate','E':1700000000123,'s':" head ",'b':" rest "}"
#define KLINE(rest)                                                                                \
    "{'e':'kline','s':'A','k':{'t':1700000000000,'i':'1m','o':'1','h':'2','l':'1','c':'2'" rest "}}"
    static const struct venue_case cases[] = {
        /* Quotes: a side without a price, or with one of 0, is left out. */
        {"{'e':'bookTicker','s':'A','b':'','B':'','a':'2','A':''}", "0 {'asks':[[2,null]]}"},
        {"{'e':'bookTicker','s':'A','b':null,'B':[],'a':2e0}", "0 {'asks':[[2,null]]}"},
        {"{'e':'bookTicker','s':'A','b':'1','B':1e-8,'a':'0.00','A':'x','E':''}",
         "0 {'bids':[[1,0.00000001]]}"},
        {"{'e':'bookTicker','s':'A','b':'','a':''}", "0 {}"},
        {"{'u':1e999,'s':'A','b':'1','B':'2'}", "0 {'bids':[[1,2]]}"},
        {"{'s':'A','b':1.5,'B':2,'a':null,'A':null}", "0 {'bids':[[1.5,2]]}"},
        /* Books: the levels and the sequence are what counts. */
        {DEPTH("'A','U':1,'u':18446744073709551614,'pu':null", "[['1e-7','0e0'],[2,3.0]],'a':null"),
         "1700000000123000000 {'action':'delta','bids':[[0.0000001,0],[2,3.0]],'asks':[]}"},
        {DEPTH("'A','U':18446744073709551615,'u':'18446744073709551615','T':{}", "[],'a':[]"),
         "1700000000123000000 {'action':'delta','bids':[],'asks':[]}"},
        {"{'e':'depthUpdate','s':'C','U':1,'u':1,'b':[],'a':[['1.0','2',[],1e999]]}",
         "0 {'action':'delta','bids':[],'asks':[[1.0,2]]}"},
        /* Bars: figures that are not there are left out. */
        {KLINE(""), "0 {'interval':'1m','start':1700000000000000000,'open':1,'high':2,'low':1,"
                    "'close':2,'closed':false}"},
        {KLINE(",'v':'','q':null,'n':'','x':null,'B':1e999"),
         "0 {'interval':'1m','start':1700000000000000000,'open':1,'high':2,'low':1,'close':2,"
         "'closed':false}"},
        {KLINE(",'v':'1e-3','q':2.5,'n':18446744073709551615,'x':true"),
         "0 {'interval':'1m','start':1700000000000000000,'open':1,'high':2,'low':1,'close':2,"
         "'volume':0.001,'turnover':2.5,'count':18446744073709551615,'closed':true}"},
        {"{'e':'kline','s':'A','k':{'t':0,'i':'1m','o':'1','h':'2','l':'1','c':'2'}}", "malformed"},
        {"{'e':'kline','s':'A','k':{'t':1,'i':'1m','o':'1','h':'2','l':'1','c':''}}", "malformed"},
    };
    struct fixture *fixture = *state;
    check_cases(fixture, cases, sizeof cases / sizeof cases[0]);
    assert_int_equal(fixture->counters.holes, 0);
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
        TEST(what_a_trade_does_not_use_or_have_costs_nothing),
        TEST(what_a_quote_book_or_bar_does_not_use_or_have_costs_nothing),
        TEST(more_symbols_than_the_table_holds_are_refused),
        TEST(a_hole_is_lost_but_two_streams_have_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
