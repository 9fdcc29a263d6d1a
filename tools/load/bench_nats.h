/*
 * bench_nats: the client side of the NATS protocol, as far as a subscriber needs it, in WebSocket
 * messages. Messages and protocol lines need not end together.
 *
 * Owner    A bench_conn, from its first incomplete item to its end. Threads: the conn's.
 * Memory   What is held of an incomplete line or payload.
 * Source   docs.nats.io, "Client Protocol"; nats-server 2.9 with its websocket listener.
 */
#ifndef RINGCAST_TOOLS_BENCH_NATS_H
#define RINGCAST_TOOLS_BENCH_NATS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_NATS_HELD_MAX (1u << 21) /* a longer line or payload ends the connection */

struct bench_nats;

/* CONNECT, a SUB for each of "A,B" (subject md.A, dots as underscores), and PING: the PONG says
 * that all of it has been done. To be freed; NULL: out of memory. */
char *bench_nats_subscribe_text(const char *symbols, size_t *bytes_out);

enum bench_nats_kind {
    BENCH_NATS_PING,
    BENCH_NATS_PONG,
    BENCH_NATS_REFUSAL, /* -ERR: the line */
    BENCH_NATS_DATA,    /* MSG: its payload */
    BENCH_NATS_OTHER,   /* INFO, +OK */
};

struct bench_nats_item {
    enum bench_nats_kind kind;
    const uint8_t *bytes;
    size_t bytes_count;
};

/* The first item of these bytes; returns how many of them it takes, 0: it is not complete. */
size_t bench_nats_read(const uint8_t *bytes, size_t bytes_count, struct bench_nats_item *item_out);

/* Appends to what is held of an item that is not complete; *nats_out is created when it is NULL.
 * false: too much, or no memory. */
bool bench_nats_hold(struct bench_nats **nats_out, const uint8_t *bytes, size_t bytes_count);

/* What is held, and how much; NULL holds nothing. */
const uint8_t *bench_nats_held(const struct bench_nats *nats, size_t *bytes_out);

/* Forgets the first bytes of it. */
void bench_nats_drop(struct bench_nats *nats, size_t bytes);
void bench_nats_destroy(struct bench_nats *nats); /* NULL does nothing. */

#endif
