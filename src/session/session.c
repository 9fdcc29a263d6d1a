#include "src/session/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/clock.h"
#include "src/base/log.h"
#include "src/config/options.h"
#include "src/market/recoder.h"
#include "src/session/session_state.h"

#define SESSION_LINE_BYTES_MAX 256
#define SESSION_NUMBER_TEXT_BYTES_MAX 32
#define SESSION_GAP_BYTES_MAX 256 /* as core_ops.write_gap says */

uint64_t session_wall_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* What WELCOME says to everybody. */
static void session_write_welcome_rest(struct sessions *sessions)
{
    const struct session_options *options = &sessions->options;
    int bytes = snprintf(sessions->welcome_rest, sizeof sessions->welcome_rest,
                         ",\"epoch\":\"%s\",\"version\":\"" RINGCAST_VERSION
                         "\",\"encodings\":[\"md.json.v1\",\"md.sbe.v1\"]"
                         ",\"heartbeat_interval_ms\":%" PRIu64 ",\"idle_timeout_ms\":%" PRIu64
                         ",\"limits\":{\"max_message_bytes\":%d,\"max_patterns\":%d"
                         ",\"max_symbols_per_message\":%d,\"max_derived\":%d"
                         ",\"max_subscriptions\":",
                         options->epoch, options->heartbeat_interval_ns / NS_PER_MS,
                         options->idle_timeout_ns / NS_PER_MS, CORE_MESSAGE_BYTES_MAX,
                         SESSION_PATTERNS_MAX, REQUEST_SYMBOLS_MAX, CHANNELS_CLIENT_VARIANTS_MAX);
    assert_always(bytes > 0 && (size_t)bytes < sizeof sessions->welcome_rest);
}

int sessions_create(struct sessions **sessions_out, const struct session_options *options)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        return -ENOMEM;
    }
    sessions->options = *options;
    sessions->slab_count = options->conn_count_max + CORE_SPARE_CONNS;
    sessions->slab = calloc(sessions->slab_count, sizeof *sessions->slab);
    sessions->pattern_conns = calloc(sessions->slab_count, sizeof *sessions->pattern_conns);
    sessions->jobs = calloc(sessions->slab_count, sizeof *sessions->jobs);
    if (sessions->slab == NULL || sessions->pattern_conns == NULL || sessions->jobs == NULL ||
        recoder_create(&sessions->recoder, options->channels) < 0 ||
        (options->compression && ws_inflate_create(&sessions->inflate, false) < 0)) {
        sessions_destroy(sessions);
        return -ENOMEM;
    }
    if (options->access != NULL) {
        sessions->access_slab = calloc(sessions->slab_count, sizeof *sessions->access_slab);
        if (sessions->access_slab == NULL) {
            sessions_destroy(sessions);
            return -ENOMEM;
        }
    }
    session_write_welcome_rest(sessions);
    *sessions_out = sessions;
    return 0;
}

void sessions_destroy(struct sessions *sessions)
{
    for (uint32_t i = 0; sessions->slab != NULL && i < sessions->slab_count; i++) {
        free(sessions->slab[i].patterns);
    }
    for (uint32_t i = 0; sessions->jobs != NULL && i < sessions->slab_count; i++) {
        session_drop_job(sessions, i);
    }
    for (uint32_t i = 0; sessions->access_slab != NULL && i < sessions->slab_count; i++) {
        access_drop_grant(&sessions->access_slab[i].grant);
    }
    free(sessions->slab);
    free(sessions->access_slab);
    free(sessions->pattern_conns);
    free(sessions->jobs);
    ws_inflate_destroy(sessions->inflate);
    recoder_destroy(sessions->recoder);
    reply_deinit(&sessions->reply);
    reply_deinit(&sessions->failed);
    reply_deinit(&sessions->definitions);
    reply_deinit(&sessions->gaps);
    free(sessions);
}

/* ---- Words to the client ---- */

