/* Subscriptions. */
#include <errno.h>

#include "codec/base/canary.h"
#include "ring/core/core_state.h"
#include "ring/fan/fanout.h"
#include "ring/fan/history.h"
#include "ring/fan/puller.h"
#include "ring/fan/roster.h"
#include "ring/trace.h"

/* ---- Single channels ---- */

void core_tell_subscriber(struct core *core, uint32_t channel, int change)
{
    if (core->options.ops->on_subscriber != NULL && !(change < 0 && CANARY(SUBSCRIBER_KEPT))) {
        core->options.ops->on_subscriber(core->options.context, core, channel, change);
    }
}

uint32_t core_subscriptions(struct core *core, uint32_t index, struct core_subscribed *list_out,
                            uint32_t max)
{
    const struct subscriber *subscriber = core_subscriber(core, index);
    const struct fan_stream *stream = core_stream(core, index);
    uint32_t count = 0;
    if (subscriber->sub_count > max) {
        return subscriber->sub_count;
    }
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;) {
        const struct sub *record = &stream->subs.records[sub];
        assert_always(count < max);
        list_out[count++] =
            (struct core_subscribed){.channel = record->channel, .tag = record->tag};
        sub = record->conn_next;
    }
    return count;
}

/* Whether a snapshot is sent at once. */
static bool core_has_image(struct core *core, struct subscriber *subscriber, uint32_t channel)
{
    struct frame_log *log = fan_stream(&core->fan, subscriber)->log;
    uint32_t bytes;
    if (subscriber->mode != SUBSCRIBER_PUSHED) {
        return false;
    }
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    bool has_image = puller_newest_image(&core->fan, subscriber, channel, &bytes) != NULL;
    frame_log_pin_again(log, core->options.index, pinned);
    return has_image;
}

/* The newest frame is to be sent before live ones. */
static void core_begin_snapshot(struct core *core, struct subscriber *subscriber, uint32_t sub)
{
    struct fan_stream *stream = fan_stream(&core->fan, subscriber);
    if (subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(&core->fan, subscriber, stream->position);
    }
    stream->subs.records[sub].next_seq |= PROGRESS_SNAPSHOT_DUE;
    progress_sweep(subscriber);
}

int core_subscribe(struct core *core, uint32_t index, struct core_subscription *wanted)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    struct fan_stream *stream = core_stream(core, index);
    const struct fan_channel *known = &stream->channels[wanted->channel];
    uint32_t sub;
    wanted->next_seq = known->last_seq + 1;
    wanted->hash = known->hash;
    if (!core_is_streaming(core, index)) {
        return 0;
    }
    fanout_settle(&core->fan, subscriber);
    if (subs_find(&stream->subs, index, wanted->channel) != SUB_NONE) {
        return 1;
    }
    wanted->has_image = wanted->asks_image && core_has_image(core, subscriber, wanted->channel);
    int error = subs_add(&stream->subs, index, wanted->channel, &subscriber->sub_first, &sub);
    if (error < 0) {
        return error;
    }
    struct sub *record = &stream->subs.records[sub];
    record->group = (uint8_t)wanted->group & 15;
    record->policy = (uint8_t)wanted->policy & 15;
    record->tag = wanted->tag;
    record->max_lag_ms = wanted->max_lag_ms;
    record->next_seq = wanted->next_seq;
    record->first_seq = wanted->next_seq;
    subscriber->has_lag_limit |= wanted->max_lag_ms != 0;
    subscriber->sub_count++;
    counter_add(&core->counters->subscriptions, 1);
    core_tell_subscriber(core, wanted->channel, 1);
    trace_subscribe(core->options.index, index, wanted->channel, wanted->policy, true,
                    stream->position);
    if (wanted->snapshot && known->last_seq > 0 &&
        (subscriber->group_mask & (1u << wanted->group)) == 0) {
        core_begin_snapshot(core, subscriber, sub);
    }
    return 0;
}

void core_remove_sub(struct core *core, struct subscriber *subscriber, uint32_t sub)
{
    assert_always(sub != SUB_NONE && subscriber->sub_count > 0);
    struct fan_stream *stream = fan_stream(&core->fan, subscriber);
    const struct sub *record = &stream->subs.records[sub];
    if (subscriber->sweep_sub == sub) {
        subscriber->sweep_sub = record->conn_next;
    }
    trace_subscribe(core->options.index, fan_index(&core->fan, subscriber), record->channel,
                    record->policy, false, stream->position);
    core_tell_subscriber(core, record->channel, -1);
    history_forget_sub(&core->fan, subscriber, sub);
    subs_remove(&stream->subs, sub, &subscriber->sub_first);
    subscriber->sub_count--;
    counter_add(&core->counters->subscriptions, (uint64_t)-1);
}

int core_unsubscribe(struct core *core, uint32_t index, uint32_t channel)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    fanout_settle(&core->fan, subscriber);
    uint32_t sub = subs_find(&fan_stream(&core->fan, subscriber)->subs, index, channel);
    if (sub == SUB_NONE) {
        return -ENOENT;
    }
    core_remove_sub(core, subscriber, sub);
    return 0;
}

int core_subscription_tag(struct core *core, uint32_t index, uint32_t channel)
{
    const struct fan_stream *stream = core_stream(core, index);
    uint32_t sub = subs_find(&stream->subs, index, channel);
    return sub == SUB_NONE ? -ENOENT : stream->subs.records[sub].tag;
}

