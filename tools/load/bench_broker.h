/*
 * bench_broker: the common part of NATS and MQTT: a broker's packets inside WebSocket messages. A
 * packet may end in another message than it begins.
 *
 * Owner    A bench_conn, from its first incomplete packet to its end. Threads: the conn's.
 * Memory   The bytes of an incomplete packet.
 */
#ifndef RINGCAST_TOOLS_BENCH_BROKER_H
#define RINGCAST_TOOLS_BENCH_BROKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_BROKER_HELD_MAX (1u << 21) /* a longer packet ends the connection */
#define BENCH_BROKER_TEMPLATE_BYTES_MAX 128
#define BENCH_BROKER_TOPIC_BYTES_MAX 256

enum bench_broker_kind {
    BENCH_BROKER_PING,       /* to be answered (NATS) */
    BENCH_BROKER_SUBSCRIBED, /* the answer to the whole subscription */
    BENCH_BROKER_REFUSAL,    /* its words */
    BENCH_BROKER_TICK,       /* its payload */
    BENCH_BROKER_MALFORMED,  /* its bytes; what follows cannot be read */
    BENCH_BROKER_OTHER,
};

struct bench_broker_packet {
    enum bench_broker_kind kind;
    const uint8_t *bytes;
    size_t bytes_count;
};

/* Writes the template with its {symbol} replaced, not terminated; returns the bytes written. The
 * symbol has at most 64 bytes. */
size_t bench_broker_topic(char out[BENCH_BROKER_TOPIC_BYTES_MAX], const char *template,
                          const char *symbol, size_t symbol_bytes);

struct bench_broker;

/* Appends bytes to the incomplete packet; *broker_out is created when it is NULL. false: too many
 * bytes, or no memory. */
bool bench_broker_hold(struct bench_broker **broker_out, const uint8_t *bytes, size_t bytes_count);

/* The bytes of the incomplete packet, and their number; NULL has none. */
const uint8_t *bench_broker_held(const struct bench_broker *broker, size_t *bytes_out);

/* Forgets the first of these bytes. */
void bench_broker_drop(struct bench_broker *broker, size_t bytes);
void bench_broker_destroy(struct bench_broker *broker); /* NULL does nothing. */

#endif
