#include "src/session/session_access.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/handshake.h"
#include "ring/tls_service.h"
#include "src/session/session_answer.h"
#include "src/session/session_client.h"
#include "src/session/session_limits.h"
#include "src/session/session_shrink.h"
#include "src/session/session_visit.h"

#define SESSION_AUTH_NS (5 * NS_PER_SECOND) /* for the AUTH of a client without a token */
#define SESSION_WARN_NS (60 * NS_PER_SECOND)
#define SESSION_RETRY_SECONDS 5
#define SESSION_ORIGIN_BYTES_MAX (TOKEN_NAME_BYTES_MAX + 1)

static const char *session_access_word(enum access_verdict verdict)
{
    switch (verdict) {
    case ACCESS_TOO_FAST:
    case ACCESS_TOO_MANY:
        return "BLOCKED";
    case ACCESS_FORBIDDEN:
        return "DENIED";
    default:
        return "FAILED";
    }
}

static const char *session_access_kind(enum access_verdict verdict)
{
    bool is_token = verdict == ACCESS_BAD_TOKEN || verdict == ACCESS_EXPIRED;
    return is_token ? "authentication failed: " : "";
}

/* ---- Coming in ---- */

static void session_access_count(struct sessions *sessions, enum access_verdict verdict)
{
    struct core_counters *counters = sessions->options.counters;
    if (verdict == ACCESS_FORBIDDEN) {
        counter_add(&counters->refused_forbidden, 1);
    } else if (verdict == ACCESS_TOO_FAST || verdict == ACCESS_TOO_MANY) {
        counter_add(&counters->refused_rate, 1);
    } else {
        counter_add(&counters->refused_token, 1);
    }
}

static void session_access_write_refusal(const struct access_answer *answer,
                                         struct core_refusal *refusal_out)
{
    *refusal_out = (struct core_refusal){.text = answer->text};
    if (answer->verdict == ACCESS_FORBIDDEN) {
        refusal_out->status_line = "403 Forbidden";
    } else if (answer->verdict == ACCESS_TOO_FAST || answer->verdict == ACCESS_TOO_MANY) {
        uint64_t seconds = answer->verdict == ACCESS_TOO_MANY ? SESSION_RETRY_SECONDS
                                                              : answer->wait_ns / NS_PER_SECOND + 1;
        refusal_out->status_line = "429 Too Many Requests";
        snprintf(refusal_out->extra, sizeof refusal_out->extra, "Retry-After: %" PRIu64 "\r\n",
                 seconds);
    } else {
        refusal_out->status_line = "401 Unauthorized";
        snprintf(refusal_out->extra, sizeof refusal_out->extra,
                 "WWW-Authenticate: Bearer realm=\"ringcast\", error=\"invalid_token\"\r\n");
    }
}

enum core_admission session_access_on_accept(void *context, struct core *core, uint32_t conn,
                                             uint64_t now_ns, struct core_refusal *refusal_out)
{
    struct sessions *sessions = context;
    struct access *access = sessions->options.access;
    uint32_t entry;
    if (access == NULL) {
        return CORE_ADMIT;
    }
    struct peer source = session_client_peer(core, conn);
    struct access_answer answer = access_accept(access, &source, now_ns, &entry);
    if (answer.verdict != ACCESS_OK) {
        session_access_count(sessions, answer.verdict);
        session_access_write_refusal(&answer, refusal_out);
        session_client_audit(sessions, core, conn, now_ns, session_access_word(answer.verdict),
                             "%s (HTTP %.3s)", answer.text, refusal_out->status_line);
        return CORE_REFUSE;
    }
    if (entry != RATE_NONE) {
        sessions->clients[conn].entry_plus_1 = entry + 1;
    }
    return access_expects_proxy(access, &source) ? CORE_ADMIT_PROXY : CORE_ADMIT;
}

void session_access_on_turn(struct sessions *sessions)
{
    struct core_counters *counters = sessions->options.counters;
    const struct access_desk *desk = &sessions->desk;
    uint64_t units = access_desk_begin_turn(&sessions->desk);
    if (units > 0) {
        counter_set(&counters->signatures,
                    desk->handshakes.checked_count + desk->auths.checked_count);
    }
    if (units > counter_get(&counters->signature_units_max)) {
        counter_set(&counters->signature_units_max, units);
    }
}

