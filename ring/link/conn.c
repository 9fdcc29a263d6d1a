/* One connection's life after its handshake: messages, deadlines, end. */
#include <errno.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "ring/core/core_state.h"
#include "ring/link/conn_handshake.h"

#define TO(state) (1u << CONN_##state)
static const uint8_t conn_next_states[] = {
    [CONN_FREE] = TO(HANDSHAKING),
    [CONN_HANDSHAKING] = TO(STREAMING) | TO(CLOSING) | TO(DOOMED),
    [CONN_STREAMING] = TO(CLOSING) | TO(DOOMED),
    [CONN_CLOSING] = TO(DOOMED),
    [CONN_DOOMED] = TO(DRAINING),
    [CONN_DRAINING] = TO(FREE),
};

static bool conn_has_operations(const struct conn *conn)
{
    return conn->recv_armed || conn->writable_armed || conn->shutdown_armed ||
           conn->sub_first != SUB_NONE;
}

void conn_enter(struct core *core, struct conn *conn, enum conn_state next)
{
    assert_always((conn_next_states[conn->state] & (1u << next)) != 0);
    assert_always(next != CONN_FREE || !conn_has_operations(conn));
    assert_always(next != CONN_FREE || !conn->is_ending);
    PROBE3(conn_state, conn_index(core, conn), conn->state, next);
    conn->state = (uint8_t)next;
}

/* ---- Receiving ---- */

void conn_arm_recv(struct core *core, struct conn *conn)
{
    struct io_uring_sqe *sqe = core_sqe(core);
    engine_prepare_recv(sqe, conn->fd);
    sqe->user_data = core_tag(OP_RECV, conn->generation, conn_index(core, conn));
    conn->recv_armed = true;
}

void conn_cancel(struct core *core, const struct conn *conn, uint32_t op)
{
    uint32_t index = conn_index(core, conn);
    struct io_uring_sqe *sqe = core_sqe(core);
    engine_prepare_cancel(sqe, core_tag((enum core_op)op, conn->generation, index));
    sqe->user_data = core_tag(OP_CANCEL, conn->generation, index);
}

/* Its answers pile up. */
bool conn_is_full(const struct core *core, const struct conn *conn)
{
    return conn->out.bytes > CONN_OUT_PAUSE_BYTES ||
           conn->out.bytes > out_pool_share(&core->out_pool);
}

/* Such a client is not read from, nor is one whose messages wait for their turn. */
bool conn_is_to_pause(const struct core *core, const struct conn *conn)
{
    return conn->is_held || conn->has_unread || conn_is_full(core, conn);
}

void conn_pause_recv(struct core *core, struct conn *conn)
{
    if (!conn->recv_paused && conn->recv_armed && conn_is_to_pause(core, conn)) {
        conn->recv_paused = true;
        conn_cancel(core, conn, OP_RECV);
    }
}

void conn_resume_recv(struct core *core, struct conn *conn)
{
    if (conn->recv_paused && !conn_is_to_pause(core, conn)) {
        conn->recv_paused = false;
        if (!conn->recv_armed && conn_is_open(conn)) {
            conn_arm_recv(core, conn);
        }
    }
}

/* ---- Half requests and messages ---- */

void conn_release_input(struct core *core, struct conn *conn)
{
    if (conn->input != CONN_NONE) {
        list_remove(&core_input(core, conn->input)->age_link);
        core->free_inputs[core->free_input_count++] = conn->input;
        conn->input = CONN_NONE;
    }
}

static struct conn_input *conn_take_input(struct core *core, struct conn *conn)
{
    assert_always(conn->input == CONN_NONE);
    if (core->free_input_count == 0) {
        /* Half-sent requests must not starve the others: the oldest makes room. */
        struct conn_input *oldest =
            container_of(core->inputs_in_use.next, struct conn_input, age_link);
        struct conn *victim = core_conn(core, oldest->conn);
        assert_always(victim != conn && victim->input != CONN_NONE);
        conn_release_input(core, victim);
        conn_doom(core, victim, 0, "half a message for too long");
    }
    assert_always(core->free_input_count > 0);
    conn->input = core->free_inputs[--core->free_input_count];
    struct conn_input *input = core_input(core, conn->input);
    input->conn = conn_index(core, conn);
    input->handshake_bytes = 0;
    input->since_ns = core->time.now_ns;
    list_append(&core->inputs_in_use, &input->age_link);
    return input;
}

