/* What src may ask of a core for one of its conns: subscriptions, words, numbers. */
#include <errno.h>

#include "codec/base/canary.h"
#include "ring/core/core_state.h"
#include "ring/fan/history.h"
#include "ring/fan/replayer.h"

void core_send_text(struct core *core, uint32_t index, const char *payload, size_t payload_bytes)
{
    struct conn *conn = core_conn(core, index);
    if (conn->state == CONN_STREAMING) {
        conn_queue_frame(core, conn, WS_TEXT, payload, payload_bytes);
    }
}

void core_send_raw(struct core *core, uint32_t index, const void *bytes, size_t bytes_count)
{
    struct conn *conn = core_conn(core, index);
    if (conn->state == CONN_STREAMING) {
        conn_queue(core, conn, bytes, bytes_count);
    }
}

bool core_has_drained(struct core *core, uint32_t index)
{
    return core_conn(core, index)->out.bytes == 0;
}

bool core_has_room(struct core *core, uint32_t index, size_t bytes)
{
    return core_conn(core, index)->out.bytes + bytes <= out_pool_share(&core->out_pool);
}

void core_close(struct core *core, uint32_t index, uint16_t code, const char *reason)
{
    conn_close(core, core_conn(core, index), code, reason, "closed by the server");
}

uint64_t core_next_seq(struct core *core, uint32_t index, uint32_t channel)
{
    return core_stream(core, core_conn(core, index))->channels[channel].last_seq + 1;
}

uint64_t core_position(struct core *core, uint32_t index)
{
    return core_stream(core, core_conn(core, index))->position;
}

uint64_t core_hash(struct core *core, uint32_t index, uint32_t channel)
{
    return core_stream(core, core_conn(core, index))->channels[channel].hash;
}

/* ---- Single channels ---- */

static void core_tell_subscriber(struct core *core, uint32_t channel, int change)
{
    if (core->options.ops->on_subscriber != NULL && !(change < 0 && CANARY(SUBSCRIBER_KEPT))) {
        core->options.ops->on_subscriber(core->options.context, core, channel, change);
    }
}

int core_subscribe(struct core *core, uint32_t index, uint32_t channel, uint32_t group,
                   enum lag_policy policy, bool snapshot, uint8_t tag)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    uint32_t sub;
    if (conn->state != CONN_STREAMING) {
        return 0;
    }
    sender_settle(core, conn);
    if (subs_find(&stream->subs, index, channel) != SUB_NONE) {
        return 1;
    }
    int error = subs_add(&stream->subs, index, channel, &conn->sub_first, &sub);
    if (error < 0) {
        return error;
    }
    uint64_t last_seq = stream->channels[channel].last_seq;
    struct sub *record = &stream->subs.records[sub];
    record->group = (uint8_t)group & 15;
    record->policy = (uint8_t)policy & 15;
    record->tag = tag;
    record->next_seq = last_seq + 1;
    record->first_seq = last_seq + 1;
    conn->sub_count++;
    counter_add(&core->counters->subscriptions, 1);
    core_tell_subscriber(core, channel, 1);
    if (snapshot && last_seq > 0 && (conn->group_mask & (1u << group)) == 0) {
        if (conn->mode == CONN_PUSHED) {
            puller_start(core, conn, stream->position);
        }
        stream->subs.records[sub].next_seq |= PULLER_SNAPSHOT_DUE;
        puller_sweep(core, conn);
    }
    return 0;
}

bool core_gets_image(struct core *core, uint32_t index, uint32_t channel)
{
    struct conn *conn = core_conn(core, index);
    struct frame_log *log = core_stream(core, conn)->log;
    uint32_t bytes;
    sender_settle(core, conn);
    if (conn->mode != CONN_PUSHED) {
        return false;
    }
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    bool gets_image = puller_newest_image(core, conn, channel, &bytes) != NULL;
    frame_log_pin_again(log, core->options.index, pinned);
    return gets_image;
}

