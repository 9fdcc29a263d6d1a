#include "ring/fan/fanout.h"

#include "ring/fan/puller.h"

#define FANOUT_PREFETCH 8 /* subscribers ahead */

/* ---- What is due ---- */

static inline void fanout_mark_due(struct fan *fan, struct subscriber *subscriber)
{
    if (!subscriber->is_due) {
        subscriber->is_due = true;
        conn_queue_push(&fan->due, fan_index(fan, subscriber));
    }
}

/* The stretch noted so far ends; a new one will begin elsewhere in the log. */
static void fanout_end_extent(struct fan *fan, struct subscriber *subscriber)
{
    assert_always(fan->extent_count < FAN_EXTENTS_MAX);
    uint32_t index = fan->extent_count++;
    fan->extents[index] = (struct fan_extent){
        .start = subscriber->due_start,
        .bytes = subscriber->due_bytes,
        .next = SUBSCRIBER_NONE,
    };
    if (subscriber->extent_first == SUBSCRIBER_NONE) {
        subscriber->extent_first = index;
    } else {
        fan->extents[subscriber->extent_last].next = index;
    }
    subscriber->extent_last = index;
}

/* Frames that lie side by side in the log, and all go to the same list of conns. */
struct fanout_stretch {
    uint64_t start;
    uint32_t bytes;
    uint32_t frames;
};

static inline void fanout_note_one(struct fan *fan, struct subscriber *subscriber,
                                   const struct fanout_stretch *stretch)
{
    if (subscriber->due_frames == 0) {
        subscriber->due_start = stretch->start;
        subscriber->due_bytes = 0;
        fanout_mark_due(fan, subscriber);
    } else if (subscriber->due_start + subscriber->due_bytes != stretch->start) {
        fanout_end_extent(fan, subscriber);
        subscriber->due_start = stretch->start;
        subscriber->due_bytes = 0;
    }
    subscriber->due_bytes += stretch->bytes;
    subscriber->due_frames += stretch->frames;
}

/* Notes a stretch for a list's subscribers but those with a bit of skip_groups. The walk begins at
 * another place each time, so that nobody is always last: multiples of the golden ratio spread
 * best. Returns whether the stretch is due to anybody. */
static bool fanout_walk(struct fan *fan, const struct sub_list *list, uint8_t skip_groups,
                        const struct fanout_stretch *stretch, uint64_t index)
{
    uint32_t count = list->count;
    bool is_due = false;
    if (count == 0) {
        return false;
    }
    uint32_t spread = (uint32_t)index * UINT32_C(2654435769);
    uint32_t at = (uint32_t)((uint64_t)spread * count >> 32);
    uint32_t ahead = count <= FANOUT_PREFETCH ? 0 : (at + FANOUT_PREFETCH) % count;
    for (uint32_t left = count; left > 0; left--) {
        struct subscriber *subscriber = &fan->subscribers[list->entries[at].conn];
        __builtin_prefetch(&fan->subscribers[list->entries[ahead].conn], 1);
        if ((subscriber->group_mask & skip_groups) == 0 && subscriber->mode == SUBSCRIBER_PUSHED) {
            fanout_note_one(fan, subscriber, stretch);
            is_due = true;
        }
        at = at + 1 == count ? 0 : at + 1;
        ahead = ahead + 1 == count ? 0 : ahead + 1;
    }
    return is_due;
}

static struct fanout_stretch fanout_stretch_of(const struct fan_stream *stream, uint64_t from,
                                               uint64_t to)
{
    const struct frame_desc *first = frame_log_desc(stream->log, from);
    const struct frame_desc *last = frame_log_desc(stream->log, to - 1);
    return (struct fanout_stretch){
        .start = first->position,
        .bytes = (uint32_t)(last->position + last->frame_bytes - first->position),
        .frames = (uint32_t)(to - from),
    };
}

static inline void fanout_reach(struct fan_reach *reach, uint64_t from, uint64_t to)
{
    assert_debug(reach->frames == 0 || reach->last < from);
    reach->first = reach->frames == 0 ? from : reach->first;
    reach->last = to - 1;
    reach->frames += (uint32_t)(to - from);
}

/* The frames of one group: its list is walked once for all of them, a channel's list once for each
 * run of the channel. A conn gets a group's frames by one of the two only, so their order holds. */
static void fanout_note_group(struct fan *fan, const struct fan_stream *stream, uint64_t from,
                              uint64_t to)
{
    uint32_t group = frame_log_desc(stream->log, from)->group;
    struct fanout_stretch stretch = fanout_stretch_of(stream, from, to);
    bool is_due = fanout_walk(fan, &stream->groups[group], 0, &stretch, from);
    for (uint64_t next = from; next < to;) {
        uint32_t channel = frame_log_desc(stream->log, next)->channel;
        uint64_t first = next;
        do {
            next++;
        } while (next < to && frame_log_desc(stream->log, next)->channel == channel);
        stretch = fanout_stretch_of(stream, first, next);
        if (fanout_walk(fan, &stream->subs.channels[channel], (uint8_t)(1u << group), &stretch,
                        first) ||
            is_due) {
            fanout_reach(&fan->reach, first, next);
        }
    }
}

