#include "src/session/session_resume.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "src/market/recoder.h"
#include "src/session/session_answer.h"
#include "src/session/session_client.h"
#include "src/session/session_define.h"
#include "src/session/session_limits.h"
#include "src/session/session_settings.h"

#define SESSION_RESUME_UNITS 12 /* for each cursor, beside its entry */

const uint8_t *session_resume_recode(void *context, uint32_t encoding,
                                     const struct frame_desc *desc, const uint8_t *frame,
                                     uint32_t *bytes_out)
{
    const struct sessions *sessions = context;
    assert_always(encoding == CORE_ENCODING_SBE);
    return recoder_to_sbe(sessions->recoder, desc, frame, bytes_out);
}

/* ---- One channel ---- */

static bool session_resume_is_same_epoch(const struct session_call *call)
{
    return strcmp(call->request->epoch, call->sessions->options.epoch) == 0;
}

/* The seq is of a time when the number had another name. */
static bool session_resume_is_before(const struct channel *channel, uint64_t seq)
{
    return seq + 1 < channel->first_seq;
}

/* core_resume, or the entry is refused (-1): an exact subscription of its own. */
static int session_resume_channel(struct session_call *call, const struct session_name *name,
                                  uint32_t channel, uint64_t seq)
{
    const struct channel *known = channels_get(call->sessions->options.channels, channel);
    int tag = core_subscription_tag(call->core, call->conn, channel);
    bool is_new = tag < 0 || (tag & SESSION_EXACT) == 0;
    if (session_limits_is_forbidden(call, name) || session_settings_refuse(call, name) ||
        (is_new && session_limits_is_full(call, name))) {
        return -1;
    }
    enum lag_policy policy = session_settings_policy(call, name);
    struct core_resume resume = {
        .channel = channel,
        .group = known->group,
        .policy = policy,
        .tag = session_settings_exact_tag(policy),
        .is_same_epoch =
            session_resume_is_same_epoch(call) && !session_resume_is_before(known, seq),
        .seq = seq,
    };
    int result = core_resume(call->core, call->conn, &resume);
    if (result == -ERANGE) {
        session_answer_refuse(call, name, PROTOCOL_UNRECOVERABLE, "this seq does not exist yet");
    } else if (result < 0) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
    } else {
        core_set_max_lag(call->core, call->conn, channel, call->request->max_lag_ms);
        if (is_new) {
            session_limits_count_exact(call, channel, 1);
        }
    }
    return result < 0 ? -1 : result;
}

/* result: of session_resume_channel, not refused. */
static void session_resume_put(struct session_call *call, struct reply *reply,
                               const struct session_name *name, uint32_t channel, uint64_t seq,
                               int result)
{
    session_call_spend(call, SESSION_ENTRY_UNITS);
    session_answer_channel(reply, name, channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, core_next_seq(call->core, call->conn, channel));
    if (result == 0) {
        reply_text(reply, ",\"from\":");
        reply_u64(reply, session_resume_is_same_epoch(call) ? seq + 1 : 1);
    } else {
        const struct channel *known = channels_get(call->sessions->options.channels, channel);
        bool is_restart =
            !session_resume_is_same_epoch(call) || session_resume_is_before(known, seq);
        reply_text(reply, is_restart ? ",\"gap\":\"restart\"" : ",\"gap\":\"overrun\"");
    }
    reply_text(reply, "}");
}

void session_resume_since(struct session_call *call, const struct session_name *name,
                          uint32_t channel)
{
    uint64_t seq = call->request->since_seq;
    int result = session_resume_channel(call, name, channel, seq);
    if (result >= 0) {
        session_resume_put(call, &call->sessions->reply, name, channel, seq, result);
    }
}

