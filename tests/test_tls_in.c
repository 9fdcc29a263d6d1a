/* What clients send by TLS, in every form that it may come in. Row S114 of the requirements. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>
#include <unistd.h>

#include "ring/link/deadlines.h"
#include "ring/link/input.h"
#include "ring/link/sender.h"
#include "ring/link/tls_in.h"
#include "tests/tls_link_client.h"

#define COUNT(name) counter_get(&idle_core.counters.name)
#define NO_ALERT 0xff

/* The next record for the client. */
static struct tls_plain open_record(uint8_t *record, size_t record_bytes)
{
    struct tls_plain plain;
    assert_int_equal(tls_record_open(tls_link.ciphers, &tls_link.rx, record, record_bytes, &plain),
                     TLS_OK);
    return plain;
}

/* The fatal alert that waits to be sent, and nothing else does. */
static uint8_t fatal_alert(const struct link *link)
{
    uint8_t record[64];
    size_t count = tls_link_sealed(link, record, sizeof record);
    assert_true(count > 0);
    assert_int_equal(link->out.bytes, 0);
    struct tls_plain plain = open_record(record, count);
    assert_int_equal(plain.type, TLS_ALERT);
    assert_int_equal(plain.count, 2);
    assert_int_equal(plain.bytes[0], TLS_ALERT_FATAL);
    return plain.bytes[1];
}

static void assert_refused(const struct link *link, uint8_t alert)
{
    assert_int_equal(link->stage, alert == NO_ALERT ? LINK_DOOMED : LINK_CLOSING);
    assert_true(alert == NO_ALERT || fatal_alert(link) == alert);
}

static void send_text(struct link *link, const char *text)
{
    uint8_t message[256];
    tls_link_send(link, TLS_APPLICATION_DATA, message,
                  tls_link_message(message, text, strlen(text)));
}

static void assert_goes_on(struct link *link)
{
    size_t before = tls_link.messages_bytes;
    assert_int_equal(link->stage, LINK_STREAMING);
    send_text(link, "still here");
    assert_int_equal(tls_link.messages_bytes, before + 10);
}

/* ---- Data ---- */

/* Some messages, in records of any length from 1 on; returns how many bytes they are on the wire.
 */
static size_t make_stream(uint8_t *wire, uint8_t *plain_out, size_t *plain_bytes_out)
{
    static uint8_t messages[24000];
    size_t bytes = 0;
    size_t plain_bytes = 0;
    size_t wire_bytes = 0;
    static const size_t lengths[] = {1, 100, 0, 3000, 125, 126, 9000, 5};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memset(plain_out + plain_bytes, 'a' + (int)i, lengths[i]);
        bytes += tls_link_message(messages + bytes, plain_out + plain_bytes, lengths[i]);
        plain_bytes += lengths[i];
    }
    static const size_t records[] = {1, 1, 200, 16, 3000, 9000, 2};
    for (size_t i = 0, at = 0; at < bytes; i++) {
        size_t wanted = i < sizeof records / sizeof records[0] ? records[i] : bytes - at;
        size_t count = wanted < bytes - at ? wanted : bytes - at;
        wire_bytes += tls_link_seal(wire + wire_bytes, TLS_APPLICATION_DATA, messages + at, count);
        at += count;
    }
    *plain_bytes_out = plain_bytes;
    return wire_bytes;
}

/* In receives of so many bytes. */
static void check_stream(enum tls_version version, enum tls_suite suite, size_t piece_max)
{
    static uint8_t wire[32000];
    static uint8_t plain[24000];
    size_t plain_bytes;
    struct link *link = tls_link_stream(version, suite);
    size_t wire_bytes = make_stream(wire, plain, &plain_bytes);
    tls_link.messages_bytes = 0;
    for (size_t at = 0; at < wire_bytes;) {
        size_t piece = piece_max < wire_bytes - at ? piece_max : wire_bytes - at;
        tls_link_receive(link, wire + at, piece);
        at += piece;
        idle_core.now_ns += NS_PER_US;
        core_read_clock(tls_link.core);
        tls_link.links->turn_spent = 0; /* Each in a turn of its own. */
    }
    assert_int_equal(link->stage, LINK_STREAMING);
    assert_int_equal(tls_link.messages_bytes, plain_bytes);
    assert_memory_equal(tls_link.messages, plain, plain_bytes);
    assert_int_equal(links_tls(tls_link.links, link)->part, LINK_TLS_NO_PART);
    assert_int_equal(link->input, LINK_NO_INPUT);
}

