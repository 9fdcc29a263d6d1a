/* One connection's life: handshake, messages, deadlines, end. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/proxy_header.h"
#include "ring/core/core_state.h"

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

static void conn_arm_recv(struct core *core, struct conn *conn)
{
    struct io_uring_sqe *sqe = core_sqe(core);
    io_uring_prep_recv_multishot(sqe, conn->fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data64(sqe, core_tag(OP_RECV, conn->generation, conn_index(core, conn)));
    conn->recv_armed = true;
}

/* By its tag, which the kernel finds at once. To cancel by descriptor it walks all that is armed in
 * the ring: 560 us with 9 500 conns. */
void conn_cancel(struct core *core, const struct conn *conn, uint32_t op)
{
    uint32_t index = conn_index(core, conn);
    struct io_uring_sqe *sqe = core_sqe(core);
    io_uring_prep_cancel64(sqe, core_tag((enum core_op)op, conn->generation, index), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, core_tag(OP_CANCEL, conn->generation, index));
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
static void conn_begin_closing(struct core *core, struct conn *conn)
{
    conn_enter(core, conn, CONN_CLOSING);
    conn_list_ending(core, conn);
    conn->next_ping_ns = core->time.now_ns + CONN_CLOSE_NS;
    bool is_stuck = conn->mode == CONN_STUCK;
    timer_arm(&core->wheel, &conn->timer,
              is_stuck ? core->time.now_ns + SENDER_STUCK_NS : conn->next_ping_ns);
}

/* ---- Opening ---- */

void core_conn_source(struct core *core, uint32_t conn_number, struct core_source *source_out)
{
    const struct conn *conn = core_conn(core, conn_number);
    struct sockaddr_storage address = {0};
    socklen_t address_bytes = sizeof address;
    *source_out = (struct core_source){.is_unix = conn->is_unix};
    if (conn->is_unix || getpeername(conn->fd, (struct sockaddr *)&address, &address_bytes) < 0) {
        return;
    }
    if (address.ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        source_out->address = ip_address_from_v4(&in->sin_addr);
        source_out->port = ntohs(in->sin_port);
    } else if (address.ss_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&address;
        memcpy(source_out->address.bytes, &in6->sin6_addr, IP_ADDRESS_BYTES);
        source_out->port = ntohs(in6->sin6_port);
    }
}

void core_conn_peer(struct core *core, uint32_t conn_number, char text[CORE_PEER_TEXT_BYTES_MAX])
{
    struct core_source source;
    char host[IP_ADDRESS_TEXT_BYTES_MAX];
    core_conn_source(core, conn_number, &source);
    if (source.is_unix) {
        snprintf(text, CORE_PEER_TEXT_BYTES_MAX, "unix");
        return;
    }
    ip_address_format(&source.address, host);
    snprintf(text, CORE_PEER_TEXT_BYTES_MAX,
             ip_address_is_v4(&source.address) ? "%s:%u" : "[%s]:%u", host, source.port);
}

/* Without a free conn (far over the limit): one word and good-bye, without reading. */
static void conn_refuse_at_once(struct core *core, int fd)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t answer_bytes = handshake_refuse(answer, HANDSHAKE_BUSY, &core->options.site);
    (void)!send(fd, answer, answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    counter_add(&core->counters->refused_busy, 1);
}

/* Asks src. Who may not come in gets one word, and is neither read nor waited for: he is the one
 * who would hold what others need. */
static void conn_admit(struct core *core, struct conn *conn)
{
    struct core_refusal refusal = {0};
    if (core->options.ops->on_accept == NULL) {
        return;
    }
    enum core_admission admission = core->options.ops->on_accept(
        core->options.context, core, conn_index(core, conn), core->time.now_ns, &refusal);
    conn->is_proxied = admission == CORE_ADMIT_PROXY;
    if (admission == CORE_REFUSE) {
        char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
        size_t answer_bytes =
            handshake_refuse_with(answer, refusal.status_line, refusal.extra, refusal.text);
        (void)!send(conn->fd, answer, answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
        conn_doom(core, conn, 0, refusal.text);
    }
}

void conn_open(struct core *core, int fd, bool is_unix)
{
    counter_add(&core->counters->accepted, 1);
    if (core->free_conn_count == 0) {
        conn_refuse_at_once(core, fd);
        core_pause_accept(core, 0);
        return;
    }
    uint32_t others = atomic_fetch_add(core->options.conn_count, 1);
    if (others + 1 >= core->options.open_count_max) {
        core_pause_accept(core, core->accepts_one ? -EMFILE : 0);
    }
    uint32_t index = core->free_conns[--core->free_conn_count];
    struct conn *conn = core_conn(core, index);
    uint32_t generation = conn->generation;
    bool is_ready = conn->is_ready;             /* It may still be on these lists; */
    bool is_pull_queued = conn->is_pull_queued; /* they skip what has nothing to do. */
    bool is_waiting = conn->is_waiting;
    memset(conn, 0, sizeof *conn);
    conn->generation = generation;
    conn->is_ready = is_ready;
    conn->is_pull_queued = is_pull_queued;
    conn->is_waiting = is_waiting;
    conn->fd = fd;
    conn->is_unix = is_unix;
    conn->extent_first = CONN_NONE;
    conn->input = CONN_NONE;
    conn->opened_ns = core->time.now_ns;
    conn->last_message_ns = core->time.now_ns;
    out_chain_init(&conn->out);
    timer_init(&conn->timer);
    conn_enter(core, conn, CONN_HANDSHAKING);
    if (is_unix) {
        int bytes = (int)core->options.send_buffer_bytes;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    counter_add(&core->counters->conns_open, 1);
    conn_admit(core, conn);
    if (conn->state == CONN_HANDSHAKING) {
        conn_arm_recv(core, conn);
        timer_arm(&core->wheel, &conn->timer, core->time.now_ns + CONN_HANDSHAKE_NS);
    }
}

/* Queues an answer that is no 101. text: a constant string. */
static void conn_answer_refusal(struct core *core, struct conn *conn, const char *answer,
                                size_t answer_bytes, const char *text)
{
    conn->close_text = text;
    core_log(core, 0, "handshake refused: %s", text);
    conn_release_input(core, conn);
    conn_queue(core, conn, answer, answer_bytes);
    if (conn->state == CONN_HANDSHAKING) {
        conn_begin_closing(core, conn);
    }
}

static void conn_refuse_with(struct core *core, struct conn *conn, const char *status_line,
                             const char *extra, const char *text)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t answer_bytes = handshake_refuse_with(answer, status_line, extra, text);
    conn_answer_refusal(core, conn, answer, answer_bytes, text);
}

static void conn_refuse(struct core *core, struct conn *conn, enum handshake_status status)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t answer_bytes = handshake_refuse(answer, status, &core->options.site);
    bool is_busy = status == HANDSHAKE_BUSY || status == HANDSHAKE_STOPPING;
    counter_add(is_busy ? &core->counters->refused_busy : &core->counters->refused_handshake, 1);
    conn_answer_refusal(core, conn, answer, answer_bytes, handshake_status_text(status));
}

/* Asks src whether a well-formed request is granted. */
static bool conn_is_granted(struct core *core, struct conn *conn,
                            const struct core_request *request)
{
    struct core_refusal refusal = {0};
    if (core->options.ops->on_request == NULL || conn->was_granted) {
        return true;
    }
    conn->was_granted = core->options.ops->on_request(
        core->options.context, core, conn_index(core, conn), core->time.now_ns, request, &refusal);
    if (!conn->was_granted) {
        conn_refuse_with(core, conn, refusal.status_line, refusal.extra, refusal.text);
    }
    return conn->was_granted;
}

/* What a proxy says first. false: not complete, or refused. */
static bool conn_read_proxy(struct core *core, struct conn *conn, const uint8_t *bytes,
                            size_t count, struct proxy_header *header_out)
{
    static const char text[] = "connections from this address must begin with a PROXY header";
    enum proxy_status status = proxy_header_parse(bytes, count, header_out);
    if (status == PROXY_ABSENT || status == PROXY_BAD) {
        counter_add(&core->counters->refused_handshake, 1);
        conn_refuse_with(core, conn, "400 Bad Request", "", text);
    }
    return status == PROXY_OK;
}

/* Whether the request was for the document, and is answered. */
static bool conn_serve_document(struct core *core, struct conn *conn,
                                const struct handshake_request *request)
{
    char head[HANDSHAKE_RESPONSE_BYTES_MAX];
    const struct core_document *document = &core->options.document;
    if (document->path == NULL || strlen(document->path) != request->path_bytes ||
        memcmp(document->path, request->path, request->path_bytes) != 0) {
        return false;
    }
    size_t head_bytes = handshake_document(head, document->content_type, document->bytes_count);
    conn->close_text = "a document was served";
    conn_release_input(core, conn);
    conn_queue(core, conn, head, head_bytes);
    conn_queue(core, conn, document->bytes, document->bytes_count);
    if (conn->state == CONN_HANDSHAKING) {
        conn_begin_closing(core, conn);
    }
    return true;
}

static void conn_start_streaming(struct core *core, struct conn *conn,
                                 const struct handshake_request *request)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    conn->inflates = request->deflate.is_on;
    size_t answer_bytes = handshake_accept(answer, request);
    conn_queue(core, conn, answer, answer_bytes);
    if (conn->state != CONN_HANDSHAKING) {
        return;
    }
    conn_enter(core, conn, CONN_STREAMING);
    conn->was_opened = true;
    conn->next_ping_ns = core->time.now_ns + core->options.heartbeat_interval_ns;
    conn->tick_ns = core->time.now_ns + CONN_TICK_NS;
    counter_add(&core->counters->conns_streaming, 1);
    timer_arm(&core->wheel, &conn->timer, conn->tick_ns);
    core->options.ops->on_open(core->options.context, core, conn_index(core, conn),
                               core->time.now_ns);
}

