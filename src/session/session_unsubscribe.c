#include "src/session/session_unsubscribe.h"

#include "src/session/session_answer.h"
#include "src/session/session_cover.h"
#include "src/session/session_limits.h"

#define SESSION_TYPES_ALL ((1u << MD_TYPE_COUNT) - 1)

static void session_unsubscribe_accept(struct session_call *call, const struct session_name *name)
{
    session_call_spend(call, SESSION_ENTRY_UNITS);
    session_answer_entry(&call->sessions->reply, name);
    reply_put(&call->sessions->reply, "}", 1);
}

bool session_unsubscribe_star(struct session_call *call, enum md_type type)
{
    struct session *session = call->session;
    assert_debug((unsigned)type < MD_TYPE_COUNT);
    if ((session->star_types & (1u << type)) == 0) {
        return false;
    }
    session->star_types &= (uint8_t) ~(1u << type);
    session_patterns_trim(call->sessions, session);
    core_unsubscribe_group(call->core, call->conn, type);
    return true;
}

bool session_unsubscribe_exact(struct session_call *call, uint32_t channel)
{
    int tag = core_subscription_tag(call->core, call->conn, channel);
    if (tag < 0 || (tag & SESSION_EXACT) == 0) {
        return false;
    }
    session_limits_count_exact(call, channel, -1);
    session_cover_release_channel(call, channel);
    return true;
}

static bool session_unsubscribe_pattern(struct session_call *call, const struct session_name *name)
{
    struct session_place *at = &call->at;
    if (at->name_step == SESSION_NAME_BEGINS) {
        uint32_t place = session_patterns_find(call->session, name);
        if (place == session_patterns_count(call->session)) {
            session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
            return true;
        }
        session_cover_take(call, place);
        at->name_step = SESSION_NAME_RELEASES;
    }
    if (!session_cover_release(call)) {
        return false;
    }
    at->name_step = SESSION_NAME_BEGINS;
    session_unsubscribe_accept(call, name);
    return true;
}

static bool session_unsubscribe_one(struct session_call *call, const struct session_name *name)
{
    bool removed = false;
    if (session_name_is_star(name)) {
        removed = session_unsubscribe_star(call, name->type);
    } else if (session_name_is_pattern(name)) {
        return session_unsubscribe_pattern(call, name);
    } else {
        uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                                 name->bytes, name->type, name->variant);
        removed = channel != CHANNEL_NONE && session_unsubscribe_exact(call, channel);
    }
    if (removed) {
        session_unsubscribe_accept(call, name);
    } else {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
    }
    return true;
}

/* Takes the patterns of the types out of the list; the channels are seen to afterwards. */
static void session_unsubscribe_patterns(struct session_call *call, uint32_t types)
{
    struct session *session = call->session;
    struct session_patterns *patterns = session->patterns;
    uint32_t kept = 0;
    if (patterns == NULL) {
        return;
    }
    for (uint32_t i = 0; i < patterns->count; i++) {
        const struct session_pattern *pattern = &patterns->entries[i];
        if ((types & (1u << pattern->type)) == 0) {
            patterns->entries[kept++] = *pattern;
            continue;
        }
        struct session_name name = session_patterns_name(pattern);
        session_unsubscribe_accept(call, &name);
    }
    assert_debug(kept <= patterns->count);
    patterns->count = kept;
    session_patterns_trim(call->sessions, session);
}

static uint32_t session_unsubscribe_types(const struct session_call *call)
{
    return call->request->types != 0 ? call->request->types : SESSION_TYPES_ALL;
}

/* Every entry of the given types: no other can cover what they covered. */
static void session_unsubscribe_begin_all(struct session_call *call)
{
    uint32_t types = session_unsubscribe_types(call);
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if ((types & (1u << type)) != 0 && session_unsubscribe_star(call, (enum md_type)type)) {
            struct session_name name = session_name_of_star((enum md_type)type);
            session_unsubscribe_accept(call, &name);
        }
    }
    session_unsubscribe_patterns(call, types);
    if (types == SESSION_TYPES_ALL) {
        core_stop_replay(call->core, call->conn);
        session_limits_forget_replay(call->session);
    }
}

static bool session_unsubscribe_channel(struct session_call *call, uint32_t i,
                                        const struct channel *channel)
{
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0 || (session_unsubscribe_types(call) & (1u << channel->type)) == 0) {
        return true;
    }
    session_call_spend(call, SESSION_COVER_UNITS);
    if ((tag & SESSION_EXACT) != 0) {
        struct session_name name = session_name_of_channel(channel);
        session_limits_count_exact(call, i, -1);
        session_unsubscribe_accept(call, &name);
    }
    core_unsubscribe(call->core, call->conn, i);
    return true;
}

bool session_unsubscribe(struct session_call *call)
{
    bool is_all = call->request->symbol_count == 0;
    if (call->at.step == 0) {
        call->at.step++;
        session_answer_begin(call, "UNSUBSCRIBED");
        if (is_all) {
            session_unsubscribe_begin_all(call);
        }
    }
    bool is_done = is_all ? session_call_each_channel(call, session_unsubscribe_channel)
                          : session_call_each_name(call, session_unsubscribe_one);
    if (is_done) {
        session_answer_end(call);
    }
    return is_done;
}
