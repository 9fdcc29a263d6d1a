/* What a conn gets of the past: where its frames lie, and the newest ones. */
#include "ring/fan/history.h"

#include <errno.h>
#include <string.h>

/* ---- Two logs ---- */

bool history_pin_own(const struct core *core, const struct core_stream *stream, uint64_t json_index,
                     uint64_t *index_out)
{
    if (json_index < stream->json_first) {
        return false;
    }
    *index_out = core_own_index(stream, json_index);
    return *index_out <= stream->position &&
           frame_log_pin(stream->log, core->options.index, *index_out);
}

void history_leave_json(struct core *core, struct conn *conn)
{
    uint64_t index;
    if (history_pin_own(core, core_stream(core, conn), conn->cursor, &index)) {
        conn->cursor = index;
        conn->reads_json = false;
    }
}

uint64_t history_json_end(struct core *core, const struct conn *conn)
{
    const struct core_stream *stream = core_stream(core, conn);
    uint64_t tail = frame_log_tail(stream->log);
    uint64_t end = core_json_index(stream, tail > stream->first ? tail : stream->first);
    uint64_t position = core_json(core)->position;
    return conn->cursor < end && end < position ? end : position;
}

bool history_recodes(struct core *core, const struct conn *conn)
{
    return conn->encoding != CORE_ENCODING_JSON && !core_stream(core, conn)->encoding->takes_json;
}

void history_send(struct core *core, struct conn *conn, const struct frame_desc *desc)
{
    const uint8_t *frame = frame_log_at(core_json(core)->log, desc->position);
    uint32_t bytes = desc->frame_bytes;
    core->pull_steps += bytes / HISTORY_RECODED_STEP_BYTES;
    frame = core->options.ops->recode(core->options.context, conn->encoding, desc, frame, &bytes);
    puller_send_copy(core, conn, frame, bytes);
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

/* The conn goes on at an older frame. What it has passed by then it is not to get again, not even
 * after a cut. */
static void history_set_back(struct core *core, struct conn *conn, uint64_t cursor)
{
    struct core_stream *stream = core_stream(core, conn);
    conn->cursor = cursor;
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        struct sub *record = &stream->subs.records[sub];
        if ((record->first_seq & PULLER_GAP_DUE) == 0) {
            record->first_seq = record->next_seq & PULLER_SEQ_MASK;
        }
    }
    for (uint32_t channel = 0; channel < conn->group_seqs_count; channel++) {
        struct puller_seq *seq = &conn->group_seqs[channel];
        if ((seq->first & PULLER_GAP_DUE) == 0) {
            seq->first = seq->next & PULLER_SEQ_MASK;
        }
    }
}

/* The conn is to get all from an index of the JSON log on, from its own log if that has it. */
static void history_go_back(struct core *core, struct conn *conn, uint64_t json_index)
{
    const struct core_stream *stream = core_stream(core, conn);
    uint64_t index = conn->cursor;
    if (json_index >= stream->json_first &&
        core_own_index(stream, json_index) >= stream->position) {
        return; /* It is still to come. */
    }
    if (conn->reads_json) {
        index = json_index;
    } else if (!history_pin_own(core, stream, json_index, &index)) {
        conn->reads_json = true;
        history_set_back(core, conn, json_index);
        return;
    }
    if (index < conn->cursor) {
        history_set_back(core, conn, index);
    }
}

/* true: the channel is done with. */
static bool history_seek_channel(struct core *core, struct conn *conn, uint32_t channel,
                                 const struct puller_entry *entry, uint32_t *steps)
{
    struct core_stream *json = core_json(core);
    struct conn_history *history = core_history(core, conn);
    const struct core_channel *known = &json->channels[channel];
    uint64_t seq = *entry->next & PULLER_SEQ_MASK;
    uint64_t at = history->seek_at != 0 ? history->seek_at : known->last_index_plus_1;
    uint64_t oldest = frame_log_pin_oldest(json->log, core->options.index);
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
    *entry->next &= ~PULLER_SOUGHT;
    if (end == HISTORY_GONE) {
        uint64_t last_seq = core_stream(core, conn)->channels[channel].last_seq;
        puller_lose(core, conn, entry, seq, last_seq + 1, PULLER_OVERRUN);
    } else if (at - 1 < history->first) {
        history->first = at - 1;
    }
    return true;
}

