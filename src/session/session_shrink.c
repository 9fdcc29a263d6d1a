#include "src/session/session_shrink.h"

#include <stdlib.h>

#include "codec/base/canary.h"
#include "src/session/session_answer.h"
#include "src/session/session_books.h"
#include "src/session/session_client.h"
#include "src/session/session_cover.h"
#include "src/session/session_limits.h"
#include "src/session/session_unsubscribe.h"

#define SESSION_SHRINK_FEW 128 /* subscriptions, which are looked at one by one */

/* What is touched was last used when the client subscribed, and is in no cache. */
#define SESSION_SHRINK_UNITS 16     /* a subscription that is looked at */
#define SESSION_SHRINK_END_UNITS 60 /* one that ends */

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
static void session_shrink_one(struct session_call *call, uint32_t i, const struct channel *channel,
                               int tag)
{
    const struct scope *scope = session_client_scope(call->sessions, call->conn);
    struct session_name name = session_name_of_channel(channel);
    session_call_spend(call,
                       SESSION_SHRINK_UNITS + scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
    if (tag == SESSION_BY_PATTERN) {
        if (call->at.is_changed) {
            session_call_spend(call, SESSION_SHRINK_END_UNITS);
            session_cover_release_channel(call, i);
        }
    } else if (!CANARY(SCOPE_KEPT) && !scope_covers(scope, name.text, name.bytes, name.type) &&
               session_unsubscribe_exact(call, i)) {
        session_call_spend(call, SESSION_SHRINK_END_UNITS);
        session_answer_dropped(call, &name);
    }
}

static bool session_shrink_channel(struct session_call *call, uint32_t i,
                                   const struct channel *channel)
{
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag >= 0) {
        session_shrink_one(call, i, channel, tag);
    }
    return true;
}

void session_shrink_at_once(struct session_call *call)
{
    assert_always(call->sessions->clients != NULL);
    reply_put(&call->sessions->failed, "[", 1);
    session_books_shrink(call);
    session_shrink_replay(call, session_client_scope(call->sessions, call->conn));
    reply_put(&call->sessions->failed, "]", 1);
}

static int session_shrink_compare(const void *left, const void *right)
{
    uint32_t a = ((const struct core_subscribed *)left)->channel;
    uint32_t b = ((const struct core_subscribed *)right)->channel;
    return (a > b) - (a < b);
}

/* The channels of a client with few, in the order of their numbers, from call->at.channel on. */
static bool session_shrink_few(struct session_call *call, struct core_subscribed *list,
                               uint32_t count)
{
    struct session_place *at = &call->at;
    assert_always(count <= SESSION_SHRINK_FEW);
    qsort(list, count, sizeof *list, session_shrink_compare);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t channel = list[i].channel;
        if (channel < at->channel) {
            continue;
        }
        if (session_call_must_wait(call)) {
            at->channel = channel;
            return false;
        }
        session_shrink_one(call, channel, channels_get(call->sessions->options.channels, channel),
                           list[i].tag);
    }
    at->channel = 0;
    return true;
}

/* A client that has many is found by all channels that there are. */
static bool session_shrink_channels(struct session_call *call)
{
    struct core_subscribed list[SESSION_SHRINK_FEW];
    uint32_t count = core_subscriptions(call->core, call->conn, list, SESSION_SHRINK_FEW);
    return count <= SESSION_SHRINK_FEW ? session_shrink_few(call, list, count)
                                       : session_call_each_channel(call, session_shrink_channel);
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
    if (has_channels && !session_shrink_channels(call)) {
        return false;
    }
    reply_put(&call->sessions->failed, "]", 1);
    return true;
}
