#include "src/session/session.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/base/clock.h"
#include "src/base/log.h"
#include "src/market/publisher.h"
#include "src/market/recoder.h"
#include "src/session/session_access.h"
#include "src/session/session_answer.h"
#include "src/session/session_books.h"
#include "src/session/session_client.h"
#include "src/session/session_heartbeat.h"
#include "src/session/session_jobs.h"
#include "src/session/session_limits.h"
#include "src/session/session_policy.h"
#include "src/session/session_replay.h"
#include "src/session/session_resume.h"
#include "src/session/session_status.h"
#include "src/session/session_url.h"
#include "src/session/session_visit.h"
#include "src/session/session_watch.h"
#include "src/session/session_welcome.h"

#define SESSION_LINE_BYTES_MAX 256
#define SESSION_NAME_BYTES_MAX (TOKEN_NAME_BYTES_MAX + 4)
#define SESSION_GAP_BYTES_MAX 256 /* as core_ops.write_gap says */

int sessions_create(struct sessions **sessions_out, const struct session_options *options)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    if (sessions == NULL) {
        return -ENOMEM;
    }
    sessions->options = *options;
    sessions->slab_count = options->conn_count_max + CORE_SPARE_CONNS;
    sessions->slab = calloc(sessions->slab_count, sizeof *sessions->slab);
    sessions->watchers = calloc(sessions->slab_count, sizeof *sessions->watchers);
    sessions->jobs = calloc(sessions->slab_count, sizeof *sessions->jobs);
    sessions->urls = calloc(sessions->slab_count, sizeof *sessions->urls);
    sessions->qualities = calloc(sessions->slab_count, sizeof *sessions->qualities);
    if (sessions->slab == NULL || sessions->watchers == NULL || sessions->jobs == NULL ||
        sessions->urls == NULL || sessions->qualities == NULL ||
        recoder_create(&sessions->recoder, options->channels) < 0 ||
        session_visit_create(sessions) < 0 || session_books_create(sessions) < 0 ||
        session_heartbeat_create(sessions) < 0 ||
        (options->compression && ws_inflate_create(&sessions->inflate, false) < 0)) {
        sessions_destroy(sessions);
        return -ENOMEM;
    }
    if (options->access != NULL) {
        sessions->clients = calloc(sessions->slab_count, sizeof *sessions->clients);
        if (sessions->clients == NULL || access_desk_open(&sessions->desk) < 0) {
            sessions_destroy(sessions);
            return -ENOMEM;
        }
    }
    session_welcome_prepare(sessions);
    *sessions_out = sessions;
    return 0;
}

void sessions_destroy(struct sessions *sessions)
{
    log_crowd_sum_up(&sessions->crowd, sessions->log_producer);
    for (uint32_t i = 0; sessions->slab != NULL && i < sessions->slab_count; i++) {
        free(sessions->slab[i].patterns);
    }
    for (uint32_t i = 0; sessions->jobs != NULL && i < sessions->slab_count; i++) {
        session_jobs_drop(sessions, i);
    }
    for (uint32_t i = 0; sessions->urls != NULL && i < sessions->slab_count; i++) {
        session_url_drop(sessions, i);
    }
    for (uint32_t i = 0; sessions->clients != NULL && i < sessions->slab_count; i++) {
        access_drop_grant(&sessions->clients[i].grant);
        access_forget_kept(&sessions->desk, &sessions->clients[i].kept);
    }
    access_desk_close(&sessions->desk);
    session_visit_destroy(sessions);
    free(sessions->slab);
    free(sessions->clients);
    free(sessions->watchers);
    free(sessions->jobs);
    free(sessions->urls);
    free(sessions->qualities);
    ws_inflate_destroy(sessions->inflate);
    recoder_destroy(sessions->recoder);
    session_books_destroy(sessions);
    session_heartbeat_destroy(sessions);
    reply_deinit(&sessions->reply);
    reply_deinit(&sessions->failed);
    reply_deinit(&sessions->definitions);
    reply_deinit(&sessions->gaps);
    free(sessions);
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
    return sessions->inflate != NULL ? ws_extensions_negotiate(offers, &policy)
                                     : (struct ws_deflate_terms){.is_on = false};
}

