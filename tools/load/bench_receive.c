#include "tools/load/bench_receive.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/load/bench_broker.h"
#include "tools/load/bench_roles.h"

#define HTTP_STATUS_BYTES 12 /* "HTTP/1.1 404" */

static void bench_receive_close(struct bench_conn *conn)
{
    tls_client_destroy(conn->tls);
    conn->tls = NULL;
    close(conn->fd);
    conn->fd = -1;
}

/* The stream is ready: asks for the upgrade. 0 or a negative errno. A server that has closed a TLS
 * stream has said why, which is read next. */
static int bench_receive_request(struct bench_crew *crew, struct bench_conn *conn)
{
    int error = bench_conn_send_request(crew, conn);
    bool is_gone = error == -EPIPE || error == -ECONNRESET;
    error = is_gone && conn->tls != NULL ? 0 : error;
    if (error == 0) {
        bench_conn_enter(crew, conn, BENCH_CONN_UPGRADING);
    }
    return error;
}

/* Says hello. 0 or a negative errno. */
static int bench_receive_secure(struct bench_crew *crew, struct bench_conn *conn)
{
    const struct ws_client_url *url = &crew->options->url;
    conn->tls = tls_client_create(url->tls, url->host);
    int error = conn->tls == NULL ? -ENOMEM : tls_client_handshake(conn->tls, conn->fd);
    if (error == -EAGAIN) {
        bench_conn_enter(crew, conn, BENCH_CONN_SECURING);
        return 0;
    }
    return error;
}

void bench_receive_on_connected(struct bench_receive *receive, struct bench_conn *conn, int error)
{
    struct bench_crew *crew = receive->frames->data->crew;
    if (error == 0) {
        bench_conn_end_phase(crew, conn, BENCH_PHASE_TCP);
        error = bench_roles_on_connected(crew, conn) ? 0
                : crew->options->url.is_tls          ? bench_receive_secure(crew, conn)
                                                     : bench_receive_request(crew, conn);
    }
    if (error != 0) {
        bench_receive_close(conn);
        bench_conn_fail(crew, conn, error);
        return;
    }
    bench_crew_arm(crew, conn);
}

static void bench_receive_carry_release(struct bench_receive *receive, struct bench_conn *conn)
{
    assert_always(conn->carry != NULL && conn->carry_bytes <= conn->carry_capacity);
    if (conn->carry_capacity == BENCH_CARRY_BLOCK_BYTES) {
        memcpy(conn->carry, &receive->carry_free, sizeof receive->carry_free);
        receive->carry_free = conn->carry;
    } else {
        free(conn->carry);
    }
    conn->carry = NULL;
    conn->carry_capacity = 0;
    conn->carry_bytes = 0;
}

/* Its received bytes belong to its previous connection. */
static void bench_receive_forget(struct bench_receive *receive, struct bench_conn *conn)
{
    if (conn->carry != NULL) {
        bench_receive_carry_release(receive, conn);
    }
    if (conn->next_seqs != NULL) {
        memset(conn->next_seqs, 0, conn->next_seq_count * sizeof *conn->next_seqs);
    }
    bench_broker_destroy(conn->broker);
    conn->broker = NULL;
}

void bench_receive_on_end(struct bench_receive *receive, struct bench_conn *conn)
{
    struct bench_crew *crew = receive->frames->data->crew;
    bench_conn_shut(crew, conn, 0);
    bench_receive_close(conn);
    bench_receive_forget(receive, conn);
    conn->due_ns = crew->now_ns;
}

static bool bench_receive_carry_reserve(struct bench_receive *receive, struct bench_conn *conn,
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
    if (capacity == BENCH_CARRY_BLOCK_BYTES && receive->carry_free != NULL) {
        carry = receive->carry_free;
        memcpy(&receive->carry_free, carry, sizeof receive->carry_free);
    } else {
        carry = malloc(capacity);
    }
    if (carry == NULL) {
        return false;
    }
    if (conn->carry != NULL) {
        uint32_t kept_bytes = conn->carry_bytes;
        memcpy(carry, conn->carry, kept_bytes);
        bench_receive_carry_release(receive, conn);
        conn->carry_bytes = kept_bytes;
    }
    assert_always(conn->carry == NULL && capacity <= UINT32_MAX);
    conn->carry = carry;
    conn->carry_capacity = (uint32_t)capacity;
    return true;
}

