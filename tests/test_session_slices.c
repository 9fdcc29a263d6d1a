/*
 * Requests that cost much, over a core that is a double (session_double.h): what one slice of them
 * costs, what happens between two slices, and what is charged.
 */
#include "tests/session_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/session/session_jobs.h"

#define SYMBOLS 3000   /* with a quote each; the double's table holds 4 times as many */
#define STEP_UNITS 200 /* what is not cut: one name, or some channels that are looked at */

static char text[CORE_MESSAGE_BYTES_MAX + 1];

static void open_many(void)
{
    char symbol[16];
    for (int i = 0; i < SYMBOLS; i++) {
        snprintf(symbol, sizeof symbol, "SIM%04d", i);
        open_channel(symbol, MD_QUOTE);
    }
}

static int set_up_many(void **state)
{
    set_up_wide(state);
    open_many();
    forget_texts();
    return 0;
}

/* A message with so many names; format: of one, by its number. */
static const char *message(const char *type, const char *format, int count, const char *rest)
{
    char *at = text + sprintf(text, "{\"type\":\"%s\",\"data\":{\"symbols\":[", type);
    for (int i = 0; i < count; i++) {
        *at++ = '"';
        at += sprintf(at, format, i);
        at += sprintf(at, i + 1 < count ? "\"," : "\"]");
    }
    at += sprintf(at, ",\"data_types\":[\"quote\"]%s}}", rest);
    assert_true(at - text <= CORE_MESSAGE_BYTES_MAX);
    return text;
}

/* What a message costs in all, at most so many units in a slice but for its reading. */
static uint64_t cost_of(const char *asked)
{
    forget_texts();
    core->slice_units = CORE_SLICE_UNITS;
    core->most_spent = 0;
    begin(0, asked);
    uint64_t total = core->spent;
    assert_true(core->spent <= CORE_SLICE_UNITS + request_units(strlen(asked)) + STEP_UNITS);
    core->most_spent = 0;
    while (core->is_held[0]) {
        go_on(0);
        total += core->spent;
        assert_true(core->slice_count < SLICES_MAX);
    }
    assert_true(core->most_spent <= CORE_SLICE_UNITS + STEP_UNITS);
    return total;
}

static void no_message_takes_more_than_a_slice_at_a_time(void **state)
{
    (void)state;
    cost_of(message("SUBSCRIBE", "SIM%04d", 1000, ""));
    assert_int_equal(count_of(json_object_get(core->texts[0], "data"), "ok"), 1000);
    cost_of(message("SUBSCRIBE", "S*%02d*", 100, ""));
    cost_of("{\"type\":\"LIST\"}");
    cost_of("{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"*X*\"}}");
    cost_of("{\"type\":\"SYMBOLS\",\"data\":{\"limit\":1000}}");
    cost_of(message("MODIFY", "S*%02d*", 100, ON_LAG("skip")));
    cost_of(message("MODIFY", "SIM%04d", 1000, ON_LAG("skip")));
    cost_of(message("UNSUBSCRIBE", "S*%02d*", 50, ""));
    cost_of(message("UNSUBSCRIBE", "X%d", 1000, ""));
    assert_true(core->slice_count > 1);
    cost_of("{\"type\":\"UNSUBSCRIBE\"}");
    assert_int_equal(core->subs[0][0].on, false);
    core->encoding = CORE_ENCODING_SBE;
    cost_of(message("SUBSCRIBE", "S*%d*", 2, ""));
}

static void a_name_that_is_repeated_costs_no_more_than_its_entry(void **state)
{
    uint32_t entries = 1000 * (SESSION_NAME_UNITS + 2 * SESSION_ENTRY_UNITS);
    (void)state;
    uint64_t once = cost_of(message("SUBSCRIBE", "S*", 1, ""));
    uint64_t often = cost_of(message("SUBSCRIBE", "S*", 1000, ""));
    assert_true(often < once + entries + request_units(strlen(text)));
    assert_int_equal(covered(json_object_get(core->texts[0], "data"), "S*"), SYMBOLS);
    once = cost_of(message("SUBSCRIBE", "*", 1, ""));
    often = cost_of(message("SUBSCRIBE", "*", 1000, ""));
    assert_true(often < once + entries + request_units(strlen(text)));
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(covered(data, "*"), SYMBOLS);
    assert_int_equal(count_of(data, "ok"), 1000);
    core->encoding = CORE_ENCODING_SBE;
    forget_texts();
    say(0, message("SUBSCRIBE", "S*", 1000, ""));
    assert_in_range(core->text_count, 2, 8); /* All channels are defined once. */
}

