/*
 * What access control lets a session do, over a core that is a double (session_double.h): tokens,
 * scopes, rates, the audit log. The rules themselves are tested in test_access.c and test_scope.c.
 */
#include "tests/session_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/session/session_client.h"

#define CONN 1

static struct access *access_made;
static struct core_counters counters;

#define TOKEN_FULL "full-token-0123456789"
#define TOKENS                                                                                     \
    "{\"tokens\":[{\"name\":\"full\",\"token\":\"" TOKEN_FULL "\"},"                               \
    "{\"name\":\"desk\",\"token\":\"desk-token-0123456789\",\"symbols\":[\"000001.SZ\",\"6*\"],"   \
    "\"types\":[\"quote\"],\"max_subscriptions\":2},"                                              \
    "{\"name\":\"some\",\"token\":\"some-token-0123456789\",\"symbols\":[\"000001.SZ\"],"          \
    "\"types\":[\"quote\",\"bar\",\"status\"]},"                                                   \
    "{\"name\":\"books\",\"token\":\"book-token-0123456789\",\"types\":[\"depth\"]},"              \
    "{\"name\":\"host\",\"certificate\":\"dns:desk-1.example.com\",\"symbols\":[\"000001.SZ\"]}]}"

#define SOME "Authorization: Bearer some-token-0123456789\r\n"
#define BOOKS "Authorization: Bearer book-token-0123456789\r\n"

/* The conn asks for the upgrade and is opened, with these header lines, and a URL that goes on so.
 */
static bool open_url_with(const char *headers, const char *rest)
{
    char head[1000];
    struct core_refusal refusal;
    int bytes = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    struct core_request request = {.head = (uint8_t *)head,
                                   .head_bytes = (size_t)bytes,
                                   .rest = {rest, strlen(rest)},
                                   .tls = core->tls};
    assert_int_equal(session_ops.on_accept(core->sessions, core, CONN, 0, &refusal), CORE_ADMIT);
    session_ops.on_turn(core->sessions, core, 0);
    if (session_ops.on_request(core->sessions, core, CONN, 0, &request, &refusal) != CORE_GRANTED) {
        session_ops.on_leave(core->sessions, core, CONN);
        return false;
    }
    session_ops.on_open(core->sessions, core, CONN, 0);
    return true;
}

static bool open_with(const char *headers)
{
    return open_url_with(headers, "");
}

static int set_up_with_tokens(void **state)
{
    static const struct {
        const char *symbol;
        enum md_type type;
    } all[] = {{"000001.SZ", MD_QUOTE},
               {"000002.SZ", MD_QUOTE},
               {"600000.SH", MD_QUOTE},
               {"000001.SZ", MD_TRADE}};
    char path[] = "/tmp/test-session-XXXXXX";
    char error[512] = "";
    (void)state;
    int fd = mkstemp(path);
    assert_int_equal(write(fd, TOKENS, sizeof TOKENS - 1), sizeof TOKENS - 1);
    close(fd);
    struct access_options wanted = {.enable_auth = true,
                                    .asks_certificates = true,
                                    .tokens_file = path,
                                    .rate_limit_enabled = true};
    int status =
        access_create(&access_made, &wanted, &(struct keyed_hash){{1, 2}}, error, sizeof error);
    unlink(path);
    if (status != 0) {
        fail_msg("%s", error);
    }
    memset(&counters, 0, sizeof counters);
    core = calloc(1, sizeof *core);
    core->room = UINT32_MAX;
    core->newest_seq = 10;
    core->source.address = ip_address_from_v4("\x7f\0\0\x01");
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        channels_open(channels, all[i].symbol, strlen(all[i].symbol), all[i].type);
    }
    make_symbols();
    struct session_options options = {
        .conn_count_max = 4,
        .subscription_count_max = 10,
        .epoch = EPOCH,
        .channels = channels,
        .symbols = &symbols,
        .access = access_made,
        .counters = &counters,
    };
    return sessions_create(&core->sessions, &options);
}

