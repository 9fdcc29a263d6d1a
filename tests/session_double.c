#include "tests/session_double.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ring/board/frame_log.h"
#include "ring/core/core_conn.h"
#include "src/market/channel_rates.h"
#include "tests/log_double.h"

struct core *core;
const struct core_lag behind = {
    .is_behind = true, .bytes = 4096, .ms = 812, .cause = LAG_BY_NETWORK, .round_trip_us = 77};
struct channels *channels;
struct symbols symbols;
uint64_t slice_units;
uint64_t heartbeat_interval_ns = 30 * NS_PER_SECOND;

bool log_wants(enum log_level level)
{
    (void)level;
    return true;
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    (void)level;
    assert_int_equal(producer, 1);
    core->line_count++;
    snprintf(core->line, sizeof core->line, "%s", text);
}

void core_conn_peer(struct core *self, uint32_t conn, char text[CORE_PEER_TEXT_BYTES_MAX])
{
    (void)self, (void)conn;
    strcpy(text, "127.0.0.1:5123");
}

void core_conn_source(struct core *self, uint32_t conn, struct core_source *source_out)
{
    (void)conn;
    *source_out = self->source;
}

void core_close(struct core *self, uint32_t conn, uint16_t code, const char *reason)
{
    (void)reason;
    self->close_code = code;
    self->is_closing[conn] = true;
}

bool core_is_open(struct core *self, uint32_t conn)
{
    return !self->is_closing[conn];
}

/* What the core does first in a turn: a connection ends in no other place. */
static void bury(void)
{
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        if (core->is_closing[conn] && core->is_held[conn]) {
            core->is_held[conn] = false;
            session_ops.on_drop(core->sessions, core, conn);
        }
    }
}

bool core_has_room(struct core *self, uint32_t conn, size_t bytes)
{
    (void)conn;
    return self->room_bytes == 0 || bytes <= self->room_bytes;
}

void core_spend(struct core *self, uint32_t units)
{
    self->spent += units;
    self->most_spent = self->spent > self->most_spent ? self->spent : self->most_spent;
}

bool core_slice_is_over(const struct core *self)
{
    return self->slice_units != 0 && self->spent >= self->slice_units;
}

void core_hold(struct core *self, uint32_t conn)
{
    assert_false(self->is_held[conn]);
    self->is_held[conn] = true;
}

bool core_is_held(struct core *self, uint32_t conn)
{
    return self->is_held[conn];
}

