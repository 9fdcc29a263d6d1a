/* A connection's opening: from accept to the finished upgrade. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ring/link/conn_handshake.h"

#include "codec/base/check.h"
#include "codec/proxy_header.h"
#include "ring/core/core_state.h"

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

/* A socket that does not become a connection: one word and good-bye, without reading. */
static void conn_turn_away(int fd, const char *answer, size_t answer_bytes)
{
    (void)!send(fd, answer, answer_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
}

/* Asks src. Who may not come in is turned away at once: he is the one who would hold what others
 * need. */
static bool conn_is_admitted(struct core *core, struct conn *conn)
{
    struct core_refusal refusal = {0};
    if (core->options.ops->on_accept == NULL) {
        return true;
    }
    enum core_admission admission = core->options.ops->on_accept(
        core->options.context, core, conn_index(core, conn), core->time.now_ns, &refusal);
    conn->is_proxied = admission == CORE_ADMIT_PROXY;
    if (admission == CORE_REFUSE) {
        char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
        conn_turn_away(
            conn->fd, answer,
            handshake_refuse_with(answer, refusal.status_line, refusal.extra, refusal.text));
    }
    return admission != CORE_REFUSE;
}

/* Of a record that is free. It may still be on lists, which skip what has nothing to do. */
static void conn_init(struct core *core, struct conn *conn, int fd, bool is_unix)
{
    struct conn fresh = {
        .generation = conn->generation,
        .is_ready = conn->is_ready,
        .is_pull_queued = conn->is_pull_queued,
        .is_waiting = conn->is_waiting,
        .fd = fd,
        .is_unix = is_unix,
        .extent_first = CONN_NONE,
        .input = CONN_NONE,
        .opened_ns = core->time.now_ns,
        .last_message_ns = core->time.now_ns,
    };
    assert_always(conn->state == CONN_FREE);
    assert_always(!conn->is_ending);
    *conn = fresh;
    out_chain_init(&conn->out);
    timer_init(&conn->timer);
}

void conn_open(struct core *core, int fd, bool is_unix)
{
    counter_add(&core->counters->accepted, 1);
    if (core->free_conn_count == 0) { /* Far over the limit. */
        char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
        conn_turn_away(fd, answer, handshake_refuse(answer, HANDSHAKE_BUSY, &core->options.site));
        counter_add(&core->counters->refused_busy, 1);
        core_pause_accept(core, 0);
        return;
    }
    struct conn *conn = core_conn(core, core->free_conns[core->free_conn_count - 1]);
    conn_init(core, conn, fd, is_unix);
    if (!conn_is_admitted(core, conn)) {
        return;
    }
    core->free_conn_count--;
    uint32_t others = atomic_fetch_add(core->options.conn_count, 1);
    if (others + 1 >= core->options.open_count_max) {
        core_pause_accept(core, core->accepts_one ? -EMFILE : 0);
    }
    counter_add(&core->counters->conns_open, 1);
    conn_enter(core, conn, CONN_HANDSHAKING);
    if (is_unix) {
        int bytes = (int)core->options.send_buffer_bytes;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    conn_arm_recv(core, conn);
    timer_arm(&core->wheel, &conn->timer, core->time.now_ns + CONN_HANDSHAKE_NS);
}

/* Queues an answer that is no 101. text: a constant string. */
static void conn_answer_refusal(struct core *core, struct conn *conn, const char *answer,
                                size_t answer_bytes, const char *text)
{
    conn->close_text = text;
    core_log(core, 0, "handshake refused: %s", text);
    conn_begin_closing(core, conn);
    conn_queue(core, conn, answer, answer_bytes);
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
    if (core->options.ops->on_request == NULL) {
        return true;
    }
    bool is_granted = core->options.ops->on_request(
        core->options.context, core, conn_index(core, conn), core->time.now_ns, request, &refusal);
    if (!is_granted) {
        conn_refuse_with(core, conn, refusal.status_line, refusal.extra, refusal.text);
    }
    return is_granted;
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
    conn_begin_closing(core, conn);
    conn_queue(core, conn, head, head_bytes);
    conn_queue(core, conn, document->bytes, document->bytes_count);
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
    assert_always(!conn->has_place);
    uint32_t others = atomic_fetch_add(core->options.place_count, 1);
    conn->has_place = others < core->options.conn_count_max;
    if (!conn->has_place) {
        atomic_fetch_sub(core->options.place_count, 1);
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
    assert_always(!conn->has_encoding);
    conn->has_encoding = true;
    conn->encoding = (uint8_t)encoding;
    atomic_fetch_add(&core->options.encodings[encoding].conn_count, 1);
    /* The writer stores run, then reads conn_count (encodings_end). One sees the other. */
    atomic_thread_fence(memory_order_seq_cst);
    return core_follow_run(core, core_stream(core, conn));
}

/* The rest of the handshake follows when the encoding begins. Until then the request needs no
 * input, and what the client sends meanwhile waits as messages do. */
static void conn_await_encoding(struct core *core, struct conn *conn,
                                const struct handshake_request *request)
{
    struct conn_history *history = core_history(core, conn);
    assert_always(!conn->awaits_encoding);
    conn->awaits_encoding = true;
    memcpy(history->key, request->key, HANDSHAKE_KEY_BYTES);
    history->protocol = request->protocol;
    history->deflate = request->deflate;
    list_append(&core_stream(core, conn)->waiters, &history->encoding_link);
}

void conn_handshake_stop_waiting(struct core *core, struct conn *conn)
{
    assert_always(conn->awaits_encoding);
    conn->awaits_encoding = false;
    list_remove(&core_history(core, conn)->encoding_link);
}

static void conn_end_wait(struct core *core, struct conn *conn)
{
    const struct conn_history *history = core_history(core, conn);
    struct handshake_request request = {
        .key = history->key,
        .protocol = history->protocol,
        .deflate = history->deflate,
    };
    conn_handshake_stop_waiting(core, conn);
    if (conn->state != CONN_HANDSHAKING) {
        return;
    }
    if (core->drain_end_ns != 0) {
        conn_refuse(core, conn, HANDSHAKE_STOPPING);
        return;
    }
    conn_start_streaming(core, conn, &request);
    if (conn->has_unread) {
        conn_wait(core, conn);
    }
}

void conn_handshake_go_on(struct core *core)
{
    uint32_t left = CONN_STARTS_PER_TURN;
    for (uint32_t i = 0; i < core->options.encoding_count; i++) {
        struct core_stream *stream = &core->streams[i];
        if (list_empty(&stream->waiters) || !core_follow_run(core, stream)) {
            continue;
        }
        for (; left > 0 && !list_empty(&stream->waiters); left--) {
            const struct conn_history *first =
                container_of(stream->waiters.next, struct conn_history, encoding_link);
            conn_end_wait(core, core_conn(core, (uint32_t)(first - core->histories)));
        }
    }
}

size_t conn_on_handshake(struct core *core, struct conn *conn, const uint8_t *bytes, size_t count)
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
    if (conn_choose_encoding(core, conn, encoding)) {
        conn_start_streaming(core, conn, &request);
    } else {
        conn_await_encoding(core, conn, &request);
    }
    return proxy.header_bytes + request.head_bytes;
}

void conn_collect_handshake(struct core *core, struct conn *conn, uint8_t *bytes, size_t count)
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

void conn_on_handshake_timer(struct core *core, struct conn *conn)
{
    assert_always(core->time.now_ns >= conn->opened_ns + CONN_HANDSHAKE_NS);
    conn_doom(core, conn, 0,
              conn->awaits_encoding ? "its encoding did not begin within 5 s"
                                    : "no complete request within 5 s");
}