void session_send_error(struct sessions *sessions, struct core *core, uint32_t conn, const char *id,
                        const struct request_error *error)
{
    struct reply *reply = &sessions->reply;
    bool retry = error->retry || error->code == PROTOCOL_INTERNAL ||
                 error->code == PROTOCOL_TOO_MANY_REQUESTS;
    reply_begin(reply, "ERROR", id, session_wall_ns());
    reply_print(reply, "{\"code\":%d,\"message\":", (int)error->code);
    reply_string(reply, error->message, strlen(error->message));
    if (error->field[0] != '\0') {
        reply_print(reply, ",\"field\":");
        reply_string(reply, error->field, strlen(error->field));
    }
    reply_print(reply, ",\"retry\":%s}", retry ? "true" : "false");
    reply_end(reply);
    if (!reply->failed) {
        core_send_text(core, conn, reply->text, reply->bytes);
    }
}

void session_send_reply(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    bool is_written = !reply->failed && !call->sessions->failed.failed;
    if (is_written && core_has_room(call->core, call->conn, reply->bytes)) {
        core_send_text(call->core, call->conn, reply->text, reply->bytes);
    } else if (is_written) {
        static const struct request_error error = {
            .code = PROTOCOL_LIMIT_EXCEEDED,
            .retry = true,
            .message = "too much waits to be sent for so long an answer; LIST tells what is "
                       "subscribed",
        };
        session_send_error(call->sessions, call->core, call->conn, call->request->id, &error);
    } else {
        static const struct request_error error = {
            .code = PROTOCOL_INTERNAL,
            .message = "no memory for the answer; LIST tells what is subscribed",
        };
        session_send_error(call->sessions, call->core, call->conn, call->request->id, &error);
    }
    reply_trim(reply);
    reply_trim(&call->sessions->failed);
}

void session_begin_entry(struct reply *reply, const struct session_name *name)
{
    if (reply->bytes > 0 && reply->text[reply->bytes - 1] != '[') {
        reply_put(reply, ",", 1);
    }
    reply_text(reply, "{\"symbol\":");
    reply_string(reply, name->text, name->bytes);
    reply_text(reply, ",\"type\":\"");
    reply_text(reply, md_type_name(name->type));
    reply_text(reply, "\"");
    if (name->variant.depth != 0) {
        reply_print(reply, ",\"depth\":%u", name->variant.depth);
    }
    if (name->variant.bar != 0) {
        reply_print(reply, ",\"bar\":\"%s\"", variant_bar_name(name->variant.bar));
    }
    if (name->variant.interval_ms != 0) {
        reply_print(reply, ",\"interval_ms\":%u", name->variant.interval_ms);
    }
}

void session_begin_channel(struct reply *reply, const struct session_name *name, uint32_t channel)
{
    session_begin_entry(reply, name);
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, channel);
}

void session_begin_verdicts(struct session_call *call, const char *type)
{
    struct reply *reply = &call->sessions->reply;
    reply_begin(reply, type, call->request->id, session_wall_ns());
    reply_text(reply, "{\"epoch\":\"");
    reply_text(reply, call->sessions->options.epoch);
    reply_text(reply, "\",\"ok\":[");
    reply_put(&call->sessions->failed, "[", 1);
}

void session_end_verdicts(struct session_call *call)
{
    session_audit_scope(call, call->forbidden_count);
    struct reply *reply = &call->sessions->reply;
    const struct reply *failed = &call->sessions->failed;
    reply_text(reply, "],\"failed\":");
    reply_put(reply, failed->text, failed->bytes);
    reply_text(reply, "]}");
    reply_end(reply);
    session_send_reply(call);
}

uint32_t session_limit(const struct sessions *sessions, uint32_t conn)
{
    uint32_t of_scope = session_scope(sessions, conn)->subscriptions_max;
    return of_scope != 0 ? of_scope : sessions->options.subscription_count_max;
}

/* ---- Opening and closing ---- */

/* What is compressed once serves every client only if no message depends on those before it, and
 * all clients have the whole window. */
static struct ws_deflate_terms session_on_offers(void *context, struct core *core, uint32_t conn,
                                                 const struct ws_deflate_offers *offers)
{
    static const struct ws_deflate_policy policy = {
        .no_takeover = true,
        .server_window_bits_min = WS_DEFLATE_WINDOW_BITS_MAX,
    };
    const struct sessions *sessions = context;
    (void)core, (void)conn;
    return sessions->inflate != NULL ? ws_deflate_negotiate(offers, &policy)
                                     : (struct ws_deflate_terms){.is_on = false};
}

