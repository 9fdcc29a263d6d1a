/*
 * Sessions over a core that is a double (session_double.h).
 */
#include "tests/session_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/market/feed_table.h"
#include "src/session/session_state.h"

/* ---- Opening and closing ---- */

static void welcome_tells_session_epoch_and_limits(void **state)
{
    (void)state;
    open_conn(1);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "WELCOME");
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_string_equal(text_of(data, "session"), "0-2");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_true(number_of(data, "server_time") > 1700000000000000000);
    assert_int_equal(number_of(data, "heartbeat_interval_ms"), 30000);
    assert_int_equal(number_of(data, "idle_timeout_ms"), 300000);
    assert_true(strlen(text_of(data, "version")) > 0);
    const json_t *encodings = json_object_get(data, "encodings");
    assert_int_equal(json_array_size(encodings), 2);
    assert_string_equal(json_string_value(json_array_get(encodings, 0)), "md.json.v1");
    assert_string_equal(json_string_value(json_array_get(encodings, 1)), "md.sbe.v1");
    const json_t *limits = json_object_get(data, "limits");
    assert_int_equal(number_of(limits, "max_message_bytes"), 16384);
    assert_int_equal(number_of(limits, "max_subscriptions"), LIMIT);
    assert_int_equal(number_of(limits, "max_patterns"), 100);
    assert_int_equal(number_of(limits, "max_symbols_per_message"), 1000);
}

static void the_log_tells_who_came_and_how_it_ended(void **state)
{
    struct core_conn_end end = {.close_code = 1001,
                                .text = "closed by the client",
                                .frames_sent = 7,
                                .frames_lost = 2,
                                .open_ns = 12345 * NS_PER_MS};
    (void)state;
    open_conn(1);
    assert_string_equal(core->line, "Client 0-2 connected from 127.0.0.1:5123");
    session_ops.on_close(core->sessions, core, 1, &end);
    assert_string_equal(core->line, "Client 0-2 disconnected: closed by the client, code 1001, "
                                    "sent 7, lost 2, open 12.3s");
}

static void a_conn_that_is_used_again_begins_with_nothing(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\",\"6*\",\"*\"", QUOTE), "SUBSCRIBED");
    end_conn(0);
    open_conn(0);
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(count_of(data, "subscriptions"), 0);
    assert_int_equal(number_of(data, "count"), 0);
    open_channel("601398.SH", MD_QUOTE);
    assert_string_equal(table(0), ".......");
}

/* ---- Subscribing by URL ---- */

static void the_url_subscribes_and_is_answered_as_a_message_without_an_id(void **state)
{
    (void)state;
    open_url(1, "/000001.SZ@quote/6*@quote/nosuch@trade?on_lag=skip&lable=x");
    assert_int_equal(core->text_count, 2);
    assert_string_equal(text_of(core->texts[0], "type"), "WELCOME");
    assert_string_equal(text_of(core->texts[1], "type"), "SUBSCRIBED");
    assert_null(json_object_get(core->texts[1], "id"));
    const json_t *data = json_object_get(core->texts[1], "data");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_non_null(entry_of(data, "ok", "000001.SZ", "quote"));
    assert_int_equal(covered(data, "6*"), 1);
    assert_int_equal(count_of(data, "failed"), 1);
    assert_int_equal(failure(data, "nosuch", "trade"), 120);
    assert_int_equal(count_of(data, "warnings"), 1);
    assert_string_equal(table(1), "S.s...");
    say(1, "{\"type\":\"UNSUBSCRIBE\"}");
    assert_string_equal(table(1), "......");
}

static void a_bad_url_is_an_error_and_the_client_may_go_on(void **state)
{
    (void)state;
    open_url(1, "/000001.SZ@quote/000001.SZ@qoute");
    assert_int_equal(core->text_count, 2);
    assert_string_equal(text_of(core->texts[1], "type"), "ERROR");
    const json_t *data = json_object_get(core->texts[1], "data");
    assert_int_equal(number_of(data, "code"), 121);
    assert_string_equal(text_of(data, "field"), "path[1]");
    assert_string_equal(table(1), "......");
    assert_int_equal(core->close_code, 0);
    forget_texts();
    say(1, SUBSCRIBE("\"000001.SZ\"", QUOTE));
    assert_string_equal(table(1), "C.....");
}

static void a_url_that_asks_for_nothing_has_no_answer(void **state)
{
    (void)state;
    open_url(1, "/?x=1");
    assert_int_equal(core->text_count, 1);
    assert_string_equal(table(1), "......");
}

