/* SUBSCRIBE, UNSUBSCRIBE and LIST. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "src/session_state.h"

#define SESSION_TYPES_ALL ((1u << MD_TYPE_COUNT) - 1)

/* ---- Entries ---- */

static struct session_name session_channel_name(const struct channel *channel)
{
    return (struct session_name){channel->symbol, channel->symbol_bytes,
                                 (enum md_type)channel->type};
}

static struct session_name session_pattern_name(const struct session_pattern *pattern)
{
    return (struct session_name){pattern->text, pattern->bytes, (enum md_type)pattern->type};
}

static struct session_name session_star_name(enum md_type type)
{
    return (struct session_name){"*", 1, type};
}

static void session_refuse(struct session_call *call, const struct session_name *name,
                           enum protocol_code code, const char *message)
{
    struct reply *failed = &call->sessions->failed;
    call->forbidden_count += code == PROTOCOL_FORBIDDEN;
    bool retry = code == PROTOCOL_UNKNOWN_SYMBOL || code == PROTOCOL_LIMIT_EXCEEDED;
    session_begin_entry(failed, name);
    reply_print(failed, ",\"code\":%d,\"message\":\"%s\",\"retry\":%s}", (int)code, message,
                retry ? "true" : "false");
}

/* ---- Patterns ---- */

static bool session_covers(const struct session_pattern *pattern, const struct channel *channel)
{
    return pattern->type == channel->type &&
           channels_pattern_matches(pattern->text, pattern->bytes, channel->symbol,
                                    channel->symbol_bytes);
}

/* The pattern that a channel has its policy from, or NULL. */
static const struct session_pattern *session_first_cover(const struct session *session,
                                                         const struct channel *channel)
{
    for (uint32_t i = 0; i < session->pattern_count; i++) {
        if (session_covers(&session->patterns[i], channel)) {
            return &session->patterns[i];
        }
    }
    return NULL;
}

static uint32_t session_find_pattern(const struct session *session, const struct session_name *name)
{
    uint32_t i = 0;
    while (i < session->pattern_count &&
           (session->patterns[i].type != name->type || session->patterns[i].bytes != name->bytes ||
            memcmp(session->patterns[i].text, name->text, name->bytes) != 0)) {
        i++;
    }
    return i; /* pattern_count: there is none. */
}

static int session_add_pattern(struct session_call *call, const struct session_name *name,
                               enum lag_policy policy)
{
    struct sessions *sessions = call->sessions;
    struct session *session = call->session;
    size_t count = session->pattern_count;
    struct session_pattern *grown =
        realloc(session->patterns, (count + 1) * sizeof *session->patterns);
    if (grown == NULL) {
        return -ENOMEM;
    }
    session->patterns = grown;
    grown[count] = (struct session_pattern){
        .type = (uint8_t)name->type,
        .policy = (uint8_t)policy,
        .bytes = (uint8_t)name->bytes,
    };
    memcpy(grown[count].text, name->text, name->bytes);
    session->pattern_count++;
    if (count == 0) {
        session->pattern_place = sessions->pattern_conn_count;
        sessions->pattern_conns[sessions->pattern_conn_count++] = call->conn;
    }
    return 0;
}

void session_free_patterns(struct sessions *sessions, struct session *session)
{
    if (session->patterns == NULL) {
        return;
    }
    uint32_t moved = sessions->pattern_conns[--sessions->pattern_conn_count];
    sessions->pattern_conns[session->pattern_place] = moved;
    session_of(sessions, moved)->pattern_place = session->pattern_place;
    free(session->patterns);
    session->patterns = NULL;
    session->pattern_count = 0;
}

static int session_subscribe_covered(struct core *core, uint32_t conn, uint32_t channel,
                                     const struct session_pattern *pattern, bool snapshot)
{
    return core_subscribe(core, conn, channel, pattern->type, (enum lag_policy)pattern->policy,
                          snapshot, SESSION_BY_PATTERN);
}

/* Subscribes what the pattern covers. What another pattern covers already has its policy from that
 * one, which came first; with_policy: where this is the first after all, its policy has changed.
 * Returns how many channels it covers, or -ENOSPC. */
