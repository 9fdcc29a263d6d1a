/*
 * What sessions ask access control, over a core that is a double: it keeps one conn's subscriptions
 * in a table and the texts that were sent to it. tests/integration runs the real one.
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
#include <unistd.h>

#include "src/log.h"
#include "src/publisher.h"
#include "src/session.h"

#define CONN 1
#define CHANNELS 8
#define TEXTS_MAX 16

/* ---- The double ---- */

struct core {
    struct sessions *sessions;
    bool is_on[CHANNELS];
    uint8_t tags[CHANNELS];
    bool groups[CORE_GROUPS_MAX];
    json_t *texts[TEXTS_MAX];
    uint32_t text_count;
    char line[LOG_LINE_BYTES_MAX];
    uint32_t line_count;
    struct core_source source;
    uint16_t close_code;
    uint32_t snapshot_count;
    uint32_t replayed_count;
};

static struct core *core;
static struct channels *channels;
static struct access *access_made;
static struct core_counters counters;

bool log_wants(enum log_level level)
{
    (void)level;
    return true;
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    (void)producer, (void)level;
    core->line_count++;
    snprintf(core->line, sizeof core->line, "%s", text);
}

uint64_t publisher_poll(struct publisher *publisher, uint64_t now_ns)
{
    (void)publisher;
    return now_ns;
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
    (void)conn, (void)reason;
    self->close_code = code;
}

uint32_t core_index(const struct core *self)
{
    (void)self;
    return 0;
}

void core_send_text(struct core *self, uint32_t conn, const char *payload, size_t payload_bytes)
{
    json_error_t error;
    (void)conn;
    assert_true(self->text_count < TEXTS_MAX);
    json_t *text = json_loadb(payload, payload_bytes, JSON_REJECT_DUPLICATES, &error);
    if (text == NULL) {
        fail_msg("not JSON: %s: %.*s", error.text, (int)payload_bytes, payload);
    }
    self->texts[self->text_count++] = text;
}

int core_subscribe(struct core *self, uint32_t conn, uint32_t channel, uint32_t group,
                   enum lag_policy policy, bool snapshot, uint8_t tag)
{
    (void)conn, (void)group, (void)policy, (void)snapshot;
    int was_on = self->is_on[channel];
    self->is_on[channel] = true;
    self->tags[channel] = was_on ? self->tags[channel] : tag;
    return was_on;
}

bool core_gets_image(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn, (void)channel;
    return true;
}

int core_unsubscribe(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)conn;
    int error = self->is_on[channel] ? 0 : -ENOENT;
    self->is_on[channel] = false;
    return error;
}

int core_subscription_tag(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)conn;
    return self->is_on[channel] ? self->tags[channel] : -ENOENT;
}

void core_set_subscription(struct core *self, uint32_t conn, uint32_t channel,
                           enum lag_policy policy, uint8_t tag)
{
    (void)conn, (void)policy;
    self->tags[channel] = tag;
}

int core_subscribe_group(struct core *self, uint32_t conn, uint32_t group, enum lag_policy policy,
                         bool snapshot)
{
    (void)conn, (void)policy, (void)snapshot;
    int was_on = self->groups[group];
    self->groups[group] = true;
    return was_on;
}

int core_unsubscribe_group(struct core *self, uint32_t conn, uint32_t group)
{
    (void)conn;
    self->groups[group] = false;
    return 0;
}

/* What this test is not about. */
void core_set_max_lag(struct core *self, uint32_t conn, uint32_t channel, uint16_t max_lag_ms)
{
    (void)self, (void)conn, (void)channel, (void)max_lag_ms;
}

uint16_t core_max_lag(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn, (void)channel;
    return 0;
}

void core_set_group_max_lag(struct core *self, uint32_t conn, uint32_t group, uint16_t max_lag_ms)
{
    (void)self, (void)conn, (void)group, (void)max_lag_ms;
}

uint16_t core_group_max_lag(struct core *self, uint32_t conn, uint32_t group)
{
    (void)self, (void)conn, (void)group;
    return 0;
}

uint32_t core_conn_encoding(struct core *self, uint32_t conn)
{
    (void)self, (void)conn;
    return CORE_ENCODING_JSON;
}

uint32_t core_group_conn_count(struct core *self, uint32_t encoding, uint32_t group)
{
    (void)self, (void)encoding, (void)group;
    return 0;
}

uint32_t core_group_conn(struct core *self, uint32_t encoding, uint32_t group, uint32_t place)
{
    (void)self, (void)encoding, (void)group, (void)place;
    fail_msg("there is none");
    return 0;
}

uint64_t core_hash(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn;
    return channel;
}

bool core_conn_is_current(struct core *self, uint32_t conn)
{
    (void)self, (void)conn;
    return true;
}