static int tear_down_with_tokens(void **state)
{
    int status = tear_down(state);
    access_destroy(access_made);
    return status;
}

/* The newest answer of that type; fails when there is none. */
static json_t *newest(const char *type)
{
    for (uint32_t i = core->text_count; i-- > 0;) {
        if (strcmp(json_string_value(json_object_get(core->texts[i], "type")), type) == 0) {
            return core->texts[i];
        }
    }
    fail_msg("no %s", type);
    return NULL;
}

static json_int_t error_code(void)
{
    return json_integer_value(json_object_get(json_object_get(newest("ERROR"), "data"), "code"));
}

static void say_at(const char *text, uint64_t now_ns)
{
    char copy[1000];
    size_t bytes = strlen(text);
    memcpy(copy, text, bytes);
    forget_texts();
    core->spent = 0;
    core->slice_count = 1;
    session_ops.on_message(core->sessions, core, CONN, WS_TEXT, (uint8_t *)copy, bytes, now_ns);
    while (core->is_held[CONN]) {
        go_on(CONN);
    }
}

static void a_token_is_asked_for_before_anything_but_a_ping(void **state)
{
    (void)state;
    assert_true(open_with(""));
    assert_true(
        json_is_true(json_object_get(json_object_get(newest("WELCOME"), "data"), "auth_required")));
    say_at("{\"type\":\"PING\"}", 1);
    newest("PONG");
    say_at("{\"type\":\"LIST\",\"id\":3}", 1);
    assert_int_equal(error_code(), 101);
    say_at("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"*\",\"data_types\":\"quote\"}}", 1);
    assert_int_equal(error_code(), 101);
    assert_false(core->groups[CONN][MD_QUOTE].on);
    say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"" TOKEN_FULL "\"}}", 2);
    newest("AUTHENTICATED");
    say_at("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"*\",\"data_types\":\"quote\"}}", 3);
    assert_true(core->groups[CONN][MD_QUOTE].on);
    session_ops.on_tick(core->sessions, core, CONN, 3600 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 0);
    assert_int_equal(counters.messages_refused, 2);
}

static void check_url_answer(void)
{
    const json_t *data = json_object_get(newest("SUBSCRIBED"), "data");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_non_null(entry_of(data, "ok", "000001.SZ", "quote"));
    assert_int_equal(failure(data, "000002.SZ", "quote"), 103);
    assert_true(core->subs[CONN][0].on && !core->subs[CONN][1].on);
}

static void the_url_subscribes_what_the_token_opens(void **state)
{
    (void)state;
    assert_true(open_url_with("Authorization: Bearer desk-token-0123456789\r\n",
                              "/000001.SZ@quote/000002.SZ@quote"));
    check_url_answer();
    assert_non_null(strstr(core->line, "DENIED"));
    assert_false(open_url_with("Authorization: Bearer wrong-token-0123456789\r\n", "/*@quote"));
}

/* However AUTH and the URL's answer are cut into slices. */
static void the_url_of_a_client_without_a_token_waits_for_auth(void **state)
{
    (void)state;
    for (uint64_t units = 0; units < 400; units++) {
        core->slice_units = units;
        core->spent = 0;
        forget_texts();
        assert_true(open_url_with("", "?symbols=000001.SZ,000002.SZ&types=quote"));
        assert_int_equal(core->text_count, 1);
        say_at("{\"type\":\"LIST\"}", 20 * units * NS_PER_SECOND);
        assert_int_equal(error_code(), 101);
        say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"desk-token-0123456789\"}}",
               20 * units * NS_PER_SECOND);
        assert_int_equal(core->text_count, 2);
        assert_string_equal(text_of(core->texts[0], "type"), "AUTHENTICATED");
        check_url_answer();
        end_conn(CONN);
        session_ops.on_leave(core->sessions, core, CONN);
    }
}

