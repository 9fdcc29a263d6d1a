#include "ring/link/sender.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/check.h"
#include "ring/link/link.h"
#include "ring/link/tls_out.h"
#include "ring/trace.h"

#define SENDER_BLOCK_BYTES 64
#define SENDER_PREFETCH 4     /* links ahead */
#define SENDER_TLS_PREFETCH 2 /* of these, what they have for TLS */
#define SENDER_ALONE_FACTOR 4 /* A send of its own costs what so many times as much gains. */

bool sender_has_room(struct links *links)
{
    return !engine_lacks_room(&links->engine);
}

/* Stretches of at least so many bytes are lent to the kernel; UINT32_MAX: none. */
static uint32_t sender_lend_bytes(const struct links *links, const struct link *link)
{
    if (link->copies) {
        return UINT32_MAX;
    }
    return link->is_unix ? links->options.lend_unix_bytes : links->options.lend_bytes;
}

uint32_t sender_lend_alone_bytes(const struct links *links, const struct link *link)
{
    uint32_t bytes_min = sender_lend_bytes(links, link);
    return bytes_min > UINT32_MAX / SENDER_ALONE_FACTOR ? UINT32_MAX
                                                        : bytes_min * SENDER_ALONE_FACTOR;
}

/* ---- Building ---- */

/* Frames are short: a call of memcpy() takes longer than its copy. */
static inline void sender_copy(uint8_t *to, const uint8_t *from, size_t bytes)
{
    if (bytes < SENDER_BLOCK_BYTES) {
        memcpy(to, from, bytes);
        return;
    }
    size_t last = bytes - SENDER_BLOCK_BYTES; /* The last block may overlap with the one before. */
#pragma GCC unroll 1
    for (size_t at = 0; at < last; at += SENDER_BLOCK_BYTES) {
        memcpy(to + at, from + at, SENDER_BLOCK_BYTES);
    }
    memcpy(to + last, from + last, SENDER_BLOCK_BYTES);
}

static inline void sender_join(uint8_t *out, const struct iovec *iov, uint32_t iov_count)
{
    for (uint32_t i = 0; i < iov_count; i++) {
        sender_copy(out, iov[i].iov_base, iov[i].iov_len);
        out += iov[i].iov_len;
    }
}

static inline struct io_uring_sqe *sender_sqe(struct links *links)
{
    struct io_uring_sqe *sqe = engine_try_sqe(&links->engine);
    return __builtin_expect(sqe != NULL, 1) ? sqe : links_sqe(links);
}

/* Of several stretches. */
static void sender_prepare_vector(struct links *links, const struct link *link, uint32_t number,
                                  struct iovec *iov, uint32_t iov_count, uint64_t bytes)
{
    struct send_batch *batch = links->batch;
    struct io_uring_sqe *sqe = sender_sqe(links);
    assert_debug(iov_count > 0 && iov_count <= SEND_IOVS_MAX);
    if (bytes <= SEND_JOINED_BYTES_MAX) {
        uint8_t *joined = &batch->joined[batch->joined_bytes];
        batch->joined_bytes += (uint32_t)bytes;
        assert_debug(batch->joined_bytes <= sizeof batch->joined);
        sender_join(joined, iov, iov_count);
        engine_prepare_send(sqe, link->fd, joined, bytes);
    } else {
        batch->messages[number] = (struct msghdr){.msg_iov = iov, .msg_iovlen = iov_count};
        engine_prepare_sendmsg(sqe, link->fd, &batch->messages[number]);
    }
    sqe->user_data = links_tag(OP_SEND, batch->number, number);
}

static inline void sender_prepare(struct links *links, const struct link *link, uint32_t number,
                                  struct iovec *iov, uint32_t iov_count, uint64_t bytes)
{
    if (__builtin_expect(iov_count > 1, 0)) {
        sender_prepare_vector(links, link, number, iov, iov_count, bytes);
        return;
    }
    struct io_uring_sqe *sqe = sender_sqe(links);
    engine_prepare_send(sqe, link->fd, iov->iov_base, bytes);
    sqe->user_data = links_tag(OP_SEND, links->batch->number, number);
}

/* false: it is to be copied. */
static bool sender_lend(struct links *links, const struct link *link, const struct send_plan *plan,
                        uint32_t number)
{
    struct send_batch *batch = links->batch;
    struct send_lent *lent = &batch->lents[batch->lent_count];
    if (plan->bytes < sender_lend_bytes(links, link) || link->flow != LINK_CLEAR ||
        !links->options.asks->lend(links->options.core, plan, &lent->stretch)) {
        return false;
    }
    assert_debug(lent->stretch.bytes == plan->bytes);
    lent->number = number;
    batch->lent_count++;
    return true;
}

