/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "codec/sbe_tick_read.h"
#include "libringcast/ringcast_publish.h"
#include "libringcast/ringcast_publish_link.h"

#define PUMPS_MAX 20000 /* of 5 ms at most */
#define WELCOME_HEAD "{\"type\":\"WELCOME\",\"data\":{\"epoch\":\"8ffa0ef193b452c2\",\"q\":"
#define WELCOME_TAIL ",\"ack_ms\":100,\"heartbeat_s\":5,\"silent_s\":15}}"
#define WELCOME WELCOME_HEAD "null" WELCOME_TAIL
#define HELLO                                                                                      \
    "{\"type\":\"HELLO\",\"data\":{\"name\":\"desk "                                               \
    "\\\"1\\\"\",\"token\":\"to\\\\ken\",\"epoch\":77}}"
#define DEFINITION_HEAD "{\"type\":\"DEFINITION\",\"data\":{\"channels\":["
#define DEFINITION_X DEFINITION_HEAD "{\"ch\":0,\"symbol\":\"X\",\"type\":\"trade\"}]}}"
#define LEVELS_MAX 8192
#define CHANNELS 65536
#define TICK_BYTES_MAX 200

static char folder[64];
static char path[96];
static int listener;
static int peer; /* what was accepted; -1: none */
static struct ringcast_publish *publish;
static struct ringcast_publish_info info;
static uint64_t refused_q;
static char refused_reason[256];

/* ---- A server that does what the test has it do ---- */

static void listens(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    strcpy(at.sun_path, path);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listener >= 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(listener, 8), 0);
}

static void on_refused(void *context, uint64_t q, const char *reason)
{
    assert_ptr_equal(context, &publish);
    refused_q = q;
    snprintf(refused_reason, sizeof refused_reason, "%s", reason);
}

static struct ringcast_publish_options options_of(const char *address)
{
    return (struct ringcast_publish_options){.address = address,
                                             .name = "desk \"1\"",
                                             .token = "to\\ken",
                                             .epoch = 77,
                                             .buffer_bytes = 65536,
                                             .on_refused = on_refused,
                                             .context = &publish};
}

static int set_up(void **state)
{
    (void)state;
    char address[128];
    strcpy(folder, "/tmp/test_ringcast_publish.XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/socket", folder);
    snprintf(address, sizeof address, "unix:%s", path);
    peer = -1;
    refused_q = 0;
    refused_reason[0] = '\0';
    listens();
    struct ringcast_publish_options options = options_of(address);
    assert_int_equal(ringcast_publish_open(&publish, &options, NULL), 0);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ringcast_publish_close(publish, 0);
    publish = NULL;
    close(peer);
    close(listener);
    unlink(path);
    assert_int_equal(rmdir(folder), 0);
    return 0;
}

static bool is_readable(int fd)
{
    struct pollfd it = {.fd = fd, .events = POLLIN};
    return poll(&it, 1, 0) == 1;
}

/* Lets the publisher work until the descriptor is readable. */
static void pump_until_readable(int fd)
{
    for (unsigned i = 0; !is_readable(fd); i++) {
        assert_true(i < PUMPS_MAX);
        ringcast_publish_poll(publish, 5);
    }
}

static void accepts(void)
{
    close(peer);
    pump_until_readable(listener);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
}

static void receives(void *bytes, size_t byte_count)
{
    for (size_t at = 0; at < byte_count;) {
        pump_until_readable(peer);
        ssize_t count = recv(peer, (char *)bytes + at, byte_count - at, MSG_DONTWAIT);
        assert_true(count > 0);
        at += (size_t)count;
    }
}

/* The next message of the publisher, with a zero behind it. */
static size_t receives_message(uint8_t *message, size_t bytes_max)
{
    uint32_t length;
    receives(&length, sizeof length);
    assert_true(length < bytes_max);
    receives(message, length);
    message[length] = '\0';
    return length;
}

static void receives_text(const char *text)
{
    static uint8_t message[65536];
    receives_message(message, sizeof message);
    assert_string_equal((char *)message, text);
}

/* The next message is a tick, which refers to memory of this function; its q. */
static uint64_t receives_tick(struct md_update *tick_out)
{
    static uint8_t message[1 << 22];
    static struct md_level levels[LEVELS_MAX];
    static char texts[65536];
    static const struct sbe_tick_room room = {levels, LEVELS_MAX, texts, sizeof texts};
    struct sbe_tick tick;
    size_t bytes = receives_message(message, sizeof message);
    assert_true(sbe_tick_read(&tick, &room, message, bytes));
    *tick_out = tick.update;
    return tick.seq;
}

