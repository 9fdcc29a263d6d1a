#include "ring/link/opening.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/check.h"
#include "codec/proxy_header.h"
#include "ring/link/input.h"
#include "ring/link/tls_out.h"
#include "ring/link/turn_away.h"
#include "ring/trace.h"

const char opening_proxy_text[] = "connections from this address must begin with a PROXY header";

/* status_line: "403 Forbidden" and what follows it. */
static void opening_report(struct links *links, const struct link *link, const char *status_line,
                           size_t bytes)
{
    int status = atoi(status_line);
    uint32_t index = links_index(links, link);
    trace_conn_refuse(links->options.core_number, index, (uint32_t)status,
                      links->now_ns - (link->opened << STAMP_SHIFT));
    if (links->options.ops->on_answer != NULL) {
        links->options.ops->on_answer(links->options.context, links->options.core, index, status,
                                      bytes);
    }
}

static void opening_refuse_socket(struct links *links, const struct link *link,
                                  enum opening_kind kind, const struct core_refusal *refusal)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t bytes =
        handshake_refuse_with(answer, refusal->status_line, refusal->extra, refusal->text);
    if (kind != OPENING_TLS) {
        opening_report(links, link, refusal->status_line, bytes);
        turn_away_with(link->fd, answer, bytes);
        return;
    }
    bool is_busy = atoi(refusal->status_line) == 503;
    opening_report(links, link, refusal->status_line, TURN_AWAY_ALERT_BYTES);
    turn_away_by_alert(link->fd, is_busy ? TLS_ALERT_INTERNAL_ERROR : TLS_ALERT_ACCESS_DENIED);
}

/* Asks src. A client that may not come in is turned away at once, so that it holds nothing that
 * others need. */
static bool opening_is_admitted(struct links *links, struct link *link, enum opening_kind kind)
{
    struct core_refusal refusal = {0};
    if (links->options.ops->on_accept == NULL) {
        return true;
    }
    enum core_admission admission =
        links->options.ops->on_accept(links->options.context, links->options.core,
                                      links_index(links, link), links->now_ns, &refusal);
    link->is_proxied = admission == CORE_ADMIT_PROXY;
    if (admission == CORE_REFUSE) {
        opening_refuse_socket(links, link, kind, &refusal);
    }
    return admission != CORE_REFUSE;
}

/* Of a record that is free. It may still be on lists, which skip what has nothing to do. */
static void opening_init(struct links *links, struct link *link, int fd, bool is_unix)
{
    struct link fresh = {
        .generation = link->generation,
        .is_ready = link->is_ready,
        .is_waiting = link->is_waiting,
        .fd = fd,
        .is_unix = is_unix,
        .input = LINK_NO_INPUT,
        .opened = stamp_of(links->now_ns),
        .asked = (uint32_t)stamp_of(links->now_ns),
        .heard = (uint32_t)stamp_of(links->now_ns),
    };
    assert_always(link->stage == LINK_FREE);
    assert_always(!link->is_ending);
    *link = fresh;
    out_chain_init(&link->out);
    timer_init(&link->timer);
}

void opening_turn_away(struct links *links, int fd, enum opening_kind kind)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    if (kind == OPENING_TLS) {
        turn_away_by_alert(fd, TLS_ALERT_INTERNAL_ERROR);
    } else {
        turn_away_with(fd, answer, handshake_refuse(answer, HANDSHAKE_BUSY, links->options.site));
    }
    trace_conn_refuse(links->options.core_number, LINK_NONE, 503, 0);
    counter_add(&links->counters->accepted, 1);
    counter_add(&links->counters->refused_busy, 1);
}

void opening_begin_request(struct links *links, struct link *link)
{
    link_enter(links, link, LINK_HANDSHAKING);
    link->tick = stamp_in(links->now_ns, LINK_HANDSHAKE_NS);
    if (link->flow != LINK_STUCK) { /* Else its timer comes soon anyway. */
        links_arm(links, link, LINK_HANDSHAKE_NS);
    }
}

