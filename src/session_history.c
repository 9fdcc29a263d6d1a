/* RESUME, SUBSCRIBE with since, and SNAPSHOT. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "src/session_state.h"

#define SESSION_SNAPSHOTS_MAX 1000 /* a message */

/* ---- Going on after a seq ---- */

static bool session_is_same_epoch(const struct session_call *call)
{
    return strcmp(call->request->epoch, call->sessions->options.epoch) == 0;
}

/* core_resume, or the entry is refused (-1): an exact subscription of its own. */
static int session_resume_channel(struct session_call *call, const struct session_name *name,
                                  uint32_t channel, uint64_t seq)
{
    int tag = core_subscription_tag(call->core, call->conn, channel);
    bool is_new = tag < 0 || (tag & SESSION_EXACT) == 0;
    if (session_refuses_policy(call, name) || (is_new && session_is_full(call, name))) {
        return -1;
    }
    enum lag_policy policy = session_policy(call, name);
    struct core_resume resume = {
        .channel = channel,
        .group = channels_get(call->sessions->options.channels, channel)->group,
        .policy = policy,
        .tag = session_exact_tag(policy),
        .is_same_epoch = session_is_same_epoch(call),
        .seq = seq,
    };
    int result = core_resume(call->core, call->conn, &resume);
    if (result == -ERANGE) {
        session_refuse(call, name, PROTOCOL_UNRECOVERABLE, "there is no such seq yet");
    } else if (result < 0) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
    } else {
        core_set_max_lag(call->core, call->conn, channel, call->request->max_lag_ms);
        call->session->exact_count += is_new;
    }
    return result < 0 ? -1 : result;
}

/* result: of session_resume_channel, not refused. */
static void session_put_resumed(struct session_call *call, struct reply *reply,
                                const struct session_name *name, uint32_t channel, uint64_t seq,
                                int result)
{
    session_begin_entry(reply, name);
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, core_next_seq(call->core, call->conn, channel));
    if (result == 0) {
        reply_text(reply, ",\"from\":");
        reply_u64(reply, session_is_same_epoch(call) ? seq + 1 : 1);
    } else {
        reply_text(reply,
                   session_is_same_epoch(call) ? ",\"gap\":\"overrun\"" : ",\"gap\":\"restart\"");
    }
    reply_text(reply, "}");
}

void session_subscribe_since(struct session_call *call, const struct session_name *name,
                             uint32_t channel)
{
    uint64_t seq = call->request->since_seq;
    int result = session_resume_channel(call, name, channel, seq);
    if (result >= 0) {
        session_put_resumed(call, &call->sessions->reply, name, channel, seq, result);
    }
}

static void session_resume_cursor(struct session_call *call, uint32_t channel, uint64_t seq)
{
    struct sessions *sessions = call->sessions;
    if (channel >= channels_count(sessions->options.channels)) {
        struct reply *failed = &sessions->failed;
        reply_print(failed,
                    "%s{\"ch\":%" PRIu32 ",\"code\":%d,\"message\":\"unknown channel\","
                    "\"retry\":true}",
                    failed->bytes > 1 ? "," : "", channel, (int)PROTOCOL_UNKNOWN_SYMBOL);
        return;
    }
    struct session_name name =
        session_channel_name(channels_get(sessions->options.channels, channel));
    int result = session_resume_channel(call, &name, channel, seq);
    if (result >= 0) {
        struct reply *reply = result == 0 ? &sessions->reply : &sessions->gaps;
        session_put_resumed(call, reply, &name, channel, seq, result);
    }
}

static void session_define_cursors(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    uint32_t channel;
    uint64_t seq;
    void *at = NULL;
    session_begin_definitions(sessions);
    while (request_next_cursor(call->request, &at, &channel, &seq)) {
        if (channel < channels_count(sessions->options.channels)) {
            session_define(sessions, channel);
        }
    }
    session_send_definitions(sessions, call->core, call->conn);
}

