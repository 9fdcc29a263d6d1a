/*
 * Sessions over a core that is a double: it keeps subscriptions in a table and the texts that were
 * sent. tests/integration runs the real one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/log.h"
#include "src/publisher.h"
#include "src/session.h"

#define CONNS 4
#define CHANNELS 12000
#define TEXTS_MAX 16
#define LIMIT 10
#define EPOCH "0123456789abcdef"

/* ---- The double ---- */

struct fake_sub {
    bool on;
    bool snapshot;
    uint8_t group, policy, tag;
    uint16_t max_lag_ms;
    uint64_t resumed_from; /* 0: it was subscribed otherwise */
};

struct core {
    struct sessions *sessions;
    struct fake_sub subs[CONNS][CHANNELS];
    struct fake_sub groups[CONNS][CORE_GROUPS_MAX];
    uint64_t newest_seq; /* of every channel; those up to dropped_seq are gone */
    uint64_t dropped_seq;
    struct core_snapshot sent[CONNS]; /* the last snapshots, */
    uint32_t sent_count;
    uint32_t sent_after; /* and how many texts were sent before */
    int snapshot_error;  /* of them all */
    uint32_t room;       /* subscriptions that are still accepted */
    uint32_t end_when;   /* The conn ends in so many more core_subscribe; 0: it does not. */
    uint32_t encoding;   /* of every conn */
    bool is_behind;
    json_t *texts[TEXTS_MAX];
    uint32_t text_count;
    char line[LOG_LINE_BYTES_MAX];
};

static struct core *core;
static const struct core_lag behind = {
    .is_behind = true, .bytes = 4096, .ms = 812, .cause = LAG_BY_NETWORK, .round_trip_us = 77};
static struct channels *channels;

bool log_wants(enum log_level level)
{
    (void)level;
    return true;
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    assert_int_equal(producer, 1);
    assert_int_equal(level, LOG_LEVEL_INFO);
    snprintf(core->line, sizeof core->line, "%s", text);
}

uint64_t publisher_poll(struct publisher *publisher, uint64_t now_ns)
{
    (void)publisher;
    return now_ns + 5;
}

void core_conn_peer(struct core *self, uint32_t conn, char text[CORE_PEER_TEXT_BYTES_MAX])
{
    (void)self, (void)conn;
    strcpy(text, "127.0.0.1:5123");
}

uint32_t core_index(const struct core *self)
{
    (void)self;
    return 0;
}

void core_send_text(struct core *self, uint32_t conn, const char *payload, size_t payload_bytes)
{
    json_error_t error;
    assert_true(conn < CONNS);
    assert_true(self->text_count < TEXTS_MAX);
    json_t *text = json_loadb(payload, payload_bytes, JSON_REJECT_DUPLICATES, &error);
    if (text == NULL) {
        fail_msg("not JSON: %s: %.*s", error.text, (int)payload_bytes, payload);
    }
    self->texts[self->text_count++] = text;
}

static void tell_subscriber(uint32_t channel, int change)
{
    session_ops.on_subscriber(core->sessions, core, channel, change);
}

static void end_conn(uint32_t conn)
{
    static const struct core_conn_end end = {.close_code = 1006, .text = "reset by peer"};
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (core->subs[conn][channel].on) {
            tell_subscriber(channel, -1);
        }
    }
    memset(core->subs[conn], 0, sizeof core->subs[conn]);
    memset(core->groups[conn], 0, sizeof core->groups[conn]);
    session_ops.on_close(core->sessions, core, conn, &end);
}

int core_subscribe(struct core *self, uint32_t conn, uint32_t channel, uint32_t group,
                   enum lag_policy policy, bool snapshot, uint8_t tag)
{
    struct fake_sub *sub = &self->subs[conn][channel];
    if (self->end_when > 0 && --self->end_when == 0) {
        end_conn(conn);
        return -ENOSPC;
    }
    if (sub->on) {
        return 1;
    }
    if (self->room == 0) {
        return -ENOSPC;
    }
    self->room--;
    *sub = (struct fake_sub){.on = true,
                             .snapshot = snapshot,
                             .group = (uint8_t)group,
                             .policy = (uint8_t)policy,
                             .tag = tag};
    tell_subscriber(channel, 1);
    return 0;
}

int core_unsubscribe(struct core *self, uint32_t conn, uint32_t channel)
{
    bool was_on = self->subs[conn][channel].on;
    self->subs[conn][channel].on = false;
    if (was_on) {
        tell_subscriber(channel, -1);
    }
    return was_on ? 0 : -ENOENT;
}