/* It takes up nothing but itself before its client says something. */
static void opening_begin_tls(struct links *links, struct link *link)
{
    struct io_uring_sqe *sqe = links_sqe(links);
    tls_out_begin(links, link);
    if (link->is_proxied) {
        links_backlog(links, link)->proxied = (struct proxy_header){.header_bytes = 0};
    }
    link_enter(links, link, LINK_SECURING);
    link->tick = stamp_in(links->now_ns, LINK_SECURING_NS);
    links_arm(links, link, LINK_SECURING_NS);
    engine_prepare_readable(sqe, link->fd);
    sqe->user_data = links_tag_of(links, link, OP_RECV);
    link->recv_armed = true;
}

bool opening_begin(struct links *links, int fd, enum opening_kind kind, uint32_t listener)
{
    if (links->free_count == 0) { /* Far over the limit. */
        opening_turn_away(links, fd, kind);
        return false;
    }
    counter_add(&links->counters->accepted, 1);
    struct link *link = links_take(links);
    opening_init(links, link, fd, kind == OPENING_UNIX);
    if (!opening_is_admitted(links, link, kind)) {
        link->generation++; /* What src asked about it is not true of the next one. */
        links_give(links, link);
        return true;
    }
    trace_conn_open(links->options.core_number, links_index(links, link), link->generation, fd,
                    listener);
    atomic_fetch_add(links->options.conn_count, 1);
    counter_add(&links->counters->conns_open, 1);
    if (kind == OPENING_UNIX) {
        int bytes = (int)links->options.send_buffer_bytes;
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    }
    if (kind == OPENING_TLS) {
        opening_begin_tls(links, link);
    } else {
        opening_begin_request(links, link);
        link_arm_recv(links, link);
    }
    return true;
}

/* Queues an answer that is no 101. text: a constant string. */
static void opening_answer_refusal(struct links *links, struct link *link, const char *answer,
                                   size_t answer_bytes, const char *text)
{
    size_t bytes = link->is_head ? handshake_answer_head(answer, answer_bytes) : answer_bytes;
    link->is_refused = true;
    links_log(links, 0, "handshake refused: %s", text);
    opening_report(links, link, answer + strlen("HTTP/1.1 "), bytes);
    link_begin_closing(links, link, text);
    link_queue(links, link, answer, bytes);
}

void opening_refuse_with(struct links *links, struct link *link, const char *status_line,
                         const char *extra, const char *text)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t answer_bytes = handshake_refuse_with(answer, status_line, extra, text);
    opening_answer_refusal(links, link, answer, answer_bytes, text);
}

static void opening_refuse(struct links *links, struct link *link, enum handshake_status status)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    size_t answer_bytes = handshake_refuse(answer, status, links->options.site);
    bool is_busy =
        status == HANDSHAKE_BUSY || status == HANDSHAKE_STOPPING || status == HANDSHAKE_NO_ROOM;
    counter_add(is_busy ? &links->counters->refused_busy : &links->counters->refused_handshake, 1);
    opening_answer_refusal(links, link, answer, answer_bytes, handshake_status_text(status));
}

/* Whether it is answered that the server is short of something. */
static bool opening_meets_pressure(struct links *links, struct link *link)
{
    const struct pressure *pressure = links->options.pressure;
    const char *refusal =
        pressure == NULL ? NULL : atomic_load_explicit(&pressure->refusal, memory_order_acquire);
    if (refusal != NULL) {
        counter_add(&links->counters->refused_busy, 1);
        opening_refuse_with(links, link, "503 Service Unavailable", "Retry-After: 5\r\n", refusal);
    }
    return refusal != NULL;
}