static void bench_receive_carry_append(struct bench_receive *receive, struct bench_conn *conn,
                                       const uint8_t *bytes, size_t bytes_count)
{
    struct bench_crew *crew = receive->frames->data->crew;
    if (!bench_receive_carry_reserve(receive, conn, conn->carry_bytes + bytes_count)) {
        bench_conn_shut(crew, conn, 0);
        return;
    }
    memcpy(conn->carry + conn->carry_bytes, bytes, bytes_count);
    conn->carry_bytes += (uint32_t)bytes_count;
}

/* The status in "HTTP/1.1 404 ..."; 0: there is none. */
static uint16_t bench_receive_http_status(const uint8_t *bytes, size_t bytes_count)
{
    char head[HTTP_STATUS_BYTES + 1] = "";
    unsigned status;
    memcpy(head, bytes, bytes_count < HTTP_STATUS_BYTES ? bytes_count : HTTP_STATUS_BYTES);
    return sscanf(head, "HTTP/1.%*1u %3u", &status) == 1 ? (uint16_t)status : 0;
}

/* An answer that is wrong in another way than by its status line. */
static void bench_receive_refuse(struct bench_crew *crew, enum handshake_status status)
{
    char words[BENCH_SAMPLE_BYTES_MAX];
    bool is_granted = status != HANDSHAKE_BAD_PROTOCOL && status != HANDSHAKE_BAD_EXTENSIONS;
    const char *text = handshake_client_text(status);
    if (text[0] != '\0') {
        const struct bench_options *options = crew->options;
        const char *cause = is_granted                        ? ""
                            : options->protocol == BENCH_MQTT ? "no MQTT at this path: "
                            : options->subprotocol != NULL    ? "the server does not speak this "
                                                                "--subprotocol: "
                                                              : "the server does not speak "
                                                                "this --encoding: ";
        snprintf(words, sizeof words, "%s%s", cause, text);
        bench_totals_refuse(&crew->totals, words, strlen(words));
    }
}

/* The answer's head; returns its length, 0: more is needed, or the conn is closed. */
static size_t bench_receive_on_upgrade(struct bench_receive *receive, struct bench_conn *conn,
                                       const uint8_t *bytes, size_t bytes_count)
{
    struct bench_crew *crew = receive->frames->data->crew;
    size_t head_bytes;
    enum handshake_status status =
        handshake_client_check(bytes, bytes_count, crew->key, &crew->wish, &head_bytes);
    if (status == HANDSHAKE_NEED_MORE) {
        return 0;
    }
    if (status != HANDSHAKE_OK) {
        bench_receive_refuse(crew, status);
        bench_conn_shut(crew, conn,
                        bench_receive_http_status(bytes + head_bytes, bytes_count - head_bytes));
        return 0;
    }
    bench_conn_enter(crew, conn, BENCH_CONN_SUBSCRIBING);
    conn->is_upgraded = true;
    bench_conn_end_phase(crew, conn, BENCH_PHASE_UPGRADED);
    if (bench_roles_on_upgraded(crew, conn)) {
        return head_bytes;
    }
    if (crew->options->protocol != BENCH_PLAIN) {
        crew->upgraded_count += !conn->is_back && conn->role <= BENCH_SLOW;
        bench_conn_ask(crew, conn);
        return head_bytes;
    }
    if (crew->options->send_text != NULL) {
        bench_conn_send_subscribe(crew, conn, false);
    }
    bench_roles_on_subscribed(crew, conn);
    return head_bytes;
}

/* "HTTP/1.1 400 ...": the answer to what was no proper request, counted as its close. */
static void bench_receive_on_refusal(struct bench_receive *receive, struct bench_conn *conn,
                                     const uint8_t *bytes, size_t bytes_count)
{
    struct bench_crew *crew = receive->frames->data->crew;
    uint16_t status = bench_receive_http_status(bytes, bytes_count);
    if (status != 0) {
        bench_conn_shut(crew, conn, status);
    }
}

/* Handles what is complete at the beginning; returns how many bytes that was. */
static size_t bench_receive_consume(struct bench_receive *receive, struct bench_conn *conn,
                                    const uint8_t *bytes, size_t bytes_count)
{
    size_t used = 0;
    if (conn->state == BENCH_CONN_WAITING && !conn->is_upgraded) {
        bench_receive_on_refusal(receive, conn, bytes, bytes_count);
        return bytes_count;
    }
    if (conn->state == BENCH_CONN_UPGRADING) {
        used = bench_receive_on_upgrade(receive, conn, bytes, bytes_count);
        if (used == 0) {
            return 0;
        }
    }
    return used + bench_frames_consume(receive->frames, conn, bytes + used, bytes_count - used);
}