void conn_list_ending(struct core *core, struct conn *conn)
{
    if (!conn->is_ending) {
        conn->is_ending = true;
        conn_queue_push(&core->ending, conn_index(core, conn));
    }
}

/* Waits for what is queued to leave and for the peer's end. A conn that is stuck is tried again
 * meanwhile. */
void conn_begin_closing(struct core *core, struct conn *conn)
{
    conn_enter(core, conn, CONN_CLOSING);
    conn_list_ending(core, conn);
    conn->next_ping_ns = core->time.now_ns + CONN_CLOSE_NS;
    bool is_stuck = conn->mode == CONN_STUCK;
    timer_arm(&core->wheel, &conn->timer,
              is_stuck ? core->time.now_ns + SENDER_STUCK_NS : conn->next_ping_ns);
}

/* ---- Messages ---- */

static void conn_on_pong(struct core *core, struct conn *conn, const struct ws_message *message)
{
    uint64_t sent_ns;
    if (message->payload_bytes != sizeof sent_ns) {
        return;
    }
    memcpy(&sent_ns, message->payload, sizeof sent_ns);
    if (sent_ns == conn->ping_sent_ns && sent_ns != 0) {
        conn->round_trip_us = (uint32_t)((core->time.now_ns - sent_ns) / NS_PER_US);
    }
}

static void conn_on_close_frame(struct core *core, struct conn *conn,
                                const struct ws_message *message)
{
    uint16_t code = message->payload_bytes >= 2 ? bytes_load_be16(message->payload) : 1000;
    conn->close_received = true;
    conn_close(core, conn, code, "", "closed by the client");
}

static void conn_on_message(struct core *core, struct conn *conn, const struct ws_message *message)
{
    counter_add(&core->counters->messages_in, 1);
    core_spend(core, CONN_MESSAGE_UNITS);
    switch (message->opcode) {
    case WS_PING:
        conn_queue_frame(core, conn, WS_PONG, message->payload, message->payload_bytes);
        break;
    case WS_PONG:
        conn_on_pong(core, conn, message);
        break;
    case WS_CLOSE:
        conn_on_close_frame(core, conn, message);
        break;
    default:
        conn->last_message_ns = core->time.now_ns;
        core->options.ops->on_message(core->options.context, core, conn_index(core, conn),
                                      message->opcode, message->payload, message->payload_bytes,
                                      core->time.now_ns);
        break;
    }
}

static void conn_on_fault(struct core *core, struct conn *conn, enum ws_status status)
{
    counter_add(&core->counters->closed_protocol, 1);
    conn_close(core, conn, ws_status_close_code(status), ws_status_text(status),
               ws_status_text(status));
}

/* What is held from here on belongs to a new message, whose time begins now. A control frame in
 * the middle of a message renews nothing. */
static void conn_renew_input(struct core *core, struct conn *conn, enum ws_opcode opcode)
{
    if (conn->input != CONN_NONE && (opcode == WS_TEXT || opcode == WS_BINARY)) {
        struct conn_input *input = core_input(core, conn->input);
        input->since_ns = core->time.now_ns;
        list_remove(&input->age_link);
        list_append(&core->inputs_in_use, &input->age_link);
    }
}

static enum ws_status conn_inflate(struct core *core, struct conn *conn, struct ws_message *message)
{
    struct ws_inflate *inflate =
        core->options.ops->inflate_of(core->options.context, core, conn_index(core, conn));
    enum ws_status status =
        ws_inflate_message(inflate, message, core->inflated, core->options.message_bytes_max);
    core_spend(core, CONN_INFLATE_UNITS + (uint32_t)message->payload_bytes / CONN_UNIT_BYTES);
    return status;
}

/* Whether its next message is to wait. */
bool conn_must_wait(const struct core *core, const struct conn *conn)
{
    return conn->is_held || core_slice_is_over(core) || conn_is_full(core, conn);
}

