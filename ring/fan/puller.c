/* Conns that are behind: they read the log at their own pace, each with a cursor. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/canary.h"
#include "ring/core/core_state.h"
#include "ring/fan/history.h"
#include "ring/fan/narrow.h"

#define PULLER_GAP_BYTES_MAX 256

/* ---- What a pulling conn is to get next ---- */

static uint32_t puller_seqs_capacity(uint32_t channel_count)
{
    uint32_t capacity = 64;
    while (capacity < channel_count) {
        capacity *= 2;
    }
    return capacity;
}

static void puller_out_of_room(struct core *core, struct conn *conn)
{
    conn_doom_slow(core, conn, "too slow: no room for its positions");
}

/* Room for the next seq of each channel; false: there is none, and the conn is doomed. */
static bool puller_grow_group_seqs(struct core *core, struct conn *conn, uint32_t channel_count)
{
    if (channel_count <= conn->group_seqs_count) {
        return true;
    }
    struct core_stream *stream = core_stream(core, conn);
    uint32_t capacity = puller_seqs_capacity(channel_count);
    uint64_t grown_bytes = (capacity - conn->group_seqs_count) * sizeof *conn->group_seqs;
    struct puller_seq *seqs = NULL;
    if (core->group_seqs_bytes + grown_bytes <= PULLER_SEQS_BYTES_MAX) {
        seqs = realloc(conn->group_seqs, capacity * sizeof *seqs);
    }
    if (seqs == NULL) {
        puller_out_of_room(core, conn);
        return false;
    }
    /* A table that grows does so for channels that are new since: all of theirs is to be got. */
    bool is_new = conn->group_seqs_count == 0;
    for (uint32_t channel = conn->group_seqs_count; channel < capacity; channel++) {
        seqs[channel] = (struct puller_seq){
            .next = is_new ? stream->channels[channel].last_seq + 1 : 1,
            .first = 1,
        };
    }
    conn->group_seqs = seqs;
    conn->group_seqs_count = capacity;
    core->group_seqs_bytes += grown_bytes;
    return true;
}

struct puller_seq *puller_group_seq(struct core *core, struct conn *conn, uint32_t channel)
{
    return puller_grow_group_seqs(core, conn, channel + 1) ? &conn->group_seqs[channel] : NULL;
}

void puller_release(struct core *core, struct conn *conn)
{
    core->group_seqs_bytes -= conn->group_seqs_count * sizeof *conn->group_seqs;
    free(conn->group_seqs);
    conn->group_seqs = NULL;
    conn->group_seqs_count = 0;
    conn->sweeping = false;
    conn->in_history = false;
    conn->reads_json = false;
    conn->lag_told = false;
    if (conn->mode == CONN_BLOCKED) {
        counter_add(&core->counters->conns_blocked, (uint64_t)-1);
    }
    conn->mode = CONN_PUSHED;
}

bool puller_find(struct core *core, struct conn *conn, uint32_t channel, uint32_t group,
                 struct puller_entry *entry)
{
    struct core_stream *stream = core_stream(core, conn);
    uint32_t sub =
        conn->sub_count > 0 ? subs_find(&stream->subs, conn_index(core, conn), channel) : SUB_NONE;
    bool by_group = (conn->group_mask & (1u << group)) != 0;
    if (sub == SUB_NONE && !by_group) {
        return false;
    }
    struct sub *record = sub == SUB_NONE ? NULL : &stream->subs.records[sub];
    entry->policy = record != NULL ? record->policy : conn->group_policy[group];
    if (!by_group) {
        entry->next = &record->next_seq;
        entry->first = &record->first_seq;
        return true;
    }
    struct puller_seq *seq = puller_group_seq(core, conn, channel);
    if (seq == NULL) {
        return false;
    }
    entry->next = &seq->next;
    entry->first = &seq->first;
    return true;
}