/* As records, side by side: the stretches are not needed any more. */
static void sender_prepare_tls(struct links *links, struct link *link,
                               const struct plan_batch *plans, uint32_t number,
                               const struct iovec *iov)
{
    struct send_batch *batch = links->batch;
    struct send *send = &batch->sends[number];
    uint32_t ahead = (number + SENDER_TLS_PREFETCH) % PLAN_BATCH_MAX;
    __builtin_prefetch(&links->tls[plans->plans[ahead].conn]);
    tls_out_build(links, link, send, iov);
    send->result = (int64_t)send->wire_bytes;
    if (send->wire_bytes > 0) {
        struct io_uring_sqe *sqe = sender_sqe(links);
        engine_prepare_send(sqe, link->fd, send->wire, send->wire_bytes);
        sqe->user_data = links_tag(OP_SEND, batch->number, number);
    }
}

/* With bytes of the link's own, or none of its plan's: its link closes. Such a link may be full:
 * its subscriber gets plans until core_bury() reaches it, which may take several turns. */
static void sender_prepare_mixed(struct links *links, struct link *link,
                                 const struct plan_batch *plans, uint32_t number)
{
    struct send_batch *batch = links->batch;
    struct send *send = &batch->sends[number];
    const struct send_plan *plan = &plans->plans[number];
    struct iovec *iov = &batch->iovs[batch->iov_count];
    bool takes_bytes = link_is_open(link) && link->flow == LINK_CLEAR;
    size_t out_bytes = 0;
    uint32_t count = 0;
    assert_debug(link->stage != LINK_STREAMING || link->flow == LINK_CLEAR);
    if (takes_bytes) {
        count = out_chain_gather(&links->out_pool, &link->out, iov, SEND_IOVS_MAX / 2, &out_bytes);
    }
    *send = (struct send){
        .bytes = out_bytes,
        .out_bytes = (uint32_t)out_bytes,
        .has_frames = link->stage == LINK_STREAMING && out_bytes == link->out.bytes,
    };
    if (send->has_frames && plan->iov_count > 0) {
        memcpy(iov + count, &plans->iovs[plan->iov_first], plan->iov_count * sizeof *iov);
        count += plan->iov_count;
        send->bytes += plan->bytes;
    }
    if (link->is_tls && takes_bytes) {
        sender_prepare_tls(links, link, plans, number, iov);
        return;
    }
    send->wire_bytes = send->bytes;
    send->result = (int64_t)send->bytes; /* Only what falls short posts a completion. */
    if (count > 0) {
        batch->iov_count += count;
        sender_prepare(links, link, number, iov, count, send->bytes);
    }
}

static inline uint64_t sender_bit(uint32_t number)
{
    static_assert(SEND_SLOTS_MAX <= 64, "bits of batch->special");
    return UINT64_C(1) << number;
}

/* ---- Results ---- */

static void sender_on_result(struct links *links, const struct plan_batch *plans, uint32_t number,
                             int32_t result)
{
    struct send_batch *batch = links->batch;
    struct send *send = &batch->sends[number];
    if ((batch->special & sender_bit(number)) == 0) { /* It was plain. */
        uint64_t bytes = plans->plans[number].bytes;
        *send = (struct send){.bytes = bytes, .has_frames = true, .wire_bytes = bytes};
        batch->special |= sender_bit(number);
        batch->plain_count--;
        batch->plain_bytes -= bytes;
    }
    send->result = result;
}

static void sender_read_results(struct links *links, const struct plan_batch *plans)
{
    const struct send_batch *batch = links->batch;
    uint32_t count = engine_completion_count(&links->engine);
    for (uint32_t number = 0; number < count; number++) {
        const struct io_uring_cqe *cqe = engine_completion(&links->engine, number);
        uint32_t op = (uint32_t)(cqe->user_data >> 56);
        uint32_t slot = (uint32_t)cqe->user_data;
        if (op != OP_SEND || (cqe->user_data >> 32 & 0xffffff) != (batch->number & 0xffffff)) {
            continue;
        }
        assert_always(slot < plans->plan_count);
        sender_on_result(links, plans, slot, cqe->res);
    }
}

/* The sends that fell short have posted completions when enter() returns; they are read here,
 * ahead of the others that wait in the queue. When it was full the kernel keeps the rest until
 * there is room, and a send whose completion is not seen would count as whole. Ends: an operation
 * that is not armed again, as none is here, posts no more. */