/* Returns how many bytes are done with: all, unless what follows a message must wait. */
size_t conn_decode(struct core *core, struct conn *conn, uint8_t *bytes, size_t count)
{
    struct ws_decoder fresh;
    struct ws_decoder *decoder = &fresh;
    size_t total = count;
    bool goes_on = true;
    if (conn->input != CONN_NONE) {
        decoder = &core_input(core, conn->input)->decoder;
    } else {
        ws_decoder_init(&fresh, core->options.message_bytes_max, true, NULL);
        fresh.inflates = conn->inflates;
    }
    /* Ends: each round consumes bytes, or is the last. */
    while (conn->state == CONN_STREAMING && goes_on) {
        struct ws_message message;
        size_t consumed;
        enum ws_status status = ws_decode(decoder, bytes, count, &consumed, &message);
        bytes += consumed;
        count -= consumed;
        if (status == WS_OK && message.is_compressed) {
            status = conn_inflate(core, conn, &message);
        }
        if (status == WS_OK) {
            conn_on_message(core, conn, &message);
            conn_renew_input(core, conn, message.opcode);
            /* What a decoder of this call holds cannot wait. */
            goes_on =
                !conn_must_wait(core, conn) || (decoder == &fresh && !ws_decoder_is_idle(decoder));
        } else if (status == WS_NEED_BUFFER ||
                   (status == WS_NEED_MORE && decoder == &fresh && !ws_decoder_is_idle(decoder))) {
            struct conn_input *input = conn_take_input(core, conn);
            input->decoder = fresh;
            input->decoder.buffer = input->bytes;
            decoder = &input->decoder;
        } else if (status == WS_NEED_MORE) {
            break;
        } else {
            conn_on_fault(core, conn, status);
        }
    }
    if (conn->input != CONN_NONE && conn->state == CONN_STREAMING && ws_decoder_is_idle(decoder)) {
        conn_release_input(core, conn);
    }
    return conn->state == CONN_STREAMING ? total - count : total;
}

static void conn_on_bytes(struct core *core, struct conn *conn, uint8_t *bytes, size_t count)
{
    conn->missed_pongs = 0;
    counter_add(&core->counters->bytes_in, count);
    if (conn->state == CONN_STREAMING || conn->awaits_encoding) {
        conn_take_bytes(core, conn, bytes, count);
    } else if (conn->state == CONN_HANDSHAKING && conn->input != CONN_NONE) {
        conn_collect_handshake(core, conn, bytes, count);
    } else if (conn->state == CONN_HANDSHAKING) {
        size_t head_bytes = conn_on_handshake(core, conn, bytes, count);
        if (head_bytes > 0) {
            conn_take_bytes(core, conn, bytes + head_bytes, count - head_bytes);
        } else if (conn->state == CONN_HANDSHAKING) {
            struct conn_input *input = conn_take_input(core, conn);
            memcpy(input->bytes, bytes, count);
            input->handshake_bytes = (uint32_t)count;
        }
    }
    /* In CONN_CLOSING what still comes is read and forgotten, lest a reset overtakes our words. */
}

void conn_on_recv(struct core *core, struct conn *conn, const struct io_uring_cqe *cqe)
{
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    conn->recv_armed = more;
    if (cqe->res > 0) {
        if (conn_is_open(conn)) {
            conn_on_bytes(core, conn, engine_recv_bytes(&core->engine, cqe), (size_t)cqe->res);
        }
        engine_give_back(&core->engine, cqe);
    } else if (cqe->res == 0) {
        conn_doom(core, conn, 0, "closed by the peer");
    } else if (cqe->res == -ENOBUFS) {
        counter_add(&core->counters->recv_no_buffer, 1);
    } else if (cqe->res != -ECANCELED) {
        conn_doom(core, conn, 0, cqe->res == -ECONNRESET ? "reset by the peer" : "receive failed");
    }
    if (!conn->recv_armed && conn_is_open(conn) && !conn->recv_paused) {
        conn->recv_paused = conn_is_to_pause(core, conn);
        if (!conn->recv_paused) {
            conn_arm_recv(core, conn);
        }
    }
    conn_on_operation_ended(core, conn);
}

/* ---- Sending of its own ---- */

