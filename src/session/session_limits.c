#include "src/session/session_limits.h"

#include <stdio.h>

#include "src/session/session_answer.h"
#include "src/session/session_client.h"

uint32_t session_limits_subscribed(const struct session *session)
{
    return session->use.exact_count + session->use.replayed_count +
           session_patterns_count(session) + (uint32_t)__builtin_popcount(session->star_types);
}

uint32_t session_limits_subscriptions(const struct sessions *sessions, uint32_t conn)
{
    uint32_t of_scope = session_client_scope(sessions, conn)->subscriptions_max;
    return of_scope != 0 ? of_scope : sessions->options.subscription_count_max;
}

bool session_limits_is_full(struct session_call *call, const struct session_name *name)
{
    const char *message = "too many subscriptions";
    if (!variant_is_none(name->variant) &&
        call->session->use.derived_count >= CHANNELS_CLIENT_VARIANTS_MAX) {
        message = "too many depths, bars and intervals for one client (max_derived)";
    } else if (session_limits_subscribed(call->session) <
               session_limits_subscriptions(call->sessions, call->conn)) {
        return false;
    }
    session_answer_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, message);
    return true;
}

static_assert(2 * CHANNELS_CLIENT_VARIANTS_MAX < 1 << 12, "bits of derived_count");
static_assert(2 * SESSION_REPLAYED_MAX < 1 << 12, "bits of replayed_count");
static_assert(SESSION_BOOKS_MAX < 1 << 8, "bits of book_count");

void session_limits_count_exact(struct session_call *call, uint32_t channel, int change)
{
    const struct channel *known = channels_get(call->sessions->options.channels, channel);
    struct session_use *use = &call->session->use;
    assert_always(change == 1 || change == -1);
    assert_always(change > 0 || use->exact_count > 0);
    use->exact_count += (uint32_t)change;
    if (known->group == CHANNELS_VARIANTS_GROUP) {
        assert_always(change > 0 || use->derived_count > 0);
        use->derived_count = (use->derived_count + (uint32_t)change) & 0xfff;
    }
    assert_debug(use->derived_count <= use->exact_count);
}

void session_limits_count_replayed(struct session *session, int change)
{
    int64_t count = (int64_t)session->use.replayed_count + change;
    assert_always(count >= 0);
    assert_always(count <= 2 * SESSION_REPLAYED_MAX);
    session->use.replayed_count = (uint32_t)count & 0xfff;
}

void session_limits_forget_replay(struct session *session)
{
    session->use.replayed_count = 0;
}

bool session_limits_has_book_room(const struct session *session)
{
    return session->use.book_count < SESSION_BOOKS_MAX;
}

void session_limits_count_book(struct session *session, int change)
{
    assert_always(change < 0 || session_limits_has_book_room(session));
    assert_always(change > 0 || session->use.book_count > 0);
    session->use.book_count = (session->use.book_count + (uint32_t)change) & 0xff;
}

bool session_limits_is_forbidden(struct session_call *call, const struct session_name *name)
{
    if (session_client_may_see(call, name)) {
        return false;
    }
    session_answer_refuse(call, name, PROTOCOL_FORBIDDEN, "your token does not permit it");
    return true;
}

struct rate session_limits_message_rate(const struct sessions *sessions, uint32_t conn)
{
    uint32_t of_scope = session_client_scope(sessions, conn)->messages_per_second;
    return of_scope != 0
               ? rate_per_second(of_scope)
               : access_message_rate(sessions->options.access, &sessions->clients[conn].client);
}

void session_limits_charge(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    uint64_t extra = call->units / SESSION_MESSAGE_UNITS;
    if (extra == 0 || sessions->clients == NULL) {
        return;
    }
    struct session_client *entry = &sessions->clients[call->conn];
    if (entry->has_client) {
        entry->messages_full_ns +=
            extra * session_limits_message_rate(sessions, call->conn).interval_ns;
    }
}

int session_limits_write(char *out, size_t out_bytes)
{
    return snprintf(out, out_bytes,
                    "\"limits\":{\"max_message_bytes\":%d,\"max_patterns\":%d"
                    ",\"max_symbols_per_message\":%d,\"max_derived\":%d,\"max_subscriptions\":",
                    CORE_MESSAGE_BYTES_MAX, SESSION_PATTERNS_MAX, REQUEST_SYMBOLS_MAX,
                    CHANNELS_CLIENT_VARIANTS_MAX);
}
