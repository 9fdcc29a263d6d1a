#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "feeds/replay/csv_ticks.h"

static const char full_header[] =
    "ts_ns,recv_ns,symbol,type,price,size,side,bid,bid_size,ask,ask_size,seq,status,reason,id";

static bool parse_header(struct csv_ticks *csv, const char *line)
{
    const char *fault = NULL;
    bool is_good = csv_ticks_parse_header(csv, line, strlen(line), &fault);
    assert_int_equal(is_good, fault == NULL);
    return is_good;
}

/* In a heap block of its exact size, so that a read behind it is caught. */
static bool parse_row(const struct csv_ticks *csv, const char *line, struct csv_tick *tick)
{
    const char *fault = NULL;
    size_t bytes = strlen(line);
    char *exact = malloc(bytes + 1);
    memcpy(exact + 1, line, bytes);
    bool is_good = csv_ticks_parse_row(csv, exact + 1, bytes, tick, &fault);
    free(exact);
    assert_true(is_good || fault != NULL);
    return is_good;
}

static bool parse(const char *header, const char *row, struct csv_tick *tick)
{
    struct csv_ticks csv;
    assert_true(parse_header(&csv, header));
    return parse_row(&csv, row, tick);
}

static void assert_decimal(struct md_decimal decimal, int64_t mantissa, int8_t exponent)
{
    assert_int_equal(decimal.mantissa, mantissa);
    assert_int_equal(decimal.exponent, exponent);
}

static char *put_decimal(char *at, struct md_decimal decimal)
{
    return at + (md_is_given(decimal)
                     ? sprintf(at, " %lde%d", (long)decimal.mantissa, decimal.exponent)
                     : sprintf(at, " -"));
}

static char *put_level(char *at, const struct md_level *levels, uint32_t count)
{
    return put_decimal(put_decimal(at, count > 0 ? levels->price : md_none),
                       count > 0 ? levels->size : md_none);
}

static void describe(const struct md_update *update, char *text)
{
    bool is_trade = update->type == MD_TRADE;
    text += sprintf(text, "%lu", (unsigned long)update->ts_event_ns);
    text = put_decimal(text, is_trade ? update->trade.price : update->quote.last);
    text = put_decimal(text, is_trade ? update->trade.size : md_none);
    text += is_trade && update->trade.has_id ? sprintf(text, " %lu", update->trade.id)
                                             : sprintf(text, " -");
    text = put_level(text, update->quote.bids, is_trade ? 0 : update->quote.bid_count);
    put_level(text, update->quote.asks, is_trade ? 0 : update->quote.ask_count);
}

static void a_trade_row_is_a_trade(void **state)
{
    (void)state;
    struct csv_tick tick;
    struct md_update update;
    assert_true(
        parse(full_header, "1700000000123456789,,000001.SZ,T,10.320,300,B,,,,,42,,,77", &tick));
    csv_ticks_to_update(&tick, &update);
    assert_int_equal(update.type, MD_TRADE);
    assert_true(update.ts_event_ns == UINT64_C(1700000000123456789));
    assert_memory_equal(tick.symbol, "000001.SZ", tick.symbol_bytes);
    assert_decimal(update.trade.price, 10320, -3);
    assert_decimal(update.trade.size, 300, 0);
    assert_int_equal(update.trade.side, MD_SIDE_BUY);
    assert_true(update.trade.has_id);
    assert_int_equal(update.trade.id, 77);
}

static void a_quote_row_is_the_top_of_the_book(void **state)
{
    (void)state;
    struct csv_tick tick;
    struct md_update update;
    assert_true(
        parse(full_header, "1700000000123500000,,000001.SZ,Q,,,,10.31,500,10.32,,43,,,", &tick));
    csv_ticks_to_update(&tick, &update);
    assert_int_equal(update.type, MD_QUOTE);
    assert_int_equal(update.quote.bid_count, 1);
    assert_int_equal(update.quote.ask_count, 1);
    assert_decimal(update.quote.bids[0].price, 1031, -2);
    assert_decimal(update.quote.bids[0].size, 500, 0);
    assert_decimal(update.quote.asks[0].price, 1032, -2);
    assert_false(md_is_given(update.quote.asks[0].size));
    assert_false(md_is_given(update.quote.last));
    assert_false(md_is_given(update.quote.volume));

    assert_true(
        parse(full_header, "1700000000123500000,,000001.SZ,Q,10.3,,,,,10.32,7,43,,,", &tick));
    csv_ticks_to_update(&tick, &update);
    assert_int_equal(update.quote.bid_count, 0);
    assert_decimal(update.quote.last, 103, -1);
}

