#include "src/session/session_limits.h"

#include "src/session/session_answer.h"
#include "src/session/session_client.h"

uint32_t session_limits_subscribed(const struct session *session)
{
    return session->exact_count + session->replayed_count + session_patterns_count(session) +
           (uint32_t)__builtin_popcount(session->star_types);
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
        call->session->derived_count >= CHANNELS_CLIENT_VARIANTS_MAX) {
        message = "too many depths, bars and intervals for one client (max_derived)";
    } else if (session_limits_subscribed(call->session) <
               session_limits_subscriptions(call->sessions, call->conn)) {
        return false;
    }
    session_answer_refuse(call, name, PROTOCOL_SUBSCRIPTION_LIMIT, message);
    return true;
}

void session_limits_count_exact(struct session_call *call, uint32_t channel, int change)
{
    const struct channel *known = channels_get(call->sessions->options.channels, channel);
    struct session *session = call->session;
    assert_always(change > 0 || session->exact_count > 0);
    session->exact_count += (uint32_t)change;
    if (known->group == CHANNELS_VARIANTS_GROUP) {
        assert_always(change > 0 || session->derived_count > 0);
        session->derived_count = (uint16_t)(session->derived_count + change);
    }
}

bool session_limits_is_forbidden(struct session_call *call, const struct session_name *name)
{
    if (session_client_may_see(call, name)) {
        return false;
    }
    session_answer_refuse(call, name, PROTOCOL_FORBIDDEN, "your token does not open it");
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
    if (extra == 0 || sessions->clients == NULL || call->session->number == 0) {
        return;
    }
    struct session_client *entry = &sessions->clients[call->conn];
    if (entry->has_client) {
        entry->messages_full_ns +=
            extra * session_limits_message_rate(sessions, call->conn).interval_ns;
    }
}
