#include "src/session/session_subscribe.h"

#include <errno.h>
#include <inttypes.h>

#include "src/session/session_answer.h"
#include "src/session/session_cover.h"
#include "src/session/session_define.h"
#include "src/session/session_limits.h"
#include "src/session/session_resume.h"
#include "src/session/session_settings.h"
#include "src/session/session_unknown.h"
#include "src/session/session_watch.h"

static void session_subscribe_accept(struct session_call *call, const struct session_name *name,
                                     const struct core_subscription *subscription)
{
    struct reply *reply = &call->sessions->reply;
    session_call_spend(call, SESSION_ENTRY_UNITS);
    session_answer_channel(reply, name, subscription->channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, subscription->next_seq);
    reply_text(reply, ",\"hash\":");
    reply_hash(reply, subscription->hash);
    if (call->request->type == REQUEST_MODIFY) {
        session_settings_put(reply, session_settings_of_exact(call, subscription->channel));
    }
    reply_text(reply, "}");
}

static void session_subscribe_accept_pattern(struct session_call *call,
                                             const struct session_name *name, int64_t channel_count,
                                             struct session_settings settings)
{
    struct reply *reply = &call->sessions->reply;
    session_answer_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64, channel_count);
    if (call->request->type == REQUEST_MODIFY) {
        session_settings_put(reply, settings);
    }
    reply_text(reply, "}");
}

/* ---- One channel ---- */

/* The channel, held; made when it is a variant's that nobody has wished for yet. CHANNEL_NONE:
 * refused. */
static uint32_t session_subscribe_open(struct session_call *call, const struct session_name *name)
{
    struct channels *channels = call->sessions->options.channels;
    uint32_t channel =
        channels_find_variant(channels, name->text, name->bytes, name->type, name->variant);
    if (channel != CHANNEL_NONE && channels_hold(channels, channel)) {
        return channel;
    }
    if (variant_is_none(name->variant) || !session_unknown_has_source(call, name)) {
        session_unknown_refuse(call, name);
        return CHANNEL_NONE;
    }
    if (session_limits_is_full(call, name)) {
        return CHANNEL_NONE;
    }
    channel = channels_hold_variant(channels, name->text, name->bytes, name->type, name->variant);
    if (channel == CHANNEL_NONE) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED,
                              "the server has reached its limit of depths, bars and intervals");
    }
    return channel;
}

/* It is subscribed already: other settings, or nothing. tag: what it has. */
static void session_subscribe_again(struct session_call *call, struct core_subscription *wanted,
                                    int tag)
{
    bool is_new = (tag & SESSION_EXACT) == 0;
    if (is_new || call->request->has_on_lag) {
        core_set_subscription(call->core, call->conn, wanted->channel, wanted->policy, wanted->tag);
    }
    if (is_new || call->request->has_max_lag) {
        core_set_max_lag(call->core, call->conn, wanted->channel, wanted->max_lag_ms);
    }
    wanted->next_seq = core_next_seq(call->core, call->conn, wanted->channel);
    wanted->hash = core_hash(call->core, call->conn, wanted->channel);
}

static void session_subscribe_channel(struct session_call *call, const struct session_name *name,
                                      uint32_t channel)
{
    struct channels *channels = call->sessions->options.channels;
    bool asks_image = call->request->snapshot && !variant_is_none(name->variant);
    int tag = core_subscription_tag(call->core, call->conn, channel);
    bool is_new = tag == -ENOENT || (tag & SESSION_EXACT) == 0;
    if (call->request->epoch != NULL) {
        session_resume_since(call, name, channel);
        return;
    }
    if (is_new && session_limits_is_full(call, name)) {
        return;
    }
    enum lag_policy policy = session_settings_policy(call, name);
    struct core_subscription wanted = {.channel = channel,
                                       .group = channels_get(channels, channel)->group,
                                       .policy = policy,
                                       .tag = session_settings_exact_tag(policy),
                                       .snapshot = call->request->snapshot,
                                       .asks_image = asks_image,
                                       .max_lag_ms = call->request->max_lag_ms};
    if (tag != -ENOENT) {
        session_subscribe_again(call, &wanted, tag);
    } else if (core_subscribe(call->core, call->conn, &wanted) < 0) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return;
    } else if (asks_image && !wanted.has_image) {
        channels_ask_snapshot(channels, channel);
    }
    if (is_new) {
        session_limits_count_exact(call, channel, 1);
    }
    session_subscribe_accept(call, name, &wanted);
}

