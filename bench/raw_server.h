/*
 * raw_server: accepts, upgrades, answers SUBSCRIBE: just enough for ringcast-bench. With TLS, as
 * most servers do it: an SSL object a peer, on its socket.
 *
 * Owner    The caller. Threads: one.
 * Memory   24 bytes per peer, and OpenSSL's; 16 KiB more until it is subscribed.
 * Errors   0 or a negative errno. A peer that does anything unexpected is closed.
 */
#ifndef RINGCAST_BENCH_RAW_SERVER_H
#define RINGCAST_BENCH_RAW_SERVER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct raw_server;

struct raw_server_options {
    const char *unix_path;   /* NULL: TCP on 127.0.0.1 */
    const char *certificate; /* CHAIN,KEY: with TLS; NULL: in the clear */
    uint16_t port;
    uint32_t send_buffer_bytes;
};

int raw_server_create(struct raw_server **server_out, const struct raw_server_options *options);
void raw_server_destroy(struct raw_server *server);

/* Handles the requests of peers, for at most timeout_ns. */
void raw_server_poll(struct raw_server *server, uint64_t timeout_ns);

/* Peers are numbered from 0; the count grows only. */
uint32_t raw_server_count(const struct raw_server *server);

/* -1: closed, or not subscribed yet. */
int raw_server_fd(const struct raw_server *server, uint32_t peer_index);

/* As send(2). With TLS all of the bytes are taken, or none: then send the same ones again. */
ssize_t raw_server_send(struct raw_server *server, uint32_t peer_index, const uint8_t *bytes,
                        size_t bytes_count);
void raw_server_close(struct raw_server *server, uint32_t peer_index);

#endif