int core_subscription_tag(struct core *self, uint32_t conn, uint32_t channel)
{
    return self->subs[conn][channel].on ? self->subs[conn][channel].tag : -ENOENT;
}

void core_set_subscription(struct core *self, uint32_t conn, uint32_t channel,
                           enum lag_policy policy, uint8_t tag)
{
    assert_true(self->subs[conn][channel].on);
    self->subs[conn][channel].policy = (uint8_t)policy;
    self->subs[conn][channel].tag = tag;
}

void core_set_max_lag(struct core *self, uint32_t conn, uint32_t channel, uint16_t max_lag_ms)
{
    self->subs[conn][channel].max_lag_ms = max_lag_ms;
}

uint16_t core_max_lag(struct core *self, uint32_t conn, uint32_t channel)
{
    return self->subs[conn][channel].max_lag_ms;
}

void core_set_group_max_lag(struct core *self, uint32_t conn, uint32_t group, uint16_t max_lag_ms)
{
    self->groups[conn][group].max_lag_ms = max_lag_ms;
}

uint16_t core_group_max_lag(struct core *self, uint32_t conn, uint32_t group)
{
    return self->groups[conn][group].max_lag_ms;
}

int core_resume(struct core *self, uint32_t conn, const struct core_resume *resume)
{
    struct fake_sub *sub = &self->subs[conn][resume->channel];
    if (resume->is_same_epoch && resume->seq > self->newest_seq) {
        return -ERANGE;
    }
    if (self->end_when > 0 && --self->end_when == 0) {
        end_conn(conn);
        return -ENOSPC;
    }
    if (!sub->on && self->room-- == 0) {
        self->room = 0;
        return -ENOSPC;
    }
    *sub = (struct fake_sub){.on = true,
                             .group = (uint8_t)resume->group,
                             .policy = (uint8_t)resume->policy,
                             .tag = resume->tag,
                             .resumed_from = resume->is_same_epoch ? resume->seq + 1 : 1};
    return !resume->is_same_epoch || resume->seq < self->dropped_seq;
}

uint64_t core_find_snapshots(struct core *self, uint32_t conn, struct core_snapshot *snapshots,
                             uint32_t count)
{
    (void)conn;
    for (uint32_t i = 0; i < count; i++) {
        snapshots[i].error = self->snapshot_error;
        snapshots[i].as_of = self->newest_seq + snapshots[i].channel;
    }
    return 77;
}

void core_send_snapshots(struct core *self, uint32_t conn, const struct core_snapshot *snapshots,
                         uint32_t count, uint64_t pinned)
{
    (void)conn;
    assert_true(count <= 1000);
    assert_int_equal(pinned, 77);
    self->sent_count = count;
    self->sent_after = self->text_count;
    for (uint32_t i = 0; i < count && i < CONNS; i++) {
        self->sent[i] = snapshots[i];
    }
}

int core_subscribe_group(struct core *self, uint32_t conn, uint32_t group, enum lag_policy policy,
                         bool snapshot)
{
    bool was_on = self->groups[conn][group].on;
    struct fake_sub *sub = &self->groups[conn][group];
    *sub = (struct fake_sub){
        .on = true, .snapshot = snapshot, .policy = (uint8_t)policy, .max_lag_ms = sub->max_lag_ms};
    return was_on;
}

int core_unsubscribe_group(struct core *self, uint32_t conn, uint32_t group)
{
    assert_true(self->groups[conn][group].on);
    self->groups[conn][group].on = false;
    return 0;
}

uint32_t core_conn_encoding(struct core *self, uint32_t conn)
{
    (void)conn;
    return self->encoding;
}

uint32_t core_group_conn_count(struct core *self, uint32_t encoding, uint32_t group)
{
    uint32_t count = 0;
    for (uint32_t conn = 0; encoding == self->encoding && conn < CONNS; conn++) {
        count += self->groups[conn][group].on;
    }
    return count;
}

uint32_t core_group_conn(struct core *self, uint32_t encoding, uint32_t group, uint32_t place)
{
    uint32_t conn = 0;
    assert_int_equal(encoding, self->encoding);
    while (!self->groups[conn][group].on || place-- > 0) {
        conn++;
    }
    return conn;
}

uint64_t core_next_seq(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn;
    return 100 + channel;
}

uint64_t core_hash(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn;
    return UINT64_C(0x00ab000000000000) + channel;
}

bool core_conn_is_current(struct core *self, uint32_t conn)
{
    (void)conn;
    return !self->is_behind;
}

void core_conn_lag(struct core *self, uint32_t conn, struct core_lag *lag_out)
{
    (void)conn;
    *lag_out = (struct core_lag){.round_trip_us = 77};
    if (self->is_behind) {
        *lag_out = behind;
    }
}

