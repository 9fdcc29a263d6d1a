/* SUBSCRIBE, MODIFY and LIST; patterns. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/session/session_state.h"

/* ---- Entries ---- */

struct session_name session_channel_name(const struct channel *channel)
{
    return (struct session_name){.text = channel->symbol,
                                 .bytes = channel->symbol_bytes,
                                 .type = (enum md_type)channel->type,
                                 .variant = channel->variant};
}

struct session_name session_pattern_name(const struct session_pattern *pattern)
{
    return (struct session_name){
        .text = pattern->text, .bytes = pattern->bytes, .type = (enum md_type)pattern->type};
}

struct session_name session_star_name(enum md_type type)
{
    return (struct session_name){.text = "*", .bytes = 1, .type = type};
}

void session_refuse(struct session_call *call, const struct session_name *name,
                    enum protocol_code code, const char *message)
{
    struct reply *failed = &call->sessions->failed;
    call->forbidden_count += code == PROTOCOL_FORBIDDEN;
    bool retry = code == PROTOCOL_UNKNOWN_SYMBOL || code == PROTOCOL_LIMIT_EXCEEDED ||
                 code == PROTOCOL_NOT_AVAILABLE;
    session_spend(call, SESSION_ENTRY_UNITS);
    session_begin_entry(failed, name);
    reply_print(failed, ",\"code\":%d,\"message\":\"%s\",\"retry\":%s}", (int)code, message,
                retry ? "true" : "false");
}

/* ---- Patterns ---- */

bool session_covers(const struct session_pattern *pattern, const struct channel *channel)
{
    return pattern->type == channel->group &&
           pattern_matches(pattern->text, pattern->bytes, channel->symbol, channel->symbol_bytes);
}

/* The pattern that a channel has its policy from, or NULL. */
static const struct session_pattern *session_find_cover(const struct session *session,
                                                        const struct channel *channel)
{
    for (uint32_t i = 0; i < session_pattern_count(session); i++) {
        if (session_covers(&session->patterns->entries[i], channel)) {
            return &session->patterns->entries[i];
        }
    }
    return NULL;
}

static const struct session_pattern *session_first_cover(struct session_call *call,
                                                         const struct channel *channel)
{
    session_spend(call, session_pattern_count(call->session) / SESSION_PATTERNS_PER_UNIT);
    return session_find_cover(call->session, channel);
}

static bool session_is_same_pattern(const struct session_pattern *left,
                                    const struct session_pattern *right)
{
    return left->type == right->type && left->bytes == right->bytes &&
           memcmp(left->text, right->text, left->bytes) == 0;
}

uint32_t session_find_pattern(const struct session *session, const struct session_name *name)
{
    uint32_t i = 0;
    while (i < session_pattern_count(session) &&
           (session->patterns->entries[i].type != name->type ||
            session->patterns->entries[i].bytes != name->bytes ||
            memcmp(session->patterns->entries[i].text, name->text, name->bytes) != 0)) {
        i++;
    }
    return i; /* The count: there is none. */
}

void session_set_pattern(struct session_pattern *pattern, const struct session_name *name)
{
    *pattern = (struct session_pattern){
        .type = (uint8_t)name->type,
        .bytes = (uint8_t)name->bytes,
    };
    memcpy(pattern->text, name->text, name->bytes);
}

bool session_is_star(const struct session_name *name)
{
    return name->bytes == 1 && name->text[0] == '*';
}

bool session_has_pattern(const struct session *session, const struct session_name *name)
{
    return session_is_star(name)
               ? (session->star_types & (1u << name->type)) != 0
               : session_find_pattern(session, name) < session_pattern_count(session);
}

static int session_add_pattern(struct session_call *call, const struct session_name *name,
                               enum lag_policy policy)
{
    struct sessions *sessions = call->sessions;
    struct session *session = call->session;
    uint32_t count = session_pattern_count(session);
    struct session_patterns *grown =
        realloc(session->patterns,
                sizeof *session->patterns + (count + 1) * sizeof(struct session_pattern));
    if (grown == NULL) {
        return -ENOMEM;
    }
    if (session->patterns == NULL) {
        grown->place = sessions->pattern_conn_count;
        sessions->pattern_conns[sessions->pattern_conn_count++] = call->conn;
    }
    session->patterns = grown;
    grown->count = count + 1;
    session_set_pattern(&grown->entries[count], name);
    grown->entries[count].policy = (uint8_t)policy;
    return 0;
}