static void a_status_row_takes_its_state_from_the_status_column(void **state)
{
    (void)state;
    struct csv_tick tick;
    struct md_update update;
    assert_true(parse(full_header,
                      "1700000000123500000,,000001.SZ,S,,,,,,,,44,halted,\"news, \"\"soon\"\"\",",
                      &tick));
    csv_ticks_to_update(&tick, &update);
    assert_int_equal(update.type, MD_STATUS);
    assert_string_equal(update.status.state, "halted");
    assert_string_equal(update.status.reason, "news, \"soon\"");
    assert_true(parse(full_header, "1700000000123500000,,000001.SZ,S,,,,,,,,44,open,,", &tick));
    csv_ticks_to_update(&tick, &update);
    assert_null(update.status.reason);
    assert_true(parse(full_header, "1700000000123500000,,000001.SZ,S,,,,,,,,44,open,NaN,", &tick));
    csv_ticks_to_update(&tick, &update);
    assert_null(update.status.reason);
    assert_false(parse(full_header, "1700000000123500000,,000001.SZ,S,,,,,,,,44,nan,,", &tick));
    assert_false(parse(full_header, "1700000000123500000,,000001.SZ,S,,,B,,,,,44,,,", &tick));
    assert_false(parse(full_header, "1700000000123500000,,000001.SZ,S,,,,,,,,44,a\"b,,", &tick));
    assert_false(parse(full_header, "1700000000123500000,,000001.SZ,S,,,,,,,,44,a b,,", &tick));
}

static void columns_are_found_by_name_in_any_order(void **state)
{
    (void)state;
    struct csv_tick tick;
    struct csv_ticks csv;
    assert_true(parse("venue,Price,SYM,\"time\",amount", "x,1.5,A.B,1700000000,2", &tick));
    assert_int_equal(tick.type, MD_TRADE);
    assert_decimal(tick.trade.price, 15, -1);
    assert_decimal(tick.trade.size, 2, 0);
    assert_true(parse("time,sym,bid,ask,bsize,asize", "1700000000,A.B,1,2,3,4", &tick));
    assert_int_equal(tick.type, MD_QUOTE);
    assert_decimal(tick.bid.size, 3, 0);
    assert_decimal(tick.ask.size, 4, 0);
    assert_true(parse_header(&csv, "\xef\xbb\xbfts_ns,symbol,price"));
}

static void a_header_that_cannot_do_is_refused(void **state)
{
    (void)state;
    struct csv_ticks csv;
    char wide[600] = "ts_ns,symbol,price";
    assert_false(parse_header(&csv, ""));
    assert_false(parse_header(&csv, "1700000000123456789,000001.SZ,10.32"));
    assert_false(parse_header(&csv, "symbol,price"));
    assert_false(parse_header(&csv, "ts_ns,price"));
    assert_false(parse_header(&csv, "ts_ns,symbol"));
    assert_false(parse_header(&csv, "ts_ns,symbol,price,price"));
    assert_false(parse_header(&csv, "ts_ns,symbol,sym,price"));
    assert_false(parse_header(&csv, "ts_ns,symbol,\"price"));
    assert_false(parse_header(&csv, "ts_ns,sym\"bol,price"));
    for (int i = 0; i < 254; i++) {
        strcat(wide, ",");
    }
    assert_false(parse_header(&csv, wide));
}