static void receives_trade(uint64_t q, uint32_t channel)
{
    struct md_update tick;
    assert_int_equal(receives_tick(&tick), q);
    assert_int_equal(tick.type, MD_TRADE);
    assert_int_equal(tick.channel, channel);
    assert_int_equal(tick.trade.price.mantissa, 1000 + (int64_t)q);
}

static void answers(const char *text)
{
    uint32_t length = (uint32_t)strlen(text);
    assert_int_equal(send(peer, &length, sizeof length, MSG_NOSIGNAL), sizeof length);
    assert_int_equal(send(peer, text, length, MSG_NOSIGNAL), length);
}

static void welcomes(const char *welcome)
{
    accepts();
    receives_text(HELLO);
    answers(welcome);
}

static struct ringcast_publish_info *information(void)
{
    ringcast_publish_get_info(publish, &info);
    return &info;
}

/* Until the publisher has what was answered; the condition is about information(). */
#define PUMP_UNTIL(condition)                                                                      \
    for (unsigned pumps = 0; !(condition); pumps++) {                                              \
        assert_true(pumps < PUMPS_MAX);                                                            \
        ringcast_publish_poll(publish, 5);                                                         \
    }

static void publishes_trade(int channel)
{
    struct ringcast_trade trade = {.price = {1000 + (int64_t)information()->next_q, -2},
                                   .size = {1, 0}};
    assert_int_equal(ringcast_publish_trade(publish, channel, &trade), 0);
}

static void acknowledges(uint64_t q)
{
    char text[64];
    snprintf(text, sizeof text, "{\"type\":\"ACK\",\"data\":{\"q\":%llu}}", (unsigned long long)q);
    answers(text);
    PUMP_UNTIL(information()->acked_q == q);
}

/* Until the publisher has read everything that was sent to it. */
static void pump_until_input_is_read(void)
{
    int unread = 1;
    while (unread > 0) {
        ringcast_publish_poll(publish, 5);
        assert_int_equal(ioctl(peer, SIOCOUTQ, &unread), 0);
    }
}

/* ---- What is sent ---- */

static void definitions_and_ticks_follow_the_welcome(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "MI\"NE", RINGCAST_TRADE);
    publishes_trade(channel);
    accepts();
    receives_text(HELLO);
    ringcast_publish_poll(publish, 20);
    assert_false(is_readable(peer));
    assert_int_equal(information()->state, RINGCAST_PUBLISH_GREETING);
    assert_int_equal(ringcast_publish_flush(publish), -EAGAIN);
    answers(WELCOME);
    receives_text(DEFINITION_HEAD "{\"ch\":0,\"symbol\":\"MI\\\"NE\",\"type\":\"trade\"}]}}");
    receives_trade(1, 0);
    assert_int_equal(information()->state, RINGCAST_PUBLISH_LIVE);
    assert_string_equal(info.server_epoch, "8ffa0ef193b452c2");
    assert_int_equal(info.connects, 1);

    /* A channel that comes later is defined before its first tick. */
    publishes_trade(channel);
    channel = ringcast_publish_channel(publish, "\xe4\xb8\xad", RINGCAST_TRADE);
    publishes_trade(channel);
    assert_int_equal(ringcast_publish_flush(publish), 0);
    receives_text(DEFINITION_HEAD "{\"ch\":1,\"symbol\":\"\xe4\xb8\xad\",\"type\":\"trade\"}]}}");
    receives_trade(2, 0);
    receives_trade(3, 1);
}