static void session_subscribe_exact(struct session_call *call, const struct session_name *name)
{
    uint32_t channel = session_subscribe_open(call, name);
    if (channel != CHANNEL_NONE) {
        session_subscribe_channel(call, name, channel);
        channels_release(call->sessions->options.channels, channel);
    }
}

/* ---- Patterns ---- */

static void session_subscribe_star(struct session_call *call, const struct session_name *name)
{
    struct session *session = call->session;
    enum lag_policy policy = session_settings_policy(call, name);
    bool is_new = (session->star_types & (1u << name->type)) == 0;
    if (is_new && session_limits_is_full(call, name)) {
        return;
    }
    session_call_spend(call, SESSION_ENTRY_UNITS);
    if (is_new && session_define_is_needed(call) &&
        session_patterns_watch(call->sessions, call->conn) < 0) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return;
    }
    if (is_new || call->request->has_on_lag) {
        session_call_spend(call, is_new ? channels_count(call->sessions->options.channels) / 4 : 0);
        if (core_subscribe_group(call->core, call->conn, name->type, policy,
                                 call->request->snapshot) < 0) {
            session_patterns_trim(call->sessions, session);
            session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED,
                                  "the server has no room for it");
            return;
        }
        session->star_types |= (uint8_t)(1u << name->type);
        session_set_star_policy(session, name->type, policy);
    }
    if (is_new || call->request->has_max_lag) {
        core_set_group_max_lag(call->core, call->conn, name->type, call->request->max_lag_ms);
    }
    struct session_settings settings = session_settings_of_star(call, name->type);
    session_subscribe_accept_pattern(
        call, name, session_watch_group_count(call->sessions, name->type), settings);
}

/* Puts it into the list, or changes what is there; SESSION_NAME_BEGINS: refused. */
static enum session_name_step session_subscribe_begin_pattern(struct session_call *call,
                                                              const struct session_name *name)
{
    struct session *session = call->session;
    uint32_t place = session_patterns_find(session, name);
    bool is_new = place == session_patterns_count(session);
    if (is_new && session_limits_is_full(call, name)) {
        return SESSION_NAME_BEGINS;
    }
    if (is_new && session_patterns_count(session) == SESSION_PATTERNS_MAX) {
        session_answer_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, "too many patterns");
        return SESSION_NAME_BEGINS;
    }
    if (is_new && session_patterns_add(call->sessions, call->conn, name,
                                       session_settings_policy(call, name)) < 0) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return SESSION_NAME_BEGINS;
    }
    bool is_changed = !is_new && (call->request->has_on_lag || call->request->has_max_lag);
    assert_always(place < session_patterns_count(session));
    struct session_pattern *pattern = &session->patterns->entries[place];
    if (!is_new && call->request->has_on_lag) {
        pattern->policy = (uint8_t)session_settings_asked(call->request);
    }
    if (is_new || call->request->has_max_lag) {
        pattern->max_lag_ms = call->request->max_lag_ms;
    }
    call->at.pattern = *pattern;
    call->at.is_changed = is_changed;
    call->at.covered = 0;
    return is_new || is_changed ? SESSION_NAME_COVERS : SESSION_NAME_COUNTS;
}