/* Asks src whether a well-formed request is granted. NULL: it was asked before. */
static enum core_grant opening_ask(struct links *links, struct link *link,
                                   const struct core_request *request)
{
    struct core_refusal refusal = {0};
    if (links->options.ops->on_request == NULL) {
        return CORE_GRANTED;
    }
    enum core_grant grant =
        links->options.ops->on_request(links->options.context, links->options.core,
                                       links_index(links, link), links->now_ns, request, &refusal);
    if (grant == CORE_REFUSED) {
        opening_refuse_with(links, link, refusal.status_line, refusal.extra, refusal.text);
    }
    return grant;
}

/* What a proxy says first, once; before TLS, securing.c has read it. false: not complete, or
 * refused. */
static bool opening_read_proxy(struct links *links, struct link *link, struct proxy_header *header,
                               const uint8_t *bytes, size_t count)
{
    if (!link->is_proxied || link->is_tls || header->header_bytes > 0) {
        return true;
    }
    enum proxy_status status = proxy_header_parse(bytes, count, header);
    if (status == PROXY_ABSENT || status == PROXY_BAD) {
        counter_add(&links->counters->refused_handshake, 1);
        opening_refuse_with(links, link, "400 Bad Request", "", opening_proxy_text);
    }
    return status == PROXY_OK;
}

/* Whether the request is a ClientHello, and is refused. */
static bool opening_meets_tls(struct links *links, struct link *link, const uint8_t *head,
                              size_t count)
{
    bool is_hello = !link->is_tls && count > 0 && head[0] == TLS_HANDSHAKE;
    if (is_hello) {
        counter_add(&links->counters->refused_handshake, 1);
        opening_refuse_with(links, link, "400 Bad Request", "", "this port speaks ws://, not TLS");
    }
    return is_hello;
}

/* The client that a PROXY header names. false: there is none. */
static bool opening_find_source(const struct links *links, const struct link *link,
                                const struct link_request *read, struct core_source *source_out)
{
    if (!link->is_proxied) {
        return false; /* Its backlog stays untouched. */
    }
    const struct proxy_header *proxy =
        link->is_tls ? &links_backlog(links, link)->proxied : &read->proxy;
    *source_out = (struct core_source){.address = proxy->source, .port = proxy->source_port};
    return proxy->has_source;
}

/* Whether the request was for the document, and is answered. */
static bool opening_serve_document(struct links *links, struct link *link,
                                   const struct handshake_request *request)
{
    char head[HANDSHAKE_RESPONSE_BYTES_MAX];
    const struct core_document *document = links->options.document;
    if (document->path == NULL || !handshake_head_path_is(request->path, document->path)) {
        return false;
    }
    size_t head_bytes = handshake_document(head, document->content_type, document->bytes_count);
    counter_add(&links->counters->documents, 1);
    link->is_refused = true;
    opening_report(links, link, "200", head_bytes + (request->is_head ? 0 : document->bytes_count));
    link_begin_closing(links, link, "a document was served");
    link_queue(links, link, head, head_bytes);
    if (!request->is_head) {
        link_queue(links, link, document->bytes, document->bytes_count);
    }
    return true;
}

static void opening_start_streaming(struct links *links, struct link *link,
                                    const struct handshake_request *request)
{
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    link->inflates = request->deflate.is_on;
    size_t answer_bytes = handshake_accept(answer, request);
    link_queue(links, link, answer, answer_bytes);
    if (link->stage != LINK_HANDSHAKING) {
        return;
    }
    link_enter(links, link, LINK_STREAMING);
    if (link->is_tls) {
        struct link_tls *tls = links_tls(links, link);
        free(tls->peer);
        tls->peer = NULL;
    }
    link->was_opened = true;
    link->ping = stamp_in(links->now_ns, links->options.heartbeat_interval_ns);
    link->tick = stamp_in(links->now_ns, LINK_TICK_NS);
    counter_add(&links->counters->conns_streaming, 1);
    if (link->flow != LINK_STUCK) { /* as above */
        links_arm(links, link, LINK_TICK_NS);
    }
    input_begin_slice(links, links->turn_spent < INPUT_READ_UNITS ? INPUT_FIRST_SLICE_UNITS : 0);
    links->options.asks->on_open(links->options.core, links_index(links, link));
    input_end_slice(links);
}