/* A page that is found at once costs its entries, however many symbols there are. */
static void a_page_of_symbols_costs_what_it_lists(void **state)
{
    (void)state;
    uint64_t all = cost_of("{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"*X*\"}}");
    uint64_t page = cost_of("{\"type\":\"SYMBOLS\",\"data\":{\"after\":\"SIM2000\",\"limit\":5}}");
    uint64_t one = cost_of("{\"type\":\"SYMBOLS\",\"data\":{\"pattern\":\"SIM2000\"}}");
    assert_true(all >= SYMBOLS);
    assert_true(page < 500);
    assert_true(one < 300);
}

static void channels_are_counted_once(void **state)
{
    (void)state;
    say(0, message("SUBSCRIBE", "S*%d*", 10, ""));
    uint64_t cost = cost_of("{\"type\":\"LIST\"}");
    assert_true(cost < SYMBOLS);
    open_channel("SIM7", MD_QUOTE);
    forget_texts();
    say(0, "{\"type\":\"LIST\"}");
    const json_t *data = json_object_get(core->texts[0], "data");
    long long before = 0;
    for (int i = 0; i < SYMBOLS; i++) {
        char symbol[16];
        snprintf(symbol, sizeof symbol, "%04d", i);
        before += strchr(symbol, '7') != NULL;
    }
    json_t *entry = entry_of(data, "subscriptions", "S*7*", "quote");
    assert_int_equal(number_of(entry, "channels"), before + 1);
}

static void a_url_is_answered_in_slices_as_a_message_is(void **state)
{
    char url[2048] = "?types=quote&symbols=";
    (void)state;
    for (int i = 0; i < 200; i++) {
        sprintf(url + strlen(url), "SIM%04d,", i);
    }
    core->slice_units = 1; /* What others have taken of it: none is left. */
    begin_url(1, url);
    assert_true(core->is_held[1]);
    assert_int_equal(core->text_count, 1);
    core->slice_units = 100;
    uint32_t slices = 0;
    for (; core->is_held[1]; slices++) {
        core->most_spent = 0;
        go_on(1);
        assert_true(core->most_spent <= 100 + STEP_UNITS);
    }
    assert_true(slices > 10);
    assert_int_equal(core->text_count, 2);
    assert_int_equal(count_of(json_object_get(core->texts[1], "data"), "ok"), 200);
    begin_url(2, url);
    end_conn(2); /* between two slices */
    open_conn(2);
    assert_false(core->is_held[2]);
}

static void others_are_answered_in_between(void **state)
{
    (void)state;
    open_conn(1);
    forget_texts();
    core->slice_units = 1;
    begin(0, message("SUBSCRIBE", "SIM%04d", 100, ""));
    assert_true(core->is_held[0]);
    core->slice_units = 0;
    begin(1, SUBSCRIBE("\"SIM0007\",\"X\"", QUOTE));
    assert_int_equal(core->text_count, 1);
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_int_equal(failure(data, "X", "quote"), 120);
    go_on(0);
    assert_false(core->is_held[0]);
    data = json_object_get(core->texts[1], "data");
    assert_int_equal(count_of(data, "ok"), 100);
    assert_int_equal(count_of(data, "failed"), 0);
}

static void a_channel_that_appears_in_between_is_covered_once(void **state)
{
    (void)state;
    core->slice_units = 1;
    begin(0, message("SUBSCRIBE", "S*", 1, ""));
    for (int i = 0; i < 3; i++) {
        go_on(0);
    }
    assert_true(core->is_held[0]);
    show_channel("SIMX", MD_QUOTE);
    while (core->is_held[0]) {
        go_on(0);
    }
    assert_true(core->subs[0][SYMBOLS].on);
    assert_int_equal(covered(json_object_get(core->texts[0], "data"), "S*"), SYMBOLS + 1);
}

/* Wherever the cut is. */
static void a_conn_may_end_between_two_slices(void **state)
{
    static const char *const types[] = {"SUBSCRIBE", "MODIFY", "UNSUBSCRIBE", "SNAPSHOT"};
    (void)state;
    core->slice_units = 1;
    for (uint32_t cuts = 0; cuts < 8; cuts++) {
        for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
            say(0, message("SUBSCRIBE", "S*%d*", 3, ""));
            begin(0, message(types[i], i == 3 ? "SIM%04d" : "S*%d*", 100, ON_LAG("skip")));
            for (uint32_t cut = 0; cut < cuts && core->is_held[0]; cut++) {
                go_on(0);
            }
            end_conn(0);
            open_conn(0);
            forget_texts();
            say(0, "{\"type\":\"LIST\"}");
            const json_t *data = json_object_get(core->texts[0], "data");
            assert_int_equal(count_of(data, "subscriptions"), 0);
            forget_texts();
        }
    }
}