static void messages_arrive_the_same_however_records_and_receives_are_cut(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 5, 17, 22, 23, 100, 1021, 4096};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        for (int suite = 0; suite < TLS_SUITE_COUNT; suite++) {
            check_stream(TLS_1_3, (enum tls_suite)suite, pieces[i]);
            check_stream(TLS_1_2, (enum tls_suite)suite, pieces[i]);
        }
    }
    assert_int_equal(tls_link.links->tls_parts->free_count, LINK_TLS_PARTS_MAX);
}

static void many_records_in_one_receive_are_all_opened(void **state)
{
    (void)state;
    uint8_t wire[LINKS_RECV_BUFFER_BYTES];
    uint8_t message[16];
    size_t count = tls_link_message(message, "x", 1);
    size_t wire_bytes = 0;
    uint32_t sent = 0;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    while (wire_bytes + count + 64 < sizeof wire) {
        wire_bytes += tls_link_seal(wire + wire_bytes, TLS_APPLICATION_DATA, message, count);
        sent++;
    }
    tls_link_receive(link, wire, wire_bytes);
    assert_int_equal(link->stage, LINK_STREAMING);
    assert_int_equal(tls_link.messages_bytes, sent);
    assert_int_equal(COUNT(tls_records_in), sent + 1);
}

/* Messages that wait for their turn: what came is not lost, and nothing more is read. */
static void what_is_received_while_the_link_is_paused_is_kept(void **state)
{
    (void)state;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    tls_link.links->turn_spent = INPUT_READ_UNITS;
    send_text(link, "one");
    send_text(link, "two");
    assert_int_equal(tls_link.messages_bytes, 0);
    assert_true(link->has_unread);
    assert_true(link->recv_paused);
    input_run_waiting(tls_link.links);
    assert_int_equal(tls_link.messages_bytes, 6);
    assert_memory_equal(tls_link.messages, "onetwo", 6);
    assert_false(link->has_unread);
}

static void a_request_may_come_in_many_records(void **state)
{
    (void)state;
    struct link *link = tls_link_secure(TLS_1_2, TLS_AES_128_GCM);
    for (size_t i = 0; i < sizeof tls_link_request - 1; i++) {
        assert_int_equal(link->stage, LINK_HANDSHAKING);
        tls_link_send(link, TLS_APPLICATION_DATA, tls_link_request + i, 1);
    }
    assert_goes_on(link);
}

/* ---- Control records ---- */

/* What is sent, and what comes of it. */
struct row {
    enum tls_version version; /* 0: both */
    enum tls_type type;
    uint8_t bytes[8];
    size_t count;
    bool ends;
    uint8_t alert;
};

