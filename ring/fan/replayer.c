/* History on a live conn, beside its live frames. */
#include "ring/fan/replayer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring/fan/history.h"

/* ---- Begin and end ---- */

static struct replay *replayer_find(struct core *core, const struct conn *conn)
{
    struct replay *replay = core->replays;
    while (replay->conn != conn_index(core, conn)) {
        replay++; /* There is one: conn->is_replayed. */
    }
    return replay;
}

static struct replay *replayer_take(struct core *core)
{
    for (uint32_t i = 0; i < CORE_REPLAYS_MAX; i++) {
        if (core->replays[i].conn == CONN_NONE) {
            return &core->replays[i];
        }
    }
    return NULL;
}

/* A channel that is replayed has a subscriber more (1) or less (-1). */
static void replayer_count(struct core *core, const struct core_replayed *channels, uint32_t count,
                           int change)
{
    for (uint32_t i = 0; core->options.ops->on_subscriber != NULL && i < count; i++) {
        core->options.ops->on_subscriber(core->options.context, core, channels[i].channel, change);
    }
}

static void replayer_free(struct core *core, struct replay *replay)
{
    if (replay->channels != NULL) {
        replayer_count(core, replay->channels, replay->channel_count, -1);
    }
    core_conn(core, replay->conn)->is_replayed = false;
    core->replay_count--;
    free(replay->channels);
    *replay = (struct replay){.conn = CONN_NONE};
}

void replayer_forget(struct core *core, struct conn *conn)
{
    if (conn->is_replayed) {
        replayer_free(core, replayer_find(core, conn));
    }
}

static bool replayer_is_covered(struct core *core, uint32_t conn,
                                const struct core_replayed *channel)
{
    return core_subscription_tag(core, conn, channel->channel) >= 0 ||
           (core_conn(core, conn)->group_mask & (1u << channel->group)) != 0;
}

/* Live frames follow on what was sent, unless a range was asked for. */
static void replayer_finish(struct core *core, struct replay *replay, bool is_whole)
{
    struct replay ended = *replay;
    replay->channels = NULL; /* They are ours now. */
    replayer_free(core, replay);
    for (uint32_t i = 0; ended.wanted.to == 0 && i < ended.channel_count; i++) {
        struct core_replayed *channel = &ended.channels[i];
        struct core_resume resume = {
            .channel = channel->channel,
            .group = channel->group,
            .policy = channel->policy,
            .tag = channel->tag,
            .is_same_epoch = true,
            .seq = channel->last_seq,
        };
        channel->result = replayer_is_covered(core, ended.conn, channel)
                              ? -EEXIST
                              : core_resume(core, ended.conn, &resume);
        if (channel->result >= 0) {
            core_set_max_lag(core, ended.conn, channel->channel, channel->max_lag_ms);
        }
    }
    core->options.ops->on_replay_end(core->options.context, core, ended.conn, ended.channels,
                                     ended.channel_count, is_whole);
    replayer_count(core, ended.channels, ended.channel_count, -1);
    free(ended.channels);
}

void core_stop_replay(struct core *core, uint32_t index)
{
    replayer_forget(core, core_conn(core, index));
}

uint32_t core_limit_replay(struct core *core, uint32_t index,
                           bool (*keeps)(void *context, uint32_t channel), void *context)
{
    struct conn *conn = core_conn(core, index);
    if (!conn->is_replayed) {
        return 0;
    }
    struct replay *replay = replayer_find(core, conn);
    uint32_t count = replay->channel_count;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (keeps(context, replay->channels[i].channel)) {
            replay->channels[kept++] = replay->channels[i];
        } else {
            replayer_count(core, &replay->channels[i], 1, -1);
        }
    }
    replay->channel_count = kept;
    if (kept == 0) {
        core->replay_due_ns = core->time.now_ns; /* It ends now, whatever its pace. */
    }
    return count - kept;
}

uint64_t core_log_begins_ns(struct core *core)
{
    struct frame_log *log = core_json(core)->log;
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    uint64_t oldest = frame_log_pin_oldest(log, core->options.index);
    uint64_t ns = core->time.wall_ns;
    if (oldest < frame_log_head(log)) {
        ns = frame_log_desc(log, oldest)->ts_pub_ns;
    }
    frame_log_pin_again(log, core->options.index, pinned);
    return ns;
}