/* It may take seconds until such a conn has ended: nobody's answer waits so long for its place. */
static void a_conn_that_closes_gives_its_place_to_others(void **state)
{
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    core->room_bytes = 4096;
    for (uint32_t units = 1; units < 1000000; units *= 10) {
        core->slice_units = units;
        core->close_code = 0;
        begin(0, message("SUBSCRIBE", "S*", 1, ""));
        for (uint32_t cut = 0; core->is_held[0]; cut++) {
            assert_true(cut < SLICES_MAX);
            go_on(0);
        }
        assert_int_equal(core->close_code, 4108); /* No room for the definitions. */
        assert_int_equal(core->sessions->started_count, 0);
        end_conn(0);
        open_conn(0);
        forget_texts();
    }
}

static void an_answer_that_finds_no_room_is_an_error(void **state)
{
    (void)state;
    core->room_bytes = 4096;
    say(0, message("SUBSCRIBE", "SIM%04d", 1000, ""));
    assert_int_equal(core->text_count, 1);
    const json_t *data = json_object_get(core->texts[0], "data");
    assert_int_equal(number_of(data, "code"), 106);
    assert_true(json_is_true(json_object_get(data, "retry")));
    assert_non_null(strstr(text_of(data, "message"), "send LIST to see what is subscribed"));
    forget_texts();
    say(0, "{\"type\":\"SYMBOLS\"}");
    data = json_object_get(core->texts[0], "data");
    assert_int_equal(number_of(data, "code"), 106);
    assert_non_null(strstr(text_of(data, "message"), "; ask again"));
    forget_texts();
    const json_t *entry =
        entry_of(json_object_get((say(0, SUBSCRIBE("\"SIM0001\"", QUOTE)), core->texts[0]), "data"),
                 "ok", "SIM0001", "quote");
    assert_int_equal(number_of(entry, "ch"), 1);
}

static void few_answers_are_written_at_a_time(void **state)
{
    (void)state;
    core->sessions->started_count = SESSION_ANSWERS_STARTED_MAX;
    begin(0, SUBSCRIBE("\"SIM0001\"", QUOTE));
    assert_true(core->is_held[0]);
    go_on(0);
    assert_true(core->is_held[0]);
    open_conn(1);
    forget_texts();
    begin(1, "{\"type\":\"PING\"}");
    assert_string_equal(text_of(core->texts[0], "type"), "PONG");
    core->sessions->started_count--;
    go_on(0);
    assert_false(core->is_held[0]);
    assert_string_equal(text_of(core->texts[1], "type"), "SUBSCRIBED");
    assert_int_equal(core->sessions->started_count, SESSION_ANSWERS_STARTED_MAX - 1);
    core->sessions->started_count = 0;
}

/* ---- New channels ---- */

#define NEW_CHANNELS 5000

static void show_many(void)
{
    char symbol[16];
    for (int i = 0; i < NEW_CHANNELS; i++) {
        snprintf(symbol, sizeof symbol, "NEW%04d", i);
        show_channel(symbol, MD_QUOTE);
    }
}

/* Counts the channels of the DEFINITIONs that were sent: in order, and each once. */
static void take_definitions(uint32_t *next)
{
    for (uint32_t i = 0; i < core->text_count; i++) {
        size_t index;
        const json_t *entry;
        const json_t *data = json_object_get(core->texts[i], "data");
        assert_string_equal(text_of(core->texts[i], "type"), "DEFINITION");
        json_array_foreach(json_object_get(data, "channels"), index, entry)
        {
            assert_int_equal(number_of(entry, "ch"), (*next)++);
        }
    }
    forget_texts();
}