/* The "ok" entries of the newest answer of a type; each of those that failed has code 103. */
static size_t opened(const char *type)
{
    size_t index;
    json_t *entry;
    json_t *data = json_object_get(newest(type), "data");
    json_array_foreach(json_object_get(data, "failed"), index, entry)
    {
        assert_int_equal(json_integer_value(json_object_get(entry, "code")), 103);
    }
    assert_int_equal(json_array_size(json_object_get(data, "ok")) + index, 4);
    return json_array_size(json_object_get(data, "ok"));
}

static void cursors_and_snapshots_open_nothing_that_the_token_does_not(void **state)
{
    (void)state;
    assert_true(open_with("Authorization: Bearer desk-token-0123456789\r\n"));
    say_at("{\"type\":\"RESUME\",\"data\":{\"epoch\":\"0123456789abcdef\",\"cursors\":"
           "{\"0\":1,\"1\":1,\"2\":1,\"3\":1}}}",
           1);
    assert_int_equal(opened("RESUMED"), 2);
    assert_true(core->subs[CONN][0].on && !core->subs[CONN][1].on && core->subs[CONN][2].on &&
                !core->subs[CONN][3].on);
    say_at("{\"type\":\"SNAPSHOT\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\"],"
           "\"data_types\":[\"quote\",\"trade\"]}}",
           1);
    assert_int_equal(opened("SNAPSHOT"), 1);
    assert_int_equal(core->sent_count, 1);
    assert_non_null(strstr(core->line, "DENIED"));
    say_at("{\"type\":\"UNSUBSCRIBE\"}", 2);
    say_at("{\"type\":\"REPLAY\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\"],"
           "\"data_types\":[\"quote\",\"trade\"],\"from\":1732078800123456789}}",
           2);
    assert_int_equal(opened("REPLAYING"), 1);
    assert_int_equal(core->replayed_count, 1);
}

/* What a symbol has, or that there is such a symbol, is told to nobody who may not see it. */
static void a_refusal_tells_nothing_that_the_token_does_not_open(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *symbol;
        const char *type;
        int code;
        const char *message;
    } cases[] = {
        {SOME, "000001.SZ", "status", 120, "this symbol has no status so far; it has: quote"},
        {SOME, "000001.SZ", "bar", 120, "this symbol has no bar so far; it has: quote"},
        {SOME, "000001.SZ", "depth", 103, "your token does not permit it"},
        {SOME, "000002.SZ", "status", 103, "your token does not permit it"},
        {SOME, "nosuch", "status", 103, "your token does not permit it"},
        {BOOKS, "000001.SZ", "depth", 120, "unknown symbol"},
        {BOOKS, "nosuch", "depth", 120, "unknown symbol"},
    };
    static const char *const verbs[][2] = {
        {"SUBSCRIBE", "SUBSCRIBED"}, {"SNAPSHOT", "SNAPSHOT"}, {"REPLAY", "REPLAYING"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(open_with(cases[i].header));
        for (size_t verb = 0; verb < sizeof verbs / sizeof verbs[0]; verb++) {
            char text[256];
            snprintf(
                text, sizeof text,
                "{\"type\":\"%s\",\"data\":{\"symbols\":\"%s\",\"data_types\":\"%s\",\"from\":1}}",
                verbs[verb][0], cases[i].symbol, cases[i].type);
            say_at(text, verb * NS_PER_SECOND);
            const json_t *data = json_object_get(newest(verbs[verb][1]), "data");
            const json_t *entry = entry_of(data, "failed", cases[i].symbol, cases[i].type);
            assert_int_equal(number_of(entry, "code"), cases[i].code);
            assert_string_equal(text_of(entry, "message"), cases[i].message);
        }
        end_conn(CONN);
        session_ops.on_leave(core->sessions, core, CONN);
    }
}

