/* RESUME, SUBSCRIBE with since, SNAPSHOT and REPLAY. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/market/recoder.h"
#include "src/session/session_state.h"

#define SESSION_SNAPSHOTS_MAX 1000 /* a message */
#define SESSION_REPLAYED_MAX 1000  /* channels of a replay */
#define SESSION_RESUME_UNITS 12    /* for each cursor, beside its entry */
#define SESSION_SNAPSHOT_UNITS 16  /* for each frame */

/* ---- Frames of the JSON log ---- */

const uint8_t *session_recode(void *context, uint32_t encoding, const struct frame_desc *desc,
                              const uint8_t *frame, uint32_t *bytes_out)
{
    const struct sessions *sessions = context;
    assert_always(encoding == CORE_ENCODING_SBE);
    return recoder_to_sbe(sessions->recoder, desc, frame, bytes_out);
}

/* ---- Going on after a seq ---- */

static bool session_is_same_epoch(const struct session_call *call)
{
    return strcmp(call->request->epoch, call->sessions->options.epoch) == 0;
}

/* The seq is of a time when the number had another name. */
static bool session_is_before_name(const struct channel *channel, uint64_t seq)
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
    if (session_is_forbidden(call, name) || session_refuses_policy(call, name) ||
        (is_new && session_is_full(call, name))) {
        return -1;
    }
    enum lag_policy policy = session_policy(call, name);
    struct core_resume resume = {
        .channel = channel,
        .group = known->group,
        .policy = policy,
        .tag = session_exact_tag(policy),
        .is_same_epoch = session_is_same_epoch(call) && !session_is_before_name(known, seq),
        .seq = seq,
    };
    int result = core_resume(call->core, call->conn, &resume);
    if (result == -ERANGE) {
        session_refuse(call, name, PROTOCOL_UNRECOVERABLE, "there is no such seq yet");
    } else if (result < 0) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "the server has no room for it");
    } else {
        core_set_max_lag(call->core, call->conn, channel, call->request->max_lag_ms);
        if (is_new) {
            session_count_exact(call, channel, 1);
        }
    }
    return result < 0 ? -1 : result;
}

