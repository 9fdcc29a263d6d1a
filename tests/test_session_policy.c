/*
 * A policy that replaces another, in the sessions of a core that is a double (session_double.h):
 * each policy is freed as soon as its successor was taken, so that AddressSanitizer sees what still
 * refers to it.
 */
#include "tests/session_double.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/session/session_client.h"
#include "src/session/session_policy.h"

#define CONN 1
#define HEAD "GET / HTTP/1.1\r\nHost: x\r\n%s\r\n"
#define DESK "Authorization: Bearer desk-token-0123456789\r\n"
#define TOKEN(name, scope)                                                                         \
    "{\"name\":\"" name "\",\"token\":\"" name "-token-0123456789\"" scope "}"
#define ASK_BOTH                                                                                   \
    "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":[\"A\",\"B\"],\"data_types\":[\"quote\"]}}"
#define HOST "{\"name\":\"host\",\"certificate\":\"cn:host\"}"
#define TOKENS(list) "{\"tokens\":[" list "]}"

static struct access *policy_now;
static struct core_counters counters;
static const struct keyed_hash hash = {{1, 2}};

/* One that replaces what there is. tokens: NULL: no token is needed. */
static struct access *policy_after(const char *tokens, const char *ip_deny)
{
    char path[] = "/tmp/test-policy-XXXXXX";
    char error[512] = "";
    struct access *access = NULL;
    int fd = mkstemp(path);
    struct access_options options = {.enable_auth = tokens != NULL,
                                     .asks_certificates = true,
                                     .tokens_file = tokens == NULL ? NULL : path,
                                     .ip_deny = ip_deny,
                                     .rate_limit_enabled = true,
                                     .ip_connections_max = 3};
    if (tokens != NULL) {
        assert_int_equal(write(fd, tokens, strlen(tokens)), strlen(tokens));
    }
    close(fd);
    if (access_renew(&access, policy_now, &options, &hash, error, sizeof error) != 0) {
        fail_msg("%s", error);
    }
    unlink(path);
    return access;
}

static void replace_policy(const char *tokens, const char *ip_deny)
{
    struct session_policy policy = {
        .sessions = core->sessions,
        .access = policy_after(tokens, ip_deny),
        .subscription_count_max = 20,
        .limits = {.conn_count_max = 4,
                   .heartbeat_interval_ns = NS_PER_SECOND,
                   .idle_timeout_ns = NS_PER_SECOND},
    };
    forget_texts();
    core->spent = 0;
    while (!session_policy_take(&policy, core, 1)) {
        core->spent = 0;
    }
    access_destroy(policy_now);
    policy_now = policy.access;
    while (core->is_held[CONN]) {
        go_on(CONN);
    }
}

static int set_up_policy(void **state)
{
    (void)state;
    memset(&counters, 0, sizeof counters);
    core = calloc(1, sizeof *core);
    core->room = UINT32_MAX;
    core->newest_seq = 10;
    core->source.address = ip_address_from_v4("\xcb\0\x71\x09");
    assert_int_equal(channels_create(&channels, NULL, &hash), 0);
    channels_open(channels, "A", 1, MD_QUOTE);
    channels_open(channels, "B", 1, MD_QUOTE);
    channels_open(channels, "B", 1, MD_TRADE);
    make_symbols();
    policy_now = NULL;
    policy_now = policy_after(TOKENS(TOKEN("desk", "")), NULL);
    struct session_options options = {
        .conn_count_max = 4,
        .subscription_count_max = 10,
        .heartbeat_interval_ns = 30 * NS_PER_SECOND,
        .epoch = EPOCH,
        .channels = channels,
        .symbols = &symbols,
        .access = policy_now,
        .counters = &counters,
    };
    return sessions_create(&core->sessions, &options);
}

static int tear_down_policy(void **state)
{
    int status = tear_down(state);
    access_destroy(policy_now);
    return status;
}

static enum core_grant ask_to_open(const char *headers)
{
    char head[500];
    struct core_refusal refusal;
    int bytes = snprintf(head, sizeof head, HEAD, headers);
    struct core_request request = {
        .head = (uint8_t *)head, .head_bytes = (size_t)bytes, .tls = core->tls};
    assert_int_equal(session_ops.on_accept(core->sessions, core, CONN, 0, &refusal), CORE_ADMIT);
    session_ops.on_turn(core->sessions, core, 0);
    return session_ops.on_request(core->sessions, core, CONN, 0, &request, &refusal);
}

static void open_with(const char *headers)
{
    assert_int_equal(ask_to_open(headers), CORE_GRANTED);
    session_ops.on_open(core->sessions, core, CONN, 0);
}

static void leave(void)
{
    end_conn(CONN);
    session_ops.on_leave(core->sessions, core, CONN);
}

static void subscribe(void)
{
    forget_texts();
    say(CONN, ASK_BOTH);
}

static const char *event(uint32_t i)
{
    return i < core->text_count ? text_of(json_object_get(core->texts[i], "data"), "event") : "";
}

static void a_token_that_is_gone_closes_its_client(void **state)
{
    (void)state;
    open_with(DESK);
    subscribe();
    replace_policy(TOKENS(TOKEN("other", "")), NULL);
    assert_int_equal(core->close_code, 4001);
    assert_non_null(strstr(core->line, "the token of desk was revoked"));
    leave();
}

static void the_same_token_costs_its_client_nothing(void **state)
{
    (void)state;
    open_with(DESK);
    subscribe();
    for (int i = 0; i < 100; i++) {
        replace_policy(TOKENS(TOKEN("new", "") "," TOKEN("desk", ",\"max_connections\":1")), NULL);
    }
    assert_int_equal(core->text_count, 0);
    assert_int_equal(core->close_code, 0);
    assert_string_equal(table(CONN), "CC.");
    assert_int_equal(core->limits.heartbeat_interval_ns, NS_PER_SECOND);
    assert_int_equal(core->hastened_count, 1);
    leave();
    open_with(DESK); /* The count of the token went on. */
    leave();
}

/* S22 */
static void a_certificate_whose_entry_is_gone_closes_its_client(void **state)
{
    (void)state;
    static union {
        struct tls_peer peer;
        char bytes[sizeof(struct tls_peer) + 64];
    } tls = {.peer = {.has_certificate = true, .not_after_s = INT32_MAX, .name_count = 1}};
    strcpy(tls.bytes + offsetof(struct tls_peer, names), "cn:host");
    replace_policy(TOKENS(TOKEN("desk", "") "," HOST), NULL);
    core->tls = &tls.peer;
    open_with("");
    subscribe();
    replace_policy(TOKENS(HOST), NULL);
    assert_int_equal(core->close_code, 0);
    assert_string_equal(table(CONN), "CC.");
    replace_policy(TOKENS(TOKEN("desk", "")), NULL);
    assert_int_equal(core->close_code, 4001);
    assert_non_null(strstr(core->line, "the certificate of host was revoked"));
    leave();
}

static void a_smaller_scope_ends_what_it_does_not_cover(void **state)
{
    (void)state;
    open_with(DESK);
    subscribe();
    say(CONN, "{\"type\":\"SUBSCRIBE\",\"data\":{\"symbols\":\"*\",\"data_types\":\"trade\"}}");
    replace_policy(TOKENS(TOKEN("desk", ",\"symbols\":[\"A\"]")), NULL);
    assert_string_equal(event(0), "SUBSCRIPTIONS_DROPPED");
    assert_string_equal(table(CONN), "C..");
    assert_false(core->groups[CONN][MD_TRADE].on);
    leave();
}

static void a_message_in_progress_is_answered_first(void **state)
{
    (void)state;
    open_with(DESK);
    core->slice_units = 1;
    forget_texts();
    begin(CONN, ASK_BOTH);
    assert_true(core->is_held[CONN]);
    replace_policy(TOKENS(TOKEN("desk", ",\"symbols\":[\"B\"]")), NULL);
    assert_string_equal(text_of(core->texts[0], "type"), "SUBSCRIBED");
    assert_string_equal(table(CONN), ".C.");
    core->slice_units = 0;
    leave();
}

static void tokens_may_begin_and_cease_to_be_needed(void **state)
{
    (void)state;
    replace_policy(NULL, NULL);
    open_with("");
    subscribe();
    assert_string_equal(table(CONN), "CC.");
    replace_policy(TOKENS(TOKEN("desk", "")), NULL);
    assert_string_equal(event(0), "TOKEN_EXPIRING");
    assert_string_equal(event(1), "SUBSCRIPTIONS_DROPPED");
    assert_string_equal(table(CONN), "...");
    subscribe();
    assert_string_equal(text_of(core->texts[0], "type"), "ERROR");
    replace_policy(NULL, NULL);
    subscribe();
    assert_string_equal(table(CONN), "CC.");
    session_ops.on_tick(core->sessions, core, CONN, 60 * NS_PER_SECOND);
    assert_int_equal(core->close_code, 0);
    leave();
}

static void an_address_that_is_denied_is_closed(void **state)
{
    (void)state;
    open_with(DESK);
    replace_policy(TOKENS(TOKEN("desk", "")), "203.0.113.0/24");
    assert_int_equal(core->close_code, 4003);
    leave();
}

/* One that reads nothing keeps its Close frame waiting, and several reloads may come meanwhile. */
static void one_that_is_closed_already_is_not_closed_again(void **state)
{
    (void)state;
    open_with(DESK);
    core_close(core, CONN, 4111, "rate;limit=messages");
    replace_policy(TOKENS(TOKEN("other", "")), "203.0.113.0/24");
    replace_policy(TOKENS(TOKEN("desk", "")), "203.0.113.0/24");
    assert_int_equal(core->close_code, 4111);
    assert_int_equal(counter_get(&counters.closed_token), 0);
    assert_null(strstr(core->line, "4003"));
    leave();
}

static void what_is_opening_is_judged_when_it_opens(void **state)
{
    (void)state;
    assert_int_equal(ask_to_open(DESK), CORE_GRANTED);
    replace_policy(TOKENS(TOKEN("other", "")), NULL);
    session_ops.on_open(core->sessions, core, CONN, 0);
    assert_string_equal(text_of(core->texts[0], "type"), "WELCOME");
    assert_string_equal(event(1), "TOKEN_EXPIRING");
    leave();
}

int main(void)
{
#define POLICY_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_policy, tear_down_policy)
    const struct CMUnitTest tests[] = {
        POLICY_TEST(a_token_that_is_gone_closes_its_client),
        POLICY_TEST(a_certificate_whose_entry_is_gone_closes_its_client),
        POLICY_TEST(the_same_token_costs_its_client_nothing),
        POLICY_TEST(a_smaller_scope_ends_what_it_does_not_cover),
        POLICY_TEST(a_message_in_progress_is_answered_first),
        POLICY_TEST(tokens_may_begin_and_cease_to_be_needed),
        POLICY_TEST(an_address_that_is_denied_is_closed),
        POLICY_TEST(one_that_is_closed_already_is_not_closed_again),
        POLICY_TEST(what_is_opening_is_judged_when_it_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