void puller_lose(struct core *core, struct conn *conn, const struct puller_entry *entry,
                 uint64_t from_seq, uint64_t next_seq, enum puller_reason reason)
{
    if ((*entry->first & PULLER_GAP_DUE) == 0) {
        *entry->first = from_seq | PULLER_GAP_DUE | (uint64_t)reason << PULLER_REASON_SHIFT;
    }
    *entry->next = next_seq;
    puller_sweep(core, conn);
}

/* ---- Entering and leaving ---- */

void puller_enqueue(struct core *core, struct conn *conn)
{
    if (!conn->is_pull_queued) {
        conn->is_pull_queued = true;
        conn_queue_push(&core->pulls, conn_index(core, conn));
    }
}

void puller_start(struct core *core, struct conn *conn, uint64_t cursor)
{
    struct core_stream *stream = core_stream(core, conn);
    assert_always(conn->mode == CONN_PUSHED);
    assert_always(cursor <= stream->position);
    sender_forget_due(conn);
    conn->mode = CONN_PULLING;
    conn->cursor = cursor;
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        record->next_seq = stream->channels[record->channel].last_seq + 1;
    }
    if (conn->group_mask != 0 && !puller_grow_group_seqs(core, conn, core->channel_count)) {
        return;
    }
    for (uint64_t index = stream->position; index > cursor; index--) {
        const struct frame_desc *desc = frame_log_desc(stream->log, index - 1);
        struct puller_entry entry;
        if (puller_find(core, conn, desc->channel, desc->group, &entry)) {
            *entry.next = desc->seq;
        }
    }
    puller_enqueue(core, conn);
}

void puller_sweep(struct core *core, struct conn *conn)
{
    (void)core;
    conn->sweeping = true;
    conn->sweep_sub = conn->sub_first;
    conn->sweep_channel = 0;
}

static void puller_settle_mode(struct core *core, struct conn *conn)
{
    if (conn->in_history && history_is_over(core, conn)) {
        conn->in_history = false;
    }
    if (conn->is_held) {
        return; /* It is enqueued when its message is answered. */
    }
    if (conn->cursor == core_stream(core, conn)->position && !conn->sweeping && !conn->in_history) {
        puller_release(core, conn);
        if (conn->out.bytes > 0) {
            sender_mark_ready(core, conn);
        }
    } else {
        puller_enqueue(core, conn);
    }
}

void puller_on_sent(struct core *core, struct conn *conn, uint64_t to)
{
    conn->cursor = to;
    puller_settle_mode(core, conn);
}

static bool puller_is_conflated(struct core *core, const struct conn *conn,
                                const struct puller_entry *entry, const struct frame_desc *desc,
                                uint64_t index)
{
    return entry->policy == LAG_CONFLATE && (desc->flags & FRAME_FULL_IMAGE) != 0 &&
           core_stream(core, conn)->channels[desc->channel].last_index_plus_1 > index + 1 &&
           !history_is_past(core, conn, index);
}

/* Frames before it were not looked at for sending, or are told as lost. */
static uint64_t puller_bound(const struct puller_entry *entry)
{
    bool gap_due = (*entry->first & PULLER_GAP_DUE) != 0;
    return (gap_due ? *entry->next : *entry->first) & PULLER_SEQ_MASK;
}

/* A frame was looked at, but not sent. Once more changes nothing. */
static void puller_take_back(struct core *core, struct conn *conn, uint64_t index,
                             const struct frame_desc *desc)
{
    struct puller_entry entry;
    if (!puller_find(core, conn, desc->channel, desc->group, &entry) ||
        desc->seq < puller_bound(&entry) || desc->seq >= (*entry.next & PULLER_SEQ_MASK)) {
        return;
    }
    if (puller_is_conflated(core, conn, &entry, desc, index)) {
        conn->frames_conflated--;
        counter_add(&core->counters->frames_conflated, (uint64_t)-1);
    }
    *entry.next = desc->seq;
}

/* The frames from index on were looked at, but not sent: they are to be got again. What GAP has
 * told stays told: its text is already queued. */
