/*
 * broker_fixture: a reader of a broker's packets, whose socket's other end is the test's.
 */
#ifndef RINGCAST_TESTS_BROKER_FIXTURE_H
#define RINGCAST_TESTS_BROKER_FIXTURE_H

#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench_fixture.h"

#define BROKER_MESSAGE_BYTES_MAX 126

static int broker_fd;

/* "aaa..,aaa..": so many symbols of so many bytes; to be freed. */
static inline char *broker_fixture_symbols(size_t count, size_t symbol_bytes)
{
    char *symbols = calloc(count, symbol_bytes + 1);
    assert_non_null(symbols);
    memset(symbols, 'a', count * (symbol_bytes + 1) - 1);
    for (size_t i = 1; i < count; i++) {
        symbols[i * (symbol_bytes + 1) - 1] = ',';
    }
    return symbols;
}

static inline void broker_fixture_begin(enum bench_protocol protocol)
{
    int fds[2];
    bench_fixture_begin(
        &(struct bench_options){.symbols = "A,B.C", .protocol = protocol, .connection_count = 1});
    thread.crew.random = 1;
    thread.crew.in_flight = 1;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    broker_fd = fds[1];
    *conn = (struct bench_conn){.fd = fds[0], .state = BENCH_CONN_SUBSCRIBING};
}

static inline void broker_fixture_end(void)
{
    bench_broker_destroy(conn->broker);
    close(conn->fd);
    close(broker_fd);
    bench_fixture_end();
}

/* A WebSocket message, in a block of just its size. */
static inline void broker_fixture_feed(const void *bytes, size_t count)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, count);
    bench_frames_on_broker(&thread.frames, conn, copy, count);
    free(copy);
}

/* What the client sends next, unmasked and terminated; returns its bytes. */
static inline size_t broker_fixture_next(char out[BROKER_MESSAGE_BYTES_MAX])
{
    uint8_t frame[6 + BROKER_MESSAGE_BYTES_MAX];
    if (recv(broker_fd, frame, 6, MSG_DONTWAIT) != 6) {
        return 0;
    }
    size_t bytes = frame[1] & 0x7f;
    assert_int_equal(frame[0], 0x80 | WS_BINARY);
    assert_true(bytes < BROKER_MESSAGE_BYTES_MAX);
    assert_int_equal(recv(broker_fd, frame + 6, bytes, MSG_DONTWAIT), bytes);
    for (size_t i = 0; i < bytes; i++) {
        out[i] = (char)(frame[6 + i] ^ frame[2 + i % 4]);
    }
    out[bytes] = 0;
    return bytes;
}

#endif
