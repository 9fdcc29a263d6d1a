#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/units.h"
#include "tests/broker_fixture.h"
#include "tools/load/bench_mqtt.h"

#define TICK_1 "{\"symbol\":\"A\",\"seq\":1,\"ts_pub\":1500}"
#define TICK_2 "{\"symbol\":\"A\",\"seq\":2,\"ts_pub\":1501}"
#define TICK_3 "{\"seq\":3,\"\x30\x02\0\0\",\"ts_pub\":1502,\"filler\":\"" FILLER "\"}"
#define FILLER                                                                                     \
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define CONNACK "\x20\x02\x00\x00"
#define SUBACK "\x90\x04\x00\x01\x00\x00"
#define PINGRESP "\xd0\x00"

/* PUBLISH to the topic md/A: a length of one byte, a retained one, one of two bytes. */
static const char publish_1[] = "\x30\x2a\x00\x04md/A" TICK_1;
static const char publish_2[] = "\x31\x2a\x00\x04md/A" TICK_2;
static const char publish_3[] = "\x30\x8a\x01\x00\x04md/A" TICK_3;
static_assert(sizeof publish_1 - 3 == 0x2a, "the length in it");
static_assert(sizeof publish_3 - 4 == 0x80 + 0x0a, "the length in it");

static char dialogue[512];
static size_t dialogue_bytes;

static void say(const char *bytes, size_t count)
{
    memcpy(dialogue + dialogue_bytes, bytes, count);
    dialogue_bytes += count;
}
#define SAY(text) say(text, sizeof(text) - 1)

static void begin(void)
{
    broker_fixture_begin(BENCH_MQTT);
    dialogue_bytes = 0;
    SAY(CONNACK);
    SAY(SUBACK);
    SAY(publish_1);
    SAY(PINGRESP);
    SAY(publish_2);
    SAY(publish_3);
}

static void expect_all(void)
{
    char sent[BROKER_MESSAGE_BYTES_MAX];
    assert_int_equal(thread.crew.totals.malformed, 0);
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].frames, 3);
    assert_int_equal(thread.crew.totals.streams[BENCH_READER].holes, 0);
    assert_int_equal(thread.crew.totals.window_frames, 3);
    assert_int_equal(thread.crew.totals.window_wire_bytes,
                     sizeof publish_1 + sizeof publish_2 + sizeof publish_3 - 3);
    assert_int_equal(broker_fixture_next(sent), 0);
}

static void packets_are_understood_at_every_cut(void **state)
{
    (void)state;
    begin();
    size_t bytes = dialogue_bytes;
    broker_fixture_end();
    for (size_t cut = 0; cut <= bytes; cut++) {
        begin();
        broker_fixture_feed(dialogue, cut);
        broker_fixture_feed(dialogue + cut, bytes - cut);
        expect_all();
        broker_fixture_end();
    }
}

static void packets_are_understood_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t piece = 1; piece < 300; piece++) {
        begin();
        for (size_t at = 0; at < dialogue_bytes; at += piece) {
            size_t left = dialogue_bytes - at;
            broker_fixture_feed(dialogue + at, left < piece ? left : piece);
        }
        expect_all();
        broker_fixture_end();
    }
}

