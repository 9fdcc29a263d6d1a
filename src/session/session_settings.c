#include "src/session/session_settings.h"

#include "src/session/session_answer.h"

/* Only the newest image in an interval would corrupt trades, bars and the deltas of a book. */
static_assert((int)REQUEST_SKIP == (int)LAG_SKIP, "on_lag names the policies of the core");
static_assert((int)REQUEST_CONFLATE == (int)LAG_CONFLATE, "as above");
static_assert((int)REQUEST_DISCONNECT == (int)LAG_DISCONNECT, "as above");

enum lag_policy session_settings_asked(const struct request *request)
{
    assert_always(request->has_on_lag);
    return (enum lag_policy)request->on_lag;
}

bool session_settings_can_conflate(const struct session_name *name)
{
    return name->type == MD_QUOTE || (name->type == MD_DEPTH && name->variant.depth != 0);
}

/* Whether each frame replaces the ones before. The loss of other frames is reported. */
static bool session_settings_is_full_image(const struct session_name *name)
{
    return name->type == MD_QUOTE || name->type == MD_BAR || name->variant.interval_ms != 0;
}

enum lag_policy session_settings_policy(const struct session_call *call,
                                        const struct session_name *name)
{
    if (call->request->has_on_lag) {
        return session_settings_asked(call->request);
    }
    return name->type == MD_BAR || !session_settings_is_full_image(name) ? LAG_SKIP : LAG_CONFLATE;
}

bool session_settings_refuse(struct session_call *call, const struct session_name *name)
{
    if (session_settings_policy(call, name) != LAG_CONFLATE ||
        session_settings_is_full_image(name)) {
        return false;
    }
    session_answer_refuse(call, name, PROTOCOL_NOT_OFFERED, "only quote and bar can be conflated");
    return true;
}

uint8_t session_settings_exact_tag(enum lag_policy policy)
{
    return (uint8_t)(SESSION_EXACT | (unsigned)policy << SESSION_POLICY_SHIFT);
}

struct session_settings session_settings_of_pattern(const struct session_pattern *pattern)
{
    return (struct session_settings){(enum lag_policy)pattern->policy, pattern->max_lag_ms};
}

struct session_settings session_settings_of_star(const struct session_call *call, enum md_type type)
{
    return (struct session_settings){
        .policy = session_star_policy(call->session, type),
        .max_lag_ms = core_group_max_lag(call->core, call->conn, type),
    };
}

struct session_settings session_settings_of_exact(const struct session_call *call, uint32_t channel)
{
    int tag = core_subscription_tag(call->core, call->conn, channel);
    return (struct session_settings){
        .policy = tag < 0 ? LAG_SKIP : (enum lag_policy)(tag >> SESSION_POLICY_SHIFT),
        .max_lag_ms = core_max_lag(call->core, call->conn, channel),
    };
}

void session_settings_put(struct reply *reply, struct session_settings settings)
{
    reply_print(reply, ",\"on_lag\":\"%s\"",
                request_on_lag_name((enum request_on_lag)settings.policy));
    if (settings.max_lag_ms != 0) {
        reply_print(reply, ",\"max_lag_ms\":%u", settings.max_lag_ms);
    }
}