/* Tells a client when its token ends, or must have come. */
static void session_access_warn(struct sessions *sessions, struct core *core, uint32_t conn,
                                uint64_t now_ns)
{
    struct session_client *entry = &sessions->clients[conn];
    struct reply *reply = &sessions->reply;
    assert_debug(entry->ends_ns > now_ns);
    assert_debug(!entry->was_warned);
    reply_begin(reply, "NOTICE", "", session_wall_ns());
    reply_print(reply, "{\"event\":\"TOKEN_EXPIRING\",\"in_ms\":%" PRIu64 "}",
                (entry->ends_ns - now_ns) / NS_PER_MS);
    reply_end(reply);
    entry->was_warned = true;
    session_answer_text(core, conn, reply);
}

void session_access_ask_token(struct sessions *sessions, struct core *core, uint32_t conn,
                              uint64_t now_ns)
{
    struct session_client *entry = &sessions->clients[conn];
    assert_always(entry->grant.scope == NULL);
    entry->awaits_token = true;
    entry->ends_ns = now_ns + SESSION_AUTH_NS;
    entry->was_warned = false;
    session_access_warn(sessions, core, conn, now_ns);
}

/* The token of a request, if it has one and one is needed. */
static struct access_answer session_access_take_token(struct sessions *sessions, uint32_t conn,
                                                      uint64_t now_ns,
                                                      const struct access_request *request)
{
    struct session_client *entry = &sessions->clients[conn];
    if (!access_needs_token(sessions->options.access)) {
        return (struct access_answer){.text = "ok"};
    }
    struct access_answer answer =
        access_authenticate_request(sessions->options.access, &sessions->desk, request,
                                    session_wall_ns(), &entry->kept, &entry->grant);
    if (answer.verdict == ACCESS_NO_TOKEN) {
        entry->awaits_token = true;
        entry->ends_ns = now_ns + SESSION_AUTH_NS;
        answer.verdict = ACCESS_OK;
    } else if (answer.verdict == ACCESS_OK && entry->grant.life_ns != UINT64_MAX) {
        entry->ends_ns = now_ns + entry->grant.life_ns;
    } else if (answer.verdict == ACCESS_BAD_TOKEN) {
        access_punish(sessions->options.access, &entry->client, entry->entry_plus_1 - 1, now_ns);
    }
    return answer;
}

/* ---- Requests ---- */

static void session_access_audit(struct sessions *sessions, struct core *core, uint32_t conn,
                                 uint64_t now_ns, const struct access_request *request,
                                 const struct access_answer *answer, const char *status_line)
{
    char origin[SESSION_ORIGIN_BYTES_MAX] = "";
    struct handshake_slice value;
    bool has_origin = handshake_values(request->head, request->head_bytes, "Origin", &value, 1) > 0;
    if (has_origin) {
        token_clean_name(origin, value.text, value.bytes);
    }
    session_client_audit(sessions, core, conn, now_ns, session_access_word(answer->verdict),
                         "%s%s (HTTP %.3s)%s%s", session_access_kind(answer->verdict), answer->text,
                         status_line, has_origin ? ", origin " : "", origin);
}

/* Who asks, and whether they may by address and origin. */
static struct access_answer session_access_meet(struct sessions *sessions, struct core *core,
                                                uint32_t conn, uint64_t now_ns,
                                                const struct core_request *asked,
                                                const struct access_request *request)
{
    struct access *access = sessions->options.access;
    struct session_client *entry = &sessions->clients[conn];
    struct peer peer = session_client_peer(core, conn);
    struct peer named = asked->proxied == NULL ? peer : session_client_peer_of(asked->proxied);
    uint32_t address;
    struct peer client = access_client(access, &named, request);
    bool is_forwarded = !session_client_is_same(&client, &peer);
    if (is_forwarded || access_needs_token(access) ||
        access_message_rate(access, &client).interval_ns != 0) {
        entry->client = client;
        entry->has_client = true;
    }
    struct access_answer answer =
        access_ask(access, &client, is_forwarded, request, now_ns, &address);
    if (address != RATE_NONE) {
        if (entry->entry_plus_1 != 0) { /* The peer was no proxy when it was accepted. */
            access_leave(access, entry->entry_plus_1 - 1);
        }
        entry->entry_plus_1 = address + 1;
    }
    return answer;
}