static void only_symbols_that_the_token_opens_are_listed(void **state)
{
    (void)state;
    assert_true(open_with(SOME)); /* quote, bar, status of 000001.SZ */
    say(CONN, "{\"type\":\"SYMBOLS\",\"data\":{\"limit\":1}}");
    const json_t *data = json_object_get(newest("SYMBOLS"), "data");
    const json_t *entry = json_array_get(json_object_get(data, "symbols"), 0);
    assert_int_equal(count_of(data, "symbols"), 1);
    assert_null(json_object_get(data, "next"));
    assert_string_equal(text_of(entry, "symbol"), "000001.SZ");
    assert_int_equal(count_of(entry, "types"), 2);
    const json_t *types = json_object_get(entry, "types");
    assert_string_equal(text_of(json_array_get(types, 0), "type"), "quote");
    /* Its bars can be built from trades that it may not see. */
    assert_string_equal(text_of(json_array_get(types, 1), "type"), "bar");
    assert_null(json_object_get(json_array_get(types, 1), "ch"));
}

static void a_smaller_scope_ends_the_channels_of_a_replay_that_it_does_not_cover(void **state)
{
    (void)state;
    assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
    say_at("{\"type\":\"REPLAY\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\"],"
           "\"data_types\":[\"quote\"],\"from\":1732078800123456789}}",
           1);
    newest("REPLAYING");
    assert_int_equal(core->replayed_count, 2);
    say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"desk-token-0123456789\"}}", 2);
    json_t *data = json_object_get(newest("NOTICE"), "data");
    json_t *dropped = json_object_get(data, "dropped");
    assert_int_equal(json_array_size(dropped), 1);
    assert_string_equal(text_of(json_array_get(dropped, 0), "symbol"), "000002.SZ");
    assert_int_equal(core->replayed_count, 1);
    assert_int_equal(core->replayed[0].channel, 0);
    say_at("{\"type\":\"LIST\"}", 3);
    data = json_object_get(newest("SUBSCRIPTIONS"), "data");
    assert_int_equal(json_integer_value(json_object_get(data, "count")), 1);
}

static void who_sends_no_token_has_five_seconds(void **state)
{
    (void)state;
    assert_true(open_with(""));
    session_ops.on_tick(core->sessions, core, CONN, 5 * NS_PER_SECOND - 1);
    assert_int_equal(core->close_code, 0);
    session_ops.on_tick(core->sessions, core, CONN, 5 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 4001);
}

/* The conn speaks TLS, with a certificate of this name, which ends so many seconds from now. */
static void show_certificate(const char *name, uint64_t left_s)
{
    static union {
        struct tls_peer peer;
        char bytes[sizeof(struct tls_peer) + 64];
    } tls;
    memset(&tls, 0, sizeof tls);
    tls.peer.has_certificate = true;
    tls.peer.not_after_s = clock_ns(CLOCK_REALTIME) / NS_PER_SECOND + left_s;
    tls.peer.name_count = 1;
    strcpy(tls.bytes + offsetof(struct tls_peer, names), name);
    core->tls = &tls.peer;
}

/* S22 */
static void a_certificate_lets_a_client_in_until_it_ends(void **state)
{
    (void)state;
    show_certificate("dns:desk-1.example.com", 3600);
    assert_true(open_with(""));
    assert_null(json_object_get(json_object_get(newest("WELCOME"), "data"), "auth_required"));
    assert_non_null(strstr(core->line, "(host) connected"));
    say_at(SUBSCRIBE("\"000001.SZ\",\"000002.SZ\"", QUOTE), 1);
    assert_true(core->subs[CONN][0].on && !core->subs[CONN][1].on);
    session_ops.on_tick(core->sessions, core, CONN, 3500 * NS_PER_SECOND);
    session_ops.on_tick(core->sessions, core, CONN, 3600 * NS_PER_SECOND);
    assert_string_equal(text_of(json_object_get(newest("NOTICE"), "data"), "event"),
                        "TOKEN_EXPIRING");
    assert_int_equal(core->close_code, 0);
    session_ops.on_tick(core->sessions, core, CONN, 3610 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 4101);
    assert_non_null(strstr(core->line, "certificate expired (close 4101)"));
}

static void a_certificate_that_has_ended_is_refused(void **state)
{
    (void)state;
    show_certificate("dns:desk-1.example.com", (uint64_t)-3600);
    assert_false(open_with(""));
    assert_non_null(strstr(core->line, "the client certificate has expired (HTTP 401)"));
    assert_int_equal(counters.refused_token, 1);
}