/* result: of session_resume_channel, not refused. */
static void session_put_resumed(struct session_call *call, struct reply *reply,
                                const struct session_name *name, uint32_t channel, uint64_t seq,
                                int result)
{
    session_spend(call, SESSION_ENTRY_UNITS);
    session_begin_channel(reply, name, channel);
    reply_text(reply, ",\"next_seq\":");
    reply_u64(reply, core_next_seq(call->core, call->conn, channel));
    if (result == 0) {
        reply_text(reply, ",\"from\":");
        reply_u64(reply, session_is_same_epoch(call) ? seq + 1 : 1);
    } else {
        const struct channel *known = channels_get(call->sessions->options.channels, channel);
        bool is_restart = !session_is_same_epoch(call) || session_is_before_name(known, seq);
        reply_text(reply, is_restart ? ",\"gap\":\"restart\"" : ",\"gap\":\"overrun\"");
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

/* Without the symbol, of which the client knows nothing. */
static void session_refuse_cursor(struct session_call *call, uint32_t channel,
                                  enum protocol_code code, const char *message)
{
    struct reply *failed = &call->sessions->failed;
    call->forbidden_count += code == PROTOCOL_FORBIDDEN;
    session_spend(call, SESSION_ENTRY_UNITS);
    reply_print(failed, "%s{\"ch\":%" PRIu32 ",\"code\":%d,\"message\":\"%s\",\"retry\":%s}",
                failed->bytes > 1 ? "," : "", channel, (int)code, message,
                code == PROTOCOL_UNKNOWN_SYMBOL ? "true" : "false");
}

/* Of a channel that is held, and has the name that the client knows it by. */
static void session_resume_held(struct session_call *call, uint32_t channel, uint64_t seq)
{
    struct sessions *sessions = call->sessions;
    struct session_name name =
        session_channel_name(channels_get(sessions->options.channels, channel));
    if (!session_may_see(call, &name)) {
        session_refuse_cursor(call, channel, PROTOCOL_FORBIDDEN, "your token does not open it");
        return;
    }
    int result = session_resume_channel(call, &name, channel, seq);
    if (result >= 0) {
        struct reply *reply = result == 0 ? &sessions->reply : &sessions->gaps;
        session_put_resumed(call, reply, &name, channel, seq, result);
    }
}

/* Holds the channel. false: there is none of that number, or it has another name by now. */
static bool session_hold_cursor(const struct session_call *call, struct request_cursor cursor)
{
    struct channels *channels = call->sessions->options.channels;
    if (cursor.channel >= channels_count(channels) || !channels_hold(channels, cursor.channel)) {
        return false;
    }
    if (session_is_same_epoch(call) &&
        session_is_before_name(channels_get(channels, cursor.channel), cursor.seq)) {
        channels_release(channels, cursor.channel);
        return false;
    }
    return true;
}

static void session_resume_cursor(struct session_call *call, struct request_cursor cursor)
{
    session_spend(call, SESSION_RESUME_UNITS);
    if (!session_hold_cursor(call, cursor)) {
        session_refuse_cursor(call, cursor.channel, PROTOCOL_UNKNOWN_SYMBOL, "unknown channel");
        return;
    }
    session_resume_held(call, cursor.channel, cursor.seq);
    channels_release(call->sessions->options.channels, cursor.channel);
}

static void session_define_cursor(struct session_call *call, struct request_cursor cursor)
{
    struct channels *channels = call->sessions->options.channels;
    if (!session_hold_cursor(call, cursor)) {
        return;
    }
    struct session_name name = session_channel_name(channels_get(channels, cursor.channel));
    if (session_may_see(call, &name)) {
        session_spend(call, SESSION_ENTRY_UNITS);
        session_define(call->sessions, cursor.channel);
    }
    channels_release(channels, cursor.channel);
}

/* As session_end_verdicts, with the third list in between. */
static void session_end_with_gaps(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    reply_text(&sessions->reply, "],\"gaps\":");
    reply_put(&sessions->reply, sessions->gaps.text, sessions->gaps.bytes);
    sessions->reply.failed |= sessions->gaps.failed;
    session_end_verdicts(call);
    reply_trim(&sessions->gaps);
}

bool session_resume(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    struct session_place *at = &call->at;
    if (at->step == 0) {
        at->step++;
        session_begin_verdicts(call, "RESUMED");
        reply_put(&sessions->gaps, "[", 1);
    }
    if (at->step == 1) {
        if (!session_for_each_cursor(call, session_resume_cursor)) {
            return false;
        }
        at->step++;
        session_end_with_gaps(call);
        session_begin_definitions(sessions);
    }
    if (session_has_definitions(call)) {
        if (!session_for_each_cursor(call, session_define_cursor)) {
            return false;
        }
        session_send_definitions(sessions, call->core, call->conn);
    }
    return true;
}

/* What a slice has found, a later one may find to have ended: the number of a variant that nobody
 * holds may get another name. Holds it; false: the entry is refused. */
static bool session_hold_found(struct session_call *call, uint32_t channel, uint64_t first_seq)
{
    struct channels *channels = call->sessions->options.channels;
    if (channels_hold(channels, channel)) {
        if (channels_get(channels, channel)->first_seq == first_seq) {
            return true;
        }
        channels_release(channels, channel);
    }
    session_refuse_cursor(call, channel, PROTOCOL_UNKNOWN_SYMBOL, "the channel has ended");
    return false;
}

/* ---- Newest frames ---- */

/* While SNAPSHOT is answered; between its two passes. */
struct session_snapshots {
    struct core_snapshot list[SESSION_SNAPSHOTS_MAX];
    uint64_t first_seqs[SESSION_SNAPSHOTS_MAX]; /* see session_hold_found */
    uint32_t count;
};

static uint32_t session_snapshot_channel(struct session_call *call, const struct session_name *name)
{
    if (session_is_pattern(name)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST,
                       "a snapshot is of a symbol, not a pattern");
    } else if (session_is_forbidden(call, name)) {
        return CHANNEL_NONE;
    } else if (name->type == MD_DEPTH && !variant_is_none(name->variant)) {
        session_refuse(call, name, PROTOCOL_NOT_OFFERED,
                       "of books, snapshots are of all levels: subscribe to get those with depth");
    } else {
        uint32_t channel = channels_find_variant(call->sessions->options.channels, name->text,
                                                 name->bytes, name->type, name->variant);
        if (channel != CHANNEL_NONE && name->type != MD_DEPTH) {
            return channel;
        }
        if (channel != CHANNEL_NONE) {
            session_ask_book(call, name, channel); /* It is answered by itself. */
        } else {
            session_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, "unknown symbol");
        }
    }
    return CHANNEL_NONE;
}

