#include "src/session/session_watch.h"

#include <errno.h>

#include "src/session/session_answer.h"
#include "src/session/session_cover.h"
#include "src/session/session_define.h"

#define SESSION_WATCH_BYTES 16384 /* of a DEFINITION, about; the next waits until it was taken */

int64_t session_watch_group_count(struct sessions *sessions, enum md_type type)
{
    const struct channels *channels = sessions->options.channels;
    assert_always((unsigned)type < MD_TYPE_COUNT);
    while (sessions->groups_counted_to < channels_count(channels)) {
        sessions->group_counts[channels_get(channels, sessions->groups_counted_to++)->group]++;
    }
    return sessions->group_counts[type];
}

void session_watch_channel(struct sessions *sessions, struct core *core, uint32_t i)
{
    (void)session_watch_group_count(sessions, MD_QUOTE); /* Not from a request's time. */
    if (channels_get(sessions->options.channels, i)->group == CHANNELS_VARIANTS_GROUP) {
        return; /* No pattern covers it, nor "*". */
    }
    while (sessions->current_count > 0) {
        uint32_t conn = sessions->watchers[sessions->current_count - 1];
        session_patterns_fall_behind(sessions, session_of(sessions, conn));
        if (sessions->jobs[conn] == NULL) { /* Otherwise it is held already. */
            core_hold(core, conn);
        }
    }
}

/* Stops when a DEFINITION is long enough. */
static bool session_watch_meet(struct session_call *call, uint32_t i, const struct channel *channel)
{
    const struct session *session = call->session;
    struct sessions *sessions = call->sessions;
    if (channel->group == CHANNELS_VARIANTS_GROUP) {
        return true;
    }
    const struct session_pattern *cover = session_cover_first(call, channel);
    bool is_wanted = cover != NULL || (session->star_types & (1u << channel->group)) != 0;
    if (is_wanted && session_define_is_needed(call)) {
        session_call_spend(call, SESSION_DEFINITION_UNITS);
        session_define_add(sessions, i);
    }
    if (cover != NULL && core_subscription_tag(call->core, call->conn, i) == -ENOENT) {
        session_call_spend(call, SESSION_COVER_UNITS);
        int result = session_cover_subscribe_new(call->core, call->conn, i, cover);
        call->at.covered = result < 0 ? result : call->at.covered;
    }
    return session_define_bytes(sessions) < SESSION_WATCH_BYTES;
}

/* false: what waits to be sent leaves no room for it, or there is no memory. */
static bool session_watch_send(struct session_call *call)
{
    static const struct request_error error = {
        .code = PROTOCOL_LIMIT_EXCEEDED,
        .message = "the server has no room for a new channel of your patterns",
    };
    struct sessions *sessions = call->sessions;
    size_t bytes = session_define_bytes(sessions);
    if (sessions->definitions.failed ||
        (bytes > 0 && !core_has_room(call->core, call->conn, bytes))) {
        reply_trim(&sessions->definitions);
        return false;
    }
    session_define_send(sessions, call->core, call->conn);
    if (call->at.covered < 0) {
        session_answer_error(sessions, call->core, call->conn, NULL, &error);
    }
    return true;
}

bool session_watch_go_on(struct sessions *sessions, struct core *core, uint32_t conn)
{
    struct session *session = session_of(sessions, conn);
    struct session_call call = {
        .sessions = sessions, .session = session, .core = core, .conn = conn};
    assert_always(session_patterns_are_behind(sessions, session));
    if (session_define_is_needed(&call) && !core_await_drain(core, conn)) {
        return false;
    }
    call.at.channel = session->patterns->seen_count;
    session_define_begin(sessions);
    bool has_ended = session_call_each_channel(&call, session_watch_meet);
    uint32_t seen_count = has_ended ? call.at.seen : call.at.channel;
    if (!session_watch_send(&call)) {
        return false;
    }
    assert_debug(seen_count >= session->patterns->seen_count);
    session->patterns->seen_count = seen_count;
    if (seen_count < channels_count(sessions->options.channels)) {
        return false;
    }
    session_patterns_catch_up(sessions, session);
    return true;
}