static struct access_certificate session_access_certificate(const struct tls_peer *tls)
{
    return (struct access_certificate){
        .not_after_s = tls->not_after_s,
        .names = tls->names,
        .name_count = tls->name_count,
    };
}

enum core_grant session_access_on_request(void *context, struct core *core, uint32_t conn,
                                          uint64_t now_ns, const struct core_request *asked,
                                          struct core_refusal *refusal_out)
{
    struct sessions *sessions = context;
    struct access_answer answer = {.verdict = ACCESS_OK};
    struct access_request request;
    struct access_certificate certificate;
    if (sessions->options.access == NULL) {
        return CORE_GRANTED;
    }
    struct session_client *entry = &sessions->clients[conn];
    if (asked != NULL) {
        request = (struct access_request){.head = asked->head, .head_bytes = asked->head_bytes};
        if (asked->tls != NULL && asked->tls->has_certificate) {
            certificate = session_access_certificate(asked->tls);
            request.certificate = &certificate;
        }
        answer = session_access_meet(sessions, core, conn, now_ns, asked, &request);
    } else {
        assert_always(entry->kept != NULL);
        request = (struct access_request){.head = entry->kept->head,
                                          .head_bytes = entry->kept->head_bytes};
        answer = access_may_ask(sessions->options.access, &entry->client, &request);
    }
    if (answer.verdict == ACCESS_OK) {
        answer = session_access_take_token(sessions, conn, now_ns, &request);
    }
    if (answer.verdict == ACCESS_LATER) {
        return CORE_LATER;
    }
    if (answer.verdict != ACCESS_OK) {
        session_access_count(sessions, answer.verdict);
        session_access_write_refusal(&answer, refusal_out);
        session_access_audit(sessions, core, conn, now_ns, &request, &answer,
                             refusal_out->status_line);
    } else if (entry->grant.scope != NULL) {
        const char *name = access_grant_certificate(&entry->grant);
        session_client_audit(sessions, core, conn, now_ns, "GRANTED", "as %s%s", entry->grant.name,
                             name == NULL ? "" : ", by a certificate");
        session_visit_certificate(sessions, conn, name);
    }
    access_forget_kept(&sessions->desk, &entry->kept);
    return answer.verdict == ACCESS_OK ? CORE_GRANTED : CORE_REFUSED;
}

void session_access_on_leave(void *context, struct core *core, uint32_t conn)
{
    struct sessions *sessions = context;
    (void)core;
    if (sessions->clients == NULL) {
        return;
    }
    struct session_client *entry = &sessions->clients[conn];
    if (entry->entry_plus_1 != 0) {
        access_leave(sessions->options.access, entry->entry_plus_1 - 1);
    }
    access_forget_kept(&sessions->desk, &entry->kept);
    if (entry->entry_plus_1 != 0 || entry->has_client) {
        access_drop_grant(&entry->grant);
        *entry = (struct session_client){0};
    }
}

/* ---- Speaking ---- */

bool session_access_may_speak(struct sessions *sessions, struct core *core, uint32_t conn,
                              uint64_t now_ns)
{
    static const struct request_error error = {
        .code = PROTOCOL_TOO_MANY_REQUESTS,
        .message = "too many messages, or too expensive ones; wait, and put several symbols into "
                   "one message",
    };
    if (sessions->clients == NULL || !sessions->clients[conn].has_client) {
        return true;
    }
    struct session_client *entry = &sessions->clients[conn];
    struct rate rate = session_limits_message_rate(sessions, conn);
    if (rate_take(&rate, &entry->messages_full_ns, now_ns) == 0) {
        entry->refused_count -= entry->refused_count > 0;
        return true;
    }
    counter_add(&sessions->options.counters->messages_refused, 1);
    if (entry->refused_count++ < SESSION_REFUSED_MAX) {
        session_answer_error(sessions, core, conn, NULL, &error);
        return false;
    }
    session_client_audit(sessions, core, conn, now_ns, "BLOCKED", "too many messages (close 4111)");
    counter_add(&sessions->options.counters->closed_rate, 1);
    core_close(core, conn, 4111, "rate;limit=messages");
    return false;
}

