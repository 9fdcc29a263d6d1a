#include "src/session/session_cover.h"

#include <errno.h>
#include <string.h>

/* ---- Channels that a pattern covers ---- */

const struct session_pattern *session_cover_first(struct session_call *call,
                                                  const struct channel *channel)
{
    session_call_spend(call, session_patterns_count(call->session) / SESSION_PATTERNS_PER_UNIT);
    return session_patterns_find_cover(call->session, channel);
}

int session_cover_subscribe(struct core *core, uint32_t conn, uint32_t channel,
                            const struct session_pattern *pattern, bool snapshot)
{
    struct core_subscription wanted = {.channel = channel,
                                       .group = pattern->type,
                                       .policy = (enum lag_policy)pattern->policy,
                                       .tag = SESSION_BY_PATTERN,
                                       .snapshot = snapshot,
                                       .max_lag_ms = pattern->max_lag_ms};
    return core_subscribe(core, conn, &wanted);
}

int session_cover_subscribe_new(struct core *core, uint32_t conn, uint32_t channel,
                                const struct session_pattern *pattern)
{
    if (core_next_seq(core, conn, channel) == 1) {
        return session_cover_subscribe(core, conn, channel, pattern, false);
    }
    struct core_resume resume = {.channel = channel,
                                 .group = pattern->type,
                                 .policy = (enum lag_policy)pattern->policy,
                                 .tag = SESSION_BY_PATTERN,
                                 .is_same_epoch = true,
                                 .seq = 0};
    int result = core_resume(core, conn, &resume);
    if (result >= 0 && pattern->max_lag_ms != 0) {
        core_set_max_lag(core, conn, channel, pattern->max_lag_ms);
    }
    return result;
}

static void session_cover_set(struct session_call *call, uint32_t channel,
                              const struct session_pattern *pattern)
{
    core_set_subscription(call->core, call->conn, channel, (enum lag_policy)pattern->policy,
                          SESSION_BY_PATTERN);
    core_set_max_lag(call->core, call->conn, channel, pattern->max_lag_ms);
}

/* What another pattern covers already has its policy from that one, which came first; so has a
 * channel that has only just come, and that the core has not met; is_changed: where this is the
 * first after all, its settings have changed. */
static bool session_cover_one(struct session_call *call, uint32_t i, const struct channel *channel)
{
    struct session_place *at = &call->at;
    if (!session_patterns_cover(&at->pattern, channel)) {
        return true;
    }
    session_call_spend(call, SESSION_COVER_UNITS);
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag == -ENOENT) {
        const struct session_pattern *first = session_cover_first(call, channel);
        int error =
            session_cover_subscribe(call->core, call->conn, i, first != NULL ? first : &at->pattern,
                                    call->request->snapshot);
        if (error < 0 && at->is_changed) {
            return true; /* The pattern stays, as it was, without this channel. */
        }
        if (error < 0) {
            at->covered = error;
            return false;
        }
    } else if (at->is_changed && tag == SESSION_BY_PATTERN) {
        const struct session_pattern *first = session_cover_first(call, channel);
        if (first != NULL && session_patterns_are_same(first, &at->pattern)) {
            session_cover_set(call, i, &at->pattern);
        }
    }
    at->covered++;
    return true;
}

/* Subscribes what call->at.pattern covers; at.covered is how many channels that are, or -ENOSPC. */
bool session_cover_apply(struct session_call *call)
{
    struct session_place *at = &call->at;
    if (!session_call_each_channel(call, session_cover_one)) {
        return false;
    }
    for (uint32_t i = 0; at->covered >= 0 && i < session_patterns_count(call->session); i++) {
        struct session_pattern *pattern = &call->session->patterns->entries[i];
        if (session_patterns_are_same(pattern, &at->pattern)) {
            pattern->covered = (uint32_t)at->covered;
            pattern->counted_to = at->seen;
        }
    }
    return true;
}

/* Counts the channels that have come since it was counted. */
bool session_cover_count(struct session_call *call, struct session_pattern *pattern)
{
    const struct channels *channels = call->sessions->options.channels;
    uint32_t channel_count = channels_count(channels);
    while (pattern->counted_to < channel_count) {
        if (session_call_must_wait(call)) {
            return false;
        }
        session_call_spend(call, SESSION_SCAN_UNITS);
        for (uint32_t i = 0; i < SESSION_SCAN_CHANNELS && pattern->counted_to < channel_count;
             i++) {
            pattern->covered +=
                session_patterns_cover(pattern, channels_get(channels, pattern->counted_to++));
        }
    }
    return true;
}

/* ---- Channels that lose an entry ---- */

/* A channel that lost one of its entries stays with the first pattern that covers it. */
void session_cover_release_channel(struct session_call *call, uint32_t i)
{
    const struct channel *channel = channels_get(call->sessions->options.channels, i);
    const struct session_pattern *cover = session_cover_first(call, channel);
    if (cover == NULL) {
        core_unsubscribe(call->core, call->conn, i);
    } else {
        session_cover_set(call, i, cover);
    }
}

void session_cover_take(struct session_call *call, uint32_t place)
{
    assert_always(place < session_patterns_count(call->session));
    call->at.pattern = call->session->patterns->entries[place];
    session_patterns_remove(call->session, place);
    session_patterns_trim(call->sessions, call->session);
}

static bool session_cover_release_one(struct session_call *call, uint32_t i,
                                      const struct channel *channel)
{
    if (session_patterns_cover(&call->at.pattern, channel) &&
        core_subscription_tag(call->core, call->conn, i) == SESSION_BY_PATTERN) {
        session_call_spend(call, SESSION_COVER_UNITS);
        session_cover_release_channel(call, i);
    }
    return true;
}

/* What the pattern covered that was taken out. */
bool session_cover_release(struct session_call *call)
{
    return session_call_each_channel(call, session_cover_release_one);
}
