#include "ring/fan/history.h"

#include <errno.h>

/* ---- Two logs ---- */

bool history_pin_own(const struct fan *fan, const struct fan_stream *stream, uint64_t json_index,
                     uint64_t *index_out)
{
    if (json_index < stream->json_first) {
        return false;
    }
    *index_out = fan_own_index(stream, json_index);
    return *index_out <= stream->position && frame_log_pin(stream->log, fan->reader, *index_out);
}

void history_leave_json(struct fan *fan, struct subscriber *subscriber)
{
    uint64_t index;
    assert_always(subscriber->in_history && subscriber->reads_json);
    if (history_pin_own(fan, fan_stream(fan, subscriber), subscriber->cursor, &index)) {
        subscriber->cursor = index;
        subscriber->reads_json = false;
    }
}

uint64_t history_json_end(struct fan *fan, const struct subscriber *subscriber)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    uint64_t tail = frame_log_tail(stream->log);
    uint64_t end = fan_json_index(stream, tail > stream->first ? tail : stream->first);
    uint64_t position = fan_json(fan)->position;
    return subscriber->cursor < end && end < position ? end : position;
}

bool history_recodes(struct fan *fan, const struct subscriber *subscriber)
{
    return subscriber->encoding != FAN_JSON && !fan_stream(fan, subscriber)->takes_json;
}

void history_send(struct fan *fan, struct subscriber *subscriber, struct link_view *view,
                  const struct frame_desc *desc)
{
    struct notice *notice = fan_add_notice(fan, subscriber, NOTICE_RECODE);
    notice->desc = desc;
    notice->frame = frame_log_at(fan_json(fan)->log, desc->position);
    notice->bytes = desc->frame_bytes;
    view->waiting_bytes +=
        notice->bytes > PLAN_NOTICE_BYTES_MIN ? notice->bytes : PLAN_NOTICE_BYTES_MIN;
    fan->pull_steps += notice->bytes / HISTORY_RECODED_STEP_BYTES;
    puller_count_copy(fan, subscriber);
}

/* ---- The search ---- */

enum history_walk history_walk_back(const struct frame_log *log, uint64_t oldest, uint64_t seq,
                                    uint64_t *at, uint32_t *steps)
{
    while (*at > oldest) {
        const struct frame_desc *desc = frame_log_desc(log, *at - 1);
        if (desc->seq == seq) {
            return HISTORY_FOUND;
        }
        if (*steps == 0) {
            return HISTORY_MORE;
        }
        (*steps)--;
        *at = desc->previous_distance == 0 ? 0 : *at - desc->previous_distance;
    }
    return HISTORY_GONE;
}

/* The connection goes on at an older frame. It must not get the frames again that it has passed by
 * then, not even after a short send. */
static void history_set_back(struct fan *fan, struct subscriber *subscriber, uint64_t cursor)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    subscriber->cursor = cursor;
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        if ((record->first_seq & PROGRESS_GAP_DUE) == 0) {
            record->first_seq = record->next_seq & PROGRESS_SEQ_MASK;
        }
    }
    for (uint32_t channel = 0; channel < subscriber->group_seqs_count; channel++) {
        struct progress_seq *seq = &subscriber->group_seqs[channel];
        if ((seq->first & PROGRESS_GAP_DUE) == 0) {
            seq->first = seq->next & PROGRESS_SEQ_MASK;
        }
    }
}

/* The conn is to get all from an index of the JSON log on, from its own log if that has it. */
static void history_go_back(struct fan *fan, struct subscriber *subscriber, uint64_t json_index)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    uint64_t index = subscriber->cursor;
    if (json_index >= stream->json_first && fan_own_index(stream, json_index) >= stream->position) {
        return; /* It is still to come. */
    }
    if (subscriber->reads_json) {
        index = json_index;
    } else if (!history_pin_own(fan, stream, json_index, &index)) {
        subscriber->reads_json = true;
        history_set_back(fan, subscriber, json_index);
        return;
    }
    if (index < subscriber->cursor) {
        history_set_back(fan, subscriber, index);
    }
}

/* true: the channel is done with. */
static bool history_seek_channel(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                 const struct progress_entry *entry, uint32_t *steps)
{
    struct fan_stream *json = fan_json(fan);
    struct subscriber_past *history = fan_past(fan, subscriber);
    const struct fan_channel *known = &json->channels[channel];
    uint64_t seq = *entry->next & PROGRESS_SEQ_MASK;
    uint64_t at = history->seek_at != 0 ? history->seek_at : known->last_index_plus_1;
    uint64_t oldest = frame_log_pin_oldest(json->log, fan->reader);
    enum history_walk end = HISTORY_FOUND;
    if (seq > known->last_seq) {
        at = json->position + 1; /* Only the conn's own log has come to it yet. */
    } else {
        end = history_walk_back(json->log, oldest, seq, &at, steps);
    }
    if (end == HISTORY_MORE) {
        history->seek_at = at;
        return false;
    }
    *entry->next &= ~PROGRESS_SOUGHT;
    if (end == HISTORY_GONE) {
        uint64_t last_seq = fan_stream(fan, subscriber)->channels[channel].last_seq;
        progress_lose(subscriber, entry, seq, last_seq + 1, GAP_OVERRUN);
    } else if (at - 1 < history->first) {
        history->first = at - 1;
    }
    return true;
}