/* Without the symbol, of which the client knows nothing. */
static void session_resume_refuse(struct session_call *call, uint32_t channel,
                                  enum protocol_code code, const char *message)
{
    struct reply *failed = &call->sessions->failed;
    call->forbidden_count += code == PROTOCOL_FORBIDDEN;
    session_call_spend(call, SESSION_ENTRY_UNITS);
    reply_print(failed, "%s{\"ch\":%" PRIu32 ",\"code\":%d,\"message\":\"%s\",\"retry\":%s}",
                failed->bytes > 1 ? "," : "", channel, (int)code, message,
                code == PROTOCOL_UNKNOWN_SYMBOL ? "true" : "false");
}

bool session_resume_hold(struct session_call *call, uint32_t channel, uint64_t first_seq)
{
    struct channels *channels = call->sessions->options.channels;
    if (channels_hold(channels, channel)) {
        if (channels_get(channels, channel)->first_seq == first_seq) {
            return true;
        }
        channels_release(channels, channel);
    }
    session_resume_refuse(call, channel, PROTOCOL_UNKNOWN_SYMBOL, "the channel has ended");
    return false;
}

/* ---- RESUME ---- */

/* Of a channel that is held, and has the name that the client knows it by. */
static void session_resume_held(struct session_call *call, uint32_t channel, uint64_t seq)
{
    struct sessions *sessions = call->sessions;
    struct session_name name =
        session_name_of_channel(channels_get(sessions->options.channels, channel));
    if (!session_client_may_see(call, &name)) {
        session_resume_refuse(call, channel, PROTOCOL_FORBIDDEN, "your token does not permit it");
        return;
    }
    int result = session_resume_channel(call, &name, channel, seq);
    if (result >= 0) {
        struct reply *reply = result == 0 ? &sessions->reply : &sessions->gaps;
        session_resume_put(call, reply, &name, channel, seq, result);
    }
}

/* Holds the channel. false: there is none of that number, or it has another name by now. */
static bool session_resume_hold_cursor(const struct session_call *call,
                                       struct request_cursor cursor)
{
    struct channels *channels = call->sessions->options.channels;
    if (cursor.channel >= channels_count(channels) || !channels_hold(channels, cursor.channel)) {
        return false;
    }
    if (session_resume_is_same_epoch(call) &&
        session_resume_is_before(channels_get(channels, cursor.channel), cursor.seq)) {
        channels_release(channels, cursor.channel);
        return false;
    }
    return true;
}

static void session_resume_cursor(struct session_call *call, struct request_cursor cursor)
{
    session_call_spend(call, SESSION_RESUME_UNITS);
    if (!session_resume_hold_cursor(call, cursor)) {
        session_resume_refuse(call, cursor.channel, PROTOCOL_UNKNOWN_SYMBOL, "unknown channel");
        return;
    }
    session_resume_held(call, cursor.channel, cursor.seq);
    channels_release(call->sessions->options.channels, cursor.channel);
}

static void session_resume_define(struct session_call *call, struct request_cursor cursor)
{
    struct channels *channels = call->sessions->options.channels;
    if (!session_resume_hold_cursor(call, cursor)) {
        return;
    }
    struct session_name name = session_name_of_channel(channels_get(channels, cursor.channel));
    if (session_client_may_see(call, &name)) {
        session_call_spend(call, SESSION_ENTRY_UNITS);
        session_define_add(call->sessions, cursor.channel);
    }
    channels_release(channels, cursor.channel);
}

bool session_resume(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    struct session_place *at = &call->at;
    if (at->step == 0) {
        at->step++;
        session_answer_begin(call, "RESUMED");
        reply_put(&sessions->gaps, "[", 1);
    }
    if (at->step == 1) {
        if (!session_call_each_cursor(call, session_resume_cursor)) {
            return false;
        }
        at->step++;
        session_answer_end_with_gaps(call);
        session_define_begin(sessions);
    }
    if (session_define_is_needed(call)) {
        if (!session_call_each_cursor(call, session_resume_define)) {
            return false;
        }
        session_define_send(sessions, call->core, call->conn);
    }
    return true;
}