void conn_queue(struct core *core, struct conn *conn, const void *bytes, size_t count)
{
    if (!conn_is_open(conn)) {
        return;
    }
    if (out_chain_append(&core->out_pool, &conn->out, bytes, count) < 0) {
        conn_doom_slow(core, conn, "too slow: no room for its control frames");
        return;
    }
    conn_pause_recv(core, conn);
    sender_mark_ready(core, conn);
}

void conn_queue_frame(struct core *core, struct conn *conn, enum ws_opcode opcode,
                      const void *payload, size_t payload_bytes)
{
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes = ws_frame_header(header, opcode, payload_bytes);
    counter_add(&core->counters->control_out, 1);
    conn_queue(core, conn, header, header_bytes);
    conn_queue(core, conn, payload, payload_bytes);
}

void conn_on_sent(struct core *core, struct conn *conn)
{
    if (conn->has_unread && !conn->is_held && !conn_is_full(core, conn)) {
        conn_wait(core, conn);
    }
    conn_resume_recv(core, conn);
    if (conn->state != CONN_CLOSING || conn->out.bytes > 0) {
        return;
    }
    if (conn->close_received) {
        conn_doom(core, conn, 0, conn->close_text);
    } else if (!conn->write_shut) {
        conn->write_shut = true;
        struct io_uring_sqe *sqe = core_sqe(core);
        engine_prepare_shutdown(sqe, conn->fd);
        sqe->user_data = core_tag(OP_SHUTDOWN, conn->generation, conn_index(core, conn));
        /* The kernel does it on a worker thread, which looks the descriptor up then: until it has,
         * the number must not become another conn's. */
        conn->shutdown_armed = true;
    }
}

/* ---- Deadlines ---- */

/* Who has said something in the last interval is alive without being asked; that he is asked all
 * the same, now and then, is for his round trip. */
static bool conn_is_heard(const struct core *core, const struct conn *conn)
{
    uint64_t interval_ns = core->options.heartbeat_interval_ns;
    uint64_t asked_ns = conn->ping_sent_ns > 0 ? conn->ping_sent_ns : conn->opened_ns;
    return core->time.now_ns < conn->last_message_ns + interval_ns &&
           core->time.now_ns < asked_ns + CONN_PING_INTERVALS_MAX * interval_ns;
}

/* Longer for those whose answers take long, so that these are not taken for missed. */
static uint64_t conn_ping_interval_ns(const struct core *core, const struct conn *conn)
{
    uint64_t least_ns = core->options.heartbeat_interval_ns;
    uint64_t wanted_ns = conn->round_trip_us * NS_PER_US * CONN_PING_INTERVALS_MAX;
    uint64_t most_ns = CONN_PING_INTERVALS_MAX * least_ns;
    return wanted_ns < least_ns ? least_ns : wanted_ns > most_ns ? most_ns : wanted_ns;
}

static void conn_send_ping(struct core *core, struct conn *conn)
{
    conn->next_ping_ns = core->time.now_ns + conn_ping_interval_ns(core, conn);
    if (conn_is_heard(core, conn)) {
        return;
    }
    if (conn->missed_pongs >= CONN_MISSED_PONGS_MAX) {
        counter_add(&core->counters->closed_silent, 1);
        conn_close(core, conn, 4109, "no pong", "no pong");
        return;
    }
    conn->missed_pongs++;
    conn->ping_sent_ns = core->time.now_ns;
    conn_queue_frame(core, conn, WS_PING, &conn->ping_sent_ns, sizeof conn->ping_sent_ns);
}

/* It neither gets frames nor waits for some. */
static bool conn_is_idle(struct core *core, const struct conn *conn)
{
    return conn->sub_count == 0 && conn->group_mask == 0 && !conn->is_replayed && !conn->is_held &&
           (core->options.ops->is_wanted == NULL ||
            !core->options.ops->is_wanted(core->options.context, core, conn_index(core, conn)));
}

