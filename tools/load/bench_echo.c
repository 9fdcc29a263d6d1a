#include "tools/load/bench_echo.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/load/bench_conn.h"

#define RETRY_NS NS_PER_MS /* A socket was full. */
#define SENT_PER_TURN 64   /* so that what comes back is read in between */

int bench_echo_init(struct bench_echo *echo, struct bench_crew *crew)
{
    const struct bench_options *options = crew->options;
    double conn_rate = (double)options->echo_rate / (double)options->connection_count;
    echo->crew = crew;
    echo->step_ns = (double)NS_PER_SECOND / conn_rate / (double)crew->conn_count;
    echo->conns = calloc(crew->conn_count, sizeof *echo->conns);
    return echo->conns != NULL ? 0 : -ENOMEM;
}

void bench_echo_deinit(struct bench_echo *echo)
{
    free(echo->conns);
}

static uint64_t bench_echo_due_ns(const struct bench_echo *echo, uint64_t message)
{
    return echo->start_ns + (uint64_t)((double)message * echo->step_ns);
}

static uint64_t bench_echo_conn_due_ns(const struct bench_echo *echo, uint32_t index,
                                       uint64_t number)
{
    return bench_echo_due_ns(echo, number * echo->crew->conn_count + index);
}

/* Connection and number in hexadecimal digits, and letters that differ with both. */
static void bench_echo_text(const struct bench_echo *echo, uint32_t index, uint64_t number,
                            uint8_t *out)
{
    uint32_t bytes = echo->crew->options->payload_bytes;
    uint32_t conn_number = echo->crew->first_conn_index + index;
    char head[BENCH_ECHO_PAYLOAD_BYTES_MIN + 1];
    snprintf(head, sizeof head, "%08x%08x", conn_number, (uint32_t)number);
    memcpy(out, head, BENCH_ECHO_PAYLOAD_BYTES_MIN);
    uint32_t letter = (conn_number + (uint32_t)number) % 26;
    for (uint32_t i = BENCH_ECHO_PAYLOAD_BYTES_MIN; i < bytes; i++) {
        out[i] = (uint8_t)('a' + letter);
        letter = letter == 25 ? 0 : letter + 1;
    }
}

/* Sends the rest of the next message. false: the socket takes no more now. */
static bool bench_echo_send(struct bench_echo *echo, uint32_t index)
{
    struct bench_echo_conn *conn = &echo->conns[index];
    uint8_t payload[WS_CLIENT_MESSAGE_BYTES_MAX];
    uint8_t frame[WS_CLIENT_FRAME_BYTES_MAX];
    uint8_t mask[4];
    /* The mask follows from the message: what a full socket left over is made again. */
    uint32_t hash = ((uint32_t)conn->sent * 2654435761u) ^ (index * 40503u);
    memcpy(mask, &hash, sizeof mask);
    bench_echo_text(echo, index, conn->sent, payload);
    size_t bytes =
        ws_client_frame(frame, WS_TEXT, payload, echo->crew->options->payload_bytes, mask);
    const struct bench_conn *sender = &echo->crew->conns[index];
    ssize_t sent = tls_client_send(sender->tls, sender->fd, frame + conn->frame_bytes,
                                   bytes - conn->frame_bytes);
    if (sent < 0) {
        return false;
    }
    conn->frame_bytes += (size_t)sent;
    if (conn->frame_bytes < bytes) {
        return false;
    }
    conn->frame_bytes = 0;
    conn->sent++;
    return true;
}

/* Sends what is due on a connection. Returns whether something is left. */
static bool bench_echo_flush(struct bench_echo *echo, uint32_t index,
                             const struct bench_echo_window *window)
{
    struct bench_echo_conn *conn = &echo->conns[index];
    while (conn->sent < conn->due) {
        if (echo->crew->conns[index].state != BENCH_CONN_STREAMING) {
            return false; /* It will never take them. */
        }
        uint64_t due_ns = bench_echo_conn_due_ns(echo, index, conn->sent);
        if (echo->budget == 0 || !bench_echo_send(echo, index)) {
            return true;
        }
        echo->budget--;
        uint64_t now_ns = clock_ns(CLOCK_REALTIME);
        if (due_ns - window->start_ns < window->ns) {
            histogram_record(&echo->late, now_ns > due_ns ? now_ns - due_ns : 0);
        }
    }
    return false;
}

/* What sockets did not take before. Each connection is tried once, the first one in turn. */
static void bench_echo_flush_all(struct bench_echo *echo, const struct bench_echo_window *window)
{
    uint32_t count = echo->crew->conn_count;
    uint32_t first = echo->flush_next;
    echo->has_backlog = false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t index = (first + i) % count;
        bool had_budget = echo->budget > 0;
        echo->has_backlog |= bench_echo_flush(echo, index, window);
        echo->flush_next = had_budget ? (index + 1) % count : echo->flush_next;
    }
}

uint64_t bench_echo_act(struct bench_echo *echo, const struct bench_echo_window *window)
{
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    uint64_t end_ns = window->start_ns + window->ns;
    if (window->ns == 0) {
        return UINT64_MAX; /* Connections are still coming. */
    }
    if (echo->start_ns == 0) {
        echo->start_ns = now_ns;
    }
    echo->budget = SENT_PER_TURN;
    if (echo->has_backlog) {
        bench_echo_flush_all(echo, window);
    }
    uint64_t due_ns = bench_echo_due_ns(echo, echo->next);
    while (due_ns <= now_ns && due_ns < end_ns) {
        uint32_t index = (uint32_t)(echo->next % echo->crew->conn_count);
        echo->next++;
        echo->conns[index].due++;
        echo->window_due += due_ns - window->start_ns < window->ns;
        echo->has_backlog |= bench_echo_flush(echo, index, window);
        due_ns = bench_echo_due_ns(echo, echo->next);
    }
    uint64_t retry_ns = !echo->has_backlog  ? UINT64_MAX
                        : echo->budget == 0 ? now_ns
                                            : now_ns + RETRY_NS;
    due_ns = due_ns < end_ns ? due_ns : UINT64_MAX;
    return due_ns < retry_ns ? due_ns : retry_ns;
}

bool bench_echo_read(const struct bench_echo *echo, const struct bench_conn *conn,
                     const uint8_t *payload, size_t payload_bytes, uint64_t *number_out,
                     uint64_t *due_ns_out)
{
    uint32_t index = bench_crew_index_of(echo->crew, conn);
    uint8_t expected[WS_CLIENT_MESSAGE_BYTES_MAX];
    char digits[9] = "";
    if (payload_bytes != echo->crew->options->payload_bytes) {
        return false;
    }
    memcpy(digits, payload + 8, 8);
    uint64_t number = strtoull(digits, NULL, 16);
    if (number >= echo->conns[index].sent) {
        return false; /* It was not sent. */
    }
    bench_echo_text(echo, index, number, expected);
    if (memcmp(payload, expected, payload_bytes) != 0) {
        return false;
    }
    *number_out = number;
    *due_ns_out = bench_echo_conn_due_ns(echo, index, number);
    return true;
}

bool bench_echo_is_last(const struct bench_echo *echo, const struct bench_conn *conn,
                        uint64_t number, uint64_t end_ns)
{
    uint32_t index = bench_crew_index_of(echo->crew, conn);
    return bench_echo_conn_due_ns(echo, index, number + 1) >= end_ns;
}