static int64_t session_apply_pattern(struct session_call *call, uint32_t place, bool with_policy)
{
    struct session *session = call->session;
    struct session_pattern pattern = session->patterns[place];
    int64_t covered = 0;
    for (uint32_t i = 0; i < channels_count(call->sessions->options.channels); i++) {
        const struct channel *channel = channels_get(call->sessions->options.channels, i);
        if (!session_covers(&pattern, channel)) {
            continue;
        }
        int tag = core_subscription_tag(call->core, call->conn, i);
        if (tag == -ENOENT) {
            int error = session_subscribe_covered(call->core, call->conn, i, &pattern,
                                                  call->request->snapshot);
            if (error < 0) {
                return error;
            }
        } else if (with_policy && tag == SESSION_BY_PATTERN && place < session->pattern_count &&
                   session_first_cover(session, channel) == &session->patterns[place]) {
            core_set_subscription(call->core, call->conn, i, (enum lag_policy)pattern.policy,
                                  SESSION_BY_PATTERN);
        }
        covered++;
    }
    return covered;
}

/* A channel that lost one of its entries stays with the first pattern that covers it. */
static void session_release_channel(struct session_call *call, uint32_t i)
{
    const struct channel *channel = channels_get(call->sessions->options.channels, i);
    const struct session_pattern *cover = session_first_cover(call->session, channel);
    if (cover == NULL) {
        core_unsubscribe(call->core, call->conn, i);
    } else {
        core_set_subscription(call->core, call->conn, i, (enum lag_policy)cover->policy,
                              SESSION_BY_PATTERN);
    }
}

static void session_remove_pattern(struct session_call *call, uint32_t place)
{
    struct session *session = call->session;
    if (place >= session->pattern_count) {
        return; /* The conn has ended meanwhile. */
    }
    struct session_pattern removed = session->patterns[place];
    session->pattern_count--;
    memmove(&session->patterns[place], &session->patterns[place + 1],
            (session->pattern_count - place) * sizeof *session->patterns);
    if (session->pattern_count == 0) {
        session_free_patterns(call->sessions, session);
    }
    for (uint32_t i = 0; i < channels_count(call->sessions->options.channels); i++) {
        if (session_covers(&removed, channels_get(call->sessions->options.channels, i)) &&
            core_subscription_tag(call->core, call->conn, i) == SESSION_BY_PATTERN) {
            session_release_channel(call, i);
        }
    }
}

/* ---- SUBSCRIBE ---- */

static bool session_is_pattern(const struct session_name *name)
{
    return memchr(name->text, '*', name->bytes) != NULL;
}

static bool session_is_star(const struct session_name *name)
{
    return name->bytes == 1 && name->text[0] == '*';
}

static bool session_is_good_pattern(const struct session_name *name)
{
    uint32_t stars = 0;
    for (size_t i = 0; i < name->bytes; i++) {
        stars += name->text[i] == '*';
    }
    return stars <= REQUEST_PATTERN_STARS_MAX && name->bytes <= REQUEST_PATTERN_BYTES_MAX;
}

/* A quote or bar is a full image: the newest tells all. What another type loses is told. */
static bool session_is_full_image(enum md_type type)
{
    return type == MD_QUOTE || type == MD_BAR;
}

static enum lag_policy session_policy(const struct session_call *call, enum md_type type)
{
    if (call->request->has_policy) {
        return call->request->policy;
    }
    return type == MD_QUOTE ? LAG_CONFLATE : LAG_SKIP;
}

static uint8_t session_exact_tag(enum lag_policy policy)
{
    return (uint8_t)(SESSION_EXACT | (unsigned)policy << SESSION_POLICY_SHIFT);
}

static uint32_t session_subscription_count(const struct session *session)
{
    return session->exact_count + session->pattern_count +
           (uint32_t)__builtin_popcount(session->star_types);
}

static bool session_is_full(struct session_call *call, const struct session_name *name)
{
    if (session_subscription_count(call->session) < session_limit(call->sessions, call->conn)) {
        return false;
    }
    session_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, "too many subscriptions");
    return true;
}

static void session_accept(struct session_call *call, const struct session_name *name,
                           uint32_t channel)
{
    struct reply *reply = &call->sessions->reply;
    session_begin_entry(reply, name);
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, core_next_seq(call->core, channel));
    reply_text(reply, "}");
}

static void session_accept_pattern(struct session_call *call, const struct session_name *name,
                                   int64_t channel_count)
{
    struct reply *reply = &call->sessions->reply;
    session_begin_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64 "}", channel_count);
}