static void ticks_of_every_type_arrive_as_they_were_given(void **state)
{
    (void)state;
    static const struct ringcast_level bids[] = {{{-5, -1}, {7, 0}}, {{-6, -1}, {0, 0}}};
    struct md_update tick;
    struct ringcast_trade trade = {.ts_event_ns = 11,
                                   .price = {INT64_MAX, -18},
                                   .size = {RINGCAST_NONE, 0},
                                   .side = RINGCAST_SIDE_SELL,
                                   .has_id = true,
                                   .id = 9};
    struct ringcast_quote quote = ringcast_quote_none;
    quote.last = (struct ringcast_decimal){1032, -2};
    quote.bids = bids;
    quote.bid_count = 2;
    quote.status = "T";
    struct ringcast_bar bar = ringcast_bar_none;
    strcpy(bar.interval, "1m");
    bar.start_ns = 60;
    bar.close = (struct ringcast_decimal){3, 0};
    bar.closed = true;
    struct ringcast_depth depth = {.action = RINGCAST_DELTA, .asks = bids, .ask_count = 2};
    struct ringcast_status status = {.state = "halted"};
    for (int type = RINGCAST_QUOTE; type <= RINGCAST_STATUS; type++) {
        assert_int_equal(ringcast_publish_channel(publish, "X", (enum ringcast_type)type), type);
    }
    assert_int_equal(ringcast_publish_trade(publish, RINGCAST_TRADE, &trade), 0);
    assert_int_equal(ringcast_publish_quote(publish, RINGCAST_QUOTE, &quote), 0);
    assert_int_equal(ringcast_publish_bar(publish, RINGCAST_BAR, &bar), 0);
    assert_int_equal(ringcast_publish_depth(publish, RINGCAST_DEPTH, &depth), 0);
    assert_int_equal(ringcast_publish_status(publish, RINGCAST_STATUS, &status), 0);
    welcomes(WELCOME);
    uint8_t message[4096];
    receives_message(message, sizeof message);

    assert_int_equal(receives_tick(&tick), 1);
    assert_int_equal(tick.ts_event_ns, 11);
    assert_int_equal(tick.trade.price.mantissa, INT64_MAX);
    assert_int_equal(tick.trade.price.exponent, -18);
    assert_false(md_is_given(tick.trade.size));
    assert_int_equal(tick.trade.side, MD_SIDE_SELL);
    assert_true(tick.trade.has_id && tick.trade.id == 9);
    assert_int_equal(receives_tick(&tick), 2);
    assert_int_equal(tick.quote.last.mantissa, 1032);
    assert_false(md_is_given(tick.quote.open) || md_is_given(tick.quote.turnover));
    assert_int_equal(tick.quote.bid_count, 2);
    assert_int_equal(tick.quote.ask_count, 0);
    assert_string_equal(tick.quote.status, "T");
    assert_int_equal(receives_tick(&tick), 3);
    assert_string_equal(tick.bar.interval, "1m");
    assert_int_equal(tick.bar.close.mantissa, 3);
    assert_false(md_is_given(tick.bar.open) || tick.bar.has_count);
    assert_true(tick.bar.closed && tick.bar.start_ns == 60);
    assert_int_equal(receives_tick(&tick), 4);
    assert_int_equal(tick.depth.action, MD_DELTA);
    assert_int_equal(tick.depth.asks[0].price.mantissa, -5);
    assert_int_equal(tick.depth.asks[1].size.mantissa, 0);
    assert_int_equal(receives_tick(&tick), 5);
    assert_string_equal(tick.status.state, "halted");
    assert_null(tick.status.reason);
}

static void many_channels_are_defined_in_messages_of_bounded_size(void **state)
{
    (void)state;
    static uint8_t message[RINGCAST_PUBLISH_CONTROL_BYTES_MAX + 1];
    char symbol[32];
    unsigned defined = 0;
    for (int i = 0; i < CHANNELS; i++) {
        snprintf(symbol, sizeof symbol, "\x01%030d", i); /* the longest, with an escape */
        assert_int_equal(ringcast_publish_channel(publish, symbol, RINGCAST_TRADE), i);
    }
    assert_int_equal(ringcast_publish_channel(publish, "X", RINGCAST_TRADE), -ENOSPC);
    publishes_trade(CHANNELS - 1);
    welcomes(WELCOME);
    while (defined < CHANNELS) {
        receives_message(message, sizeof message);
        const char *at = (char *)message;
        assert_int_equal(strncmp(at, DEFINITION_HEAD, strlen(DEFINITION_HEAD)), 0);
        while ((at = strstr(at, "{\"ch\":")) != NULL) {
            snprintf(symbol, sizeof symbol, "%030u", defined);
            assert_int_equal(strtoul(at + 6, NULL, 10), defined);
            assert_non_null(strstr(at, symbol));
            defined++;
            at++;
        }
    }
    receives_trade(1, CHANNELS - 1);
}

static void heartbeats_keep_a_silent_producer_connected(void **state)
{
    (void)state;
    welcomes("{\"type\":\"WELCOME\",\"data\":{\"epoch\":\"1\",\"q\":null,\"heartbeat_s\":1}}");
    receives_text("{\"type\":\"HEARTBEAT\"}");
    receives_text("{\"type\":\"HEARTBEAT\"}");
}

