#include "ring/fan/puller.h"

#include <stdlib.h>

#include "ring/fan/history.h"
#include "ring/fan/lag.h"
#include "ring/fan/narrow.h"
#include "ring/fan/wide.h"
#include "ring/trace.h"

/* ---- Entering and leaving ---- */

void puller_enqueue(struct fan *fan, struct subscriber *subscriber)
{
    if (!subscriber->is_pull_queued) {
        subscriber->is_pull_queued = true;
        conn_queue_push(&fan->pulls, fan_index(fan, subscriber));
    }
}

void puller_start(struct fan *fan, struct subscriber *subscriber, uint64_t cursor)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    assert_always(cursor <= stream->position);
    assert_always(!subscriber->is_sweeping && !subscriber->in_history);
    fan_forget_due(fan, subscriber);
    subscriber_enter(subscriber, SUBSCRIBER_PULLING);
    subscriber->cursor = cursor;
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        record->next_seq = stream->channels[record->channel].last_seq + 1;
    }
    if (subscriber->group_mask != 0 && !progress_grow(fan, subscriber, fan->channel_count)) {
        return;
    }
    for (uint64_t index = stream->position; index > cursor; index--) {
        const struct frame_desc *desc = frame_log_desc(stream->log, index - 1);
        struct progress_entry entry;
        if (progress_find(fan, subscriber, desc->channel, desc->group, &entry)) {
            *entry.next = desc->seq;
        }
    }
    puller_enqueue(fan, subscriber);
}

static void puller_settle_mode(struct fan *fan, struct subscriber *subscriber)
{
    if (subscriber->in_history && history_is_over(fan, subscriber)) {
        subscriber->in_history = false;
    }
    if (subscriber->is_held) {
        return; /* It is enqueued when its message is answered. */
    }
    if (subscriber->cursor == fan_stream(fan, subscriber)->position && !subscriber->is_sweeping &&
        !subscriber->in_history) {
        progress_release(fan, subscriber);
        assert_always(!fan_is_due(fan, subscriber));
        subscriber_enter(subscriber, SUBSCRIBER_PUSHED);
        trace_caught_up(fan->reader, fan_index(fan, subscriber), subscriber->cursor);
    } else {
        puller_enqueue(fan, subscriber);
    }
}

void puller_on_sent(struct fan *fan, struct subscriber *subscriber, uint64_t to)
{
    assert_always(subscriber->mode == SUBSCRIBER_PULLING);
    subscriber->cursor = to;
    puller_settle_mode(fan, subscriber);
}

static bool puller_is_conflated(struct fan *fan, const struct subscriber *subscriber,
                                const struct progress_entry *entry, const struct frame_desc *desc,
                                uint64_t index)
{
    return entry->policy == LAG_CONFLATE && (desc->flags & FRAME_FULL_IMAGE) != 0 &&
           fan_stream(fan, subscriber)->channels[desc->channel].last_index_plus_1 > index + 1 &&
           !history_is_past(fan, subscriber, index);
}

/* Frames before it were not considered for sending, or are reported as lost. */
static uint64_t puller_bound(const struct progress_entry *entry)
{
    bool gap_due = (*entry->first & PROGRESS_GAP_DUE) != 0;
    return (gap_due ? *entry->next : *entry->first) & PROGRESS_SEQ_MASK;
}

/* A frame was looked at, but not sent. Once more changes nothing. */
static void puller_take_back(struct fan *fan, struct subscriber *subscriber, uint64_t index,
                             const struct frame_desc *desc)
{
    struct progress_entry entry;
    if (!progress_find(fan, subscriber, desc->channel, desc->group, &entry) ||
        desc->seq < puller_bound(&entry) || desc->seq >= (*entry.next & PROGRESS_SEQ_MASK)) {
        return;
    }
    if (puller_is_conflated(fan, subscriber, &entry, desc, index)) {
        fan_losses(fan, subscriber)->frames_conflated--;
        counter_add(&fan->counters->frames_conflated, (uint64_t)-1);
    }
    *entry.next = desc->seq;
}

/* The frames from index on were considered, but not sent: they must be sent again. A GAP stays
 * reported: its text is already queued. */
