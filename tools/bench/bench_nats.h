/*
 * bench_nats: the client side of the NATS protocol, as far as a subscriber needs it, in WebSocket
 * messages. Messages and protocol lines need not end together.
 *
 * Owner    A bench_conn, from its first message to its end. Threads: the conn's.
 * Memory   What is held of an incomplete line or payload.
 * Source   docs.nats.io, "Client Protocol"; nats-server 2.9 with its websocket listener.
 */
#ifndef RINGCAST_TOOLS_BENCH_NATS_H
#define RINGCAST_TOOLS_BENCH_NATS_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_NATS_HELD_MAX (1u << 21) /* a longer line or payload ends the connection */

struct bench_conn;
struct bench_nats;
struct bench_thread;

/* CONNECT, a SUB for each of "A,B" (subject md.A, dots as underscores), and PING: the PONG says
 * that all of it has been done. To be freed; NULL: out of memory. */
char *bench_nats_subscribe_text(const char *symbols, size_t *bytes_out);

/* A WebSocket message of the server. */
void bench_nats_on_message(struct bench_thread *thread, struct bench_conn *conn,
                           const uint8_t *bytes, size_t bytes_count);
void bench_nats_destroy(struct bench_nats *nats);

#endif