/* ---- Where it begins ---- */

/* The first frame that was published at a time or later. */
static uint64_t replayer_find_time(const struct core_stream *json, uint64_t oldest, uint64_t ns)
{
    uint64_t from = oldest;
    uint64_t to = json->position;
    while (from < to) {
        uint64_t middle = from + (to - from) / 2;
        if (frame_log_desc(json->log, middle)->ts_pub_ns < ns) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Whether frames of a channel that were published at a time or later may be gone. */
static bool replayer_is_gone(const struct core_stream *json, uint32_t channel, uint64_t oldest,
                             uint64_t ns)
{
    return frame_log_dropped_seq(json->log, channel) > 0 &&
           (oldest == json->position || frame_log_desc(json->log, oldest)->ts_pub_ns >= ns);
}

static int replayer_seek_time(const struct core_stream *json, struct replay *replay,
                              uint64_t oldest)
{
    for (uint32_t i = 0; i < replay->channel_count; i++) {
        if (replayer_is_gone(json, replay->channels[i].channel, oldest, replay->wanted.from)) {
            return -ERANGE;
        }
    }
    replay->cursor = replayer_find_time(json, oldest, replay->wanted.from);
    return 0;
}

/* The newest seq of a channel that the core knows. One log may be ahead of the other. */
static uint64_t replayer_newest_seq(const struct core_stream *json, const struct core_stream *own,
                                    uint32_t channel)
{
    uint64_t json_seq = json->channels[channel].last_seq;
    uint64_t own_seq = own->channels[channel].last_seq;
    return json_seq > own_seq ? json_seq : own_seq;
}

/* Found in turns, see replayer_seek_on. */
static int replayer_seek_seq(const struct core_stream *json, const struct core_stream *own,
                             struct replay *replay)
{
    uint32_t channel = replay->channels[0].channel;
    uint64_t from = replay->wanted.from;
    if (from > replayer_newest_seq(json, own, channel)) {
        return -EINVAL;
    }
    if (from > json->channels[channel].last_seq) {
        replay->cursor = json->position;
        return 0;
    }
    replay->seek_at = json->channels[channel].last_index_plus_1;
    return from > frame_log_dropped_seq(json->log, channel) ? 0 : -ERANGE;
}

static int replayer_begin(struct core *core, const struct core_stream *own, struct replay *replay)
{
    const struct core_stream *json = core_json(core);
    uint64_t pinned = frame_log_pinned(json->log, core->options.index);
    uint64_t oldest = frame_log_pin_oldest(json->log, core->options.index);
    int error = -ERANGE; /* The writer has passed the core itself. */
    if (oldest <= json->position) {
        error = replay->wanted.is_by_seq ? replayer_seek_seq(json, own, replay)
                                         : replayer_seek_time(json, replay, oldest);
    }
    frame_log_pin_again(json->log, core->options.index, pinned);
    for (uint32_t i = 0; i < replay->channel_count; i++) {
        struct core_replayed *channel = &replay->channels[i];
        /* Also where no frame of it lies in between. */
        channel->last_seq =
            replay->wanted.to == 0 ? replayer_newest_seq(json, own, channel->channel) : 0;
    }
    uint64_t own_end = core_json_index(own, own->position);
    replay->end = own_end > json->position ? own_end : json->position;
    return error;
}

int core_replay(struct core *core, uint32_t index, const struct core_replay *wanted,
                const struct core_replayed *channels, uint32_t count)
{
    struct conn *conn = core_conn(core, index);
    assert_always(count > 0 && (count == 1 || !wanted->is_by_seq));
    if (conn->state != CONN_STREAMING) {
        return 0;
    }
    struct replay *replay = conn->is_replayed ? NULL : replayer_take(core);
    if (replay == NULL) {
        return -EBUSY;
    }
    struct core_replayed *copy = malloc(count * sizeof *copy);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, channels, count * sizeof *copy);
    *replay = (struct replay){
        .conn = index,
        .channel_count = count,
        .channels = copy,
        .wanted = *wanted,
    };
    conn->is_replayed = true;
    core->replay_count++;
    replayer_count(core, copy, count, 1);
    int error = replayer_begin(core, core_stream(core, conn), replay);
    if (error < 0) {
        replayer_free(core, replay);
    }
    return error;
}

/* ---- A turn ---- */

static struct core_replayed *replayer_channel(const struct replay *replay, uint32_t number)
{
    uint32_t from = 0;
    uint32_t to = replay->channel_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        struct core_replayed *channel = &replay->channels[middle];
        if (channel->channel == number) {
            return channel;
        }
        if (channel->channel < number) {
            from = middle + 1;
        } else {
            to = middle;
        }
    }
    return NULL;
}