static void session_subscribe_exact(struct session_call *call, const struct session_name *name)
{
    enum lag_policy policy = session_policy(call, name->type);
    uint8_t new_tag = session_exact_tag(policy);
    uint32_t channel =
        channels_find(call->sessions->options.channels, name->text, name->bytes, name->type);
    if (channel == CHANNEL_NONE) {
        session_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, "unknown symbol");
        return;
    }
    int tag = core_subscription_tag(call->core, call->conn, channel);
    bool is_new = tag == -ENOENT || (tag & SESSION_EXACT) == 0;
    if (is_new && session_is_full(call, name)) {
        return;
    }
    if (tag == -ENOENT) {
        if (core_subscribe(call->core, call->conn, channel, name->type, policy,
                           call->request->snapshot, new_tag) < 0) {
            session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
            return;
        }
    } else if (is_new || call->request->has_policy) {
        core_set_subscription(call->core, call->conn, channel, policy, new_tag);
    }
    call->session->exact_count += is_new;
    session_accept(call, name, channel);
}

static int64_t session_count_channels(const struct session_call *call,
                                      const struct session_name *name)
{
    const struct channels *channels = call->sessions->options.channels;
    uint32_t channel_count = channels_count(channels);
    int64_t count = 0;
    for (uint32_t i = 0; i < channel_count; i++) {
        const struct channel *channel = channels_get(channels, i);
        count += channel->type == (uint8_t)name->type &&
                 channels_pattern_matches(name->text, name->bytes, channel->symbol,
                                          channel->symbol_bytes);
    }
    return count;
}

static void session_subscribe_star(struct session_call *call, const struct session_name *name)
{
    struct session *session = call->session;
    enum lag_policy policy = session_policy(call, name->type);
    bool is_new = (session->star_types & (1u << name->type)) == 0;
    if (is_new && session_is_full(call, name)) {
        return;
    }
    if (is_new || call->request->has_policy) {
        if (core_subscribe_group(call->core, call->conn, name->type, policy,
                                 call->request->snapshot) < 0) {
            session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
            return;
        }
        session->star_types |= (uint8_t)(1u << name->type);
        session->star_policies[name->type] = (uint8_t)policy;
    }
    session_accept_pattern(call, name, session_count_channels(call, name));
}

static void session_subscribe_pattern(struct session_call *call, const struct session_name *name)
{
    struct session *session = call->session;
    uint32_t place = session_find_pattern(session, name);
    bool is_new = place == session->pattern_count;
    if (is_new && session_is_full(call, name)) {
        return;
    }
    if (is_new && session->pattern_count == SESSION_PATTERNS_MAX) {
        session_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, "too many patterns");
        return;
    }
    if (is_new && session_add_pattern(call, name, session_policy(call, name->type)) < 0) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return;
    }
    bool with_policy = !is_new && call->request->has_policy;
    if (with_policy) {
        session->patterns[place].policy = (uint8_t)call->request->policy;
    }
    int64_t covered = session_apply_pattern(call, place, with_policy);
    if (covered < 0) {
        session_remove_pattern(call, place);
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
        return;
    }
    session_accept_pattern(call, name, covered);
}

static void session_subscribe_one(struct session_call *call, const struct session_name *name)
{
    bool is_pattern = session_is_pattern(name);
    if (is_pattern && !session_is_good_pattern(name)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST,
                       "a pattern has at most 4 '*' and 36 bytes");
    } else if (!is_pattern && (name->bytes == 0 || name->bytes > MD_SYMBOL_BYTES_MAX)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "a symbol has 1 to 32 bytes");
    } else if (session_policy(call, name->type) == LAG_CONFLATE &&
               !session_is_full_image(name->type)) {
        session_refuse(call, name, PROTOCOL_NOT_OFFERED, "only quote and bar can be conflated");
    } else if (!scope_covers(session_scope(call->sessions, call->conn), name->text, name->bytes,
                             name->type)) {
        session_refuse(call, name, PROTOCOL_FORBIDDEN, "your token does not open it");
    } else if (session_is_star(name)) {
        session_subscribe_star(call, name);
    } else if (is_pattern) {
        session_subscribe_pattern(call, name);
    } else {
        session_subscribe_exact(call, name);
    }
}