static void five_thousand_new_channels_hold_nobody_up(void **state)
{
    uint32_t next[3] = {SYMBOLS, SYMBOLS, SYMBOLS};
    uint32_t rounds = 0;
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    for (uint32_t conn = 0; conn < 3; conn++) {
        if (conn > 0) {
            open_conn(conn);
        }
        say(conn, conn == 2 ? SUBSCRIBE("\"N*\"", QUOTE) : SUBSCRIBE("\"*\"", QUOTE));
        forget_texts();
    }
    open_conn(3);
    forget_texts();
    core->slice_units = CORE_SLICE_UNITS;
    core->spent = 0;
    core->most_spent = 0;
    show_many();
    assert_int_equal(core->text_count, 0);
    assert_int_equal(core->spent, 0);
    for (; core->is_held[0] || core->is_held[1] || core->is_held[2]; rounds++) {
        for (uint32_t conn = 0; conn < 3; conn++) {
            go_on(conn);
            take_definitions(&next[conn]);
        }
        begin(3, "{\"type\":\"PING\"}");
        assert_int_equal(core->text_count, 1);
        forget_texts();
    }
    for (uint32_t conn = 0; conn < 3; conn++) {
        assert_int_equal(next[conn], SYMBOLS + NEW_CHANNELS);
    }
    assert_true(core->subs[2][SYMBOLS].on && core->subs[2][SYMBOLS + NEW_CHANNELS - 1].on);
    assert_in_range(rounds, 5, 40);
    assert_in_range(core->most_spent, 1, CORE_SLICE_UNITS + STEP_UNITS);
    assert_int_equal(core->close_code, 0);
}

/* A client is released when it knows of all channels, and not before. */
static void a_client_that_does_not_read_waits_for_definitions_and_stays(void **state)
{
    uint32_t next = SYMBOLS;
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    say(0, SUBSCRIBE("\"*\"", QUOTE));
    forget_texts();
    show_channel("NEW0", MD_QUOTE);
    core->is_full = true;
    for (int i = 0; i < 10; i++) {
        go_on(0);
    }
    show_channel("NEW1", MD_QUOTE);
    core->is_full = false;
    core->room_bytes = 10;
    go_on(0);
    assert_true(core->is_held[0]);
    assert_int_equal(core->text_count, 0);
    core->room_bytes = 0;
    go_on(0);
    assert_false(core->is_held[0]);
    take_definitions(&next);
    assert_int_equal(next, SYMBOLS + 2);
    assert_int_equal(core->close_code, 0);
}

static void a_new_channel_is_covered_from_its_first_frame_on(void **state)
{
    (void)state;
    say(0, SUBSCRIBE("\"N*\"", QUOTE));
    core->is_silent = true;
    open_channel("NEW0", MD_QUOTE);
    assert_true(core->subs[0][SYMBOLS].on);
    assert_int_equal(core->subs[0][SYMBOLS].resumed_from, 0);
    core->is_silent = false; /* Frames came while the client was held. */
    open_channel("NEW1", MD_QUOTE);
    assert_true(core->subs[0][SYMBOLS + 1].on);
    assert_int_equal(core->subs[0][SYMBOLS + 1].resumed_from, 1);
}

static void clients_may_end_while_they_are_told_of_new_channels(void **state)
{
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    core->slice_units = 1;
    for (uint32_t cuts = 0; cuts < 4; cuts++) {
        char symbol[16];
        for (uint32_t conn = 0; conn < 4; conn++) {
            if (conn > 0) {
                open_conn(conn);
            }
            say(conn, SUBSCRIBE("\"N*\"", QUOTE));
        }
        snprintf(symbol, sizeof symbol, "NEW%u", cuts);
        show_channel(symbol, MD_QUOTE);
        for (uint32_t cut = 0; cut < cuts; cut++) {
            go_on(1);
        }
        for (uint32_t conn = 4; conn-- > 0;) {
            end_conn(conn);
        }
        open_conn(0);
        forget_texts();
        show_channel(symbol + 3, MD_QUOTE); /* Nobody waits for it. */
        assert_false(core->is_held[0]);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up_many, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(no_message_takes_more_than_a_slice_at_a_time),
        TEST(a_name_that_is_repeated_costs_no_more_than_its_entry),
        TEST(a_page_of_symbols_costs_what_it_lists),
        TEST(channels_are_counted_once),
        TEST(others_are_answered_in_between),
        TEST(a_url_is_answered_in_slices_as_a_message_is),
        TEST(a_channel_that_appears_in_between_is_covered_once),
        TEST(a_conn_may_end_between_two_slices),
        TEST(a_conn_that_closes_gives_its_place_to_others),
        TEST(an_answer_that_finds_no_room_is_an_error),
        TEST(few_answers_are_written_at_a_time),
        TEST(five_thousand_new_channels_hold_nobody_up),
        TEST(a_client_that_does_not_read_waits_for_definitions_and_stays),
        TEST(a_new_channel_is_covered_from_its_first_frame_on),
        TEST(clients_may_end_while_they_are_told_of_new_channels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