#define UNEXPECTED .ends = true, .alert = TLS_ALERT_UNEXPECTED_MESSAGE
static const struct row rows[] = {
    {0, TLS_CHANGE_CIPHER_SPEC, {1}, 1, UNEXPECTED},
    {TLS_1_3, TLS_HANDSHAKE, {24, 0, 0, 1, 2}, 5, UNEXPECTED},    /* neither 0 nor 1 */
    {TLS_1_3, TLS_HANDSHAKE, {24, 0, 0, 1, 0, 0}, 6, UNEXPECTED}, /* not alone */
    {TLS_1_3, TLS_HANDSHAKE, {24, 0, 0, 1}, 4, UNEXPECTED},       /* not whole */
    {TLS_1_3, TLS_HANDSHAKE, {24, 0, 0, 0, 0}, 5, UNEXPECTED},
    {TLS_1_3, TLS_HANDSHAKE, {1, 0, 0, 1, 0}, 5, UNEXPECTED}, /* ClientHello */
    {TLS_1_3, TLS_HANDSHAKE, {4, 0, 0, 1, 0}, 5, UNEXPECTED}, /* NewSessionTicket */
    {TLS_1_3, TLS_HANDSHAKE, {0}, 0, UNEXPECTED},
    {TLS_1_3, (enum tls_type)0, {0}, 0, UNEXPECTED},  /* no content type */
    {TLS_1_3, (enum tls_type)24, {0}, 1, UNEXPECTED}, /* heartbeat */
    {0, TLS_ALERT, {1}, 1, UNEXPECTED},
    {0, TLS_ALERT, {1, 90, 0}, 3, UNEXPECTED},
    {0, TLS_ALERT, {0}, 0, UNEXPECTED},
    {0, TLS_ALERT, {TLS_ALERT_FATAL, 40}, 2, .ends = true, .alert = NO_ALERT},
    {TLS_1_3, TLS_ALERT, {TLS_ALERT_WARNING, 40}, 2, .ends = true, .alert = NO_ALERT},
    {TLS_1_3, TLS_ALERT, {TLS_ALERT_WARNING, TLS_ALERT_USER_CANCELED}, 2, .ends = false},
    {TLS_1_2, TLS_ALERT, {TLS_ALERT_WARNING, 40}, 2, .ends = false},
    {0, TLS_APPLICATION_DATA, {0}, 0, .ends = false},
    {TLS_1_2, TLS_HANDSHAKE, {0, 0, 0, 0}, 4, .ends = false}, /* HelloRequest */
    {TLS_1_2, TLS_HANDSHAKE, {1, 0, 0, 0}, 4, .ends = false}, /* ClientHello */
};

static void check_row(const struct row *row, enum tls_version version)
{
    struct link *link = tls_link_stream(version, TLS_AES_128_GCM);
    tls_link_send(link, row->type, row->bytes, row->count);
    if (row->ends) {
        assert_refused(link, row->alert);
    } else {
        assert_goes_on(link);
    }
}

static void control_records_are_answered_as_the_table_says(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rows[i].version != TLS_1_2) {
            check_row(&rows[i], TLS_1_3);
        }
        if (rows[i].version != TLS_1_3) {
            check_row(&rows[i], TLS_1_2);
        }
    }
}

/* All that waits for a link leaves. */
static void send_own(const struct link *link)
{
    static struct plan_batch plans;
    plans.plan_count = 1;
    plans.plans[0] = (struct send_plan){
        .kind = SEND_OWN,
        .conn = links_index(tls_link.links, link),
    };
    sender_send(tls_link.links, &plans);
}

static void close_notify_is_answered_and_ends_the_link(void **state)
{
    (void)state;
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY};
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    send_own(link);
    tls_link_send(link, TLS_ALERT, alert, sizeof alert);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_string_equal(link_end_text(link), "closed by the peer");
    uint8_t sealed[64];
    tls_link.rx.seq = 1; /* The answer to the request was 0. */
    struct tls_plain plain = open_record(sealed, tls_link_sealed(link, sealed, sizeof sealed));
    assert_int_equal(plain.type, TLS_ALERT);
    assert_memory_equal(plain.bytes, alert, sizeof alert);
    send_own(link);
    assert_int_equal(link->stage, LINK_DOOMED);
}

static void ours_follows_what_waits_when_close_notify_comes(void **state)
{
    (void)state;
    static const uint8_t alert[] = {TLS_ALERT_WARNING, TLS_ALERT_CLOSE_NOTIFY};
    struct link *link = tls_link_stream(TLS_1_2, TLS_AES_128_GCM);
    assert_true(link->out.bytes > 0);
    tls_link_send(link, TLS_ALERT, alert, sizeof alert);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_int_equal(links_tls(tls_link.links, link)->sealed.bytes, 0);
    send_own(link);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_int_equal(link->out.bytes, 0);
    assert_true(links_tls(tls_link.links, link)->sealed.bytes > 0);
    send_own(link);
    assert_int_equal(link->stage, LINK_DOOMED);
}