void core_remove_sub(struct core *core, struct conn *conn, uint32_t sub)
{
    struct core_stream *stream = core_stream(core, conn);
    if (conn->sweep_sub == sub) {
        conn->sweep_sub = stream->subs.records[sub].conn_next;
    }
    core_tell_subscriber(core, stream->subs.records[sub].channel, -1);
    history_forget_sub(core, conn, sub);
    subs_remove(&stream->subs, sub, &conn->sub_first);
    conn->sub_count--;
    counter_add(&core->counters->subscriptions, (uint64_t)-1);
}

int core_unsubscribe(struct core *core, uint32_t index, uint32_t channel)
{
    struct conn *conn = core_conn(core, index);
    sender_settle(core, conn);
    uint32_t sub = subs_find(&core_stream(core, conn)->subs, index, channel);
    if (sub == SUB_NONE) {
        return -ENOENT;
    }
    core_remove_sub(core, conn, sub);
    return 0;
}

int core_subscription_tag(struct core *core, uint32_t index, uint32_t channel)
{
    const struct core_stream *stream = core_stream(core, core_conn(core, index));
    uint32_t sub = subs_find(&stream->subs, index, channel);
    return sub == SUB_NONE ? -ENOENT : stream->subs.records[sub].tag;
}

void core_set_subscription(struct core *core, uint32_t index, uint32_t channel,
                           enum lag_policy policy, uint8_t tag)
{
    struct core_stream *stream = core_stream(core, core_conn(core, index));
    uint32_t sub = subs_find(&stream->subs, index, channel);
    if (sub != SUB_NONE) {
        stream->subs.records[sub].policy = (uint8_t)policy & 15;
        stream->subs.records[sub].tag = tag;
    }
}

void core_set_max_lag(struct core *core, uint32_t index, uint32_t channel, uint16_t max_lag_ms)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    uint32_t sub = subs_find(&stream->subs, index, channel);
    if (sub != SUB_NONE) {
        stream->subs.records[sub].max_lag_ms = max_lag_ms;
        conn->has_lag_limit |= max_lag_ms != 0;
    }
}

uint16_t core_max_lag(struct core *core, uint32_t index, uint32_t channel)
{
    const struct core_stream *stream = core_stream(core, core_conn(core, index));
    uint32_t sub = subs_find(&stream->subs, index, channel);
    return sub == SUB_NONE ? 0 : stream->subs.records[sub].max_lag_ms;
}

/* ---- Groups ---- */

/* The seqs of a group that a pulling conn takes on; its exact subscriptions have theirs. */
static void core_take_over_group(struct core *core, struct conn *conn, uint32_t group,
                                 bool snapshot)
{
    const struct core_stream *stream = core_stream(core, conn);
    for (uint32_t channel = 0; channel < core->channel_count; channel++) {
        const struct core_channel *known = &stream->channels[channel];
        if (known->last_seq == 0 || known->group != group) {
            continue;
        }
        struct puller_seq *seq = puller_group_seq(core, conn, channel);
        if (seq == NULL) {
            return;
        }
        uint32_t sub = subs_find(&stream->subs, conn_index(core, conn), channel);
        if (sub != SUB_NONE) {
            struct sub *record = &stream->subs.records[sub];
            seq->next = record->next_seq;
            seq->first = record->first_seq;
            record->next_seq &= PULLER_SEQ_MASK; /* What is due is so once. */
            record->first_seq &= PULLER_SEQ_MASK;
        } else {
            seq->first = known->last_seq + 1;
            seq->next = seq->first | (snapshot ? PULLER_SNAPSHOT_DUE : 0);
        }
    }
}

int core_subscribe_group(struct core *core, uint32_t index, uint32_t group, enum lag_policy policy,
                         bool snapshot)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    assert_always(group < CORE_GROUPS_MAX);
    if (conn->state != CONN_STREAMING) {
        return 0;
    }
    sender_settle(core, conn);
    conn->group_policy[group] = (uint8_t)policy;
    if ((conn->group_mask & (1u << group)) != 0) {
        return 1;
    }
    struct sub_entry entry = {.conn = index, .sub = SUB_NONE};
    int error = sub_list_add(&stream->groups[group], entry, &conn->group_place[group]);
    if (error < 0) {
        return error;
    }
    conn->group_mask |= (uint8_t)(1u << group);
    counter_add(&core->counters->subscriptions, 1);
    if (snapshot && conn->mode == CONN_PUSHED) {
        puller_start(core, conn, stream->position);
    }
    if (conn->mode != CONN_PUSHED) {
        core_take_over_group(core, conn, group, snapshot);
        puller_sweep(core, conn);
    }
    return 0;
}

