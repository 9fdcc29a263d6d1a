#include <arpa/inet.h>
#include <netinet/in.h>
#include <time.h>

#include "codec/base/clock.h"
#include "ingest_fixture.h"

#define WELCOME(q)                                                                                 \
    "{\"type\":\"WELCOME\",\"data\":{\"epoch\":\"0000000000000abc\",\"q\":" q                      \
    ",\"ack_ms\":100,\"heartbeat_s\":5,\"silent_s\":15,\"message_bytes_max\":4194304}}\n"
#define ACK(q) "{\"type\":\"ACK\",\"data\":{\"q\":" q "}}\n"
#define HEARTBEAT "{\"type\":\"HEARTBEAT\"}\n"
#define ACK_NS (100 * NS_PER_MS)

/* ---- Ticks in both forms ---- */

static void lines_become_ticks(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    struct recorder *recorder = fixture->recorder;
    int fd = ingest_dial(fixture);
    uint64_t before_ns = clock_ns(CLOCK_REALTIME);
    ingest_say(fixture, fd,
               "\n{\"type\":\"HEARTBEAT\"}\r\n"
               "{\"type\":\"WELCOME\",\"data\":{}}\n" /* as ringcast-tap prints it */
               "{\"type\":\"trade\",\"symbol\":\"A\",\"ch\":7,\"seq\":9,\"ts_event\":12,"
               "\"ts_pub\":3,\"data\":{\"price\":10.32,\"size\":300}}\r\n"
               "{\"type\":\"depth\",\"symbol\":\"A\",\"ts_event\":13,\"data\":{\"action\":"
               "\"delta\",\"bids\":[[\"1.50\",0]],\"asks\":[]}}\n");
    assert_int_equal(recorder->tick_count, 2);
    const struct md_update *trade = &recorder_tick(recorder, 0)->update;
    assert_int_equal(trade->type, MD_TRADE);
    assert_int_equal(trade->ts_event_ns, 12);
    assert_true(trade->ts_recv_ns >= before_ns);
    assert_true(trade->ts_recv_ns <= clock_ns(CLOCK_REALTIME));
    assert_int_equal(trade->trade.price.mantissa, 1032);
    assert_int_equal(trade->source_seq, 1);
    assert_int_equal(recorder_tick(recorder, 1)->update.depth.bid_count, 1);
    assert_int_equal(fixture->feed->counters.skipped, 1);
    assert_int_equal(fixture->feed->counters.malformed, 0);
    ingest_expect(fixture, fd, ""); /* It has no name. */
    close(fd);
    ingest_settle(fixture);
    assert_int_equal(recorder->silent_count, 2);
    assert_int_equal(fixture->feed->counters.producers, 0);
    ingest_fixture_destroy(fixture);
}

/* HELLO, a DEFINITION, and count trades from q on, in the binary form. */
static size_t binary_stream(uint8_t *out, size_t out_bytes, uint64_t q, uint32_t count)
{
    static const char hello[] = "{\"type\":\"HELLO\",\"data\":{\"name\":\"desk\",\"epoch\":5}}";
    static const char define[] = "{\"type\":\"DEFINITION\",\"data\":{\"channels\":[{\"ch\":3,"
                                 "\"symbol\":\"A\",\"type\":\"trade\"}]}}";
    size_t bytes = stream_ticks_put_json(out, out_bytes, hello, sizeof hello - 1);
    bytes += stream_ticks_put_json(out + bytes, out_bytes - bytes, define, sizeof define - 1);
    for (uint32_t i = 0; i < count; i++) {
        struct md_update update = {
            .type = MD_TRADE,
            .ts_event_ns = INGEST_NOW_NS + i,
            .trade = {.price = {1032 + i, -2}, .size = {300, 0}, .side = MD_SIDE_SELL},
        };
        size_t more = stream_ticks_put(out + bytes, out_bytes - bytes, 3, &update, q + i);
        assert_true(more > 0);
        bytes += more;
    }
    return bytes;
}

