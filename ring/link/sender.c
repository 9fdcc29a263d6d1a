/* The fan-out of new frames, and the batches of sends that carry everything out. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/canary.h"
#include "codec/base/check.h"
#include "ring/core/core_state.h"
#include "ring/fan/replayer.h"

#define SENDER_PREFETCH 8 /* conns ahead */

#define SENDER_HOLD_BITS 12 /* of a loan's number; above them, its stream's */
#define SENDER_HOLD_MASK ((1u << SENDER_HOLD_BITS) - 1)
static_assert(FRAME_LOG_HOLDS_MAX <= 1u << SENDER_HOLD_BITS, "");
static_assert(CORE_ENCODINGS_MAX <= 1u << (16 - SENDER_HOLD_BITS), "");

/* ---- What is due ---- */

void sender_mark_ready(struct core *core, struct conn *conn)
{
    if (conn->mode == CONN_PULLING) {
        puller_enqueue(core, conn);
    } else if (conn->mode == CONN_PUSHED && !conn->is_ready) {
        conn->is_ready = true;
        conn_queue_push(&core->ready, conn_index(core, conn));
    }
}

void sender_forget_due(struct conn *conn)
{
    conn->due_frames = 0;
    conn->extent_first = CONN_NONE;
}

/* The stretch noted so far ends; a new one will begin elsewhere in the log. */
static void sender_end_extent(struct core *core, struct conn *conn)
{
    assert_always(core->extent_count < SENDER_EXTENTS_MAX);
    uint32_t index = core->extent_count++;
    core->extents[index] = (struct send_extent){
        .start = conn->due_start,
        .bytes = conn->due_bytes,
        .next = CONN_NONE,
    };
    if (conn->extent_first == CONN_NONE) {
        conn->extent_first = index;
    } else {
        core->extents[conn->extent_last].next = index;
    }
    conn->extent_last = index;
}

/* A run of frames that lie side by side in the log, and all go to the same list of conns. */
struct sender_run {
    uint64_t start;
    uint32_t bytes;
    uint32_t frames;
};

static inline void sender_note(struct core *core, struct conn *conn, const struct sender_run *run)
{
    if (conn->mode != CONN_PUSHED) {
        return;
    }
    if (conn->due_frames == 0) {
        conn->due_start = run->start;
        conn->due_bytes = 0;
        sender_mark_ready(core, conn);
    } else if (conn->due_start + conn->due_bytes != run->start) {
        sender_end_extent(core, conn);
        conn->due_start = run->start;
        conn->due_bytes = 0;
    }
    conn->due_bytes += run->bytes;
    conn->due_frames += run->frames;
}

/* Notes a run for a list's conns but those with a bit of skip_groups. The walk begins at another
 * place each time, so that nobody is always last: multiples of the golden ratio spread best. */
static void sender_walk(struct core *core, const struct sub_list *list, uint8_t skip_groups,
                        const struct sender_run *run, uint64_t index)
{
    uint32_t count = list->count;
    if (count == 0) {
        return;
    }
    uint32_t turn = (uint32_t)index * UINT32_C(2654435769);
    uint32_t at = (uint32_t)((uint64_t)turn * count >> 32);
    uint32_t ahead = count <= SENDER_PREFETCH ? 0 : (at + SENDER_PREFETCH) % count;
    for (uint32_t left = count; left > 0; left--) {
        struct conn *conn = &core->conns[list->entries[at].conn];
        __builtin_prefetch(&core->conns[list->entries[ahead].conn], 1);
        if ((conn->group_mask & skip_groups) == 0) {
            sender_note(core, conn, run);
        }
        at = at + 1 == count ? 0 : at + 1;
        ahead = ahead + 1 == count ? 0 : ahead + 1;
    }
}

static struct sender_run sender_run_of(const struct core_stream *stream, uint64_t from, uint64_t to)
{
    const struct frame_desc *first = frame_log_desc(stream->log, from);
    const struct frame_desc *last = frame_log_desc(stream->log, to - 1);
    return (struct sender_run){
        .start = first->position,
        .bytes = (uint32_t)(last->position + last->frame_bytes - first->position),
        .frames = (uint32_t)(to - from),
    };
}