/* Every channel of the table, in turns. */
uint32_t core_conn_channels(struct core *self, uint32_t conn, uint32_t *turn,
                            uint32_t *channels_out, uint32_t max)
{
    uint32_t count = 0;
    uint32_t place = 0;
    for (uint32_t channel = 0; channel < CHANNELS && count < max; channel++) {
        if (self->subs[conn][channel].on && place++ >= *turn) {
            channels_out[count++] = channel;
        }
    }
    *turn = count == max ? *turn + count : 0;
    return count;
}

void core_conn_stats(struct core *self, uint32_t conn, struct core_conn_stats *stats_out)
{
    (void)self;
    (void)conn;
    *stats_out =
        (struct core_conn_stats){.frames_sent = 5, .frames_lost = 2, .frames_conflated = 1};
}

/* ---- Helpers ---- */

static void open_channel(const char *symbol, enum md_type type)
{
    uint32_t before = channels_count(channels);
    uint32_t channel = channels_open(channels, symbol, strlen(symbol), type);
    assert_int_equal(channel, before);
    session_ops.on_channel(core->sessions, core, channel);
}

static void forget_texts(void)
{
    for (uint32_t i = 0; i < core->text_count; i++) {
        json_decref(core->texts[i]);
    }
    core->text_count = 0;
}

static void open_conn(uint32_t conn)
{
    session_ops.on_open(core->sessions, core, conn, 0);
}

static int set_up_with(uint32_t subscription_count_max)
{
    struct session_options options = {
        .conn_count_max = CONNS,
        .subscription_count_max = subscription_count_max,
        .heartbeat_interval_ns = 30 * NS_PER_SECOND,
        .idle_timeout_ns = 300 * NS_PER_SECOND,
        .epoch = EPOCH,
    };
    core = calloc(1, sizeof *core);
    core->room = UINT32_MAX;
    assert_int_equal(channels_create(&channels), 0);
    options.channels = channels;
    assert_int_equal(sessions_create(&core->sessions, &options), 0);
    open_conn(0);
    return 0;
}

/* Conn 0 is open, and there are six channels. */
static int set_up(void **state)
{
    (void)state;
    set_up_with(LIMIT);
    open_channel("000001.SZ", MD_QUOTE); /* 0 */
    open_channel("000002.SZ", MD_QUOTE); /* 1 */
    open_channel("600000.SH", MD_QUOTE); /* 2 */
    open_channel("000001.SZ", MD_TRADE); /* 3 */
    open_channel("000001.SZ", MD_DEPTH); /* 4 */
    open_channel("000001.SZ", MD_BAR);   /* 5 */
    forget_texts();
    return 0;
}

static int set_up_wide(void **state)
{
    (void)state;
    set_up_with(100000);
    forget_texts();
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    forget_texts();
    sessions_destroy(core->sessions);
    channels_destroy(channels);
    free(core);
    return 0;
}

static void say(uint32_t conn, const char *text)
{
    size_t bytes = strlen(text);
    uint8_t *copy = malloc(bytes); /* Exactly as long, so that a longer read is found. */
    memcpy(copy, text, bytes);
    session_ops.on_message(core->sessions, core, conn, WS_TEXT, copy, bytes, 0);
    free(copy);
}

/* The one answer to a message, as wanted: its type, and its data. */
static json_t *ask(const char *text, const char *type)
{
    forget_texts();
    say(0, text);
    assert_int_equal(core->text_count, 1);
    json_t *answer = core->texts[0];
    assert_string_equal(json_string_value(json_object_get(answer, "type")), type);
    assert_true(json_integer_value(json_object_get(answer, "ts")) > 1700000000000000000);
    json_t *data = json_object_get(answer, "data");
    assert_true(json_is_object(data));
    return data;
}

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

static long long number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

/* The entry of a symbol and type in a list of verdicts, or NULL. */
static json_t *entry_of(const json_t *data, const char *list, const char *symbol, const char *type)
{
    size_t index;
    json_t *entry;
    assert_true(json_is_array(json_object_get(data, list)));
    json_array_foreach(json_object_get(data, list), index, entry)
    {
        if (strcmp(text_of(entry, "symbol"), symbol) == 0 &&
            strcmp(text_of(entry, "type"), type) == 0) {
            return entry;
        }
    }
    return NULL;
}

static size_t count_of(const json_t *data, const char *list)
{
    return json_array_size(json_object_get(data, list));
}

static long long failure(const json_t *data, const char *symbol, const char *type)
{
    const json_t *entry = entry_of(data, "failed", symbol, type);
    assert_non_null(entry);
    assert_true(strlen(text_of(entry, "message")) > 0);
    assert_true(json_is_boolean(json_object_get(entry, "retry")));
    return number_of(entry, "code");
}