/* A place is taken by the request, not by the connection: a client that connects and says nothing,
 * or left before it was accepted, takes none. */
static bool opening_take_place(struct links *links, struct link *link)
{
    assert_always(!link->has_place);
    uint32_t others = atomic_fetch_add(links->options.place_count, 1);
    link->has_place = others < links->options.place_count_max;
    if (!link->has_place) {
        atomic_fetch_sub(links->options.place_count, 1);
    }
    return link->has_place;
}

static bool opening_try_encoding(struct links *links, struct link *link, uint32_t encoding,
                                 uint32_t *encoding_out)
{
    *encoding_out = encoding;
    return links->options.asks->choose_encoding(links->options.core, links_index(links, link),
                                                encoding);
}

/* The encoding of a subprotocol, compressed if both sides can. Where there is no room for it
 * compressed, the answer does not accept the extension. */
static bool opening_try_protocol(struct links *links, struct link *link,
                                 struct handshake_request *request,
                                 const struct handshake_protocol *protocol, uint32_t *encoding_out)
{
    bool compresses = request->deflate.is_on && protocol->deflated_number != protocol->number &&
                      protocol->deflated_number < links->options.encoding_count;
    if (compresses && opening_try_encoding(links, link, protocol->deflated_number, encoding_out)) {
        return true;
    }
    if (!opening_try_encoding(links, link, protocol->number, encoding_out)) {
        return false;
    }
    request->deflate.is_on = request->deflate.is_on && !compresses;
    return true;
}

/* Chooses the encoding of its frames: that of the subprotocol, or if there is no room for it, that
 * of another one that the client offers. */
static bool opening_choose_encoding(struct links *links, struct link *link,
                                    struct handshake_request *request, uint32_t *encoding_out)
{
    static const struct handshake_protocol only = {.number = 0, .deflated_number = 0};
    const struct handshake_site *site = links->options.site;
    const struct handshake_protocol *first = request->protocol != NULL  ? request->protocol
                                             : site->protocol_count > 0 ? site->protocols
                                                                        : &only;
    if (opening_try_protocol(links, link, request, first, encoding_out)) {
        return true;
    }
    for (uint32_t i = 0; i < site->protocol_count; i++) {
        const struct handshake_protocol *other = &site->protocols[i];
        bool is_offered = (request->protocol_mask >> i & 1) != 0;
        if (is_offered && other != first &&
            opening_try_protocol(links, link, request, other, encoding_out)) {
            request->protocol = other;
            return true;
        }
    }
    return false;
}

/* Fills in what the answer says of compression. */
static enum handshake_status opening_negotiate(struct links *links, struct link *link,
                                               struct handshake_request *request)
{
    const struct core_ops *ops = links->options.ops;
    if (links->is_refusing) {
        return HANDSHAKE_STOPPING;
    }
    if (!opening_take_place(links, link)) {
        return HANDSHAKE_BUSY;
    }
    if (request->offers.count > 0 && ops->on_offers != NULL) {
        request->deflate = ops->on_offers(links->options.context, links->options.core,
                                          links_index(links, link), &request->offers);
    }
    return HANDSHAKE_OK;
}

/* The rest follows when its grant has come, or its encoding begins. Until then the request needs no
 * input, and what the client sends meanwhile waits as messages do. */
static void opening_await(struct links *links, struct link *link, struct list_link *waiters,
                          const struct handshake_request *request)
{
    struct link_backlog *backlog = links_backlog(links, link);
    assert_always(!link->awaits_answer);
    link->awaits_answer = true;
    memmove(backlog->key, request->key, HANDSHAKE_KEY_BYTES); /* It may be this one. */
    backlog->protocol = request->protocol;
    backlog->protocol_mask = request->protocol_mask;
    backlog->deflate = request->deflate;
    list_append(waiters, &backlog->answer_link);
}