void history_seek(struct fan *fan, struct subscriber *subscriber)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    struct subscriber_past *history = fan_past(fan, subscriber);
    uint32_t steps = HISTORY_STEPS_MAX;
    while (history->seek_sub != SUB_NONE && steps > 0) {
        const struct sub *record = &stream->subs.records[history->seek_sub];
        struct progress_entry entry;
        if (progress_find(fan, subscriber, record->channel, record->group, &entry) &&
            (*entry.next & PROGRESS_SOUGHT) != 0 &&
            !history_seek_channel(fan, subscriber, record->channel, &entry, &steps)) {
            return;
        }
        history->seek_sub = record->conn_next;
        history->seek_at = 0;
        steps -= steps > 0;
    }
    if (history->seek_sub == SUB_NONE && history->first != UINT64_MAX) {
        history_go_back(fan, subscriber, history->first);
        history->first = UINT64_MAX;
    }
}

void history_forget_sub(struct fan *fan, struct subscriber *subscriber, uint32_t sub)
{
    struct subscriber_past *history = fan_past(fan, subscriber);
    if (subscriber->in_history && history->seek_sub == sub) {
        history->seek_sub = fan_stream(fan, subscriber)->subs.records[sub].conn_next;
        history->seek_at = 0;
    }
}

static void history_lose_channel(struct fan *fan, struct subscriber *subscriber, uint32_t channel,
                                 uint32_t group)
{
    uint64_t now_seq = fan_stream(fan, subscriber)->channels[channel].last_seq + 1;
    struct progress_entry entry;
    if (progress_find(fan, subscriber, channel, group, &entry) &&
        (*entry.next & PROGRESS_SEQ_MASK) < now_seq) {
        progress_lose(subscriber, &entry, *entry.next & PROGRESS_SEQ_MASK, now_seq, GAP_OVERRUN);
    }
}

void history_lose(struct fan *fan, struct subscriber *subscriber)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    for (uint32_t sub = subscriber->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        history_lose_channel(fan, subscriber, record->channel, record->group);
    }
    for (uint32_t channel = 0; subscriber->group_mask != 0 && channel < fan->channel_count;
         channel++) {
        if (stream->channels[channel].last_seq > 0) {
            history_lose_channel(fan, subscriber, channel, stream->channels[channel].group);
        }
    }
}

/* ---- Going on after a seq ---- */

/* The newest seq that anybody can have got, and the index after its frame in the stream's log (0:
 * that is dropped). */
static uint64_t history_newest(const struct fan *fan, const struct fan_stream *stream,
                               uint32_t channel, uint64_t *end_out)
{
    struct frame_log *log = stream->log;
    struct frame_log_found found;
    uint64_t pinned = frame_log_pinned(log, fan->reader);
    frame_log_pin_oldest(log, fan->reader);
    frame_log_seek(log, fan->reader, channel, UINT64_MAX, &found);
    frame_log_pin_again(log, fan->reader, pinned);
    *end_out = found.in_log ? found.index + 1 : 0;
    return found.next_seq - 1;
}

/* The seq of the newest frame that is not in a log any more. */
static uint64_t history_dropped_seq(struct fan *fan, struct frame_log *log, uint32_t channel)
{
    uint64_t pinned = frame_log_pinned(log, fan->reader);
    frame_log_pin_oldest(log, fan->reader);
    uint64_t dropped_seq = frame_log_dropped_seq(log, channel);
    frame_log_pin_again(log, fan->reader, pinned);
    return dropped_seq;
}

static void history_begin(struct fan *fan, struct subscriber *subscriber, uint64_t end)
{
    assert_always(subscriber->mode != SUBSCRIBER_PUSHED && subscriber->mode != SUBSCRIBER_OFF);
    struct subscriber_past *history = fan_past(fan, subscriber);
    if (!subscriber->in_history) {
        subscriber->in_history = true;
        history->end = 0;
        history->first = UINT64_MAX;
    }
    history->end = end > history->end ? end : history->end;
    history->seek_sub = subscriber->sub_first;
    history->seek_at = 0;
}

