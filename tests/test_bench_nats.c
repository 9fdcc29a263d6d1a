#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/broker_fixture.h"
#include "tools/load/bench_nats.h"

static void begin(void)
{
    broker_fixture_begin(BENCH_NATS);
}

#define TICK_1 "{\"symbol\":\"A\",\"seq\":1,\"ts_pub\":1500}"
#define TICK_2 "{\"symbol\":\"A\",\"seq\":2,\"ts_pub\":1501}"
#define TICK_3 "{\"seq\":3,\"MSG a 1 2\r\n\",\"ts_pub\":1502,\"PING\r\n\":0}"

static const char dialogue[] = "INFO {\"server_id\":\"X\",\"max_payload\":1048576}\r\n"
                               "+OK\r\n"
                               "PONG\r\n"
                               "MSG md.A 1 36\r\n" TICK_1 "\r\n"
                               "MSG md.A 1 _INBOX.7.8 36\r\n" TICK_2 "\r\n"
                               "PING\r\n"
                               "MSG md.A 1 48\r\n" TICK_3 "\r\n";

static void expect_all(void)
{
    char sent[BROKER_MESSAGE_BYTES_MAX] = "";
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 3);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
    assert_int_equal(thread.crew.totals.window_frames, 3);
    assert_int_equal(thread.crew.totals.window_wire_bytes,
                     sizeof dialogue - 1 - strlen(strstr(dialogue, "PING")) -
                         (size_t)(strstr(dialogue, "MSG") - dialogue) +
                         strlen("MSG md.A 1 48\r\n" TICK_3 "\r\n"));
    assert_int_equal(thread.crew.totals.malformed, 0);
    assert_int_equal(thread.crew.totals.pings, 1);
    assert_true(broker_fixture_next(sent) > 0);
    assert_string_equal(sent, "PONG\r\n");
    assert_int_equal(broker_fixture_next(sent), 0);
}

static void the_protocol_is_understood_at_every_cut(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof dialogue; cut++) {
        begin();
        broker_fixture_feed(dialogue, cut);
        broker_fixture_feed(dialogue + cut, sizeof dialogue - 1 - cut);
        expect_all();
        broker_fixture_end();
    }
}

static void the_protocol_is_understood_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < sizeof dialogue; piece++) {
        begin();
        for (size_t at = 0; at < sizeof dialogue - 1; at += piece) {
            size_t left = sizeof dialogue - 1 - at;
            broker_fixture_feed(dialogue + at, left < piece ? left : piece);
        }
        expect_all();
        broker_fixture_end();
    }
}

static void pong_says_that_it_is_subscribed(void **state)
{
    (void)state;
    begin();
    broker_fixture_feed("+OK\r\n", 5);
    assert_int_equal(conn->state, BENCH_CONN_SUBSCRIBING);
    broker_fixture_feed("PONG\r\n", 6);
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    assert_int_equal(thread.crew.subscribed_now, 1);
    broker_fixture_feed("PONG\r\n", 6);
    assert_int_equal(thread.crew.subscribed_now, 1);
    broker_fixture_end();
}

static void an_error_ends_the_connection_and_is_told(void **state)
{
    (void)state;
    begin();
    static const char text[] = "-ERR 'Authorization Violation'\r\nPONG\r\n";
    broker_fixture_feed(text, sizeof text - 1);
    assert_int_equal(conn->state, BENCH_CONN_CLOSED);
    assert_int_equal(thread.crew.totals.refusals, 1);
    assert_string_equal(thread.crew.totals.first_refusal.bytes, "-ERR 'Authorization Violation'");
    assert_int_equal(thread.crew.subscribed_now, 0);
    broker_fixture_end();
}

static void a_tick_without_its_fields_is_malformed(void **state)
{
    (void)state;
    begin();
    static const char text[] =
        "PONG\r\nMSG md.A 1 36\r\n" TICK_1 "\r\nMSG md.A 1 2\r\n{}\r\nMSG md.A 1 0\r\n\r\n";
    broker_fixture_feed(text, sizeof text - 1);
    assert_int_equal(thread.crew.totals.malformed, 2);
    assert_int_equal(thread.crew.totals.window_frames, 1);
    broker_fixture_end();
}

static void a_message_that_never_ends_is_not_held_for_ever(void **state)
{
    (void)state;
    static const char *const heads[] = {"MSG md.A 1 99999999999999999999999999\r\n", "INFO "};
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    for (size_t i = 0; i < 2; i++) {
        begin();
        broker_fixture_feed(heads[i], strlen(heads[i]));
        for (size_t fed = 0; conn->state != BENCH_CONN_CLOSED; fed += sizeof piece) {
            assert_true(fed <= BENCH_BROKER_HELD_MAX);
            broker_fixture_feed(piece, sizeof piece);
        }
        assert_int_equal(thread.crew.totals.malformed, 1);
        broker_fixture_end();
    }
}

static void subscribing_names_each_subject(void **state)
{
    (void)state;
    size_t bytes = 0;
    char *text = bench_nats_subscribe_text("A,600519.SH,*", BENCH_NATS_TOPIC, &bytes);
    assert_non_null(text);
    assert_int_equal(strlen(text), bytes);
    assert_memory_equal(text, "CONNECT {", 9);
    const char *after = strstr(text, "\r\n");
    assert_non_null(after);
    assert_string_equal(after, "\r\nSUB md.A 1\r\nSUB md.600519_SH 2\r\nSUB md.* 3\r\nPING\r\n");
    free(text);
}

static void subscribing_to_many_fits(void **state)
{
    (void)state;
    enum { SYMBOLS = 1000, SYMBOL_BYTES = 64 };
    size_t bytes = 0;
    char *symbols = broker_fixture_symbols(SYMBOLS, SYMBOL_BYTES);
    char *text = bench_nats_subscribe_text(symbols, BENCH_NATS_TOPIC, &bytes);
    assert_non_null(text);
    assert_int_equal(strlen(text), bytes);
    assert_string_equal(text + bytes - 12, "1000\r\nPING\r\n");
    free(text);
    free(symbols);
    text = bench_nats_subscribe_text("a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p,q,r,s,t,u,v,w,x,y,z",
                                     BENCH_NATS_TOPIC, &bytes);
    assert_int_equal(strlen(text), bytes);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_protocol_is_understood_at_every_cut),
        cmocka_unit_test(the_protocol_is_understood_in_pieces_of_any_size),
        cmocka_unit_test(pong_says_that_it_is_subscribed),
        cmocka_unit_test(an_error_ends_the_connection_and_is_told),
        cmocka_unit_test(a_tick_without_its_fields_is_malformed),
        cmocka_unit_test(a_message_that_never_ends_is_not_held_for_ever),
        cmocka_unit_test(subscribing_names_each_subject),
        cmocka_unit_test(subscribing_to_many_fits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
