#include "src/session/session_replay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "src/session/session_answer.h"
#include "src/session/session_define.h"
#include "src/session/session_limits.h"
#include "src/session/session_resume.h"
#include "src/session/session_settings.h"
#include "src/session/session_unknown.h"

struct session_replay {
    struct core_replayed list[SESSION_REPLAYED_MAX];
    uint32_t count;
    uint32_t counted; /* of them, in session->use */
};

/* What is subscribed has its live frames, which the past cannot follow. */
static bool session_replay_is_covered(const struct session_call *call,
                                      const struct session_name *name, uint32_t channel)
{
    uint32_t group = channels_get(call->sessions->options.channels, channel)->group;
    return core_subscription_tag(call->core, call->conn, channel) >= 0 ||
           (group == (uint32_t)name->type && (call->session->star_types & (1u << group)) != 0);
}

static uint32_t session_replay_channel(struct session_call *call, const struct session_name *name)
{
    uint32_t channel = CHANNEL_NONE;
    if (session_name_is_pattern(name)) {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST,
                              "REPLAY needs symbols, not patterns");
        return CHANNEL_NONE;
    }
    if (call->replay->count == SESSION_REPLAYED_MAX) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED,
                              "at most 1000 channels per replay");
        return CHANNEL_NONE;
    }
    if (session_limits_is_forbidden(call, name) || session_settings_refuse(call, name) ||
        session_limits_is_full(call, name)) {
        return CHANNEL_NONE;
    }
    channel = channels_find_variant(call->sessions->options.channels, name->text, name->bytes,
                                    name->type, name->variant);
    if (channel == CHANNEL_NONE) {
        session_unknown_refuse(call, name);
    } else if (session_replay_is_covered(call, name, channel)) {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST,
                              "already subscribed; a replay continues with live frames by itself");
        channel = CHANNEL_NONE;
    }
    return channel;
}

static bool session_replay_gather(struct session_call *call, const struct session_name *name)
{
    struct session_replay *replay = call->replay;
    uint32_t channel = session_replay_channel(call, name);
    if (channel == CHANNEL_NONE) {
        return true;
    }
    enum lag_policy policy = session_settings_policy(call, name);
    assert_always(replay->count < SESSION_REPLAYED_MAX);
    replay->list[replay->count++] = (struct core_replayed){
        .channel = channel,
        .group = channels_get(call->sessions->options.channels, channel)->group,
        .first_seq = channels_get(call->sessions->options.channels, channel)->first_seq,
        .policy = policy,
        .tag = session_settings_exact_tag(policy),
        .max_lag_ms = call->request->max_lag_ms,
    };
    if (call->request->range.to == 0) {
        session_limits_count_replayed(call->session, 1); /* Against the limit from now on. */
        replay->counted++;
    }
    return true;
}

static int session_replay_compare(const void *left, const void *right)
{
    const struct core_replayed *a = left;
    const struct core_replayed *b = right;
    return (a->channel > b->channel) - (a->channel < b->channel);
}

/* In the order of numbers, each once. */
static void session_replay_sort(struct session_replay *replay)
{
    uint32_t kept = 0;
    qsort(replay->list, replay->count, sizeof replay->list[0], session_replay_compare);
    for (uint32_t i = 0; i < replay->count; i++) {
        if (i == 0 || replay->list[i].channel != replay->list[kept - 1].channel) {
            replay->list[kept++] = replay->list[i];
        }
    }
    replay->count = kept;
}

static void session_replay_refuse(struct session_call *call, int result)
{
    struct request_error error = {.code = PROTOCOL_INTERNAL, .message = "no memory for it"};
    if (result == -ERANGE) {
        error.code = PROTOCOL_RANGE_GONE;
        snprintf(error.field, sizeof error.field, "data.from");
        snprintf(error.message, sizeof error.message,
                 "the log no longer contains all of it; the log begins at %" PRIu64,
                 core_log_begins_ns(call->core));
    } else if (result == -EINVAL) {
        error.code = PROTOCOL_BAD_REQUEST;
        snprintf(error.field, sizeof error.field, "data.from");
        snprintf(error.message, sizeof error.message, "this seq does not exist yet");
    } else if (result == -EBUSY) {
        error.code = PROTOCOL_LIMIT_EXCEEDED;
        error.retry = true;
        snprintf(error.message, sizeof error.message,
                 "only one replay per client, and %d per core, can run at a time; wait for "
                 "END_OF_REPLAY",
                 CORE_REPLAYS_MAX);
    }
    session_answer_error(call->sessions, call->core, call->conn, call->request, &error);
    reply_trim(&call->sessions->failed);
}