static void a_third_renegotiation_of_tls_12_ends_the_link(void **state)
{
    (void)state;
    static const uint8_t hello[] = {1, 0, 0, 0};
    uint8_t sealed[256];
    struct link *link = tls_link_stream(TLS_1_2, TLS_AES_256_GCM);
    for (uint32_t i = 0; i < 2; i++) {
        tls_link_send(link, TLS_HANDSHAKE, hello, sizeof hello);
        assert_goes_on(link);
    }
    size_t count = tls_link_sealed(link, sealed, sizeof sealed) / 2;
    for (uint32_t i = 0; i < 2; i++) {
        struct tls_plain plain = open_record(sealed + i * count, count);
        assert_int_equal(plain.type, TLS_ALERT);
        assert_int_equal(plain.bytes[0], TLS_ALERT_WARNING);
        assert_int_equal(plain.bytes[1], TLS_ALERT_NO_RENEGOTIATION);
    }
    tls_link_send(link, TLS_HANDSHAKE, hello, sizeof hello);
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_int_equal(COUNT(tls_refused_flood), 1);
}

static void a_fifth_warning_of_tls_12_ends_the_link(void **state)
{
    (void)state;
    static const uint8_t warning[] = {TLS_ALERT_WARNING, 41};
    struct link *link = tls_link_stream(TLS_1_2, TLS_AES_128_GCM);
    for (uint32_t i = 0; i < 4; i++) {
        tls_link_send(link, TLS_ALERT, warning, sizeof warning);
        assert_goes_on(link);
    }
    tls_link_send(link, TLS_ALERT, warning, sizeof warning);
    assert_refused(link, TLS_ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(COUNT(tls_refused_flood), 1);
}

static void records_without_data_may_come_32_times_in_a_row(void **state)
{
    (void)state;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < TLS_IN_EMPTY_MAX; i++) {
            tls_link_send(link, TLS_APPLICATION_DATA, "", 0);
        }
        assert_goes_on(link);
    }
    for (uint32_t i = 0; i <= TLS_IN_EMPTY_MAX; i++) {
        assert_int_equal(link->stage, LINK_STREAMING);
        tls_link_send(link, TLS_APPLICATION_DATA, "", 0);
    }
    assert_refused(link, TLS_ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(COUNT(tls_refused_flood), 1);
}

/* ---- KeyUpdate ---- */

static void update_keys(struct link *link, uint8_t asks)
{
    const uint8_t update[] = {24, 0, 0, 1, asks};
    tls_link_send(link, TLS_HANDSHAKE, update, sizeof update);
    assert_true(tls_secret_update(&tls_link.tx, tls_link.tx_secret));
}

static void a_client_may_change_its_keys(void **state)
{
    (void)state;
    for (int suite = 0; suite < TLS_SUITE_COUNT; suite++) {
        struct link *link = tls_link_stream(TLS_1_3, (enum tls_suite)suite);
        update_keys(link, 0);
        assert_goes_on(link);
        update_keys(link, 0);
        assert_goes_on(link);
        assert_int_equal(links_tls(tls_link.links, link)->sealed.bytes, 0);
    }
    assert_int_equal(COUNT(tls_updates_peer), 2 * TLS_SUITE_COUNT);
    assert_int_equal(COUNT(tls_updates_own), 0);
}

static void a_client_may_ask_for_new_keys_of_ours(void **state)
{
    (void)state;
    static const uint8_t update[] = {24, 0, 0, 1, 0};
    uint8_t sealed[64];
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    update_keys(link, 1);
    assert_goes_on(link);
    struct tls_plain plain = open_record(sealed, tls_link_sealed(link, sealed, sizeof sealed));
    assert_int_equal(plain.type, TLS_HANDSHAKE);
    assert_int_equal(plain.count, sizeof update);
    assert_memory_equal(plain.bytes, update, sizeof update);
    assert_true(tls_secret_update(&tls_link.rx, tls_link.rx_secret));
    const struct link_tls *tls = links_tls(tls_link.links, link);
    assert_memory_equal(tls->tx.key, tls_link.rx.key, sizeof tls->tx.key);
    assert_int_equal(COUNT(tls_updates_own), 1);
}