void session_free_patterns(struct sessions *sessions, struct session *session)
{
    if (session->patterns == NULL) {
        return;
    }
    uint32_t moved = sessions->pattern_conns[--sessions->pattern_conn_count];
    sessions->pattern_conns[session->patterns->place] = moved;
    session_of(sessions, moved)->patterns->place = session->patterns->place;
    free(session->patterns);
    session->patterns = NULL;
}

static int session_subscribe_covered(struct core *core, uint32_t conn, uint32_t channel,
                                     const struct session_pattern *pattern, bool snapshot)
{
    int result = core_subscribe(core, conn, channel, pattern->type,
                                (enum lag_policy)pattern->policy, snapshot, SESSION_BY_PATTERN);
    if (result == 0 && pattern->max_lag_ms != 0) {
        core_set_max_lag(core, conn, channel, pattern->max_lag_ms);
    }
    return result;
}

static void session_set_covered(struct session_call *call, uint32_t channel,
                                const struct session_pattern *pattern)
{
    core_set_subscription(call->core, call->conn, channel, (enum lag_policy)pattern->policy,
                          SESSION_BY_PATTERN);
    core_set_max_lag(call->core, call->conn, channel, pattern->max_lag_ms);
}

/* What another pattern covers already has its policy from that one, which came first; is_changed:
 * where this is the first after all, its settings have changed. */
static bool session_cover_one(struct session_call *call, uint32_t i, const struct channel *channel)
{
    struct session_place *at = &call->at;
    if (!session_covers(&at->pattern, channel)) {
        return true;
    }
    session_spend(call, SESSION_COVER_UNITS);
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag == -ENOENT) {
        int error = session_subscribe_covered(call->core, call->conn, i, &at->pattern,
                                              call->request->snapshot);
        if (error < 0 && at->is_changed) {
            return true; /* The pattern stays, as it was, without this channel. */
        }
        if (error < 0) {
            at->covered = error;
            return false;
        }
    } else if (at->is_changed && tag == SESSION_BY_PATTERN) {
        const struct session_pattern *first = session_first_cover(call, channel);
        if (first != NULL && session_is_same_pattern(first, &at->pattern)) {
            session_set_covered(call, i, &at->pattern);
        }
    }
    at->covered++;
    return true;
}

/* Subscribes what call->at.pattern covers; at.covered is how many channels that are, or -ENOSPC. */
static bool session_apply_pattern(struct session_call *call)
{
    struct session_place *at = &call->at;
    if (!session_for_each_channel(call, session_cover_one)) {
        return false;
    }
    for (uint32_t i = 0; at->covered >= 0 && i < session_pattern_count(call->session); i++) {
        struct session_pattern *pattern = &call->session->patterns->entries[i];
        if (session_is_same_pattern(pattern, &at->pattern)) {
            pattern->covered = (uint32_t)at->covered;
            pattern->counted_to = at->seen;
        }
    }
    return true;
}

/* Counts the channels that have come since it was counted. */
static bool session_count_pattern(struct session_call *call, struct session_pattern *pattern)
{
    const struct channels *channels = call->sessions->options.channels;
    uint32_t channel_count = channels_count(channels);
    while (pattern->counted_to < channel_count) {
        if (session_must_wait(call)) {
            return false;
        }
        session_spend(call, SESSION_SCAN_UNITS);
        for (uint32_t i = 0; i < SESSION_SCAN_CHANNELS && pattern->counted_to < channel_count;
             i++) {
            pattern->covered +=
                session_covers(pattern, channels_get(channels, pattern->counted_to++));
        }
    }
    return true;
}

/* A channel that lost one of its entries stays with the first pattern that covers it. */
void session_release_channel(struct session_call *call, uint32_t i)
{
    const struct channel *channel = channels_get(call->sessions->options.channels, i);
    const struct session_pattern *cover = session_first_cover(call, channel);
    if (cover == NULL) {
        core_unsubscribe(call->core, call->conn, i);
    } else {
        session_set_covered(call, i, cover);
    }
}