void opening_stop_waiting(struct links *links, struct link *link)
{
    assert_always(link->awaits_answer);
    link->awaits_answer = false;
    list_remove(&links_backlog(links, link)->answer_link);
}

/* Of a request that is granted. false: there is no room for its encoding. */
static bool opening_answer(struct links *links, struct link *link,
                           struct handshake_request *request)
{
    uint32_t encoding;
    assert_always(!link->has_encoding);
    link->has_encoding = opening_choose_encoding(links, link, request, &encoding);
    if (!link->has_encoding) {
        opening_refuse(links, link, HANDSHAKE_NO_ROOM);
    } else if (links->options.asks->is_encoded(links->options.core, encoding)) {
        opening_start_streaming(links, link, request);
    } else {
        opening_await(links, link, &links->waiters[encoding], request);
    }
    return link->has_encoding;
}

/* Takes a link that waited off its list, with what is left of its request. false: it has ended
 * meanwhile, or the server stops. */
static bool opening_end_wait(struct links *links, struct link *link,
                             struct handshake_request *request_out)
{
    const struct link_backlog *backlog = links_backlog(links, link);
    *request_out = (struct handshake_request){
        .key = backlog->key,
        .protocol = backlog->protocol,
        .protocol_mask = backlog->protocol_mask,
        .deflate = backlog->deflate,
    };
    opening_stop_waiting(links, link);
    if (link->stage == LINK_HANDSHAKING && links->is_refusing) {
        opening_refuse(links, link, HANDSHAKE_STOPPING);
    }
    return link->stage == LINK_HANDSHAKING;
}

static struct link *opening_first(struct links *links, const struct list_link *waiters)
{
    const struct link_backlog *first =
        container_of(waiters->next, struct link_backlog, answer_link);
    return links_at(links, (uint32_t)(first - links->backlogs));
}

/* Messages that came behind the request have waited with it. */
static void opening_read_on(struct links *links, struct link *link)
{
    if (link->stage == LINK_STREAMING && link->has_unread) {
        link_wait(links, link);
    }
}

/* In the order in which they came, until one has to wait for another turn. */
static void opening_decide(struct links *links)
{
    struct handshake_request request;
    for (uint32_t left = OPENING_STARTS_PER_TURN; left > 0 && !list_empty(&links->undecided);
         left--) {
        struct link *link = opening_first(links, &links->undecided);
        bool is_wanted = link->stage == LINK_HANDSHAKING && !links->is_refusing;
        enum core_grant grant = is_wanted ? opening_ask(links, link, NULL) : CORE_REFUSED;
        if (grant == CORE_LATER) {
            return;
        }
        if (opening_end_wait(links, link, &request) && grant == CORE_GRANTED &&
            opening_answer(links, link, &request)) {
            opening_read_on(links, link);
        }
    }
}

void opening_go_on(struct links *links)
{
    struct handshake_request request;
    uint32_t left = OPENING_STARTS_PER_TURN;
    opening_decide(links);
    for (uint32_t i = 0; i < links->options.encoding_count; i++) {
        struct list_link *waiters = &links->waiters[i];
        if (list_empty(waiters) || !links->options.asks->is_encoded(links->options.core, i)) {
            continue;
        }
        for (; left > 0 && !list_empty(waiters); left--) {
            struct link *link = opening_first(links, waiters);
            if (opening_end_wait(links, link, &request)) {
                opening_start_streaming(links, link, &request);
                opening_read_on(links, link);
            }
        }
    }
}

