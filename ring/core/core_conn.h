/*
 * core_conn: the figures of one connection, or of a channel, for what an operator or a client asks.
 *
 * Owner    A core. Threads: its own.
 * Units    Nanoseconds of CLOCK_MONOTONIC.
 * Errors   None: what is not known is 0.
 */
#ifndef RINGCAST_RING_CORE_CONN_H
#define RINGCAST_RING_CORE_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "codec/base/units.h"

#define CORE_PONG_NS (5 * NS_PER_SECOND) /* A pong that takes longer counts as missed so far. */

struct core;

enum core_conn_state {
    CORE_CONN_STREAMING,   /* It gets frames as they are published. */
    CORE_CONN_BLOCKED,     /* Its socket takes nothing more just now. */
    CORE_CONN_CATCHING_UP, /* It reads the log on its own, from where it left off. */
    CORE_CONN_ENDING,      /* It gets nothing more. */
};

struct core_conn_stats {
    uint64_t frames_sent, frames_lost, frames_conflated;
    uint32_t subscription_count; /* exact ones and groups */
    uint32_t round_trip_us;      /* of the last ping; 0: not known */
    uint32_t encoding;           /* enum core_encoding_number */
    uint32_t missed_pongs;       /* in a row; of pings that were sent CORE_PONG_NS ago or before */
    enum core_conn_state state;
    uint64_t open_ns;    /* how long it has been open */
    uint64_t blocked_ns; /* of this: its socket was full */
};
void core_conn_stats(struct core *core, uint32_t conn, struct core_conn_stats *stats_out);

/* What the kernel has sent for a TCP connection since it was opened. */
struct core_sent {
    uint64_t bytes;
    uint32_t segments; /* with data, the retransmitted ones included */
    uint32_t segments_again;
};
/* A system call. false: it is a Unix-domain socket, or the peer has left. */
bool core_conn_sent(struct core *core, uint32_t conn, struct core_sent *sent_out);

/* What its TLS is, once its handshake has finished. Constant strings. */
struct core_conn_tls {
    const char *version;         /* "1.3" */
    const char *cipher;          /* "AES-128-GCM" */
    const struct tls_peer *peer; /* tls_service.h; NULL: its request is answered */
};
/* false: it speaks no TLS (yet). */
bool core_conn_tls(struct core *core, uint32_t conn, struct core_conn_tls *tls_out);

/* How many of this core's conns get a channel; one with "*" and the channel itself counts twice. */
uint32_t core_channel_subscribers(const struct core *core, uint32_t channel);

#endif