static void sender_collect(struct links *links, const struct plan_batch *plans)
{
    sender_read_results(links, plans);
    while (__builtin_expect(engine_has_overflown(&links->engine), 0)) {
        engine_put_off(&links->engine);
        links_enter(links, 0);
        sender_read_results(links, plans);
    }
}

/* The kernel, a filter of system calls or the socket does not let anything leave by reference, now
 * or ever. */
static bool sender_is_refusal(int64_t error)
{
    return error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS || error == -EPERM ||
           error == -EACCES || error == -ENOMEM || error == -ENOBUFS;
}

/* What sender_lend() set aside. What is refused leaves as a copy. */
static void sender_send_lent(struct links *links, struct plan_batch *plans)
{
    struct send_batch *batch = links->batch;
    for (uint32_t i = 0; i < batch->lent_count; i++) {
        const struct send_lent *lent = &batch->lents[i];
        const struct send_plan *plan = &plans->plans[lent->number];
        struct link *link = links_at(links, plan->conn);
        int64_t result = engine_send_file(&links->engine, link->fd, &lent->stretch);
        assert_always(result <= (int64_t)lent->stretch.bytes);
        trace_lend(links->options.core_number, plan->conn, plan->bytes, result);
        if (sender_is_refusal(result)) {
            link->copies = true;
            sender_prepare(links, link, lent->number, &plans->iovs[plan->iov_first], 1,
                           plan->bytes);
            continue;
        }
        batch->sends[lent->number].result = result;
        counter_add(&links->counters->lent_sends, result > 0);
        counter_add(&links->counters->lent_bytes, result > 0 ? (uint64_t)result : 0);
    }
    batch->lent_count = 0;
    if (engine_queued_count(&links->engine) > 0) {
        links_flush(links);
        sender_collect(links, plans);
    }
}

static struct send_outcome *sender_add_outcome(struct plan_batch *plans, uint32_t number)
{
    struct send_outcome *outcome = &plans->outcomes[plans->outcome_count++];
    *outcome = (struct send_outcome){.plan = number};
    return outcome;
}

static void sender_on_short(struct links *links, struct link *link, struct plan_batch *plans,
                            uint32_t number)
{
    const struct send *send = &links->batch->sends[number];
    uint64_t wire = send->result > 0 ? (uint64_t)send->result : 0;
    uint64_t sent = link->is_tls ? tls_out_settle(links, link, send, wire) : wire;
    uint64_t out_sent = sent < send->out_bytes ? sent : send->out_bytes;
    trace_send_short(links->options.core_number, links_index(links, link), link->fd, wire,
                     send->wire_bytes);
    counter_add(wire > 0 ? &links->counters->sends_short : &links->counters->sends_full, 1);
    counter_add(&links->counters->bytes_out, wire);
    out_chain_consume(&links->out_pool, &link->out, out_sent);
    struct send_outcome *outcome = sender_add_outcome(plans, number);
    outcome->bytes = sent - out_sent;
    outcome->is_blocked = true;
    outcome->error = link->stage == LINK_STREAMING ? 0 : -ECANCELED;
    link_wait_writable(links, link, wire > 0);
}

static void sender_on_failure(struct links *links, struct link *link, struct plan_batch *plans,
                              uint32_t number)
{
    struct send *send = &links->batch->sends[number];
    if (send->result == -EAGAIN || send->result >= 0) {
        sender_on_short(links, link, plans, number);
    } else {
        counter_add(&links->counters->sends_failed, 1);
        trace_send_failed(links->options.core_number, links_index(links, link), link->fd,
                          (uint32_t)-send->result);
        sender_add_outcome(plans, number)->error = (int32_t)send->result;
        link_doom(links, link, 0, send->result == -ETIMEDOUT ? "timed out" : "reset by the peer");
    }
}

/* All that was tried went out, yet not all of the plan was tried, or more of its own waits. */
static void sender_on_mixed(struct links *links, struct link *link, struct plan_batch *plans,
                            uint32_t number)
{
    const struct send *send = &links->batch->sends[number];
    out_chain_consume(&links->out_pool, &link->out, send->out_bytes);
    if (!send->has_frames && plans->plans[number].kind != SEND_OWN) {
        struct send_outcome *outcome = sender_add_outcome(plans, number);
        outcome->bytes = send->bytes - send->out_bytes;
        outcome->error = link->stage == LINK_STREAMING ? 0 : -ECANCELED;
    }
    if (links_waiting_bytes(links, link) > 0 && link_is_open(link)) {
        link_mark_ready(links, link);
    }
}