void puller_on_cut(struct core *core, struct conn *conn, uint64_t index, uint64_t to)
{
    const struct core_stream *stream = core_source(core, conn);
    conn->cursor = index;
    if (narrow_walk(core, conn, index, to, puller_take_back)) {
        return;
    }
    for (uint64_t back = to; back > index; back--) {
        puller_take_back(core, conn, back - 1, frame_log_desc(stream->log, back - 1));
    }
}

/* ---- Losses ---- */

static void puller_count_conflated(struct core *core, struct conn *conn, uint64_t count)
{
    conn->frames_conflated += count;
    counter_add(&core->counters->frames_conflated, count);
}

static enum puller_reason puller_reason(const struct conn *conn)
{
    return conn->lag_exceeded ? PULLER_LAG : PULLER_OVERRUN;
}

static void puller_tell_gap(struct core *core, struct conn *conn, uint32_t channel,
                            uint64_t from_seq, uint64_t to_seq, enum puller_reason reason)
{
    static const char *const words[] = {
        [PULLER_OVERRUN] = "overrun",
        [PULLER_LAG] = "lag",
        [PULLER_RESTART] = "restart",
    };
    char text[PULLER_GAP_BYTES_MAX];
    size_t bytes = core->options.ops->write_gap(core->options.context, text, channel, from_seq,
                                                to_seq, words[reason]);
    uint64_t count = to_seq - from_seq + 1;
    conn->frames_lost += count;
    counter_add(&core->counters->frames_lost, count);
    counter_add(&core->counters->gaps_sent, 1);
    if (!CANARY(GAP_UNSENT)) {
        conn_queue_frame(core, conn, WS_TEXT, text, bytes);
    }
}

void puller_send_copy(struct core *core, struct conn *conn, const uint8_t *frame,
                      uint32_t frame_bytes)
{
    conn_queue(core, conn, frame, frame_bytes);
    conn->frames_sent++;
    counter_add(&core->counters->frames_out, 1);
}

const uint8_t *puller_newest_image(struct core *core, struct conn *conn, uint32_t channel,
                                   uint32_t *bytes_out)
{
    struct core_stream *stream = core_stream(core, conn);
    struct frame_log_found found;
    frame_log_pin_oldest(stream->log, core->options.index);
    frame_log_seek(stream->log, core->options.index, channel, stream->position, &found);
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
static void puller_bring_up(struct core *core, struct conn *conn, uint32_t channel,
                            const struct puller_entry *entry)
{
    uint64_t now_seq = core_stream(core, conn)->channels[channel].last_seq + 1;
    uint64_t seq = *entry->next & PULLER_SEQ_MASK;
    bool snapshot_due = (*entry->next & PULLER_SNAPSHOT_DUE) != 0;
    bool gap_due = (*entry->first & PULLER_GAP_DUE) != 0;
    if (seq > now_seq) {
        return; /* It goes on with what the core has not seen yet. */
    }
    enum puller_reason reason = gap_due ? puller_due_reason(entry) : puller_reason(conn);
    if (gap_due) {
        seq = *entry->first & PULLER_SEQ_MASK;
        *entry->first = now_seq;
    }
    if (seq == now_seq && !snapshot_due) {
        return;
    }
    *entry->next = now_seq;
    uint32_t bytes = 0;
    const uint8_t *image = NULL;
    if (snapshot_due || gap_due || entry->policy == LAG_CONFLATE) {
        image = puller_newest_image(core, conn, channel, &bytes);
    }
    uint64_t lost_end = image != NULL ? now_seq - 1 : now_seq;
    if (seq < lost_end && image != NULL && entry->policy == LAG_CONFLATE && !gap_due) {
        puller_count_conflated(core, conn, lost_end - seq);
    } else if (seq < lost_end) {
        puller_tell_gap(core, conn, channel, seq, lost_end - 1, reason);
    }
    if (image != NULL) {
        puller_send_copy(core, conn, image, bytes);
    }
}

static bool puller_sweep_is_full(const struct conn *conn)
{
    return conn->out.bytes >= PULLER_SWEEP_BYTES || !conn_is_open(conn);
}

/* A piece of the sweep: until enough is queued, or it is done. */
static void puller_sweep_on(struct core *core, struct conn *conn)
{
    struct core_stream *stream = core_stream(core, conn);
    uint64_t last_step = core->pull_steps + PULLER_SWEEP_STEPS;
    while (conn->sweep_sub != SUB_NONE && !puller_sweep_is_full(conn) &&
           core->pull_steps < last_step) {
        core->pull_steps++;
        struct sub *sub = &stream->subs.records[conn->sweep_sub];
        conn->sweep_sub = sub->conn_next;
        struct puller_entry entry;
        if (puller_find(core, conn, sub->channel, sub->group, &entry)) {
            puller_bring_up(core, conn, sub->channel, &entry);
        }
    }
    while (conn->sweep_channel < core->channel_count && !puller_sweep_is_full(conn) &&
           core->pull_steps < last_step) {
        core->pull_steps++;
        uint32_t channel = conn->sweep_channel++;
        struct puller_entry entry;
        if (stream->channels[channel].last_seq > 0 && conn->group_mask != 0 &&
            puller_find(core, conn, channel, stream->channels[channel].group, &entry)) {
            puller_bring_up(core, conn, channel, &entry);
        }
    }
    conn->sweeping = conn->sweep_sub != SUB_NONE || conn->sweep_channel < core->channel_count;
}

static bool puller_must_disconnect(struct core *core, const struct conn *conn)
{
    const struct core_stream *stream = core_stream(core, conn);
    for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
        if ((conn->group_mask & (1u << group)) != 0 &&
            conn->group_policy[group] == LAG_DISCONNECT) {
            return true;
        }
    }
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        if (stream->subs.records[sub].policy == LAG_DISCONNECT) {
            return true;
        }
    }
    return false;
}