/* For each symbol and data type of the request, until the conn ends. */
static void session_for_each_name(struct session_call *call,
                                  void (*visit)(struct session_call *call,
                                                const struct session_name *name))
{
    for (uint32_t i = 0; i < call->request->symbol_count; i++) {
        struct session_name name;
        name.text = request_symbol(call->request, i, &name.bytes);
        for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
            if ((call->request->types & (1u << type)) != 0 && call->session->number != 0) {
                name.type = (enum md_type)type;
                visit(call, &name);
            }
        }
    }
}

void session_subscribe(struct session_call *call)
{
    session_begin_verdicts(call, "SUBSCRIBED");
    session_for_each_name(call, session_subscribe_one);
    session_end_verdicts(call);
    session_audit_scope(call, call->forbidden_count);
}

void session_cover_channel(struct sessions *sessions, struct core *core, uint32_t i)
{
    const struct channel *channel = channels_get(sessions->options.channels, i);
    /* Downwards: a conn that ends on the way is replaced by one that was seen to. */
    for (uint32_t place = sessions->pattern_conn_count; place-- > 0;) {
        if (place >= sessions->pattern_conn_count) {
            continue;
        }
        uint32_t conn = sessions->pattern_conns[place];
        const struct session_pattern *cover =
            session_first_cover(session_of(sessions, conn), channel);
        if (cover == NULL || session_subscribe_covered(core, conn, i, cover, false) >= 0) {
            continue;
        }
        static const struct request_error error = {
            .code = PROTOCOL_LIMIT_EXCEEDED,
            .message = "the server has no room for a new channel of your patterns",
        };
        session_send_error(sessions, core, conn, "", &error);
    }
}

/* ---- UNSUBSCRIBE ---- */

static void session_accept_removal(struct session_call *call, const struct session_name *name)
{
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
    call->session->exact_count--;
    session_release_channel(call, channel);
    return true;
}

static void session_unsubscribe_one(struct session_call *call, const struct session_name *name)
{
    bool removed = false;
    if (session_is_star(name)) {
        removed = session_unsubscribe_star(call, name->type);
    } else if (session_is_pattern(name)) {
        uint32_t place = session_find_pattern(call->session, name);
        removed = place < call->session->pattern_count;
        session_remove_pattern(call, place);
    } else {
        uint32_t channel =
            channels_find(call->sessions->options.channels, name->text, name->bytes, name->type);
        removed = channel != CHANNEL_NONE && session_unsubscribe_exact(call, channel);
    }
    if (removed) {
        session_accept_removal(call, name);
    } else {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "not subscribed");
    }
}

/* Takes the patterns of the types out of the list; the channels are seen to afterwards. */
static void session_drop_patterns(struct session_call *call, uint32_t types)
{
    struct session *session = call->session;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < session->pattern_count; i++) {
        struct session_pattern *pattern = &session->patterns[i];
        if ((types & (1u << pattern->type)) == 0) {
            session->patterns[kept++] = *pattern;
            continue;
        }
        struct session_name name = session_pattern_name(pattern);
        session_accept_removal(call, &name);
    }
    session->pattern_count = (uint16_t)kept;
    if (kept == 0) {
        session_free_patterns(call->sessions, session);
    }
}

/* Every entry of the given types: no other can cover what they covered. */
static void session_unsubscribe_all(struct session_call *call, uint32_t types)
{
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if ((types & (1u << type)) != 0 && session_unsubscribe_star(call, (enum md_type)type)) {
            struct session_name name = session_star_name((enum md_type)type);
            session_accept_removal(call, &name);
        }
    }
    session_drop_patterns(call, types);
    uint32_t channel_count = channels_count(call->sessions->options.channels);
    for (uint32_t i = 0; i < channel_count && call->session->number != 0; i++) {
        const struct channel *channel = channels_get(call->sessions->options.channels, i);
        int tag = core_subscription_tag(call->core, call->conn, i);
        if (tag < 0 || (types & (1u << channel->type)) == 0) {
            continue;
        }
        if ((tag & SESSION_EXACT) != 0) {
            struct session_name name = session_channel_name(channel);
            call->session->exact_count--;
            session_accept_removal(call, &name);
        }
        core_unsubscribe(call->core, call->conn, i);
    }
}

void session_unsubscribe(struct session_call *call)
{
    const struct request *request = call->request;
    session_begin_verdicts(call, "UNSUBSCRIBED");
    if (request->symbol_count == 0) {
        session_unsubscribe_all(call, request->types != 0 ? request->types : SESSION_TYPES_ALL);
    } else {
        session_for_each_name(call, session_unsubscribe_one);
    }
    session_end_verdicts(call);
}