static struct ws_inflate *session_inflate_of(void *context, struct core *core, uint32_t conn)
{
    (void)core, (void)conn;
    return ((struct sessions *)context)->inflate;
}

/* Unique in a run: the core, and a number that grows. */
static void session_write_id(const struct session *session, const struct core *core,
                             char text[SESSION_NUMBER_TEXT_BYTES_MAX])
{
    snprintf(text, SESSION_NUMBER_TEXT_BYTES_MAX, "%" PRIu32 "-%" PRIu64, core_index(core),
             session->number);
}

static void session_send_welcome(struct sessions *sessions, struct core *core, uint32_t conn,
                                 const char *id)
{
    struct reply *reply = &sessions->reply;
    uint64_t wall_ns = session_wall_ns();
    reply_begin(reply, "WELCOME", "", wall_ns);
    reply_text(reply, "{\"session\":\"");
    reply_text(reply, id);
    reply_text(reply, "\",\"server_time\":");
    reply_u64(reply, wall_ns);
    if (sessions->access_slab != NULL && sessions->access_slab[conn].awaits_token) {
        reply_text(reply, ",\"auth_required\":true");
    }
    reply_text(reply, sessions->welcome_rest);
    reply_u64(reply, session_limit(sessions, conn));
    reply_text(reply, "}}");
    reply_end(reply);
    if (!reply->failed) {
        core_send_text(core, conn, reply->text, reply->bytes);
    }
}

static void session_on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    struct session *session = session_of(sessions, conn);
    char id[SESSION_NUMBER_TEXT_BYTES_MAX];
    char peer[2 * CORE_PEER_TEXT_BYTES_MAX];
    char line[SESSION_LINE_BYTES_MAX];
    (void)now_ns;
    assert_always(session->number == 0);

    *session = (struct session){.number = ++sessions->newest_number};
    session_write_id(session, core, id);
    if (log_wants(LOG_LEVEL_INFO)) {
        session_write_client(sessions, core, conn, peer, sizeof peer);
        snprintf(line, sizeof line, "Client %s connected from %s", id, peer);
        log_post(1 + core_index(core), LOG_LEVEL_INFO, line);
    }
    session_send_welcome(sessions, core, conn, id);
}

static void session_on_close(void *context, struct core *core, uint32_t conn,
                             const struct core_conn_end *end)
{
    struct sessions *sessions = context;
    struct session *session = session_of(sessions, conn);
    char id[SESSION_NUMBER_TEXT_BYTES_MAX];
    char line[SESSION_LINE_BYTES_MAX];
    assert_always(session->number != 0);

    session_write_id(session, core, id);
    snprintf(line, sizeof line,
             "Client %s disconnected: %s, code %u, sent %" PRIu64 ", lost %" PRIu64 ", open %.1fs",
             id, end->text, end->close_code, end->frames_sent, end->frames_lost,
             (double)end->open_ns / (double)NS_PER_SECOND);
    log_post(1 + core_index(core), LOG_LEVEL_INFO, line);
    session_free_patterns(sessions, session);
    *session = (struct session){.number = 0};
    session_drop_job(sessions, conn);
}

/* ---- Messages ---- */

void session_pong(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    uint64_t wall_ns = session_wall_ns();
    reply_begin(reply, "PONG", call->request->id, wall_ns);
    reply_put(reply, "{", 1);
    if (call->request->t0[0] != '\0') {
        reply_print(reply, "\"t0\":%s,", call->request->t0);
    }
    reply_print(reply, "\"t1\":%" PRIu64 ",\"t2\":%" PRIu64 "}", call->received_ns, wall_ns);
    reply_end(reply);
    session_send_reply(call);
}

