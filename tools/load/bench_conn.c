#include "tools/load/bench_conn.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "tools/load/bench_mqtt.h"

#define CONNS_PER_SOURCE 5000 /* Ports of one pair of addresses: 28 000, TIME_WAIT included. */

#define RESUMED_BUFFER_BYTES (256 * 1024)

#define KEEP_ALIVE_NS (BENCH_MQTT_KEEP_ALIVE_SECONDS * NS_PER_SECOND)

#define TO(state) (1u << BENCH_CONN_##state)
static const uint16_t bench_conn_next_states[] = {
    [BENCH_CONN_NEW] = TO(CONNECTING) | TO(CLOSED),
    [BENCH_CONN_CONNECTING] = TO(SECURING) | TO(UPGRADING) | TO(WAITING) | TO(CLOSED),
    [BENCH_CONN_SECURING] = TO(UPGRADING) | TO(CLOSED),
    [BENCH_CONN_UPGRADING] = TO(SUBSCRIBING) | TO(CLOSED),
    [BENCH_CONN_SUBSCRIBING] = TO(STREAMING) | TO(STALLED) | TO(WAITING) | TO(CLOSED),
    [BENCH_CONN_STREAMING] = TO(CLOSED),
    [BENCH_CONN_STALLED] = TO(STREAMING) | TO(CLOSED),
    [BENCH_CONN_WAITING] = TO(CLOSED),
    [BENCH_CONN_CLOSED] = TO(NEW),
};

/* Whether it is being connected; connections that wait for --at-once are not. */
static bool bench_conn_is_in_flight(const struct bench_crew *crew, enum bench_conn_state state)
{
    return state < (crew->options->at_once ? BENCH_CONN_SUBSCRIBING : BENCH_CONN_STREAMING);
}

void bench_conn_enter(struct bench_crew *crew, struct bench_conn *conn, enum bench_conn_state next)
{
    bool was_in_flight = bench_conn_is_in_flight(crew, conn->state);
    assert_always(bench_conn_next_states[conn->state] & (1u << next));

    if (was_in_flight && !bench_conn_is_in_flight(crew, next)) {
        assert_always(crew->in_flight > 0);
        crew->in_flight--;
    }
    if (conn->role == BENCH_READER && next == BENCH_CONN_STREAMING) {
        crew->streaming_count++;
    } else if (conn->role == BENCH_READER && conn->state == BENCH_CONN_STREAMING) {
        crew->streaming_count--;
        crew->finished_count -= conn->is_finished;
    }
    conn->state = (uint8_t)next;
}

/* Many connections from one machine: the given addresses in turn; and loopback has addresses
 * enough for all their ports. */
static void bench_conn_bind_source(const struct bench_crew *crew, uint32_t conn_index, int fd)
{
    const struct bench_options *options = crew->options;
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
        options->source_count > 0 && !crew->control->source_fault_told) {
        crew->control->source_fault_told = true;
        fprintf(stderr, "ringcast-bench: --source: %s; the kernel chooses\n", strerror(errno));
    }
}

void bench_conn_fail(struct bench_crew *crew, struct bench_conn *conn, int error)
{
    if (conn->role <= BENCH_SLOW) {
        crew->totals.connect_errors++;
        crew->totals.last_error = error;
    }
    crew->totals.streams[conn->role].refused++;
    bench_conn_enter(crew, conn, BENCH_CONN_CLOSED);
    conn->due_ns = crew->now_ns;
}