/* Out of the list, and into call->at.pattern. */
void session_take_pattern(struct session_call *call, uint32_t place)
{
    struct session *session = call->session;
    struct session_patterns *patterns = session->patterns;
    call->at.pattern = patterns->entries[place];
    patterns->count--;
    memmove(&patterns->entries[place], &patterns->entries[place + 1],
            (patterns->count - place) * sizeof patterns->entries[0]);
    if (patterns->count == 0) {
        session_free_patterns(call->sessions, session);
    }
}

static bool session_release_one(struct session_call *call, uint32_t i,
                                const struct channel *channel)
{
    if (session_covers(&call->at.pattern, channel) &&
        core_subscription_tag(call->core, call->conn, i) == SESSION_BY_PATTERN) {
        session_spend(call, SESSION_COVER_UNITS);
        session_release_channel(call, i);
    }
    return true;
}

/* What the pattern covered that was taken out. */
bool session_release_pattern(struct session_call *call)
{
    return session_for_each_channel(call, session_release_one);
}

/* ---- SUBSCRIBE ---- */

bool session_is_pattern(const struct session_name *name)
{
    return pattern_is(name->text, name->bytes);
}

/* What the message asks for of this type. */
struct variant session_variant(const struct session_call *call, enum md_type type)
{
    struct variant wanted = call->request->variant;
    return (struct variant){
        .interval_ms = wanted.interval_ms,
        .depth = type == MD_DEPTH ? wanted.depth : 0,
        .bar = type == MD_BAR ? wanted.bar : 0,
    };
}

/* Only the newest image in an interval would corrupt trades, bars and the deltas of a book. */
static bool session_can_conflate(const struct session_name *name)
{
    return name->type == MD_QUOTE || (name->type == MD_DEPTH && name->variant.depth != 0);
}

/* The newest frame tells all. What another one loses is told. */
static bool session_is_full_image(const struct session_name *name)
{
    return name->type == MD_QUOTE || name->type == MD_BAR || name->variant.interval_ms != 0;
}

enum lag_policy session_policy(const struct session_call *call, const struct session_name *name)
{
    if (call->request->has_policy) {
        return call->request->policy;
    }
    return name->type == MD_BAR || !session_is_full_image(name) ? LAG_SKIP : LAG_CONFLATE;
}

uint8_t session_exact_tag(enum lag_policy policy)
{
    return (uint8_t)(SESSION_EXACT | (unsigned)policy << SESSION_POLICY_SHIFT);
}

bool session_is_full(struct session_call *call, const struct session_name *name)
{
    const char *message = "too many subscriptions";
    if (!variant_is_none(name->variant) &&
        call->session->derived_count >= CHANNELS_CLIENT_VARIANTS_MAX) {
        message = "too many depths, bars and intervals for one client (max_derived)";
    } else if (session_subscription_count(call->session) <
               session_limit(call->sessions, call->conn)) {
        return false;
    }
    session_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, message);
    return true;
}

/* One has come (1) or gone (-1). */
void session_count_exact(struct session_call *call, uint32_t channel, int change)
{
    static_assert(CHANNELS_MAX < 1 << 20, "bits of exact_count");
    static_assert(2 * CHANNELS_CLIENT_VARIANTS_MAX < 1 << 12, "bits of derived_count");
    const struct channel *known = channels_get(call->sessions->options.channels, channel);
    struct session *session = call->session;
    assert_debug(change > 0 || session->exact_count > 0);
    session->exact_count += (uint32_t)change;
    if (known->group == CHANNELS_VARIANTS_GROUP) {
        assert_debug(change > 0 || session->derived_count > 0);
        session->derived_count += (uint32_t)change;
    }
}

/* What LIST tells of an entry, and MODIFIED. */
struct session_settings {
    enum lag_policy policy;
    uint16_t max_lag_ms;
};

static struct session_settings session_pattern_settings(const struct session_pattern *pattern)
{
    return (struct session_settings){(enum lag_policy)pattern->policy, pattern->max_lag_ms};
}