static void the_length_of_a_packet_has_up_to_four_bytes(void **state)
{
    (void)state;
    static const size_t payload_bytes[] = {0,      121,     122,     16377,  16378,
                                           300000, 1 << 20, 2097145, 2097146};
    for (size_t i = 0; i < sizeof payload_bytes / sizeof *payload_bytes; i++) {
        size_t length = 6 + payload_bytes[i]; /* with the topic md/A */
        uint8_t head[5] = {0x30};
        size_t head_bytes = 1;
        for (size_t rest = length; head_bytes == 1 || rest > 0; rest >>= 7) {
            head[head_bytes++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
        }
        size_t bytes = head_bytes + length;
        uint8_t *packet = malloc(bytes);
        assert_non_null(packet);
        memcpy(packet, head, head_bytes);
        memcpy(packet + head_bytes, "\0\4md/A", 6);
        memset(packet + head_bytes + 6, 'x', payload_bytes[i]);
        struct bench_broker_packet read;
        assert_int_equal(bench_mqtt_read(packet, bytes - 1, &read), 0);
        assert_int_equal(bench_mqtt_read(packet, bytes, &read), bytes);
        assert_int_equal(read.kind, BENCH_BROKER_TICK);
        assert_ptr_equal(read.bytes, packet + head_bytes + 6);
        assert_int_equal(read.bytes_count, payload_bytes[i]);
        free(packet);
    }
}

static void suback_says_that_it_is_subscribed(void **state)
{
    (void)state;
    begin();
    broker_fixture_feed(CONNACK, 4);
    assert_int_equal(conn->state, BENCH_CONN_SUBSCRIBING);
    broker_fixture_feed(SUBACK, 6);
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    assert_int_equal(thread.crew.subscribed_now, 1);
    broker_fixture_feed(SUBACK, 6);
    assert_int_equal(thread.crew.subscribed_now, 1);
    broker_fixture_end();
}

/* MQTT 3.1.1, 3.8.4: the server may send ticks before SUBACK. */
static void a_tick_may_come_before_suback(void **state)
{
    (void)state;
    begin();
    conn->phase_ns = 4000;
    broker_fixture_feed(CONNACK, 4);
    broker_fixture_feed(publish_1, sizeof publish_1 - 1);
    broker_fixture_feed(SUBACK, 6);
    thread.crew.now_ns = 7000;
    broker_fixture_feed(publish_2, sizeof publish_2 - 1);
    assert_int_equal(conn->state, BENCH_CONN_STREAMING);
    assert_int_equal(thread.crew.phases[BENCH_PHASE_SUBSCRIBED].max_ns, 1000);
    assert_int_equal(thread.crew.phases[BENCH_PHASE_FIRST_TICK].max_ns, 2000);
    assert_int_equal(thread.crew.totals.window_frames, 2);
    broker_fixture_end();
}

static void a_refusal_is_shown_in_words(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
        const char *words;
    } cases[] = {
        {"\x20\x02\x00\x01", 4, "CONNACK 1: the server does not speak MQTT 3.1.1"},
        {"\x20\x02\x00\x02", 4, "CONNACK 2: the server wants a client identifier"},
        {"\x20\x02\x00\x03", 4, "CONNACK 3: the server is unavailable"},
        {"\x20\x02\x00\x04", 4, "CONNACK 4: the server wants another user name or password"},
        {"\x20\x02\x00\x05", 4, "CONNACK 5: the server wants a login, or forbids this client"},
        {"\x20\x02\x00\x06", 4, "CONNACK with an unknown code"},
        {CONNACK "\x90\x04\x00\x01\x00\x80", 10,
         "SUBACK 0x80: the server forbids a topic of the subscription"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        broker_fixture_feed(cases[i].bytes, cases[i].count);
        assert_int_equal(conn->state, BENCH_CONN_CLOSED);
        assert_int_equal(thread.crew.totals.refusals, 1);
        assert_string_equal(thread.crew.totals.first_refusal.bytes, cases[i].words);
        assert_int_equal(thread.crew.subscribed_now, 0);
        assert_int_equal(thread.crew.totals.malformed, 0);
        broker_fixture_end();
    }
}

static void a_packet_that_breaks_the_protocol_is_malformed(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t count;
    } cases[] = {
#define CASE(text) {text, sizeof(text) - 1}
        CASE("\x00"),                       /* no such type */
        CASE("\x10\x00"),                   /* CONNECT: of clients only */
        CASE("\x21\x02\x00\x00"),           /* CONNACK with a flag */
        CASE("\x20\x01\x00"),               /* a short one */
        CASE("\x20\x03\x00\x00\x00"),       /* a long one */
        CASE("\x90\x02\x00\x01"),           /* SUBACK of nothing */
        CASE("\x92\x03\x00\x01\x00"),       /* SUBACK with a flag */
        CASE("\xd0\x01\x00"),               /* PINGRESP with a body */
        CASE("\x30\x00"),                   /* PUBLISH without a topic */
        CASE("\x30\x04\x00\x03md"),         /* whose topic is longer than it */
        CASE("\x32\x06\x00\x02md\x00\x01"), /* with QoS 1, which nobody asked for */
        CASE("\x38\x04\x00\x02md"),         /* again, though with QoS 0 */
        CASE("\x30\x80\x80\x80\x80"),       /* a length of five bytes */
        CASE("GET / HTTP/1.1\r\n"),         /* another protocol */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin();
        broker_fixture_feed(cases[i].bytes, cases[i].count);
        assert_int_equal(thread.crew.totals.malformed, 1);
        assert_int_equal(conn->state, BENCH_CONN_CLOSED);
        assert_int_equal(thread.crew.totals.streams[BENCH_READER].closes[0].code, 1002);
        broker_fixture_end();
    }
}