void session_resume(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    uint32_t channel;
    uint64_t seq;
    void *at = NULL;
    if (session_has_definitions(call)) {
        session_define_cursors(call);
    }
    session_begin_verdicts(call, "RESUMED");
    reply_put(&sessions->gaps, "[", 1);
    while (call->session->number != 0 && request_next_cursor(call->request, &at, &channel, &seq)) {
        session_resume_cursor(call, channel, seq);
    }
    reply_text(&sessions->reply, "],\"gaps\":");
    reply_put(&sessions->reply, sessions->gaps.text, sessions->gaps.bytes);
    sessions->reply.failed |= sessions->gaps.failed;
    session_end_verdicts(call);
    reply_trim(&sessions->gaps);
}

/* ---- Newest frames ---- */

/* While SNAPSHOT is answered; between its two passes. */
struct session_snapshots {
    struct core_snapshot list[SESSION_SNAPSHOTS_MAX];
    uint32_t count;
};

/* Where the newest state of a book is to be had from: its frames are deltas. */
static bool session_has_snapshot(enum md_type type)
{
    return type != MD_DEPTH;
}

static uint32_t session_snapshot_channel(struct session_call *call, const struct session_name *name)
{
    if (session_is_pattern(name)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST,
                       "a snapshot is of a symbol, not a pattern");
    } else if (!session_has_snapshot(name->type)) {
        session_refuse(call, name, PROTOCOL_NOT_OFFERED, "there are no snapshots of depth");
    } else {
        uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                                 name->bytes, name->type, name->variant);
        if (channel != CHANNEL_NONE) {
            return channel;
        }
        session_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, "unknown symbol");
    }
    return CHANNEL_NONE;
}

static void session_gather_snapshot(struct session_call *call, const struct session_name *name)
{
    struct session_snapshots *snapshots = call->snapshots;
    if (snapshots->count == SESSION_SNAPSHOTS_MAX) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "at most 1000 snapshots a message");
        return;
    }
    uint32_t channel = session_snapshot_channel(call, name);
    if (channel != CHANNEL_NONE) {
        snapshots->list[snapshots->count++] = (struct core_snapshot){
            .channel = channel,
            .group = channels_get(call->sessions->options.channels, channel)->group,
        };
    }
}

static void session_put_snapshot(struct session_call *call, const struct core_snapshot *snapshot)
{
    struct reply *reply = &call->sessions->reply;
    struct session_name name =
        session_channel_name(channels_get(call->sessions->options.channels, snapshot->channel));
    if (snapshot->error == -ENODATA) {
        session_refuse(call, &name, PROTOCOL_NOT_AVAILABLE, "there is no frame of it to send");
        return;
    }
    if (snapshot->error != 0) {
        session_refuse(call, &name, PROTOCOL_LIMIT_EXCEEDED,
                       "too much waits for this client; read first");
        return;
    }
    session_begin_entry(reply, &name);
    reply_text(reply, ",\"ch\":");
    reply_u64(reply, snapshot->channel);
    reply_text(reply, ",\"as_of\":");
    reply_u64(reply, snapshot->as_of);
    reply_text(reply, "}");
}

/* The answer, then the frames. */
void session_snapshot(struct session_call *call)
{
    struct session_snapshots snapshots; /* 48 KiB that are written as they are used. */
    snapshots.count = 0;
    call->snapshots = &snapshots;
    if (session_has_definitions(call)) {
        session_begin_definitions(call->sessions);
        session_for_each_name(call, session_define_name);
        session_send_definitions(call->sessions, call->core, call->conn);
    }
    session_begin_verdicts(call, "SNAPSHOT");
    session_for_each_name(call, session_gather_snapshot);
    uint64_t pinned = core_find_snapshots(call->core, call->conn, snapshots.list, snapshots.count);
    for (uint32_t i = 0; i < snapshots.count; i++) {
        session_put_snapshot(call, &snapshots.list[i]);
    }
    session_end_verdicts(call);
    core_send_snapshots(call->core, call->conn, snapshots.list, snapshots.count, pinned);
}