void core_set_group_max_lag(struct core *core, uint32_t index, uint32_t group, uint16_t max_lag_ms)
{
    struct conn *conn = core_conn(core, index);
    uint8_t bit = (uint8_t)(1u << group);
    if (max_lag_ms == 0) {
        conn->group_lag_mask &= (uint8_t)~bit;
        return;
    }
    conn->group_lag_mask |= bit;
    conn->has_lag_limit = true;
    core_history(core, conn)->group_max_lag_ms[group] = max_lag_ms;
}

uint16_t core_group_max_lag(struct core *core, uint32_t index, uint32_t group)
{
    const struct conn *conn = core_conn(core, index);
    bool has_limit = (conn->group_lag_mask & (1u << group)) != 0;
    return has_limit ? core_history(core, conn)->group_max_lag_ms[group] : 0;
}

void core_remove_group(struct core *core, struct conn *conn, uint32_t group)
{
    struct core_stream *stream = core_stream(core, conn);
    struct sub_entry moved = sub_list_remove(&stream->groups[group], conn->group_place[group]);
    if (moved.conn != UINT32_MAX) {
        core_conn(core, moved.conn)->group_place[group] = conn->group_place[group];
    }
    conn->group_mask &= (uint8_t) ~(1u << group);
    conn->group_lag_mask &= (uint8_t) ~(1u << group);
    counter_add(&core->counters->subscriptions, (uint64_t)-1);
}

int core_unsubscribe_group(struct core *core, uint32_t index, uint32_t group)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    sender_settle(core, conn);
    if ((conn->group_mask & (1u << group)) == 0) {
        return -ENOENT;
    }
    /* A pulling conn's exact subscriptions go on where the group was. */
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        if (record->group == group && record->channel < conn->group_seqs_count) {
            record->next_seq = conn->group_seqs[record->channel].next;
            record->first_seq = conn->group_seqs[record->channel].first;
        }
    }
    core_remove_group(core, conn, group);
    return 0;
}

/* ---- Numbers ---- */

uint32_t core_conn_encoding(struct core *core, uint32_t index)
{
    return core_conn(core, index)->encoding;
}

uint32_t core_conn_channels(struct core *core, uint32_t index, uint32_t *turn,
                            uint32_t *channels_out, uint32_t max)
{
    const struct conn *conn = core_conn(core, index);
    const struct core_stream *stream = core_stream(core, conn);
    uint32_t place = 0;
    uint32_t count = 0;
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE && count < max;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        if ((conn->group_mask & (1u << record->group)) == 0 && place++ >= *turn) {
            channels_out[count++] = record->channel;
        }
    }
    for (uint32_t channel = 0;
         conn->group_mask != 0 && channel < core->channel_count && count < max; channel++) {
        const struct core_channel *known = &stream->channels[channel];
        if (known->last_seq > 0 && (conn->group_mask & (1u << known->group)) != 0 &&
            place++ >= *turn) {
            channels_out[count++] = channel;
        }
    }
    *turn = count == max ? *turn + count : 0;
    return count;
}

void core_conn_stats(struct core *core, uint32_t index, struct core_conn_stats *stats_out)
{
    const struct conn *conn = core_conn(core, index);
    *stats_out = (struct core_conn_stats){
        .frames_sent = conn->frames_sent,
        .frames_lost = conn->frames_lost,
        .frames_conflated = conn->frames_conflated,
        .subscription_count = conn->sub_count + (uint32_t)__builtin_popcount(conn->group_mask),
        .round_trip_us = conn->round_trip_us,
        .encoding = conn->encoding,
    };
}

bool core_conn_is_current(struct core *core, uint32_t index)
{
    return conn_is_current(core_conn(core, index));
}

void core_conn_lag(struct core *core, uint32_t index, struct core_lag *lag_out)
{
    lag_measure(core, core_conn(core, index), lag_out);
}
