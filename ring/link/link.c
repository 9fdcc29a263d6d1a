#include "ring/link/link.h"

#include <errno.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "codec/base/check.h"
#include "ring/link/links.h"
#include "ring/trace.h"

#define TO(stage) (1u << LINK_##stage)
static const uint8_t link_next_stages[LINK_STAGE_COUNT] = {
    [LINK_FREE] = TO(SECURING) | TO(HANDSHAKING),
    [LINK_SECURING] = TO(HANDSHAKING) | TO(CLOSING) | TO(DOOMED),
    [LINK_HANDSHAKING] = TO(STREAMING) | TO(CLOSING) | TO(DOOMED),
    [LINK_STREAMING] = TO(CLOSING) | TO(DOOMED),
    [LINK_CLOSING] = TO(DOOMED),
    [LINK_DOOMED] = TO(DRAINING),
    [LINK_DRAINING] = TO(FREE),
};

static const uint8_t link_next_flows[LINK_FLOW_COUNT] = {
    [LINK_CLEAR] = TO(BLOCKED) | TO(STUCK),
    [LINK_BLOCKED] = TO(CLEAR),
    [LINK_STUCK] = TO(CLEAR),
};

static bool link_has_operations(const struct link *link)
{
    return link->recv_armed || link->writable_armed || link->shutdown_armed || link->job_running;
}

void link_enter(struct links *links, struct link *link, enum link_stage next)
{
    assert_always((link_next_stages[link->stage] & (1u << next)) != 0);
    assert_always(next != LINK_FREE || !link_has_operations(link));
    assert_always(next != LINK_FREE || !link->is_ending);
    assert_always(next != LINK_FREE || links_waiting_bytes(links, link) == 0);
    trace_conn_state(links_index(links, link), link->stage, next, links->options.core_number,
                     link->generation);
    link->stage = (uint8_t)next;
}

static void link_begin_block(struct links *links, struct link *link)
{
    struct link_backlog *backlog = links_backlog(links, link);
    counter_add(&links->counters->conns_blocked, 1);
    links->flow_ns -= links->now_ns;
    backlog->blocked_ns = link->was_blocked ? backlog->blocked_ns : 0;
    backlog->blocked_since_ns = links->now_ns;
    link->was_blocked = true;
    trace_send_blocked(links->options.core_number, links_index(links, link), link->fd,
                       links_waiting_bytes(links, link));
}

static void link_end_block(struct links *links, struct link *link)
{
    struct link_backlog *backlog = links_backlog(links, link);
    uint64_t blocked_ns = links->now_ns - backlog->blocked_since_ns;
    counter_add(&links->counters->conns_blocked, (uint64_t)-1);
    links->flow_ns += links->now_ns;
    backlog->blocked_ns += blocked_ns;
    trace_send_unblocked(links->options.core_number, links_index(links, link), link->fd,
                         blocked_ns);
}

void link_enter_flow(struct links *links, struct link *link, enum link_flow next)
{
    assert_always((link_next_flows[link->flow] & (1u << next)) != 0);
    assert_always(link->stage != LINK_FREE && link->stage != LINK_DRAINING);
    if (next == LINK_BLOCKED) {
        link_begin_block(links, link);
    } else if (link->flow == LINK_BLOCKED) {
        link_end_block(links, link);
    }
    link->flow = (uint8_t)next;
}

uint64_t link_blocked_ns(const struct links *links, const struct link *link)
{
    const struct link_backlog *backlog = links_backlog(links, link);
    uint64_t blocked_ns = link->was_blocked ? backlog->blocked_ns : 0;
    return blocked_ns +
           (link->flow == LINK_BLOCKED ? links->now_ns - backlog->blocked_since_ns : 0);
}

/* ---- Operations ---- */

void link_arm_recv(struct links *links, struct link *link)
{
    struct io_uring_sqe *sqe = links_sqe(links);
    engine_prepare_recv(sqe, link->fd);
    sqe->user_data = links_tag_of(links, link, OP_RECV);
    link->recv_armed = true;
}

static void link_cancel(struct links *links, const struct link *link, enum link_op op)
{
    struct io_uring_sqe *sqe = links_sqe(links);
    engine_prepare_cancel(sqe, links_tag_of(links, link, op));
    sqe->user_data = links_tag_of(links, link, OP_CANCEL);
}