void history_find_reach(struct fan *fan, const struct subscriber *subscriber, uint32_t channel,
                        struct history_reach *reach_out)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    reach_out->newest_seq = history_newest(fan, stream, channel, &reach_out->end);
    reach_out->gone_seq = history_dropped_seq(fan, fan_json(fan)->log, channel);
    reach_out->dropped_seq = history_dropped_seq(fan, stream->log, channel);
}

int history_resume(struct fan *fan, struct subscriber *subscriber, uint32_t channel, uint32_t group,
                   uint64_t from_seq, bool is_same_epoch, const struct history_reach *reach)
{
    struct fan_stream *stream = fan_stream(fan, subscriber);
    if (subscriber->mode == SUBSCRIBER_PUSHED) {
        puller_start(fan, subscriber, stream->position);
    }
    struct progress_entry entry;
    if (!progress_find(fan, subscriber, channel, group, &entry)) {
        return -ENOSPC;
    }
    uint64_t now_seq = stream->channels[channel].last_seq + 1;
    *entry.first = from_seq;
    *entry.next = from_seq;
    /* What its own log has passed the core may not have seen yet: it will find itself passed, too.
     * The JSON log may have passed what is still to come in the own one: that is not lost. */
    uint64_t next_seq = now_seq > reach->dropped_seq ? now_seq : reach->dropped_seq + 1;
    bool is_lost = !is_same_epoch || from_seq <= reach->gone_seq;
    if (is_lost && from_seq < next_seq) {
        progress_lose(subscriber, &entry, from_seq, next_seq,
                      is_same_epoch ? GAP_OVERRUN : GAP_RESTART);
    } else if (from_seq < now_seq) {
        *entry.next |= PROGRESS_SOUGHT;
    }
    history_begin(fan, subscriber, reach->end);
    return (*entry.first & PROGRESS_GAP_DUE) != 0;
}

/* ---- Newest frames ---- */

static bool history_is_behind(const struct progress_entry *entry, uint64_t now_seq)
{
    return (*entry->next & PROGRESS_SEQ_MASK) != now_seq || (*entry->first & PROGRESS_GAP_DUE) != 0;
}

/* For a channel of which the conn has not got all yet: the last one that it has got, so that what
 * is still to come follows on it. */
static int history_find_last_got(const struct fan_stream *stream,
                                 const struct progress_entry *entry, uint64_t oldest,
                                 struct core_snapshot *snapshot)
{
    const struct frame_log *log = stream->log;
    uint64_t next_seq = *entry->next & PROGRESS_SEQ_MASK;
    uint64_t at = stream->channels[snapshot->channel].last_index_plus_1;
    uint32_t steps = HISTORY_SNAPSHOT_STEPS_MAX;
    if ((*entry->first & PROGRESS_GAP_DUE) != 0 || (*entry->next & PROGRESS_SOUGHT) != 0 ||
        next_seq == 1 ||
        history_walk_back(log, oldest, next_seq - 1, &at, &steps) != HISTORY_FOUND) {
        return -EAGAIN;
    }
    const struct frame_desc *desc = frame_log_desc(log, at - 1);
    snapshot->as_of = desc->seq;
    snapshot->frame = frame_log_at(log, desc->position);
    snapshot->frame_bytes = desc->frame_bytes;
    return 0;
}

static int history_find_newest(const struct fan *fan, const struct fan_stream *stream,
                               struct core_snapshot *snapshot)
{
    struct frame_log_found found;
    frame_log_seek(stream->log, fan->reader, snapshot->channel, stream->position, &found);
    snapshot->as_of = found.next_seq - 1;
    if (snapshot->as_of != stream->channels[snapshot->channel].last_seq) {
        return -EAGAIN; /* The writer has passed the core, which will see it soon. */
    }
    if (found.in_log) {
        const struct frame_desc *desc = frame_log_desc(stream->log, found.index);
        snapshot->frame = frame_log_at(stream->log, desc->position);
        snapshot->frame_bytes = desc->frame_bytes;
    } else {
        snapshot->frame = found.saved;
        snapshot->frame_bytes = found.saved_bytes;
    }
    return snapshot->frame != NULL ? 0 : -ENODATA;
}

void history_find_snapshot(struct fan *fan, struct subscriber *subscriber, uint64_t oldest,
                           struct core_snapshot *snapshot)
{
    const struct fan_stream *stream = fan_stream(fan, subscriber);
    struct progress_entry entry;
    bool is_behind = subscriber->mode != SUBSCRIBER_PUSHED &&
                     progress_find(fan, subscriber, snapshot->channel, snapshot->group, &entry) &&
                     history_is_behind(&entry, stream->channels[snapshot->channel].last_seq + 1);
    snapshot->error = is_behind ? history_find_last_got(stream, &entry, oldest, snapshot)
                                : history_find_newest(fan, stream, snapshot);
}