static void session_on_message(void *context, struct core *core, uint32_t conn,
                               enum ws_opcode opcode, uint8_t *payload, size_t payload_bytes,
                               uint64_t now_ns)
{
    struct sessions *sessions = context;
    uint64_t received_ns = session_wall_ns();
    struct request request;
    struct request_error error = {
        .code = PROTOCOL_BAD_REQUEST,
        .message = "binary messages are not understood; send JSON as text",
    };
    if (!session_may_speak(sessions, core, conn, now_ns)) {
        return;
    }
    if (opcode != WS_TEXT) {
        session_send_error(sessions, core, conn, "", &error);
        return;
    }
    core_spend(core, request_units(payload_bytes));
    if (request_parse(&request, payload, payload_bytes, &error)) {
        struct session_call call = {
            .sessions = sessions,
            .session = session_of(sessions, conn),
            .core = core,
            .conn = conn,
            .request = &request,
            .now_ns = now_ns,
            .received_ns = received_ns,
            .units = request_units(payload_bytes),
        };
        if (session_may_ask(&call)) {
            session_answer(&call, &request);
        }
    } else {
        session_send_error(sessions, core, conn, request.id, &error);
    }
    request_deinit(&request);
}

/* ---- Events of the core ---- */

static void session_on_quiet(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    (void)now_ns;
    session_heartbeat(context, core, conn, "");
}

/* Patterns may cover no channel yet. */
static bool session_is_wanted(void *context, struct core *core, uint32_t conn)
{
    (void)core;
    return session_pattern_count(session_of(context, conn)) > 0;
}

static void session_on_lag(void *context, struct core *core, uint32_t conn,
                           const struct core_lag *lag)
{
    session_lag(context, core, conn, lag);
}

static void session_on_drain(void *context, struct core *core, uint32_t conn, uint64_t close_ns,
                             uint64_t end_ns)
{
    session_drain(context, core, conn, close_ns, end_ns);
}

static void session_on_channel(void *context, struct core *core, uint32_t channel)
{
    session_cover_channel(context, core, channel);
}

static void session_on_subscriber(void *context, struct core *core, uint32_t channel, int change)
{
    (void)core;
    channels_count_subscriber(((struct sessions *)context)->options.channels, channel, change);
}

static size_t session_write_gap(void *context, char *out, uint32_t channel, uint64_t from_seq,
                                uint64_t to_seq, const char *reason)
{
    struct sessions *sessions = context;
    /* Who lost deltas of a book goes on from its next snapshot. */
    channels_ask_snapshot(sessions->options.channels, channel);
    int length = snprintf(out, SESSION_GAP_BYTES_MAX,
                          "{\"type\":\"GAP\",\"ts\":%" PRIu64 ",\"data\":{\"ch\":%" PRIu32
                          ",\"from\":%" PRIu64 ",\"to\":%" PRIu64 ",\"reason\":\"%s\"}}",
                          session_wall_ns(), channel, from_seq, to_seq, reason);
    assert_always(length > 0 && length < SESSION_GAP_BYTES_MAX);
    return (size_t)length;
}

static uint64_t session_publish(void *context, uint64_t now_ns)
{
    struct sessions *sessions = context;
    struct publisher *publisher = sessions->options.inline_publisher;
    return publisher == NULL ? UINT64_MAX : publisher_poll(publisher, now_ns);
}

static uint32_t session_channel_count(void *context)
{
    return channels_count(((struct sessions *)context)->options.channels);
}

static void session_log(void *context, struct core *core, int level, const char *text)
{
    static const enum log_level levels[] = {LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING,
                                            LOG_LEVEL_ERROR};
    (void)context;
    assert_always(level >= 0 && level <= 3);
    log_post(1 + core_index(core), levels[level], text);
}

const struct core_ops session_ops = {
    .on_offers = session_on_offers,
    .inflate_of = session_inflate_of,
    .on_accept = session_on_accept,
    .on_request = session_on_request,
    .on_leave = session_on_leave,
    .on_tick = session_on_tick,
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_continue = session_on_continue,
    .on_drop = session_on_drop,
    .on_close = session_on_close,
    .on_quiet = session_on_quiet,
    .is_wanted = session_is_wanted,
    .on_lag = session_on_lag,
    .on_drain = session_on_drain,
    .on_channel = session_on_channel,
    .recode = session_recode,
    .on_replay_end = session_on_replay_end,
    .on_turn = session_on_turn,
    .on_subscriber = session_on_subscriber,
    .write_gap = session_write_gap,
    .publish = session_publish,
    .channel_count = session_channel_count,
    .log = session_log,
};