static void puller_end_slow(struct core *core, struct conn *conn)
{
    struct core_lag lag;
    char reason[WS_CONTROL_BYTES_MAX];
    if (conn->state != CONN_STREAMING) {
        return;
    }
    lag_measure(core, conn, &lag);
    snprintf(reason, sizeof reason, "slow;cause=%s;lag_ms=%" PRIu64, lag_cause_text(lag.cause),
             lag.ms);
    counter_add(&core->counters->closed_slow, 1);
    conn_close(core, conn, 4108, reason, "too slow");
}

/* Too far behind: on with live frames. What lies between is told, channel by channel, before the
 * channel's next frame, or by the sweep when it has none. */
static void puller_jump(struct core *core, struct conn *conn, bool lag_exceeded)
{
    counter_add(&core->counters->laps, 1);
    if (puller_must_disconnect(core, conn)) {
        puller_end_slow(core, conn);
        return;
    }
    conn->lag_exceeded = lag_exceeded;
    if (history_is_past(core, conn, conn->cursor)) {
        history_lose(core, conn);
    }
    conn->reads_json = false;
    conn->cursor = core_stream(core, conn)->position;
    puller_sweep(core, conn);
}

/* ---- Limits of single subscriptions ---- */

/* Whether a limit is exceeded; false also for a conn that closes for it. */
static bool puller_is_over_limit(struct core *core, struct conn *conn, uint32_t max_lag_ms,
                                 uint32_t policy, uint64_t lag_ns)
{
    if (max_lag_ms == 0 || lag_ns <= max_lag_ms * NS_PER_MS) {
        return false;
    }
    if (policy == LAG_DISCONNECT) {
        puller_end_slow(core, conn);
        return false;
    }
    return true;
}