static long long covered(const json_t *data, const char *pattern)
{
    return number_of(entry_of(data, "ok", pattern, "quote"), "channels");
}

/* '.' for each channel that is not subscribed, else its policy's letter, in capitals if exact. */
static const char *table(uint32_t conn)
{
    static char text[64];
    uint32_t count = channels_count(channels);
    for (uint32_t i = 0; i < count; i++) {
        const struct fake_sub *sub = &core->subs[conn][i];
        char letter = "scd"[sub->policy];
        text[i] = !sub->on ? '.' : sub->tag & 1 ? (char)(letter - 'a' + 'A') : letter;
    }
    text[count] = '\0';
    return text;
}

#define SUBSCRIBE_WITH(symbols, types, rest)                                                       \
    "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]" rest  \
    "}}"
#define SUBSCRIBE(symbols, types) SUBSCRIBE_WITH(symbols, types, "")
#define ON_LAG(policy) ",\"delivery\":{\"on_lag\":\"" policy "\"}"
#define UNSUBSCRIBE(symbols, types)                                                                \
    "{\"type\":\"UNSUBSCRIBE\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]}}"
#define QUOTE "\"quote\""

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
    assert_int_equal(json_array_size(encodings), 1);
    assert_string_equal(json_string_value(json_array_get(encodings, 0)), "md.json.v1");
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

/* The channels of the DEFINITION that came as text number i, as "0 3 5". */
static const char *defined(uint32_t i)
{
    static char text[64];
    size_t index;
    const json_t *entry;
    assert_true(i < core->text_count);
    assert_string_equal(text_of(core->texts[i], "type"), "DEFINITION");
    text[0] = '\0';
    json_array_foreach(json_object_get(json_object_get(core->texts[i], "data"), "channels"), index,
                       entry)
    {
        long long ch = number_of(entry, "ch");
        const struct channel *channel = channels_get(channels, (uint32_t)ch);
        assert_string_equal(text_of(entry, "symbol"), channel->symbol);
        assert_string_equal(text_of(entry, "type"), md_type_name((enum md_type)channel->type));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%lld", index == 0 ? "" : " ",
                 ch);
    }
    return text;
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
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(0), "6");
    assert_string_equal(defined(1), "6");
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

static void a_conn_may_end_in_the_middle_of_its_message(void **state)
{
    (void)state;
    for (uint32_t when = 1; when <= 5; when++) {
        core->end_when = when;
        forget_texts();
        say(0, SUBSCRIBE("\"000001.SZ\",\"*.SZ\",\"0*\",\"6*\"", QUOTE));
        core->end_when = 0;
        open_conn(1); /* The first has left its number free for nobody. */
        end_conn(1);
        if (core->subs[0][0].on) {
            end_conn(0);
        }
        open_conn(0);
        assert_int_equal(count_of(ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS"), "subscriptions"), 0);
    }
}

static void conns_with_patterns_may_end_while_a_channel_appears(void **state)
{
    (void)state;
    for (uint32_t when = 1; when <= 3; when++) {
        for (uint32_t conn = 0; conn < 3; conn++) {
            if (conn > 0) {
                open_conn(conn);
            }
            say(conn, SUBSCRIBE("\"*.HK\"", QUOTE));
        }
        char symbol[16];
        snprintf(symbol, sizeof symbol, "%u.HK", when);
        core->end_when = when;
        open_channel(symbol, MD_QUOTE);
        assert_int_equal(core->end_when, 0);
        uint32_t left = 0;
        for (uint32_t conn = 0; conn < 3; conn++) {
            if (core->subs[conn][5 + when].on) {
                left++;
                end_conn(conn);
            }
        }
        assert_int_equal(left, 2);
        open_conn(0);
        forget_texts();
    }
}

#include "tests/session_variants.h"

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

/* ---- MODIFY ---- */

#define MODIFY(symbols, types, delivery)                                                           \
    "{\"type\":\"MODIFY\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types              \
    "],\"delivery\":{" delivery "}}}"

static void modify_changes_what_is_subscribed_and_nothing_else(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\",\"000002*\",\"*\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\",\"600000.SH\",\"XXXX\",\"0*\"",
                                    QUOTE, "\"on_lag\":\"skip\",\"max_lag_ms\":250"),
                             "MODIFIED");
    assert_int_equal(count_of(data, "ok"), 3);
    assert_int_equal(failure(data, "600000.SH", "quote"), 107);
    assert_int_equal(failure(data, "XXXX", "quote"), 107);
    assert_int_equal(failure(data, "0*", "quote"), 107);
    assert_string_equal(table(0), "Ss....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 250);
    assert_int_equal(core->subs[0][1].max_lag_ms, 250);
    assert_int_equal(core->groups[0][MD_QUOTE].policy, LAG_SKIP);
    assert_int_equal(core->groups[0][MD_QUOTE].max_lag_ms, 250);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 0);
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
    entry = entry_of(data, "ok", "000002*", "quote");
    assert_int_equal(number_of(entry, "channels"), 1);
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
    entry = entry_of(data, "ok", "*", "quote");
    assert_string_equal(text_of(entry, "on_lag"), "skip");
    assert_int_equal(number_of(entry, "max_lag_ms"), 250);
}