static void binary_messages_become_ticks_at_every_split(void **state)
{
    (void)state;
    static uint8_t stream[4096];
    size_t bytes = binary_stream(stream, sizeof stream, 1, 3);
    for (size_t step = 1; step <= bytes; step = step == 1 ? 97 : step + bytes) {
        struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
        int fd = ingest_dial(fixture);
        for (size_t at = 0; at < bytes; at += step) {
            ingest_send(fixture, fd, stream + at, bytes - at < step ? bytes - at : step);
        }
        assert_int_equal(fixture->recorder->tick_count, 3);
        const struct md_update *last = &recorder_tick(fixture->recorder, 2)->update;
        assert_int_equal(last->trade.price.mantissa, 1034);
        assert_int_equal(last->trade.side, MD_SIDE_SELL);
        assert_int_equal(last->source_seq, 3);
        assert_int_equal(last->source_epoch, 5);
        assert_string_equal(recorder_symbol(fixture->recorder, 2), "A");
        ingest_pass(fixture, ACK_NS);
        const char *heard = ingest_hear(fixture, fd);
        uint32_t length;
        memcpy(&length, heard, sizeof length);
        assert_memory_equal(heard + 4, WELCOME("null"), length);
        assert_memory_equal(heard + 4 + length + 4, ACK("3"), strlen(ACK("3")) - 1);
        close(fd);
        ingest_fixture_destroy(fixture);
    }
}