void go_on(uint32_t conn)
{
    bury();
    core->spent = 0;
    core->slice_count++;
    if (core->is_held[conn] && session_ops.on_continue(core->sessions, core, conn, 0)) {
        core->is_held[conn] = false;
    }
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

void core_send_raw(struct core *self, uint32_t conn, const void *bytes, size_t bytes_count)
{
    (void)self, (void)conn, (void)bytes, (void)bytes_count;
    fail_msg("nobody asks for a book here");
}

bool core_has_drained(struct core *self, uint32_t conn)
{
    (void)conn;
    return !self->is_full;
}

bool core_await_drain(struct core *self, uint32_t conn)
{
    assert_true(self->is_held[conn]);
    return core_has_drained(self, conn);
}

static void tell_subscriber(uint32_t channel, int change)
{
    session_ops.on_subscriber(core->sessions, core, channel, change);
}

void end_conn(uint32_t conn)
{
    static const struct core_conn_end end = {.close_code = 1006, .text = "reset by peer"};
    for (uint32_t channel = 0; channel < CHANNELS; channel++) {
        if (core->subs[conn][channel].on) {
            tell_subscriber(channel, -1);
        }
    }
    memset(core->subs[conn], 0, sizeof core->subs[conn]);
    memset(core->groups[conn], 0, sizeof core->groups[conn]);
    core->is_held[conn] = false;
    session_ops.on_close(core->sessions, core, conn, &end);
}

int core_subscribe(struct core *self, uint32_t conn, struct core_subscription *wanted)
{
    struct fake_sub *sub = &self->subs[conn][wanted->channel];
    wanted->next_seq = core_next_seq(self, conn, wanted->channel);
    wanted->hash = core_hash(self, conn, wanted->channel);
    if (sub->on) {
        return 1;
    }
    if (self->room == 0) {
        return -ENOSPC;
    }
    self->room--;
    wanted->has_image = wanted->asks_image && self->has_images;
    *sub = (struct fake_sub){.on = true,
                             .snapshot = wanted->snapshot,
                             .group = (uint8_t)wanted->group,
                             .policy = (uint8_t)wanted->policy,
                             .tag = wanted->tag,
                             .max_lag_ms = wanted->max_lag_ms};
    tell_subscriber(wanted->channel, 1);
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

uint32_t core_subscriptions(struct core *self, uint32_t conn, struct core_subscribed *list_out,
                            uint32_t max)
{
    uint32_t count = 0;
    for (uint32_t channel = 0; channel < channels_count(channels); channel++) {
        if (self->subs[conn][channel].on && count++ < max) {
            list_out[count - 1] =
                (struct core_subscribed){.channel = channel, .tag = self->subs[conn][channel].tag};
        }
    }
    return count;
}

void core_set_limits(struct core *self, const struct core_limits *limits)
{
    self->limits = *limits;
}

void core_hasten_ping(struct core *self, uint32_t conn)
{
    (void)conn;
    self->hastened_count++;
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
    if (!sub->on && self->room-- == 0) {
        self->room = 0;
        return -ENOSPC;
    }
    if (!sub->on) {
        tell_subscriber(resume->channel, 1);
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

int core_replay(struct core *self, uint32_t conn, const struct core_replay *replay,
                const struct core_replayed *replayed, uint32_t count)
{
    (void)conn;
    self->replay = *replay;
    self->replayed_count = count;
    for (uint32_t i = 0; i < count; i++) {
        assert_true(i == 0 || replayed[i].channel > replayed[i - 1].channel);
        self->replayed[i < CONNS ? i : 0] = replayed[i];
    }
    return self->replay_result;
}

void core_stop_replay(struct core *self, uint32_t conn)
{
    (void)conn;
    self->replayed_count = 0;
}

uint32_t core_limit_replay(struct core *self, uint32_t conn,
                           bool (*keeps)(void *context, uint32_t channel), void *context)
{
    uint32_t kept = 0;
    uint32_t count = self->replayed_count;
    (void)conn;
    assert_true(count <= CONNS);
    for (uint32_t i = 0; i < count; i++) {
        if (keeps(context, self->replayed[i].channel)) {
            self->replayed[kept++] = self->replayed[i];
        }
    }
    self->replayed_count = kept;
    return count - kept;
}

uint64_t core_log_begins_ns(struct core *self)
{
    (void)self;
    return 1700000000000000123;
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

uint64_t core_next_seq(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)conn;
    self->seq_count++;
    return self->is_silent ? 1 : 100 + channel;
}

uint64_t core_position(struct core *self, uint32_t conn)
{
    (void)conn;
    return self->newest_seq;
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

/* As a Unix-domain socket. */
bool core_conn_sent(struct core *self, uint32_t conn, struct core_sent *sent_out)
{
    (void)self, (void)conn;
    *sent_out = (struct core_sent){0};
    return false;
}

bool core_conn_tls(struct core *self, uint32_t conn, struct core_conn_tls *tls_out)
{
    (void)conn;
    if (self->tls == NULL) {
        return false;
    }
    *tls_out = (struct core_conn_tls){"1.3", "AES-128-GCM", self->tls};
    return true;
}

uint32_t core_channel_subscribers(const struct core *self, uint32_t channel)
{
    uint32_t count = 0;
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        count += self->subs[conn][channel].on;
    }
    return count;
}

/* Every channel of the table, in turns. */
uint32_t core_conn_channels(struct core *self, uint32_t conn, uint32_t *turn,
                            uint32_t *channels_out, uint32_t max)
{
    uint32_t count = 0;
    uint32_t place = 0;
    for (uint32_t channel = 0; channel < channels_count(channels) && count < max; channel++) {
        bool is_on = self->subs[conn][channel].on ||
                     self->groups[conn][channels_get(channels, channel)->group].on;
        if (is_on && place++ >= *turn) {
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
    *stats_out = (struct core_conn_stats){
        .frames_sent = 5, .frames_lost = 2, .frames_conflated = 1, .open_ns = 20 * NS_PER_SECOND};
    stats_out->frames_sent += self->frames_sent;
    stats_out->state = self->is_closing[conn] ? CORE_CONN_ENDING
                       : self->is_behind      ? CORE_CONN_BLOCKED
                                              : CORE_CONN_STREAMING;
    for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
        stats_out->subscription_count += self->groups[conn][group].on;
    }
    for (uint32_t channel = 0; channel < channels_count(channels); channel++) {
        stats_out->subscription_count += self->subs[conn][channel].on;
    }
}

/* ---- Helpers ---- */

void show_channel(const char *symbol, enum md_type type)
{
    uint32_t before = channels_count(channels);
    uint32_t channel = channels_open(channels, symbol, strlen(symbol), type);
    assert_int_equal(channel, before);
    session_ops.on_channel(core->sessions, core, channel);
}

void open_channel(const char *symbol, enum md_type type)
{
    bool was_held[CONNS];
    memcpy(was_held, core->is_held, sizeof was_held);
    show_channel(symbol, type);
    for (uint32_t conn = 0; conn < CONNS; conn++) {
        while (core->is_held[conn] && !was_held[conn]) {
            go_on(conn);
        }
    }
}

void forget_texts(void)
{
    for (uint32_t i = 0; i < core->text_count; i++) {
        json_decref(core->texts[i]);
    }
    core->text_count = 0;
}

void open_conn(uint32_t conn)
{
    core->is_closing[conn] = false;
    session_ops.on_open(core->sessions, core, conn, 0);
}

void begin_url(uint32_t conn, const char *rest)
{
    struct core_refusal refusal;
    struct core_request asked = {.rest = {rest, strlen(rest)}};
    assert_int_equal(session_ops.on_request(core->sessions, core, conn, 0, &asked, &refusal),
                     CORE_GRANTED);
    core->spent = 0;
    open_conn(conn);
}

void open_url(uint32_t conn, const char *rest)
{
    begin_url(conn, rest);
    while (core->is_held[conn]) {
        go_on(conn);
    }
}

void make_symbols(void)
{
    static const struct frame_log_options options = {
        .capacity_bytes = FRAME_LOG_BYTES_MIN,
        .frame_bytes_max = 64 * KIB,
        .channel_count_max = CHANNELS_MAX,
        .reader_count = 1,
        .is_lazy = true,
    };
    struct frame_log *log;
    struct channel_rates *rates;
    assert_int_equal(frame_log_create(&log, &options), 0);
    assert_int_equal(channel_rates_create(&rates), 0);
    symbols = (struct symbols){.channels = channels, .log = log, .rates = rates, .epoch = EPOCH};
}

static int set_up_with(uint32_t subscription_count_max)
{
    struct session_options options = {
        .conn_count_max = CONNS,
        .subscription_count_max = subscription_count_max,
        .heartbeat_interval_ns = heartbeat_interval_ns,
        .idle_timeout_ns = 300 * NS_PER_SECOND,
        .epoch = EPOCH,
    };
    core = calloc(1, sizeof *core);
    core->room = UINT32_MAX;
    core->slice_units = slice_units;
    core->source.is_unix = true;
    assert_int_equal(channels_create(&channels, NULL, &(struct keyed_hash){{1, 2}}), 0);
    make_symbols();
    options.channels = channels;
    options.symbols = &symbols;
    assert_int_equal(sessions_create(&core->sessions, &options), 0);
    open_conn(0);
    return 0;
}

int set_up(void **state)
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

int set_up_wide(void **state)
{
    (void)state;
    set_up_with(100000);
    forget_texts();
    return 0;
}

int tear_down(void **state)
{
    (void)state;
    forget_texts();
    sessions_destroy(core->sessions);
    channel_rates_destroy((struct channel_rates *)symbols.rates);
    frame_log_destroy((struct frame_log *)symbols.log);
    channels_destroy(channels);
    free(core);
    return 0;
}

void begin(uint32_t conn, const char *text)
{
    bury();
    core->spent = 0;
    core->slice_count = 1;
    size_t bytes = strlen(text);
    uint8_t *copy = malloc(bytes); /* Exactly as long, so that a longer read is found. */
    memcpy(copy, text, bytes);
    session_ops.on_message(core->sessions, core, conn, WS_TEXT, copy, bytes, 0);
    free(copy);
}

void say(uint32_t conn, const char *text)
{
    begin(conn, text);
    while (core->is_held[conn]) {
        go_on(conn);
        assert_true(core->slice_count < SLICES_MAX);
    }
}

json_t *ask(const char *text, const char *type)
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

const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    assert_non_null(text);
    return text;
}

long long number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    assert_true(json_is_integer(number));
    return json_integer_value(number);
}

json_t *entry_of(const json_t *data, const char *list, const char *symbol, const char *type)
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

size_t count_of(const json_t *data, const char *list)
{
    return json_array_size(json_object_get(data, list));
}

long long failure(const json_t *data, const char *symbol, const char *type)
{
    const json_t *entry = entry_of(data, "failed", symbol, type);
    assert_non_null(entry);
    assert_true(strlen(text_of(entry, "message")) > 0);
    assert_true(json_is_boolean(json_object_get(entry, "retry")));
    return number_of(entry, "code");
}

long long covered(const json_t *data, const char *pattern)
{
    return number_of(entry_of(data, "ok", pattern, "quote"), "channels");
}

const char *table(uint32_t conn)
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

const char *defined(uint32_t i)
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