/* The frames of one group: its list is walked once for all of them, a channel's list once for each
 * run of the channel. A conn gets a group's frames by one of the two only, so their order holds. */
static void sender_note_group(struct core *core, const struct core_stream *stream, uint64_t from,
                              uint64_t to)
{
    uint32_t group = frame_log_desc(stream->log, from)->group;
    struct sender_run run = sender_run_of(stream, from, to);
    sender_walk(core, &stream->groups[group], 0, &run, from);
    for (uint64_t next = from; next < to;) {
        uint32_t channel = frame_log_desc(stream->log, next)->channel;
        uint64_t first = next;
        do {
            next++;
        } while (next < to && frame_log_desc(stream->log, next)->channel == channel);
        run = sender_run_of(stream, first, next);
        sender_walk(core, &stream->subs.channels[channel], (uint8_t)(1u << group), &run, first);
    }
}

/* Each conn that a frame goes to may need one more extent. */
static uint64_t sender_extents_for(const struct core_stream *stream, const struct frame_desc *desc)
{
    return (uint64_t)stream->groups[desc->group].count + stream->subs.channels[desc->channel].count;
}

/* Notes a turn's worth of frames from stream->position on, and moves it. */
static void sender_note_turn(struct core *core, struct core_stream *stream, uint64_t head)
{
    const struct frame_log *log = stream->log;
    uint64_t bytes = 0;
    uint64_t noted = stream->position; /* frames from there on wait to be noted together, */
    uint64_t wanted = 0;               /* which takes so many extents at most */
    while (stream->position < head &&
           stream->position - stream->turn_first < SENDER_TURN_FRAMES_MAX &&
           bytes < SENDER_TURN_BYTES_MAX) {
        const struct frame_desc *desc = frame_log_desc(log, stream->position);
        uint64_t more = sender_extents_for(stream, desc);
        if (stream->position > noted && (desc->group != frame_log_desc(log, noted)->group ||
                                         core->extent_count + wanted + more > SENDER_EXTENTS_MAX)) {
            sender_note_group(core, stream, noted, stream->position);
            noted = stream->position;
            wanted = 0;
        }
        if (stream->position > stream->turn_first &&
            core->extent_count + more > SENDER_EXTENTS_MAX) {
            break;
        }
        wanted += more;
        stream->position++;
        bytes += desc->frame_bytes;
        stream->channels[desc->channel] = (struct core_channel){
            .last_seq = desc->seq,
            .last_index_plus_1 = stream->position,
            .hash = desc->hash,
            .group = desc->group,
        };
    }
    if (stream->position > noted) {
        sender_note_group(core, stream, noted, stream->position);
    }
}

/* ---- Batches ---- */

/* Completions of a batch are looked for in the queue, which they should not overflow: they are
 * mostly the first that a submit posts, and half of the queue is free for them. What overflows it
 * nevertheless costs time, and is found (sender_collect). */
static __attribute__((noinline)) void sender_make_room(struct core *core)
{
    do {
        core_reap(core);
        core_enter(core, 0);
    } while (engine_lacks_room(&core->engine));
}

bool sender_begin(struct core *core, uint32_t batch_limit)
{
    struct send_batch *batch = core->batch;
    bool is_full = batch->send_count >= batch_limit ||
                   batch->iov_count + SENDER_IOVS_MAX > SENDER_BATCH_IOVS_MAX;
    if (is_full) {
        sender_submit(core);
        core_reap(core);
    }
    if (batch->send_count == 0 && engine_lacks_room(&core->engine)) {
        sender_make_room(core);
    }
    return is_full;
}