void history_seek(struct core *core, struct conn *conn)
{
    const struct core_stream *stream = core_stream(core, conn);
    struct conn_history *history = core_history(core, conn);
    uint32_t steps = HISTORY_STEPS_MAX;
    while (history->seek_sub != SUB_NONE && steps > 0) {
        const struct sub *record = &stream->subs.records[history->seek_sub];
        struct puller_entry entry;
        if (puller_find(core, conn, record->channel, record->group, &entry) &&
            (*entry.next & PULLER_SOUGHT) != 0 &&
            !history_seek_channel(core, conn, record->channel, &entry, &steps)) {
            return;
        }
        history->seek_sub = record->conn_next;
        history->seek_at = 0;
        steps -= steps > 0;
    }
    if (history->seek_sub == SUB_NONE && history->first != UINT64_MAX) {
        history_go_back(core, conn, history->first);
    }
}

void history_forget_sub(struct core *core, struct conn *conn, uint32_t sub)
{
    struct conn_history *history = core_history(core, conn);
    if (conn->in_history && history->seek_sub == sub) {
        history->seek_sub = core_stream(core, conn)->subs.records[sub].conn_next;
        history->seek_at = 0;
    }
}

static void history_lose_channel(struct core *core, struct conn *conn, uint32_t channel,
                                 uint32_t group)
{
    uint64_t now_seq = core_stream(core, conn)->channels[channel].last_seq + 1;
    struct puller_entry entry;
    if (puller_find(core, conn, channel, group, &entry) &&
        (*entry.next & PULLER_SEQ_MASK) < now_seq) {
        puller_lose(core, conn, &entry, *entry.next & PULLER_SEQ_MASK, now_seq, PULLER_OVERRUN);
    }
}

void history_lose(struct core *core, struct conn *conn)
{
    const struct core_stream *stream = core_stream(core, conn);
    for (uint32_t sub = conn->sub_first; sub != SUB_NONE;
         sub = stream->subs.records[sub].conn_next) {
        const struct sub *record = &stream->subs.records[sub];
        history_lose_channel(core, conn, record->channel, record->group);
    }
    for (uint32_t channel = 0; conn->group_mask != 0 && channel < core->channel_count; channel++) {
        if (stream->channels[channel].last_seq > 0) {
            history_lose_channel(core, conn, channel, stream->channels[channel].group);
        }
    }
}

/* ---- Going on after a seq ---- */

/* The newest seq that anybody can have got, and the index after its frame in the stream's log (0:
 * that is dropped). */
static uint64_t history_newest(const struct core *core, const struct core_stream *stream,
                               uint32_t channel, uint64_t *end_out)
{
    struct frame_log *log = stream->log;
    struct frame_log_found found;
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    frame_log_pin_oldest(log, core->options.index);
    frame_log_seek(log, core->options.index, channel, UINT64_MAX, &found);
    frame_log_pin_again(log, core->options.index, pinned);
    *end_out = found.in_log ? found.index + 1 : 0;
    return found.next_seq - 1;
}

/* The seq of the newest frame that is not in a log any more. */
static uint64_t history_dropped_seq(struct core *core, struct frame_log *log, uint32_t channel)
{
    uint64_t pinned = frame_log_pinned(log, core->options.index);
    frame_log_pin_oldest(log, core->options.index);
    uint64_t dropped_seq = frame_log_dropped_seq(log, channel);
    frame_log_pin_again(log, core->options.index, pinned);
    return dropped_seq;
}

static void history_begin(struct core *core, struct conn *conn, uint64_t end)
{
    struct conn_history *history = core_history(core, conn);
    if (!conn->in_history) {
        conn->in_history = true;
        history->end = 0;
        history->seek_sub = SUB_NONE;
    }
    if (history->seek_sub == SUB_NONE) {
        history->first = UINT64_MAX;
    }
    history->end = end > history->end ? end : history->end;
    history->seek_sub = conn->sub_first;
    history->seek_at = 0;
}