/* Each conn that a frame goes to may need one more extent. */
static uint64_t fanout_extents_for(const struct fan_stream *stream, const struct frame_desc *desc)
{
    return (uint64_t)stream->groups[desc->group].count + stream->subs.channels[desc->channel].count;
}

void fanout_note(struct fan *fan, struct fan_stream *stream, uint64_t head)
{
    const struct frame_log *log = stream->log;
    uint64_t bytes = 0;
    uint64_t noted = stream->position; /* frames from there on wait to be noted together, */
    uint64_t wanted = 0;               /* which takes so many extents at most */
    fan->reach = (struct fan_reach){0};
    while (stream->position < head && stream->position - stream->batch_first < FANOUT_FRAMES_MAX &&
           bytes < FANOUT_BYTES_MAX) {
        const struct frame_desc *desc = frame_log_desc(log, stream->position);
        uint64_t more = fanout_extents_for(stream, desc);
        if (stream->position > noted && (desc->group != frame_log_desc(log, noted)->group ||
                                         fan->extent_count + wanted + more > FAN_EXTENTS_MAX)) {
            fanout_note_group(fan, stream, noted, stream->position);
            noted = stream->position;
            wanted = 0;
        }
        if (stream->position > stream->batch_first && fan->extent_count + more > FAN_EXTENTS_MAX) {
            break;
        }
        wanted += more;
        stream->position++;
        bytes += desc->frame_bytes;
        stream->channels[desc->channel] = (struct fan_channel){
            .last_seq = desc->seq,
            .last_index_plus_1 = stream->position,
            .hash = desc->hash,
            .group = desc->group,
        };
    }
    if (stream->position > noted) {
        fanout_note_group(fan, stream, noted, stream->position);
    }
}

/* ---- Plans ---- */

static inline void fanout_add_iov(struct plan_batch *batch, const struct frame_log *log,
                                  uint64_t start, uint32_t bytes)
{
    batch->iovs[batch->iov_count++] = (struct iovec){
        .iov_base = (void *)(uintptr_t)frame_log_at(log, start),
        .iov_len = bytes,
    };
}

/* Frames that do not lie side by side have others between them, so that there are at most half as
 * many extents as frames. */
static inline void fanout_plan_one(struct fan *fan, struct subscriber *subscriber)
{
    struct plan_batch *batch = fan->batch;
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    struct send_plan *plan = &batch->plans[batch->plan_count++];
    plan->conn = fan_index(fan, subscriber);
    plan->iov_first = batch->iov_count;
    plan->frames = subscriber->due_frames;
    plan->bytes = subscriber->due_bytes;
    plan->from = stream->batch_first;
    plan->to = stream->position;
    plan->kind = SEND_PUSH;
    plan->log = subscriber->encoding;
    for (uint32_t i = subscriber->extent_first; i != SUBSCRIBER_NONE; i = fan->extents[i].next) {
        fanout_add_iov(batch, stream->log, fan->extents[i].start, fan->extents[i].bytes);
        plan->bytes += fan->extents[i].bytes;
    }
    fanout_add_iov(batch, stream->log, subscriber->due_start, subscriber->due_bytes);
    plan->iov_count = batch->iov_count - plan->iov_first;
    assert_debug(plan->iov_count <= PLAN_ROOM_IOVS_MAX);
    assert_debug(plan->from < plan->to);
}

uint32_t fanout_plan(struct fan *fan, uint32_t count_max)
{
    const struct plan_batch *batch = fan->batch;
    while (fan->due.count > 0 && batch->plan_count < count_max && fan_has_room(batch)) {
        struct subscriber *subscriber = fan_subscriber(fan, conn_queue_pop(&fan->due));
        if (fan->due.count > FANOUT_PREFETCH) {
            uint32_t ahead = conn_queue_peek(&fan->due, FANOUT_PREFETCH - 1);
            __builtin_prefetch(fan_subscriber(fan, ahead), 1);
        }
        subscriber->is_due = false;
        if (subscriber->mode == SUBSCRIBER_PUSHED && subscriber->due_frames > 0) {
            fanout_plan_one(fan, subscriber);
        }
    }
    return batch->plan_count;
}

void fanout_settle(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->due_frames > 0) {
        puller_start(fan, subscriber, fan_stream(fan, subscriber)->batch_first);
    }
}