bool session_access_may_ask(struct session_call *call)
{
    static const struct request_error error = {
        .code = PROTOCOL_UNAUTHORIZED,
        .message = "send AUTH with a token first",
    };
    const struct session_client *slab = call->sessions->clients;
    if (slab == NULL || !slab[call->conn].awaits_token || call->request->type == REQUEST_PING ||
        call->request->type == REQUEST_AUTH) {
        return true;
    }
    counter_add(&call->sessions->options.counters->messages_refused, 1);
    session_answer_error(call->sessions, call->core, call->conn, call->request, &error);
    return false;
}

/* ---- AUTH ---- */

struct session_access_end {
    enum protocol_code error;
    uint16_t close_code;
    const char *reason;
};

static const struct session_access_end session_access_ends[] = {
    [ACCESS_BAD_TOKEN] = {PROTOCOL_UNAUTHORIZED, 4001, "auth;cause=token"},
    [ACCESS_EXPIRED] = {PROTOCOL_TOKEN_EXPIRED, 4101, "auth;cause=expired"},
    [ACCESS_FORBIDDEN] = {PROTOCOL_FORBIDDEN, 4003, "auth;cause=scope"},
    [ACCESS_TOO_MANY] = {PROTOCOL_LIMIT_EXCEEDED, 4113, "auth;cause=connections"},
};

static void session_access_end_conn(struct sessions *sessions, struct core *core, uint32_t conn,
                                    enum access_verdict verdict)
{
    assert_always(session_access_ends[verdict].close_code != 0);
    counter_add(&sessions->options.counters->closed_token, 1);
    core_close(core, conn, session_access_ends[verdict].close_code,
               session_access_ends[verdict].reason);
}

/* A wrong token ends a client that has no other. A client that has one keeps it until that token
 * ends, but may not go on guessing. */
static void session_access_refuse_token(struct session_call *call,
                                        const struct access_answer *answer)
{
    struct sessions *sessions = call->sessions;
    struct session_client *entry = &sessions->clients[call->conn];
    const struct session_access_end *end = &session_access_ends[answer->verdict];
    assert_always(end->close_code != 0);
    struct request_error error = {.code = end->error, .field = "data.token"};
    snprintf(error.message, sizeof error.message, "%s", answer->text);
    session_client_audit(sessions, call->core, call->conn, call->now_ns,
                         session_access_word(answer->verdict), "%s%s (ERROR %d)",
                         session_access_kind(answer->verdict), answer->text, (int)end->error);
    session_answer_error(sessions, call->core, call->conn, call->request, &error);
    if (answer->verdict == ACCESS_BAD_TOKEN) {
        access_punish(sessions->options.access, &entry->client, entry->entry_plus_1 - 1,
                      call->now_ns);
    }
    entry->refused_count += SESSION_GUESS_COST;
    if (entry->awaits_token) {
        session_access_end_conn(sessions, call->core, call->conn, answer->verdict);
    } else if (entry->refused_count > SESSION_REFUSED_MAX) {
        counter_add(&sessions->options.counters->closed_rate, 1);
        core_close(call->core, call->conn, 4111, "rate;limit=tokens");
    }
}

static void session_access_answer(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    const struct access_grant *grant = &call->sessions->clients[call->conn].grant;
    reply_begin(reply, "AUTHENTICATED", call->request->id, session_wall_ns());
    reply_text(reply, "{\"name\":");
    reply_string(reply, grant->name, strlen(grant->name));
    if (grant->expires_s != 0 && grant->expires_s < UINT64_MAX / NS_PER_SECOND) {
        reply_text(reply, ",\"expires\":");
        reply_u64(reply, grant->expires_s * NS_PER_SECOND);
    }
    reply_text(reply, ",\"max_subscriptions\":");
    reply_u64(reply, session_limits_subscriptions(call->sessions, call->conn));
    session_answer_warn(call->sessions, call->core, call->request);
    reply_text(reply, "}");
    reply_end(reply);
    session_answer_send(call);
}

/* What session_shrink has listed. */
static void session_access_report_dropped(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    if (sessions->failed.bytes > strlen("[]")) {
        struct reply *reply = &sessions->reply;
        reply_begin(reply, "NOTICE", "", session_wall_ns());
        reply_text(reply, "{\"event\":\"SUBSCRIPTIONS_DROPPED\",\"dropped\":");
        reply_put(reply, sessions->failed.text, sessions->failed.bytes);
        reply_text(reply, "}");
        reply_end(reply);
        session_answer_send(call);
    }
    reply_trim(&sessions->failed);
}

