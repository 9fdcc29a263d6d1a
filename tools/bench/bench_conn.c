#include "tools/bench/bench_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/bench/bench_frames.h"
#include "tools/bench/bench_nats.h"
#include "tools/bench/bench_roles.h"
#include "tools/bench/bench_thread.h"

#define CONNS_PER_SOURCE 5000 /* Ports of one pair of addresses: 28 000, TIME_WAIT included. */

#define RESUMED_BUFFER_BYTES (256 * 1024)
#define HTTP_STATUS_BYTES 12 /* "HTTP/1.1 404" */

#define TO(state) (1u << BENCH_CONN_##state)
static const uint8_t bench_conn_next_states[] = {
    [BENCH_CONN_NEW] = TO(CONNECTING) | TO(CLOSED),
    [BENCH_CONN_CONNECTING] = TO(UPGRADING) | TO(WAITING) | TO(CLOSED),
    [BENCH_CONN_UPGRADING] = TO(SUBSCRIBING) | TO(CLOSED),
    [BENCH_CONN_SUBSCRIBING] = TO(STREAMING) | TO(STALLED) | TO(WAITING) | TO(CLOSED),
    [BENCH_CONN_STREAMING] = TO(CLOSED),
    [BENCH_CONN_STALLED] = TO(STREAMING) | TO(CLOSED),
    [BENCH_CONN_WAITING] = TO(CLOSED),
    [BENCH_CONN_CLOSED] = TO(NEW),
};

/* Being made: who waits to subscribe at once is not. */
static bool bench_conn_is_in_flight(const struct bench_thread *thread, enum bench_conn_state state)
{
    return state < (thread->options->at_once ? BENCH_CONN_SUBSCRIBING : BENCH_CONN_STREAMING);
}

static void bench_conn_enter(struct bench_thread *thread, struct bench_conn *conn,
                             enum bench_conn_state next)
{
    bool was_in_flight = bench_conn_is_in_flight(thread, conn->state);
    assert_always(bench_conn_next_states[conn->state] & (1u << next));

    if (was_in_flight && !bench_conn_is_in_flight(thread, next)) {
        assert_always(thread->in_flight > 0);
        thread->in_flight--;
    }
    if (conn->role == BENCH_READER && next == BENCH_CONN_STREAMING) {
        thread->streaming_count++;
    } else if (conn->role == BENCH_READER && conn->state == BENCH_CONN_STREAMING) {
        thread->streaming_count--;
        thread->finished_count -= conn->is_finished;
    }
    conn->state = (uint8_t)next;
}

/* Many connections from one machine: the given addresses in turn; and loopback has addresses
 * enough for all their ports. */
static void bench_conn_bind_source(const struct bench_thread *thread, uint32_t conn_index, int fd)
{
    const struct bench_options *options = thread->options;
    const struct sockaddr_in *peer = (const void *)&options->address.address;
    int one = 1;
    struct ws_client_address source = {.address_bytes = sizeof(struct sockaddr_in)};
    if (options->source_count > 0) {
        source = options->sources[conn_index % options->source_count];
    } else if (peer->sin_family == AF_INET && ntohl(peer->sin_addr.s_addr) >> 24 == 127) {
        uint32_t run = (uint32_t)getpid() % 250 + 1;
        uint32_t host = conn_index / CONNS_PER_SOURCE % 250 + 2;
        struct sockaddr_in *in = (struct sockaddr_in *)&source.address;
        in->sin_family = AF_INET;
        in->sin_addr.s_addr = htonl(127u << 24 | run << 8 | host);
    } else {
        return;
    }
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    if (bind(fd, (const struct sockaddr *)&source.address, source.address_bytes) < 0 &&
        options->source_count > 0 && !thread->control->source_fault_told) {
        thread->control->source_fault_told = true;
        fprintf(stderr, "ringcast-bench: --source: %s; the kernel chooses\n", strerror(errno));
    }
}

static void bench_conn_fail(struct bench_thread *thread, struct bench_conn *conn, int error)
{
    if (conn->role <= BENCH_SLOW) {
        thread->totals.connect_errors++;
        thread->totals.last_error = error;
    }
    thread->totals.streams[conn->role].refused++;
    bench_conn_enter(thread, conn, BENCH_CONN_CLOSED);
    bench_roles_on_ended(thread, conn);
}

