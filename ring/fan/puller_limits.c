/* Limits of single subscriptions: what a subscriber that is behind passes over. */
#include "ring/fan/puller.h"
#include "ring/trace.h"

/* Whether a limit is exceeded; false also for a conn that closes for it. */
static bool puller_is_over_limit(struct fan *fan, struct subscriber *subscriber,
                                 uint32_t max_lag_ms, uint32_t policy, uint64_t lag_ns)
{
    if (max_lag_ms == 0 || lag_ns <= max_lag_ms * NS_PER_MS) {
        return false;
    }
    if (policy == LAG_DISCONNECT) {
        puller_end_slow(fan, subscriber);
        return false;
    }
    return true;
}

/* On with live frames, for one channel. What is conflated goes on: only its newest frame comes. */
static void puller_pass_over(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                             uint32_t group)
{
    uint64_t now_seq = fan_stream(fan, subscriber)->channels[channel].last_seq + 1;
    struct progress_entry entry;
    if (progress_find(fan, subscriber, channel, group, &entry) && entry.policy == LAG_SKIP &&
        (*entry.next & PROGRESS_SEQ_MASK) < now_seq) {
        progress_lose(subscriber, &entry, *entry.next & PROGRESS_SEQ_MASK, now_seq, GAP_LAG);
    }
}

static void puller_pass_over_group(struct fan *fan, struct subscriber *subscriber, uint32_t group)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    for (uint32_t channel = 0; channel < fan->channel_count; channel++) {
        const struct fan_channel *known = &stream->channels[channel];
        if (known->last_seq > 0 && known->group == group &&
            subs_find(&stream->subs, fan_index(fan, subscriber), channel) == SUB_NONE) {
            puller_pass_over(fan, subscriber, channel, group);
        }
    }
}

void puller_limit_lag(struct fan *fan, struct subscriber *subscriber, uint64_t lag_ns)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    bool any = false;
    bool all = true;
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        bool is_over =
            puller_is_over_limit(fan, subscriber, record->max_lag_ms, record->policy, lag_ns);
        if (is_over) {
            puller_pass_over(fan, subscriber, record->channel, record->group);
        }
        any |= is_over;
        all &= is_over;
    }
    for (uint32_t group = 0; group < SUBSCRIBER_GROUPS_MAX; group++) {
        if ((subscriber->group_mask & (1u << group)) == 0) {
            continue;
        }
        uint32_t limit = fan_group_max_lag(fan, subscriber, group);
        bool is_over = puller_is_over_limit(fan, subscriber, limit,
                                            subscriber_group_policy(subscriber, group), lag_ns);
        if (is_over) {
            puller_pass_over_group(fan, subscriber, group);
        }
        any |= is_over;
        all &= is_over;
    }
    if (any && all) {
        trace_jump(fan->reader, fan_index(fan, subscriber), subscriber->cursor, stream->position,
                   1);
        subscriber->cursor = stream->position;
        progress_sweep(subscriber);
    }
}