static void the_url_of_a_conn_that_never_opened_is_forgotten(void **state)
{
    struct core_refusal refusal;
    struct core_request asked = {.rest = {"/*@quote", 8}};
    (void)state;
    assert_int_equal(session_ops.on_request(core->sessions, core, 1, 0, &asked, &refusal),
                     CORE_GRANTED);
    session_ops.on_leave(core->sessions, core, 1);
    open_conn(1);
    assert_int_equal(core->text_count, 1);
    assert_false(core->groups[1][MD_QUOTE].on);
}

/* ---- SUBSCRIBE ---- */

static void the_short_form_subscribes_byte_for_byte(void **state)
{
    (void)state;
    const json_t *data = ask("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\"],"
                             "\"data_types\":[\"quote\"]}}",
                             "SUBSCRIBED");
    assert_null(json_object_get(core->texts[0], "id"));
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "ok"), 1);
    assert_int_equal(count_of(data, "failed"), 0);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 0);
    assert_int_equal(number_of(entry, "next_seq"), 100);
    assert_string_equal(table(0), "C.....");
    assert_true(core->subs[0][0].snapshot);
    assert_int_equal(core->subs[0][0].group, MD_QUOTE);
}

static void each_symbol_and_type_gets_its_verdict(void **state)
{
    (void)state;
    const json_t *data =
        ask(SUBSCRIBE("\"000001.SZ\",\"XXXX\",\"600000.SH\"", "\"quote\",\"trade\""), "SUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 3);
    assert_int_equal(count_of(data, "failed"), 3);
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "trade"), "ch"), 3);
    assert_int_equal(number_of(entry_of(data, "ok", "600000.SH", "quote"), "ch"), 2);
    assert_int_equal(failure(data, "XXXX", "quote"), 120);
    assert_int_equal(failure(data, "600000.SH", "trade"), 120);
    const json_t *entry = entry_of(data, "failed", "XXXX", "quote");
    assert_string_equal(text_of(entry, "message"), "unknown symbol");
    assert_true(json_is_true(json_object_get(entry, "retry")));
    assert_string_equal(table(0), "C.CS..");
}

/* Of a symbol that has others, the message says which. */
static void a_type_that_a_symbol_does_not_have_is_told_from_an_unknown_symbol(void **state)
{
    (void)state;
    static const struct {
        const char *symbol;
        const char *type;
        const char *message;
    } cases[] = {
        {"600000.SH", "trade", "this symbol has no trade so far; it has: quote"},
        {"000001.SZ", "status",
         "this symbol has no status so far; it has: quote, trade, bar, depth"},
        {"000003.SZ", "bar",
         "this symbol has no bar so far; it has: quote, trade; with bar (1s, 1m or 5m) it has bars "
         "built from trades"},
        {"600000.sh", "trade", "unknown symbol"},
        {"60000", "trade", "unknown symbol"},
    };
    static const char *const verbs[][2] = {
        {"SUBSCRIBE", "SUBSCRIBED"}, {"SNAPSHOT", "SNAPSHOT"}, {"REPLAY", "REPLAYING"}};
    open_channel("000003.SZ", MD_QUOTE);
    open_channel("000003.SZ", MD_TRADE);
    for (size_t verb = 0; verb < sizeof verbs / sizeof verbs[0]; verb++) {
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            char text[256];
            snprintf(
                text, sizeof text,
                "{\"type\":\"%s\",\"data\":{\"symbols\":\"%s\",\"data_types\":\"%s\",\"from\":1,"
                "\"since\":{\"epoch\":\"" EPOCH "\",\"seq\":1}}}",
                verbs[verb][0], cases[i].symbol, cases[i].type);
            const json_t *data = ask(text, verbs[verb][1]);
            const json_t *entry = entry_of(data, "failed", cases[i].symbol, cases[i].type);
            assert_int_equal(number_of(entry, "code"), 120);
            assert_string_equal(text_of(entry, "message"), cases[i].message);
            assert_true(json_is_true(json_object_get(entry, "retry")));
        }
    }
}

static void what_cannot_be_a_symbol_is_refused_and_echoed_as_it_came(void **state)
{
    (void)state;
    const json_t *data = ask(SUBSCRIBE("\"\",\"123456789012345678901234567890123\","
                                       "\"a\\\"b\\\\\\u0001\\u007f\"",
                                       QUOTE),
                             "SUBSCRIBED");
    assert_int_equal(failure(data, "", "quote"), 107);
    assert_int_equal(failure(data, "123456789012345678901234567890123", "quote"), 107);
    assert_int_equal(failure(data, "a\"b\\\x01\x7f", "quote"), 120);
}

