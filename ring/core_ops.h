/*
 * core_ops: the functions of src that a core calls.
 *
 * Owner    src: one constant table for all cores.
 * Threads  All are called on the core's thread.
 * Memory   What is pointed to is valid during the call only.
 */
#ifndef RINGCAST_RING_CORE_OPS_H
#define RINGCAST_RING_CORE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/handshake_head.h"
#include "codec/ip_address.h"
#include "codec/ws_deflate.h"
#include "ring/plan.h"

struct core;
struct frame_desc;
struct tls_peer;

static inline const char *lag_cause_text(enum lag_cause cause)
{
    return cause == LAG_BY_CLIENT ? "client" : cause == LAG_BY_NETWORK ? "network" : "server";
}

struct core_time {
    uint64_t now_ns;  /* CLOCK_MONOTONIC */
    uint64_t wall_ns; /* CLOCK_REALTIME */
};

/* What a plain GET of its path is answered with; its bytes are copied. */
struct core_document {
    const char *path; /* NULL: none */
    const char *content_type;
    const char *bytes;
    size_t bytes_count;
};

/* Reasons a conn ended, for the log. */
struct core_conn_end {
    uint16_t close_code; /* sent or received; 1006 when there was none */
    const char *text;    /* "reset by peer", "no pong", ... */
    uint64_t frames_sent, frames_lost, frames_conflated;
    uint64_t open_ns; /* how long it was open */
};

/* The origin of a connection. */
struct core_source {
    bool is_unix; /* Then there is no address. */
    struct ip_address address;
    uint16_t port;
};

enum core_admission {
    CORE_ADMIT,
    CORE_ADMIT_PROXY, /* A trusted proxy, which begins with a PROXY header. */
    CORE_REFUSE,
};

enum core_grant {
    CORE_GRANTED,
    CORE_REFUSED,
    CORE_LATER, /* It is asked again in the next turns, without its request. */
};

/* The answer to a client that may not connect. */
struct core_refusal {
    const char *status_line; /* "403 Forbidden" */
    char extra[96];          /* further header lines, each with its line end */
    const char *text;        /* a constant string */
};

/* A well-formed request to upgrade. */
struct core_request {
    const uint8_t *head; /* for handshake_values() */
    size_t head_bytes;
    struct handshake_slice rest;       /* of its target, behind the site's path; may be empty */
    const struct core_source *proxied; /* the client that a PROXY header names, or NULL */
    const struct tls_peer *tls;        /* what its TLS handshake has found out, or NULL: no TLS */
};

/* All are called on the core's thread. on_drop, on_close and on_leave come only at the top of a
 * turn, outside all other calls. */
struct core_ops {
    /* A socket was accepted. When it is refused it is answered at once, unread. NULL: all may
     * come in. */
    enum core_admission (*on_accept)(void *context, struct core *core, uint32_t conn,
                                     uint64_t now_ns, struct core_refusal *refusal_out);
    /* The head of its request has come, well-formed or not. Before on_request; may be NULL. */
    void (*on_head)(void *context, struct core *core, uint32_t conn, const uint8_t *head,
                    size_t head_bytes);
    /* It is answered with a status other than 101, and ends; bytes: of the answer. May be NULL. */
    void (*on_answer)(void *context, struct core *core, uint32_t conn, int status, size_t bytes);
    /* Whether its request is granted. After CORE_LATER it is asked again with request NULL: in
     * the order in which they came, until one is CORE_LATER again. NULL: all are granted. */
    enum core_grant (*on_request)(void *context, struct core *core, uint32_t conn, uint64_t now_ns,
                                  const struct core_request *request,
                                  struct core_refusal *refusal_out);
    /* The end of every conn that on_accept has let in, after on_close. May be NULL. */
    void (*on_leave)(void *context, struct core *core, uint32_t conn);
    /* Once a second for each open conn. May be NULL. */
    void (*on_tick)(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
    /* A client offers permessage-deflate: what is answered (ws_extensions_negotiate). Before
     * on_open, which may then not come. NULL: no compression is ever agreed on. */
    struct ws_deflate_terms (*on_offers)(void *context, struct core *core, uint32_t conn,
                                         const struct ws_deflate_offers *offers);
    /* What inflates the messages of a conn that on_offers agreed with: one state for all of them
     * that keep no context. */
    struct ws_inflate *(*inflate_of)(void *context, struct core *core, uint32_t conn);
    /* The upgrade is answered; the WELCOME is to be sent. */
    void (*on_open)(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
    /* A whole text or binary message; payload may be changed in place. */
    void (*on_message)(void *context, struct core *core, uint32_t conn, enum ws_opcode opcode,
                       uint8_t *payload, size_t payload_bytes, uint64_t now_ns);
    /* A request that core_hold was called for: its next slice. true: it is answered. May be NULL
     * where core_hold is not called. */
    bool (*on_continue)(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
    /* Such a request ends unanswered, since its conn closes. May be NULL. */
    void (*on_drop)(void *context, struct core *core, uint32_t conn);
    /* The end of every conn that on_open was called for. The index may be reused afterwards. */
    void (*on_close)(void *context, struct core *core, uint32_t conn,
                     const struct core_conn_end *end);
    /* No data frame went to this conn for a second: send a HEARTBEAT, if wanted. */
    void (*on_quiet)(void *context, struct core *core, uint32_t conn, uint64_t now_ns);
    /* Whether a client without subscriptions wants something, so that it is not idle. NULL: no. */
    bool (*is_wanted)(void *context, struct core *core, uint32_t conn);
    /* This conn has used up half of what it may lag. Once, until it has caught up. */
    void (*on_lag)(void *context, struct core *core, uint32_t conn, const struct core_lag *lag);
    /* The server is to stop: this conn is closed in close_ns, all are in end_ns. */
    void (*on_drain)(void *context, struct core *core, uint32_t conn, uint64_t close_ns,
                     uint64_t end_ns);
    /* A channel that the core has not seen before, before its first frame is fanned out. */
    void (*on_channel)(void *context, struct core *core, uint32_t channel);
    /* A conn has begun (1) or ended (-1) to subscribe to this very channel, or a replay of it has;
     * NULL: not wanted. */
    void (*on_subscriber)(void *context, struct core *core, uint32_t channel, int change);
    /* Writes a GAP message (payload only, at most 256 bytes) and returns its length. Both ends
     * inclusive. reason: "lag" (max_lag) or "overrun" (lapped). */
    size_t (*write_gap)(void *context, char *out, uint32_t channel, uint64_t from_seq,
                        uint64_t to_seq, const char *reason);
    /* What a conn of another encoding gets for a frame of the first one, from before its own began;
     * valid until the next call. For encodings without takes_json only. */
    const uint8_t *(*recode)(void *context, uint32_t encoding, const struct frame_desc *desc,
                             const uint8_t *frame, uint32_t *bytes_out);
    /* A replay has come to its end; is_whole: nothing was missing. The channels are those of
     * core_replay, with what was sent of each, and subscribed if they were to be. */
    void (*on_replay_end)(void *context, struct core *core, uint32_t conn,
                          const struct core_replayed *channels, uint32_t count, bool is_whole);
    /* Once a turn, before what is queued is sent. May be NULL. */
    void (*on_turn)(void *context, struct core *core, uint64_t now_ns);
    /* The number of channels that exist (acquire). */
    uint32_t (*channel_count)(void *context);
    /* A line for the log; never blocks. level: 0 debug, 1 info, 2 warning, 3 error. */
    void (*log)(void *context, struct core *core, int level, const char *text);
};

#endif