static struct ws_inflate *session_inflate_of(void *context, struct core *core, uint32_t conn)
{
    (void)core, (void)conn;
    return ((struct sessions *)context)->inflate;
}

/* " (desk-1)" behind its id; "": it has no name. */
static void session_write_name(const struct log_fields *fields, char *out, size_t out_bytes)
{
    bool has_name = fields->name != NULL && fields->name[0] != '\0';
    snprintf(out, out_bytes, "%s%s%s", has_name ? " (" : "", has_name ? fields->name : "",
             has_name ? ")" : "");
}

static void session_log_connected(struct sessions *sessions, struct core *core, uint32_t conn)
{
    char id[SESSION_CLIENT_ID_BYTES_MAX];
    char name[SESSION_NAME_BYTES_MAX];
    char peer[2 * CORE_PEER_TEXT_BYTES_MAX];
    char line[SESSION_LINE_BYTES_MAX];
    struct log_fields fields = session_client_fields(sessions, core, conn, id);
    session_write_name(&fields, name, sizeof name);
    session_client_write(sessions, core, conn, peer, sizeof peer);
    snprintf(line, sizeof line, "Client %s%s connected from %s", id, name, peer);
    log_post_fields(1 + core_index(core), log_crowd_level(), &fields, line);
}

static void session_log_disconnected(struct sessions *sessions, struct core *core, uint32_t conn,
                                     const struct core_conn_end *end)
{
    char id[SESSION_CLIENT_ID_BYTES_MAX];
    char name[SESSION_NAME_BYTES_MAX];
    char line[SESSION_LINE_BYTES_MAX];
    struct log_fields fields = session_client_fields(sessions, core, conn, id);
    fields.code = end->close_code;
    session_write_name(&fields, name, sizeof name);
    snprintf(line, sizeof line,
             "Client %s%s disconnected: %s, code %u, sent %" PRIu64 ", lost %" PRIu64
             ", open %.1fs",
             id, name, end->text, end->close_code, end->frames_sent, end->frames_lost,
             (double)end->open_ns / (double)NS_PER_SECOND);
    log_post_fields(1 + core_index(core), log_crowd_level(), &fields, line);
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
    if (sessions->clients != NULL && sessions->clients[conn].awaits_token) {
        reply_text(reply, ",\"auth_required\":true");
    }
    reply_text(reply, sessions->welcome_rest);
    reply_u64(reply, session_limits_subscriptions(sessions, conn));
    reply_text(reply, "}}");
    reply_end(reply);
    session_answer_text(core, conn, reply);
}

static enum core_grant session_on_request(void *context, struct core *core, uint32_t conn,
                                          uint64_t now_ns, const struct core_request *asked,
                                          struct core_refusal *refusal_out)
{
    struct sessions *sessions = context;
    if (asked != NULL && asked->rest.bytes > 0 && !session_url_keep(sessions, conn, asked->rest)) {
        *refusal_out = (struct core_refusal){.status_line = "503 Service Unavailable",
                                             .extra = "Retry-After: 5\r\n",
                                             .text = "the server has no memory for this URL"};
        counter_add(&sessions->options.counters->refused_busy, 1);
        return CORE_REFUSED;
    }
    return session_access_on_request(sessions, core, conn, now_ns, asked, refusal_out);
}

static void session_on_open(void *context, struct core *core, uint32_t conn, uint64_t now_ns)
{
    struct sessions *sessions = context;
    struct session *session = session_of(sessions, conn);
    char id[SESSION_CLIENT_ID_BYTES_MAX];
    assert_always(session->number == 0);

    *session = (struct session){.number = ++sessions->newest_number};
    session_client_id(sessions, core, conn, id);
    if (log_crowd_has_line(&sessions->crowd, LOG_CROWD_CONNECTED)) {
        session_log_connected(sessions, core, conn);
    }
    session_send_welcome(sessions, core, conn, id);
    session_policy_on_open(sessions, core, conn, now_ns);
    session_jobs_answer_url(sessions, core, conn, now_ns);
}

