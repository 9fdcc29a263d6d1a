#include "ring/fan/replayer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ring/fan/history.h"
#include "ring/trace.h"

/* ---- Begin and end ---- */

static struct replay *replayer_find(struct fan *fan, const struct subscriber *subscriber)
{
    struct replay *replay = fan->replays;
    assert_always(subscriber->is_replayed); /* There is one. */
    while (replay->conn != fan_index(fan, subscriber)) {
        replay++;
        assert_always(replay < fan->replays + FAN_REPLAYS_MAX);
    }
    return replay;
}

static struct replay *replayer_take(struct fan *fan)
{
    for (uint32_t i = 0; i < FAN_REPLAYS_MAX; i++) {
        if (fan->replays[i].conn == SUBSCRIBER_NONE) {
            return &fan->replays[i];
        }
    }
    return NULL;
}

static void replayer_free(struct fan *fan, struct replay *replay)
{
    fan_subscriber(fan, replay->conn)->is_replayed = false;
    fan->replay_count--;
    free(replay->channels);
    *replay = (struct replay){.conn = SUBSCRIBER_NONE};
}

void replayer_forget(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->is_replayed) {
        replayer_free(fan, replayer_find(fan, subscriber));
    }
}

struct core_replayed *replayer_end(struct fan *fan, struct subscriber *subscriber,
                                   struct replay *ended_out)
{
    struct replay *replay = replayer_find(fan, subscriber);
    assert_always(replay->channels != NULL);
    *ended_out = *replay;
    trace_replay(fan->reader, replay->conn, replay->channel_count, replay->cursor, false);
    replay->channels = NULL; /* They are the caller's now. */
    replayer_free(fan, replay);
    return ended_out->channels;
}

/* It is at its end, which the core sees to. */
static void replayer_report_end(struct fan *fan, struct replay *replay, bool is_whole)
{
    struct notice *notice =
        fan_add_notice(fan, fan_subscriber(fan, replay->conn), NOTICE_REPLAY_END);
    notice->is_whole = is_whole;
}

uint32_t replayer_limit(struct fan *fan, struct subscriber *subscriber,
                        bool (*keeps)(void *context, uint32_t channel), void *context)
{
    if (!subscriber->is_replayed) {
        return 0;
    }
    struct replay *replay = replayer_find(fan, subscriber);
    uint32_t count = replay->channel_count;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (keeps(context, replay->channels[i].channel)) {
            replay->channels[kept++] = replay->channels[i];
        }
    }
    replay->channel_count = kept;
    if (kept == 0) {
        fan->replay_due_ns = fan->now_ns; /* It ends now, at any pace. */
    }
    return count - kept;
}

/* ---- Where it begins ---- */

/* The first frame that was published at a time or later. */
static uint64_t replayer_find_time(const struct fan_stream *json, uint64_t oldest, uint64_t ns)
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

/* Whether frames of a channel that were published at a time or later may be overwritten. */
static bool replayer_is_gone(const struct fan_stream *json, uint32_t channel, uint64_t oldest,
                             uint64_t ns)
{
    return frame_log_dropped_seq(json->log, channel) > 0 &&
           (oldest == json->position || frame_log_desc(json->log, oldest)->ts_pub_ns >= ns);
}

static int replayer_seek_time(const struct fan_stream *json, struct replay *replay, uint64_t oldest)
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
static uint64_t replayer_newest_seq(const struct fan_stream *json, const struct fan_stream *own,
                                    uint32_t channel)
{
    uint64_t json_seq = json->channels[channel].last_seq;
    uint64_t own_seq = own->channels[channel].last_seq;
    return json_seq > own_seq ? json_seq : own_seq;
}