void core_conn_lag(struct core *self, uint32_t conn, struct core_lag *lag_out)
{
    (void)self, (void)conn;
    *lag_out = (struct core_lag){0};
}

int core_resume(struct core *self, uint32_t conn, const struct core_resume *resume)
{
    (void)core_subscribe(self, conn, resume->channel, resume->group, resume->policy, false,
                         resume->tag);
    return 0;
}

uint64_t core_find_snapshots(struct core *self, uint32_t conn, struct core_snapshot *snapshots,
                             uint32_t count)
{
    (void)self, (void)conn;
    for (uint32_t i = 0; i < count; i++) {
        snapshots[i].error = 0;
        snapshots[i].as_of = 1;
    }
    return 0;
}

void core_send_snapshots(struct core *self, uint32_t conn, const struct core_snapshot *snapshots,
                         uint32_t count, uint64_t pinned)
{
    (void)conn, (void)snapshots, (void)pinned;
    self->snapshot_count = count;
}

int core_replay(struct core *self, uint32_t conn, const struct core_replay *replay,
                const struct core_replayed *replayed, uint32_t count)
{
    (void)conn, (void)replay, (void)replayed;
    self->replayed_count = count;
    return 0;
}

void core_stop_replay(struct core *self, uint32_t conn)
{
    (void)self, (void)conn;
}

uint64_t core_log_begins_ns(struct core *self, uint32_t conn)
{
    (void)self, (void)conn;
    return 0;
}

uint64_t core_next_seq(struct core *self, uint32_t conn, uint32_t channel)
{
    (void)self, (void)conn;
    return 100 + channel;
}

uint32_t core_conn_channels(struct core *self, uint32_t conn, uint32_t *turn,
                            uint32_t *channels_out, uint32_t max)
{
    (void)self, (void)conn, (void)turn, (void)channels_out, (void)max;
    return 0;
}

void core_conn_stats(struct core *self, uint32_t conn, struct core_conn_stats *stats_out)
{
    (void)self, (void)conn;
    *stats_out = (struct core_conn_stats){0};
}

/* ---- Helpers ---- */

static void forget_texts(void)
{
    for (uint32_t i = 0; i < core->text_count; i++) {
        json_decref(core->texts[i]);
    }
    core->text_count = 0;
}

#define TOKEN_FULL "full-token-0123456789"
#define TOKENS                                                                                     \
    "{\"tokens\":[{\"name\":\"full\",\"token\":\"" TOKEN_FULL "\"},"                               \
    "{\"name\":\"desk\",\"token\":\"desk-token-0123456789\",\"symbols\":[\"000001.SZ\",\"6*\"],"   \
    "\"types\":[\"quote\"],\"max_subscriptions\":2}]}"

/* The conn asks for the upgrade and is opened, with these header lines. */
static bool open_with(const char *headers)
{
    char head[1000];
    struct core_refusal refusal;
    int bytes = snprintf(head, sizeof head, "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n", headers);
    struct core_request request = {.head = (uint8_t *)head, .head_bytes = (size_t)bytes};
    assert_int_equal(session_ops.on_accept(core->sessions, core, CONN, 0, &refusal), CORE_ADMIT);
    if (!session_ops.on_request(core->sessions, core, CONN, 0, &request, &refusal)) {
        session_ops.on_leave(core->sessions, core, CONN);
        return false;
    }
    session_ops.on_open(core->sessions, core, CONN, 0);
    return true;
}

static int set_up(void **state)
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
    struct access_options wanted = {
        .enable_auth = true, .tokens_file = path, .rate_limit_enabled = true};
    int status = access_create(&access_made, &wanted, error, sizeof error);
    unlink(path);
    if (status != 0) {
        fail_msg("%s", error);
    }
    memset(&counters, 0, sizeof counters);
    core = calloc(1, sizeof *core);
    core->source.address = ip_address_from_v4("\x7f\0\0\x01");
    assert_int_equal(channels_create(&channels), 0);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        channels_open(channels, all[i].symbol, strlen(all[i].symbol), all[i].type);
    }
    struct session_options options = {
        .conn_count_max = 4,
        .subscription_count_max = 10,
        .epoch = "0123456789abcdef",
        .channels = channels,
        .access = access_made,
        .counters = &counters,
    };
    return sessions_create(&core->sessions, &options);
}