/* ---- AUTH: a scope that is smaller ---- */

static void session_tell_dropped(struct session_call *call, const struct session_name *name)
{
    session_begin_entry(&call->sessions->failed, name);
    reply_put(&call->sessions->failed, "}", 1);
}

static uint32_t session_shrink_patterns(struct session_call *call, const struct scope *scope)
{
    struct session *session = call->session;
    uint32_t count = 0;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        struct session_name name = session_star_name((enum md_type)type);
        if (!scope_covers(scope, name.text, name.bytes, name.type) &&
            session_unsubscribe_star(call, name.type)) {
            session_tell_dropped(call, &name);
            count++;
        }
    }
    for (uint32_t place = session->pattern_count; place-- > 0;) {
        if (place >= session->pattern_count) {
            continue; /* The conn has ended meanwhile. */
        }
        struct session_pattern pattern = session->patterns[place];
        struct session_name name = session_pattern_name(&pattern);
        if (!scope_covers(scope, name.text, name.bytes, name.type)) {
            session_remove_pattern(call, place);
            session_tell_dropped(call, &name);
            count++;
        }
    }
    return count;
}

uint32_t session_shrink(struct session_call *call, const struct scope *scope)
{
    reply_put(&call->sessions->failed, "[", 1);
    uint32_t count = session_shrink_patterns(call, scope);
    uint32_t channel_count = channels_count(call->sessions->options.channels);
    for (uint32_t i = 0; i < channel_count && call->session->exact_count > 0; i++) {
        struct session_name name =
            session_channel_name(channels_get(call->sessions->options.channels, i));
        if (!scope_covers(scope, name.text, name.bytes, name.type) &&
            session_unsubscribe_exact(call, i)) {
            session_tell_dropped(call, &name);
            count++;
        }
    }
    reply_put(&call->sessions->failed, "]", 1);
    return count;
}

/* ---- LIST ---- */

static void session_list_pattern(struct session_call *call, const struct session_name *name,
                                 enum lag_policy policy)
{
    struct reply *reply = &call->sessions->reply;
    session_begin_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64 ",\"on_lag\":\"%s\"}",
                session_count_channels(call, name), request_policy_name(policy));
}

static void session_list_patterns(struct session_call *call)
{
    const struct session *session = call->session;
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        if ((session->star_types & (1u << type)) != 0) {
            struct session_name name = session_star_name((enum md_type)type);
            session_list_pattern(call, &name, (enum lag_policy)session->star_policies[type]);
        }
    }
    for (uint32_t i = 0; i < session->pattern_count; i++) {
        const struct session_pattern *pattern = &session->patterns[i];
        struct session_name name = session_pattern_name(pattern);
        session_list_pattern(call, &name, (enum lag_policy)pattern->policy);
    }
}

static void session_list_exact(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    uint32_t channel_count = channels_count(call->sessions->options.channels);
    uint32_t left = call->session->exact_count;
    for (uint32_t i = 0; i < channel_count && left > 0; i++) {
        int tag = core_subscription_tag(call->core, call->conn, i);
        if (tag < 0 || (tag & SESSION_EXACT) == 0) {
            continue;
        }
        left--;
        const struct channel *channel = channels_get(call->sessions->options.channels, i);
        struct session_name name = session_channel_name(channel);
        session_begin_entry(reply, &name);
        reply_print(reply, ",\"ch\":%" PRIu32 ",\"next_seq\":%" PRIu64 ",\"on_lag\":\"%s\"}", i,
                    core_next_seq(call->core, i),
                    request_policy_name((enum lag_policy)(tag >> SESSION_POLICY_SHIFT)));
    }
}

void session_list(struct session_call *call)
{
    struct reply *reply = &call->sessions->reply;
    reply_begin(reply, "SUBSCRIPTIONS", call->request->id, session_wall_ns());
    reply_print(reply, "{\"epoch\":\"%s\",\"subscriptions\":[", call->sessions->options.epoch);
    session_list_exact(call);
    session_list_patterns(call);
    reply_print(reply, "],\"count\":%" PRIu32 ",\"limit\":%" PRIu32 "}",
                session_subscription_count(call->session),
                session_limit(call->sessions, call->conn));
    reply_end(reply);
    session_send_reply(call);
}