void puller_on_cut(struct fan *fan, struct subscriber *subscriber, uint64_t index, uint64_t to)
{
    const struct fan_stream *stream = fan_source(fan, subscriber);
    assert_always(subscriber->mode == SUBSCRIBER_PULLING);
    assert_always(index <= to);
    subscriber->cursor = index;
    if (narrow_walk(fan, subscriber, index, to, puller_take_back)) {
        return;
    }
    for (uint64_t back = to; back > index; back--) {
        puller_take_back(fan, subscriber, back - 1, frame_log_desc(stream->log, back - 1));
    }
}

/* ---- Losses ---- */

static void puller_count_conflated(struct fan *fan, struct subscriber *subscriber, uint64_t count)
{
    fan_losses(fan, subscriber)->frames_conflated += count;
    counter_add(&fan->counters->frames_conflated, count);
}

static enum gap_reason puller_reason(const struct subscriber *subscriber)
{
    return subscriber->lag_exceeded ? GAP_LAG : GAP_OVERRUN;
}

static void puller_tell_gap(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                            uint32_t channel, uint64_t from_seq, uint64_t to_seq,
                            enum gap_reason reason)
{
    uint64_t count = to_seq - from_seq + 1;
    assert_always(from_seq <= to_seq);
    struct notice *gap = fan_add_notice(fan, subscriber, NOTICE_GAP);
    gap->reason = (uint8_t)reason;
    gap->channel = channel;
    gap->from_seq = from_seq;
    gap->to_seq = to_seq;
    view->waiting_bytes += PLAN_GAP_BYTES;
    fan_losses(fan, subscriber)->frames_lost += count;
    counter_add(&fan->counters->frames_lost, count);
    counter_add(&fan->counters->gaps_sent, 1);
}

void puller_count_copy(struct fan *fan, struct subscriber *subscriber)
{
    subscriber->frames_sent++;
    counter_add(&fan->counters->frames_out, 1);
}

void puller_send_copy(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                      const uint8_t *frame, uint32_t bytes)
{
    struct notice *copy = fan_add_notice(fan, subscriber, NOTICE_COPY);
    copy->frame = frame;
    copy->bytes = bytes;
    view->waiting_bytes += bytes > PLAN_NOTICE_BYTES_MIN ? bytes : PLAN_NOTICE_BYTES_MIN;
    puller_count_copy(fan, subscriber);
}

const uint8_t *puller_newest_image(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                   uint32_t *bytes_out)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    struct frame_log_found found;
    frame_log_pin_oldest(stream->log, fan->reader);
    frame_log_seek(stream->log, fan->reader, channel, stream->position, &found);
    if (found.next_seq != stream->channels[channel].last_seq + 1) {
        return NULL; /* The writer has passed the core: what is found is newer. */
    }
    if (found.in_log) {
        const struct frame_desc *desc = frame_log_desc(stream->log, found.index);
        *bytes_out = desc->frame_bytes;
        return (desc->flags & FRAME_FULL_IMAGE) != 0 ? frame_log_at(stream->log, desc->position)
                                                     : NULL;
    }
    *bytes_out = found.saved_bytes;
    return found.saved;
}

/* Brings one channel up to stream->position, where the cursor is. */
static void puller_bring_up(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                            uint32_t channel, const struct progress_entry *entry)
{
    uint64_t now_seq = fan_stream(fan, subscriber)->channels[channel].last_seq + 1;
    uint64_t seq = *entry->next & PROGRESS_SEQ_MASK;
    bool snapshot_due = (*entry->next & PROGRESS_SNAPSHOT_DUE) != 0;
    bool gap_due = (*entry->first & PROGRESS_GAP_DUE) != 0;
    if (seq > now_seq) {
        return; /* It goes on with what the core has not seen yet. */
    }
    enum gap_reason reason = gap_due ? progress_due_reason(entry) : puller_reason(subscriber);
    if (gap_due) {
        seq = *entry->first & PROGRESS_SEQ_MASK;
        *entry->first = now_seq;
    }
    if (seq == now_seq && !snapshot_due) {
        return;
    }
    *entry->next = now_seq;
    uint32_t bytes = 0;
    const uint8_t *image = NULL;
    if (snapshot_due || gap_due || entry->policy == LAG_CONFLATE) {
        image = puller_newest_image(fan, subscriber, channel, &bytes);
    }
    uint64_t lost_end = image != NULL ? now_seq - 1 : now_seq;
    if (seq < lost_end && image != NULL && entry->policy == LAG_CONFLATE && !gap_due) {
        puller_count_conflated(fan, subscriber, lost_end - seq);
    } else if (seq < lost_end) {
        puller_tell_gap(fan, subscriber, view, channel, seq, lost_end - 1, reason);
    }
    if (image != NULL) {
        trace_snapshot(fan->reader, fan_index(fan, subscriber), channel, now_seq - 1);
        puller_send_copy(fan, subscriber, view, image, bytes);
    }
}