static void a_certificate_without_an_entry_is_as_without_a_token(void **state)
{
    (void)state;
    show_certificate("dns:desk-2.example.com", 3600);
    assert_true(open_with(""));
    say_at("{\"type\":\"LIST\"}", 1);
    assert_int_equal(error_code(), 101);
    session_ops.on_tick(core->sessions, core, CONN, 5 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 4001);
}

static void a_token_replaces_what_the_certificate_opened(void **state)
{
    (void)state;
    show_certificate("dns:desk-1.example.com", 3600);
    assert_true(open_with(SOME));
    assert_non_null(strstr(core->line, "(some) connected"));
    end_conn(CONN);
    session_ops.on_leave(core->sessions, core, CONN);
    assert_true(open_with(""));
    say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"wrong-token-0123456789\"}}", 1);
    assert_int_equal(core->close_code, 0); /* It has another one. */
    say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"" TOKEN_FULL "\"}}", 2);
    newest("AUTHENTICATED");
    session_ops.on_tick(core->sessions, core, CONN, 7200 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 0);
}

/* Uncut, and cut wherever it may be. */
static void check_smaller_scope(uint32_t units)
{
    assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
    say_at(
        "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\",\"60*\",\"0*\","
        "\"*\"],\"data_types\":[\"quote\"]}}",
        1);
    say_at(
        "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\"],\"data_types\":[\"trade\"]}"
        "}",
        1);
    core->slice_units = units;
    say_at("{\"type\":\"AUTH\",\"data\":{\"token\":\"desk-token-0123456789\"}}", 2);
    assert_int_equal(core->slice_count > 1, units > 0);
    json_t *data = json_object_get(newest("NOTICE"), "data");
    assert_int_equal(json_array_size(json_object_get(data, "dropped")), 4);
    assert_true(core->subs[CONN][0].on);  /* 000001.SZ */
    assert_false(core->subs[CONN][1].on); /* 000002.SZ, and 0* */
    assert_true(core->subs[CONN][2].on);  /* 600000.SH, by 60* */
    assert_false(core->subs[CONN][3].on); /* a trade */
    assert_false(core->groups[CONN][MD_QUOTE].on);
    say_at("{\"type\":\"LIST\"}", 3);
    data = json_object_get(newest("SUBSCRIPTIONS"), "data");
    assert_int_equal(json_integer_value(json_object_get(data, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(data, "limit")), 2);
    say_at("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"600000.SH\",\"000002.SZ\"],"
           "\"data_types\":[\"quote\"]}}",
           4);
    data = json_object_get(newest("SUBSCRIBED"), "data");
    assert_int_equal(json_array_size(json_object_get(data, "ok")), 0);
    json_t *failed = json_object_get(data, "failed");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(failed, 0), "code")), 122);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(failed, 1), "code")), 103);
}

static void a_smaller_scope_ends_what_it_does_not_cover(void **state)
{
    (void)state;
    check_smaller_scope(0);
}

static void a_smaller_scope_takes_more_than_one_slice(void **state)
{
    (void)state;
    check_smaller_scope(1);
}

static void a_wrong_token_at_the_door_leaves_nothing(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        assert_false(open_with("Authorization: Bearer wrong-token-0123456789\r\n"));
        assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
        forget_texts();
        session_ops.on_close(core->sessions, core, CONN,
                             &(struct core_conn_end){.close_code = 1006, .text = "reset"});
        session_ops.on_leave(core->sessions, core, CONN);
    }
    assert_int_equal(counters.refused_token, 100);
    assert_null(strstr(core->line, "token-0123456789"));
}