size_t opening_on_bytes(struct links *links, struct link *link, struct link_request *read,
                        const uint8_t *bytes, size_t count)
{
    struct handshake_request request;
    const struct proxy_header *proxy = &read->proxy;
    if (!opening_read_proxy(links, link, &read->proxy, bytes, count)) {
        return 0;
    }
    const uint8_t *head = bytes + proxy->header_bytes;
    if (opening_meets_tls(links, link, head, count - proxy->header_bytes)) {
        return 0;
    }
    enum handshake_status status = handshake_parse(
        &read->progress, head, count - proxy->header_bytes, links->options.site, &request);
    if (status == HANDSHAKE_NEED_MORE) {
        return 0;
    }
    link->is_head = request.is_head;
    if (links->options.ops->on_head != NULL) {
        links->options.ops->on_head(links->options.context, links->options.core,
                                    links_index(links, link), head, count - proxy->header_bytes);
    }
    if (status == HANDSHAKE_NOT_FOUND && opening_serve_document(links, link, &request)) {
        return 0;
    }
    if (status == HANDSHAKE_OK && opening_meets_pressure(links, link)) {
        return 0;
    }
    if (status == HANDSHAKE_OK) {
        status = opening_negotiate(links, link, &request);
    }
    if (status != HANDSHAKE_OK) {
        opening_refuse(links, link, status);
        return 0;
    }
    struct core_source proxied;
    bool is_proxied = opening_find_source(links, link, read, &proxied);
    struct core_request asked = {.head = head,
                                 .head_bytes = request.head_bytes,
                                 .rest = request.rest,
                                 .proxied = is_proxied ? &proxied : NULL,
                                 .tls = link->is_tls ? links_tls(links, link)->peer : NULL};
    enum core_grant grant = opening_ask(links, link, &asked);
    if (grant == CORE_LATER) {
        opening_await(links, link, &links->undecided, &request);
    } else if (grant == CORE_REFUSED || !opening_answer(links, link, &request)) {
        return 0;
    }
    return proxy->header_bytes + request.head_bytes;
}

void opening_collect(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    struct link_input *input = links_input(links, link->input);
    /* A head that fills it is refused by the parser. */
    size_t room = LINK_HEAD_BYTES_MAX - input->handshake_bytes;
    size_t taken = count < room ? count : room;
    memcpy(input->bytes + input->handshake_bytes, bytes, taken);
    input->handshake_bytes += (uint32_t)taken;
    size_t head_bytes =
        opening_on_bytes(links, link, &input->request, input->bytes, input->handshake_bytes);
    if (head_bytes > 0) {
        /* What follows the head are the first frames. */
        uint8_t rest[LINK_HEAD_BYTES_MAX];
        size_t rest_bytes = input->handshake_bytes - head_bytes;
        memcpy(rest, input->bytes + head_bytes, rest_bytes);
        input_release(links, link);
        input_take_bytes(links, link, rest, rest_bytes);
        input_take_bytes(links, link, bytes + taken, count - taken);
    } else if (taken < count) {
        link_doom(links, link, 0, "too many bytes before the handshake was answered");
    }
}

void opening_on_timer(struct links *links, struct link *link)
{
    if (!stamp_is_due(link->tick, links->now_ns)) {
        timer_arm(&links->wheel, links_index(links, link),
                  stamp_deadline_ns(link->tick, links->now_ns));
        return;
    }
    counter_add(&links->counters->refused_late, 1);
    link->is_refused = true;
    link_doom(links, link, 0,
              !link->awaits_answer ? "no complete request within 5 s"
              : link->has_encoding ? "its encoding did not begin within 5 s"
                                   : "its token was not checked within 5 s");
}

void opening_warm_up(void)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: warm-up\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    static const struct handshake_site site = {.path_count = 0};
    struct handshake_progress progress = {.has_line = false};
    struct handshake_request parsed;
    char answer[HANDSHAKE_RESPONSE_BYTES_MAX];
    enum handshake_status status =
        handshake_parse(&progress, (const uint8_t *)request, sizeof request - 1, &site, &parsed);
    assert_always(status == HANDSHAKE_OK);
    (void)handshake_accept(answer, &parsed);
}