static bool session_gather_snapshot(struct session_call *call, const struct session_name *name)
{
    struct session_snapshots *snapshots = call->snapshots;
    if (snapshots->count == SESSION_SNAPSHOTS_MAX) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "at most 1000 snapshots a message");
        return true;
    }
    uint32_t channel = session_snapshot_channel(call, name);
    if (channel != CHANNEL_NONE) {
        const struct channel *known = channels_get(call->sessions->options.channels, channel);
        snapshots->first_seqs[snapshots->count] = known->first_seq;
        snapshots->list[snapshots->count++] = (struct core_snapshot){
            .channel = channel,
            .group = known->group,
        };
    }
    return true;
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
    session_begin_channel(reply, &name, snapshot->channel);
    reply_text(reply, ",\"as_of\":");
    reply_u64(reply, snapshot->as_of);
    reply_text(reply, "}");
}

static void session_refuse_memory(struct session_call *call)
{
    static const struct request_error error = {.code = PROTOCOL_INTERNAL,
                                               .message = "no memory for it"};
    session_send_error(call->sessions, call->core, call->conn, call->request->id, &error);
}

static void session_hold_snapshots(struct session_call *call)
{
    struct session_snapshots *snapshots = call->snapshots;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < snapshots->count; i++) {
        if (session_hold_found(call, snapshots->list[i].channel, snapshots->first_seqs[i])) {
            snapshots->list[kept++] = snapshots->list[i];
        }
    }
    snapshots->count = kept;
}

static void session_release_snapshots(struct session_call *call)
{
    for (uint32_t i = 0; i < call->snapshots->count; i++) {
        channels_release(call->sessions->options.channels, call->snapshots->list[i].channel);
    }
}

/* The answer, then the frames; all in one slice, since each tells how far the live frames are that
 * the client has got. */
static void session_send_snapshots(struct session_call *call)
{
    struct session_snapshots *snapshots = call->snapshots;
    uint64_t pinned =
        core_find_snapshots(call->core, call->conn, snapshots->list, snapshots->count);
    session_spend(call, snapshots->count * SESSION_SNAPSHOT_UNITS);
    for (uint32_t i = 0; i < snapshots->count; i++) {
        session_put_snapshot(call, &snapshots->list[i]);
    }
    if (snapshots->count == 0 && call->sessions->failed.bytes == 1 && call->book_count > 0) {
        core_send_snapshots(call->core, call->conn, snapshots->list, 0, pinned);
        reply_trim(&call->sessions->failed);
        return; /* Nothing to say but what the books' own answers will. */
    }
    session_end_verdicts(call);
    call->is_whole = true;
    (void)session_define_names(call);
    core_send_snapshots(call->core, call->conn, snapshots->list, snapshots->count, pinned);
}

bool session_snapshot(struct session_call *call)
{
    if (call->snapshots == NULL) {
        call->snapshots = malloc(sizeof *call->snapshots);
        if (call->snapshots == NULL) {
            session_refuse_memory(call);
            return true;
        }
        call->snapshots->count = 0;
        session_begin_verdicts(call, "SNAPSHOT");
    }
    if (!session_for_each_name(call, session_gather_snapshot)) {
        return false;
    }
    session_hold_snapshots(call);
    session_send_snapshots(call);
    session_release_snapshots(call);
    return true;
}

/* ---- REPLAY ---- */

struct session_replay {
    struct core_replayed list[SESSION_REPLAYED_MAX];
    uint32_t count;
    uint16_t counted; /* of them, in session->replayed_count */
};