struct send *sender_open_slot(struct core *core, struct conn *conn)
{
    struct send_batch *batch = core->batch;
    assert_always(batch->send_count < SENDER_BATCH_MAX);
    assert_always(batch->iov_count + SENDER_IOVS_MAX <= SENDER_BATCH_IOVS_MAX);
    struct send *send = &batch->sends[batch->send_count++];
    send->conn = conn_index(core, conn);
    send->iov_first = batch->iov_count;
    send->frames = 0;
    send->is_pull = false;
    send->is_replay = false;
    send->is_lent = false;
    send->is_of_json = false;
    return send;
}

void sender_add_out(struct core *core, struct conn *conn, struct send *send)
{
    size_t bytes = 0;
    struct iovec *iov = &core->batch->iovs[send->iov_first];
    if (__builtin_expect(conn->out.bytes == 0, 1)) {
        send->iov_count = send->out_iov_count = send->out_bytes = 0;
        send->total_bytes = 0;
        return;
    }
    send->iov_count =
        out_chain_gather(&core->out_pool, &conn->out, iov, SENDER_IOVS_MAX / 2, &bytes);
    send->out_iov_count = send->iov_count;
    send->out_bytes = (uint32_t)bytes;
    send->total_bytes = bytes;
}

static void sender_add_extent(struct core *core, const struct frame_log *log, struct send *send,
                              const struct send_extent *extent)
{
    struct iovec *iov = &core->batch->iovs[send->iov_first + send->iov_count];
    *iov = (struct iovec){
        .iov_base = (void *)(uintptr_t)frame_log_at(log, extent->start),
        .iov_len = extent->bytes,
    };
    send->iov_count++;
    send->total_bytes += extent->bytes;
}

void sender_cancel_slot(struct core *core, struct send *send)
{
    assert_always(send == &core->batch->sends[core->batch->send_count - 1]);
    core->batch->send_count--;
}

/* Where the frames of a send lie. */
static struct core_stream *sender_source(struct core *core, const struct conn *conn,
                                         const struct send *send)
{
    return send->is_of_json ? core_json(core) : core_stream(core, conn);
}

/* ---- Loans ---- */

bool sender_may_lend(const struct core *core, const struct conn *conn, uint64_t bytes)
{
    uint32_t bytes_min = core->options.zero_copy_bytes;
    return bytes_min != 0 && bytes >= bytes_min && !conn->copies && !conn->is_unix;
}

/* Notes the one stretch of a send as held; FRAME_LOG_NO_HOLD: it is to be copied. */
static uint32_t sender_try_hold(struct core *core, const struct conn *conn, const struct send *send)
{
    const struct iovec *iov = &core->batch->iovs[send->iov_first];
    if (send->out_iov_count > 0 || !sender_may_lend(core, conn, iov->iov_len)) {
        return FRAME_LOG_NO_HOLD;
    }
    struct core_stream *stream = sender_source(core, conn, send);
    uint64_t position = frame_log_position(stream->log, send->from, iov->iov_base);
    position = CANARY(LOAN_UNHELD) ? 0 : position;
    uint32_t hold = frame_log_hold(stream->log, core->options.index, position, iov->iov_len);
    if (hold != FRAME_LOG_NO_HOLD) {
        stream->loans[hold] = (struct core_loan){
            .conn = send->conn,
            .generation = conn->generation,
            .bytes = (uint32_t)iov->iov_len,
        };
        counter_add(&core->counters->lent_sends, 1);
        counter_add(&core->counters->lent_bytes_held, iov->iov_len);
    }
    return hold;
}

/* loan: as OP_LEND bears it, without the slot. */
static void sender_end_loan(struct core *core, uint32_t loan)
{
    struct core_stream *stream = &core->streams[loan >> SENDER_HOLD_BITS];
    uint32_t hold = loan & SENDER_HOLD_MASK;
    counter_add(&core->counters->lent_bytes_held, -(uint64_t)stream->loans[hold].bytes);
    frame_log_release(stream->log, core->options.index, hold);
}