bool bench_conn_start(struct bench_crew *crew, struct bench_conn *conn, uint64_t now_ns)
{
    const struct bench_options *options = crew->options;
    int one = 1;
    bool is_small = conn->role == BENCH_STALLED || conn->role == BENCH_SLOW;
    int buffer_bytes =
        (int)(is_small ? options->stalled_buffer_bytes : options->receive_buffer_bytes);
    if (conn->state == BENCH_CONN_CLOSED) {
        bench_conn_enter(crew, conn, BENCH_CONN_NEW);
        conn->is_back = true;
    }
    crew->in_flight++;
    conn->close_is_counted = false;
    conn->is_upgraded = false;
    conn->asked_ns = 0;
    conn->started_ns = now_ns;
    conn->phase_ns = now_ns;
    conn->fd = socket(options->address.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (conn->fd < 0) {
        bench_conn_fail(crew, conn, -errno);
        return false;
    }
    if (buffer_bytes > 0) {
        setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    }
    setsockopt(conn->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    uint32_t index = bench_crew_index_of(crew, conn);
    bench_conn_bind_source(crew, crew->first_conn_index + index, conn->fd);

    bench_ring_connect(crew->ring, index, conn->fd, &options->address);
    bench_conn_enter(crew, conn, BENCH_CONN_CONNECTING);
    return true;
}

/* Notes how long a phase took, and begins the next one. */
void bench_conn_end_phase(struct bench_crew *crew, struct bench_conn *conn, enum bench_phase phase)
{
    uint64_t now_ns = crew->now_ns;
    if (conn->role == BENCH_READER) {
        histogram_record(&crew->phases[phase],
                         now_ns > conn->phase_ns ? now_ns - conn->phase_ns : 0);
    }
    conn->phase_ns = now_ns;
}

/* 0 or a negative errno. */
int bench_conn_send_request(struct bench_crew *crew, struct bench_conn *conn)
{
    char request[WS_CLIENT_REQUEST_BYTES_MAX];
    size_t bytes = bench_crew_request(crew, conn, request);
    if (bytes == 0) {
        return -EMSGSIZE;
    }
    conn->asked_ns = crew->options->by_url ? crew->now_ns : 0;
    ssize_t sent = tls_client_send(conn->tls, conn->fd, request, bytes);
    return sent == (ssize_t)bytes ? 0 : sent < 0 ? -errno : -EPIPE;
}

void bench_conn_wait(struct bench_crew *crew, struct bench_conn *conn)
{
    bench_conn_enter(crew, conn, BENCH_CONN_WAITING);
    crew->totals.streams[conn->role].sessions++;
}

void bench_conn_send(struct bench_crew *crew, struct bench_conn *conn, int opcode,
                     const void *payload, size_t payload_bytes)
{
    uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    uint8_t mask[4];
    assert_always(payload_bytes <= WS_CLIENT_MESSAGE_BYTES_MAX);

    uint64_t random = bench_crew_random(crew);
    memcpy(mask, (const uint8_t *)&random + 4, sizeof mask);
    size_t frame_bytes =
        ws_client_frame(frame, (enum ws_opcode)opcode, payload, payload_bytes, mask);
    ssize_t sent = tls_client_send(conn->tls, conn->fd, frame, frame_bytes);
    if (sent >= 0 && sent < (ssize_t)frame_bytes) {
        shutdown(conn->fd, SHUT_RDWR); /* A torn frame: the stream is of no use any more. */
    }
}

void bench_conn_send_subscribe(struct bench_crew *crew, struct bench_conn *conn, bool unsubscribe)
{
    size_t bytes;
    char *text = bench_crew_subscribe_text(crew, conn, unsubscribe, &bytes);
    if (text == NULL || bytes > WS_CLIENT_MESSAGE_BYTES_MAX) {
        bench_conn_shut(crew, conn, 0);
    } else {
        enum bench_protocol protocol = crew->options->protocol;
        bool is_broker = protocol == BENCH_NATS || protocol == BENCH_MQTT;
        int opcode = is_broker ? WS_BINARY : WS_TEXT;
        bench_conn_send(crew, conn, opcode, text, bytes);
    }
    if (text != crew->subscribe_text) {
        free(text);
    }
}

void bench_conn_on_subscribed(struct bench_crew *crew, struct bench_conn *conn)
{
    uint64_t now_ns = crew->now_ns;
    if (crew->options->protocol == BENCH_PLAIN) {
        conn->phase_ns = now_ns; /* There is no answer to wait for, and so no such phase. */
    } else {
        bench_conn_end_phase(crew, conn, BENCH_PHASE_SUBSCRIBED);
    }
    crew->totals.streams[conn->role].sessions++;
    if (!conn->is_back && conn->role <= BENCH_SLOW) {
        histogram_record(&crew->connect_time,
                         now_ns > conn->started_ns ? now_ns - conn->started_ns : 0);
        crew->totals.last_subscribed_ns = now_ns;
        atomic_fetch_add_explicit(&crew->subscribed_now, 1, memory_order_relaxed);
    }
    bench_conn_enter(crew, conn,
                     conn->role == BENCH_STALLED ? BENCH_CONN_STALLED : BENCH_CONN_STREAMING);
}

void bench_conn_on_first_tick(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->state == BENCH_CONN_SUBSCRIBING) { /* A broker may send ticks before its answer. */
        return;
    }
    bench_conn_end_phase(crew, conn, BENCH_PHASE_FIRST_TICK);
    conn->phase_ns = 0;
}

void bench_conn_on_image(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->role == BENCH_READER) {
        histogram_record(&crew->phases[BENCH_PHASE_SNAPSHOT],
                         crew->now_ns > conn->asked_ns ? crew->now_ns - conn->asked_ns : 0);
    }
    conn->asked_ns = 0;
}