/* Whose frame it is, if it is to be sent. */
static struct core_replayed *replayer_wants(const struct replay *replay,
                                            const struct frame_desc *desc)
{
    bool is_before = replay->wanted.is_by_seq && desc->seq < replay->wanted.from;
    struct core_replayed *channel = is_before ? NULL : replayer_channel(replay, desc->channel);
    return channel == NULL || desc->seq < channel->first_seq ? NULL : channel;
}

void replayer_on_sent(struct core *core, struct conn *conn, const struct core_stream *stream,
                      uint64_t to)
{
    struct replay *replay = replayer_find(core, conn);
    for (uint64_t index = core_own_index(stream, replay->cursor); index < to; index++) {
        const struct frame_desc *desc = frame_log_desc(stream->log, index);
        struct core_replayed *channel = replayer_wants(replay, desc);
        if (channel != NULL) {
            channel->last_seq = desc->seq;
        }
        replay->cursor++;
    }
}

/* false: the channel's frame is gone. */
static bool replayer_seek_on(struct core *core, struct replay *replay)
{
    struct frame_log *log = core_json(core)->log;
    uint32_t steps = HISTORY_STEPS_MAX;
    uint64_t oldest = frame_log_pin_oldest(log, core->options.index);
    enum history_walk walk =
        history_walk_back(log, oldest, replay->wanted.from, &replay->seek_at, &steps);
    if (walk == HISTORY_FOUND) {
        replay->cursor = replay->seek_at - 1;
        replay->seek_at = 0;
    }
    return walk != HISTORY_GONE;
}

/* When a frame is to be sent, by core->time.now_ns. */
static uint64_t replayer_due_ns(struct core *core, struct replay *replay,
                                const struct frame_desc *desc)
{
    if (replay->wanted.speed <= 0) {
        return 0;
    }
    if (replay->began_ns == 0) {
        replay->began_ns = core->time.now_ns;
        replay->base_ns = desc->ts_pub_ns;
    }
    if (desc->ts_pub_ns <= replay->base_ns) {
        return replay->began_ns;
    }
    double after_ns = (double)(desc->ts_pub_ns - replay->base_ns) / replay->wanted.speed;
    return after_ns > (double)UINT32_MAX * NS_PER_SECOND ? UINT64_MAX
                                                         : replay->began_ns + (uint64_t)after_ns;
}

static bool replayer_is_behind_end(const struct replay *replay, const struct frame_desc *desc)
{
    uint64_t value = replay->wanted.is_by_seq ? desc->seq : desc->ts_pub_ns;
    return replay->wanted.to != 0 && value > replay->wanted.to;
}

/* Where it reads, pinned; NULL: that is gone. */
static const struct core_stream *replayer_pin(struct core *core, const struct conn *conn,
                                              const struct replay *replay, struct send *send)
{
    const struct core_stream *own = core_stream(core, conn);
    const struct core_stream *json = core_json(core);
    if (history_pin_own(core, own, replay->cursor, &send->from) && send->from < own->position) {
        return own;
    }
    send->is_of_json = true;
    send->from = replay->cursor;
    return frame_log_pin(json->log, core->options.index, send->from) ? json : NULL;
}

static bool replayer_is_full(const struct conn *conn, const struct send *send)
{
    return send->total_bytes >= REPLAYER_BYTES_MAX || send->iov_count == REPLAYER_IOVS_MAX ||
           conn->out.bytes >= PULLER_SWEEP_BYTES || !conn_is_open(conn);
}