static void the_magnitude_of_a_timestamp_tells_its_unit(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } times[] = {
        {"1700000000", UINT64_C(1700000000000000000)},
        {"1700000000.25", UINT64_C(1700000000250000000)},
        {"1700000000123", UINT64_C(1700000000123000000)},
        {"1700000000123456", UINT64_C(1700000000123456000)},
        {"1700000000123456789", UINT64_C(1700000000123456789)},
        {"2023-11-14T22:13:20Z", UINT64_C(1700000000000000000)},
        {"2023-11-14 22:13:20.5Z", UINT64_C(1700000000500000000)},
        {"2023-11-15T06:13:20.123456789123+08:00", UINT64_C(1700000000123456789)},
        {"2023-11-14T17:13:20-0500", UINT64_C(1700000000000000000)},
    };
    static const char *const refused[] = {
        "170000000",
        "17000000001",
        "17000000001234567890",
        "1700000000.",
        "-1700000000",
        "2023-11-14T22:13:20",
        "2023-11-14",
        "2023-02-29T00:00:00Z",
        "2023-11-14T24:00:00Z",
        "2023-11-14T22:13:20.Z",
        "1969-12-31T23:59:59Z",
        "2023-11-14T22:13:20+15:00",
        "1970-01-01T00:00:00+01:00",
    };
    char row[120];
    struct csv_tick tick;
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        snprintf(row, sizeof row, "%s,A.B,1", times[i].text);
        assert_true(parse("timestamp,symbol,price", row, &tick));
        assert_true(tick.ts_event_ns == times[i].ns);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(row, sizeof row, "%s,A.B,1", refused[i]);
        if (parse("timestamp,symbol,price", row, &tick)) {
            fail_msg("taken: %s", refused[i]);
        }
    }
}

static void quoted_fields_follow_rfc_4180(void **state)
{
    (void)state;
    struct csv_tick tick;
    static const char header[] = "ts_ns,symbol,price,note";
    assert_true(parse(header, "1,\"A.B\",\"1.5\",\"\"", &tick));
    assert_decimal(tick.trade.price, 15, -1);
    assert_true(parse(header, "1,A.B,1.5,\"a,\"\"b\"\",c\"", &tick));
    assert_true(parse(header, "1,\"A\"\"B\",1.5,", &tick));
    assert_memory_equal(tick.symbol, "A\"B", 3);
    assert_false(parse(header, "1,A.B,1.5,\"open", &tick));
    assert_false(parse(header, "1,A.B,1.5,\"", &tick));
    assert_false(parse(header, "1,A.B,1.5,\"a\"b", &tick));
    assert_false(parse(header, "1,A\"B,1.5,", &tick));
    assert_false(parse(header, "1,A.B,1.5,\"a\"\"", &tick));
}

static void a_row_that_is_not_as_it_should_be_is_refused(void **state)
{
    (void)state;
    static const char *const rows[] = {
        "",
        ",",
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,",   /* one field short */
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,,,", /* one too many */
        "1700000000123456789,,,T,1,1,B,,,,,1,,,",
        "1700000000123456789,,A-SYMBOL-OF-MORE-THAN-THIRTY-TWO-BYTES,T,1,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,X,1,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,,1,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,1e19,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,1e-19,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,nan,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,inf,1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,,18446744073709551616",
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,,-1",
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,,7.5",
        "1700000000123456789,,A.B,T,\"1,000\",1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,1,-1,B,,,,,1,,,",
        "1700000000123456789,,A.B,T,1,1,X,,,,,1,,,",
        "1700000000123456789,,A.B,T,1,1,B,,,,,1,,,x",
        "1700000000123456789,,A.B,Q,,,,,,,,1,,,",
        "1700000000123456789,,A.B,Q,,,,,5,,,1,,,",
        "1700000000123456789,,A.B,Q,,,,a,5,,,1,,,",
        "1700000000123456789,,A.B,Q,,,,1,-5,,,1,,,",
        "1700000000123456789,,A.B,Q,,,,1,x,,,1,,,",
        "1.5,,A.B,T,1,1,B,,,,,1,,,",
        "-1,,A.B,T,1,1,B,,,,,1,,,",
        "9223372036854775808,,A.B,T,1,1,B,,,,,1,,,",
        "9.3e18,,A.B,T,1,1,B,,,,,1,,,",
        "99999999999999999999,,A.B,T,1,1,B,,,,,1,,,",
    };
    struct csv_tick tick;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (parse(full_header, rows[i], &tick)) {
            fail_msg("taken: %s", rows[i]);
        }
    }
}