static void conn_check_deadlines(struct core *core, struct conn *conn)
{
    uint64_t now_ns = core->time.now_ns;
    if (conn->input != CONN_NONE &&
        now_ns >= core_input(core, conn->input)->since_ns + core->options.half_message_ns) {
        counter_add(&core->counters->closed_protocol, 1);
        conn_close(core, conn, 4005, "half a message for too long", "half a message for too long");
    } else if (conn_is_idle(core, conn) &&
               now_ns >= conn->last_message_ns + core->options.idle_timeout_ns) {
        counter_add(&core->counters->closed_idle, 1);
        conn_close(core, conn, 4114, "idle", "idle");
    } else {
        if (now_ns >= conn->next_ping_ns && !core_drain_has_told(core, conn)) {
            conn_send_ping(core, conn);
        }
        if (conn->mode == CONN_PUSHED && conn->frames_sent == conn->frames_at_tick) {
            core->options.ops->on_quiet(core->options.context, core, conn_index(core, conn),
                                        now_ns);
        }
    }
    conn->frames_at_tick = conn->frames_sent;
}

static void conn_tick(struct core *core, struct conn *conn)
{
    conn->tick_ns = core->time.now_ns + CONN_TICK_NS;
    if (core->options.ops->on_tick != NULL) {
        core->options.ops->on_tick(core->options.context, core, conn_index(core, conn),
                                   core->time.now_ns);
    }
    if (conn->state == CONN_STREAMING) {
        conn_check_deadlines(core, conn);
    }
}

void conn_on_timer(struct core *core, struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    if (!conn_is_open(conn)) {
        return;
    }
    if (conn->state == CONN_HANDSHAKING) {
        conn_on_handshake_timer(core, conn);
        return;
    }
    if (conn->state == CONN_CLOSING && core->time.now_ns >= conn->next_ping_ns) {
        conn_doom(core, conn, 0, conn->close_text);
        return;
    }
    if (conn->mode == CONN_STUCK) {
        conn->mode = CONN_PULLING;
        puller_enqueue(core, conn);
    }
    if (conn->state == CONN_CLOSING) {
        timer_arm(&core->wheel, &conn->timer, conn->next_ping_ns);
        return;
    }
    assert_always(conn->state == CONN_STREAMING);
    if (core->time.now_ns >= conn->tick_ns) {
        conn_tick(core, conn);
    }
    if (conn->state == CONN_STREAMING && core_drain_has_told(core, conn) &&
        core->time.now_ns >= conn->next_ping_ns) {
        core_drain_close(core, conn);
    }
    if (conn->state == CONN_STREAMING) {
        timer_arm(&core->wheel, &conn->timer, core_drain_check_ns(core, conn));
    }
}

/* ---- The end ---- */

void conn_close(struct core *core, struct conn *conn, uint16_t code, const char *reason,
                const char *text)
{
    uint8_t payload[WS_CONTROL_BYTES_MAX];
    if (conn->state != CONN_STREAMING) {
        return;
    }
    conn->close_code = code;
    conn->close_text = text;
    conn_begin_closing(core, conn);
    conn_queue_frame(core, conn, WS_CLOSE, payload, ws_frame_close_payload(payload, code, reason));
}

void conn_doom(struct core *core, struct conn *conn, uint16_t code, const char *text)
{
    if (!conn_is_open(conn)) {
        return;
    }
    conn->close_code = conn->close_code != 0 ? conn->close_code : code;
    conn->close_text = conn->close_text != NULL ? conn->close_text : text;
    conn_enter(core, conn, CONN_DOOMED);
    conn_list_ending(core, conn);
}

void conn_doom_slow(struct core *core, struct conn *conn, const char *text)
{
    if (conn_is_open(conn)) {
        counter_add(&core->counters->closed_slow, 1);
    }
    conn_doom(core, conn, 4108, text);
}

void conn_on_operation_ended(struct core *core, struct conn *conn)
{
    if (conn->state != CONN_DRAINING || conn_has_operations(conn)) {
        return;
    }
    struct io_uring_sqe *sqe = core_sqe(core);
    engine_prepare_close(sqe, conn->fd);
    sqe->user_data = core_tag(OP_CLOSE, conn->generation, conn_index(core, conn));
    conn->generation++;
    conn->fd = -1;
    conn_enter(core, conn, CONN_FREE);
    core->free_conns[core->free_conn_count++] = conn_index(core, conn);
    atomic_fetch_sub(core->options.conn_count, 1);
    if (conn->has_place) {
        atomic_fetch_sub(core->options.place_count, 1);
    }
    counter_add(&core->counters->conns_open, (uint64_t)-1);
}