static void session_on_leave(void *context, struct core *core, uint32_t conn)
{
    session_url_drop(context, conn);
    session_visit_on_leave(context, conn);
    session_access_on_leave(context, core, conn);
}

static void session_on_close(void *context, struct core *core, uint32_t conn,
                             const struct core_conn_end *end)
{
    struct sessions *sessions = context;
    struct session *session = session_of(sessions, conn);
    assert_always(session->number != 0);

    if (log_crowd_has_line(&sessions->crowd, LOG_CROWD_DISCONNECTED)) {
        session_log_disconnected(sessions, core, conn, end);
    }
    session_visit_on_close(sessions, core, conn, end);
    session_patterns_free(sessions, session);
    session_jobs_drop(sessions, conn);
    *session = (struct session){.number = 0};
}

/* ---- Messages ---- */

static void session_on_message(void *context, struct core *core, uint32_t conn,
                               enum ws_opcode opcode, uint8_t *payload, size_t payload_bytes,
                               uint64_t now_ns)
{
    struct sessions *sessions = context;
    uint64_t received_ns = session_wall_ns();
    struct request request;
    struct request_error error = {
        .code = PROTOCOL_BAD_REQUEST,
        .message = "binary messages are not supported; send JSON as text",
    };
    if (!session_access_may_speak(sessions, core, conn, now_ns)) {
        return;
    }
    if (opcode != WS_TEXT) {
        session_answer_error(sessions, core, conn, NULL, &error);
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
        if (session_access_may_ask(&call)) {
            session_jobs_answer(&call, &request);
        }
    } else {
        session_answer_error(sessions, core, conn, &request, &error);
    }
    request_deinit(&request);
}

/* ---- Events of the core ---- */

/* Patterns may cover no channel yet. */
static bool session_is_wanted(void *context, struct core *core, uint32_t conn)
{
    (void)core;
    return session_patterns_count(session_of(context, conn)) > 0;
}

static void session_on_lag(void *context, struct core *core, uint32_t conn,
                           const struct core_lag *lag)
{
    session_status_lag(context, core, conn, lag);
}

static void session_on_drain(void *context, struct core *core, uint32_t conn, uint64_t close_ns,
                             uint64_t end_ns)
{
    session_status_drain(context, core, conn, close_ns, end_ns);
}

static void session_on_channel(void *context, struct core *core, uint32_t channel)
{
    session_watch_channel(context, core, channel);
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

static void session_on_turn(void *context, struct core *core, uint64_t now_ns)
{
    struct sessions *sessions = context;
    sessions->log_producer = 1 + core_index(core);
    log_crowd_on_turn(&sessions->crowd, sessions->log_producer, now_ns);
    session_access_on_turn(sessions);
    session_books_on_turn(context, core, now_ns);
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
    .on_head = session_visit_on_head,
    .on_answer = session_visit_on_answer,
    .on_accept = session_access_on_accept,
    .on_request = session_on_request,
    .on_leave = session_on_leave,
    .on_tick = session_access_on_tick,
    .on_open = session_on_open,
    .on_message = session_on_message,
    .on_continue = session_jobs_on_continue,
    .on_drop = session_jobs_on_drop,
    .on_close = session_on_close,
    .on_quiet = session_heartbeat_on_quiet,
    .is_wanted = session_is_wanted,
    .on_lag = session_on_lag,
    .on_drain = session_on_drain,
    .on_channel = session_on_channel,
    .recode = session_resume_recode,
    .on_replay_end = session_replay_on_end,
    .on_turn = session_on_turn,
    .on_subscriber = session_on_subscriber,
    .write_gap = session_write_gap,
    .channel_count = session_channel_count,
    .log = session_log,
};