/* What is subscribed has its live frames, which the past cannot follow. */
static bool session_is_covered(const struct session_call *call, const struct session_name *name,
                               uint32_t channel)
{
    uint32_t group = channels_get(call->sessions->options.channels, channel)->group;
    return core_subscription_tag(call->core, call->conn, channel) >= 0 ||
           (group == (uint32_t)name->type && (call->session->star_types & (1u << group)) != 0);
}

static uint32_t session_replay_channel(struct session_call *call, const struct session_name *name)
{
    uint32_t channel = CHANNEL_NONE;
    if (session_is_pattern(name)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST, "a replay is of symbols, not patterns");
        return CHANNEL_NONE;
    }
    if (call->replay->count == SESSION_REPLAYED_MAX) {
        session_refuse(call, name, PROTOCOL_LIMIT_EXCEEDED, "at most 1000 channels a replay");
        return CHANNEL_NONE;
    }
    if (session_is_forbidden(call, name) || session_refuses_policy(call, name) ||
        session_is_full(call, name)) {
        return CHANNEL_NONE;
    }
    channel = channels_find_variant(call->sessions->options.channels, name->text, name->bytes,
                                    name->type, name->variant);
    if (channel == CHANNEL_NONE) {
        session_refuse(call, name, PROTOCOL_UNKNOWN_SYMBOL, "unknown symbol");
    } else if (session_is_covered(call, name, channel)) {
        session_refuse(call, name, PROTOCOL_BAD_REQUEST,
                       "subscribed already; a replay ends with live frames by itself");
        channel = CHANNEL_NONE;
    }
    return channel;
}

static bool session_gather_replay(struct session_call *call, const struct session_name *name)
{
    struct session_replay *replay = call->replay;
    uint32_t channel = session_replay_channel(call, name);
    if (channel == CHANNEL_NONE) {
        return true;
    }
    enum lag_policy policy = session_policy(call, name);
    replay->list[replay->count++] = (struct core_replayed){
        .channel = channel,
        .group = channels_get(call->sessions->options.channels, channel)->group,
        .first_seq = channels_get(call->sessions->options.channels, channel)->first_seq,
        .policy = policy,
        .tag = session_exact_tag(policy),
        .max_lag_ms = call->request->max_lag_ms,
    };
    if (call->request->replay.to == 0) {
        call->session->replayed_count++; /* Counts against the limit from now on. */
        replay->counted++;
    }
    return true;
}

/* The core holds the channels while they are replayed. */
static int session_start_replay(struct session_call *call)
{
    struct session_replay *replay = call->replay;
    const struct core_replay *wanted = &call->request->replay;
    int result = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < replay->count; i++) {
        if (session_hold_found(call, replay->list[i].channel, replay->list[i].first_seq)) {
            replay->list[kept++] = replay->list[i];
        }
    }
    replay->count = kept;
    if (kept > 0 && wanted->is_by_seq && wanted->from < replay->list[0].first_seq) {
        result = -ERANGE;
    } else if (kept > 0) {
        result = core_replay(call->core, call->conn, wanted, replay->list, kept);
    }
    for (uint32_t i = 0; i < kept; i++) {
        channels_release(call->sessions->options.channels, replay->list[i].channel);
    }
    return result;
}

static int session_compare_channels(const void *left, const void *right)
{
    const struct core_replayed *a = left;
    const struct core_replayed *b = right;
    return (a->channel > b->channel) - (a->channel < b->channel);
}

/* In the order of numbers, each once. */
static void session_sort_replay(struct session_replay *replay)
{
    uint32_t kept = 0;
    qsort(replay->list, replay->count, sizeof replay->list[0], session_compare_channels);
    for (uint32_t i = 0; i < replay->count; i++) {
        if (i == 0 || replay->list[i].channel != replay->list[kept - 1].channel) {
            replay->list[kept++] = replay->list[i];
        }
    }
    replay->count = kept;
}