static void who_gets_sbe_is_told_what_the_numbers_stand_for_first(void **state)
{
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    say(0, SUBSCRIBE("\"000001.SZ\",\"XXXX\"", "\"quote\",\"trade\""));
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(0), "0 3");
    assert_string_equal(text_of(core->texts[1], "type"), "SUBSCRIBED");
    forget_texts();
    say(0, SUBSCRIBE("\"*.SZ\",\"*\"", "\"quote\""));
    assert_string_equal(defined(0), "0 1 0 1 2");
    forget_texts();
    open_channel("000003.SZ", MD_QUOTE); /* By the pattern and by "*". */
    assert_int_equal(core->text_count, 1);
    assert_string_equal(defined(0), "6");
    forget_texts();
    open_channel("601398.SH", MD_TRADE); /* By none. */
    assert_int_equal(core->text_count, 0);
    say(0, SUBSCRIBE("\"XXXX\"", "\"quote\""));
    assert_int_equal(core->text_count, 1); /* There is nothing to define. */
}

static void the_id_is_echoed_in_answers_and_errors(void **state)
{
    (void)state;
    ask("{\"type\":\"LIST\",\"id\":7}", "SUBSCRIPTIONS");
    assert_int_equal(number_of(core->texts[0], "id"), 7);
    ask("{\"type\":\"NONSENSE\",\"id\":\"x\\\"y\"}", "ERROR");
    assert_string_equal(text_of(core->texts[0], "id"), "x\"y");
}

static void each_type_has_its_default_policy(void **state)
{
    (void)state;
    open_channel("000001.SZ", MD_STATUS);
    ask(SUBSCRIBE("\"000001.SZ\"", "\"quote\",\"trade\",\"bar\",\"depth\",\"status\""),
        "SUBSCRIBED");
    assert_string_equal(table(0), "C..SSSS");
}

static void on_lag_is_as_asked(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\"", "\"quote\",\"trade\"", ON_LAG("disconnect")), "SUBSCRIBED");
    ask(SUBSCRIBE_WITH("\"600000.SH\"", "\"quote\"", ON_LAG("skip") ",\"snapshot\":false"),
        "SUBSCRIBED");
    assert_string_equal(table(0), "D.SD..");
    assert_true(core->subs[0][0].snapshot);
    assert_false(core->subs[0][2].snapshot);
}

static void only_full_images_can_be_conflated(void **state)
{
    (void)state;
    const json_t *data =
        ask(SUBSCRIBE_WITH("\"000001.SZ\"", "\"quote\",\"trade\",\"bar\",\"depth\"",
                           ON_LAG("conflate")),
            "SUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_int_equal(failure(data, "000001.SZ", "depth"), 123);
    assert_string_equal(table(0), "C....C");
}

static void subscribing_again_is_no_error_and_counts_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * LIMIT; i++) {
        const json_t *data =
            ask(SUBSCRIBE("\"000001.SZ\",\"000001.SZ\",\"*\",\"6*\"", QUOTE), "SUBSCRIBED");
        assert_int_equal(count_of(data, "ok"), 4);
        assert_int_equal(count_of(data, "failed"), 0);
    }
    assert_int_equal(number_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "count"), 3);
}