static struct session_settings session_star_settings(const struct session_call *call,
                                                     enum md_type type)
{
    return (struct session_settings){
        .policy = (enum lag_policy)call->session->star_policies[type],
        .max_lag_ms = core_group_max_lag(call->core, call->conn, type),
    };
}

static struct session_settings session_exact_settings(const struct session_call *call,
                                                      uint32_t channel)
{
    int tag = core_subscription_tag(call->core, call->conn, channel);
    return (struct session_settings){
        .policy = tag < 0 ? LAG_SKIP : (enum lag_policy)(tag >> SESSION_POLICY_SHIFT),
        .max_lag_ms = core_max_lag(call->core, call->conn, channel),
    };
}

static void session_put_settings(struct reply *reply, struct session_settings settings)
{
    reply_print(reply, ",\"on_lag\":\"%s\"", request_policy_name(settings.policy));
    if (settings.max_lag_ms != 0) {
        reply_print(reply, ",\"max_lag_ms\":%u", settings.max_lag_ms);
    }
}

static void session_accept(struct session_call *call, const struct session_name *name,
                           uint32_t channel)
{
    struct reply *reply = &call->sessions->reply;
    session_spend(call, SESSION_ENTRY_UNITS);
    session_begin_channel(reply, name, channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, core_next_seq(call->core, call->conn, channel));
    reply_text(reply, ",\"hash\":");
    reply_hash(reply, core_hash(call->core, call->conn, channel));
    if (call->request->type == REQUEST_MODIFY) {
        session_put_settings(reply, session_exact_settings(call, channel));
    }
    reply_text(reply, "}");
}

static void session_accept_pattern(struct session_call *call, const struct session_name *name,
                                   int64_t channel_count, struct session_settings settings)
{
    struct reply *reply = &call->sessions->reply;
    session_begin_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64, channel_count);
    if (call->request->type == REQUEST_MODIFY) {
        session_put_settings(reply, settings);
    }
    reply_text(reply, "}");
}

/* Whether a feed gives what a variant is computed from. */
static bool session_has_source(const struct session_call *call, const struct session_name *name)
{
    const struct channels *channels = call->sessions->options.channels;
    return channels_find(channels, name->text, name->bytes, name->type) != CHANNEL_NONE ||
           (name->type == MD_BAR &&
            channels_find(channels, name->text, name->bytes, MD_TRADE) != CHANNEL_NONE);
}

/* The channel, held; made when it is a variant's that nobody has wished for yet. CHANNEL_NONE:
 * refused. */
static uint32_t session_open_channel(struct session_call *call, const struct session_name *name)
{
    struct channels *channels = call->sessions->options.channels;
    uint32_t channel =
        channels_find_variant(channels, name->text, name->bytes, name->type, name->variant);
    if (channel != CHANNEL_NONE && channels_hold(channels, channel)) {
        return channel;
    }
    if (variant_is_none(name->variant) || !session_has_source(call, name)) {
        session_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, "unknown symbol");
        return CHANNEL_NONE;
    }
    if (session_is_full(call, name)) {
        return CHANNEL_NONE;
    }
    channel = channels_hold_variant(channels, name->text, name->bytes, name->type, name->variant);
    if (channel == CHANNEL_NONE) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED,
                       "the server has as many depths, bars and intervals as it can");
    }
    return channel;
}

static void session_subscribe_channel(struct session_call *call, const struct session_name *name,
                                      uint32_t channel)
{
    enum lag_policy policy = session_policy(call, name);
    uint8_t new_tag = session_exact_tag(policy);
    int tag = core_subscription_tag(call->core, call->conn, channel);
    bool is_new = tag == -ENOENT || (tag & SESSION_EXACT) == 0;
    if (call->request->epoch != NULL) {
        session_subscribe_since(call, name, channel);
        return;
    }
    if (is_new && session_is_full(call, name)) {
        return;
    }
    if (tag == -ENOENT) {
        uint32_t group = channels_get(call->sessions->options.channels, channel)->group;
        bool wants_image = call->request->snapshot && !variant_is_none(name->variant) &&
                           !core_gets_image(call->core, call->conn, channel);
        if (core_subscribe(call->core, call->conn, channel, group, policy, call->request->snapshot,
                           new_tag) < 0) {
            session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
            return;
        }
        if (wants_image) {
            channels_ask_snapshot(call->sessions->options.channels, channel);
        }
    } else if (is_new || call->request->has_policy) {
        core_set_subscription(call->core, call->conn, channel, policy, new_tag);
    }
    if (is_new || call->request->has_max_lag) {
        core_set_max_lag(call->core, call->conn, channel, call->request->max_lag_ms);
    }
    if (is_new) {
        session_count_exact(call, channel, 1);
    }
    session_accept(call, name, channel);
}