static int tear_down(void **state)
{
    (void)state;
    forget_texts();
    sessions_destroy(core->sessions);
    access_destroy(access_made);
    channels_destroy(channels);
    free(core);
    return 0;
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

static void say(const char *text, uint64_t now_ns)
{
    char copy[1000];
    size_t bytes = strlen(text);
    memcpy(copy, text, bytes);
    forget_texts();
    session_ops.on_message(core->sessions, core, CONN, WS_TEXT, (uint8_t *)copy, bytes, now_ns);
}

static void a_token_is_asked_for_before_anything_but_a_ping(void **state)
{
    (void)state;
    assert_true(open_with(""));
    assert_true(
        json_is_true(json_object_get(json_object_get(newest("WELCOME"), "data"), "auth_required")));
    say("{\"type\":\"PING\"}", 1);
    newest("PONG");
    say("{\"type\":\"LIST\",\"id\":3}", 1);
    assert_int_equal(error_code(), 101);
    say("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"*\",\"data_types\":\"quote\"}}", 1);
    assert_int_equal(error_code(), 101);
    assert_false(core->groups[MD_QUOTE]);
    say("{\"type\":\"AUTH\",\"data\":{\"token\":\"" TOKEN_FULL "\"}}", 2);
    newest("AUTHENTICATED");
    say("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"*\",\"data_types\":\"quote\"}}", 3);
    assert_true(core->groups[MD_QUOTE]);
    session_ops.on_tick(core->sessions, core, CONN, 3600 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 0);
    assert_int_equal(counters.messages_refused, 2);
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
    say("{\"type\":\"RESUME\",\"data\":{\"epoch\":\"0123456789abcdef\",\"cursors\":"
        "{\"0\":1,\"1\":1,\"2\":1,\"3\":1}}}",
        1);
    assert_int_equal(opened("RESUMED"), 2);
    assert_true(core->is_on[0] && !core->is_on[1] && core->is_on[2] && !core->is_on[3]);
    say("{\"type\":\"SNAPSHOT\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\"],"
        "\"data_types\":[\"quote\",\"trade\"]}}",
        1);
    assert_int_equal(opened("SNAPSHOT"), 1);
    assert_int_equal(core->snapshot_count, 1);
    assert_non_null(strstr(core->line, "DENIED"));
    say("{\"type\":\"UNSUBSCRIBE\"}", 2);
    say("{\"type\":\"REPLAY\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\"],"
        "\"data_types\":[\"quote\",\"trade\"],\"from\":1732078800123456789}}",
        2);
    assert_int_equal(opened("REPLAYING"), 1);
    assert_int_equal(core->replayed_count, 1);
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

static void a_smaller_scope_ends_what_it_does_not_cover(void **state)
{
    (void)state;
    assert_true(open_with("Authorization: Bearer " TOKEN_FULL "\r\n"));
    say("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\",\"000002.SZ\",\"60*\",\"0*\","
        "\"*\"],\"data_types\":[\"quote\"]}}",
        1);
    say("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"000001.SZ\"],\"data_types\":[\"trade\"]}"
        "}",
        1);
    say("{\"type\":\"AUTH\",\"data\":{\"token\":\"desk-token-0123456789\"}}", 2);
    json_t *data = json_object_get(newest("NOTICE"), "data");
    assert_int_equal(json_array_size(json_object_get(data, "dropped")), 4);
    assert_true(core->is_on[0]);  /* 000001.SZ */
    assert_false(core->is_on[1]); /* 000002.SZ, and 0* */
    assert_true(core->is_on[2]);  /* 600000.SH, by 60* */
    assert_false(core->is_on[3]); /* a trade */
    assert_false(core->groups[MD_QUOTE]);
    say("{\"type\":\"LIST\"}", 3);
    data = json_object_get(newest("SUBSCRIPTIONS"), "data");
    assert_int_equal(json_integer_value(json_object_get(data, "count")), 2);
    assert_int_equal(json_integer_value(json_object_get(data, "limit")), 2);
    say("{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"600000.SH\",\"000002.SZ\"],"
        "\"data_types\":[\"quote\"]}}",
        4);
    data = json_object_get(newest("SUBSCRIBED"), "data");
    assert_int_equal(json_array_size(json_object_get(data, "ok")), 0);
    json_t *failed = json_object_get(data, "failed");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(failed, 0), "code")), 122);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(failed, 1), "code")), 103);
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
        say("{\"type\":\"PING\"}", 1);
        newest("PONG");
    }
    for (int i = 0; i < 50; i++) {
        say("{\"type\":\"PING\"}", 1);
        assert_int_equal(error_code(), 111);
        assert_int_equal(core->close_code, 0);
    }
    say("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    newest("PONG");
    say("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    assert_int_equal(error_code(), 111);
    say("{\"type\":\"PING\"}", 200 * NS_PER_MS + 1);
    assert_int_equal(core->close_code, 4111);
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

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_token_is_asked_for_before_anything_but_a_ping),
        TEST(cursors_and_snapshots_open_nothing_that_the_token_does_not),
        TEST(who_sends_no_token_has_five_seconds),
        TEST(a_smaller_scope_ends_what_it_does_not_cover),
        TEST(a_wrong_token_at_the_door_leaves_nothing),
        TEST(messages_over_the_rate_are_refused_and_then_close),
        TEST(the_audit_log_has_a_rate_and_says_what_it_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