/* On with live frames, for one channel. What is conflated goes on: only its newest frame comes. */
static void puller_pass_over(struct core *core, struct conn *conn, uint32_t channel, uint32_t group)
{
    uint64_t now_seq = core_stream(core, conn)->channels[channel].last_seq + 1;
    struct puller_entry entry;
    if (puller_find(core, conn, channel, group, &entry) && entry.policy == LAG_SKIP &&
        (*entry.next & PULLER_SEQ_MASK) < now_seq) {
        puller_lose(core, conn, &entry, *entry.next & PULLER_SEQ_MASK, now_seq, PULLER_LAG);
    }
}

static void puller_pass_over_group(struct core *core, struct conn *conn, uint32_t group)
{
    const struct core_stream *stream = core_stream(core, conn);
    for (uint32_t channel = 0; channel < core->channel_count; channel++) {
        const struct core_channel *known = &stream->channels[channel];
        if (known->last_seq > 0 && known->group == group &&
            subs_find(&stream->subs, conn_index(core, conn), channel) == SUB_NONE) {
            puller_pass_over(core, conn, channel, group);
        }
    }
}

/* The conn is lag_ns behind: what has a lower limit is passed over. Between two turns, so that no
 * frame is on its way. */
static void puller_limit_lag(struct core *core, struct conn *conn, uint64_t lag_ns)
{
    const struct core_stream *stream = core_stream(core, conn);
    bool any = false;
    bool all = true;
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        bool is_over = puller_is_over_limit(core, conn, record->max_lag_ms, record->policy, lag_ns);
        if (is_over) {
            puller_pass_over(core, conn, record->channel, record->group);
        }
        any |= is_over;
        all &= is_over;
    }
    for (uint32_t group = 0; group < CORE_GROUPS_MAX; group++) {
        if ((conn->group_mask & (1u << group)) == 0) {
            continue;
        }
        uint32_t limit = core_group_max_lag(core, conn_index(core, conn), group);
        bool is_over = puller_is_over_limit(core, conn, limit, conn->group_policy[group], lag_ns);
        if (is_over) {
            puller_pass_over_group(core, conn, group);
        }
        any |= is_over;
        all &= is_over;
    }
    if (any && all) {
        conn->cursor = stream->position;
        puller_sweep(core, conn);
    }
}

/* ---- A turn ---- */

/* Looks at one frame; false: it does not go out. */
static bool puller_take(struct core *core, struct conn *conn, uint64_t index,
                        const struct frame_desc *desc)
{
    struct puller_entry entry;
    if (!puller_find(core, conn, desc->channel, desc->group, &entry)) {
        return false;
    }
    uint64_t seq = *entry.next & PULLER_SEQ_MASK;
    if (desc->seq < seq) {
        return false; /* It has got it, or it is from before it subscribed. */
    }
    *entry.next = desc->seq + 1;
    bool can_conflate = entry.policy == LAG_CONFLATE && (desc->flags & FRAME_FULL_IMAGE) != 0;
    if ((*entry.first & PULLER_GAP_DUE) != 0) {
        uint64_t lost_seq = *entry.first & PULLER_SEQ_MASK;
        enum puller_reason reason = puller_due_reason(&entry);
        *entry.first = desc->seq;
        puller_tell_gap(core, conn, desc->channel, lost_seq, desc->seq - 1, reason);
    } else if (desc->seq > seq && can_conflate) {
        puller_count_conflated(core, conn, desc->seq - seq);
    } else if (desc->seq > seq) {
        puller_tell_gap(core, conn, desc->channel, seq, desc->seq - 1, puller_reason(conn));
    }
    if (puller_is_conflated(core, conn, &entry, desc, index)) {
        puller_count_conflated(core, conn, 1);
        return false;
    }
    return true;
}