static void session_subscribe_exact(struct session_call *call, const struct session_name *name)
{
    uint32_t channel = session_open_channel(call, name);
    if (channel != CHANNEL_NONE) {
        session_subscribe_channel(call, name, channel);
        channels_release(call->sessions->options.channels, channel);
    }
}

/* Of a whole type. */
static int64_t session_count_group(struct sessions *sessions, enum md_type type)
{
    const struct channels *channels = sessions->options.channels;
    while (sessions->groups_counted_to < channels_count(channels)) {
        sessions->group_counts[channels_get(channels, sessions->groups_counted_to++)->group]++;
    }
    return sessions->group_counts[type];
}

static void session_subscribe_star(struct session_call *call, const struct session_name *name)
{
    struct session *session = call->session;
    enum lag_policy policy = session_policy(call, name);
    bool is_new = (session->star_types & (1u << name->type)) == 0;
    if (is_new && session_is_full(call, name)) {
        return;
    }
    session_spend(call, SESSION_ENTRY_UNITS);
    if (is_new || call->request->has_policy) {
        session_spend(call, is_new ? channels_count(call->sessions->options.channels) / 4 : 0);
        if (core_subscribe_group(call->core, call->conn, name->type, policy,
                                 call->request->snapshot) < 0) {
            session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
            return;
        }
        session->star_types |= (uint8_t)(1u << name->type);
        session->star_policies[name->type] = (uint8_t)policy;
    }
    if (is_new || call->request->has_max_lag) {
        core_set_group_max_lag(call->core, call->conn, name->type, call->request->max_lag_ms);
    }
    struct session_settings settings = session_star_settings(call, name->type);
    session_accept_pattern(call, name, session_count_group(call->sessions, name->type), settings);
}

/* Puts it into the list, or changes what is there; SESSION_NAME_BEGINS: refused. */
static enum session_name_step session_begin_pattern(struct session_call *call,
                                                    const struct session_name *name)
{
    struct session *session = call->session;
    uint32_t place = session_find_pattern(session, name);
    bool is_new = place == session_pattern_count(session);
    if (is_new && session_is_full(call, name)) {
        return SESSION_NAME_BEGINS;
    }
    if (is_new && session_pattern_count(session) == SESSION_PATTERNS_MAX) {
        session_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, "too many patterns");
        return SESSION_NAME_BEGINS;
    }
    if (is_new && session_add_pattern(call, name, session_policy(call, name)) < 0) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return SESSION_NAME_BEGINS;
    }
    bool is_changed = !is_new && (call->request->has_policy || call->request->has_max_lag);
    struct session_pattern *pattern = &session->patterns->entries[place];
    if (!is_new && call->request->has_policy) {
        pattern->policy = (uint8_t)call->request->policy;
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
        session_spend(call, SESSION_ENTRY_UNITS);
        at->name_step = session_begin_pattern(call, name);
    }
    uint32_t place = session_find_pattern(session, name);
    if (at->name_step == SESSION_NAME_COVERS && !session_apply_pattern(call)) {
        return false;
    }
    if (at->name_step == SESSION_NAME_COUNTS) {
        if (!session_count_pattern(call, &session->patterns->entries[place])) {
            return false;
        }
        at->covered = session->patterns->entries[place].covered;
    }
    if (at->name_step == SESSION_NAME_COVERS && at->covered < 0 &&
        place < session_pattern_count(session)) {
        session_take_pattern(call, place);
        at->name_step = SESSION_NAME_RELEASES;
    }
    if (at->name_step == SESSION_NAME_RELEASES && !session_release_pattern(call)) {
        return false;
    }
    if (at->name_step != SESSION_NAME_BEGINS && at->covered < 0) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
    } else if (at->name_step != SESSION_NAME_BEGINS) {
        session_accept_pattern(call, name, at->covered, session_pattern_settings(&at->pattern));
    }
    at->name_step = SESSION_NAME_BEGINS;
    return true;
}

