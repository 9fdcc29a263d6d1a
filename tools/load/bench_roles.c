#include "tools/load/bench_roles.h"

#include <string.h>

#include "codec/base/units.h"
#include "tools/load/bench_conn.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define AGAIN_NS (100 * NS_PER_MS) /* from a bad connection's end to its next try */

/* Each is sent instead of a request, */
static const struct bench_bytes {
    const char *bytes;
    size_t count;
} bad_requests[] = {
#define BYTES(text)                                                                                \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
    BYTES("GET / HTTP/1.0\r\n\r\n"),
    BYTES("POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 7\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"),
    BYTES("GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n"),
    BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), /* the beginning of TLS */
};

/* or after the upgrade. */
static const struct bench_bytes bad_frames[] = {
    BYTES("\x81\x05hello"),                                    /* not masked */
    BYTES("\xa1\x80\0\0\0\0"),                                 /* a reserved bit */
    BYTES("\x83\x80\0\0\0\0"),                                 /* an unknown opcode */
    BYTES("\x80\x80\0\0\0\0"),                                 /* continues nothing */
    BYTES("\x09\x80\0\0\0\0"),                                 /* a PING in pieces */
    BYTES("\x89\xfe\x00\x7e\0\0\0\0"),                         /* a long PING */
    BYTES("\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0"), /* 2^63 bytes */
    BYTES("\x81\x82\0\0\0\0\xc0\xaf"),                         /* no UTF-8 */
    BYTES("\x88\x82\0\0\0\0\x00\x00"),                         /* Close with code 0 */
    BYTES("\x88\x81\0\0\0\0\x03"),                             /* Close with half a code */
};

/* Before the upgrade it is in the clear, also with wss://. */
static void bench_roles_send(const struct bench_conn *conn, const struct bench_bytes *bytes)
{
    (void)!tls_client_send(conn->tls, conn->fd, bytes->bytes, bytes->count);
}

static void bench_roles_wait(struct bench_crew *crew, struct bench_conn *conn)
{
    conn->misdeeds++;
    conn->due_ns = crew->now_ns + crew->options->patience_ns;
    bench_conn_wait(crew, conn);
}

bool bench_roles_on_connected(struct bench_crew *crew, struct bench_conn *conn)
{
    static const struct bench_bytes half_request = BYTES("GET / HTTP/1.1\r\nHost: exam");
    uint32_t turn = conn->misdeeds;
    if (conn->role == BENCH_HALF_OPEN && turn % 3 < 2) {
        if (turn % 3 == 1) {
            bench_roles_send(conn, &half_request);
        }
    } else if (conn->role == BENCH_MALFORMED && turn % 2 == 0) {
        bench_roles_send(conn, &bad_requests[turn / 2 % COUNT(bad_requests)]);
    } else {
        return false;
    }
    bench_roles_wait(crew, conn);
    return true;
}

bool bench_roles_on_upgraded(struct bench_crew *crew, struct bench_conn *conn)
{
    static const struct bench_bytes half_frame = BYTES("\x81\xfe\x01\x00\0\0\0\0{\"type\":");
    if (conn->role == BENCH_HALF_OPEN) {
        bench_roles_send(conn, &half_frame);
    } else if (conn->role == BENCH_MALFORMED) {
        bench_roles_send(conn, &bad_frames[conn->misdeeds / 2 % COUNT(bad_frames)]);
    } else {
        return false;
    }
    bench_roles_wait(crew, conn);
    return true;
}

static uint64_t bench_roles_next_storm_ns(const struct bench_crew *crew, uint64_t now_ns)
{
    uint64_t every_ns = crew->options->storm_every_ns + 1;
    return (now_ns / every_ns + 1) * every_ns;
}

void bench_roles_on_subscribed(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->state == BENCH_CONN_SUBSCRIBING) {
        bench_conn_on_subscribed(crew, conn);
    } else if (conn->role == BENCH_RESUBSCRIBER) {
        bench_crew_totals(crew, conn)->sessions++;
    } else {
        return;
    }
    uint64_t now_ns = crew->now_ns;
    if (conn->role == BENCH_CHURN) {
        /* From 0 to twice the mean. */
        conn->due_ns = now_ns + bench_crew_random(crew) % (2 * crew->options->churn_life_ns + 1);
    } else if (conn->role == BENCH_STORM) {
        conn->due_ns = bench_roles_next_storm_ns(crew, now_ns);
    } else if (conn->role == BENCH_SLOW) {
        conn->due_ns = now_ns;
    } else if (conn->role == BENCH_RESUBSCRIBER) {
        bench_conn_send_subscribe(crew, conn, true);
    }
}

void bench_roles_on_unsubscribed(struct bench_crew *crew, struct bench_conn *conn)
{
    if (conn->role == BENCH_RESUBSCRIBER && conn->state == BENCH_CONN_STREAMING) {
        if (conn->next_seqs != NULL) {
            memset(conn->next_seqs, 0, conn->next_seq_count * sizeof *conn->next_seqs);
        }
        bench_conn_send_subscribe(crew, conn, false);
    }
}

static bool bench_roles_comes_again(const struct bench_conn *conn)
{
    return conn->role == BENCH_CHURN || conn->role == BENCH_STORM ||
           conn->role == BENCH_HALF_OPEN || conn->role == BENCH_MALFORMED;
}

static void bench_roles_act_one(struct bench_crew *crew, struct bench_conn *conn, uint64_t now_ns)
{
    if (conn->state == BENCH_CONN_CLOSED) {
        /* Those of a storm all at once: that is the storm. */
        uint64_t again_ns = conn->due_ns + (conn->role == BENCH_STORM ? 0 : AGAIN_NS);
        if (conn->fd < 0 && bench_roles_comes_again(conn) && again_ns <= now_ns &&
            crew->in_flight < crew->in_flight_max) {
            bench_conn_start(crew, conn, now_ns);
        }
    } else if (conn->role == BENCH_SLOW && conn->state == BENCH_CONN_STREAMING) {
        conn->due_ns = now_ns + NS_PER_SECOND / BENCH_SLOW_PIECES;
        if (!conn->recv_armed) {
            bench_crew_arm(crew, conn);
        }
    } else if (conn->state == BENCH_CONN_WAITING) {
        crew->totals.streams[conn->role].ignored++;
        bench_conn_leave(crew, conn, true);
    } else if ((conn->role == BENCH_CHURN || conn->role == BENCH_STORM) &&
               conn->state == BENCH_CONN_STREAMING) {
        bench_conn_leave(crew, conn, ++conn->misdeeds % 2 == 0);
    }
}

void bench_roles_act(struct bench_crew *crew, uint64_t now_ns)
{
    /* Readers come first, and stalled ones have nothing to do. */
    for (uint32_t i = crew->first_bad_conn; i < crew->started_count; i++) {
        struct bench_conn *conn = &crew->conns[i];
        if (conn->due_ns <= now_ns && conn->role != BENCH_STALLED) {
            bench_roles_act_one(crew, conn, now_ns);
        }
    }
}