/* Gathers what the conn gets in this turn; returns the index after the last frame looked at. */
static uint64_t puller_collect(struct core *core, struct conn *conn, struct iovec *iov,
                               uint32_t *iov_count_out, uint32_t *frames_out)
{
    const struct core_stream *stream = core_source(core, conn);
    bool recodes = conn->reads_json && history_recodes(core, conn);
    uint64_t bytes = 0;
    uint64_t joined_end = UINT64_MAX;
    uint32_t iov_count = 0;
    struct narrow narrow;
    bool is_narrow = narrow_begin(&narrow, core, conn);
    uint64_t index = is_narrow ? narrow_next(&narrow) : conn->cursor;
    uint64_t end = conn->reads_json ? history_json_end(core, conn) : stream->position;
    if (!is_narrow && end - index > PULLER_FRAMES_MAX) {
        end = index + PULLER_FRAMES_MAX;
    }
    while (index < end && bytes < PULLER_BYTES_MAX && iov_count < PULLER_IOVS_MAX &&
           !puller_sweep_is_full(conn)) {
        const struct frame_desc *desc = frame_log_desc(stream->log, index);
        bool is_taken = puller_take(core, conn, index, desc);
        if (is_taken && recodes) {
            history_send(core, conn, desc);
        } else if (is_taken) {
            if (desc->position == joined_end) {
                iov[iov_count - 1].iov_len += desc->frame_bytes;
            } else {
                iov[iov_count++] = (struct iovec){
                    .iov_base = (void *)(uintptr_t)frame_log_at(stream->log, desc->position),
                    .iov_len = desc->frame_bytes,
                };
            }
            joined_end = desc->position + desc->frame_bytes;
            bytes += desc->frame_bytes;
            (*frames_out)++;
        }
        index = is_narrow ? narrow_next(&narrow) : index + 1;
    }
    *iov_count_out = iov_count;
    core->pull_steps += is_narrow ? narrow.frame_count : index - conn->cursor;
    core->linked_frames += is_narrow ? narrow.frame_count : 0;
    return index;
}

static void puller_check_lag(struct core *core, struct conn *conn)
{
    const struct core_stream *stream = core_source(core, conn);
    if (conn->cursor == stream->position) {
        return;
    }
    if (!frame_log_pin(stream->log, core->options.index, conn->cursor)) {
        puller_jump(core, conn, false);
        return;
    }
    if (history_is_past(core, conn, conn->cursor)) {
        return;
    }
    uint64_t ts_pub_ns = frame_log_desc(stream->log, conn->cursor)->ts_pub_ns;
    uint64_t behind_ns = core->time.wall_ns > ts_pub_ns ? core->time.wall_ns - ts_pub_ns : 0;
    if (core->options.max_lag_ns != 0 && behind_ns > core->options.max_lag_ns) {
        puller_jump(core, conn, true);
        return;
    }
    if (conn->has_lag_limit) {
        puller_limit_lag(core, conn, behind_ns);
    }
    if (conn->state == CONN_STREAMING && conn->cursor < stream->position) {
        lag_check(core, conn, behind_ns);
    }
}

/* Its own bytes, mostly the rest of a cut frame, go first and alone, when what waits in the log is
 * so long that it may be lent. */
static bool puller_sends_own_first(struct core *core, const struct conn *conn)
{
    const struct core_stream *stream = core_source(core, conn);
    if (conn->out.bytes == 0 || conn->cursor == stream->position) {
        return false;
    }
    uint64_t start = frame_log_desc(stream->log, conn->cursor)->position;
    uint64_t end = frame_log_desc(stream->log, stream->position - 1)->position;
    return sender_may_lend(core, conn, end - start);
}

/* What is to be done before something is sent; returns the index after the last frame looked at. */
static uint64_t puller_prepare(struct core *core, struct conn *conn, struct iovec *iov,
                               uint32_t *iov_count_out, uint32_t *frames_out)
{
    uint64_t to = conn->cursor;
    if (conn->out.bytes >= PULLER_SWEEP_BYTES || conn->state != CONN_STREAMING || conn->is_held) {
        return to;
    }
    if (history_is_seeking(core, conn)) {
        history_seek(core, conn);
        return conn->cursor;
    }
    if (conn->reads_json) {
        history_leave_json(core, conn);
    }
    puller_check_lag(core, conn);
    to = conn->cursor;
    if (conn->state != CONN_STREAMING) {
        return to; /* It closes: it was too slow. */
    }
    if (!puller_sends_own_first(core, conn)) {
        to = puller_collect(core, conn, iov, iov_count_out, frames_out);
    }
    if (!conn->reads_json && to == core_stream(core, conn)->position && conn->sweeping) {
        puller_sweep_on(core, conn);
    }
    return to;
}