bool session_refuses_policy(struct session_call *call, const struct session_name *name)
{
    if (session_policy(call, name) != LAG_CONFLATE || session_is_full_image(name)) {
        return false;
    }
    session_refuse(call, name, PROTOCOL_NOT_OFFERED, "only quote and bar can be conflated");
    return true;
}

bool session_may_see(struct session_call *call, const struct session_name *name)
{
    const struct scope *scope = session_scope(call->sessions, call->conn);
    session_spend(call, scope->pattern_count / SESSION_PATTERNS_PER_UNIT);
    return scope_covers(scope, name->text, name->bytes, name->type);
}

bool session_is_forbidden(struct session_call *call, const struct session_name *name)
{
    if (session_may_see(call, name)) {
        return false;
    }
    session_refuse(call, name, PROTOCOL_FORBIDDEN, "your token does not open it");
    return true;
}

/* Whether a name can be subscribed as the message asks; otherwise it is refused. */
static bool session_is_good_name(struct session_call *call, const struct session_name *name)
{
    bool is_pattern = session_is_pattern(name);
    if (is_pattern && !pattern_is_good(name->text, name->bytes)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST,
                       "a pattern has at most 4 '*' and 36 bytes");
    } else if (!is_pattern && (name->bytes == 0 || name->bytes > MD_SYMBOL_BYTES_MAX)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "a symbol has 1 to 32 bytes");
    } else if (is_pattern && !variant_is_none(name->variant)) {
        session_refuse(call, name, PROTOCOL_NOT_OFFERED,
                       "depth, bar and interval_ms are offered for symbols, not for patterns");
    } else if (name->variant.interval_ms != 0 && !session_can_conflate(name)) {
        session_refuse(call, name, PROTOCOL_NOT_OFFERED,
                       "only quote, and depth with a number of levels, can have interval_ms");
    } else {
        return !session_refuses_policy(call, name) && !session_is_forbidden(call, name);
    }
    return false;
}

static bool session_subscribe_one(struct session_call *call, const struct session_name *name)
{
    if (call->at.name_step == SESSION_NAME_BEGINS && !session_is_good_name(call, name)) {
        return true;
    }
    if (session_is_star(name)) {
        session_subscribe_star(call, name);
    } else if (session_is_pattern(name)) {
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
        session_begin_verdicts(call, "SUBSCRIBED");
        at->step++;
    }
    if (at->step == 1) {
        if (!session_for_each_name(call, session_subscribe_one)) {
            return false;
        }
        at->step++;
    }
    if (!session_define_names(call)) {
        return false;
    }
    session_end_verdicts(call);
    return true;
}

void session_cover_channel(struct sessions *sessions, struct core *core, uint32_t i)
{
    const struct channel *channel = channels_get(sessions->options.channels, i);
    (void)session_count_group(sessions, MD_QUOTE); /* Not from a request's time. */
    if (channel->group == CHANNELS_VARIANTS_GROUP) {
        return; /* No pattern covers it, nor "*". */
    }
    session_define_new_channel(sessions, core, i);
    /* Downwards: a conn that ends on the way is replaced by one that was seen to. */
    for (uint32_t place = sessions->pattern_conn_count; place-- > 0;) {
        if (place >= sessions->pattern_conn_count) {
            continue;
        }
        uint32_t conn = sessions->pattern_conns[place];
        const struct session_pattern *cover =
            session_find_cover(session_of(sessions, conn), channel);
        if (cover == NULL) {
            continue;
        }
        struct session_pattern pattern = *cover; /* The conn may end on the way. */
        if (core_conn_encoding(core, conn) == CORE_ENCODING_SBE) {
            session_define_one(sessions, core, conn, i);
        }
        if (session_subscribe_covered(core, conn, i, &pattern, false) >= 0) {
            continue;
        }
        static const struct request_error error = {
            .code = PROTOCOL_LIMIT_EXCEEDED,
            .message = "the server has no room for a new channel of your patterns",
        };
        session_send_error(sessions, core, conn, "", &error);
    }
}

