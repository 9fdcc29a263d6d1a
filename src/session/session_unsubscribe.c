/* UNSUBSCRIBE, and what a smaller scope ends. */
#include <errno.h>

#include "src/session/session_state.h"

#define SESSION_TYPES_ALL ((1u << MD_TYPE_COUNT) - 1)

/* ---- UNSUBSCRIBE ---- */

static void session_accept_removal(struct session_call *call, const struct session_name *name)
{
    session_spend(call, SESSION_ENTRY_UNITS);
    session_begin_entry(&call->sessions->reply, name);
    reply_put(&call->sessions->reply, "}", 1);
}

static bool session_unsubscribe_star(struct session_call *call, enum md_type type)
{
    struct session *session = call->session;
    if ((session->star_types & (1u << type)) == 0) {
        return false;
    }
    session->star_types &= (uint8_t) ~(1u << type);
    core_unsubscribe_group(call->core, call->conn, type);
    return true;
}

static bool session_unsubscribe_exact(struct session_call *call, uint32_t channel)
{
    int tag = core_subscription_tag(call->core, call->conn, channel);
    if (tag < 0 || (tag & SESSION_EXACT) == 0) {
        return false;
    }
    session_count_exact(call, channel, -1);
    session_release_channel(call, channel);
    return true;
}

static bool session_unsubscribe_pattern(struct session_call *call, const struct session_name *name)
{
    struct session_place *at = &call->at;
    if (at->name_step == SESSION_NAME_BEGINS) {
        uint32_t place = session_find_pattern(call->session, name);
        if (place == session_pattern_count(call->session)) {
            session_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
            return true;
        }
        session_take_pattern(call, place);
        at->name_step = SESSION_NAME_RELEASES;
    }
    if (!session_release_pattern(call)) {
        return false;
    }
    at->name_step = SESSION_NAME_BEGINS;
    session_accept_removal(call, name);
    return true;
}

static bool session_unsubscribe_one(struct session_call *call, const struct session_name *name)
{
    bool removed = false;
    if (session_is_star(name)) {
        removed = session_unsubscribe_star(call, name->type);
    } else if (session_is_pattern(name)) {
        return session_unsubscribe_pattern(call, name);
    } else {
        uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                                 name->bytes, name->type, name->variant);
        removed = channel != CHANNEL_NONE && session_unsubscribe_exact(call, channel);
    }
    if (removed) {
        session_accept_removal(call, name);
    } else {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
    }
    return true;
}

/* Takes the patterns of the types out of the list; the channels are seen to afterwards. */
static void session_drop_patterns(struct session_call *call, uint32_t types)
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
        struct session_name name = session_pattern_name(pattern);
        session_accept_removal(call, &name);
    }
    patterns->count = kept;
    if (kept == 0) {
        session_free_patterns(call->sessions, session);
    }
}

static uint32_t session_unsubscribed_types(const struct session_call *call)
{
    return call->request->types != 0 ? call->request->types : SESSION_TYPES_ALL;
}

/* Every entry of the given types: no other can cover what they covered. */
static void session_begin_unsubscribe_all(struct session_call *call)
{
    uint32_t types = session_unsubscribed_types(call);
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if ((types & (1u << type)) != 0 && session_unsubscribe_star(call, (enum md_type)type)) {
            struct session_name name = session_star_name((enum md_type)type);
            session_accept_removal(call, &name);
        }
    }
    session_drop_patterns(call, types);
    if (types == SESSION_TYPES_ALL) {
        core_stop_replay(call->core, call->conn);
        call->session->replayed_count = 0;
    }
}

static bool session_unsubscribe_channel(struct session_call *call, uint32_t i,
                                        const struct channel *channel)
{
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0 || (session_unsubscribed_types(call) & (1u << channel->type)) == 0) {
        return true;
    }
    session_spend(call, SESSION_COVER_UNITS);
    if ((tag & SESSION_EXACT) != 0) {
        struct session_name name = session_channel_name(channel);
        session_count_exact(call, i, -1);
        session_accept_removal(call, &name);
    }
    core_unsubscribe(call->core, call->conn, i);
    return true;
}

