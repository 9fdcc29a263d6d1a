/* What a client may: to come in, to speak, to see; tokens and their end; the audit log. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/handshake.h"
#include "src/base/log.h"
#include "src/session/session_state.h"

#define SESSION_AUTH_NS (5 * NS_PER_SECOND) /* for the AUTH of who came without a token */
#define SESSION_WARN_NS (60 * NS_PER_SECOND)
#define SESSION_REFUSED_MAX 50 /* messages over the rate, before 4111 */
#define SESSION_GUESS_COST 10  /* messages that a wrong token counts for */
#define SESSION_RETRY_SECONDS 5
#define SESSION_AUDIT_BYTES_MAX 400
#define SESSION_ORIGIN_BYTES_MAX (TOKEN_NAME_BYTES_MAX + 1)

/* Lines of the audit log, of one core: a flood must not bury what else there is to read. */
static const struct rate session_audit_rate = {.interval_ns = 100 * NS_PER_MS, .burst = 50};

/* ---- The audit log ---- */

static struct peer session_peer_of(const struct core_source *source)
{
    return (struct peer){.is_unix = source->is_unix, .address = source->address};
}

static struct peer session_peer(struct core *core, uint32_t conn)
{
    struct core_source source;
    core_conn_source(core, conn, &source);
    return session_peer_of(&source);
}

static bool session_is_same(const struct peer *left, const struct peer *right)
{
    return left->is_unix == right->is_unix &&
           (left->is_unix || ip_address_equal(&left->address, &right->address));
}

void session_write_client(const struct sessions *sessions, struct core *core, uint32_t conn,
                          char *out, size_t out_bytes)
{
    const struct session_access *entry =
        sessions->access_slab == NULL ? NULL : &sessions->access_slab[conn];
    char peer[CORE_PEER_TEXT_BYTES_MAX];
    char client[IP_ADDRESS_TEXT_BYTES_MAX];
    core_conn_peer(core, conn, peer);
    if (entry != NULL && entry->has_client) {
        struct peer source = session_peer(core, conn);
        if (!session_is_same(&source, &entry->client)) {
            ip_address_format(&entry->client.address, client);
            snprintf(out, out_bytes, "%s by way of %s", client, peer);
            return;
        }
    }
    snprintf(out, out_bytes, "%s", peer);
}