/* ---- MODIFY ---- */

/* As SUBSCRIBE does it to what is subscribed. */
static bool session_modify_one(struct session_call *call, const struct session_name *name)
{
    const struct session *session = call->session;
    uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                             name->bytes, name->type, name->variant);
    int tag =
        channel == CHANNEL_NONE ? -ENOENT : core_subscription_tag(call->core, call->conn, channel);
    if (call->at.name_step == SESSION_NAME_BEGINS && session_refuses_policy(call, name)) {
        return true;
    }
    if (session_is_star(name) && (session->star_types & (1u << name->type)) != 0) {
        session_subscribe_star(call, name);
    } else if (call->at.name_step != SESSION_NAME_BEGINS ||
               session_find_pattern(session, name) < session_pattern_count(session)) {
        return session_subscribe_pattern(call, name);
    } else if (tag >= 0 && (tag & SESSION_EXACT) != 0) {
        session_subscribe_exact(call, name);
    } else {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
    }
    return true;
}

bool session_modify(struct session_call *call)
{
    if (call->at.step == 0) {
        call->at.step++;
        session_begin_verdicts(call, "MODIFIED");
    }
    if (!session_for_each_name(call, session_modify_one)) {
        return false;
    }
    session_end_verdicts(call);
    return true;
}

/* ---- LIST ---- */

static void session_list_pattern(struct session_call *call, const struct session_name *name,
                                 int64_t channel_count, struct session_settings settings)
{
    struct reply *reply = &call->sessions->reply;
    session_spend(call, SESSION_ENTRY_UNITS);
    session_begin_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64, channel_count);
    session_put_settings(reply, settings);
    reply_text(reply, "}");
}

static void session_list_stars(struct session_call *call)
{
    for (unsigned i = 0; i < MD_TYPE_COUNT; i++) {
        enum md_type type = (enum md_type)i;
        if ((call->session->star_types & (1u << type)) != 0) {
            struct session_name name = session_star_name(type);
            session_list_pattern(call, &name, session_count_group(call->sessions, type),
                                 session_star_settings(call, type));
        }
    }
}

static bool session_list_patterns(struct session_call *call)
{
    const struct session *session = call->session;
    for (; call->at.name < session_pattern_count(session); call->at.name++) {
        struct session_pattern *pattern = &session->patterns->entries[call->at.name];
        struct session_name name = session_pattern_name(pattern);
        if (session_must_wait(call) || !session_count_pattern(call, pattern)) {
            return false;
        }
        session_list_pattern(call, &name, pattern->covered, session_pattern_settings(pattern));
    }
    return true;
}

static bool session_list_exact(struct session_call *call, uint32_t i, const struct channel *channel)
{
    struct reply *reply = &call->sessions->reply;
    if (call->at.covered >= call->session->exact_count) {
        return false; /* That was all. */
    }
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0 || (tag & SESSION_EXACT) == 0) {
        return true;
    }
    call->at.covered++;
    session_spend(call, 2 * SESSION_ENTRY_UNITS);
    struct session_name name = session_channel_name(channel);
    session_begin_channel(reply, &name, i);
    reply_print(reply, ",\"next_seq\":%" PRIu64, core_next_seq(call->core, call->conn, i));
    session_put_settings(reply, session_exact_settings(call, i));
    reply_text(reply, "}");
    return true;
}

bool session_list(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    if (call->at.step == 0) {
        call->at.step++;
        reply_begin(reply, "SUBSCRIPTIONS", call->request->id, session_wall_ns());
        reply_print(reply, "{\"epoch\":\"%s\",\"subscriptions\":[", call->sessions->options.epoch);
    }
    if (call->at.step == 1) {
        if (!session_for_each_channel(call, session_list_exact)) {
            return false;
        }
        call->at.step++;
        session_list_stars(call);
    }
    if (!session_list_patterns(call)) {
        return false;
    }
    reply_print(reply, "],\"count\":%" PRIu32 ",\"limit\":%" PRIu32 "}",
                session_subscription_count(call->session),
                session_limit(call->sessions, call->conn));
    reply_end(reply);
    session_send_reply(call);
    return true;
}