bool puller_is_full(const struct link_view *view)
{
    return view->waiting_bytes >= PULLER_SWEEP_BYTES;
}

/* A piece of the sweep: until enough is queued, or it is done. */
static void puller_sweep_on(struct fan *fan, struct subscriber *subscriber, struct link_view *view)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    uint64_t last_step = fan->pull_steps + PULLER_SWEEP_STEPS;
    while (subscriber->sweep_sub != SUB_NONE && !puller_is_full(view) &&
           fan->pull_steps < last_step) {
        fan->pull_steps++;
        struct sub *sub = &stream->subs.records[subscriber->sweep_sub];
        subscriber->sweep_sub = sub->conn_next;
        struct progress_entry entry;
        if (progress_find(fan, subscriber, sub->channel, sub->group, &entry)) {
            puller_bring_up(fan, subscriber, view, sub->channel, &entry);
        }
    }
    while (subscriber->sweep_channel < fan->channel_count && !puller_is_full(view) &&
           fan->pull_steps < last_step) {
        fan->pull_steps++;
        uint32_t channel = subscriber->sweep_channel++;
        struct progress_entry entry;
        if (stream->channels[channel].last_seq > 0 && subscriber->group_mask != 0 &&
            progress_find(fan, subscriber, channel, stream->channels[channel].group, &entry)) {
            puller_bring_up(fan, subscriber, view, channel, &entry);
        }
    }
    subscriber->is_sweeping =
        subscriber->sweep_sub != SUB_NONE || subscriber->sweep_channel < fan->channel_count;
}

static bool puller_must_disconnect(struct fan *fan, const struct subscriber *subscriber)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    for (uint32_t group = 0; group < SUBSCRIBER_GROUPS_MAX; group++) {
        if ((subscriber->group_mask & (1u << group)) != 0 &&
            subscriber_group_policy(subscriber, group) == LAG_DISCONNECT) {
            return true;
        }
    }
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        if (stream->subs.records[sub].policy == LAG_DISCONNECT) {
            return true;
        }
    }
    return false;
}

void puller_end_slow(struct fan *fan, struct subscriber *subscriber)
{
    if (!subscriber->is_slow) {
        subscriber->is_slow = true;
        (void)fan_add_notice(fan, subscriber, NOTICE_SLOW);
    }
}

/* Too far behind: goes on with live frames. The loss is reported for each channel, before its next
 * frame, or by the sweep if it has none. */
static void puller_jump(struct fan *fan, struct subscriber *subscriber, bool lag_exceeded)
{
    uint64_t position = fan_stream(fan, subscriber)->position;
    bool ends = puller_must_disconnect(fan, subscriber);
    counter_add(&fan->counters->laps, 1);
    trace_jump(fan->reader, fan_index(fan, subscriber), subscriber->cursor, position,
               ends ? 2 : lag_exceeded);
    if (ends) {
        puller_end_slow(fan, subscriber);
        return;
    }
    subscriber->lag_exceeded = lag_exceeded;
    if (history_is_past(fan, subscriber, subscriber->cursor)) {
        history_lose(fan, subscriber);
    }
    subscriber->reads_json = false;
    subscriber->cursor = position;
    progress_sweep(subscriber);
}

/* ---- A turn ---- */

/* Looks at one frame; false: it does not go out. */
static bool puller_take(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                        uint64_t index, const struct frame_desc *desc)
{
    struct progress_entry entry;
    if (!progress_find(fan, subscriber, desc->channel, desc->group, &entry)) {
        return false;
    }
    uint64_t seq = *entry.next & PROGRESS_SEQ_MASK;
    if (desc->seq < seq) {
        return false; /* It has got it, or it is from before it subscribed. */
    }
    *entry.next = desc->seq + 1;
    bool can_conflate = entry.policy == LAG_CONFLATE && (desc->flags & FRAME_FULL_IMAGE) != 0;
    if ((*entry.first & PROGRESS_GAP_DUE) != 0) {
        uint64_t lost_seq = *entry.first & PROGRESS_SEQ_MASK;
        enum gap_reason reason = progress_due_reason(&entry);
        *entry.first = desc->seq;
        puller_tell_gap(fan, subscriber, view, desc->channel, lost_seq, desc->seq - 1, reason);
    } else if (desc->seq > seq && can_conflate) {
        puller_count_conflated(fan, subscriber, desc->seq - seq);
    } else if (desc->seq > seq) {
        puller_tell_gap(fan, subscriber, view, desc->channel, seq, desc->seq - 1,
                        puller_reason(subscriber));
    }
    if (puller_is_conflated(fan, subscriber, &entry, desc, index)) {
        puller_count_conflated(fan, subscriber, 1);
        return false;
    }
    return true;
}