static void bench_receive_on_plain(struct bench_receive *receive, struct bench_conn *conn,
                                   const uint8_t *bytes, size_t bytes_count)
{
    while (conn->carry_bytes > 0 && bytes_count > 0 && conn->state != BENCH_CONN_CLOSED) {
        size_t take = bytes_count;
        if (conn->state != BENCH_CONN_UPGRADING) {
            take = bench_frames_needed(conn->carry, conn->carry_bytes) - conn->carry_bytes;
            take = take < bytes_count ? take : bytes_count;
        }
        assert_always(take > 0); /* A complete frame is not kept. */
        bench_receive_carry_append(receive, conn, bytes, take);
        bytes += take;
        bytes_count -= take;
        size_t used = bench_receive_consume(receive, conn, conn->carry, conn->carry_bytes);
        assert_always(used <= conn->carry_bytes);
        conn->carry_bytes -= (uint32_t)used;
        if (conn->carry_bytes == 0) {
            bench_receive_carry_release(receive, conn);
        } else if (used > 0) {
            memmove(conn->carry, conn->carry + used, conn->carry_bytes);
        }
    }
    if (conn->state == BENCH_CONN_CLOSED || bytes_count == 0) {
        return;
    }
    size_t used = bench_receive_consume(receive, conn, bytes, bytes_count);
    if (used < bytes_count && conn->state != BENCH_CONN_CLOSED) {
        bench_receive_carry_append(receive, conn, bytes + used, bytes_count - used);
    }
}

/* TLS has failed: the first reason is kept for the report. */
static void bench_receive_on_tls_fault(struct bench_crew *crew, struct bench_conn *conn)
{
    const char *text = tls_client_error(conn->tls);
    if (text[0] != 0 && conn->state <= BENCH_CONN_UPGRADING) {
        bench_totals_refuse(&crew->totals, text, strlen(text));
    }
    bench_conn_shut(crew, conn, 0);
}

/* Goes on with the handshake. false: there is nothing to read yet. */
static bool bench_receive_on_hello(struct bench_crew *crew, struct bench_conn *conn)
{
    int error = tls_client_handshake(conn->tls, conn->fd);
    if (error == 0) {
        bench_conn_end_phase(crew, conn, BENCH_PHASE_TLS);
        error = bench_receive_request(crew, conn);
    }
    if (error != 0 && error != -EAGAIN) {
        bench_receive_on_tls_fault(crew, conn);
    }
    return error == 0;
}

/* Opens the bytes piece by piece. */
static void bench_receive_on_sealed(struct bench_receive *receive, struct bench_conn *conn,
                                    const uint8_t *sealed, size_t sealed_bytes)
{
    struct bench_crew *crew = receive->frames->data->crew;
    if (receive->plain == NULL) {
        receive->plain = malloc(BENCH_RECV_BUFFER_BYTES);
        assert_always(receive->plain != NULL);
    }
    for (size_t given = 0; given < sealed_bytes && conn->state != BENCH_CONN_CLOSED;) {
        given += tls_client_give(conn->tls, sealed + given, sealed_bytes - given);
        if (conn->state == BENCH_CONN_SECURING && !bench_receive_on_hello(crew, conn)) {
            continue;
        }
        ssize_t got = tls_client_read(conn->tls, conn->fd, receive->plain, BENCH_RECV_BUFFER_BYTES);
        assert_always(got < BENCH_RECV_BUFFER_BYTES); /* A piece and what was cut are less. */
        if (got > 0) {
            bench_receive_on_plain(receive, conn, receive->plain, (size_t)got);
        } else if (got < 0) {
            bench_receive_on_tls_fault(crew, conn);
        }
    }
}

void bench_receive_on_bytes(struct bench_receive *receive, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count)
{
    if (conn->tls != NULL) {
        bench_receive_on_sealed(receive, conn, bytes, bytes_count);
    } else {
        bench_receive_on_plain(receive, conn, bytes, bytes_count);
    }
}

void bench_receive_deinit(struct bench_receive *receive)
{
    while (receive->carry_free != NULL) {
        void *block = receive->carry_free;
        memcpy(&receive->carry_free, block, sizeof receive->carry_free);
        free(block);
    }
    free(receive->plain);
}
