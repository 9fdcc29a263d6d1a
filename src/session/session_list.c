#include "src/session/session_list.h"

#include <inttypes.h>

#include "src/session/session_answer.h"
#include "src/session/session_cover.h"
#include "src/session/session_limits.h"
#include "src/session/session_settings.h"
#include "src/session/session_watch.h"

static void session_list_pattern(struct session_call *call, const struct session_name *name,
                                 int64_t channel_count, struct session_settings settings)
{
    struct reply *reply = &call->sessions->reply;
    session_call_spend(call, SESSION_ENTRY_UNITS);
    session_answer_entry(reply, name);
    reply_print(reply, ",\"channels\":%" PRId64, channel_count);
    session_settings_put(reply, settings);
    reply_text(reply, "}");
}

static void session_list_stars(struct session_call *call)
{
    for (unsigned i = 0; i < MD_TYPE_COUNT; i++) {
        enum md_type type = (enum md_type)i;
        if ((call->session->star_types & (1u << type)) != 0) {
            struct session_name name = session_name_of_star(type);
            session_list_pattern(call, &name, session_watch_group_count(call->sessions, type),
                                 session_settings_of_star(call, type));
        }
    }
}

static bool session_list_patterns(struct session_call *call)
{
    const struct session *session = call->session;
    for (; call->at.name < session_patterns_count(session); call->at.name++) {
        struct session_pattern *pattern = &session->patterns->entries[call->at.name];
        struct session_name name = session_patterns_name(pattern);
        if (session_call_must_wait(call) || !session_cover_count(call, pattern)) {
            return false;
        }
        session_list_pattern(call, &name, pattern->covered, session_settings_of_pattern(pattern));
    }
    return true;
}

static bool session_list_exact(struct session_call *call, uint32_t i, const struct channel *channel)
{
    struct reply *reply = &call->sessions->reply;
    if (call->at.covered >= call->session->use.exact_count) {
        return false; /* That was all. */
    }
    int tag = core_subscription_tag(call->core, call->conn, i);
    if (tag < 0 || (tag & SESSION_EXACT) == 0) {
        return true;
    }
    assert_debug(call->at.covered < (int64_t)call->session->use.exact_count);
    call->at.covered++;
    session_call_spend(call, 2 * SESSION_ENTRY_UNITS);
    struct session_name name = session_name_of_channel(channel);
    session_answer_channel(reply, &name, i);
    reply_print(reply, ",\"next_seq\":%" PRIu64, core_next_seq(call->core, call->conn, i));
    session_settings_put(reply, session_settings_of_exact(call, i));
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
        if (!session_call_each_channel(call, session_list_exact)) {
            return false;
        }
        call->at.step++;
        session_list_stars(call);
    }
    if (!session_list_patterns(call)) {
        return false;
    }
    reply_print(reply, "],\"count\":%" PRIu32 ",\"limit\":%" PRIu32,
                session_limits_subscribed(call->session),
                session_limits_subscriptions(call->sessions, call->conn));
    session_answer_warn(call->sessions, call->core, call->request);
    reply_text(reply, "}");
    reply_end(reply);
    session_answer_send(call);
    return true;
}