/* A channel that is opened while the kernel has a part of a tick is defined behind that tick. */
static void no_message_is_sent_within_another(void **state)
{
    (void)state;
    static struct ringcast_level levels[3000];
    struct ringcast_depth depth = {.bids = levels, .bid_count = 3000};
    struct md_update tick;
    uint64_t q = 0;
    ringcast_publish_close(publish, 0);
    char address[128];
    snprintf(address, sizeof address, "unix:%s", path);
    struct ringcast_publish_options options = options_of(address);
    options.buffer_bytes = 1 << 23;
    assert_int_equal(ringcast_publish_open(&publish, &options, NULL), 0);
    int books = ringcast_publish_channel(publish, "BOOKS", RINGCAST_DEPTH);
    accepts(); /* of the publisher before */
    welcomes(WELCOME);
    PUMP_UNTIL(information()->state == RINGCAST_PUBLISH_LIVE);
    for (int i = 0; i < 150; i++) {
        assert_int_equal(ringcast_publish_depth(publish, books, &depth), 0);
        ringcast_publish_flush(publish);
    }
    assert_int_equal(ringcast_publish_flush(publish), -EAGAIN);
    publishes_trade(ringcast_publish_channel(publish, "LATE", RINGCAST_TRADE));
    receives_text(DEFINITION_HEAD "{\"ch\":0,\"symbol\":\"BOOKS\",\"type\":\"depth\"}]}}");
    for (unsigned definitions = 0; q < 151;) {
        static uint8_t message[65536];
        size_t bytes = receives_message(message, sizeof message);
        if (message[0] == '{') {
            definitions++;
            assert_true(q > 0 && q < 150);
            assert_string_equal((char *)message, DEFINITION_HEAD
                                "{\"ch\":1,\"symbol\":\"LATE\",\"type\":\"trade\"}]}}");
            assert_int_equal(definitions, 1);
            continue;
        }
        struct sbe_tick read;
        static struct md_level room_levels[3000];
        static const struct sbe_tick_room room = {room_levels, 3000, NULL, 0};
        assert_true(sbe_tick_read(&read, &room, message, bytes));
        assert_int_equal(read.seq, ++q);
        tick = read.update;
    }
    assert_int_equal(tick.type, MD_TRADE);
}

/* ---- What is received ---- */

static void acknowledged_ticks_are_released(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    welcomes(WELCOME);
    for (int i = 0; i < 5; i++) {
        publishes_trade(channel);
    }
    assert_int_equal(information()->unacked, 5);
    size_t all = info.waiting_bytes;
    PUMP_UNTIL(ringcast_publish_flush(publish) == 0);
    acknowledges(3);
    assert_int_equal(information()->unacked, 2);
    assert_int_equal(info.waiting_bytes * 5, all * 2);
    acknowledges(5);
    assert_int_equal(information()->waiting_bytes, 0);
}

static void messages_of_the_server_may_come_in_pieces(void **state)
{
    (void)state;
    static const char *const texts[] = {"{\"type\":\"later-invention\"}",
                                        "{\"type\":\"HEARTBEAT\"}",
                                        "{\"type\":\"ACK\", \"new\":[{}], \"data\": {\"q\":2}}"};
    char bytes[256];
    size_t byte_count = 0;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        uint32_t length = (uint32_t)strlen(texts[i]);
        memcpy(bytes + byte_count, &length, sizeof length);
        memcpy(bytes + byte_count + sizeof length, texts[i], length);
        byte_count += sizeof length + length;
    }
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    publishes_trade(channel);
    publishes_trade(channel);
    welcomes(WELCOME);
    PUMP_UNTIL(ringcast_publish_flush(publish) == 0);
    for (size_t i = 0; i < byte_count; i++) {
        assert_int_equal(information()->unacked, 2);
        assert_int_equal(send(peer, bytes + i, 1, MSG_NOSIGNAL), 1);
        pump_until_input_is_read();
    }
    assert_int_equal(information()->unacked, 0);
}

static void a_refusal_is_passed_on(void **state)
{
    (void)state;
    welcomes(WELCOME);
    answers("{\"type\":\"REFUSED\",\"data\":{\"q\":7,\"reason\":\"the symbol \\\"X\\\" is bad\"}}");
    PUMP_UNTIL(information()->refused == 1);
    assert_int_equal(refused_q, 7);
    assert_string_equal(refused_reason, "the symbol \"X\" is bad");
    answers("{\"type\":\"REFUSED\",\"data\":{\"q\":null,\"reason\":\"malformed\"}}");
    PUMP_UNTIL(information()->refused == 2);
    assert_int_equal(refused_q, 0);
}