static void puller_turn(struct core *core, struct conn *conn)
{
    struct iovec iov[PULLER_IOVS_MAX];
    uint32_t iov_count = 0;
    uint32_t frames = 0;
    uint64_t to = puller_prepare(core, conn, iov, &iov_count, &frames);
    if (!conn_is_open(conn)) {
        return;
    }
    if (conn->state != CONN_STREAMING) {
        to = core_stream(core, conn)->position; /* Only its last words are left. */
    }
    if (conn->out.bytes == 0 && iov_count == 0) {
        puller_on_sent(core, conn, to);
        return;
    }
    struct send *send = sender_open_slot(core, conn);
    send->is_of_json = conn->reads_json;
    send->is_pull = true;
    send->from = conn->cursor;
    send->to = to;
    send->frames = frames;
    sender_add_out(core, conn, send);
    /* The chain is short (PULLER_SWEEP_BYTES and one message), or there are no frames. */
    assert_always(send->out_bytes == conn->out.bytes || iov_count == 0);
    memcpy(&core->batch->iovs[send->iov_first + send->iov_count], iov, iov_count * sizeof *iov);
    send->iov_count += iov_count;
    for (uint32_t i = 0; i < iov_count; i++) {
        send->total_bytes += iov[i].iov_len;
    }
    sender_queue_slot(core, send);
}

void puller_run(struct core *core)
{
    uint32_t turns = core->pulls.count;
    if (turns == 0) {
        return;
    }
    turns = turns < PULLER_CONNS_PER_TURN ? turns : PULLER_CONNS_PER_TURN;
    core->pull_steps = 0;
    for (; turns > 0 && core->pulls.count > 0 && core->pull_steps < PULLER_TURN_STEPS; turns--) {
        sender_begin(core, SENDER_BATCH_MAX);
        struct conn *conn = core_conn(core, conn_queue_pop(&core->pulls));
        conn->is_pull_queued = false;
        if (conn->mode == CONN_PULLING && conn_is_open(conn)) {
            puller_turn(core, conn);
        }
    }
    sender_submit(core);
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        frame_log_unpin(core->streams[i].log, core->options.index);
    }
    counter_set(&core->counters->conns_pulling, core->pulls.count);
}

/* ---- The core itself is behind ---- */

/* Every conn is then behind at the core's old position, which its own turn will find lapped. */
void puller_resync(struct core *core, struct core_stream *stream)
{
    for (uint32_t index = 0; index < core->slab_count; index++) {
        struct conn *conn = core_conn(core, index);
        if (conn->state == CONN_STREAMING && conn->mode == CONN_PUSHED &&
            core_stream(core, conn) == stream) {
            puller_start(core, conn, stream->position);
        }
    }
    uint64_t pinned = frame_log_pinned(stream->log, core->options.index);
    frame_log_pin_oldest(stream->log, core->options.index);
    stream->position = frame_log_head(stream->log);
    stream->turn_first = stream->position;
    if (stream == core->streams) {
        counter_set(&core->counters->position, stream->position);
    }
    core_see_channels(core);
    for (uint32_t channel = 0; channel < core->channel_count; channel++) {
        struct frame_log_found found;
        frame_log_seek(stream->log, core->options.index, channel, stream->position, &found);
        struct core_channel *known = &stream->channels[channel];
        known->last_seq = found.next_seq - 1;
        known->hash = found.hash;
        known->group = found.group;
        if (found.in_log) {
            known->last_index_plus_1 = found.index + 1;
        }
    }
    frame_log_pin_again(stream->log, core->options.index, pinned);
}