static bool session_subscribe_pattern(struct session_call *call, const struct session_name *name)
{
    struct session *session = call->session;
    struct session_place *at = &call->at;
    if (at->name_step == SESSION_NAME_BEGINS) {
        session_call_spend(call, SESSION_ENTRY_UNITS);
        at->name_step = session_subscribe_begin_pattern(call, name);
    }
    uint32_t place = session_patterns_find(session, name);
    if (at->name_step == SESSION_NAME_COVERS && !session_cover_apply(call)) {
        return false;
    }
    if (at->name_step == SESSION_NAME_COUNTS) {
        assert_always(place < session_patterns_count(session));
        if (!session_cover_count(call, &session->patterns->entries[place])) {
            return false;
        }
        at->covered = session->patterns->entries[place].covered;
    }
    if (at->name_step == SESSION_NAME_COVERS && at->covered < 0 &&
        place < session_patterns_count(session)) {
        session_cover_take(call, place);
        at->name_step = SESSION_NAME_RELEASES;
    }
    if (at->name_step == SESSION_NAME_RELEASES && !session_cover_release(call)) {
        return false;
    }
    if (at->name_step != SESSION_NAME_BEGINS && at->covered < 0) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
    } else if (at->name_step != SESSION_NAME_BEGINS) {
        session_subscribe_accept_pattern(call, name, at->covered,
                                         session_settings_of_pattern(&at->pattern));
    }
    at->name_step = SESSION_NAME_BEGINS;
    return true;
}

/* ---- SUBSCRIBE ---- */

/* Whether a name can be subscribed as the message asks; otherwise it is refused. */
static bool session_subscribe_is_good(struct session_call *call, const struct session_name *name)
{
    bool is_pattern = session_name_is_pattern(name);
    if (is_pattern && !pattern_is_good(name->text, name->bytes)) {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST,
                              "a pattern may have at most 4 '*' and 36 bytes");
    } else if (!is_pattern && (name->bytes == 0 || name->bytes > MD_SYMBOL_BYTES_MAX)) {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST, "a symbol must have 1 to 32 bytes");
    } else if (is_pattern && !variant_is_none(name->variant)) {
        session_answer_refuse(
            call, name, PROTOCOL_NOT_OFFERED,
            "depth, bar and interval_ms are offered for symbols, not for patterns");
    } else if (name->variant.interval_ms != 0 && !session_settings_can_conflate(name)) {
        session_answer_refuse(
            call, name, PROTOCOL_NOT_OFFERED,
            "only quote, and depth with a number of levels, can have interval_ms");
    } else {
        return !session_settings_refuse(call, name) && !session_limits_is_forbidden(call, name);
    }
    return false;
}

static bool session_subscribe_one(struct session_call *call, const struct session_name *name)
{
    if (call->at.name_step == SESSION_NAME_BEGINS && !session_subscribe_is_good(call, name)) {
        return true;
    }
    if (session_name_is_star(name)) {
        session_subscribe_star(call, name);
    } else if (session_name_is_pattern(name)) {
        return session_subscribe_pattern(call, name);
    } else {
        session_subscribe_exact(call, name);
    }
    return true;
}

bool session_subscribe(struct session_call *call)
{
    struct session_place *at = &call->at;
    if (at->step == 0) {
        session_answer_begin(call, "SUBSCRIBED");
        at->step++;
    }
    if (at->step == 1) {
        if (!session_call_each_name(call, session_subscribe_one)) {
            return false;
        }
        at->step++;
    }
    if (!session_define_names(call)) {
        return false;
    }
    session_answer_end(call);
    return true;
}

/* ---- MODIFY ---- */

/* As SUBSCRIBE does it to what is subscribed. */
static bool session_subscribe_modify_one(struct session_call *call, const struct session_name *name)
{
    const struct session *session = call->session;
    uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                             name->bytes, name->type, name->variant);
    int tag =
        channel == CHANNEL_NONE ? -ENOENT : core_subscription_tag(call->core, call->conn, channel);
    if (call->at.name_step == SESSION_NAME_BEGINS && session_settings_refuse(call, name)) {
        return true;
    }
    if (session_name_is_star(name) && (session->star_types & (1u << name->type)) != 0) {
        session_subscribe_star(call, name);
    } else if (call->at.name_step != SESSION_NAME_BEGINS ||
               session_patterns_find(session, name) < session_patterns_count(session)) {
        return session_subscribe_pattern(call, name);
    } else if (tag >= 0 && (tag & SESSION_EXACT) != 0) {
        session_subscribe_exact(call, name);
    } else {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
    }
    return true;
}

bool session_subscribe_modify(struct session_call *call)
{
    if (call->at.step == 0) {
        call->at.step++;
        session_answer_begin(call, "MODIFIED");
    }
    if (!session_call_each_name(call, session_subscribe_modify_one)) {
        return false;
    }
    session_answer_end(call);
    return true;
}