static void session_replay_put(const struct sessions *sessions, struct reply *reply,
                               const struct core_replayed *channel)
{
    struct session_name name =
        session_name_of_channel(channels_get(sessions->options.channels, channel->channel));
    session_answer_channel(reply, &name, channel->channel);
}

/* The core holds the channels while they are replayed. */
static int session_replay_start(struct session_call *call)
{
    struct session_replay *replay = call->replay;
    const struct request_range *range = &call->request->range;
    struct core_replay wanted = {
        .is_by_seq = range->is_by_seq, .from = range->from, .to = range->to, .speed = range->speed};
    int result = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < replay->count; i++) {
        if (session_resume_hold(call, replay->list[i].channel, replay->list[i].first_seq)) {
            replay->list[kept++] = replay->list[i];
        }
    }
    replay->count = kept;
    if (kept > 0 && range->is_by_seq && range->from < replay->list[0].first_seq) {
        result = -ERANGE;
    } else if (kept > 0) {
        result = core_replay(call->core, call->conn, &wanted, replay->list, kept);
    }
    for (uint32_t i = 0; i < kept; i++) {
        channels_release(call->sessions->options.channels, replay->list[i].channel);
    }
    return result;
}

static void session_replay_begin(struct session_call *call)
{
    struct session_replay *replay = call->replay;
    struct session *session = call->session;
    const struct request_range *range = &call->request->range;
    session_replay_sort(replay);
    session_call_spend(call, replay->count * SESSION_ENTRY_UNITS);
    int result = session_replay_start(call);
    bool goes_on = replay->count > 0 && result == 0 && range->to == 0;
    assert_always(replay->counted <= session->use.replayed_count);
    assert_always(!goes_on || replay->count <= session->use.replayed_count);
    uint32_t refused = goes_on ? session->use.replayed_count - replay->count : replay->counted;
    session_limits_count_replayed(session, -(int)refused);
    if (result < 0) {
        session_replay_refuse(call, result);
        return;
    }
    for (uint32_t i = 0; i < replay->count; i++) {
        session_replay_put(call->sessions, &call->sessions->reply, &replay->list[i]);
        reply_text(&call->sessions->reply, "}");
    }
    if (!session_answer_end(call)) { /* An ERROR went out in its place. */
        core_stop_replay(call->core, call->conn);
        session_limits_forget_replay(session);
        return;
    }
    call->is_whole = true; /* Its frames may come. */
    (void)session_define_names(call);
}

bool session_replay(struct session_call *call)
{
    if (call->replay == NULL) {
        call->replay = malloc(sizeof *call->replay);
        if (call->replay == NULL) {
            session_answer_no_memory(call);
            return true;
        }
        call->replay->count = 0;
        call->replay->counted = 0;
        session_answer_begin(call, "REPLAYING");
    }
    if (!session_call_each_name(call, session_replay_gather)) {
        return false;
    }
    session_replay_begin(call);
    return true;
}

/* ---- The end ---- */

/* list: of what was sent whole, or of the rest. */
static void session_replay_end_channel(struct session_call *call, struct reply *list,
                                       const struct core_replayed *channel)
{
    if (channel->result < 0) {
        struct session_name name = session_name_of_channel(
            channels_get(call->sessions->options.channels, channel->channel));
        bool is_covered = channel->result == -EEXIST;
        session_answer_refuse(
            call, &name, is_covered ? PROTOCOL_BAD_REQUEST : PROTOCOL_LIMIT_EXCEEDED,
            is_covered ? "subscribed meanwhile" : "the server has no room for it");
        return;
    }
    session_replay_put(call->sessions, list, channel);
    if (channel->last_seq != 0) {
        reply_text(list, ",\"last\":");
        reply_u64(list, channel->last_seq);
    }
    reply_text(list, "}");
}

void session_replay_on_end(void *context, struct core *core, uint32_t conn,
                           const struct core_replayed *channels, uint32_t count, bool is_whole)
{
    static const struct request nothing_asked;
    struct sessions *sessions = context;
    struct session_call call = {
        .sessions = sessions,
        .session = session_of(sessions, conn),
        .core = core,
        .conn = conn,
        .request = &nothing_asked,
    };
    assert_debug(count <= SESSION_REPLAYED_MAX);
    session_answer_begin(&call, "END_OF_REPLAY");
    reply_put(&sessions->gaps, "[", 1);
    for (uint32_t i = 0; i < count; i++) {
        session_replay_end_channel(&call, is_whole ? &sessions->reply : &sessions->gaps,
                                   &channels[i]);
        if (call.session->use.replayed_count > 0 && channels[i].result >= 0) {
            session_limits_count_exact(&call, channels[i].channel, 1);
        }
    }
    session_limits_forget_replay(call.session);
    session_answer_end_with_gaps(&call);
}