/* Its answers pile up. */
bool link_is_full(const struct links *links, const struct link *link)
{
    uint32_t bytes = links_waiting_bytes(links, link);
    return bytes > LINK_OUT_PAUSE_BYTES || bytes > out_pool_share(&links->out_pool);
}

/* Such a client is not read from, nor is one whose messages wait for their turn. */
bool link_is_to_pause(const struct links *links, const struct link *link)
{
    return link->is_held || link->has_unread || link_is_full(links, link);
}

void link_pause_recv(struct links *links, struct link *link)
{
    if (!link->recv_paused && link->recv_armed && link_is_to_pause(links, link)) {
        link->recv_paused = true;
        link_cancel(links, link, OP_RECV);
    }
}

void link_resume_recv(struct links *links, struct link *link)
{
    if (link->recv_paused && !link_is_to_pause(links, link)) {
        link->recv_paused = false;
        if (!link->recv_armed && link_is_open(link)) {
            link_arm_recv(links, link);
        }
    }
}

void link_wait(struct links *links, struct link *link)
{
    if (!link->is_waiting) {
        link->is_waiting = true;
        conn_queue_push(&links->waiting, links_index(links, link));
    }
}

void link_mark_ready(struct links *links, struct link *link)
{
    if (!link->is_ready && link->flow == LINK_CLEAR) {
        link->is_ready = true;
        conn_queue_push(&links->ready, links_index(links, link));
    }
}

/* ---- Sending of its own ---- */

void link_queue(struct links *links, struct link *link, const void *bytes, size_t count)
{
    if (!link_is_open(link)) {
        return;
    }
    if (out_chain_append(&links->out_pool, &link->out, bytes, count) < 0) {
        link_doom_slow(links, link, "too slow: no room for its control frames");
        return;
    }
    link_pause_recv(links, link);
    link_mark_ready(links, link);
}

void link_queue_frame(struct links *links, struct link *link, enum ws_opcode opcode,
                      const void *payload, size_t payload_bytes)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes = ws_frame_header(header, opcode, payload_bytes);
    counter_add(&links->counters->control_out, 1);
    trace_control_out(links->options.core_number, links_index(links, link), opcode, payload_bytes);
    link_queue(links, link, header, header_bytes);
    link_queue(links, link, payload, payload_bytes);
}

void link_on_sent(struct links *links, struct link *link)
{
    bool waits = links_waiting_bytes(links, link) > 0;
    if ((link->awaits_drain && !waits) ||
        (link->has_unread && !link->is_held && !link_is_full(links, link))) {
        link_wait(links, link);
    }
    link_resume_recv(links, link);
    if (link->stage != LINK_CLOSING || waits) {
        return;
    }
    if (link->close_received) {
        link_doom(links, link, 0, NULL);
    } else if (!link->write_shut) {
        link->write_shut = true;
        struct io_uring_sqe *sqe = links_sqe(links);
        engine_prepare_shutdown(sqe, link->fd);
        sqe->user_data = links_tag_of(links, link, OP_SHUTDOWN);
        /* The kernel does it on a worker thread, which looks the descriptor up then: until it has,
         * the number must not become another conn's. */
        link->shutdown_armed = true;
    }
}

void link_wait_writable(struct links *links, struct link *link, bool progress)
{
    if (link->was_woken && !progress) {
        /* Writable, and yet nothing went: memory is short. Ask again later, never in a circle. */
        link_enter_flow(links, link, LINK_STUCK);
        trace_send_stuck(links->options.core_number, links_index(links, link), link->fd);
        links_arm(links, link, LINK_STUCK_NS);
        return;
    }
    link_enter_flow(links, link, LINK_BLOCKED);
    link->was_woken = false;
    if (!link->writable_armed) {
        struct io_uring_sqe *sqe = links_sqe(links);
        engine_prepare_writable(sqe, link->fd);
        sqe->user_data = links_tag_of(links, link, OP_WRITABLE);
        link->writable_armed = true;
    }
}

void link_clear(struct links *links, struct link *link)
{
    link_enter_flow(links, link, LINK_CLEAR);
    if (links_waiting_bytes(links, link) > 0) {
        link_mark_ready(links, link);
    } else if (link->awaits_drain) {
        link_wait(links, link);
    }
    links->options.asks->on_clear(links->options.core, links_index(links, link));
}