static void a_packet_that_never_ends_is_not_held_for_ever(void **state)
{
    (void)state;
    static char piece[65536];
    memset(piece, 'x', sizeof piece);
    begin();
    broker_fixture_feed("\x30\xff\xff\xff\x7f", 5);
    for (size_t fed = 0; conn->state != BENCH_CONN_CLOSED; fed += sizeof piece) {
        assert_true(fed <= BENCH_BROKER_HELD_MAX);
        broker_fixture_feed(piece, sizeof piece);
    }
    assert_int_equal(thread.crew.totals.malformed, 1);
    broker_fixture_end();
}

static void a_tick_without_its_fields_is_malformed(void **state)
{
    (void)state;
    begin();
    broker_fixture_feed(CONNACK SUBACK, 10);
    broker_fixture_feed(publish_1, sizeof publish_1 - 1);
    broker_fixture_feed("\x30\x08\x00\x04md/A{}", 10);
    broker_fixture_feed("\x30\x06\x00\x04md/A", 8);
    assert_int_equal(thread.crew.totals.malformed, 2);
    assert_int_equal(thread.crew.totals.window_frames, 1);
    broker_fixture_end();
}

/* Any byte of the dialogue may be any other, and it may end anywhere. */
static void what_is_read_is_inside_of_what_came(void **state)
{
    (void)state;
    begin();
    for (size_t change = 0; change < dialogue_bytes * 256; change++) {
        size_t bytes = dialogue_bytes - change % 7;
        uint8_t *copy = malloc(bytes); /* A sanitizer sees a read beyond it. */
        assert_non_null(copy);
        memcpy(copy, dialogue, bytes);
        copy[change / 256 % bytes] = (uint8_t)change;
        for (size_t used = 0, taken = 1; used < bytes && taken > 0; used += taken) {
            struct bench_broker_packet packet = {0};
            taken = bench_mqtt_read(copy + used, bytes - used, &packet);
            assert_true(taken <= bytes - used);
            if (taken > 0 && packet.kind == BENCH_BROKER_TICK) {
                assert_true(packet.bytes > copy + used &&
                            packet.bytes + packet.bytes_count == copy + used + taken);
            }
        }
        free(copy);
    }
    broker_fixture_end();
}

static void subscribing_names_each_topic(void **state)
{
    (void)state;
    static const char wanted[] = "\x10\x0c\x00\x04MQTT\x04\x02\x00\x1e\x00\x00"
                                 "\x82\x1f\x00\x01"
                                 "\x00\x04md/A\x00"
                                 "\x00\x0cmd/600519.SH\x00"
                                 "\x00\x04md/+\x00";
    size_t bytes = 0;
    char *text = bench_mqtt_subscribe_text("A,600519.SH,*", BENCH_MQTT_TOPIC, &bytes);
    assert_non_null(text);
    assert_int_equal(bytes, sizeof wanted - 1);
    assert_memory_equal(text, wanted, bytes);
    free(text);
    static const char others[] = "\x82\x17\x00\x01"
                                 "\x00\x08x/a/+/#y\x00"
                                 "\x00\x07x/b.c+y\x00";
    text = bench_mqtt_subscribe_text("a/+/#,b.c+", "x/{symbol}y", &bytes);
    assert_non_null(text);
    assert_int_equal(bytes, 14 + sizeof others - 1);
    assert_memory_equal(text + 14, others, sizeof others - 1);
    free(text);
}