void sender_on_loan(struct core *core, const struct io_uring_cqe *cqe)
{
    uint32_t number = (uint32_t)cqe->user_data & 0xffff;
    const struct core_loan *loan =
        &core->streams[number >> SENDER_HOLD_BITS].loans[number & SENDER_HOLD_MASK];
    if ((cqe->flags & IORING_CQE_F_NOTIF) == 0) {
        return;
    }
    struct conn *conn = core_conn(core, loan->conn);
    bool was_copied = engine_loan_was_copied(cqe);
    counter_add(was_copied ? &core->counters->lent_bytes_copied : &core->counters->lent_bytes,
                loan->bytes);
    if (was_copied && conn->generation == loan->generation) {
        conn->copies = true;
    }
    sender_end_loan(core, number);
}

static void sender_join(uint8_t *out, const struct iovec *iov, uint32_t iov_count)
{
    for (uint32_t i = 0; i < iov_count; i++) {
        memcpy(out, iov[i].iov_base, iov[i].iov_len);
        out += iov[i].iov_len;
    }
}

void sender_queue_slot(struct core *core, struct send *send)
{
    struct send_batch *batch = core->batch;
    struct conn *conn = core_conn(core, send->conn);
    struct iovec *iov = &batch->iovs[send->iov_first];
    uint32_t slot = (uint32_t)(send - batch->sends);
    assert_always(send->iov_count > 0 && send->iov_count <= SENDER_IOVS_MAX);

    send->result = (int64_t)send->total_bytes; /* Only what falls short posts a completion, */
    struct io_uring_sqe *sqe = core_sqe(core);
    uint32_t hold = send->iov_count == 1 ? sender_try_hold(core, conn, send) : FRAME_LOG_NO_HOLD;
    if (hold != FRAME_LOG_NO_HOLD) { /* or what is lent, which cannot skip it. */
        uint32_t encoding = send->is_of_json ? CORE_ENCODING_JSON : conn->encoding;
        uint32_t loan = encoding << SENDER_HOLD_BITS | hold;
        send->is_lent = true;
        engine_prepare_loan(sqe, conn->fd, iov->iov_base, iov->iov_len);
        sqe->user_data = core_tag(OP_LEND, batch->number, slot << 16 | loan);
        batch->iov_count++;
        return;
    }
    if (send->iov_count == 1) {
        engine_prepare_send(sqe, conn->fd, iov->iov_base, iov->iov_len);
    } else if (send->total_bytes <= SENDER_JOINED_BYTES_MAX) {
        sender_join(batch->joined[slot], iov, send->iov_count);
        engine_prepare_send(sqe, conn->fd, batch->joined[slot], send->total_bytes);
    } else {
        send->message = (struct msghdr){.msg_iov = iov, .msg_iovlen = send->iov_count};
        engine_prepare_sendmsg(sqe, conn->fd, &send->message);
    }
    sqe->user_data = core_tag(OP_SEND, batch->number, slot);
    batch->iov_count += send->iov_count;
}

/* ---- What a send's end means ---- */

/* The frame that holds a byte, among those from index from to before to. */
static uint64_t sender_find_frame(const struct frame_log *log, uint64_t from, uint64_t to,
                                  uint64_t position)
{
    while (to - from > 1) {
        uint64_t middle = from + (to - from) / 2;
        if (frame_log_desc(log, middle)->position <= position) {
            from = middle;
        } else {
            to = middle;
        }
    }
    return from;
}

/* Where a short send stopped, data_bytes into what it carried of the log. Returns the index of
 * the first frame of which nothing was sent; the rest of one that was cut is queued, so that it
 * is finished first. *frames_out: how many left, the cut one included. */