void link_on_writable(struct links *links, struct link *link)
{
    link->writable_armed = false;
    if (link->flow == LINK_BLOCKED) {
        link->was_woken = true;
        link_clear(links, link);
    }
}

bool link_ask_kernel(const struct link *link, struct tcp_info *info_out)
{
    socklen_t bytes = sizeof *info_out;
    *info_out = (struct tcp_info){0};
    return !link->is_unix && getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, info_out, &bytes) == 0;
}

/* ---- The end ---- */

void link_list_ending(struct links *links, struct link *link)
{
    if (!link->is_ending) {
        link->is_ending = true;
        conn_queue_push(&links->ending, links_index(links, link));
    }
}

/* A link keeps how far a text is from this one: constant strings are all in one part of the
 * program, which is less than 2 GiB. */
static const char link_no_text[] = "no text";

static void link_set_end_text(struct link *link, const char *text)
{
    intptr_t distance = (intptr_t)text - (intptr_t)link_no_text;
    assert_always(text != NULL && distance == (int32_t)distance);
    link->end_text = (int32_t)distance;
}

const char *link_end_text(const struct link *link)
{
    return link->end_text == 0 ? NULL : (const char *)((intptr_t)link_no_text + link->end_text);
}

/* Waits for what is queued to leave and for the peer's end. A conn that is stuck is tried again
 * meanwhile. */
void link_begin_closing(struct links *links, struct link *link, const char *text)
{
    link_set_end_text(link, text);
    link_enter(links, link, LINK_CLOSING);
    link_list_ending(links, link);
    link->close = stamp_in(links->now_ns, LINK_CLOSE_NS);
    links_arm(links, link, link->flow == LINK_STUCK ? LINK_STUCK_NS : LINK_CLOSE_NS);
}

void link_close(struct links *links, struct link *link, uint16_t code, const char *reason,
                const char *text)
{
    uint8_t payload[WS_CONTROL_BYTES_MAX];
    if (link->stage != LINK_STREAMING) {
        return;
    }
    link->close_code = code;
    link_begin_closing(links, link, text);
    link_queue_frame(links, link, WS_CLOSE, payload, ws_frame_close_payload(payload, code, reason));
}

void link_doom(struct links *links, struct link *link, uint16_t code, const char *text)
{
    if (!link_is_open(link)) {
        return;
    }
    link->close_code = link->close_code != 0 ? link->close_code : code;
    if (link->end_text == 0) {
        link_set_end_text(link, text);
    }
    if (link->has_place) { /* A client that returns must not wait for core_bury(). */
        link->has_place = false;
        atomic_fetch_sub(links->options.place_count, 1);
    }
    link_enter(links, link, LINK_DOOMED);
    link_list_ending(links, link);
}

void link_doom_slow(struct links *links, struct link *link, const char *text)
{
    if (link_is_open(link) && link->close_code == 0) { /* Else it is counted already. */
        counter_add(&links->counters->closed_slow, 1);
    }
    link_doom(links, link, 4108, text);
}

void link_end(struct links *links, struct link *link)
{
    assert_always(link->stage == LINK_DOOMED);
    assert_always(link->input == LINK_NO_INPUT && !link->has_unread);
    if (link->flow != LINK_CLEAR) {
        link_enter_flow(links, link, LINK_CLEAR);
    }
    out_chain_clear(&links->out_pool, &link->out);
    timer_disarm(&links->wheel, links_index(links, link));
    link_enter(links, link, LINK_DRAINING);
    if (link->recv_armed) {
        link_cancel(links, link, OP_RECV);
    }
    if (link->writable_armed) {
        link_cancel(links, link, OP_WRITABLE);
    }
}

void link_on_operation_ended(struct links *links, struct link *link)
{
    if (link->stage != LINK_DRAINING || link_has_operations(link) || link->is_ending) {
        return;
    }
    struct io_uring_sqe *sqe = links_sqe(links);
    engine_prepare_close(sqe, link->fd);
    sqe->user_data = links_tag_of(links, link, OP_CLOSE);
    link_enter(links, link, LINK_FREE);
    link->generation++;
    links_give(links, link);
    atomic_fetch_sub(links->options.conn_count, 1);
    counter_add(&links->counters->conns_open, (uint64_t)-1);
}