static void modify_keeps_what_it_does_not_name(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"000001.SZ\",\"000002*\",\"*\"", QUOTE,
                       ",\"delivery\":{\"on_lag\":\"disconnect\",\"max_lag_ms\":100}"),
        "SUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 100);
    assert_int_equal(core->subs[0][1].max_lag_ms, 100);
    ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\"", QUOTE, "\"max_lag_ms\":200"), "MODIFIED");
    assert_string_equal(table(0), "Dd....");
    assert_int_equal(core->groups[0][MD_QUOTE].policy, LAG_DISCONNECT);
    ask(MODIFY("\"000001.SZ\",\"000002*\",\"*\"", QUOTE, "\"on_lag\":\"skip\""), "MODIFIED");
    assert_string_equal(table(0), "Ss....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 200);
    assert_int_equal(core->subs[0][1].max_lag_ms, 200);
    assert_int_equal(core->groups[0][MD_QUOTE].max_lag_ms, 200);
    const json_t *data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    for (size_t i = 0; i < 3; i++) {
        const json_t *entry = json_array_get(json_object_get(data, "subscriptions"), i);
        assert_string_equal(text_of(entry, "on_lag"), "skip");
        assert_int_equal(number_of(entry, "max_lag_ms"), 200);
    }
    data = ask(MODIFY("\"000001.SZ\"", QUOTE, "\"max_lag_ms\":0"), "MODIFIED");
    assert_null(json_object_get(entry_of(data, "ok", "000001.SZ", "quote"), "max_lag_ms"));
    assert_int_equal(core->subs[0][0].max_lag_ms, 0);
}

static void modify_conflates_only_full_images(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000001.SZ\"", "\"quote\",\"trade\""), "SUBSCRIBED");
    const json_t *data =
        ask(MODIFY("\"000001.SZ\"", "\"quote\",\"trade\"", "\"on_lag\":\"conflate\""), "MODIFIED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_int_equal(count_of(data, "ok"), 1);
    assert_string_equal(table(0), "C..S..");
}

static void a_channel_has_the_limit_of_the_entry_that_covers_it(void **state)
{
    (void)state;
    ask(SUBSCRIBE_WITH("\"0*\"", QUOTE, ",\"delivery\":{\"max_lag_ms\":100}"), "SUBSCRIBED");
    open_channel("000003.SZ", MD_QUOTE);
    assert_int_equal(core->subs[0][6].max_lag_ms, 100);
    ask(SUBSCRIBE("\"000001.SZ\"", QUOTE), "SUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 0);
    ask(UNSUBSCRIBE("\"000001.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_int_equal(core->subs[0][0].max_lag_ms, 100);
}

/* ---- History ---- */

#define RESUME(epoch, cursors, rest)                                                               \
    "{\"type\":\"RESUME\",\"data\":{\"epoch\":\"" epoch "\",\"cursors\":{" cursors "}" rest "}}"

static void each_cursor_gets_its_verdict(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->dropped_seq = 20;
    const json_t *data =
        ask(RESUME(EPOCH, "\"0\":50,\"1\":19,\"2\":51,\"3\":20,\"77\":3,\"999999999\":1", ""),
            "RESUMED");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "ok"), 2);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 0);
    assert_int_equal(number_of(entry, "from"), 51);
    assert_int_equal(number_of(entry, "next_seq"), 100);
    assert_int_equal(number_of(entry_of(data, "ok", "000001.SZ", "trade"), "from"), 21);
    assert_int_equal(count_of(data, "gaps"), 1);
    entry = entry_of(data, "gaps", "000002.SZ", "quote");
    assert_int_equal(number_of(entry, "ch"), 1);
    assert_string_equal(text_of(entry, "gap"), "overrun");
    assert_null(json_object_get(entry, "from"));
    assert_int_equal(count_of(data, "failed"), 3);
    assert_int_equal(failure(data, "600000.SH", "quote"), 112);
    for (size_t i = 1; i < 3; i++) {
        entry = json_array_get(json_object_get(data, "failed"), i);
        assert_int_equal(number_of(entry, "ch"), i == 1 ? 77 : 999999999);
        assert_int_equal(number_of(entry, "code"), 120);
    }
    assert_string_equal(table(0), "CC.S..");
    assert_int_equal(core->subs[0][3].resumed_from, 21);
    assert_int_equal(core->subs[0][3].group, MD_TRADE);
}