void core_set_subscription(struct core *core, uint32_t index, uint32_t channel,
                           enum lag_policy policy, uint8_t tag)
{
    struct fan_stream *stream = core_stream(core, index);
    uint32_t sub = subs_find(&stream->subs, index, channel);
    if (sub != SUB_NONE) {
        stream->subs.records[sub].policy = (uint8_t)policy & 15;
        stream->subs.records[sub].tag = tag;
    }
}

void core_set_max_lag(struct core *core, uint32_t index, uint32_t channel, uint16_t max_lag_ms)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    struct fan_stream *stream = core_stream(core, index);
    uint32_t sub = subs_find(&stream->subs, index, channel);
    if (sub != SUB_NONE) {
        stream->subs.records[sub].max_lag_ms = max_lag_ms;
        subscriber->has_lag_limit |= max_lag_ms != 0;
    }
}

uint16_t core_max_lag(struct core *core, uint32_t index, uint32_t channel)
{
    const struct fan_stream *stream = core_stream(core, index);
    uint32_t sub = subs_find(&stream->subs, index, channel);
    return sub == SUB_NONE ? 0 : stream->subs.records[sub].max_lag_ms;
}

/* ---- Groups ---- */

/* The seqs of a group that a pulling conn takes on; its exact subscriptions have theirs. */
static void core_take_over_group(struct core *core, struct subscriber *subscriber, uint32_t group,
                                 bool snapshot)
{
    const struct fan_stream *stream = fan_stream(&core->fan, subscriber);
    for (uint32_t channel = 0; channel < core->fan.channel_count; channel++) {
        const struct fan_channel *known = &stream->channels[channel];
        if (known->last_seq == 0 || known->group != group) {
            continue;
        }
        struct progress_seq *seq = progress_group_seq(&core->fan, subscriber, channel);
        if (seq == NULL) {
            return;
        }
        uint32_t sub = subs_find(&stream->subs, fan_index(&core->fan, subscriber), channel);
        if (sub != SUB_NONE) {
            struct sub *record = &stream->subs.records[sub];
            seq->next = record->next_seq;
            seq->first = record->first_seq;
            record->next_seq &= PROGRESS_SEQ_MASK; /* What is due is so once. */
            record->first_seq &= PROGRESS_SEQ_MASK;
        } else {
            seq->first = known->last_seq + 1;
            seq->next = seq->first | (snapshot ? PROGRESS_SNAPSHOT_DUE : 0);
        }
    }
}

int core_subscribe_group(struct core *core, uint32_t index, uint32_t group, enum lag_policy policy,
                         bool snapshot)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    struct fan_stream *stream = core_stream(core, index);
    assert_always(group < SUBSCRIBER_GROUPS_MAX);
    if (!core_is_streaming(core, index)) {
        return 0;
    }
    fanout_settle(&core->fan, subscriber);
    subscriber_set_group_policy(subscriber, group, policy);
    if ((subscriber->group_mask & (1u << group)) != 0) {
        return 1;
    }
    int error =
        roster_set_groups(&core->fan, subscriber, subscriber->group_mask | (uint8_t)(1u << group));
    if (error < 0) {
        return error;
    }
    counter_add(&core->counters->subscriptions, 1);
    trace_subscribe(core->options.index, index, TRACE_GROUP + group, policy, true,
                    stream->position);
    if (snapshot && subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(&core->fan, subscriber, stream->position);
    }
    if (subscriber->mode != SUBSCRIBER_PUSHED) {
        core_take_over_group(core, subscriber, group, snapshot);
        progress_sweep(subscriber);
    }
    return 0;
}

void core_set_group_max_lag(struct core *core, uint32_t index, uint32_t group, uint16_t max_lag_ms)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    uint8_t bit = (uint8_t)(1u << group);
    if (max_lag_ms == 0) {
        subscriber->group_lag_mask &= (uint8_t)~bit;
        return;
    }
    subscriber->group_lag_mask |= bit;
    subscriber->has_lag_limit = true;
    fan_past(&core->fan, subscriber)->group_max_lag_ms[group] = max_lag_ms;
}

uint16_t core_group_max_lag(struct core *core, uint32_t index, uint32_t group)
{
    return fan_group_max_lag(&core->fan, core_subscriber(core, index), group);
}

void core_remove_groups(struct core *core, struct subscriber *subscriber)
{
    if (subscriber->group_mask != 0) {
        uint64_t count = (uint64_t)__builtin_popcount(subscriber->group_mask);
        counter_add(&core->counters->subscriptions, -count);
        (void)roster_set_groups(&core->fan, subscriber, 0);
        subscriber->group_lag_mask = 0;
    }
}

int core_unsubscribe_group(struct core *core, uint32_t index, uint32_t group)
{
    struct subscriber *subscriber = core_subscriber(core, index);
    struct fan_stream *stream = core_stream(core, index);
    fanout_settle(&core->fan, subscriber);
    if ((subscriber->group_mask & (1u << group)) == 0) {
        return -ENOENT;
    }
    /* A pulling conn's exact subscriptions go on where the group was. */
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        if (record->group == group && record->channel < subscriber->group_seqs_count) {
            record->next_seq = subscriber->group_seqs[record->channel].next;
            record->first_seq = subscriber->group_seqs[record->channel].first;
        }
    }
    uint8_t rest = subscriber->group_mask & (uint8_t) ~(1u << group);
    if (roster_set_groups(&core->fan, subscriber, rest) < 0) {
        core_remove_groups(core, subscriber);
        fan_fail(&core->fan, subscriber);
        return 0;
    }
    subscriber->group_lag_mask &= rest;
    trace_subscribe(core->options.index, index, TRACE_GROUP + group,
                    subscriber_group_policy(subscriber, group), false, stream->position);
    counter_add(&core->counters->subscriptions, (uint64_t)-1);
    return 0;
}