void bench_conn_ask(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->state != BENCH_CONN_SUBSCRIBING || conn->asked_ns != 0 || !crew->may_ask) {
        return;
    }
    conn->asked_ns = crew->now_ns;
    conn->phase_ns = crew->now_ns;
    bench_conn_send_subscribe(crew, conn, false);
}

void bench_conn_finish(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->role == BENCH_READER && conn->state == BENCH_CONN_STREAMING && !conn->is_finished) {
        conn->is_finished = true;
        crew->finished_count++;
    }
}

void bench_conn_resume(struct bench_crew *crew, struct bench_conn *conn)
{
    /* With the window of the small buffer it would read hardly faster than before: each window
     * update waits, and Linux counts a peer as silent (TCP_USER_TIMEOUT) if the sender's first
     * segment never fits its window. The scale was fixed at SYN: 64 KiB is the most. */
    int buffer_bytes = RESUMED_BUFFER_BYTES;
    int window_bytes = UINT16_MAX;
    setsockopt(conn->fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    setsockopt(conn->fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &window_bytes, sizeof window_bytes);
    bench_conn_enter(crew, conn, BENCH_CONN_STREAMING);
    bench_crew_arm(crew, conn);
}

void bench_conn_shut(struct bench_crew *crew, struct bench_conn *conn, uint16_t code)
{
    if (conn->state == BENCH_CONN_CLOSED) {
        return;
    }
    bench_totals_count_close(bench_crew_totals(crew, conn), code, 1);
    conn->close_is_counted = true;
    shutdown(conn->fd, SHUT_RDWR);
    bench_conn_enter(crew, conn, BENCH_CONN_CLOSED);
}

static bool bench_conn_is_subscribed(const struct bench_conn *conn)
{
    return conn->state == BENCH_CONN_STREAMING || conn->state == BENCH_CONN_STALLED;
}

void bench_conn_keep_alive(struct bench_crew *crew)
{
    uint64_t since_ns = crew->now_ns - crew->kept_alive_ns;
    uint64_t due = since_ns / (KEEP_ALIVE_NS / 2 / crew->conn_count);
    if (crew->kept_alive_ns == 0 || due > crew->conn_count) { /* It begins, or has slept. */
        due = crew->kept_alive_ns == 0 ? 0 : crew->conn_count;
        crew->kept_alive_ns = crew->now_ns;
    } else {
        crew->kept_alive_ns += due * (KEEP_ALIVE_NS / 2 / crew->conn_count);
    }
    for (; due > 0; due--) {
        struct bench_conn *conn = &crew->conns[crew->keep_alive_next];
        crew->keep_alive_next = (crew->keep_alive_next + 1) % crew->conn_count;
        if (bench_conn_is_subscribed(conn)) {
            bench_conn_send(crew, conn, WS_BINARY, BENCH_MQTT_PINGREQ, 2);
        }
    }
}

void bench_conn_disconnect(struct bench_crew *crew, struct bench_conn *conn)
{
    if (crew->options->protocol == BENCH_MQTT && bench_conn_is_subscribed(conn)) {
        bench_conn_send(crew, conn, WS_BINARY, BENCH_MQTT_DISCONNECT, 2);
    }
}

void bench_conn_leave(struct bench_crew *crew, struct bench_conn *conn, bool by_reset)
{
    static const uint8_t going_away[] = {1001 >> 8, 1001 & 0xff};
    struct linger linger = {.l_onoff = 1};
    if (by_reset) {
        setsockopt(conn->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
        shutdown(conn->fd, SHUT_RD); /* Ends our receive; the peer sees nothing before the close. */
    } else {
        bench_conn_disconnect(crew, conn);
        bench_conn_send(crew, conn, WS_CLOSE, going_away, sizeof going_away);
        shutdown(conn->fd, SHUT_RDWR);
    }
    bench_conn_enter(crew, conn, BENCH_CONN_CLOSED);
}
