/*
 * tls_link_client: the client of a link of tls_link.h: it connects, is secured, sends records.
 */
#ifndef RINGCAST_TESTS_TLS_LINK_CLIENT_H
#define RINGCAST_TESTS_TLS_LINK_CLIENT_H

#include "ring/link/opening.h"
#include "ring/link/receiver.h"
#include "tests/tls_link.h"

static inline struct link *tls_link_accept_fd(int fd, enum opening_kind kind)
{
    uint32_t index = tls_link.links->free_first;
    assert_true(opening_begin(tls_link.links, fd, kind, 0));
    return links_at(tls_link.links, index);
}

static inline struct link *tls_link_accept(void)
{
    int fd = BENCH_NULL_FD_FIRST + (int)tls_link.accepted_count++;
    return tls_link_accept_fd(fd, OPENING_TLS);
}

static inline void tls_link_complete(struct link *link, int result, uint32_t flags)
{
    struct io_uring_cqe cqe = {.res = result, .flags = flags};
    assert_true(link->recv_armed);
    receiver_on_recv(tls_link.links, link, &cqe);
}

/* Something has come to a client that has no job yet. */
static inline void tls_link_speak(struct link *link)
{
    tls_link_complete(link, POLLIN, 0);
}

/* One receive's bytes. */
static inline void tls_link_receive(struct link *link, const void *bytes, size_t count)
{
    struct engine *engine = &tls_link.links->engine;
    bool more = link->stage != LINK_SECURING;
    assert_in_range(count, 1, engine->recv_buffer_bytes);
    memcpy(engine->recv_buffers, bytes, count);
    tls_link_complete(link, (int)count, IORING_CQE_F_BUFFER | (more ? IORING_CQE_F_MORE : 0));
}

/* Its first bytes; then the service has them. */
static inline void tls_link_hello(struct link *link)
{
    tls_link_speak(link);
    tls_link_receive(link, "\x16hello", 6);
}

static inline void tls_link_go_on(void)
{
    core_read_clock(tls_link.core);
    securing_go_on(tls_link.links);
}

/* A link with keys, whose request is awaited. */
static inline struct link *tls_link_secure(enum tls_version version, enum tls_suite suite)
{
    struct link *link = tls_link_accept();
    tls_link_hello(link);
    tls_link_finish(tls_link_return(TLS_FINISHED, ""), version, suite);
    tls_link_go_on();
    assert_int_equal(link->stage, LINK_HANDSHAKING);
    return link;
}

/* Appends a record that the client seals; returns its length. */
static inline size_t tls_link_seal(uint8_t *record, enum tls_type type, const void *bytes,
                                   size_t count)
{
    memcpy(record + tls_record_front(&tls_link.tx), bytes, count);
    size_t record_bytes = tls_record_seal(tls_link.ciphers, &tls_link.tx, type, record, count);
    assert_true(record_bytes > 0);
    return record_bytes;
}

static inline void tls_link_send(struct link *link, enum tls_type type, const void *bytes,
                                 size_t count)
{
    uint8_t record[LINKS_RECV_BUFFER_BYTES];
    assert_true(count + TLS_OVERHEAD_BYTES_MAX + 1 <= sizeof record);
    tls_link_receive(link, record, tls_link_seal(record, type, bytes, count));
}

static const char tls_link_request[] = "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                                       "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                       "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";

/* A link with keys that streams. */
static inline struct link *tls_link_stream(enum tls_version version, enum tls_suite suite)
{
    struct link *link = tls_link_secure(version, suite);
    tls_link_send(link, TLS_APPLICATION_DATA, tls_link_request, sizeof tls_link_request - 1);
    assert_int_equal(link->stage, LINK_STREAMING);
    return link;
}

/* A text message, whose mask is of zeroes; returns its length. */
static inline size_t tls_link_message(uint8_t *out, const void *payload, size_t payload_bytes)
{
    assert_in_range(payload_bytes, 0, UINT16_MAX);
    size_t header_bytes = payload_bytes < 126 ? 2 : 4;
    out[0] = 0x81;
    out[1] = (uint8_t)(0x80 | (payload_bytes < 126 ? payload_bytes : 126));
    if (header_bytes == 4) {
        out[2] = (uint8_t)(payload_bytes >> 8);
        out[3] = (uint8_t)payload_bytes;
    }
    memset(out + header_bytes, 0, 4);
    memcpy(out + header_bytes + 4, payload, payload_bytes);
    return header_bytes + 4 + payload_bytes;
}

/* What waits to be sent as it is. */
static inline size_t tls_link_sealed(const struct link *link, uint8_t *out, size_t bytes_max)
{
    return out_chain_copy(&tls_link.links->out_pool, &links_tls(tls_link.links, link)->sealed, out,
                          bytes_max);
}

#endif