static void messages_over_the_rate_are_refused_and_then_close(void **state)
{
    (void)state;
    core->source.address = ip_address_from_v4("\xc0\0\x02\x01");
    assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
    for (int i = 0; i < 10; i++) {
        say_at("{\"type\":\"PING\"}", 1);
        newest("PONG");
    }
    for (int i = 0; i < 50; i++) {
        say_at("{\"type\":\"PING\"}", 1);
        assert_int_equal(error_code(), 111);
        assert_int_equal(core->close_code, 0);
    }
    say_at("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    newest("PONG");
    say_at("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    assert_int_equal(error_code(), 111);
    say_at("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    assert_int_equal(core->close_code, 4111);
}

/* 1 000 unknown names of five types cost some 110 000 units: as much as six messages. */
static void a_dear_message_counts_as_several(void **state)
{
    static char text[CORE_MESSAGE_BYTES_MAX];
    (void)state;
    core->source.address = ip_address_from_v4("\xcb\0\x71\x07"); /* Not this host. */
    assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
    char *at =
        text + sprintf(text,
                       "{\"type\":\"SUBSCRIBE\",\"data\":{\"data_types\":[\"quote\",\"trade\","
                       "\"bar\",\"depth\",\"status\"],\"symbols\":[\"X\"");
    for (int i = 1; i < 1000; i++) {
        at += sprintf(at, ",\"X%d\"", i);
    }
    strcpy(at, "]}}");
    forget_texts();
    session_ops.on_message(core->sessions, core, CONN, WS_TEXT, (uint8_t *)text, strlen(text), 0);
    assert_int_equal(core->text_count, 1);
    int pongs = -1;
    const char *type = "PONG";
    while (strcmp(type, "PONG") == 0 && pongs < 10) {
        say_at("{\"type\":\"PING\"}", 0);
        type = text_of(core->texts[0], "type");
        pongs++;
    }
    assert_in_range(pongs, 3, 5); /* 9 after one that is cheap. */
    assert_int_equal(error_code(), 111);
}

static void the_audit_log_has_a_rate_and_says_what_it_left_out(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        assert_false(open_with("Authorization: Bearer wrong-token-0123456789\r\n"));
    }
    assert_int_equal(core->line_count, 50);
    assert_non_null(strstr(core->line, "audit: FAILED 127.0.0.1:5123: authentication failed"));
}

/* The kernel no longer tells where it came from. */
static void a_client_that_was_reset_came_through_nobody(void **state)
{
    char text[2 * CORE_PEER_TEXT_BYTES_MAX];
    (void)state;
    assert_true(open_with(SOME));
    core->source = (struct core_source){.port = 0};
    session_client_write(core->sessions, core, CONN, text, sizeof text);
    assert_string_equal(text, "127.0.0.1");
    core->source = (struct core_source){.port = 5123};
    session_client_write(core->sessions, core, CONN, text, sizeof text);
    assert_string_equal(text, "127.0.0.1 through 127.0.0.1:5123");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_with_tokens, tear_down_with_tokens)
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_asked_for_before_anything_but_a_ping),
        TEST(the_url_subscribes_what_the_token_opens),
        TEST(the_url_of_a_client_without_a_token_waits_for_auth),
        TEST(cursors_and_snapshots_open_nothing_that_the_token_does_not),
        TEST(a_refusal_tells_nothing_that_the_token_does_not_open),
        TEST(only_symbols_that_the_token_opens_are_listed),
        TEST(a_smaller_scope_ends_the_channels_of_a_replay_that_it_does_not_cover),
        TEST(who_sends_no_token_has_five_seconds),
        TEST(a_certificate_lets_a_client_in_until_it_ends),
        TEST(a_certificate_that_has_ended_is_refused),
        TEST(a_certificate_without_an_entry_is_as_without_a_token),
        TEST(a_token_replaces_what_the_certificate_opened),
        TEST(a_smaller_scope_ends_what_it_does_not_cover),
        TEST(a_smaller_scope_takes_more_than_one_slice),
        TEST(a_wrong_token_at_the_door_leaves_nothing),
        TEST(messages_over_the_rate_are_refused_and_then_close),
        TEST(a_dear_message_counts_as_several),
        TEST(the_audit_log_has_a_rate_and_says_what_it_left_out),
        TEST(a_client_that_was_reset_came_through_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