static void a_final_error_fails_the_publisher(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    struct ringcast_trade trade = {.price = {1, 0}};
    publishes_trade(channel);
    accepts();
    answers("{\"type\":\"ERROR\",\"data\":{\"code\":\"bad_token\",\"message\":\"take another\","
            "\"retry\":false}}");
    close(peer);
    peer = -1;
    PUMP_UNTIL(information()->state == RINGCAST_PUBLISH_FAILED);
    assert_string_equal(info.error, "bad_token: take another");
    assert_int_equal(ringcast_publish_trade(publish, channel, &trade), -ECONNABORTED);
    assert_int_equal(ringcast_publish_gap(publish, channel), -ECONNABORTED);
    assert_int_equal(ringcast_publish_flush(publish), -ECONNABORTED);
    assert_int_equal(ringcast_publish_poll(publish, -1), -ECONNABORTED);
    assert_int_equal(ringcast_publish_close(publish, 60000), 1);
    publish = NULL;
}

static void what_is_no_server_is_tried_again_with_an_error(void **state)
{
    (void)state;
    accepts();
    assert_true(send(peer, "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL) == 28);
    PUMP_UNTIL(information()->error[0] != '\0');
    assert_string_equal(info.error,
                        "what is at the address does not speak the protocol of an ingest");
    accepts();
    answers("\"text\"");
    PUMP_UNTIL(strcmp(information()->error, "the server sent what is not a message") == 0);
    accepts();
    answers("{\"type\":\"ERROR\",\"data\":{\"code\":\"stopping\",\"message\":\"soon\","
            "\"retry\":true}}");
    PUMP_UNTIL(strcmp(information()->error, "stopping: soon") == 0);
    welcomes(WELCOME);
    PUMP_UNTIL(information()->state == RINGCAST_PUBLISH_LIVE);
    assert_string_equal(information()->error, "");
}

/* ---- Reconnects ---- */

static void after_a_reconnect_the_ticks_behind_the_welcome_are_sent_again(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    for (int i = 0; i < 9; i++) {
        publishes_trade(channel);
    }
    welcomes(WELCOME);
    receives_text(DEFINITION_X);
    for (uint64_t q = 1; q <= 5; q++) {
        receives_trade(q, 0);
    }
    acknowledges(2);
    char half[30];
    receives(half, sizeof half); /* The disconnect is in the middle of a message. */
    close(peer);
    peer = -1;
    welcomes(WELCOME_HEAD "4" WELCOME_TAIL);
    receives_text(DEFINITION_X);
    for (uint64_t q = 5; q <= 9; q++) {
        receives_trade(q, 0);
    }
    assert_int_equal(information()->acked_q, 4);
    assert_int_equal(info.unacked, 5);
    /* Another server, which knows nothing. */
    acknowledges(7);
    close(peer);
    peer = -1;
    welcomes(WELCOME);
    receives_text(DEFINITION_X);
    receives_trade(8, 0);
    receives_trade(9, 0);
    acknowledges(9);
    assert_int_equal(information()->connects, 3);
    assert_int_equal(info.unacked, 0);
}

static void a_server_that_comes_later_is_found(void **state)
{
    (void)state;
    accepts();
    close(listener);
    unlink(path);
    close(peer);
    peer = -1;
    PUMP_UNTIL(strcmp(information()->error, "connect: No such file or directory") == 0);
    assert_int_equal(info.state, RINGCAST_PUBLISH_WAITING);
    listens();
    welcomes(WELCOME);
}

static void the_wait_doubles_up_to_half_a_minute(void **state)
{
    (void)state;
    assert_int_equal(ringcast_publish_link_backoff_ns(1, 0), 500000000);
    assert_int_equal(ringcast_publish_link_backoff_ns(2, 0), 1000000000);
    assert_int_equal(ringcast_publish_link_backoff_ns(6, 0), 16000000000);
    assert_int_equal(ringcast_publish_link_backoff_ns(7, 0), 30000000000);
    assert_int_equal(ringcast_publish_link_backoff_ns(UINT32_MAX, 0), 30000000000);
    for (uint64_t random = 1; random > 0; random <<= 1) {
        uint64_t wait_ns = ringcast_publish_link_backoff_ns(1, random);
        assert_true(wait_ns > 250000000 && wait_ns <= 500000000);
    }
}

static void a_producer_that_goes_on_learns_its_last_number(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    welcomes(WELCOME_HEAD "41" WELCOME_TAIL);
    PUMP_UNTIL(information()->state == RINGCAST_PUBLISH_LIVE);
    assert_int_equal(info.acked_q, 41);
    assert_int_equal(info.next_q, 42);
    assert_int_equal(ringcast_publish_set_q(publish, 41), -EINVAL);
    assert_int_equal(ringcast_publish_set_q(publish, UINT64_MAX), -EINVAL);
    assert_int_equal(ringcast_publish_set_q(publish, 50), 0);
    publishes_trade(channel);
    receives_text(DEFINITION_X);
    receives_trade(50, 0);
}

static void a_gap_is_kept_until_a_tick_behind_it_is_acknowledged(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    publishes_trade(channel);
    assert_int_equal(ringcast_publish_gap(publish, channel), 0);
    for (int i = 0; i < 2; i++) {
        welcomes(i == 0 ? WELCOME : WELCOME_HEAD "1" WELCOME_TAIL);
        receives_text(DEFINITION_X);
        if (i == 0) {
            receives_trade(1, 0);
        }
        receives_text("{\"type\":\"GAP\",\"data\":{\"symbol\":\"X\",\"type\":\"trade\"}}");
        if (i == 0) {
            acknowledges(1);
        }
        close(peer);
        peer = -1;
    }
    welcomes(WELCOME_HEAD "1" WELCOME_TAIL);
    receives_text(DEFINITION_X);
    receives_text("{\"type\":\"GAP\",\"data\":{\"symbol\":\"X\",\"type\":\"trade\"}}");
    publishes_trade(channel);
    receives_trade(2, 0);
    acknowledges(2);
    assert_int_equal(information()->waiting_bytes, 0);
}

/* ---- The buffer ---- */

static void a_full_buffer_refuses_and_loses_nothing(void **state)
{
    (void)state;
    struct ringcast_trade trade = {.size = {1, 0}};
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    uint64_t received = 0;
    welcomes(WELCOME);
    receives_text(DEFINITION_X);
    for (int round = 0; round < 20; round++) {
        uint64_t count = 0;
        int error;
        do {
            trade.price = (struct ringcast_decimal){1000 + (int64_t)information()->next_q, -2};
            error = ringcast_publish_trade(publish, channel, &trade);
            count += error == 0;
        } while (error == 0);
        assert_int_equal(error, -EAGAIN);
        assert_int_equal(information()->full, round + 1);
        assert_true(info.waiting_bytes + TICK_BYTES_MAX > info.buffer_bytes);
        for (uint64_t i = 0; i < count; i++) {
            receives_trade(++received, 0);
        }
        acknowledges(received - 3); /* The tail is at another place in each round. */
    }
    assert_int_equal(information()->next_q, received + 1);
}

/* No tick is behind them, whose acknowledgement would release them. */
static void a_buffer_full_of_gaps_has_room_when_they_are_sent(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    welcomes(WELCOME);
    receives_text(DEFINITION_X);
    uint32_t count = 0;
    while (ringcast_publish_gap(publish, channel) == 0) {
        count++;
    }
    assert_true(count > 500);
    for (uint32_t i = 0; i < count; i++) {
        receives_text("{\"type\":\"GAP\",\"data\":{\"symbol\":\"X\",\"type\":\"trade\"}}");
    }
    assert_int_equal(ringcast_publish_gap(publish, channel), 0);
    receives_text("{\"type\":\"GAP\",\"data\":{\"symbol\":\"X\",\"type\":\"trade\"}}");
    publishes_trade(channel);
    receives_trade(1, 0);
    acknowledges(1);
    assert_int_equal(information()->waiting_bytes, 0);
}

static void levels_of_all_sizes_wrap_around_the_end_of_the_buffer(void **state)
{
    (void)state;
    static struct ringcast_level levels[600];
    for (int i = 0; i < 600; i++) {
        levels[i] = (struct ringcast_level){{1000 + i, -2}, {i, 0}};
    }
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_DEPTH);
    welcomes(WELCOME);
    receives_text(DEFINITION_HEAD "{\"ch\":0,\"symbol\":\"X\",\"type\":\"depth\"}]}}");
    for (uint32_t i = 1; i <= 120; i++) {
        struct md_update tick;
        uint32_t count = i * 7919 % 600;
        struct ringcast_depth depth = {.bids = levels, .bid_count = count};
        assert_int_equal(ringcast_publish_depth(publish, channel, &depth), 0);
        assert_int_equal(receives_tick(&tick), i);
        assert_int_equal(tick.depth.bid_count, count);
        for (uint32_t level = 0; level < count; level++) {
            assert_int_equal(tick.depth.bids[level].price.mantissa, 1000 + level);
            assert_int_equal(tick.depth.bids[level].size.mantissa, level);
        }
        acknowledges(i);
    }
}

static void what_cannot_be_sent_is_refused_at_once(void **state)
{
    (void)state;
    static char long_text[70000];
    static struct ringcast_level levels[5000];
    memset(long_text, 'x', sizeof long_text - 1);
    int trades = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    int books = ringcast_publish_channel(publish, "X", RINGCAST_DEPTH);
    int states = ringcast_publish_channel(publish, "X", RINGCAST_STATUS);
    struct ringcast_trade trade = {.price = {1, 0}};
    assert_int_equal(ringcast_publish_trade(publish, books, &trade), -EINVAL);
    assert_int_equal(ringcast_publish_trade(publish, 3, &trade), -EINVAL);
    assert_int_equal(ringcast_publish_trade(publish, -1, &trade), -EINVAL);
    assert_int_equal(ringcast_publish_gap(publish, -1), -EINVAL);
    trade.price.exponent = 1;
    assert_int_equal(ringcast_publish_trade(publish, trades, &trade), -EINVAL);
    trade.price.exponent = -19;
    assert_int_equal(ringcast_publish_trade(publish, trades, &trade), -EINVAL);
    trade.price.exponent = 0;
    trade.ts_event_ns = UINT64_MAX;
    assert_int_equal(ringcast_publish_trade(publish, trades, &trade), -ERANGE);
    trade.ts_event_ns = 0;
    trade.side = (enum ringcast_side)3;
    assert_int_equal(ringcast_publish_trade(publish, trades, &trade), -EINVAL);

    struct ringcast_depth depth = {.bids = levels, .bid_count = 5000};
    assert_int_equal(ringcast_publish_depth(publish, books, &depth), -EMSGSIZE);
    depth.bid_count = 65535;
    assert_int_equal(ringcast_publish_depth(publish, books, &depth), -EMSGSIZE);
    depth.bid_count = 2;
    levels[1].price = (struct ringcast_decimal){RINGCAST_NONE, 0};
    assert_int_equal(ringcast_publish_depth(publish, books, &depth), -EINVAL);
    levels[0].price = (struct ringcast_decimal){1000000000000, 0};
    levels[1].price = (struct ringcast_decimal){1, -18};
    assert_int_equal(ringcast_publish_depth(publish, books, &depth), -ERANGE);

    struct ringcast_status status = {.state = long_text};
    assert_int_equal(ringcast_publish_status(publish, states, &status), -EMSGSIZE);
    status.state = NULL;
    assert_int_equal(ringcast_publish_status(publish, states, &status), -EINVAL);
    assert_int_equal(information()->published, 0);
    assert_int_equal(info.next_q, 1);

    assert_int_equal(ringcast_publish_channel(publish, "", RINGCAST_TRADE), -EINVAL);
    assert_int_equal(ringcast_publish_channel(publish, long_text, RINGCAST_TRADE), -EINVAL);
    assert_int_equal(ringcast_publish_channel(publish, "\xff", RINGCAST_TRADE), -EINVAL);
    assert_int_equal(ringcast_publish_channel(publish, "X", (enum ringcast_type)5), -EINVAL);
}

/* ---- Opening and closing ---- */

static void wrong_options_are_explained(void **state)
{
    (void)state;
    static const struct {
        const char *address, *name, *token, *expected;
    } rows[] = {
        {NULL, "x", NULL, "address: give unix:PATH or tcp:HOST:PORT"},
        {"/run/socket", "x", NULL, "address: give unix:PATH or tcp:HOST:PORT"},
        {"unix:", "x", NULL, "address: the path of a Unix socket has 1 to 107 bytes, not 0"},
        {"tcp:localhost", "x", NULL,
         "address: \"tcp:localhost\" is not of the form tcp:HOST:PORT or tcp:[IPV6]:PORT"},
        {"tcp:::1:9", "x", NULL,
         "address: \"tcp:::1:9\" is not of the form tcp:HOST:PORT or tcp:[IPV6]:PORT"},
        {"tcp:127.0.0.1:http", "x", NULL,
         "address: 127.0.0.1 port http: Name or service not known"},
        {"tcp:127.0.0.1:1", NULL, NULL, "name: give 1 to 64 printable ASCII characters"},
        {"tcp:127.0.0.1:1", "", NULL, "name: give 1 to 64 printable ASCII characters"},
        {"tcp:127.0.0.1:1", "x\n", NULL, "name: give 1 to 64 printable ASCII characters"},
        {"tcp:127.0.0.1:1", "x", "",
         "token: give 1 to 8192 printable ASCII characters, or NULL for none"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char error[RINGCAST_PUBLISH_ERROR_BYTES_MAX];
        struct ringcast_publish *none = NULL;
        struct ringcast_publish_options options = {
            .address = rows[i].address, .name = rows[i].name, .token = rows[i].token};
        assert_true(ringcast_publish_open(&none, &options, error) < 0);
        assert_string_equal(error, rows[i].expected);
        assert_null(none);
    }
}

/* Nobody listens there, on either address of the name. */
static void a_tcp_address_is_tried(void **state)
{
    (void)state;
    struct ringcast_publish *other;
    struct ringcast_publish_options options = {.address = "tcp:[::1]:1", .name = "x"};
    assert_int_equal(ringcast_publish_open(&other, &options, NULL), 0);
    ringcast_publish_close(other, 0);
    options.address = "tcp:127.0.0.1:1";
    assert_int_equal(ringcast_publish_open(&other, &options, NULL), 0);
    for (ringcast_publish_get_info(other, &info); info.error[0] == '\0';) {
        ringcast_publish_poll(other, 5);
        ringcast_publish_get_info(other, &info);
    }
    assert_string_equal(info.error, "connect: Connection refused");
    ringcast_publish_close(other, 0);
}

static void the_descriptor_is_readable_when_there_is_something_to_do(void **state)
{
    (void)state;
    int fd = ringcast_publish_fd(publish);
    welcomes(WELCOME);
    assert_true(is_readable(fd));
    PUMP_UNTIL(information()->state == RINGCAST_PUBLISH_LIVE);
    assert_false(is_readable(fd));
    close(peer);
    peer = -1;
    assert_true(is_readable(fd));
    ringcast_publish_poll(publish, 0);
    assert_int_equal(information()->state, RINGCAST_PUBLISH_WAITING);
    assert_false(is_readable(fd));
    struct pollfd until_retry = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&until_retry, 1, 60000), 1);
    ringcast_publish_poll(publish, 0);
    assert_int_equal(information()->state, RINGCAST_PUBLISH_GREETING);
    assert_int_equal(ringcast_publish_fd(publish), fd);
}