void puller_add_frame(struct plan_batch *batch, struct send_plan *plan, const struct frame_log *log,
                      const struct frame_desc *desc)
{
    const uint8_t *frame = frame_log_at(log, desc->position);
    struct iovec *last = plan->iov_count > 0 ? &batch->iovs[batch->iov_count - 1] : NULL;
    const uint8_t *end = last == NULL ? NULL : (const uint8_t *)last->iov_base + last->iov_len;
    if (end == frame || end == frame + log->capacity_bytes) { /* The ring is mapped twice. */
        last->iov_len += desc->frame_bytes;
    } else {
        batch->iovs[batch->iov_count++] = (struct iovec){
            .iov_base = (void *)(uintptr_t)frame,
            .iov_len = desc->frame_bytes,
        };
        plan->iov_count++;
    }
    plan->bytes += desc->frame_bytes;
    plan->frames++;
}

/* Gathers what it gets now. */
static void puller_collect(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                           struct send_plan *plan)
{
    const struct fan_stream *stream = fan_source(fan, subscriber);
    bool recodes = subscriber->reads_json && history_recodes(fan, subscriber);
    uint64_t end = subscriber->reads_json ? history_json_end(fan, subscriber) : stream->position;
    struct narrow narrow;
    bool is_narrow = narrow_begin(&narrow, fan, subscriber);
    if (is_narrow) {
        plan->to = narrow_next(&narrow);
    } else if (end - plan->to > PULLER_FRAMES_MAX) {
        end = plan->to + PULLER_FRAMES_MAX;
    }
    const struct wide_limits limits = {end, PULLER_BYTES_MAX, PULLER_IOVS_MAX};
    bool is_wide = wide_is_wide(subscriber);
    while (plan->to < end && plan->bytes < PULLER_BYTES_MAX && plan->iov_count < PULLER_IOVS_MAX &&
           !puller_is_full(view)) {
        if (is_wide && wide_take(fan, subscriber, plan, &limits) > 0) {
            continue;
        }
        const struct frame_desc *desc = frame_log_desc(stream->log, plan->to);
        bool is_taken = puller_take(fan, subscriber, view, plan->to, desc);
        if (is_taken && recodes) {
            history_send(fan, subscriber, view, desc);
        } else if (is_taken) {
            puller_add_frame(fan->batch, plan, stream->log, desc);
        }
        plan->to = is_narrow ? narrow_next(&narrow) : plan->to + 1;
    }
    fan->pull_steps += is_narrow ? narrow.frame_count : plan->to - plan->from;
    fan->linked_frames += is_narrow ? narrow.frame_count : 0;
}

static void puller_check_lag(struct fan *fan, struct subscriber *subscriber, struct link_view *view)
{
    const struct fan_stream *stream = fan_source(fan, subscriber);
    if (subscriber->cursor == stream->position) {
        return;
    }
    if (!frame_log_pin(stream->log, fan->reader, subscriber->cursor)) {
        puller_jump(fan, subscriber, false);
        return;
    }
    if (history_is_past(fan, subscriber, subscriber->cursor)) {
        return;
    }
    uint64_t ts_pub_ns = frame_log_desc(stream->log, subscriber->cursor)->ts_pub_ns;
    uint64_t behind_ns = fan->wall_ns > ts_pub_ns ? fan->wall_ns - ts_pub_ns : 0;
    if (fan->max_lag_ns != 0 && behind_ns > fan->max_lag_ns) {
        puller_jump(fan, subscriber, true);
        return;
    }
    if (subscriber->has_lag_limit) {
        puller_limit_lag(fan, subscriber, behind_ns);
    }
    if (!subscriber->is_slow && subscriber->cursor < stream->position) {
        lag_check(fan, subscriber, view, behind_ns);
    }
}