static void keys_may_change_32_times_in_a_minute(void **state)
{
    (void)state;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    for (uint32_t minute = 0; minute < 3; minute++) {
        for (uint32_t i = 0; i < TLS_IN_UPDATES_MAX; i++) {
            update_keys(link, 0);
            assert_goes_on(link);
        }
        idle_core.now_ns += TLS_IN_UPDATES_NS + 2 * STAMP_NS;
        core_read_clock(tls_link.core);
    }
    for (uint32_t i = 0; i < TLS_IN_UPDATES_MAX; i++) {
        update_keys(link, 0);
        assert_goes_on(link);
    }
    update_keys(link, 0);
    assert_refused(link, TLS_ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(COUNT(tls_refused_flood), 1);
}

/* ---- Bad input ---- */

static void a_record_with_any_bit_flipped_does_not_open(void **state)
{
    (void)state;
    uint8_t record[64];
    struct tls_keys tx;
    size_t count = 0;
    for (size_t bit = 5 * 8; bit == 5 * 8 || bit < count * 8; bit++) {
        struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
        tx = tls_link.tx;
        count = tls_link_seal(record, TLS_APPLICATION_DATA, "x", 1);
        record[bit / 8] ^= (uint8_t)(1 << bit % 8);
        tls_link_receive(link, record, count);
        assert_refused(link, TLS_ALERT_BAD_RECORD_MAC);
        assert_int_equal(links_tls(tls_link.links, link)->rx.seq, tx.seq);
    }
    assert_int_equal(COUNT(tls_refused_mac), (count - 5) * 8);
}

static void a_record_that_is_replayed_or_left_out_does_not_open(void **state)
{
    (void)state;
    uint8_t record[64];
    uint8_t again[64];
    struct link *link = tls_link_stream(TLS_1_2, TLS_CHACHA20_POLY1305);
    size_t count = tls_link_seal(record, TLS_APPLICATION_DATA, "\x89\x80xxxx", 6);
    memcpy(again, record, count);
    tls_link_receive(link, record, count);
    assert_int_equal(link->stage, LINK_STREAMING);
    tls_link_receive(link, again, count);
    assert_refused(link, TLS_ALERT_BAD_RECORD_MAC);
    link = tls_link_stream(TLS_1_3, TLS_AES_256_GCM);
    (void)tls_link_seal(record, TLS_APPLICATION_DATA, "x", 1);
    send_text(link, "y");
    assert_refused(link, TLS_ALERT_BAD_RECORD_MAC);
}

/* Whole, and byte by byte. */
static void check_clear_bytes(enum tls_version version, const char *bytes, size_t count,
                              uint8_t alert)
{
    struct link *link = tls_link_stream(version, TLS_AES_128_GCM);
    tls_link_receive(link, bytes, count);
    assert_refused(link, alert);
    link = tls_link_stream(version, TLS_AES_128_GCM);
    for (size_t i = 0; i < count && link->stage == LINK_STREAMING; i++) {
        tls_link_receive(link, bytes + i, 1);
    }
    assert_refused(link, alert);
}

static void what_is_no_record_ends_the_link(void **state)
{
    (void)state;
    static const char ccs[] = "\x14\x03\x03\x00\x01\x01 and what follows it";
    static const char alert[] = "\x15\x03\x03\x00\x02\x01\x00 and what follows it";
    static const char longest[] = "\x17\x03\x03\xff\xff";
    check_clear_bytes(TLS_1_3, "GET / HTTP/1.1\r\n\r\n", 18, TLS_ALERT_RECORD_OVERFLOW);
    check_clear_bytes(TLS_1_2, "GET / HTTP/1.1\r\n\r\n", 18, TLS_ALERT_RECORD_OVERFLOW);
    check_clear_bytes(TLS_1_3, longest, 5, TLS_ALERT_RECORD_OVERFLOW);
    check_clear_bytes(TLS_1_2, longest, 5, TLS_ALERT_RECORD_OVERFLOW);
    check_clear_bytes(TLS_1_3, ccs, sizeof ccs - 1, TLS_ALERT_UNEXPECTED_MESSAGE);
    check_clear_bytes(TLS_1_3, alert, sizeof alert - 1, TLS_ALERT_UNEXPECTED_MESSAGE);
    assert_int_equal(COUNT(tls_refused_length), 8);
    assert_int_equal(COUNT(tls_refused_unexpected), 4);
}

/* ---- Parts ---- */

static void when_all_blocks_are_taken_the_oldest_part_gives_way(void **state)
{
    (void)state;
    struct link *oldest = NULL;
    for (uint32_t i = 0; i < LINK_TLS_PARTS_MAX; i++) {
        struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
        oldest = oldest == NULL ? link : oldest;
        tls_link_receive(link, "\x17\x03\x03", 3);
    }
    assert_int_equal(oldest->stage, LINK_STREAMING);
    assert_int_equal(tls_link.links->tls_parts->free_count, 0);
    struct link *newest = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    tls_link_receive(newest, "\x17\x03\x03", 3);
    assert_int_equal(oldest->stage, LINK_DOOMED);
    assert_int_equal(newest->stage, LINK_STREAMING);
    core_bury(tls_link.core);
    assert_int_equal(tls_link.links->tls_parts->free_count, 0);
    link_doom(tls_link.links, newest, 0, "test");
    core_bury(tls_link.core);
    assert_int_equal(tls_link.links->tls_parts->free_count, 1);
}

static void a_part_whose_rest_does_not_come_ends_as_half_a_message_does(void **state)
{
    (void)state;
    struct link *link = tls_link_stream(TLS_1_3, TLS_AES_128_GCM);
    tls_link_receive(link, "\x17\x03\x03", 3);
    for (uint32_t second = 0; second < 9; second++) {
        idle_core.now_ns += NS_PER_SECOND + STAMP_NS;
        core_read_clock(tls_link.core);
        deadlines_on_timer(tls_link.links, links_index(tls_link.links, link));
        assert_int_equal(link->stage, LINK_STREAMING);
    }
    idle_core.now_ns += NS_PER_SECOND + STAMP_NS;
    core_read_clock(tls_link.core);
    deadlines_on_timer(tls_link.links, links_index(tls_link.links, link));
    assert_int_equal(link->stage, LINK_CLOSING);
    assert_int_equal(link->close_code, 4005);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_link_set_up, tls_link_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(messages_arrive_the_same_however_records_and_receives_are_cut),
        TEST(many_records_in_one_receive_are_all_opened),
        TEST(what_is_received_while_the_link_is_paused_is_kept),
        TEST(a_request_may_come_in_many_records),
        TEST(control_records_are_answered_as_the_table_says),
        TEST(close_notify_is_answered_and_ends_the_link),
        TEST(ours_follows_what_waits_when_close_notify_comes),
        TEST(a_third_renegotiation_of_tls_12_ends_the_link),
        TEST(a_fifth_warning_of_tls_12_ends_the_link),
        TEST(records_without_data_may_come_32_times_in_a_row),
        TEST(a_client_may_change_its_keys),
        TEST(a_client_may_ask_for_new_keys_of_ours),
        TEST(keys_may_change_32_times_in_a_minute),
        TEST(a_record_with_any_bit_flipped_does_not_open),
        TEST(a_record_that_is_replayed_or_left_out_does_not_open),
        TEST(what_is_no_record_ends_the_link),
        TEST(when_all_blocks_are_taken_the_oldest_part_gives_way),
        TEST(a_part_whose_rest_does_not_come_ends_as_half_a_message_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