static void subscribing_again_changes_only_what_is_given(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\",\"6*\"", QUOTE, ON_LAG("disconnect")), "SUBSCRIBED");
    ask(SUBSCRIBE("\"000001.SZ\",\"6*\"", QUOTE), "SUBSCRIBED");
    assert_string_equal(table(0), "D.d...");
    ask(SUBSCRIBE_WITH("\"000001.SZ\",\"6*\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    assert_string_equal(table(0), "S.s...");
}

static void the_limit_of_subscriptions_counts_entries_of_all_kinds(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\"", "\"quote\",\"trade\",\"bar\",\"depth\""), "SUBSCRIBED");
    ask(SUBSCRIBE("\"*\"", "\"quote\",\"trade\",\"bar\",\"depth\""), "SUBSCRIBED");
    ask(SUBSCRIBE("\"*.SZ\",\"6*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask(SUBSCRIBE("\"600000.SH\",\"0*\",\"000001.SZ\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(failure(data, "600000.SH", "quote"), 122);
    assert_int_equal(failure(data, "0*", "quote"), 122);
    assert_non_null(entry_of(data, "ok", "000001.SZ", "quote"));
    assert_int_equal(failure(ask(SUBSCRIBE("\"*\"", "\"status\""), "SUBSCRIBED"), "*", "status"),
                     122);
    ask(UNSUBSCRIBE("\"*.SZ\"", QUOTE), "UNSUBSCRIBED");
    data = ask(SUBSCRIBE("\"600000.SH\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 1);
}

static void ten_thousand_symbols_are_subscribed_in_ten_messages(void **state)
{
    char symbol[16];
    (void)state;
    for (int i = 0; i < 10000; i++) {
        snprintf(symbol, sizeof symbol, "%06d.SZ", i);
        open_channel(symbol, MD_QUOTE);
    }
    char *text = malloc(CORE_MESSAGE_BYTES_MAX);
    for (int part = 0; part < 10; part++) {
        char *at = text + sprintf(text,
                                  "{\"type\":\"SUBSCRIBE\",\"id\":%d,\"data\":{\"data_types\":"
                                  "[\"quote\"],\"symbols\":[",
                                  part);
        for (int i = part * 1000; i < (part + 1) * 1000; i++) {
            at += sprintf(at, "%s\"%06d.SZ\"", i % 1000 == 0 ? "" : ",", i);
        }
        strcpy(at, "]}}");
        const json_t *data = ask(text, "SUBSCRIBED");
        assert_int_equal(count_of(data, "ok"), 1000);
        assert_int_equal(number_of(json_array_get(json_object_get(data, "ok"), 999), "ch"),
                         part * 1000 + 999);
    }
    free(text);
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(count_of(data, "subscriptions"), 10000);
    assert_int_equal(count_of(ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED"), "ok"), 10000);
}

static void a_core_without_room_is_told_and_may_be_tried_again(void **state)
{
    (void)state;
    core->room = 1;
    const json_t *data = ask(SUBSCRIBE("\"000001.SZ\",\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_int_equal(failure(data, "000002.SZ", "quote"), 106);
    assert_true(
        json_is_true(json_object_get(entry_of(data, "failed", "000002.SZ", "quote"), "retry")));
    assert_int_equal(number_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "count"), 1);
}

/* ---- Patterns ---- */

static void a_pattern_covers_channels_of_now_and_later(void **state)
{
    (void)state;
    open_conn(1);
    const json_t *data = ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(covered(data, "*.SZ"), 2);
    assert_null(json_object_get(entry_of(data, "ok", "*.SZ", "quote"), "ch"));
    assert_string_equal(table(0), "cc....");
    open_channel("000003.SZ", MD_QUOTE);
    open_channel("000003.SZ", MD_TRADE);
    open_channel("600001.SH", MD_QUOTE);
    assert_string_equal(table(0), "cc....c..");
    assert_string_equal(table(1), ".........");
    assert_int_equal(covered(ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED"), "*.SZ"), 3);
}

static void a_pattern_is_removed_by_its_own_text(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask(UNSUBSCRIBE("\"*SZ\",\"000001.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_int_equal(failure(data, "*SZ", "quote"), 107);
    assert_int_equal(failure(data, "000001.SZ", "quote"), 107);
    data = ask(UNSUBSCRIBE("\"*.SZ\"", "\"trade\""), "UNSUBSCRIBED");
    assert_int_equal(failure(data, "*.SZ", "trade"), 107);
    assert_string_equal(table(0), "cc....");
    data = ask(UNSUBSCRIBE("\"*.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_non_null(entry_of(data, "ok", "*.SZ", "quote"));
    assert_string_equal(table(0), "......");
    open_channel("000003.SZ", MD_QUOTE);
    assert_string_equal(table(0), ".......");
}

static void a_channel_stays_while_another_pattern_covers_it(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    ask(SUBSCRIBE_WITH("\"000001*\"", QUOTE, ON_LAG("disconnect")), "SUBSCRIBED");
    assert_string_equal(table(0), "ss....");
    ask(UNSUBSCRIBE("\"*.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "d.....");
    ask(UNSUBSCRIBE("\"000001*\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "......");
}

/* The feed has just opened it: the core has not met it yet. */
static void a_channel_that_has_just_come_has_the_settings_of_the_first_pattern(void **state)
{
    (void)state;
    static const char symbol[] = "000003.SZ";
    ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    uint32_t channel = channels_open(channels, symbol, strlen(symbol), MD_QUOTE);
    const json_t *data =
        ask(SUBSCRIBE_WITH("\"000003*\"", QUOTE, ON_LAG("disconnect")), "SUBSCRIBED");
    assert_int_equal(covered(data, "000003*"), 1);
    assert_string_equal(table(0), "ss....s");
    session_ops.on_channel(core->sessions, core, channel);
    go_on(0);
    assert_string_equal(table(0), "ss....s");
    ask(UNSUBSCRIBE("\"*.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "......d");
}

static void an_exact_entry_has_its_own_settings_within_a_pattern(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("skip")), "SUBSCRIBED");
    ask(SUBSCRIBE_WITH("\"000001.SZ\"", QUOTE, ON_LAG("disconnect")), "SUBSCRIBED");
    assert_string_equal(table(0), "Ds....");
    ask(SUBSCRIBE_WITH("\"*.SZ\"", QUOTE, ON_LAG("conflate")), "SUBSCRIBED");
    assert_string_equal(table(0), "Dc....");
    ask(UNSUBSCRIBE("\"000001.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "cc....");
    ask(SUBSCRIBE("\"000001.SZ\"", QUOTE), "SUBSCRIBED");
    ask(UNSUBSCRIBE("\"*.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "C.....");
}

static void a_star_alone_is_a_whole_group(void **state)
{
    (void)state;
    const json_t *data = ask(SUBSCRIBE("\"*\"", "\"quote\",\"trade\""), "SUBSCRIBED");
    assert_int_equal(covered(data, "*"), 3);
    assert_int_equal(number_of(entry_of(data, "ok", "*", "trade"), "channels"), 1);
    assert_true(core->groups[0][MD_QUOTE].on);
    assert_true(core->groups[0][MD_TRADE].on);
    assert_int_equal(core->groups[0][MD_QUOTE].policy, LAG_CONFLATE);
    assert_int_equal(core->groups[0][MD_TRADE].policy, LAG_SKIP);
    assert_string_equal(table(0), "......");
    ask(UNSUBSCRIBE("\"*\"", QUOTE), "UNSUBSCRIBED");
    assert_false(core->groups[0][MD_QUOTE].on);
    assert_true(core->groups[0][MD_TRADE].on);
    assert_int_equal(failure(ask(UNSUBSCRIBE("\"*\"", QUOTE), "UNSUBSCRIBED"), "*", "quote"), 107);
}

static void a_pattern_has_at_most_4_stars_and_36_bytes(void **state)
{
    (void)state;
    const json_t *data = ask(SUBSCRIBE("\"*a*b*c*d*\",\"*12345678901234567890123456789012****\","
                                       "\"*0*0*1*\",\"*00000000000000000000000000000000***\"",
                                       QUOTE),
                             "SUBSCRIBED");
    assert_int_equal(failure(data, "*a*b*c*d*", "quote"), 107);
    assert_int_equal(failure(data, "*12345678901234567890123456789012****", "quote"), 107);
    assert_int_equal(covered(data, "*0*0*1*"), 1);
    assert_int_equal(covered(data, "*00000000000000000000000000000000***"), 0);
}

static void a_client_has_at_most_100_patterns(void **state)
{
    char text[128];
    (void)state;
    for (int i = 0; i <= 100; i++) {
        snprintf(text, sizeof text, SUBSCRIBE("\"A%d*\"", QUOTE), i);
        const json_t *data = ask(text, "SUBSCRIBED");
        assert_int_equal(count_of(data, "ok"), i < 100);
    }
}

static void a_pattern_that_finds_no_room_leaves_nothing_behind(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    core->room = 1;
    const json_t *data = ask(SUBSCRIBE("\"*0*\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(failure(data, "*0*", "quote"), 106);
    assert_string_equal(table(0), ".C....");
    assert_int_equal(number_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "count"), 1);
}

static void a_new_channel_that_finds_no_room_is_told(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED");
    forget_texts();
    core->room = 0;
    open_channel("000003.SZ", MD_QUOTE);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "ERROR");
    assert_int_equal(number_of(json_object_get(core->texts[0], "data"), "code"), 106);
}

static void who_waits_for_channels_by_a_pattern_is_not_idle(void **state)
{
    (void)state;
    assert_false(session_ops.is_wanted(core->sessions, core, 0));
    ask(SUBSCRIBE("\"NONE*\"", QUOTE), "SUBSCRIBED");
    assert_true(session_ops.is_wanted(core->sessions, core, 0));
    ask(UNSUBSCRIBE("\"NONE*\"", QUOTE), "UNSUBSCRIBED");
    assert_false(session_ops.is_wanted(core->sessions, core, 0));
}

/* ---- UNSUBSCRIBE, LIST, PING ---- */

static void unsubscribe_without_symbols_drops_all(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\",\"6*\",\"*\"", "\"quote\",\"trade\""), "SUBSCRIBED");
    const json_t *data =
        ask("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"data_types\":[\"trade\"]}}", "UNSUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 3);
    assert_non_null(entry_of(data, "ok", "000001.SZ", "trade"));
    assert_non_null(entry_of(data, "ok", "6*", "trade"));
    assert_non_null(entry_of(data, "ok", "*", "trade"));
    assert_string_equal(table(0), "C.c...");
    data = ask("{\"type\":\"UNSUBSCRIBE\",\"id\":1}", "UNSUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 3);
    assert_int_equal(count_of(data, "failed"), 0);
    assert_string_equal(table(0), "......");
    assert_false(core->groups[0][MD_QUOTE].on);
    data = ask("{\"type\":\"UNSUBSCRIBE\"}", "UNSUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 0);
}

static void dropping_a_type_keeps_the_patterns_of_others(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"*.SZ\",\"0*\"", "\"quote\",\"trade\",\"bar\""), "SUBSCRIBED");
    const json_t *data =
        ask("{\"type\":\"UNSUBSCRIBE\",\"data\":{\"data_types\":\"trade\"}}", "UNSUBSCRIBED");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_string_equal(table(0), "cc...s");
    open_channel("000003.SZ", MD_TRADE);
    open_channel("000003.SZ", MD_BAR);
    assert_string_equal(table(0), "cc...s.s");
    assert_int_equal(number_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "count"), 4);
}

static void list_tells_every_entry_with_its_settings(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\"", "\"trade\"", ON_LAG("disconnect")), "SUBSCRIBED");
    ask(SUBSCRIBE("\"*.SZ\",\"*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(number_of(data, "count"), 3);
    assert_int_equal(number_of(data, "limit"), LIMIT);
    const json_t *exact = entry_of(data, "subscriptions", "000001.SZ", "trade");
    assert_int_equal(number_of(exact, "ch"), 3);
    assert_int_equal(number_of(exact, "next_seq"), 103);
    assert_string_equal(text_of(exact, "on_lag"), "disconnect");
    const json_t *pattern = entry_of(data, "subscriptions", "*.SZ", "quote");
    assert_int_equal(number_of(pattern, "channels"), 2);
    assert_string_equal(text_of(pattern, "on_lag"), "conflate");
    assert_int_equal(number_of(entry_of(data, "subscriptions", "*", "quote"), "channels"), 3);
}

static void symbols_are_listed_page_by_page(void **state)
{
    (void)state;
    const json_t *data = ask("{\"type\":\"SYMBOLS\",\"id\":1,\"data\":{\"limit\":2}}", "SYMBOLS");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "symbols"), 2);
    assert_string_equal(text_of(data, "next"), "000002.SZ");
    const json_t *first = json_array_get(json_object_get(data, "symbols"), 0);
    assert_string_equal(text_of(first, "symbol"), "000001.SZ");
    assert_int_equal(count_of(first, "types"), 4);
    data = ask("{\"type\":\"SYMBOLS\",\"data\":{\"after\":\"000002.SZ\",\"unused\":1}}", "SYMBOLS");
    assert_int_equal(count_of(data, "symbols"), 1);
    assert_null(json_object_get(data, "next"));
    assert_int_equal(count_of(data, "warnings"), 1);
}

static void pong_bears_three_times(void **state)
{
    (void)state;
    const json_t *data = ask("{\"type\":\"PING\",\"data\":{\"t0\":1732078800123456789}}", "PONG");
    assert_true(number_of(data, "t0") == 1732078800123456789);
    assert_true(number_of(data, "t1") > 1700000000000000000);
    assert_true(number_of(data, "t2") >= number_of(data, "t1"));
    assert_null(json_object_get(ask("{\"type\":\"PING\"}", "PONG"), "t0"));
}

/* ---- Errors and events ---- */

static void an_error_has_code_message_field_and_retry(void **state)
{
    (void)state;
    const json_t *data = ask("{\"type\":\"LAG\",\"id\":1}", "ERROR");
    assert_int_equal(number_of(data, "code"), 104);
    assert_string_equal(text_of(data, "field"), "type");
    assert_true(strlen(text_of(data, "message")) > 0);
    assert_true(json_is_false(json_object_get(data, "retry")));
    data = ask("nonsense", "ERROR");
    assert_int_equal(number_of(data, "code"), 107);
    assert_null(json_object_get(data, "field"));
}

static void a_binary_message_is_an_error_and_closes_nothing(void **state)
{
    uint8_t payload[] = "{\"type\":\"LIST\"}";
    (void)state;
    session_ops.on_message(core->sessions, core, 0, WS_BINARY, payload, sizeof payload - 1, 0);
    assert_int_equal(core->text_count, 1);
    assert_int_equal(number_of(json_object_get(core->texts[0], "data"), "code"), 107);
    ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
}

static void status_tells_what_the_server_knows_of_a_client(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\",\"6*\",\"*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask("{\"type\":\"STATUS\"}", "STATUS");
    const json_t *lag = json_object_get(data, "lag");
    assert_string_equal(text_of(data, "session"), "0-1");
    assert_string_equal(text_of(data, "encoding"), "md.json.v1");
    assert_int_equal(number_of(data, "sent"), 5);
    assert_int_equal(number_of(data, "lost"), 2);
    assert_int_equal(number_of(data, "conflated"), 1);
    assert_int_equal(number_of(data, "subscriptions"), 3);
    assert_int_equal(number_of(data, "round_trip_us"), 77);
    assert_int_equal(number_of(lag, "bytes"), 0);
    assert_int_equal(number_of(lag, "ms"), 0);
    assert_true(json_is_null(json_object_get(lag, "cause")));
    core->is_behind = true;
    data = ask("{\"type\":\"STATUS\"}", "STATUS");
    lag = json_object_get(data, "lag");
    assert_int_equal(number_of(lag, "bytes"), 4096);
    assert_int_equal(number_of(lag, "ms"), 812);
    assert_string_equal(text_of(lag, "cause"), "network");
}

static void status_tells_the_state_of_each_feed(void **state)
{
    static struct feed_table table;
    struct feed feed = {
        .counters = {.ticks = 9, .refused = 2},
        .state = FEED_DOWN,
        .state_since_ns = 1700000000000000001,
        .state_revision = 1,
        .cause = "the \"end\"",
    };
    (void)state;
    table.count = 0;
    core->sessions->options.feeds = &table;
    for (uint32_t i = 0; i < FEED_TABLE_FEEDS_MAX; i++) {
        feed_table_add(&table, "sim", 3, 5);
    }
    feed_table_write(&table.rows[1], &feed, 6);
    const json_t *feeds = json_object_get(ask("{\"type\":\"STATUS\"}", "STATUS"), "feeds");
    assert_int_equal(json_array_size(feeds), FEED_TABLE_FEEDS_MAX);
    const json_t *entry = json_array_get(feeds, 0);
    assert_string_equal(text_of(entry, "feed"), "sim");
    assert_string_equal(text_of(entry, "state"), "connecting");
    assert_int_equal(number_of(entry, "since"), 5);
    assert_true(json_is_null(json_object_get(entry, "cause")));
    assert_true(json_is_null(json_object_get(entry, "last_tick")));
    entry = json_array_get(feeds, 1);
    assert_string_equal(text_of(entry, "feed"), "sim#2");
    assert_string_equal(text_of(entry, "state"), "down");
    assert_true(number_of(entry, "since") == 1700000000000000001);
    assert_string_equal(text_of(entry, "cause"), "the \"end\"");
    assert_int_equal(number_of(entry, "last_tick"), 6);
    assert_int_equal(number_of(entry, "ticks"), 9);
    assert_int_equal(number_of(entry, "refused"), 2);
}

static void lag_tells_how_far_and_whose_fault(void **state)
{
    (void)state;
    session_ops.on_lag(core->sessions, core, 0, &behind);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "LAG");
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(number_of(data, "bytes"), 4096);
    assert_int_equal(number_of(data, "ms"), 812);
    assert_string_equal(text_of(data, "cause"), "network");
}

static const json_t *notice(void)
{
    forget_texts();
    session_ops.on_drain(core->sessions, core, 0, 250 * NS_PER_MS, 500 * NS_PER_MS);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "NOTICE");
    return json_object_get(core->texts[0], "data");
}

static void a_drain_tells_each_client_its_time_and_how_to_go_on(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\",\"600000.SH\"", QUOTE), "SUBSCRIBED");
    const json_t *data = notice();
    const json_t *resume = json_object_get(data, "resume");
    const json_t *cursors = json_object_get(resume, "cursors");
    assert_string_equal(text_of(data, "event"), "DRAIN");
    assert_int_equal(number_of(data, "deadline_ms"), 500);
    assert_int_equal(number_of(data, "retry_after_ms"), 250);
    assert_string_equal(text_of(resume, "epoch"), EPOCH);
    assert_int_equal(json_object_size(cursors), 2);
    assert_int_equal(number_of(cursors, "1"), 100);
    assert_int_equal(number_of(cursors, "2"), 101);
    core->is_behind = true; /* Its cursors are not what was published. */
    assert_true(json_is_null(json_object_get(json_object_get(notice(), "resume"), "cursors")));
}

static void a_drain_tells_a_hundred_cursors_and_no_more(void **state)
{
    char symbol[16];
    (void)state;
    for (int i = 0; i < 101; i++) {
        snprintf(symbol, sizeof symbol, "%d.SZ", i);
        open_channel(symbol, MD_QUOTE);
    }
    ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED");
    const json_t *resume = json_object_get(notice(), "resume");
    assert_true(json_is_null(json_object_get(resume, "cursors")));
    assert_true(strlen(text_of(resume, "rule")) > 0);
    core->subs[0][100].on = false;
    resume = json_object_get(notice(), "resume");
    assert_int_equal(json_object_size(json_object_get(resume, "cursors")), 100);
}

static void the_longest_gap_message_fits(void **state)
{
    char text[256];
    (void)state;
    size_t bytes = session_ops.write_gap(core->sessions, text, UINT32_MAX, INT64_MAX - 1, INT64_MAX,
                                         "overrun");
    core_send_text(core, 0, text, bytes);
    assert_string_equal(text_of(core->texts[0], "type"), "GAP");
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_true(number_of(data, "ch") == UINT32_MAX);
    assert_true(number_of(data, "from") == INT64_MAX - 1);
    assert_true(number_of(data, "to") == INT64_MAX);
    assert_string_equal(text_of(data, "reason"), "overrun");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_WIDE(name) cmocka_unit_test_setup_teardown(name, set_up_wide, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(welcome_tells_session_epoch_and_limits),
        TEST(the_log_tells_who_came_and_how_it_ended),
        TEST(a_conn_that_is_used_again_begins_with_nothing),
        TEST(the_url_subscribes_and_is_answered_as_a_message_without_an_id),
        TEST(a_bad_url_is_an_error_and_the_client_may_go_on),
        TEST(a_url_that_asks_for_nothing_has_no_answer),
        TEST(the_url_of_a_conn_that_never_opened_is_forgotten),
        TEST(the_short_form_subscribes_byte_for_byte),
        TEST(each_symbol_and_type_gets_its_verdict),
        TEST(a_type_that_a_symbol_does_not_have_is_told_from_an_unknown_symbol),
        TEST(what_cannot_be_a_symbol_is_refused_and_echoed_as_it_came),
        TEST(who_gets_sbe_is_told_what_the_numbers_stand_for_first),
        TEST(the_id_is_echoed_in_answers_and_errors),
        TEST(each_type_has_its_default_policy),
        TEST(on_lag_is_as_asked),
        TEST(only_full_images_can_be_conflated),
        TEST(subscribing_again_is_no_error_and_counts_once),
        TEST(subscribing_again_changes_only_what_is_given),
        TEST(the_limit_of_subscriptions_counts_entries_of_all_kinds),
        TEST_WIDE(ten_thousand_symbols_are_subscribed_in_ten_messages),
        TEST(a_core_without_room_is_told_and_may_be_tried_again),
        TEST(a_pattern_covers_channels_of_now_and_later),
        TEST(a_pattern_is_removed_by_its_own_text),
        TEST(a_channel_stays_while_another_pattern_covers_it),
        TEST(a_channel_that_has_just_come_has_the_settings_of_the_first_pattern),
        TEST(an_exact_entry_has_its_own_settings_within_a_pattern),
        TEST(a_star_alone_is_a_whole_group),
        TEST(a_pattern_has_at_most_4_stars_and_36_bytes),
        TEST_WIDE(a_client_has_at_most_100_patterns),
        TEST(a_pattern_that_finds_no_room_leaves_nothing_behind),
        TEST(a_new_channel_that_finds_no_room_is_told),
        TEST(who_waits_for_channels_by_a_pattern_is_not_idle),
        TEST(unsubscribe_without_symbols_drops_all),
        TEST(dropping_a_type_keeps_the_patterns_of_others),
        TEST(list_tells_every_entry_with_its_settings),
        TEST(symbols_are_listed_page_by_page),
        TEST(pong_bears_three_times),
        TEST(an_error_has_code_message_field_and_retry),
        TEST(a_binary_message_is_an_error_and_closes_nothing),
        TEST(status_tells_what_the_server_knows_of_a_client),
        TEST(status_tells_the_state_of_each_feed),
        TEST(lag_tells_how_far_and_whose_fault),
        TEST(a_drain_tells_each_client_its_time_and_how_to_go_on),
        TEST_WIDE(a_drain_tells_a_hundred_cursors_and_no_more),
        TEST(the_longest_gap_message_fits),
    };
    int failed_count = cmocka_run_group_tests(tests, NULL, NULL);
    slice_units = 1; /* Whatever can be cut is. */
    return failed_count + cmocka_run_group_tests_name("in slices", tests, NULL, NULL);
}