static uint64_t sender_find_cut(struct core *core, struct conn *conn, const struct send *send,
                                uint64_t data_bytes, uint32_t *frames_out)
{
    const struct frame_log *log = sender_source(core, conn, send)->log;
    const struct iovec *iov = &core->batch->iovs[send->iov_first];
    for (uint32_t i = send->out_iov_count; i < send->iov_count; i++) {
        uint64_t start = frame_log_position(log, send->from, iov[i].iov_base);
        uint64_t first = sender_find_frame(log, send->from, send->to, start);
        if (data_bytes >= iov[i].iov_len) {
            uint64_t last = sender_find_frame(log, first, send->to, start + iov[i].iov_len - 1);
            *frames_out += (uint32_t)(last - first + 1);
            data_bytes -= iov[i].iov_len;
            continue;
        }
        uint64_t cut = sender_find_frame(log, first, send->to, start + data_bytes);
        const struct frame_desc *desc = frame_log_desc(log, cut);
        *frames_out += (uint32_t)(cut - first);
        uint64_t sent_of_it = start + data_bytes - desc->position;
        if (sent_of_it == 0) {
            return cut;
        }
        *frames_out += 1;
        if (CANARY(REST_DROPPED)) {
            return cut + 1;
        }
        conn_queue(core, conn, frame_log_at(log, desc->position + sent_of_it),
                   desc->frame_bytes - sent_of_it);
        return cut + 1;
    }
    return send->to;
}

static void sender_count_frames(struct core *core, struct conn *conn, uint32_t frames)
{
    if (frames > 0) {
        conn->frames_sent += frames;
        counter_add(&core->counters->frames_out, frames);
    }
}

static void sender_on_whole(struct core *core, struct conn *conn, const struct send *send)
{
    counter_add(&core->counters->sends, 1);
    counter_add(&core->counters->bytes_out, send->total_bytes);
    sender_count_frames(core, conn, send->frames);
    if (send->out_bytes > 0) {
        out_chain_consume(&core->out_pool, &conn->out, send->out_bytes);
    }
    conn->woken = false;
    if (send->is_pull) {
        puller_on_sent(core, conn, send->to);
    } else if (send->is_replay) {
        replayer_on_sent(core, conn, sender_source(core, conn, send), send->to);
    } else {
        sender_forget_due(conn);
    }
    if (conn->out.bytes > 0) {
        sender_mark_ready(core, conn); /* More than one send could take. */
    }
    conn_on_sent(core, conn);
}

static void sender_wait_writable(struct core *core, struct conn *conn, bool progress)
{
    if (conn->woken && !progress) {
        /* Writable, and yet nothing went: memory is short. Ask again later, never in a circle. */
        conn->mode = CONN_STUCK;
        timer_arm(&core->wheel, &conn->timer, core->time.now_ns + SENDER_STUCK_NS);
        return;
    }
    conn->mode = CONN_BLOCKED;
    conn->woken = false;
    counter_add(&core->counters->conns_blocked, 1);
    if (!conn->writable_armed) {
        struct io_uring_sqe *sqe = core_sqe(core);
        engine_prepare_writable(sqe, conn->fd);
        sqe->user_data = core_tag(OP_WRITABLE, conn->generation, conn_index(core, conn));
        conn->writable_armed = true;
    }
}

static void sender_on_short(struct core *core, struct conn *conn, const struct send *send)
{
    uint64_t sent = send->result > 0 ? (uint64_t)send->result : 0;
    uint64_t out_sent = sent < send->out_bytes ? sent : send->out_bytes;
    uint32_t frames = 0;
    counter_add(sent > 0 ? &core->counters->sends_short : &core->counters->sends_full, 1);
    counter_add(&core->counters->bytes_out, sent);
    out_chain_consume(&core->out_pool, &conn->out, out_sent);
    uint64_t cut = send->to;
    if (send->iov_count > send->out_iov_count) {
        cut = sender_find_cut(core, conn, send, sent - out_sent, &frames);
    }
    sender_count_frames(core, conn, frames);
    if (send->is_pull) {
        puller_on_cut(core, conn, cut, send->to);
    } else if (send->is_replay) {
        replayer_on_sent(core, conn, sender_source(core, conn, send), cut);
        puller_start(core, conn, core_stream(core, conn)->position);
    } else {
        puller_start(core, conn, cut);
    }
    sender_wait_writable(core, conn, sent > 0);
}

/* The kernel, the socket or the limit on locked memory does not allow a loan. */
static bool sender_is_refusal(int64_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -ENOMEM || error == -ENOBUFS ||
           error == -EPERM;
}