static void lines_become_ticks_one_byte_at_a_time(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    char text[256];
    int fd = ingest_dial(fixture);
    ingest_trade(text, "A", 0);
    for (size_t i = 0; text[i] != '\0'; i++) {
        assert_int_equal(fixture->recorder->tick_count, 0);
        ingest_send(fixture, fd, &text[i], 1);
    }
    assert_int_equal(fixture->recorder->tick_count, 1);
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void more_than_a_poll_has_room_for_waits_for_the_next(void **state)
{
    (void)state;
    static uint8_t stream[1 << 20];
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    size_t bytes = binary_stream(stream, sizeof stream, 1, 3000);
    fixture->recorder->room = 7;
    int fd = ingest_dial(fixture);
    ingest_send(fixture, fd, stream, bytes);
    assert_int_equal(fixture->recorder->tick_count, 3000);
    for (uint64_t i = 0; i < 3000; i++) {
        assert_int_equal(recorder_tick(fixture->recorder, i)->update.source_seq, i + 1);
    }
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* The recorder's room does not shrink, so that a poll ends by its number of turns. */
static void a_flood_leaves_turns_to_the_others(void **state)
{
    (void)state;
    static uint8_t stream[1 << 20];
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    size_t bytes = binary_stream(stream, sizeof stream, 1, 1000);
    int flood = ingest_dial(fixture);
    int other = ingest_dial(fixture);
    char text[256];
    assert_true(send(flood, stream, bytes, MSG_DONTWAIT) > 30000);
    ingest_trade(text, "B", 0);
    assert_int_equal(send(other, text, strlen(text), 0), strlen(text));
    fixture->recorder->room = 40;
    for (uint64_t i = 0; i < 2; i++) {
        ingest_poll(fixture);
    }
    uint64_t place = 0;
    while (strcmp(recorder_symbol(fixture->recorder, place), "B") != 0) {
        place++;
    }
    assert_in_range(place, 0, 40); /* After one turn of the flood at most. */
    close(flood);
    close(other);
    ingest_fixture_destroy(fixture);
}

static void half_a_message_is_reported_when_its_producer_leaves(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    static uint8_t stream[4096];
    size_t bytes = binary_stream(stream, sizeof stream, 1, 1);
    int fd = ingest_dial(fixture);
    ingest_send(fixture, fd, stream, bytes - 1);
    ingest_pass(fixture, NS_PER_SECOND);
    assert_int_equal(fixture->recorder->tick_count, 0);
    close(fd);
    ingest_settle(fixture);
    assert_true(recorder_has_log(fixture->recorder, "within a message"));
    ingest_fixture_destroy(fixture);
}

static void a_message_that_is_too_long_ends_the_connection(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    char *line = malloc(4 * MIB + 100);
    memset(line, ' ', 4 * MIB);
    char text[256];
    ingest_trade(text, "A", 1);
    memcpy(line + 4 * MIB - strlen(text) + 1, text, strlen(text)); /* 4 MiB and its line feed */
    ingest_send(fixture, fd, line, 4 * MIB + 1);
    assert_int_equal(fixture->recorder->tick_count, 1);
    ingest_expect(fixture, fd, "");
    memset(line, ' ', 4 * MIB + 2);
    for (size_t sent = 0; sent < 4 * MIB + 2;) {
        ssize_t now = send(fd, line + sent, 4 * MIB + 2 - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        sent += now > 0 ? (size_t)now : 0;
        ingest_settle(fixture);
    }
    ingest_expect_part(fixture, fd, "\"code\":\"too_long\"");
    close(fd);
    fd = ingest_dial(fixture);
    ingest_send(fixture, fd, "\x01\x00\x40\x00", 4);
    const char *heard = ingest_hear(fixture, fd); /* in its form: behind a length */
    assert_non_null(strstr(heard + 4, "\"code\":\"too_long\""));
    close(fd);
    free(line);
    ingest_fixture_destroy(fixture);
}

static void a_malformed_message_is_refused_and_the_next_is_taken(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_say(fixture, fd, "{\"type\":\n");
    ingest_expect_part(fixture, fd, "{\"type\":\"REFUSED\",\"data\":{\"q\":null,\"reason\":\"");
    ingest_say(fixture, fd, "{\"type\":\"trade\",\"symbol\":\"A\",\"q\":1,\"data\":{}}\n");
    ingest_expect_part(fixture, fd, "\"q\":1,\"reason\":\"trade: price is missing");
    ingest_say_trade(fixture, fd, "A", 2);
    assert_int_equal(fixture->recorder->tick_count, 1);
    assert_int_equal(fixture->feed->counters.malformed, 2);
    assert_int_equal(fixture->feed->counters.holes, 0);
    ingest_pass(fixture, ACK_NS);
    ingest_expect(fixture, fd, ACK("2"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void a_gap_of_the_producer_is_a_loss_of_its_channel(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say_trade(fixture, fd, "A", 0);
    ingest_say_trade(fixture, fd, "B", 0);
    ingest_say(fixture, fd, "{\"type\":\"GAP\",\"data\":{\"symbol\":\"B\",\"type\":\"trade\"}}\n");
    assert_int_equal(fixture->recorder->lost_count, 1);
    assert_int_equal(fixture->recorder->lost_channel, 1);
    ingest_say(fixture, fd, "{\"type\":\"GAP\",\"data\":{\"symbol\":\"B\"}}\n");
    assert_int_equal(fixture->feed->counters.malformed, 1);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* The output of ringcast-tap --json has them, with a ch of the other server. */
static void a_gap_of_a_ch_is_skipped_in_the_text_form(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd,
               "{\"type\":\"GAP\",\"ts\":1,\"data\":{\"ch\":7,\"from\":1,\"to\":2}}\n");
    assert_int_equal(fixture->feed->counters.skipped, 1);
    assert_int_equal(fixture->feed->counters.malformed, 0);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* The JSON library takes 100 to 200 ms, and 200 MiB, for 4 MiB. */
static void a_control_message_is_short(void **state)
{
    (void)state;
    static char text[24000];
    static const char *const begins[] = {
        "{\"type\":\"GAP\",\"data\":{\"symbol\":\"A\",\"type\":\"trade\"},\"x\":\"",
        "{\"type\":\"DEFINITION\",\"data\":{\"channels\":[]},\"x\":\"",
        "{\"type\":\"HELLO\",\"data\":{\"name\":\"other\"},\"x\":\"",
    };
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    for (size_t i = 0; i < 3; i++) {
        for (size_t bytes = 20480; bytes <= 20481; bytes++) {
            int fd = ingest_dial(fixture);
            if (i < 2) {
                ingest_say(fixture, fd, INGEST_HELLO);
                ingest_expect(fixture, fd, WELCOME("null"));
            }
            memset(text, 'x', sizeof text);
            memcpy(text, begins[i], strlen(begins[i]));
            strcpy(text + bytes - 2, "\"}\n");
            ingest_say(fixture, fd, text);
            ingest_expect_part(fixture, fd,
                               bytes == 20480 ? i < 2 ? "" : "WELCOME"
                                              : "a control message has more than 20480 bytes");
            close(fd);
            ingest_settle(fixture);
        }
    }
    assert_int_equal(fixture->recorder->lost_count, 1);
    assert_int_equal(fixture->feed->counters.malformed, 2);
    ingest_fixture_destroy(fixture);
}

static void a_recording_behind_another_begins_to_count_anew(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    for (int i = 0; i < 2; i++) {
        ingest_say(fixture, fd, "{\"type\":\"RECORDING\",\"data\":{}}\n");
        ingest_say_trade(fixture, fd, "A", 1);
    }
    assert_int_equal(fixture->recorder->tick_count, 2);
    assert_int_equal(fixture->feed->counters.duplicates, 0);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* ---- Numbers ---- */

static void an_ack_comes_in_a_later_poll_and_in_time(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    char text[256];
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_expect(fixture, fd, WELCOME("null"));
    fixture->now_ns += NS_PER_SECOND / 2;
    ingest_settle(fixture);
    ingest_trade(text, "A", 1);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    ingest_poll(fixture);
    assert_int_equal(fixture->recorder->tick_count, 1);
    assert_in_range(fixture->due_ns, fixture->now_ns + 1, fixture->now_ns + ACK_NS - 1);
    fixture->now_ns = fixture->due_ns;
    /* The ACK is due, and here comes another tick: it is not sent before that tick is published. */
    ingest_trade(text, "A", 2);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    ingest_poll(fixture);
    assert_int_equal(fixture->recorder->tick_count, 2);
    assert_int_equal(recv(fd, text, sizeof text, MSG_DONTWAIT), -1);
    assert_int_equal(fixture->due_ns, fixture->now_ns);
    ingest_poll(fixture);
    ingest_expect(fixture, fd, ACK("2"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void duplicates_are_dropped_and_holes_are_counted(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_expect(fixture, fd, WELCOME("null"));
    const uint64_t numbers[] = {10, 11, 11, 5, 14, 0, 15, 16};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        ingest_say_trade(fixture, fd, "A", numbers[i]);
    }
    const struct feed_counters *counters = &fixture->feed->counters;
    assert_int_equal(counters->ticks, 5); /* 10, 11, 14, one without, which is 15, and 16 */
    assert_int_equal(counters->duplicates, 3);
    assert_int_equal(counters->holes, 1);
    assert_int_equal(counters->refused, 0);
    assert_true(recorder_has_log(fixture->recorder, "12 to 13 did not come"));
    ingest_pass(fixture, ACK_NS);
    ingest_expect(fixture, fd, ACK("16"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void say_hello(struct ingest_fixture *fixture, int fd, const char *name, uint64_t epoch)
{
    char text[256];
    snprintf(text, sizeof text, "{\"type\":\"HELLO\",\"data\":{\"name\":\"%s\",\"epoch\":%llu}}\n",
             name, (unsigned long long)epoch);
    ingest_say(fixture, fd, text);
}

static void a_producer_goes_on_where_it_was(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        uint64_t epoch;
        const char *answer;
    } connections[] = {
        {"desk", 5, WELCOME("7")},    {"other", 5, WELCOME("null")}, {"desk", 0, WELCOME("null")},
        {"desk", 6, WELCOME("null")}, {"desk", 6, WELCOME("1")},     {"desk", 5, NULL},
        {"desk", 7, WELCOME("null")},
    };
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    say_hello(fixture, fd, "desk", 5);
    ingest_say_trade(fixture, fd, "A", 7);
    close(fd);
    ingest_settle(fixture);
    for (size_t i = 0; i < sizeof connections / sizeof connections[0]; i++) {
        fd = ingest_dial(fixture);
        say_hello(fixture, fd, connections[i].name, connections[i].epoch);
        if (connections[i].answer == NULL) {
            ingest_expect_part(fixture, fd, "\"code\":\"old_epoch\"");
        } else {
            ingest_expect(fixture, fd, connections[i].answer);
            ingest_say_trade(fixture, fd, "A", i < 3 ? 7 : 1);
        }
        close(fd);
        ingest_settle(fixture);
    }
    assert_int_equal(fixture->feed->counters.duplicates, 2); /* 7 of epoch 5, 1 of epoch 6 */
    ingest_fixture_destroy(fixture);
}

static void a_second_connection_of_a_name_replaces_the_first(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int first = ingest_dial(fixture);
    ingest_say(fixture, first, INGEST_HELLO);
    ingest_say_trade(fixture, first, "A", 3);
    ingest_expect(fixture, first, WELCOME("null"));
    int second = ingest_dial(fixture);
    ingest_say(fixture, second, INGEST_HELLO);
    ingest_expect(fixture, second, WELCOME("3"));
    /* Nobody knows yet whether the second one publishes the symbols of the first. */
    assert_int_equal(fixture->recorder->silent_count, 1);
    ingest_expect_part(fixture, first,
                       ACK("3") "{\"type\":\"ERROR\",\"data\":{\"code\":"
                                "\"replaced\"");
    ingest_expect(fixture, first, "(end)");
    ingest_say_trade(fixture, second, "A", 4);
    assert_int_equal(fixture->recorder->tick_count, 2);
    ingest_pass(fixture, 3 * NS_PER_SECOND); /* The first does not hang up, and is closed. */
    assert_int_equal(send(first, "{", 1, MSG_NOSIGNAL), -1);
    close(first);
    close(second);
    ingest_fixture_destroy(fixture);
}

static void a_newer_epoch_replaces_a_connection_with_its_own_last_ack(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int first = ingest_dial(fixture);
    say_hello(fixture, first, "desk", 5);
    ingest_say_trade(fixture, first, "A", 3);
    ingest_expect(fixture, first, WELCOME("null"));
    int second = ingest_dial(fixture);
    say_hello(fixture, second, "desk", 6);
    ingest_expect(fixture, second, WELCOME("null"));
    ingest_expect_part(fixture, first, ACK("3") "{\"type\":\"ERROR\"");
    close(first);
    close(second);
    ingest_fixture_destroy(fixture);
}

/* As "nc -N" does: it sends all, then ends its direction, and reads. */
static void a_producer_that_has_sent_all_receives_its_last_ack(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    char text[512] = INGEST_HELLO;
    ingest_trade(text + strlen(text), "", 1);
    ingest_trade(text + strlen(text), "A", 2);
    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    ingest_expect(fixture, fd,
                  WELCOME("null") "{\"type\":\"REFUSED\",\"data\":{\"q\":1,\"reason\":\"symbol is "
                                  "not a string of 1 to 32 bytes\"}}\n" ACK("2") "(end)");
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void after_the_last_number_a_tick_needs_a_number(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_say_trade(fixture, fd, "A", INT64_MAX);
    ingest_say_trade(fixture, fd, "A", 0);
    ingest_say_trade(fixture, fd, "A", INT64_MAX);
    ingest_expect_part(fixture, fd, "{\"q\":null,\"reason\":\"no number is left for it; ");
    ingest_pass(fixture, ACK_NS);
    ingest_expect(fixture, fd, ACK("9223372036854775807"));
    assert_int_equal(fixture->feed->counters.ticks, 1);
    assert_int_equal(fixture->feed->counters.refused, 1);
    assert_int_equal(fixture->feed->counters.duplicates, 1);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* ---- Tokens ---- */

struct gate {
    struct feed_admission admission;
    int answer;      /* of admit */
    uint32_t waits;  /* -EAGAIN so often before it */
    uint32_t grants; /* that are not dropped yet */
    uint64_t expires_ns;
};

static int gate_admit(void *context, const char *token, size_t token_bytes, uint64_t now_ns,
                      struct feed_grant *grant_out, const char **fault_out)
{
    assert_true(now_ns >= INGEST_NOW_NS);
    struct gate *gate = context;
    assert_memory_equal(token, "secret", token_bytes);
    *fault_out = "as the test wants it";
    if (gate->waits > 0) {
        gate->waits--;
        return -EAGAIN;
    }
    if (gate->answer == 0) {
        gate->grants++;
        *grant_out = (struct feed_grant){.handle = gate, .expires_ns = gate->expires_ns};
        strcpy(grant_out->name, "t1");
    }
    return gate->answer;
}

static bool gate_may_publish(void *context, const struct feed_grant *grant, const char *symbol,
                             size_t symbol_bytes, enum md_type type)
{
    assert_ptr_equal(grant->handle, context);
    return type == MD_TRADE && symbol_bytes == 1 && symbol[0] == 'A';
}

static void gate_drop_grant(void *context, struct feed_grant *grant)
{
    struct gate *gate = context;
    (void)grant;
    assert_true(gate->grants > 0);
    gate->grants--;
}

static struct gate gate_of(int answer)
{
    return (struct gate){
        .admission = {.needs_token = true,
                      .admit = gate_admit,
                      .may_publish = gate_may_publish,
                      .drop_grant = gate_drop_grant},
        .answer = answer,
        .expires_ns = UINT64_MAX,
    };
}

#define TOKEN_HELLO                                                                                \
    "{\"type\":\"HELLO\",\"data\":{\"name\":\"desk\",\"epoch\":5,\"token\":\"secret\"}}\n"

static void a_token_is_needed_and_judged(void **state)
{
    (void)state;
    static const struct {
        const char *hello;
        int answer;
        const char *code;
    } cases[] = {
        {TOKEN_HELLO, -EACCES, "\"bad_token\",\"message\":\"as the test wants it; "},
        {TOKEN_HELLO, -EKEYEXPIRED, "token_expired"},
        {TOKEN_HELLO, -EPERM, "forbidden"},
        {INGEST_HELLO, 0, "bad_token"},
        {"{\"type\":\"HEARTBEAT\"}\n", 0, "hello_first"},
        {"\x02", 0, ""},
        {"not JSON\n", 0, "hello_first"},
        {"{\"type\":\"HELLO\",\"data\":{\"token\":\"secret\"}}\n", 0, "malformed"},
        {"{\"type\":\"HELLO\",\"data\":{\"name\":\"\\u00e9\",\"token\":\"secret\"}}\n", 0,
         "malformed"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct gate gate = gate_of(cases[i].answer);
        gate.admission.context = &gate;
        struct ingest_fixture *fixture = ingest_fixture_create(&gate.admission, "");
        int fd = ingest_dial(fixture);
        ingest_say(fixture, fd, cases[i].hello);
        ingest_say_trade(fixture, fd, "A", 1);
        if (cases[i].code[0] != '\0') {
            ingest_expect_part(fixture, fd, cases[i].code);
        }
        assert_int_equal(fixture->recorder->tick_count, 0);
        assert_int_equal(gate.grants, 0);
        close(fd);
        ingest_fixture_destroy(fixture);
    }
}

static void a_tick_that_the_token_does_not_permit_is_refused_and_counts(void **state)
{
    (void)state;
    struct gate gate = gate_of(0);
    gate.admission.context = &gate;
    gate.waits = 3;
    struct ingest_fixture *fixture = ingest_fixture_create(&gate.admission, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, TOKEN_HELLO);
    ingest_say_trade(fixture, fd, "A", 1);
    assert_int_equal(fixture->recorder->tick_count, 0); /* The signature waits for its turn. */
    ingest_pass(fixture, 10 * NS_PER_MS);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_say_trade(fixture, fd, "B", 2);
    ingest_say_trade(fixture, fd, "B", 3);
    ingest_say_trade(fixture, fd, "A", 4);
    ingest_expect(fixture, fd,
                  "{\"type\":\"REFUSED\",\"data\":{\"q\":2,\"reason\":\"the token does not permit "
                  "this symbol and type\"}}\n"
                  "{\"type\":\"REFUSED\",\"data\":{\"q\":3,\"reason\":\"the token does not permit "
                  "this symbol and type\"}}\n");
    assert_int_equal(fixture->recorder->tick_count, 2);
    assert_int_equal(fixture->feed->counters.refused, 2);
    assert_int_equal(fixture->feed->counters.holes, 0);
    ingest_pass(fixture, ACK_NS);
    ingest_expect(fixture, fd, ACK("4"));
    close(fd);
    ingest_settle(fixture);
    assert_int_equal(gate.grants, 0);
    ingest_fixture_destroy(fixture);
}

static void a_token_that_ends_ends_its_connection(void **state)
{
    (void)state;
    struct gate gate = gate_of(0);
    gate.admission.context = &gate;
    gate.expires_ns = INGEST_NOW_NS + 3 * NS_PER_SECOND;
    struct ingest_fixture *fixture = ingest_fixture_create(&gate.admission, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, TOKEN_HELLO);
    ingest_pass(fixture, 2 * NS_PER_SECOND);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_pass(fixture, 2 * NS_PER_SECOND);
    ingest_expect_part(fixture, fd, "\"code\":\"token_expired\"");
    close(fd);
    ingest_settle(fixture);
    assert_int_equal(gate.grants, 0);
    ingest_fixture_destroy(fixture);
}

static void without_hello_a_place_is_kept_for_5_seconds(void **state)
{
    (void)state;
    struct gate gate = gate_of(0);
    gate.admission.context = &gate;
    struct ingest_fixture *fixture = ingest_fixture_create(&gate.admission, "");
    int fd = ingest_dial(fixture);
    ingest_pass(fixture, 4 * NS_PER_SECOND);
    ingest_expect(fixture, fd, "");
    ingest_pass(fixture, 2 * NS_PER_SECOND);
    ingest_expect_part(fixture, fd, "\"code\":\"hello_first\"");
    close(fd);
    ingest_fixture_destroy(fixture);
    /* open=yes: no token is needed. */
    fixture = ingest_fixture_create(&gate.admission, ",open=yes");
    fd = ingest_dial(fixture);
    ingest_say_trade(fixture, fd, "B", 0);
    assert_int_equal(fixture->recorder->tick_count, 1);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* ---- Time ---- */

static void a_silent_producer_makes_its_symbols_stale_and_is_closed_at_last(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_say_trade(fixture, fd, "A", 1);
    ingest_pass(fixture, 4 * NS_PER_SECOND);
    ingest_expect(fixture, fd, WELCOME("null") ACK("1"));
    ingest_pass(fixture, 3 * NS_PER_SECOND);
    ingest_expect(fixture, fd, HEARTBEAT);
    ingest_say(fixture, fd, HEARTBEAT);
    ingest_pass(fixture, 14 * NS_PER_SECOND);
    assert_int_equal(fixture->recorder->silent_count, 0);
    assert_int_equal(fixture->feed->state, FEED_LIVE);
    ingest_pass(fixture, 2 * NS_PER_SECOND);
    assert_int_equal(fixture->recorder->silent_count, 1);
    assert_int_equal(fixture->feed->state, FEED_STALE);
    ingest_say_trade(fixture, fd, "A", 2);
    assert_int_equal(fixture->feed->state, FEED_LIVE);
    ingest_pass(fixture, 62 * NS_PER_SECOND);
    assert_int_equal(fixture->recorder->silent_count, 2);
    ingest_expect_part(fixture, fd, "\"code\":\"silent\"");
    assert_int_equal(fixture->feed->counters.producers, 0);
    assert_int_equal(fixture->feed->state, FEED_CONNECTING);
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void a_clock_that_is_set_is_no_silence(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_pass(fixture, NS_PER_SECOND);
    fixture->now_ns += 3600 * NS_PER_SECOND;
    ingest_settle(fixture);
    fixture->now_ns -= 7200 * NS_PER_SECOND;
    ingest_settle(fixture);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_say_trade(fixture, fd, "A", 1);
    ingest_pass(fixture, ACK_NS);
    ingest_expect(fixture, fd, ACK("1"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* Sends malformed lines until the server takes no more. Returns how many. */
static uint64_t flood_with_faults(struct ingest_fixture *fixture, int fd)
{
    uint64_t count = 0;
    for (int idle = 0; idle < 10;) {
        if (send(fd, "fault\n", 6, MSG_DONTWAIT | MSG_NOSIGNAL) == 6) {
            count++;
            idle = 0;
        } else {
            idle++;
        }
        ingest_settle(fixture);
    }
    return count;
}

static void a_producer_that_does_not_read_is_not_read_either(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    uint64_t count = flood_with_faults(fixture, fd);
    assert_true(fixture->feed->counters.malformed < count);
    ingest_pass(fixture, 20 * NS_PER_SECOND);
    ingest_expect_part(fixture, fd, "REFUSED"); /* It reads, and is read. */
    assert_int_equal(fixture->feed->counters.malformed, count);
    count += flood_with_faults(fixture, fd);
    assert_true(fixture->feed->counters.malformed < count);
    ingest_pass(fixture, 33 * NS_PER_SECOND);
    assert_int_equal(fixture->feed->counters.producers, 0);
    assert_true(recorder_has_log(fixture->recorder, "not_reading"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void a_producer_that_was_not_read_is_not_silent(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_say_trade(fixture, fd, "A", 1);
    flood_with_faults(fixture, fd);
    ingest_pass(fixture, 20 * NS_PER_SECOND);
    fixture->recorder->room = 0; /* Its turn to be read comes later than the sweep. */
    for (int i = 0; i < 5; i++) {
        while (recv(fd, fixture->heard, INGEST_HEARD_BYTES, MSG_DONTWAIT) > 0) {
        }
        fixture->now_ns += NS_PER_SECOND;
        ingest_poll(fixture);
    }
    assert_int_equal(fixture->recorder->silent_count, 0);
    close(fd);
    ingest_fixture_destroy(fixture);
}

/* ---- Connections ---- */

static void producer_257_is_refused(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fds[258];
    for (size_t i = 0; i < 257; i++) {
        fds[i] = ingest_dial(fixture);
    }
    ingest_expect_part(fixture, fds[256], "\"code\":\"too_many_producers\"");
    assert_int_equal(fixture->feed->counters.producers, 256);
    for (size_t i = 0; i < 256; i++) {
        ingest_say_trade(fixture, fds[i], "A", 0);
    }
    assert_int_equal(fixture->recorder->tick_count, 256);
    close(fds[7]);
    close(fds[256]);
    ingest_settle(fixture);
    fds[7] = ingest_dial(fixture);
    ingest_expect(fixture, fds[7], "");
    ingest_say_trade(fixture, fds[7], "A", 0);
    assert_int_equal(fixture->recorder->tick_count, 257);
    for (size_t i = 0; i < 256; i++) {
        close(fds[i]);
    }
    ingest_fixture_destroy(fixture);
}

static void a_stop_is_reported_with_the_last_ack(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    int fd = ingest_dial(fixture);
    ingest_say(fixture, fd, INGEST_HELLO);
    ingest_expect(fixture, fd, WELCOME("null"));
    ingest_say_trade(fixture, fd, "A", 1);
    ingest_fixture_close(fixture);
    char text[512] = "";
    assert_true(recv(fd, text, sizeof text - 1, 0) > 0);
    assert_non_null(strstr(text, ACK("1") "{\"type\":\"ERROR\",\"data\":{\"code\":\"stopping\""));
    assert_non_null(strstr(text, "\"retry\":true"));
    close(fd);
    ingest_fixture_destroy(fixture);
}

static void tcp_ticks_have_the_time_of_the_kernel(void **state)
{
    (void)state;
    struct ingest_fixture *fixture = ingest_fixture_create(NULL, "");
    struct recorder *recorder = recorder_create();
    struct feed *feed;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof address;
    char text[256];
    char spec[64];
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    close(fd);
    snprintf(spec, sizeof spec, "ingest:tcp=127.0.0.1:%u", ntohs(address.sin_port));
    assert_int_equal(feed_open(&feed, spec, &recorder->sink, INGEST_NOW_NS, recorder->error), 0);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    ingest_trade(text, "A", 0);
    uint64_t before_ns;
    uint64_t sent_ns;
    uint64_t recv_ns;
    do { /* The kernel begins to take times a while after it was asked to. */
        uint64_t tick_count = recorder->tick_count;
        before_ns = clock_ns(CLOCK_REALTIME);
        assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
        sent_ns = clock_ns(CLOCK_REALTIME);
        usleep(5000); /* So that a clock that is read now shows another time. */
        while (recorder->tick_count == tick_count) {
            feed->ops->poll(feed, INGEST_NOW_NS);
        }
        recv_ns = recorder_tick(recorder, tick_count)->update.ts_recv_ns;
        assert_true(recv_ns >= before_ns);
    } while (recv_ns >= sent_ns + 5000000);
    close(fd);
    feed->ops->close(feed);
    recorder_destroy(recorder);
    ingest_fixture_destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_ticks),
        cmocka_unit_test(binary_messages_become_ticks_at_every_split),
        cmocka_unit_test(lines_become_ticks_one_byte_at_a_time),
        cmocka_unit_test(more_than_a_poll_has_room_for_waits_for_the_next),
        cmocka_unit_test(a_flood_leaves_turns_to_the_others),
        cmocka_unit_test(half_a_message_is_reported_when_its_producer_leaves),
        cmocka_unit_test(a_message_that_is_too_long_ends_the_connection),
        cmocka_unit_test(a_malformed_message_is_refused_and_the_next_is_taken),
        cmocka_unit_test(a_gap_of_the_producer_is_a_loss_of_its_channel),
        cmocka_unit_test(a_gap_of_a_ch_is_skipped_in_the_text_form),
        cmocka_unit_test(a_control_message_is_short),
        cmocka_unit_test(a_recording_behind_another_begins_to_count_anew),
        cmocka_unit_test(an_ack_comes_in_a_later_poll_and_in_time),
        cmocka_unit_test(duplicates_are_dropped_and_holes_are_counted),
        cmocka_unit_test(a_producer_goes_on_where_it_was),
        cmocka_unit_test(a_second_connection_of_a_name_replaces_the_first),
        cmocka_unit_test(a_newer_epoch_replaces_a_connection_with_its_own_last_ack),
        cmocka_unit_test(a_producer_that_has_sent_all_receives_its_last_ack),
        cmocka_unit_test(after_the_last_number_a_tick_needs_a_number),
        cmocka_unit_test(a_token_is_needed_and_judged),
        cmocka_unit_test(a_tick_that_the_token_does_not_permit_is_refused_and_counts),
        cmocka_unit_test(a_token_that_ends_ends_its_connection),
        cmocka_unit_test(without_hello_a_place_is_kept_for_5_seconds),
        cmocka_unit_test(a_silent_producer_makes_its_symbols_stale_and_is_closed_at_last),
        cmocka_unit_test(a_clock_that_is_set_is_no_silence),
        cmocka_unit_test(a_producer_that_does_not_read_is_not_read_either),
        cmocka_unit_test(a_producer_that_was_not_read_is_not_silent),
        cmocka_unit_test(producer_257_is_refused),
        cmocka_unit_test(a_stop_is_reported_with_the_last_ack),
        cmocka_unit_test(tcp_ticks_have_the_time_of_the_kernel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