static void in_another_epoch_all_is_a_gap(void **state)
{
    (void)state;
    const json_t *data = ask(RESUME("fedcba9876543210", "\"0\":50,\"3\":51", ""), "RESUMED");
    assert_string_equal(text_of(data, "epoch"), EPOCH);
    assert_int_equal(count_of(data, "ok"), 0);
    assert_int_equal(count_of(data, "failed"), 0);
    assert_int_equal(count_of(data, "gaps"), 2);
    assert_string_equal(text_of(entry_of(data, "gaps", "000001.SZ", "quote"), "gap"), "restart");
    assert_string_equal(table(0), "C..S..");
}

static void what_is_resumed_is_subscribed_as_asked_and_counts(void **state)
{
    (void)state;
    core->newest_seq = 50;
    const json_t *data = ask(RESUME(EPOCH, "\"0\":5,\"3\":5", ON_LAG("conflate")), "RESUMED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 123);
    assert_string_equal(table(0), "C.....");
    ask(RESUME(EPOCH, "\"0\":5", ",\"delivery\":{\"on_lag\":\"disconnect\",\"max_lag_ms\":30}"),
        "RESUMED");
    assert_string_equal(table(0), "D.....");
    assert_int_equal(core->subs[0][0].max_lag_ms, 30);
    data = ask("{\"type\":\"LIST\"}", "SUBSCRIPTIONS");
    assert_int_equal(number_of(data, "count"), 1);
    ask(SUBSCRIBE("\"A*\",\"B*\",\"C*\",\"D*\",\"E*\",\"F*\",\"G*\",\"H*\"", QUOTE), "SUBSCRIBED");
    data = ask(RESUME(EPOCH, "\"0\":9,\"1\":5,\"2\":5", ""), "RESUMED");
    assert_int_equal(count_of(data, "ok"), 2);
    assert_int_equal(failure(data, "600000.SH", "quote"), 122);
    ask(UNSUBSCRIBE("\"000001.SZ\",\"000002.SZ\"", QUOTE), "UNSUBSCRIBED");
    assert_string_equal(table(0), "......");
}

static void a_cursor_that_finds_no_room_is_told(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->room = 1;
    const json_t *data = ask(RESUME(EPOCH, "\"0\":5,\"1\":5", ""), "RESUMED");
    assert_int_equal(count_of(data, "ok"), 1);
    assert_int_equal(failure(data, "000002.SZ", "quote"), 106);
}

static void a_conn_may_end_while_it_resumes(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->end_when = 2;
    say(0, RESUME(EPOCH, "\"0\":5,\"1\":5,\"2\":5", ""));
    assert_string_equal(table(0), "......");
}

static void since_goes_on_with_one_channel(void **state)
{
    (void)state;
    core->newest_seq = 50;
    core->dropped_seq = 20;
#define SINCE(epoch, seq) ",\"since\":{\"epoch\":\"" epoch "\",\"seq\":" seq "}"
    const json_t *data =
        ask(SUBSCRIBE_WITH("\"000001.SZ\"", QUOTE, SINCE(EPOCH, "40")), "SUBSCRIBED");
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "quote");
    assert_int_equal(number_of(entry, "from"), 41);
    assert_int_equal(number_of(entry, "next_seq"), 100);
    data = ask(SUBSCRIBE_WITH("\"000002.SZ\"", QUOTE, SINCE(EPOCH, "4")), "SUBSCRIBED");
    assert_string_equal(text_of(entry_of(data, "ok", "000002.SZ", "quote"), "gap"), "overrun");
    data = ask(SUBSCRIBE_WITH("\"600000.SH\"", QUOTE, SINCE("other", "4")), "SUBSCRIBED");
    assert_string_equal(text_of(entry_of(data, "ok", "600000.SH", "quote"), "gap"), "restart");
    data = ask(SUBSCRIBE_WITH("\"000001.SZ\"", "\"trade\"", SINCE(EPOCH, "51")), "SUBSCRIBED");
    assert_int_equal(failure(data, "000001.SZ", "trade"), 112);
    data = ask(SUBSCRIBE_WITH("\"XXXX\"", "\"trade\"", SINCE(EPOCH, "51")), "SUBSCRIBED");
    assert_int_equal(failure(data, "XXXX", "trade"), 120);
    assert_string_equal(table(0), "CCC...");
}