static void sender_finish(struct core *core, const struct send *send)
{
    struct conn *conn = core_conn(core, send->conn);
    if (send->result == (int64_t)send->total_bytes) {
        sender_on_whole(core, conn, send);
    } else if (send->result >= 0 || send->result == -EAGAIN) {
        sender_on_short(core, conn, send);
    } else if (send->is_lent && sender_is_refusal(send->result)) {
        conn->copies = true;
        sender_on_short(core, conn, send); /* Nothing went; it is tried again as a copy. */
    } else {
        counter_add(&core->counters->sends_failed, 1);
        conn_doom(core, conn, 0, send->result == -ETIMEDOUT ? "timed out" : "reset by the peer");
    }
}

static void sender_read_results(struct core *core)
{
    struct send_batch *batch = core->batch;
    uint32_t count = engine_completion_count(&core->engine);
    for (uint32_t number = 0; number < count; number++) {
        const struct io_uring_cqe *cqe = engine_completion(&core->engine, number);
        uint32_t op = (uint32_t)(cqe->user_data >> 56);
        uint32_t slot = (uint32_t)cqe->user_data;
        if ((op != OP_SEND && op != OP_LEND) || (cqe->flags & IORING_CQE_F_NOTIF) != 0 ||
            (cqe->user_data >> 32 & 0xffffff) != (batch->number & 0xffffff)) {
            continue;
        }
        if (op == OP_LEND) {
            if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
                sender_end_loan(core, slot & 0xffff); /* No notification will come. */
            }
            slot >>= 16;
        }
        assert_always(slot < batch->send_count);
        batch->sends[slot].result = cqe->res;
    }
}

/* The sends that fell short have posted completions when enter() returns; they are read here,
 * ahead of the others that wait in the queue. When it was full the kernel keeps the rest until
 * there is room, and a send whose completion is not seen would count as whole. Ends: an operation
 * that is not armed again, as none is here, posts no more. */
static void sender_collect(struct core *core)
{
    sender_read_results(core);
    while (__builtin_expect(engine_has_overflown(&core->engine), 0)) {
        engine_put_off(&core->engine);
        core_enter(core, 0);
        sender_read_results(core);
    }
}

void sender_submit(struct core *core)
{
    struct send_batch *batch = core->batch;
    if (batch->send_count == 0) {
        return;
    }
    counter_add(&core->counters->send_enters, 1);
    core_flush(core); /* An SQE left behind would count as sent. */
    sender_collect(core);
    PROBE2(batch_submitted, core->options.index, batch->send_count);
    uint32_t send_count = batch->send_count;
    batch->send_count = 0;
    batch->iov_count = 0;
    batch->number++;
    for (uint32_t slot = 0; slot < send_count; slot++) {
        sender_finish(core, &batch->sends[slot]);
    }
}

/* ---- Flushing ---- */

static void sender_add_due(struct core *core, struct conn *conn)
{
    if (conn->state != CONN_STREAMING) {
        sender_forget_due(conn); /* Its subscriptions are about to be removed. */
    }
    if (!conn_is_open(conn) || conn->mode != CONN_PUSHED ||
        (conn->due_frames == 0 && conn->out.bytes == 0)) {
        return;
    }
    const struct core_stream *stream = core_stream(core, conn);
    /* Frames that do not lie side by side have others between them, so that a turn has at most
     * half as many extents as frames. */
    struct send *send = sender_open_slot(core, conn);
    send->from = stream->turn_first;
    send->to = stream->position;
    sender_add_out(core, conn, send);
    if (send->out_bytes < conn->out.bytes && conn->due_frames > 0) {
        /* Too much of its own to add frames; it gets them from the log. */
        sender_cancel_slot(core, send);
        puller_start(core, conn, stream->turn_first);
        return;
    }
    if (conn->due_frames > 0) {
        for (uint32_t i = conn->extent_first; i != CONN_NONE; i = core->extents[i].next) {
            sender_add_extent(core, stream->log, send, &core->extents[i]);
        }
        struct send_extent newest = {.start = conn->due_start, .bytes = conn->due_bytes};
        sender_add_extent(core, stream->log, send, &newest);
        send->frames = conn->due_frames;
    }
    sender_queue_slot(core, send);
}