/* A place is taken by the request, not by the connection: who connects and says nothing (or left
 * before he was accepted) takes none from those who ask. */
static bool conn_take_place(struct core *core, struct conn *conn)
{
    if (!conn->has_place) {
        uint32_t others = atomic_fetch_add(core->options.place_count, 1);
        conn->has_place = others < core->options.conn_count_max;
        if (!conn->has_place) {
            atomic_fetch_sub(core->options.place_count, 1);
        }
    }
    return conn->has_place;
}

/* The encoding of its frames: that of the subprotocol, compressed if both sides can. */
static uint32_t conn_encoding_of(const struct core *core, const struct handshake_request *request)
{
    const struct handshake_protocol *protocol =
        request->protocol != NULL ? request->protocol : core->options.site.protocols;
    if (protocol == NULL) {
        return 0;
    }
    bool compresses =
        request->deflate.is_on && protocol->deflated_number < core->options.encoding_count;
    return compresses ? protocol->deflated_number : protocol->number;
}

/* Fills in what the answer says of compression, and chooses the encoding. */
static enum handshake_status conn_negotiate(struct core *core, struct conn *conn,
                                            struct handshake_request *request,
                                            uint32_t *encoding_out)
{
    const struct core_ops *ops = core->options.ops;
    if (core->drain_end_ns != 0) {
        return HANDSHAKE_STOPPING;
    }
    if (!conn_take_place(core, conn)) {
        return HANDSHAKE_BUSY;
    }
    if (request->offers.count > 0 && ops->on_offers != NULL) {
        request->deflate =
            ops->on_offers(core->options.context, core, conn_index(core, conn), &request->offers);
    }
    *encoding_out = conn_encoding_of(core, request);
    return *encoding_out < core->options.encoding_count ? HANDSHAKE_OK : HANDSHAKE_BAD_PROTOCOL;
}

