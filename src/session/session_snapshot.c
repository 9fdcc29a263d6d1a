#include "src/session/session_snapshot.h"

#include <errno.h>
#include <stdlib.h>

#include "src/request/request_keys.h"
#include "src/session/session_answer.h"
#include "src/session/session_books.h"
#include "src/session/session_define.h"
#include "src/session/session_limits.h"
#include "src/session/session_resume.h"
#include "src/session/session_unknown.h"

#define SESSION_SNAPSHOT_UNITS 16 /* for each frame */

/* While SNAPSHOT is answered; between its two passes. */
struct session_snapshots {
    struct core_snapshot list[SESSION_SNAPSHOTS_MAX];
    uint64_t first_seqs[SESSION_SNAPSHOTS_MAX]; /* see session_resume_hold */
    uint32_t count;
};

static uint32_t session_snapshot_channel(struct session_call *call, const struct session_name *name)
{
    if (session_name_is_pattern(name)) {
        session_answer_refuse(call, name, PROTOCOL_BAD_REQUEST,
                              "SNAPSHOT needs symbols, not patterns");
    } else if (session_limits_is_forbidden(call, name)) {
        return CHANNEL_NONE;
    } else if (name->type == MD_DEPTH && !variant_is_none(name->variant)) {
        session_answer_refuse(
            call, name, PROTOCOL_NOT_OFFERED,
            "a snapshot of a book has all levels; subscribe to receive a fixed depth");
    } else {
        uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                                 name->bytes, name->type, name->variant);
        if (channel != CHANNEL_NONE && name->type != MD_DEPTH) {
            return channel;
        }
        if (channel != CHANNEL_NONE) {
            session_books_ask(call, name, channel); /* It is answered by itself. */
        } else {
            session_unknown_refuse(call, name);
        }
    }
    return CHANNEL_NONE;
}

static bool session_snapshot_gather(struct session_call *call, const struct session_name *name)
{
    struct session_snapshots *snapshots = call->snapshots;
    if (snapshots->count == SESSION_SNAPSHOTS_MAX) {
        session_answer_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED,
                              "at most 1000 snapshots per message");
        return true;
    }
    uint32_t channel = session_snapshot_channel(call, name);
    if (channel != CHANNEL_NONE) {
        assert_always(snapshots->count < SESSION_SNAPSHOTS_MAX);
        const struct channel *known = channels_get(call->sessions->options.channels, channel);
        snapshots->first_seqs[snapshots->count] = known->first_seq;
        snapshots->list[snapshots->count++] = (struct core_snapshot){
            .channel = channel,
            .group = known->group,
        };
    }
    return true;
}

static void session_snapshot_put(struct session_call *call, const struct core_snapshot *snapshot)
{
    struct reply *reply = &call->sessions->reply;
    struct session_name name =
        session_name_of_channel(channels_get(call->sessions->options.channels, snapshot->channel));
    if (snapshot->error == -ENODATA) {
        session_answer_refuse(call, &name, PROTOCOL_NOT_AVAILABLE, "it has no frame yet");
        return;
    }
    if (snapshot->error != 0) {
        session_answer_refuse(call, &name, PROTOCOL_LIMIT_EXCEEDED,
                              "too much data is waiting to be sent to this client; read it first");
        return;
    }
    session_answer_channel(reply, &name, snapshot->channel);
    reply_text(reply, ",\"as_of\":");
    reply_u64(reply, snapshot->as_of);
    reply_text(reply, "}");
}

static void session_snapshot_hold(struct session_call *call)
{
    struct session_snapshots *snapshots = call->snapshots;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < snapshots->count; i++) {
        const struct channel *channel =
            channels_get(call->sessions->options.channels, snapshots->list[i].channel);
        struct session_name name = session_name_of_channel(channel);
        if (call->is_judged && session_limits_is_forbidden(call, &name)) {
            continue; /* It was permitted when it was asked for. */
        }
        if (session_resume_hold(call, snapshots->list[i].channel, snapshots->first_seqs[i])) {
            snapshots->list[kept++] = snapshots->list[i];
        }
    }
    snapshots->count = kept;
}

static void session_snapshot_release(struct session_call *call)
{
    for (uint32_t i = 0; i < call->snapshots->count; i++) {
        channels_release(call->sessions->options.channels, call->snapshots->list[i].channel);
    }
}

/* The answer, then the frames. All in one slice, since each states how far the client's live frames
 * are. */
static void session_snapshot_send(struct session_call *call)
{
    struct session_snapshots *snapshots = call->snapshots;
    uint64_t pinned =
        core_find_snapshots(call->core, call->conn, snapshots->list, snapshots->count);
    session_call_spend(call, snapshots->count * SESSION_SNAPSHOT_UNITS);
    for (uint32_t i = 0; i < snapshots->count; i++) {
        session_snapshot_put(call, &snapshots->list[i]);
    }
    if (snapshots->count == 0 && call->sessions->failed.bytes == 1 && call->book_count > 0 &&
        request_keys_count(call->request) == 0) {
        core_send_snapshots(call->core, call->conn, snapshots->list, 0, pinned);
        reply_trim(&call->sessions->failed);
        return; /* Nothing to say but what the books' own answers will. */
    }
    session_answer_end(call);
    call->is_whole = true;
    (void)session_define_names(call);
    core_send_snapshots(call->core, call->conn, snapshots->list, snapshots->count, pinned);
}

bool session_snapshot(struct session_call *call)
{
    if (call->snapshots == NULL) {
        call->snapshots = malloc(sizeof *call->snapshots);
        if (call->snapshots == NULL) {
            session_answer_no_memory(call);
            return true;
        }
        call->snapshots->count = 0;
        session_answer_begin(call, "SNAPSHOT");
    }
    if (!session_call_each_name(call, session_snapshot_gather)) {
        return false;
    }
    session_snapshot_hold(call);
    session_snapshot_send(call);
    session_snapshot_release(call);
    return true;
}