bool bench_conn_start(struct bench_thread *thread, struct bench_conn *conn, uint64_t now_ns)
{
    const struct bench_options *options = thread->options;
    int one = 1;
    bool is_small = conn->role == BENCH_STALLED || conn->role == BENCH_SLOW;
    int buffer_bytes =
        (int)(is_small ? options->stalled_buffer_bytes : options->receive_buffer_bytes);
    if (conn->state == BENCH_CONN_CLOSED) {
        bench_conn_enter(thread, conn, BENCH_CONN_NEW);
        conn->is_back = true;
    }
    thread->in_flight++;
    conn->close_is_counted = false;
    conn->is_upgraded = false;
    conn->asked_ns = 0;
    conn->started_ns = now_ns;
    conn->phase_ns = now_ns;
    conn->fd = socket(options->address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        bench_conn_fail(thread, conn, -errno);
        return false;
    }
    if (buffer_bytes > 0) {
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    uint32_t index = bench_thread_index_of(thread, conn);
    bench_conn_bind_source(thread, thread->first_conn_index + index, conn->fd);

    struct io_uring_sqe *sqe = bench_thread_sqe(thread);
    io_uring_prep_connect(sqe, conn->fd, (const struct sockaddr *)&options->address.address,
                          options->address.address_bytes);
    io_uring_sqe_set_data64(sqe, (uint64_t)BENCH_OP_CONNECT << 32 | index);
    bench_conn_enter(thread, conn, BENCH_CONN_CONNECTING);
    return true;
}

/* Notes how long a phase took, and begins the next one. */
static void bench_conn_end_phase(struct bench_thread *thread, struct bench_conn *conn,
                                 enum bench_phase phase, uint64_t now_ns)
{
    if (conn->role == BENCH_READER) {
        histogram_record(&thread->phases[phase],
                         now_ns > conn->phase_ns ? now_ns - conn->phase_ns : 0);
    }
    conn->phase_ns = now_ns;
}

/* 0 or a negative errno. */
static int bench_conn_send_request(struct bench_thread *thread, struct bench_conn *conn)
{
    char request[WS_CLIENT_REQUEST_BYTES_MAX];
    size_t bytes = bench_thread_request(thread, conn, request);
    if (bytes == 0) {
        return -EMSGSIZE;
    }
    ssize_t sent = send(conn->fd, request, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent == (ssize_t)bytes ? 0 : sent < 0 ? -errno : -EPIPE;
}

void bench_conn_on_connected(struct bench_thread *thread, struct bench_conn *conn, int error)
{
    bool is_done = false;
    if (error == 0) {
        bench_conn_end_phase(thread, conn, BENCH_PHASE_TCP, thread->now_ns);
        is_done = bench_roles_on_connected(thread, conn);
        error = is_done ? 0 : bench_conn_send_request(thread, conn);
    }
    if (error != 0) {
        close(conn->fd);
        conn->fd = -1;
        bench_conn_fail(thread, conn, error);
        return;
    }
    if (!is_done) {
        bench_conn_enter(thread, conn, BENCH_CONN_UPGRADING);
    }
    bench_thread_arm(thread, conn);
}

void bench_conn_wait(struct bench_thread *thread, struct bench_conn *conn)
{
    bench_conn_enter(thread, conn, BENCH_CONN_WAITING);
    thread->totals.streams[conn->role].sessions++;
}

void bench_conn_send(struct bench_thread *thread, struct bench_conn *conn, int opcode,
                     const void *payload, size_t payload_bytes)
{
    uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    uint8_t mask[4];
    assert_always(payload_bytes <= WS_CLIENT_MESSAGE_BYTES_MAX);

    uint64_t random = bench_thread_random(thread);
    memcpy(mask, (const uint8_t *)&random + 4, sizeof mask);
    size_t frame_bytes =
        ws_client_frame(frame, (enum ws_opcode)opcode, payload, payload_bytes, mask);
    ssize_t sent = send(conn->fd, frame, frame_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0 && sent < (ssize_t)frame_bytes) {
        shutdown(conn->fd, SHUT_RDWR); /* A torn frame: the stream is of no use any more. */
    }
}

void bench_conn_send_subscribe(struct bench_thread *thread, struct bench_conn *conn,
                               bool unsubscribe)
{
    size_t bytes;
    char *text = bench_thread_subscribe_text(thread, conn, unsubscribe, &bytes);
    if (text == NULL || bytes > WS_CLIENT_MESSAGE_BYTES_MAX) {
        bench_conn_shut(thread, conn, 0);
    } else {
        int opcode = thread->options->protocol == BENCH_NATS ? WS_BINARY : WS_TEXT;
        bench_conn_send(thread, conn, opcode, text, bytes);
    }
    if (text != thread->subscribe_text) {
        free(text);
    }
}

void bench_conn_on_subscribed(struct bench_thread *thread, struct bench_conn *conn, uint64_t now_ns)
{
    bench_conn_end_phase(thread, conn, BENCH_PHASE_SUBSCRIBED, now_ns);
    thread->totals.streams[conn->role].sessions++;
    if (!conn->is_back && conn->role <= BENCH_SLOW) {
        histogram_record(&thread->connect_time,
                         now_ns > conn->started_ns ? now_ns - conn->started_ns : 0);
        thread->totals.last_subscribed_ns = now_ns;
        atomic_fetch_add_explicit(&thread->subscribed_now, 1, memory_order_relaxed);
    }
    bench_conn_enter(thread, conn,
                     conn->role == BENCH_STALLED ? BENCH_CONN_STALLED : BENCH_CONN_STREAMING);
    bench_roles_on_subscribed(thread, conn);
}

void bench_conn_on_first_tick(struct bench_thread *thread, struct bench_conn *conn)
{
    bench_conn_end_phase(thread, conn, BENCH_PHASE_FIRST_TICK, thread->now_ns);
    conn->phase_ns = 0;
}

void bench_conn_on_image(struct bench_thread *thread, struct bench_conn *conn)
{
    if (conn->role == BENCH_READER) {
        histogram_record(&thread->phases[BENCH_PHASE_SNAPSHOT],
                         thread->now_ns > conn->asked_ns ? thread->now_ns - conn->asked_ns : 0);
    }
    conn->asked_ns = 0;
}

void bench_conn_ask(struct bench_thread *thread, struct bench_conn *conn)
{
    if (conn->state != BENCH_CONN_SUBSCRIBING || conn->asked_ns != 0 || !thread->may_ask) {
        return;
    }
    conn->asked_ns = thread->now_ns;
    conn->phase_ns = thread->now_ns;
    bench_conn_send_subscribe(thread, conn, false);
}

void bench_conn_finish(struct bench_thread *thread, struct bench_conn *conn)
{
    if (conn->role == BENCH_READER && conn->state == BENCH_CONN_STREAMING && !conn->is_finished) {
        conn->is_finished = true;
        thread->finished_count++;
    }
}

void bench_conn_resume(struct bench_thread *thread, struct bench_conn *conn)
{
    /* With the window of the small buffer it would read, but hardly faster than it stalled: each
     * window update waits, and Linux counts a peer whose window never holds the sender's first
     * segment as silent (TCP_USER_TIMEOUT). The scale was fixed at SYN: 64 KiB is the most. */
    int buffer_bytes = RESUMED_BUFFER_BYTES;
    int window_bytes = UINT16_MAX;
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(conn->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window_bytes, sizeof window_bytes);
    bench_conn_enter(thread, conn, BENCH_CONN_STREAMING);
    bench_thread_arm(thread, conn);
}

void bench_conn_shut(struct bench_thread *thread, struct bench_conn *conn, uint16_t code)
{
    if (conn->state == BENCH_CONN_CLOSED) {
        return;
    }
    bench_frames_count_close(&thread->totals.streams[conn->role], code, 1);
    conn->close_is_counted = true;
    shutdown(conn->fd, SHUT_RDWR);
    bench_conn_enter(thread, conn, BENCH_CONN_CLOSED);
}

void bench_conn_leave(struct bench_thread *thread, struct bench_conn *conn, bool by_reset)
{
    static const uint8_t going_away[] = {1001 >> 8, 1001 & 0xff};
    struct linger linger = {.l_onoff = 1};
    if (by_reset) {
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        shutdown(conn->fd, SHUT_RD); /* Ends our receive; the peer sees nothing before the close. */
    } else {
        bench_conn_send(thread, conn, WS_CLOSE, going_away, sizeof going_away);
        shutdown(conn->fd, SHUT_RDWR);
    }
    bench_conn_enter(thread, conn, BENCH_CONN_CLOSED);
}

static void bench_conn_carry_release(struct bench_thread *thread, struct bench_conn *conn)
{
    if (conn->carry_capacity == BENCH_CARRY_BLOCK_BYTES) {
        memcpy(conn->carry, &thread->carry_free, sizeof thread->carry_free);
        thread->carry_free = conn->carry;
    } else {
        free(conn->carry);
    }
    conn->carry = NULL;
    conn->carry_capacity = 0;
    conn->carry_bytes = 0;
}

/* What it had received belongs to a life that is over. */
static void bench_conn_forget(struct bench_thread *thread, struct bench_conn *conn)
{
    if (conn->carry != NULL) {
        bench_conn_carry_release(thread, conn);
    }
    if (conn->next_seqs != NULL) {
        memset(conn->next_seqs, 0, conn->next_seq_count * sizeof *conn->next_seqs);
    }
    bench_nats_destroy(conn->nats);
    conn->nats = NULL;
}

void bench_conn_on_end(struct bench_thread *thread, struct bench_conn *conn)
{
    bench_conn_shut(thread, conn, 0);
    close(conn->fd);
    conn->fd = -1;
    bench_conn_forget(thread, conn);
    bench_roles_on_ended(thread, conn);
}

static bool bench_conn_carry_reserve(struct bench_thread *thread, struct bench_conn *conn,
                                     size_t bytes)
{
    if (bytes <= conn->carry_capacity) {
        return true;
    }
    size_t capacity = BENCH_CARRY_BLOCK_BYTES;
    while (capacity < bytes) {
        capacity *= 2;
    }
    uint8_t *carry = NULL;
    if (capacity == BENCH_CARRY_BLOCK_BYTES && thread->carry_free != NULL) {
        carry = thread->carry_free;
        memcpy(&thread->carry_free, carry, sizeof thread->carry_free);
    } else {
        carry = malloc(capacity);
    }
    if (carry == NULL) {
        return false;
    }
    if (conn->carry != NULL) {
        uint32_t kept_bytes = conn->carry_bytes;
        memcpy(carry, conn->carry, kept_bytes);
        bench_conn_carry_release(thread, conn);
        conn->carry_bytes = kept_bytes;
    }
    conn->carry = carry;
    conn->carry_capacity = (uint32_t)capacity;
    return true;
}

static void bench_conn_carry_append(struct bench_thread *thread, struct bench_conn *conn,
                                    const uint8_t *bytes, size_t bytes_count)
{
    if (!bench_conn_carry_reserve(thread, conn, conn->carry_bytes + bytes_count)) {
        bench_conn_shut(thread, conn, 0);
        return;
    }
    memcpy(conn->carry + conn->carry_bytes, bytes, bytes_count);
    conn->carry_bytes += (uint32_t)bytes_count;
}

/* Of "HTTP/1.1 404 ..."; 0: it is none. */
static uint16_t bench_conn_http_status(const uint8_t *bytes, size_t bytes_count)
{
    char head[HTTP_STATUS_BYTES + 1] = "";
    unsigned status;
    memcpy(head, bytes, bytes_count < HTTP_STATUS_BYTES ? bytes_count : HTTP_STATUS_BYTES);
    return sscanf(head, "HTTP/1.%*1u %3u", &status) == 1 ? (uint16_t)status : 0;
}

/* The answer's head; returns its length, 0: more is needed, or the conn is closed. */
static size_t bench_conn_on_upgrade(struct bench_thread *thread, struct bench_conn *conn,
                                    const uint8_t *bytes, size_t bytes_count)
{
    static const char not_granted[] = "the server does not speak this --encoding";
    size_t head_bytes = 0;
    if (bytes_count < HTTP_STATUS_BYTES) {
        return 0; /* so that a refusal is told whole */
    }
    enum handshake_status status =
        handshake_client_check(bytes, bytes_count, thread->key, &thread->wish, &head_bytes);
    if (status == HANDSHAKE_NEED_MORE) {
        return 0;
    }
    if (status == HANDSHAKE_BAD_PROTOCOL || status == HANDSHAKE_BAD_EXTENSIONS) {
        bench_frames_refused(thread, (const uint8_t *)not_granted, sizeof not_granted - 1);
    }
    if (status != HANDSHAKE_OK) {
        bench_conn_shut(thread, conn, bench_conn_http_status(bytes, bytes_count));
        return 0;
    }
    bench_conn_enter(thread, conn, BENCH_CONN_SUBSCRIBING);
    conn->is_upgraded = true;
    bench_conn_end_phase(thread, conn, BENCH_PHASE_UPGRADED, thread->now_ns);
    if (bench_roles_on_upgraded(thread, conn)) {
        return head_bytes;
    }
    if (thread->options->protocol != BENCH_PLAIN) {
        thread->upgraded_count += !conn->is_back && conn->role <= BENCH_SLOW;
        bench_conn_ask(thread, conn);
        return head_bytes;
    }
    const char *text = thread->options->send_text;
    if (text != NULL) {
        bench_conn_send(thread, conn, WS_TEXT, text, strlen(text));
    }
    bench_conn_on_subscribed(thread, conn, thread->now_ns);
    return head_bytes;
}

/* "HTTP/1.1 400 ...": the answer to what was no proper request, counted as its close. */
static void bench_conn_on_refusal(struct bench_thread *thread, struct bench_conn *conn,
                                  const uint8_t *bytes, size_t bytes_count)
{
    uint16_t status = bench_conn_http_status(bytes, bytes_count);
    if (status != 0) {
        bench_conn_shut(thread, conn, status);
    }
}

/* Handles what is complete at the beginning; returns how many bytes that was. */
static size_t bench_conn_consume(struct bench_thread *thread, struct bench_conn *conn,
                                 const uint8_t *bytes, size_t bytes_count)
{
    size_t used = 0;
    if (conn->state == BENCH_CONN_WAITING && !conn->is_upgraded) {
        bench_conn_on_refusal(thread, conn, bytes, bytes_count);
        return bytes_count;
    }
    if (conn->state == BENCH_CONN_UPGRADING) {
        used = bench_conn_on_upgrade(thread, conn, bytes, bytes_count);
        if (used == 0) {
            return 0;
        }
    }
    return used + bench_frames_consume(thread, conn, bytes + used, bytes_count - used);
}

void bench_conn_on_bytes(struct bench_thread *thread, struct bench_conn *conn, const uint8_t *bytes,
                         size_t bytes_count)
{
    while (conn->carry_bytes > 0 && bytes_count > 0 && conn->state != BENCH_CONN_CLOSED) {
        size_t take = bytes_count;
        if (conn->state != BENCH_CONN_UPGRADING) {
            take = bench_frames_needed(conn->carry, conn->carry_bytes) - conn->carry_bytes;
            take = take < bytes_count ? take : bytes_count;
        }
        bench_conn_carry_append(thread, conn, bytes, take);
        bytes += take;
        bytes_count -= take;
        size_t used = bench_conn_consume(thread, conn, conn->carry, conn->carry_bytes);
        conn->carry_bytes -= (uint32_t)used;
        if (conn->carry_bytes == 0) {
            bench_conn_carry_release(thread, conn);
        } else if (used > 0) {
            memmove(conn->carry, conn->carry + used, conn->carry_bytes);
        }
    }
    if (conn->state == BENCH_CONN_CLOSED || bytes_count == 0) {
        return;
    }
    size_t used = bench_conn_consume(thread, conn, bytes, bytes_count);
    if (used < bytes_count && conn->state != BENCH_CONN_CLOSED) {
        bench_conn_carry_append(thread, conn, bytes + used, bytes_count - used);
    }
}