int core_resume(struct core *core, uint32_t index, const struct core_resume *resume)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    uint64_t end;
    if (conn->state != CONN_STREAMING) {
        return 0;
    }
    uint64_t newest_seq = history_newest(core, stream, resume->channel, &end);
    uint64_t gone_seq = history_dropped_seq(core, core_json(core)->log, resume->channel);
    uint64_t dropped_seq = history_dropped_seq(core, stream->log, resume->channel);
    if (resume->is_same_epoch && resume->seq > newest_seq) {
        return -ERANGE;
    }
    if (core_subscribe(core, index, resume->channel, resume->group, resume->policy, false,
                       resume->tag) < 0) {
        return -ENOSPC;
    }
    core_set_subscription(core, index, resume->channel, resume->policy, resume->tag);
    if (conn->mode == CONN_PUSHED) {
        puller_start(core, conn, stream->position);
    }
    struct puller_entry entry;
    if (!puller_find(core, conn, resume->channel, resume->group, &entry)) {
        return -ENOSPC;
    }
    uint64_t now_seq = stream->channels[resume->channel].last_seq + 1;
    uint64_t from_seq = resume->is_same_epoch ? resume->seq + 1 : 1;
    *entry.first = from_seq;
    *entry.next = from_seq;
    /* What its own log has passed the core may not have seen yet: it will find itself passed, too.
     * The JSON log may have passed what is still to come in the own one: that is not lost. */
    uint64_t next_seq = now_seq > dropped_seq ? now_seq : dropped_seq + 1;
    bool is_lost = !resume->is_same_epoch || from_seq <= gone_seq;
    if (is_lost && from_seq < next_seq) {
        puller_lose(core, conn, &entry, from_seq, next_seq,
                    resume->is_same_epoch ? PULLER_OVERRUN : PULLER_RESTART);
    } else if (from_seq < now_seq) {
        *entry.next |= PULLER_SOUGHT;
    }
    history_begin(core, conn, end);
    return (*entry.first & PULLER_GAP_DUE) != 0;
}

/* ---- Newest frames ---- */

static bool history_is_behind(const struct puller_entry *entry, uint64_t now_seq)
{
    return (*entry->next & PULLER_SEQ_MASK) != now_seq || (*entry->first & PULLER_GAP_DUE) != 0;
}

/* For a channel of which the conn has not got all yet: the last one that it has got, so that what
 * is still to come follows on it. */
static int history_find_last_got(const struct core *core, const struct core_stream *stream,
                                 const struct puller_entry *entry, uint64_t oldest,
                                 struct core_snapshot *snapshot)
{
    const struct frame_log *log = stream->log;
    uint64_t next_seq = *entry->next & PULLER_SEQ_MASK;
    uint64_t at = stream->channels[snapshot->channel].last_index_plus_1;
    uint32_t steps = HISTORY_SNAPSHOT_STEPS_MAX;
    (void)core;
    if ((*entry->first & PULLER_GAP_DUE) != 0 || (*entry->next & PULLER_SOUGHT) != 0 ||
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

static int history_find_newest(const struct core *core, const struct core_stream *stream,
                               struct core_snapshot *snapshot)
{
    struct frame_log_found found;
    frame_log_seek(stream->log, core->options.index, snapshot->channel, stream->position, &found);
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

static bool history_has_room(const struct core *core, const struct conn *conn, uint64_t bytes)
{
    return conn->out.bytes + bytes <= CORE_SNAPSHOT_BYTES_MAX &&
           conn->out.bytes + bytes <= out_pool_share(&core->out_pool);
}

uint64_t core_find_snapshots(struct core *core, uint32_t index, struct core_snapshot *snapshots,
                             uint32_t count)
{
    struct conn *conn = core_conn(core, index);
    struct core_stream *stream = core_stream(core, conn);
    uint64_t pinned = frame_log_pinned(stream->log, core->options.index);
    uint64_t oldest = frame_log_pin_oldest(stream->log, core->options.index);
    uint64_t bytes = 0;
    sender_settle(core, conn);
    for (uint32_t i = 0; i < count; i++) {
        struct core_snapshot *snapshot = &snapshots[i];
        struct puller_entry entry;
        bool is_behind =
            conn->mode != CONN_PUSHED &&
            puller_find(core, conn, snapshot->channel, snapshot->group, &entry) &&
            history_is_behind(&entry, stream->channels[snapshot->channel].last_seq + 1);
        snapshot->error = is_behind ? history_find_last_got(core, stream, &entry, oldest, snapshot)
                                    : history_find_newest(core, stream, snapshot);
        if (snapshot->error == 0 && !history_has_room(core, conn, bytes + snapshot->frame_bytes)) {
            snapshot->error = -EAGAIN;
        }
        bytes += snapshot->error == 0 ? snapshot->frame_bytes : 0;
    }
    return pinned;
}

void core_send_snapshots(struct core *core, uint32_t index, const struct core_snapshot *snapshots,
                         uint32_t count, uint64_t pinned)
{
    struct conn *conn = core_conn(core, index);
    for (uint32_t i = 0; i < count && conn->state == CONN_STREAMING; i++) {
        if (snapshots[i].error == 0) {
            puller_send_copy(core, conn, snapshots[i].frame, snapshots[i].frame_bytes);
        }
    }
    frame_log_pin_again(core_stream(core, conn)->log, core->options.index, pinned);
}