static void close_waits_for_acknowledgements_within_its_time(void **state)
{
    (void)state;
    int channel = ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    welcomes(WELCOME);
    publishes_trade(channel);
    publishes_trade(channel);
    PUMP_UNTIL(ringcast_publish_flush(publish) == 0);
    acknowledges(1);
    assert_int_equal(ringcast_publish_close(publish, 30), 1);
    publish = NULL;
    assert_int_equal(ringcast_publish_close(NULL, 0), 0);

    char address[128];
    snprintf(address, sizeof address, "unix:%s", path);
    struct ringcast_publish_options options = options_of(address);
    assert_int_equal(ringcast_publish_open(&publish, &options, NULL), 0);
    ringcast_publish_channel(publish, "X", RINGCAST_TRADE);
    publishes_trade(channel);
    welcomes(WELCOME);
    PUMP_UNTIL(ringcast_publish_flush(publish) == 0);
    answers("{\"type\":\"ACK\",\"data\":{\"q\":1}}"); /* It has not read it yet. */
    assert_int_equal(ringcast_publish_close(publish, 600000), 0);
    publish = NULL;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(definitions_and_ticks_follow_the_welcome),
        TEST(ticks_of_every_type_arrive_as_they_were_given),
        TEST(many_channels_are_defined_in_messages_of_bounded_size),
        TEST(heartbeats_keep_a_silent_producer_connected),
        TEST(no_message_is_sent_within_another),
        TEST(acknowledged_ticks_are_released),
        TEST(messages_of_the_server_may_come_in_pieces),
        TEST(a_refusal_is_passed_on),
        TEST(a_final_error_fails_the_publisher),
        TEST(what_is_no_server_is_tried_again_with_an_error),
        TEST(after_a_reconnect_the_ticks_behind_the_welcome_are_sent_again),
        TEST(a_server_that_comes_later_is_found),
        TEST(the_wait_doubles_up_to_half_a_minute),
        TEST(a_producer_that_goes_on_learns_its_last_number),
        TEST(a_gap_is_kept_until_a_tick_behind_it_is_acknowledged),
        TEST(a_full_buffer_refuses_and_loses_nothing),
        TEST(a_buffer_full_of_gaps_has_room_when_they_are_sent),
        TEST(levels_of_all_sizes_wrap_around_the_end_of_the_buffer),
        TEST(what_cannot_be_sent_is_refused_at_once),
        TEST(wrong_options_are_explained),
        TEST(a_tcp_address_is_tried),
        TEST(the_descriptor_is_readable_when_there_is_something_to_do),
        TEST(close_waits_for_acknowledgements_within_its_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