/* word: FAILED, DENIED, BLOCKED, GRANTED. What others chose must have been cleaned. */
__attribute__((format(printf, 6, 7))) static void session_audit(struct sessions *sessions,
                                                                struct core *core, uint32_t conn,
                                                                uint64_t now_ns, const char *word,
                                                                const char *format, ...)
{
    char client[2 * CORE_PEER_TEXT_BYTES_MAX];
    char what[200];
    char line[SESSION_AUDIT_BYTES_MAX];
    char skipped[64] = "";
    if (rate_take(&session_audit_rate, &sessions->audit_full_ns, now_ns) > 0) {
        sessions->audit_skipped++;
        return;
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    session_write_client(sessions, core, conn, client, sizeof client);
    if (sessions->audit_skipped > 0) {
        snprintf(skipped, sizeof skipped, " (%" PRIu32 " lines before it were left out)",
                 sessions->audit_skipped);
        sessions->audit_skipped = 0;
    }
    snprintf(line, sizeof line, "audit: %s %s: %s%s", word, client, what, skipped);
    log_post(1 + core_index(core),
             strcmp(word, "GRANTED") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING, line);
}

static const char *session_audit_word(enum access_verdict verdict)
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

static const char *session_audit_kind(enum access_verdict verdict)
{
    bool is_token = verdict == ACCESS_BAD_TOKEN || verdict == ACCESS_EXPIRED;
    return is_token ? "authentication failed: " : "";
}

void session_audit_scope(struct session_call *call, uint32_t count)
{
    if (count > 0 && call->session->number != 0) {
        session_audit(call->sessions, call->core, call->conn, call->now_ns, "DENIED",
                      "%" PRIu32 " subscriptions outside the scope of %s", count,
                      call->sessions->access_slab[call->conn].grant.name);
    }
}

/* ---- Coming in ---- */

static void session_count_refusal(struct sessions *sessions, enum access_verdict verdict)
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

static void session_write_refusal(const struct access_answer *answer,
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

enum core_admission session_on_accept(void *context, struct core *core, uint32_t conn,
                                      uint64_t now_ns, struct core_refusal *refusal_out)
{
    struct sessions *sessions = context;
    struct access *access = sessions->options.access;
    uint32_t entry;
    if (access == NULL) {
        return CORE_ADMIT;
    }
    struct peer source = session_peer(core, conn);
    struct access_answer answer = access_accept(access, &source, now_ns, &entry);
    if (answer.verdict != ACCESS_OK) {
        session_count_refusal(sessions, answer.verdict);
        session_write_refusal(&answer, refusal_out);
        session_audit(sessions, core, conn, now_ns, session_audit_word(answer.verdict),
                      "%s (HTTP %.3s)", answer.text, refusal_out->status_line);
        return CORE_REFUSE;
    }
    if (entry != RATE_NONE) {
        sessions->access_slab[conn].entry_plus_1 = entry + 1;
    }
    return access_expects_proxy(access, &source) ? CORE_ADMIT_PROXY : CORE_ADMIT;
}

/* The token of a request, if it has one and one is needed. */
static struct access_answer session_take_token(struct sessions *sessions, uint32_t conn,
                                               uint64_t now_ns,
                                               const struct access_request *request)
{
    struct session_access *entry = &sessions->access_slab[conn];
    if (!access_needs_token(sessions->options.access)) {
        return (struct access_answer){.text = "ok"};
    }
    struct access_answer answer = access_authenticate_request(sessions->options.access, request,
                                                              session_wall_ns(), &entry->grant);
    if (answer.verdict == ACCESS_NO_TOKEN) {
        entry->awaits_token = true;
        entry->ends_ns = now_ns + SESSION_AUTH_NS;
        answer.verdict = ACCESS_OK;
    } else if (answer.verdict == ACCESS_OK && entry->grant.life_ns != UINT64_MAX) {
        entry->ends_ns = now_ns + entry->grant.life_ns;
    }
    return answer;
}

static void session_audit_request(struct sessions *sessions, struct core *core, uint32_t conn,
                                  uint64_t now_ns, const struct access_request *request,
                                  const struct access_answer *answer, const char *status_line)
{
    char origin[SESSION_ORIGIN_BYTES_MAX] = "";
    size_t bytes;
    const char *value = handshake_header(request->head, request->head_bytes, "Origin", 0, &bytes);
    if (value != NULL) {
        token_clean_name(origin, value, bytes);
    }
    session_audit(sessions, core, conn, now_ns, session_audit_word(answer->verdict),
                  "%s%s (HTTP %.3s)%s%s", session_audit_kind(answer->verdict), answer->text,
                  status_line, value != NULL ? ", origin " : "", origin);
}

bool session_on_request(void *context, struct core *core, uint32_t conn, uint64_t now_ns,
                        const struct core_request *asked, struct core_refusal *refusal_out)
{
    struct sessions *sessions = context;
    struct access *access = sessions->options.access;
    if (access == NULL) {
        return true;
    }
    struct session_access *entry = &sessions->access_slab[conn];
    struct peer peer = session_peer(core, conn);
    struct peer named = asked->proxied == NULL ? peer : session_peer_of(asked->proxied);
    struct access_request request = {.head = asked->head, .head_bytes = asked->head_bytes};
    uint32_t address;
    struct peer client = access_client(access, &named, &request);
    bool is_forwarded = !session_is_same(&client, &peer);
    if (is_forwarded || access_needs_token(access) ||
        access_message_rate(access, &client).interval_ns != 0) {
        entry->client = client;
        entry->has_client = true;
    }
    struct access_answer answer =
        access_ask(access, &client, is_forwarded, &request, now_ns, &address);
    if (address != RATE_NONE) {
        entry->entry_plus_1 = address + 1;
    }
    if (answer.verdict == ACCESS_OK) {
        answer = session_take_token(sessions, conn, now_ns, &request);
    }
    if (answer.verdict != ACCESS_OK) {
        session_count_refusal(sessions, answer.verdict);
        session_write_refusal(&answer, refusal_out);
        session_audit_request(sessions, core, conn, now_ns, &request, &answer,
                              refusal_out->status_line);
        return false;
    }
    if (entry->grant.scope != NULL) {
        session_audit(sessions, core, conn, now_ns, "GRANTED", "as %s", entry->grant.name);
    }
    return true;
}

void session_on_leave(void *context, struct core *core, uint32_t conn)
{
    struct sessions *sessions = context;
    (void)core;
    if (sessions->access_slab == NULL) {
        return;
    }
    struct session_access *entry = &sessions->access_slab[conn];
    if (entry->entry_plus_1 != 0) {
        access_leave(sessions->options.access, entry->entry_plus_1 - 1);
    }
    if (entry->entry_plus_1 != 0 || entry->has_client) {
        access_drop_grant(&entry->grant);
        *entry = (struct session_access){0};
    }
}

/* ---- Speaking ---- */

const struct scope *session_scope(const struct sessions *sessions, uint32_t conn)
{
    const struct scope *scope =
        sessions->access_slab == NULL ? NULL : sessions->access_slab[conn].grant.scope;
    return scope != NULL ? scope : &scope_of_all;
}

static struct rate session_message_rate(const struct sessions *sessions, uint32_t conn)
{
    uint32_t of_scope = session_scope(sessions, conn)->messages_per_second;
    return of_scope != 0
               ? rate_per_second(of_scope)
               : access_message_rate(sessions->options.access, &sessions->access_slab[conn].client);
}

bool session_may_speak(struct sessions *sessions, struct core *core, uint32_t conn, uint64_t now_ns)
{
    static const struct request_error error = {
        .code = PROTOCOL_TOO_MANY_REQUESTS,
        .message =
            "too many messages, or too expensive ones; wait, and put several symbols into one",
    };
    if (sessions->access_slab == NULL || !sessions->access_slab[conn].has_client) {
        return true;
    }
    struct session_access *entry = &sessions->access_slab[conn];
    struct rate rate = session_message_rate(sessions, conn);
    if (rate_take(&rate, &entry->messages_full_ns, now_ns) == 0) {
        entry->refused_count -= entry->refused_count > 0;
        return true;
    }
    counter_add(&sessions->options.counters->messages_refused, 1);
    if (entry->refused_count++ < SESSION_REFUSED_MAX) {
        session_send_error(sessions, core, conn, "", &error);
        return false;
    }
    session_audit(sessions, core, conn, now_ns, "BLOCKED", "too many messages (close 4111)");
    counter_add(&sessions->options.counters->closed_rate, 1);
    core_close(core, conn, 4111, "rate;limit=messages");
    return false;
}

void session_charge(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    uint64_t extra = call->units / SESSION_MESSAGE_UNITS;
    if (extra == 0 || sessions->access_slab == NULL || call->session->number == 0) {
        return;
    }
    struct session_access *entry = &sessions->access_slab[call->conn];
    if (entry->has_client) {
        entry->messages_full_ns += extra * session_message_rate(sessions, call->conn).interval_ns;
    }
}

bool session_may_ask(struct session_call *call)
{
    static const struct request_error error = {
        .code = PROTOCOL_UNAUTHORIZED,
        .message = "send AUTH with a token first",
    };
    const struct session_access *slab = call->sessions->access_slab;
    if (slab == NULL || !slab[call->conn].awaits_token || call->request->type == REQUEST_PING ||
        call->request->type == REQUEST_AUTH) {
        return true;
    }
    counter_add(&call->sessions->options.counters->messages_refused, 1);
    session_send_error(call->sessions, call->core, call->conn, call->request->id, &error);
    return false;
}

/* ---- AUTH ---- */

struct session_end {
    enum protocol_code error;
    uint16_t close_code;
    const char *reason;
};

static const struct session_end session_ends[] = {
    [ACCESS_BAD_TOKEN] = {PROTOCOL_UNAUTHORIZED, 4001, "auth;cause=token"},
    [ACCESS_EXPIRED] = {PROTOCOL_TOKEN_EXPIRED, 4101, "auth;cause=expired"},
    [ACCESS_FORBIDDEN] = {PROTOCOL_FORBIDDEN, 4003, "auth;cause=scope"},
    [ACCESS_TOO_MANY] = {PROTOCOL_LIMIT_EXCEEDED, 4113, "auth;cause=connections"},
};

static void session_end_by_token(struct sessions *sessions, struct core *core, uint32_t conn,
                                 enum access_verdict verdict)
{
    counter_add(&sessions->options.counters->closed_token, 1);
    core_close(core, conn, session_ends[verdict].close_code, session_ends[verdict].reason);
}

/* A wrong token is the end of who has no other. Who has one keeps it till its own end, but may
 * not go on guessing. */
static void session_refuse_token(struct session_call *call, const struct access_answer *answer)
{
    struct sessions *sessions = call->sessions;
    struct session_access *entry = &sessions->access_slab[call->conn];
    const struct session_end *end = &session_ends[answer->verdict];
    struct request_error error = {.code = end->error, .field = "data.token"};
    snprintf(error.message, sizeof error.message, "%s", answer->text);
    session_audit(sessions, call->core, call->conn, call->now_ns,
                  session_audit_word(answer->verdict), "%s%s (ERROR %d)",
                  session_audit_kind(answer->verdict), answer->text, (int)end->error);
    session_send_error(sessions, call->core, call->conn, call->request->id, &error);
    if (call->session->number == 0) {
        return;
    }
    entry->refused_count += SESSION_GUESS_COST;
    if (entry->awaits_token) {
        session_end_by_token(sessions, call->core, call->conn, answer->verdict);
    } else if (entry->refused_count > SESSION_REFUSED_MAX) {
        counter_add(&sessions->options.counters->closed_rate, 1);
        core_close(call->core, call->conn, 4111, "rate;limit=tokens");
    }
}

static void session_tell_authenticated(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    const struct access_grant *grant = &call->sessions->access_slab[call->conn].grant;
    reply_begin(reply, "AUTHENTICATED", call->request->id, session_wall_ns());
    reply_text(reply, "{\"name\":");
    reply_string(reply, grant->name, strlen(grant->name));
    if (grant->expires_s != 0 && grant->expires_s < UINT64_MAX / NS_PER_SECOND) {
        reply_text(reply, ",\"expires\":");
        reply_u64(reply, grant->expires_s * NS_PER_SECOND);
    }
    reply_text(reply, ",\"max_subscriptions\":");
    reply_u64(reply, session_limit(call->sessions, call->conn));
    reply_text(reply, "}");
    reply_end(reply);
    session_send_reply(call);
}

/* What the new scope does not cover ends, and is reported. While the message waits for its next
 * slice the core sends this client no frame. */
static bool session_tell_shrunk(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    if (!session_shrink(call)) {
        return false;
    }
    if (sessions->failed.bytes > strlen("[]") && call->session->number != 0) {
        struct reply *reply = &sessions->reply;
        reply_begin(reply, "NOTICE", "", session_wall_ns());
        reply_text(reply, "{\"event\":\"SUBSCRIPTIONS_DROPPED\",\"dropped\":");
        reply_put(reply, sessions->failed.text, sessions->failed.bytes);
        reply_text(reply, "}");
        reply_end(reply);
        session_send_reply(call);
    }
    reply_trim(&sessions->failed);
    return true;
}

/* false: the token is refused. */
static bool session_take_new_token(struct session_call *call)
{
    static const struct request_error unused = {
        .code = PROTOCOL_NOT_AVAILABLE,
        .field = "type",
        .message = "this server asks for no token",
    };
    struct sessions *sessions = call->sessions;
    struct access *access = sessions->options.access;
    if (access == NULL || !access_needs_token(access)) {
        session_send_error(sessions, call->core, call->conn, call->request->id, &unused);
        return false;
    }
    struct session_access *entry = &sessions->access_slab[call->conn];
    struct access_grant grant;
    /* The same token again must not count twice. */
    if (entry->grant.token != NULL) {
        token_release(entry->grant.token);
    }
    struct access_answer answer = access_authenticate(
        access, call->request->token, call->request->token_bytes, session_wall_ns(), &grant);
    if (entry->grant.token != NULL) {
        token_hold(entry->grant.token);
    }
    if (answer.verdict != ACCESS_OK) {
        session_refuse_token(call, &answer);
        return false;
    }
    access_drop_grant(&entry->grant);
    entry->grant = grant;
    entry->awaits_token = false;
    entry->was_warned = false;
    entry->ends_ns = grant.life_ns == UINT64_MAX ? 0 : call->now_ns + grant.life_ns;
    session_audit(sessions, call->core, call->conn, call->now_ns, "GRANTED", "as %s", grant.name);
    session_tell_authenticated(call);
    return true;
}

bool session_authenticate(struct session_call *call)
{
    bool is_new = call->at.step == 0;
    if ((is_new && !session_take_new_token(call)) || call->session->number == 0) {
        return true;
    }
    return session_tell_shrunk(call);
}

/* ---- The end of a token ---- */

static void session_warn_of_end(struct sessions *sessions, struct core *core, uint32_t conn,
                                uint64_t now_ns)
{
    struct session_access *entry = &sessions->access_slab[conn];
    struct reply *reply = &sessions->reply;
    reply_begin(reply, "NOTICE", "", session_wall_ns());
    reply_print(reply, "{\"event\":\"TOKEN_EXPIRING\",\"in_ms\":%" PRIu64 "}",
                (entry->ends_ns - now_ns) / NS_PER_MS);
    reply_end(reply);
    entry->was_warned = true;
    if (!reply->failed) {
        core_send_text(core, conn, reply->text, reply->bytes);
    }
}

/* By the monotonic clock: a wall clock that jumps ends nobody. */
void session_on_tick(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    if (sessions->access_slab == NULL || sessions->access_slab[conn].ends_ns == 0) {
        return;
    }
    struct session_access *entry = &sessions->access_slab[conn];
    if (now_ns >= entry->ends_ns) {
        bool is_late = entry->awaits_token;
        session_audit(sessions, core, conn, now_ns, "FAILED", "authentication failed: %s",
                      is_late ? "no token within 5 s (close 4001)" : "token expired (close 4101)");
        session_end_by_token(sessions, core, conn, is_late ? ACCESS_BAD_TOKEN : ACCESS_EXPIRED);
    } else if (!entry->awaits_token && !entry->was_warned &&
               now_ns + SESSION_WARN_NS >= entry->ends_ns) {
        session_warn_of_end(sessions, core, conn, now_ns);
    }
}