static void session_refuse_replay(struct session_call *call, int result)
{
    struct request_error error = {.code = PROTOCOL_INTERNAL, .message = "no memory for it"};
    if (result == -ERANGE) {
        error.code = PROTOCOL_RANGE_GONE;
        snprintf(error.field, sizeof error.field, "data.from");
        snprintf(error.message, sizeof error.message,
                 "not all of it is in the log any more, which begins at %" PRIu64,
                 core_log_begins_ns(call->core));
    } else if (result == -EINVAL) {
        error.code = PROTOCOL_BAD_REQUEST;
        snprintf(error.field, sizeof error.field, "data.from");
        snprintf(error.message, sizeof error.message, "there is no such seq yet");
    } else if (result == -EBUSY) {
        error.code = PROTOCOL_LIMIT_EXCEEDED;
        error.retry = true;
        snprintf(error.message, sizeof error.message,
                 "one replay a client at a time, and %d for all that this core serves; wait for "
                 "END_OF_REPLAY",
                 CORE_REPLAYS_MAX);
    }
    session_send_error(call->sessions, call->core, call->conn, call->request->id, &error);
    reply_trim(&call->sessions->failed);
}

static void session_put_replayed(const struct sessions *sessions, struct reply *reply,
                                 const struct core_replayed *channel)
{
    struct session_name name =
        session_channel_name(channels_get(sessions->options.channels, channel->channel));
    session_begin_channel(reply, &name, channel->channel);
}

static void session_begin_replay(struct session_call *call)
{
    struct session_replay *replay = call->replay;
    struct session *session = call->session;
    session_sort_replay(replay);
    session_spend(call, replay->count * SESSION_ENTRY_UNITS);
    int result = session_start_replay(call);
    bool goes_on = replay->count > 0 && result == 0 && call->request->replay.to == 0;
    uint32_t others = session->replayed_count - replay->counted;
    session->replayed_count = goes_on ? (uint16_t)replay->count : (uint16_t)others;
    if (result < 0) {
        session_refuse_replay(call, result);
        return;
    }
    for (uint32_t i = 0; i < replay->count; i++) {
        session_put_replayed(call->sessions, &call->sessions->reply, &replay->list[i]);
        reply_text(&call->sessions->reply, "}");
    }
    session_end_verdicts(call);
    call->is_whole = true; /* Its frames may come. */
    (void)session_define_names(call);
}

bool session_replay(struct session_call *call)
{
    if (call->replay == NULL) {
        call->replay = malloc(sizeof *call->replay);
        if (call->replay == NULL) {
            session_refuse_memory(call);
            return true;
        }
        call->replay->count = 0;
        call->replay->counted = 0;
        session_begin_verdicts(call, "REPLAYING");
    }
    if (!session_for_each_name(call, session_gather_replay)) {
        return false;
    }
    session_begin_replay(call);
    return true;
}

/* list: of what was sent whole, or of the rest. */
static void session_end_replayed(struct session_call *call, struct reply *list,
                                 const struct core_replayed *channel)
{
    if (channel->result < 0) {
        struct session_name name =
            session_channel_name(channels_get(call->sessions->options.channels, channel->channel));
        bool is_covered = channel->result == -EEXIST;
        session_refuse(call, &name, is_covered ? PROTOCOL_BAD_REQUEST : PROTOCOL_LIMIT_EXCEEDED,
                       is_covered ? "subscribed meanwhile" : "the server has no room for it");
        return;
    }
    session_put_replayed(call->sessions, list, channel);
    if (channel->last_seq != 0) {
        reply_text(list, ",\"last\":");
        reply_u64(list, channel->last_seq);
    }
    reply_text(list, "}");
}

void session_on_replay_end(void *context, struct core *core, uint32_t conn,
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
    session_begin_verdicts(&call, "END_OF_REPLAY");
    reply_put(&sessions->gaps, "[", 1);
    for (uint32_t i = 0; i < count; i++) {
        session_end_replayed(&call, is_whole ? &sessions->reply : &sessions->gaps, &channels[i]);
        if (call.session->replayed_count > 0 && channels[i].result >= 0) {
            session_count_exact(&call, channels[i].channel, 1);
        }
    }
    call.session->replayed_count = 0;
    session_end_with_gaps(&call);
}