void sender_settle(struct core *core, struct conn *conn)
{
    if (conn->due_frames > 0 && conn->mode == CONN_PUSHED) {
        puller_start(core, conn, core_stream(core, conn)->turn_first);
    }
}

/* Batches of 64, the first of 16; between them completions are reaped, so that pings and control
 * messages do not wait for a long scatter. Who becomes ready meanwhile is served in the next go. */
void sender_flush_ready(struct core *core)
{
    uint32_t batch_limit = SENDER_FIRST_BATCH;
    for (uint32_t left = core->ready.count; left > 0; left--) {
        if (sender_begin(core, batch_limit)) {
            batch_limit = SENDER_BATCH_MAX;
        }
        struct conn *conn = core_conn(core, conn_queue_pop(&core->ready));
        if (left > SENDER_PREFETCH) {
            uint32_t ahead = conn_queue_peek(&core->ready, SENDER_PREFETCH - 1);
            __builtin_prefetch(core_conn(core, ahead), 1);
        }
        conn->is_ready = false;
        sender_add_due(core, conn);
    }
    sender_submit(core);
    core->extent_count = 0;
}

static void sender_count_latency(struct core *core, const struct frame_desc *desc)
{
    struct core_time time;
    core->options.clock(core->options.context, &time);
    core->time = time;
    uint64_t latency_ns = time.wall_ns > desc->ts_pub_ns ? time.wall_ns - desc->ts_pub_ns : 0;
    uint32_t bits = latency_ns == 0 ? 0 : 64 - (uint32_t)__builtin_clzll(latency_ns);
    uint32_t bucket = bits <= 10 ? 0 : bits - 10;
    if (bucket >= COUNTERS_LATENCY_BUCKETS) {
        bucket = COUNTERS_LATENCY_BUCKETS - 1;
    }
    counter_add(&core->counters->flush_latency[bucket], 1);
    counter_add(&core->counters->flush_latency_sum_ns, latency_ns);
}

static bool sender_fan_out_stream(struct core *core, struct core_stream *stream)
{
    struct frame_log *log = stream->log;
    uint64_t head = frame_log_head(log);
    if (stream->position == head) {
        return false;
    }
    if (!core_follow_run(core, stream)) {
        return false;
    }
    /* After the head: a channel exists before its first frame is published. */
    core_see_channels(core);
    /* The whole turn is pinned, so that a conn whose socket fills up can tell exactly what it
     * did not get. */
    if (!frame_log_pin(log, core->options.index, stream->position)) {
        counter_add(&core->counters->core_laps, 1);
        core_log(core, 2, "performance: core %u was passed by the writer: its clients get GAPs",
                 core->options.index);
        puller_resync(core, stream);
        return true;
    }
    stream->turn_first = stream->position;
    sender_note_turn(core, stream, head);
    PROBE3(turn, core->options.index, stream->position - stream->turn_first, core->ready.count);
    sender_flush_ready(core);
    sender_count_latency(core, frame_log_desc(log, stream->position - 1));
    stream->turn_first = stream->position;
    frame_log_unpin(log, core->options.index);
    if (stream == core->streams) {
        counter_set(&core->counters->position, stream->position);
    }
    return true;
}

bool sender_fan_out(struct core *core)
{
    bool worked = false;
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        worked |= sender_fan_out_stream(core, &core->streams[i]);
    }
    return worked;
}

void sender_on_writable(struct core *core, struct conn *conn)
{
    conn->writable_armed = false;
    if (conn->mode == CONN_BLOCKED) {
        counter_add(&core->counters->conns_blocked, (uint64_t)-1);
        conn->woken = true;
        conn->mode = CONN_PULLING;
        puller_enqueue(core, conn);
    }
    conn_on_operation_ended(core, conn);
}