static void subscribing_to_many_fits(void **state)
{
    (void)state;
    enum { SYMBOLS = 1000, SYMBOL_BYTES = 64 };
    size_t bytes = 0;
    char *symbols = broker_fixture_symbols(SYMBOLS, SYMBOL_BYTES);
    char *text = bench_mqtt_subscribe_text(symbols, BENCH_MQTT_TOPIC, &bytes);
    assert_non_null(text);
    size_t length = 2 + (size_t)SYMBOLS * (SYMBOL_BYTES + 3 + 3);
    assert_int_equal(bytes, 14 + 1 + 3 + length);
    assert_int_equal((uint8_t)text[15], (length & 0x7f) | 0x80);
    assert_int_equal((uint8_t)text[16], (length >> 7 & 0x7f) | 0x80);
    assert_int_equal((uint8_t)text[17], length >> 14);
    free(text);
    free(symbols);
}

static void each_connection_pings_within_half_of_the_keep_alive(void **state)
{
    (void)state;
    const uint64_t half_ns = BENCH_MQTT_KEEP_ALIVE_SECONDS * NS_PER_SECOND / 2;
    char sent[BROKER_MESSAGE_BYTES_MAX];
    begin();
    bench_conn_keep_alive(&thread.crew);
    thread.crew.now_ns += half_ns;
    bench_conn_keep_alive(&thread.crew); /* It has not subscribed yet. */
    assert_int_equal(broker_fixture_next(sent), 0);
    broker_fixture_feed(dialogue, dialogue_bytes);
    for (int round = 0; round < 3; round++) {
        thread.crew.now_ns += half_ns - 1;
        bench_conn_keep_alive(&thread.crew);
        assert_int_equal(broker_fixture_next(sent), 0);
        thread.crew.now_ns += 1;
        bench_conn_keep_alive(&thread.crew);
        assert_int_equal(broker_fixture_next(sent), 2);
        assert_memory_equal(sent, "\xc0\x00", 2);
        assert_int_equal(broker_fixture_next(sent), 0);
    }
    thread.crew.now_ns += 10 * half_ns; /* It slept. */
    bench_conn_keep_alive(&thread.crew);
    assert_int_equal(broker_fixture_next(sent), 2);
    assert_int_equal(broker_fixture_next(sent), 0);
    bench_conn_disconnect(&thread.crew, conn);
    assert_int_equal(broker_fixture_next(sent), 2);
    assert_memory_equal(sent, "\xe0\x00", 2);
    broker_fixture_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(packets_are_understood_at_every_cut),
        cmocka_unit_test(packets_are_understood_in_pieces_of_any_size),
        cmocka_unit_test(the_length_of_a_packet_has_up_to_four_bytes),
        cmocka_unit_test(suback_says_that_it_is_subscribed),
        cmocka_unit_test(a_tick_may_come_before_suback),
        cmocka_unit_test(a_refusal_is_shown_in_words),
        cmocka_unit_test(a_packet_that_breaks_the_protocol_is_malformed),
        cmocka_unit_test(a_packet_that_never_ends_is_not_held_for_ever),
        cmocka_unit_test(a_tick_without_its_fields_is_malformed),
        cmocka_unit_test(what_is_read_is_inside_of_what_came),
        cmocka_unit_test(subscribing_names_each_topic),
        cmocka_unit_test(subscribing_to_many_fits),
        cmocka_unit_test(each_connection_pings_within_half_of_the_keep_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