#define SNAPSHOT(symbols, types)                                                                   \
    "{\"type\":\"SNAPSHOT\",\"data\":{\"symbols\":[" symbols "],\"data_types\":[" types "]}}"

static void snapshots_follow_their_answer(void **state)
{
    (void)state;
    core->newest_seq = 50;
    const json_t *data =
        ask(SNAPSHOT("\"000001.SZ\",\"XXXX\",\"0*\"", "\"quote\",\"trade\",\"depth\""), "SNAPSHOT");
    assert_int_equal(count_of(data, "ok"), 2);
    const json_t *entry = entry_of(data, "ok", "000001.SZ", "trade");
    assert_int_equal(number_of(entry, "ch"), 3);
    assert_int_equal(number_of(entry, "as_of"), 53);
    assert_int_equal(failure(data, "XXXX", "quote"), 120);
    assert_int_equal(failure(data, "0*", "quote"), 107);
    assert_int_equal(failure(data, "000001.SZ", "depth"), 123);
    assert_int_equal(core->sent_count, 2);
    assert_int_equal(core->sent_after, 1);
    assert_int_equal(core->sent[0].channel, 0);
    assert_int_equal(core->sent[0].group, MD_QUOTE);
    assert_int_equal(core->sent[1].channel, 3);
    assert_string_equal(table(0), "......");
}

static void a_snapshot_that_cannot_be_is_refused(void **state)
{
    (void)state;
    core->snapshot_error = -ENODATA;
    const json_t *data = ask(SNAPSHOT("\"000001.SZ\"", QUOTE), "SNAPSHOT");
    assert_int_equal(failure(data, "000001.SZ", "quote"), 108);
    core->snapshot_error = -EAGAIN;
    data = ask(SNAPSHOT("\"000001.SZ\"", QUOTE), "SNAPSHOT");
    assert_int_equal(failure(data, "000001.SZ", "quote"), 106);
    assert_true(
        json_is_true(json_object_get(entry_of(data, "failed", "000001.SZ", "quote"), "retry")));
}

static void history_of_who_gets_sbe_is_defined_first(void **state)
{
    (void)state;
    core->encoding = CORE_ENCODING_SBE;
    core->newest_seq = 50;
    say(0, RESUME(EPOCH, "\"3\":5,\"0\":5,\"88\":1", ""));
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(0), "3 0");
    forget_texts();
    say(0, SNAPSHOT("\"000001.SZ\"", QUOTE));
    assert_int_equal(core->text_count, 2);
    assert_string_equal(defined(0), "0");
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
    const json_t *data = ask("{\"type\":\"REPLAY\",\"id\":1}", "ERROR");
    assert_int_equal(number_of(data, "code"), 108);
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

static void a_heartbeat_tells_the_next_seq_of_each_channel(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\",\"600000.SH\"", QUOTE), "SUBSCRIBED");
    forget_texts();
    session_ops.on_quiet(core->sessions, core, 0, 0);
    assert_int_equal(core->text_count, 1);
    assert_string_equal(text_of(core->texts[0], "type"), "HEARTBEAT");
    const json_t *data = json_object_get(core->texts[0], "data");
    const json_t *seqs = json_object_get(data, "next_seq");
    assert_int_equal(json_object_size(seqs), 2);
    assert_int_equal(number_of(seqs, "1"), 101);
    assert_int_equal(number_of(seqs, "2"), 102);
    assert_int_equal(number_of(data, "sent"), 5);
    assert_int_equal(number_of(data, "lost"), 2);
    assert_int_equal(number_of(data, "conflated"), 1);
    const json_t *hashes = json_object_get(data, "hash");
    assert_int_equal(json_object_size(hashes), 2);
    assert_string_equal(text_of(hashes, "1"), "00ab000000000001");
    assert_string_equal(text_of(hashes, "2"), "00ab000000000002");
}

static void a_heartbeat_comes_when_it_is_asked_for(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    const json_t *data = ask("{\"type\":\"heartbeat\",\"id\":9}", "HEARTBEAT");
    assert_int_equal(number_of(core->texts[0], "id"), 9);
    assert_int_equal(number_of(json_object_get(data, "next_seq"), "1"), 101);
}

