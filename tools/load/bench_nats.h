/*
 * bench_nats: the client side of the NATS protocol, as far as a subscriber needs it.
 *
 * Owner    The caller. Threads: no state.
 * Memory   The text that subscribes.
 * Source   docs.nats.io, "Client Protocol"; nats-server 2.9 with its websocket listener.
 */
#ifndef RINGCAST_TOOLS_BENCH_NATS_H
#define RINGCAST_TOOLS_BENCH_NATS_H

#include "tools/load/bench_broker.h"

#define BENCH_NATS_TOPIC "md.{symbol}" /* the default of --topic */
#define BENCH_NATS_CONNECT                                                                         \
    "CONNECT "                                                                                     \
    "{\"verbose\":false,\"pedantic\":false,\"echo\":false,\"lang\":\"c\",\"version\":\"1\","       \
    "\"protocol\":1}\r\n"
#define BENCH_NATS_PONG "PONG\r\n" /* the answer to a PING */

/* The subject of a symbol, as bench_broker_topic() writes it. Dots of the symbol become
 * underscores, unless the topic is "{symbol}". */
size_t bench_nats_topic(char out[BENCH_BROKER_TOPIC_BYTES_MAX], const char *topic,
                        const char *symbol, size_t symbol_bytes);

/* CONNECT, a SUB for each of "A,B", and PING: the server answers PONG when it has done all of it.
 * To be freed; NULL: out of memory. */
char *bench_nats_subscribe_text(const char *symbols, const char *topic, size_t *bytes_out);

/* The first packet of these bytes; returns its number of bytes, or 0: it is not complete. */
size_t bench_nats_read(const uint8_t *bytes, size_t bytes_count,
                       struct bench_broker_packet *packet_out);

#endif