/* What exporters write, and what it becomes: as JSON would say it. */
static void values_of_exporters_are_read_exactly(void **state)
{
    (void)state;
    static const char header[] = "ts_ns,timestamp,symbol,type,price,size,side,bid,bid_size,ask,"
                                 "ask_size,id,reason";
    static const struct {
        const char *row;
        const char *becomes; /* ts_event price size id bid bid_size ask ask_size; - not given */
    } rows[] = {
        {"1.7e+18,,A,T,1.234e-05,1e+06,,,,,,,", "1700000000000000000 1234e-8 1000000e0 - - - - -"},
        {"1700000000000000000.0,,A,T,1E+3,2.50,,,,,,77.0,",
         "1700000000000000000 1000e0 250e-2 77 - - - -"},
        {",1.7e9,A,T,1,NaN,nan,,,,,18446744073709551615,",
         "1700000000000000000 1e0 - 18446744073709551615 - - - -"},
        {"NaN,2023-11-14 22:13:20+00:00,A,T,1,null,None,,,,,NA,",
         "1700000000000000000 1e0 - - - - - -"},
        {",,A,T,1,2,,,,,,,", "0 1e0 2e0 - - - - -"},
        {"0,1700000000,A,T,1,2,,,,,,,", "0 1e0 2e0 - - - - -"},
        {"NaN,0.0,A,T,1,0.0,,,,,,,", "0 1e0 0e-1 - - - - -"},
        {"1,,A,T,-1.5e0,0,,x,y,z,x,,", "1 -15e-1 0e0 - - - - -"},
        {"1,bad,A,Q,,x,y,1.5e-7,,2e0,3E2,z,", "1 - - - 15e-8 - 2e0 300e0"},
        {"1,,A,Q,nan,,,,5,1,nan,,", "1 - - - - - 1e0 -"},
        {"1,,A,Q,,,,0,0,0.00,0.0,,", "1 - - - - - - -"},
        {"1,,A,Q,,,,0,5,-1,5,,", "1 - - - 0e0 5e0 -1e0 5e0"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct csv_tick tick;
        struct md_update update;
        char text[200];
        if (!parse(header, rows[i].row, &tick)) {
            fail_msg("refused: %s", rows[i].row);
        }
        csv_ticks_to_update(&tick, &update);
        describe(&update, text);
        assert_string_equal(text, rows[i].becomes);
    }
}

static void sides_are_read_in_any_case(void **state)
{
    (void)state;
    static const struct {
        const char *row;
        enum md_side side;
    } rows[] = {{"1,A,1,b", MD_SIDE_BUY},
                {"1,A,1,Buy", MD_SIDE_BUY},
                {"1,A,1,S", MD_SIDE_SELL},
                {"1,A,1,SELL", MD_SIDE_SELL},
                {"1,A,1,", MD_SIDE_NONE}};
    struct csv_tick tick;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_true(parse("ts_ns,symbol,price,side", rows[i].row, &tick));
        assert_int_equal(tick.trade.side, rows[i].side);
        assert_false(tick.trade.has_id);
        assert_false(md_is_given(tick.trade.size));
    }
}

static void only_fields_that_are_used_have_a_limit(void **state)
{
    (void)state;
    struct csv_tick tick;
    char row[1200] = "1,A.B,1.5,";
    memset(row + strlen(row), 'x', 1000);
    assert_true(parse("ts_ns,symbol,price,note", row, &tick));
    assert_true(parse("ts_ns,symbol,price,reason", row, &tick)); /* A trade has none. */
    assert_false(parse("ts_ns,symbol,price,size", row, &tick));
    assert_true(parse("ts_ns,symbol,price,timestamp", row, &tick)); /* ts_ns wins. */
    memset(row, '1', 300);
    strcpy(row + 300, ",A.B,1");
    assert_false(parse("ts_ns,symbol,price", row, &tick));
    row[10] = '.';
    assert_false(parse("timestamp,symbol,price", row, &tick));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_trade_row_is_a_trade),
        cmocka_unit_test(a_quote_row_is_the_top_of_the_book),
        cmocka_unit_test(a_status_row_takes_its_state_from_the_status_column),
        cmocka_unit_test(columns_are_found_by_name_in_any_order),
        cmocka_unit_test(a_header_that_cannot_do_is_refused),
        cmocka_unit_test(the_magnitude_of_a_timestamp_tells_its_unit),
        cmocka_unit_test(quoted_fields_follow_rfc_4180),
        cmocka_unit_test(a_row_that_is_not_as_it_should_be_is_refused),
        cmocka_unit_test(values_of_exporters_are_read_exactly),
        cmocka_unit_test(sides_are_read_in_any_case),
        cmocka_unit_test(only_fields_that_are_used_have_a_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