/* Its own bytes, mostly the rest of a frame that was sent in part, go first and alone if the range
 * that waits in the log is so long that a send by reference saves more than one more send costs. */
static bool puller_sends_own_first(struct fan *fan, const struct subscriber *subscriber,
                                   const struct link_view *view)
{
    const struct fan_stream *stream = fan_source(fan, subscriber);
    if (view->waiting_bytes == 0 || subscriber->cursor == stream->position) {
        return false;
    }
    uint64_t start = frame_log_desc(stream->log, subscriber->cursor)->position;
    uint64_t end = frame_log_desc(stream->log, stream->position - 1)->position;
    return end - start >= view->lend_bytes;
}

static void puller_fill(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                        struct send_plan *plan)
{
    if (puller_is_full(view) || subscriber->is_held) {
        return;
    }
    if (history_is_seeking(fan, subscriber)) {
        history_seek(fan, subscriber);
        plan->from = plan->to = subscriber->cursor;
        plan->log = (uint8_t)(fan_source(fan, subscriber) - fan->streams);
        return;
    }
    if (subscriber->reads_json) {
        history_leave_json(fan, subscriber);
    }
    puller_check_lag(fan, subscriber, view);
    plan->from = plan->to = subscriber->cursor;
    plan->log = (uint8_t)(fan_source(fan, subscriber) - fan->streams);
    if (subscriber->is_slow) {
        return;
    }
    if (!puller_sends_own_first(fan, subscriber, view)) {
        puller_collect(fan, subscriber, view, plan);
    }
    if (!subscriber->reads_json && plan->to == fan_stream(fan, subscriber)->position &&
        subscriber->is_sweeping) {
        puller_sweep_on(fan, subscriber, view);
    }
}

void puller_plan(struct fan *fan, struct subscriber *subscriber, struct link_view *view)
{
    struct plan_batch *batch = fan->batch;
    assert_always(subscriber->mode == SUBSCRIBER_PULLING);
    assert_always(fan_has_room(batch));
    uint64_t conflated_before = fan_frames_conflated(fan, subscriber);
    struct send_plan *plan = &batch->plans[batch->plan_count];
    *plan = (struct send_plan){
        .conn = fan_index(fan, subscriber),
        .iov_first = batch->iov_count,
        .from = subscriber->cursor,
        .to = subscriber->cursor,
        .kind = SEND_PULL,
        .log = (uint8_t)(fan_source(fan, subscriber) - fan->streams),
    };
    if (!subscriber->has_failed && !subscriber->is_slow) {
        puller_fill(fan, subscriber, view, plan);
    }
    if (subscriber->has_failed || subscriber->is_slow) {
        batch->iov_count = plan->iov_first; /* It ends. */
        return;
    }
    trace_pull(fan->reader, plan->conn, plan->from, plan->to - plan->from, plan->frames,
               fan_frames_conflated(fan, subscriber) - conflated_before);
    if (view->waiting_bytes > 0 || plan->iov_count > 0) {
        batch->plan_count++;
    } else {
        puller_on_sent(fan, subscriber, plan->to);
    }
}

/* ---- The core itself is behind ---- */

/* Every conn is then behind at the core's old position, which its own turn will find lapped. */
void puller_resync(struct fan *fan, struct fan_stream *stream, uint64_t head)
{
    assert_always(head >= stream->position || stream->position == 0);
    for (uint32_t index = 0; index < fan->subscriber_count; index++) {
        struct subscriber *subscriber = fan_subscriber(fan, index);
        if (subscriber->mode == SUBSCRIBER_PUSHED && fan_stream(fan, subscriber) == stream) {
            puller_start(fan, subscriber, stream->position);
        }
    }
    stream->position = head;
    stream->batch_first = head;
    if (stream == fan->streams) {
        counter_set(&fan->counters->position, head);
    }
    for (uint32_t channel = 0; channel < fan->channel_count; channel++) {
        struct frame_log_found found;
        frame_log_seek(stream->log, fan->reader, channel, stream->position, &found);
        struct fan_channel *known = &stream->channels[channel];
        known->last_seq = found.next_seq - 1;
        known->hash = found.hash;
        known->group = found.group;
        if (found.in_log) {
            known->last_index_plus_1 = found.index + 1;
        }
    }
}