static void replayer_add(struct core *core, const struct frame_log *log, struct send *send,
                         const struct frame_desc *desc)
{
    struct iovec *iov = &core->batch->iovs[send->iov_first];
    const uint8_t *frame = frame_log_at(log, desc->position);
    struct iovec *last = send->iov_count > 0 ? &iov[send->iov_count - 1] : NULL;
    if (last != NULL && (const uint8_t *)last->iov_base + last->iov_len == frame) {
        last->iov_len += desc->frame_bytes;
    } else {
        iov[send->iov_count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)frame,
            .iov_len = desc->frame_bytes,
        };
    }
    send->frames++;
}

/* Adds what is due to a send, or queues it, put into the conn's encoding. */
static void replayer_collect(struct core *core, struct conn *conn, struct replay *replay,
                             const struct core_stream *stream, struct send *send)
{
    bool recodes = send->is_of_json && history_recodes(core, conn);
    uint64_t end = core_own_index(stream, replay->end);
    uint64_t stop = send->from + REPLAYER_FRAMES_MAX;
    stop = stop < stream->position ? stop : stream->position;
    for (send->to = send->from; send->to < end && send->to < stop && !replayer_is_full(conn, send);
         send->to++) {
        const struct frame_desc *desc = frame_log_desc(stream->log, send->to);
        if (replayer_wants(replay, desc) == NULL) {
            continue;
        }
        if (replayer_is_behind_end(replay, desc)) {
            replay->end = core_json_index(stream, send->to);
            break;
        }
        uint64_t due_ns = replayer_due_ns(core, replay, desc);
        if (due_ns > core->time.now_ns) {
            core->replay_due_ns = due_ns < core->replay_due_ns ? due_ns : core->replay_due_ns;
            return;
        }
        send->total_bytes += desc->frame_bytes;
        if (recodes) {
            history_send(core, conn, desc);
        } else {
            replayer_add(core, stream->log, send, desc);
        }
    }
    core->replay_due_ns = core->time.now_ns; /* There is more, or its end is to be told. */
}

/* Returns what it took of the turn, in bytes. */
static uint64_t replayer_send(struct core *core, struct conn *conn, struct replay *replay)
{
    struct send *send = sender_open_slot(core, conn);
    send->is_replay = true;
    sender_add_out(core, conn, send);
    const struct core_stream *stream = replayer_pin(core, conn, replay, send);
    if (stream == NULL) {
        sender_cancel_slot(core, send);
        replayer_finish(core, replay, false);
        return 0;
    }
    replayer_collect(core, conn, replay, stream, send);
    uint64_t cost = send->total_bytes + (send->to - send->from) * REPLAYER_LOOK_BYTES;
    if (send->iov_count > 0) {
        sender_queue_slot(core, send);
        return cost;
    }
    replayer_on_sent(core, conn, stream, send->to);
    sender_cancel_slot(core, send);
    return conn->out.bytes > 0 ? cost * REPLAYER_RECODE_FACTOR : cost;
}

/* The same. */
static uint64_t replayer_step(struct core *core, struct replay *replay)
{
    struct conn *conn = core_conn(core, replay->conn);
    if (conn->state != CONN_STREAMING || conn->mode != CONN_PUSHED || conn->due_frames > 0 ||
        conn->out.bytes > 0) {
        return 0; /* First things first. Its turn comes again. */
    }
    if (replay->channel_count == 0) {
        replayer_finish(core, replay, true);
        return 0;
    }
    if (replay->seek_at != 0) {
        core->replay_due_ns = core->time.now_ns;
        if (!replayer_seek_on(core, replay)) {
            replayer_finish(core, replay, false);
        }
        return 0;
    }
    if (replay->cursor >= replay->end) {
        replayer_finish(core, replay, true);
        return 0;
    }
    return replayer_send(core, conn, replay);
}

void replayer_run(struct core *core)
{
    core->replay_due_ns = UINT64_MAX;
    if (core->replay_count == 0) {
        return;
    }
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < CORE_REPLAYS_MAX; i++) {
        if (bytes >= REPLAYER_TURN_BYTES_MAX) {
            core->replay_due_ns = core->time.now_ns;
            break;
        }
        sender_begin(core, SENDER_BATCH_MAX);
        struct replay *replay = &core->replays[core->replay_turn++ % CORE_REPLAYS_MAX];
        if (replay->conn != CONN_NONE) {
            bytes += replayer_step(core, replay);
        }
    }
    sender_submit(core);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        frame_log_unpin(core->streams[i].log, core->options.index);
    }
}
