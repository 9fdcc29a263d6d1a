#include "src/session/session_define.h"

#include <string.h>

#include "src/session/session_answer.h"
#include "src/session/session_client.h"

#define SESSION_DEFINITION_BYTES 65536 /* of a message, about; then another begins */

bool session_define_is_needed(const struct session_call *call)
{
    return core_conn_encoding(call->core, call->conn) == CORE_ENCODING_SBE;
}

void session_define_begin(struct sessions *sessions)
{
    reply_begin(&sessions->definitions, "DEFINITION", "", session_wall_ns());
    reply_text(&sessions->definitions, "{\"channels\":[");
}

/* Nothing is sent when there is none. */
size_t session_define_bytes(const struct sessions *sessions)
{
    const struct reply *reply = &sessions->definitions;
    assert_always(reply->failed || reply->bytes > 0);
    bool is_empty = reply->failed || reply->text[reply->bytes - 1] == '[';
    return is_empty ? 0 : reply->bytes + strlen("]}}");
}

void session_define_send(struct sessions *sessions, struct core *core, uint32_t conn)
{
    struct reply *reply = &sessions->definitions;
    if (reply->failed) {
        session_answer_text(core, conn, reply);
    } else if (session_define_bytes(sessions) > 0) {
        reply_text(reply, "]}");
        reply_end(reply);
        if (core_has_room(core, conn, reply->bytes)) {
            core_send_text(core, conn, reply->text, reply->bytes);
        } else {
            core_close(core, conn, 4108, "slow;cause=client"); /* It could not read its frames. */
        }
    }
    reply_trim(reply);
}

void session_define_add(struct sessions *sessions, uint32_t i)
{
    struct reply *reply = &sessions->definitions;
    assert_debug(reply->failed || reply->bytes > 0);
    struct session_name name = session_name_of_channel(channels_get(sessions->options.channels, i));
    session_answer_channel(reply, &name, i);
    reply_text(reply, "}");
}

static bool session_define_covered(struct session_call *call, uint32_t i,
                                   const struct channel *channel)
{
    struct sessions *sessions = call->sessions;
    const struct session_pattern *pattern = &call->at.pattern;
    if (!session_patterns_cover(pattern, channel)) {
        return true;
    }
    if (sessions->definitions.bytes > SESSION_DEFINITION_BYTES) {
        session_define_send(sessions, call->core, call->conn);
        session_define_begin(sessions);
    }
    session_call_spend(call, SESSION_DEFINITION_UNITS);
    session_define_add(sessions, i);
    return true;
}

static bool session_define_name(struct session_call *call, const struct session_name *name)
{
    const struct scope *scope = session_client_scope(call->sessions, call->conn);
    if (name->is_repeated || !scope_covers(scope, name->text, name->bytes, name->type)) {
        return true;
    }
    if (session_name_is_pattern(name)) {
        if (!session_patterns_have(call->session, name)) {
            return true;
        }
        session_patterns_set(&call->at.pattern, name);
        return session_call_each_channel(call, session_define_covered);
    }
    uint32_t i = channels_find_variant(call->sessions->options.channels, name->text, name->bytes,
                                       name->type, name->variant);
    if (i != CHANNEL_NONE) {
        session_call_spend(call, SESSION_DEFINITION_UNITS);
        session_define_add(call->sessions, i);
    }
    return true;
}

bool session_define_names(struct session_call *call)
{
    if (!session_define_is_needed(call)) {
        return true;
    }
    if (!call->at.is_defining) {
        call->at.is_defining = true;
        session_define_begin(call->sessions);
    }
    if (!session_call_each_name(call, session_define_name)) {
        return false;
    }
    session_define_send(call->sessions, call->core, call->conn);
    return true;
}