/* While it waits for its next slice the core sends this client no frame. */
bool session_access_shrink(struct session_call *call)
{
    if (!session_shrink(call)) {
        return false;
    }
    session_access_report_dropped(call);
    return true;
}

void session_access_shrink_replay(struct session_call *call)
{
    session_shrink_at_once(call);
    session_access_report_dropped(call);
}

/* While it waits, how many keys were tried is call->at.name. */
static struct access_answer session_access_check_new(struct session_call *call,
                                                     struct access_grant *grant_out)
{
    struct sessions *sessions = call->sessions;
    int64_t units_left = sessions->desk.auths.units_left;
    struct access_token token = {.text = call->request->token,
                                 .bytes = call->request->token_bytes,
                                 .key_next = call->at.name};
    struct access_answer answer = access_authenticate(sessions->options.access, &sessions->desk,
                                                      &token, session_wall_ns(), grant_out);
    session_call_spend(call, (uint32_t)(units_left - sessions->desk.auths.units_left));
    call->at.name = answer.verdict == ACCESS_LATER ? token.key_next : 0;
    return answer;
}

/* ACCESS_OK, ACCESS_LATER, or refused. */
static enum access_verdict session_access_take_new_token(struct session_call *call)
{
    static const struct request_error unused = {
        .code = PROTOCOL_NOT_AVAILABLE,
        .field = "type",
        .message = "this server requires no token",
    };
    struct sessions *sessions = call->sessions;
    struct access *access = sessions->options.access;
    if (access == NULL || !access_needs_token(access)) {
        session_answer_error(sessions, call->core, call->conn, call->request, &unused);
        return ACCESS_FORBIDDEN;
    }
    if (sessions->desk.auths.units_left <= 0) {
        session_call_spend(call, 1);
        return ACCESS_LATER;
    }
    struct session_client *entry = &sessions->clients[call->conn];
    struct access_grant grant;
    /* The same token again must not count twice. */
    if (entry->grant.token != NULL) {
        token_release(entry->grant.token);
    }
    struct access_answer answer = session_access_check_new(call, &grant);
    if (entry->grant.token != NULL) {
        token_hold(entry->grant.token);
    }
    if (answer.verdict == ACCESS_LATER) {
        return ACCESS_LATER;
    }
    if (answer.verdict != ACCESS_OK) {
        session_access_refuse_token(call, &answer);
        return answer.verdict;
    }
    access_drop_grant(&entry->grant);
    entry->grant = grant;
    entry->awaits_token = false;
    entry->was_warned = false;
    entry->ends_ns = grant.life_ns == UINT64_MAX ? 0 : call->now_ns + grant.life_ns;
    session_client_audit(sessions, call->core, call->conn, call->now_ns, "GRANTED", "as %s",
                         grant.name);
    session_access_answer(call);
    return ACCESS_OK;
}

bool session_access_authenticate(struct session_call *call)
{
    if (call->at.step == 0) {
        enum access_verdict verdict = session_access_take_new_token(call);
        if (verdict != ACCESS_OK) {
            return verdict != ACCESS_LATER;
        }
    }
    return session_access_shrink(call);
}

bool session_access_is_unchecked(const struct session_call *call)
{
    return call->request->type == REQUEST_AUTH && call->at.step == 0;
}

/* ---- The end of a token ---- */

/* By the monotonic clock: a wall clock that jumps ends nobody. */
void session_access_on_tick(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    if (sessions->clients == NULL || sessions->clients[conn].ends_ns == 0) {
        return;
    }
    struct session_client *entry = &sessions->clients[conn];
    if (now_ns >= entry->ends_ns) {
        bool is_late = entry->awaits_token;
        bool is_token = access_grant_certificate(&entry->grant) == NULL;
        session_client_audit(sessions, core, conn, now_ns, "FAILED", "authentication failed: %s",
                             is_late    ? "no token within 5 s (close 4001)"
                             : is_token ? "token expired (close 4101)"
                                        : "certificate expired (close 4101)");
        session_access_end_conn(sessions, core, conn, is_late ? ACCESS_BAD_TOKEN : ACCESS_EXPIRED);
    } else if (!entry->awaits_token && !entry->was_warned &&
               now_ns + SESSION_WARN_NS >= entry->ends_ns) {
        session_access_warn(sessions, core, conn, now_ns);
    }
}