static void sender_finish(struct links *links, struct plan_batch *plans, uint32_t number)
{
    const struct send *send = &links->batch->sends[number];
    struct link *link = links_at(links, plans->plans[number].conn);
    if (send->result != (int64_t)send->wire_bytes) {
        sender_on_failure(links, link, plans, number);
        return;
    }
    if (link->is_tls && send->wire_bytes > 0) {
        tls_out_settle(links, link, send, send->wire_bytes);
    }
    counter_add(&links->counters->sends, send->wire_bytes > 0);
    counter_add(&links->counters->bytes_out, send->wire_bytes);
    link->was_woken = link->was_woken && send->wire_bytes == 0;
    if (send->out_bytes > 0 || !send->has_frames) {
        sender_on_mixed(links, link, plans, number);
    }
    if (link->is_tls && link->stage == LINK_CLOSING && links_waiting_bytes(links, link) == 0) {
        tls_out_notify(links, link);
    }
    if (link->recv_paused || link->has_unread || link->awaits_drain ||
        link->stage == LINK_CLOSING) {
        link_on_sent(links, link);
    }
}

/* ---- Batches ---- */

static void sender_submit(struct links *links, struct plan_batch *plans)
{
    struct send_batch *batch = links->batch;
    counter_add(&links->counters->send_enters, 1);
    links_flush(links); /* An SQE left behind would count as sent. */
    sender_collect(links, plans);
    if (__builtin_expect(batch->lent_count > 0, 0)) {
        sender_send_lent(links, plans);
    }
    for (; batch->special != 0; batch->special &= batch->special - 1) {
        sender_finish(links, plans, (uint32_t)__builtin_ctzll(batch->special));
    }
    counter_add(&links->counters->sends, batch->plain_count);
    counter_add(&links->counters->bytes_out, batch->plain_bytes);
    batch->plain_count = 0;
    batch->plain_bytes = 0;
    batch->joined_bytes = 0;
    batch->iov_count = 0;
    batch->arena_bytes = 0;
    batch->number++;
}

/* All but plain sends. */
static void sender_build_special(struct links *links, struct plan_batch *plans, uint32_t number)
{
    struct send_batch *batch = links->batch;
    struct send *send = &batch->sends[number];
    const struct send_plan *plan = &plans->plans[number];
    struct link *link = links_at(links, plan->conn);
    if (batch->iov_count + SEND_IOVS_MAX > sizeof batch->iovs / sizeof batch->iovs[0] ||
        (link->is_tls && !tls_out_has_room(links))) {
        sender_submit(links, plans);
    }
    batch->special |= sender_bit(number);
    if (link->stage != LINK_STREAMING || link->out.bytes > 0 || link->is_tls) {
        sender_prepare_mixed(links, link, plans, number);
        return;
    }
    *send = (struct send){
        .bytes = plan->bytes,
        .has_frames = true,
        .result = (int64_t)plan->bytes,
        .wire_bytes = plan->bytes,
    };
    if (plan->iov_count > 0 && !(plan->iov_count == 1 && plan->bytes >= links->lend_bytes_min &&
                                 sender_lend(links, link, plan, number))) {
        sender_prepare(links, link, number, &plans->iovs[plan->iov_first], plan->iov_count,
                       plan->bytes);
    }
}

/* A plain send is of frames only, and when all of them left there is nothing to do about its link:
 * this is the only time that the link is looked at. */
static inline void sender_build(struct links *links, struct plan_batch *plans, uint32_t number)
{
    struct send_batch *batch = links->batch;
    const struct send_plan *plan = &plans->plans[number];
    const struct link *link = links_at(links, plan->conn);
    if (__builtin_expect(link->stage != LINK_STREAMING || link->out.bytes > 0 || link->was_woken ||
                             link->recv_paused || link->has_unread || link->is_tls ||
                             plan->iov_count == 0 || plan->bytes >= links->lend_bytes_min,
                         0)) {
        sender_build_special(links, plans, number);
        return;
    }
    batch->plain_count++;
    batch->plain_bytes += plan->bytes;
    sender_prepare(links, link, number, &plans->iovs[plan->iov_first], plan->iov_count,
                   plan->bytes);
}

void sender_send(struct links *links, struct plan_batch *plans)
{
    plans->outcome_count = 0;
    assert_always(plans->plan_count <= SEND_SLOTS_MAX);
    for (uint32_t number = 0; number < plans->plan_count; number++) {
        uint32_t ahead = (number + SENDER_PREFETCH) % PLAN_BATCH_MAX;
        __builtin_prefetch(links_at(links, plans->plans[ahead].conn));
        sender_build(links, plans, number);
    }
    if (plans->plan_count > 0) {
        sender_submit(links, plans);
    }
}