/* Whether its frames are being written; the writer sees by conn_count that they are to be. */
static bool conn_choose_encoding(struct core *core, struct conn *conn, uint32_t encoding)
{
    if (!conn->has_encoding) {
        conn->has_encoding = true;
        conn->encoding = (uint8_t)encoding;
        atomic_fetch_add(&core->options.encodings[encoding].conn_count, 1);
        /* The writer stores run, then reads conn_count (encodings_end). One sees the other. */
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (core_follow_run(core, core_stream(core, conn))) {
        return true;
    }
    timer_arm(&core->wheel, &conn->timer, core->time.now_ns + CONN_ENCODING_NS);
    return false;
}

/* Returns how many bytes were the request's (and the proxy's before it), or 0: not complete, it
 * waits, or was refused. */
static size_t conn_on_handshake(struct core *core, struct conn *conn, const uint8_t *bytes,
                                size_t count)
{
    struct handshake_request request;
    struct proxy_header proxy = {0};
    if (conn->is_proxied && !conn_read_proxy(core, conn, bytes, count, &proxy)) {
        return 0;
    }
    const uint8_t *head = bytes + proxy.header_bytes;
    enum handshake_status status =
        handshake_parse(head, count - proxy.header_bytes, &core->options.site, &request);
    if (status == HANDSHAKE_NEED_MORE) {
        return 0;
    }
    if (status == HANDSHAKE_NOT_FOUND && conn_serve_document(core, conn, &request)) {
        return 0;
    }
    uint32_t encoding = 0;
    if (status == HANDSHAKE_OK) {
        status = conn_negotiate(core, conn, &request, &encoding);
    }
    if (status != HANDSHAKE_OK) {
        conn_refuse(core, conn, status);
        return 0;
    }
    struct core_source proxied = {.address = proxy.source, .port = proxy.source_port};
    struct core_request asked = {.head = head,
                                 .head_bytes = request.head_bytes,
                                 .proxied = proxy.has_source ? &proxied : NULL};
    if (!conn_is_granted(core, conn, &asked)) {
        return 0;
    }
    if (!conn_choose_encoding(core, conn, encoding)) {
        return 0;
    }
    conn_start_streaming(core, conn, &request);
    return proxy.header_bytes + request.head_bytes;
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
    conn_close(core, conn, ws_close_code(status), ws_status_text(status), ws_status_text(status));
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

static void conn_collect_handshake(struct core *core, struct conn *conn, uint8_t *bytes,
                                   size_t count)
{
    struct conn_input *input = core_input(core, conn->input);
    /* A head that fills it is refused by the parser. */
    size_t room = CONN_HEAD_BYTES_MAX - input->handshake_bytes;
    size_t taken = count < room ? count : room;
    memcpy(input->bytes + input->handshake_bytes, bytes, taken);
    input->handshake_bytes += (uint32_t)taken;
    size_t head_bytes = conn_on_handshake(core, conn, input->bytes, input->handshake_bytes);
    if (head_bytes > 0) {
        /* What follows the head are the first frames. */
        uint8_t rest[CONN_HEAD_BYTES_MAX];
        size_t rest_bytes = input->handshake_bytes - head_bytes;
        memcpy(rest, input->bytes + head_bytes, rest_bytes);
        conn_release_input(core, conn);
        conn_take_bytes(core, conn, rest, rest_bytes);
        conn_take_bytes(core, conn, bytes + taken, count - taken);
    } else if (taken < count) {
        conn_doom(core, conn, 0, "too many bytes before the handshake was answered");
    }
}

static void conn_on_bytes(struct core *core, struct conn *conn, uint8_t *bytes, size_t count)
{
    conn->missed_pongs = 0;
    counter_add(&core->counters->bytes_in, count);
    if (conn->state == CONN_STREAMING) {
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
        uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *bytes =
            core->engine.recv_buffers + (size_t)buffer * core->engine.recv_buffer_bytes;
        if (conn_is_open(conn)) {
            conn_on_bytes(core, conn, bytes, (size_t)cqe->res);
        }
        io_uring_buf_ring_add(core->engine.recv_ring, bytes, core->engine.recv_buffer_bytes,
                              (unsigned short)buffer,
                              io_uring_buf_ring_mask(core->engine.recv_buffer_count), 0);
        io_uring_buf_ring_advance(core->engine.recv_ring, 1);
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
        io_uring_prep_shutdown(sqe, conn->fd, SHUT_WR);
        io_uring_sqe_set_data64(sqe,
                                core_tag(OP_SHUTDOWN, conn->generation, conn_index(core, conn)));
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
    } else if (now_ns >= conn->next_ping_ns && !core_drain_has_told(core, conn)) {
        conn_send_ping(core, conn);
    } else if (conn->mode == CONN_PUSHED && conn->frames_sent == conn->frames_at_tick) {
        core->options.ops->on_quiet(core->options.context, core, conn_index(core, conn), now_ns);
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

static void conn_on_handshake_timer(struct core *core, struct conn *conn)
{
    if (core->time.now_ns >= conn->opened_ns + CONN_HANDSHAKE_NS) {
        conn_doom(core, conn, 0,
                  conn->has_encoding ? "its encoding did not begin within 5 s"
                                     : "no complete request within 5 s");
        return;
    }
    uint8_t nothing[1];
    conn_collect_handshake(core, conn, nothing, 0);
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
    conn_queue_frame(core, conn, WS_CLOSE, payload, ws_close_payload(payload, code, reason));
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
    io_uring_prep_close(sqe, conn->fd);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    io_uring_sqe_set_data64(sqe, core_tag(OP_CLOSE, conn->generation, conn_index(core, conn)));
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
