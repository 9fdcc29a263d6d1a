#include "src/session/session_shrink.h"

#include "codec/base/canary.h"
#include "src/session/session_answer.h"
#include "src/session/session_books.h"
#include "src/session/session_client.h"
#include "src/session/session_cover.h"
#include "src/session/session_limits.h"
#include "src/session/session_unsubscribe.h"

static void session_shrink_stars(struct session_call *call, const struct scope *scope)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        struct session_name name = session_name_of_star((enum md_type)type);
        if (!scope_covers(scope, name.text, name.bytes, name.type) &&
            session_unsubscribe_star(call, name.type)) {
            session_answer_dropped(call, &name);
        }
    }
}

/* Takes them out of the list; their channels are seen to afterwards. */
static void session_shrink_patterns(struct session_call *call, const struct scope *scope)
{
    struct session *session = call->session;
    for (uint32_t place = session_patterns_count(session); place-- > 0;) {
        struct session_pattern pattern = session->patterns->entries[place];
        struct session_name name = session_patterns_name(&pattern);
        session_call_spend(call, 1 + scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
        if (!scope_covers(scope, name.text, name.bytes, name.type)) {
            session_cover_take(call, place);
            session_answer_dropped(call, &name);
            call->at.is_changed = true; /* what patterns cover */
        }
    }
}

struct session_shrink_limit {
    struct session_call *call;
    const struct scope *scope;
};

/* Called for each channel of a replay that is under way. */
static bool session_shrink_keeps(void *context, uint32_t channel)
{
    const struct session_shrink_limit *limit = context;
    struct session_name name =
        session_name_of_channel(channels_get(limit->call->sessions->options.channels, channel));
    if (scope_covers(limit->scope, name.text, name.bytes, name.type)) {
        return true;
    }
    session_answer_dropped(limit->call, &name);
    return false;
}

/* A replay sends its channels, and subscribes to them when it ends. */
static void session_shrink_replay(struct session_call *call, const struct scope *scope)
{
    struct session_shrink_limit limit = {.call = call, .scope = scope};
    uint32_t count = core_limit_replay(call->core, call->conn, session_shrink_keeps, &limit);
    assert_debug(count <= SESSION_REPLAYED_MAX);
    if (call->session->use.replayed_count > 0) {
        session_limits_count_replayed(call->session, -(int)count);
    }
}

/* What an entry that has ended covered goes to another entry, or ends. */
static bool session_shrink_channel(struct session_call *call, uint32_t i,
                                   const struct channel *channel)
{
    const struct scope *scope = session_client_scope(call->sessions, call->conn);
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0) {
        return true;
    }
    struct session_name name = session_name_of_channel(channel);
    session_call_spend(call,
                       SESSION_COVER_UNITS + scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
    if (tag == SESSION_BY_PATTERN) {
        if (call->at.is_changed) {
            session_cover_release_channel(call, i);
        }
    } else if (!CANARY(SCOPE_KEPT) && !scope_covers(scope, name.text, name.bytes, name.type) &&
               session_unsubscribe_exact(call, i)) {
        session_answer_dropped(call, &name);
    }
    return true;
}

bool session_shrink(struct session_call *call)
{
    if (call->at.step == 0) {
        const struct scope *scope = session_client_scope(call->sessions, call->conn);
        assert_always(call->sessions->clients != NULL);
        call->at.step++;
        reply_put(&call->sessions->failed, "[", 1);
        session_books_shrink(call);
        session_shrink_replay(call, scope);
        session_shrink_stars(call, scope);
        session_shrink_patterns(call, scope);
    }
    bool has_channels =
        call->at.is_changed || call->session->use.exact_count > 0 || call->at.channel > 0;
    if (has_channels && !session_call_each_channel(call, session_shrink_channel)) {
        return false;
    }
    reply_put(&call->sessions->failed, "]", 1);
    return true;
}