/* Found in turns, see replayer_seek_on. */
static int replayer_seek_seq(const struct fan_stream *json, const struct fan_stream *own,
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

static int replayer_begin(struct fan *fan, const struct fan_stream *own, struct replay *replay)
{
    const struct fan_stream *json = fan_json(fan);
    uint64_t pinned = frame_log_pinned(json->log, fan->reader);
    uint64_t oldest = frame_log_pin_oldest(json->log, fan->reader);
    int error = -ERANGE; /* The writer has passed the core itself. */
    if (oldest <= json->position) {
        error = replay->wanted.is_by_seq ? replayer_seek_seq(json, own, replay)
                                         : replayer_seek_time(json, replay, oldest);
    }
    frame_log_pin_again(json->log, fan->reader, pinned);
    for (uint32_t i = 0; i < replay->channel_count; i++) {
        struct core_replayed *channel = &replay->channels[i];
        /* Also where no frame of it lies in between. */
        channel->last_seq =
            replay->wanted.to == 0 ? replayer_newest_seq(json, own, channel->channel) : 0;
    }
    uint64_t own_end = fan_json_index(own, own->position);
    replay->end = own_end > json->position ? own_end : json->position;
    return error;
}

int replayer_start(struct fan *fan, struct subscriber *subscriber, const struct core_replay *wanted,
                   const struct core_replayed *channels, uint32_t count)
{
    assert_always(count > 0 && (count == 1 || !wanted->is_by_seq));
    struct replay *replay = subscriber->is_replayed ? NULL : replayer_take(fan);
    if (replay == NULL) {
        return -EBUSY;
    }
    struct core_replayed *copy = malloc(count * sizeof *copy);
    if (copy == NULL) {
        return -ENOMEM;
    }
    memcpy(copy, channels, count * sizeof *copy);
    *replay = (struct replay){
        .conn = fan_index(fan, subscriber),
        .channel_count = count,
        .channels = copy,
        .wanted = *wanted,
    };
    subscriber->is_replayed = true;
    fan->replay_count++;
    int error = replayer_begin(fan, fan_stream(fan, subscriber), replay);
    if (error < 0) {
        replayer_free(fan, replay);
        return error;
    }
    trace_replay(fan->reader, replay->conn, count, replay->cursor, true);
    return 0;
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

void replayer_on_sent(struct fan *fan, struct subscriber *subscriber,
                      const struct fan_stream *stream, uint64_t to)
{
    struct replay *replay = replayer_find(fan, subscriber);
    assert_always(fan_own_index(stream, replay->cursor) <= to);
    for (uint64_t index = fan_own_index(stream, replay->cursor); index < to; index++) {
        const struct frame_desc *desc = frame_log_desc(stream->log, index);
        struct core_replayed *channel = replayer_wants(replay, desc);
        if (channel != NULL) {
            channel->last_seq = desc->seq;
        }
        replay->cursor++;
    }
}

/* false: the channel's frame is overwritten. */
static bool replayer_seek_on(struct fan *fan, struct replay *replay)
{
    struct frame_log *log = fan_json(fan)->log;
    uint32_t steps = HISTORY_STEPS_MAX;
    uint64_t oldest = frame_log_pin_oldest(log, fan->reader);
    enum history_walk walk =
        history_walk_back(log, oldest, replay->wanted.from, &replay->seek_at, &steps);
    if (walk == HISTORY_FOUND) {
        replay->cursor = replay->seek_at - 1;
        replay->seek_at = 0;
    }
    return walk != HISTORY_GONE;
}

/* When a frame is to be sent, by fan->now_ns. */
static uint64_t replayer_due_ns(struct fan *fan, struct replay *replay,
                                const struct frame_desc *desc)
{
    if (replay->wanted.speed <= 0) {
        return 0;
    }
    if (replay->began_ns == 0) {
        replay->began_ns = fan->now_ns;
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

/* The place where it reads, pinned; NULL: it is overwritten. */
static const struct fan_stream *replayer_pin(struct fan *fan, const struct subscriber *subscriber,
                                             const struct replay *replay, uint64_t *from_out)
{
    const struct fan_stream *own = fan_stream(fan, subscriber);
    const struct fan_stream *json = fan_json(fan);
    if (history_pin_own(fan, own, replay->cursor, from_out) && *from_out < own->position) {
        return own;
    }
    *from_out = replay->cursor;
    return frame_log_pin(json->log, fan->reader, *from_out) ? json : NULL;
}

static bool replayer_is_full(const struct link_view *view, const struct send_plan *plan)
{
    return plan->bytes >= REPLAYER_BYTES_MAX || plan->iov_count == REPLAYER_IOVS_MAX ||
           puller_is_full(view);
}

/* Adds what is due to a plan, or has it put into the subscriber's encoding. */
static void replayer_collect(struct fan *fan, struct subscriber *subscriber, struct replay *replay,
                             struct link_view *view, struct send_plan *plan)
{
    const struct fan_stream *stream = &fan->streams[plan->log];
    bool recodes = plan->log != subscriber->encoding && history_recodes(fan, subscriber);
    uint64_t end = fan_own_index(stream, replay->end);
    uint64_t stop = plan->from + REPLAYER_FRAMES_MAX;
    stop = stop < stream->position ? stop : stream->position;
    for (; plan->to < end && plan->to < stop && !replayer_is_full(view, plan); plan->to++) {
        const struct frame_desc *desc = frame_log_desc(stream->log, plan->to);
        if (replayer_wants(replay, desc) == NULL) {
            continue;
        }
        if (replayer_is_behind_end(replay, desc)) {
            replay->end = fan_json_index(stream, plan->to);
            break;
        }
        uint64_t due_ns = replayer_due_ns(fan, replay, desc);
        if (due_ns > fan->now_ns) {
            fan->replay_due_ns = due_ns < fan->replay_due_ns ? due_ns : fan->replay_due_ns;
            return;
        }
        if (recodes) {
            history_send(fan, subscriber, view, desc);
        } else {
            puller_add_frame(fan->batch, plan, stream->log, desc);
        }
    }
    fan->replay_due_ns = fan->now_ns; /* There is more, or its end is to be reported. */
}

/* Returns what it took of the turn, in bytes. */
static uint64_t replayer_plan_frames(struct fan *fan, struct subscriber *subscriber,
                                     struct replay *replay, struct link_view *view)
{
    uint64_t from;
    struct plan_batch *batch = fan->batch;
    const struct fan_stream *stream = replayer_pin(fan, subscriber, replay, &from);
    if (stream == NULL) {
        replayer_report_end(fan, replay, false);
        return 0;
    }
    struct send_plan *plan = &batch->plans[batch->plan_count];
    *plan = (struct send_plan){
        .conn = replay->conn,
        .iov_first = batch->iov_count,
        .from = from,
        .to = from,
        .kind = SEND_REPLAY,
        .log = (uint8_t)(stream - fan->streams),
    };
    replayer_collect(fan, subscriber, replay, view, plan);
    uint64_t recoded_bytes = view->waiting_bytes; /* Nothing waited before. */
    uint64_t cost = plan->bytes + recoded_bytes * REPLAYER_RECODE_FACTOR +
                    (plan->to - plan->from) * REPLAYER_LOOK_BYTES;
    if (plan->iov_count > 0) {
        batch->plan_count++;
    } else {
        replayer_on_sent(fan, subscriber, stream, plan->to);
    }
    return cost;
}

uint64_t replayer_plan(struct fan *fan, struct replay *replay, struct link_view *view)
{
    struct subscriber *subscriber = fan_subscriber(fan, replay->conn);
    assert_always(fan_has_room(fan->batch));
    if (!fan_is_current(fan, subscriber) || view->waiting_bytes > 0) {
        return 0; /* First things first. Its turn comes again. */
    }
    if (replay->channel_count == 0) {
        replayer_report_end(fan, replay, true);
        return 0;
    }
    if (replay->seek_at != 0) {
        fan->replay_due_ns = fan->now_ns;
        if (!replayer_seek_on(fan, replay)) {
            replayer_report_end(fan, replay, false);
        }
        return 0;
    }
    if (replay->cursor >= replay->end) {
        replayer_report_end(fan, replay, true);
        return 0;
    }
    return replayer_plan_frames(fan, subscriber, replay, view);
}