bool session_unsubscribe(struct session_call *call)
{
    bool is_all = call->request->symbol_count == 0;
    if (call->at.step == 0) {
        call->at.step++;
        session_begin_verdicts(call, "UNSUBSCRIBED");
        if (is_all) {
            session_begin_unsubscribe_all(call);
        }
    }
    bool is_done = is_all ? session_for_each_channel(call, session_unsubscribe_channel)
                          : session_for_each_name(call, session_unsubscribe_one);
    if (is_done) {
        session_end_verdicts(call);
    }
    return is_done;
}

/* ---- AUTH: a scope that is smaller ---- */

void session_tell_dropped(struct session_call *call, const struct session_name *name)
{
    session_begin_entry(&call->sessions->failed, name);
    reply_put(&call->sessions->failed, "}", 1);
}

static void session_shrink_stars(struct session_call *call, const struct scope *scope)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        struct session_name name = session_star_name((enum md_type)type);
        if (!scope_covers(scope, name.text, name.bytes, name.type) &&
            session_unsubscribe_star(call, name.type)) {
            session_tell_dropped(call, &name);
        }
    }
}

/* Takes them out of the list; their channels are seen to afterwards. */
static void session_shrink_patterns(struct session_call *call, const struct scope *scope)
{
    struct session *session = call->session;
    for (uint32_t place = session_pattern_count(session); place-- > 0;) {
        struct session_pattern pattern = session->patterns->entries[place];
        struct session_name name = session_pattern_name(&pattern);
        session_spend(call, 1 + scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
        if (!scope_covers(scope, name.text, name.bytes, name.type)) {
            session_take_pattern(call, place);
            session_tell_dropped(call, &name);
            call->at.is_changed = true; /* what patterns cover */
        }
    }
}

struct session_limit_replay {
    struct session_call *call;
    const struct scope *scope;
};

/* Called for each channel of a replay that is under way. */
static bool session_keeps_replayed(void *context, uint32_t channel)
{
    const struct session_limit_replay *limit = context;
    struct session_name name =
        session_channel_name(channels_get(limit->call->sessions->options.channels, channel));
    if (scope_covers(limit->scope, name.text, name.bytes, name.type)) {
        return true;
    }
    session_tell_dropped(limit->call, &name);
    return false;
}

/* A replay sends its channels, and subscribes to them when it ends. */
static void session_shrink_replay(struct session_call *call, const struct scope *scope)
{
    struct session_limit_replay limit = {.call = call, .scope = scope};
    uint32_t count = core_limit_replay(call->core, call->conn, session_keeps_replayed, &limit);
    if (call->session->replayed_count > 0) {
        assert_always(count <= call->session->replayed_count);
        call->session->replayed_count -= (uint16_t)count;
    }
}

/* What an entry that has ended covered goes to another entry, or ends. */
static bool session_shrink_channel(struct session_call *call, uint32_t i,
                                   const struct channel *channel)
{
    const struct scope *scope = session_scope(call->sessions, call->conn);
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0) {
        return true;
    }
    struct session_name name = session_channel_name(channel);
    session_spend(call, SESSION_COVER_UNITS + scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
    if (tag == SESSION_BY_PATTERN) {
        if (call->at.is_changed) {
            session_release_channel(call, i);
        }
    } else if (!scope_covers(scope, name.text, name.bytes, name.type) &&
               session_unsubscribe_exact(call, i)) {
        session_tell_dropped(call, &name);
    }
    return true;
}

bool session_shrink(struct session_call *call)
{
    if (call->at.step == 0) {
        const struct scope *scope = session_scope(call->sessions, call->conn);
        call->at.step++;
        reply_put(&call->sessions->failed, "[", 1);
        session_shrink_books(call);
        session_shrink_replay(call, scope);
        session_shrink_stars(call, scope);
        session_shrink_patterns(call, scope);
    }
    bool has_channels =
        call->at.is_changed || call->session->exact_count > 0 || call->at.channel > 0;
    if (has_channels && !session_for_each_channel(call, session_shrink_channel)) {
        return false;
    }
    reply_put(&call->sessions->failed, "]", 1);
    return true;
}