static void a_client_that_is_behind_is_promised_nothing(void **state)
{
    (void)state;
    ask(SUBSCRIBE("\"000002.SZ\"", QUOTE), "SUBSCRIBED");
    core->is_behind = true;
    const json_t *data = ask("{\"type\":\"HEARTBEAT\"}", "HEARTBEAT");
    assert_int_equal(json_object_size(json_object_get(data, "next_seq")), 0);
    assert_int_equal(json_object_size(json_object_get(data, "hash")), 0);
    assert_int_equal(number_of(data, "sent"), 5);
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

static void heartbeats_take_turns_among_many_channels(void **state)
{
    char symbol[16];
    static const size_t sizes[] = {1000, 1000, 500, 1000};
    (void)state;
    for (int i = 0; i < 2500; i++) {
        snprintf(symbol, sizeof symbol, "%d.SZ", i);
        open_channel(symbol, MD_QUOTE);
    }
    ask(SUBSCRIBE("\"*.SZ\"", QUOTE), "SUBSCRIBED");
    for (size_t i = 0; i < 4; i++) {
        forget_texts();
        session_ops.on_quiet(core->sessions, core, 0, 0);
        const json_t *data = json_object_get(core->texts[0], "data");
        assert_int_equal(json_object_size(json_object_get(data, "next_seq")), sizes[i]);
    }
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

static void without_an_inline_publisher_there_is_nothing_to_publish(void **state)
{
    (void)state;
    assert_true(session_ops.publish(core->sessions, 1) == UINT64_MAX);
    assert_int_equal(session_ops.channel_count(core->sessions), 6);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
#define TEST_WIDE(name) cmocka_unit_test_setup_teardown(name, set_up_wide, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(welcome_tells_session_epoch_and_limits),
        TEST(the_log_tells_who_came_and_how_it_ended),
        TEST(a_conn_that_is_used_again_begins_with_nothing),
        TEST(the_short_form_subscribes_byte_for_byte),
        TEST(each_symbol_and_type_gets_its_verdict),
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
        TEST(an_exact_entry_has_its_own_settings_within_a_pattern),
        TEST(a_star_alone_is_a_whole_group),
        TEST(a_pattern_has_at_most_4_stars_and_36_bytes),
        TEST_WIDE(a_client_has_at_most_100_patterns),
        TEST(a_pattern_that_finds_no_room_leaves_nothing_behind),
        TEST(a_new_channel_that_finds_no_room_is_told),
        TEST(a_conn_may_end_in_the_middle_of_its_message),
        TEST(conns_with_patterns_may_end_while_a_channel_appears),
        TEST(unsubscribe_without_symbols_drops_all),
        TEST(dropping_a_type_keeps_the_patterns_of_others),
        TEST(modify_changes_what_is_subscribed_and_nothing_else),
        TEST(modify_keeps_what_it_does_not_name),
        TEST(modify_conflates_only_full_images),
        TEST(a_channel_has_the_limit_of_the_entry_that_covers_it),
        TEST(each_cursor_gets_its_verdict),
        TEST(in_another_epoch_all_is_a_gap),
        TEST(what_is_resumed_is_subscribed_as_asked_and_counts),
        TEST(a_cursor_that_finds_no_room_is_told),
        TEST(a_conn_may_end_while_it_resumes),
        TEST(since_goes_on_with_one_channel),
        TEST(snapshots_follow_their_answer),
        TEST(a_snapshot_that_cannot_be_is_refused),
        TEST(history_of_who_gets_sbe_is_defined_first),
        TEST(list_tells_every_entry_with_its_settings),
        TEST(pong_bears_three_times),
        TEST(an_error_has_code_message_field_and_retry),
        TEST(a_binary_message_is_an_error_and_closes_nothing),
        TEST(a_heartbeat_comes_when_it_is_asked_for),
        TEST(a_client_that_is_behind_is_promised_nothing),
        TEST(status_tells_what_the_server_knows_of_a_client),
        TEST(lag_tells_how_far_and_whose_fault),
        TEST(a_drain_tells_each_client_its_time_and_how_to_go_on),
        TEST_WIDE(a_drain_tells_a_hundred_cursors_and_no_more),
        TEST(a_heartbeat_tells_the_next_seq_of_each_channel),
        TEST_WIDE(heartbeats_take_turns_among_many_channels),
        TEST(the_longest_gap_message_fits),
        TEST(without_an_inline_publisher_there_is_nothing_to_publish),
        TEST(a_variant_is_a_channel_of_its_own),
        TEST(variants_are_listed_and_dropped_by_what_they_are),
        TEST(a_conn_that_ends_wishes_for_nothing_any_more),
        TEST(what_no_variant_can_be_is_refused),
        TEST(patterns_cover_no_variant),
        TEST(who_is_full_makes_no_channel),
        TEST(a_gap_asks_for_a_snapshot_of_the_book),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
