/*
 * core: one thread, one ring, its listeners, its conns and their subscriptions.
 *
 * Owner    src creates cores before their threads start, and destroys them after they joined.
 * Threads  core_run: the core's own thread, which everything else named core_conn_* and
 *          core_subscribe etc. belongs to as well (they are called from the ops below).
 *          core_wake, core_stop: any thread.
 * Memory   Sized and touched at creation from the limits; subscriptions, control bytes and the
 *          halves of messages come from bounded pools that are touched when first used.
 * Units    Times are CLOCK_MONOTONIC nanoseconds, unless their name says wall_ns.
 * Errors   0 or a negative errno.
 *
 * A conn is named by its index, which is reused after ops.on_close. It knows channel numbers and
 * groups (a frame's group is its data type), never symbols.
 *
 * No call ends a conn: one that cannot go on is only marked, and ops.on_close comes in the next
 * turn. Until then calls for it are allowed, do nothing and return 0.
 */
#ifndef RINGCAST_RING_CORE_H
#define RINGCAST_RING_CORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/keyed_hash.h"
#include "codec/handshake.h"
#include "ring/board/counters.h"
#include "ring/board/frame_log.h"
#include "ring/core/core_claims.h"
#include "ring/core_ops.h"
#include "ring/pressure.h"

#define CORE_SPARE_CONNS 64 /* connections without a place (yet); indices are below the sum */
#define CORE_GROUPS_MAX 6
#define CORE_LISTENERS_MAX 17 /* 8 addresses, each plain and with TLS, and a Unix socket */
#define CORE_ENCODINGS_MAX 4
#define CORE_MESSAGE_BYTES_MAX 16384 /* a client's message, decompressed; in WELCOME */
#define CORE_HALF_MESSAGE_NS (10 * NS_PER_SECOND)
#define CORE_OUT_POOL_BYTES (64 * MIB)
#define CORE_PEER_TEXT_BYTES_MAX 64
#define CORE_SNAPSHOT_BYTES_MAX (1 * MIB) /* that wait for one connection */
#define CORE_REPLAYS_MAX 64               /* at a time; one for a conn */

/* The cost of messages is counted in units of about 25 ns. This many are one client's slice. */
#define CORE_SLICE_UNITS 4000

/* A listening socket: made by src on the main thread (listener.h), used by one core. */
struct core_listener {
    int fd;
    bool is_unix;
    bool is_tls;  /* core_options.tls is set then */
    bool is_kept; /* It outlives the process: clients that come in a drain wait for the next. */
};

enum core_encoding_number {
    CORE_ENCODING_JSON,
    CORE_ENCODING_SBE,
    CORE_ENCODING_JSON_DEFLATE,
};

/* How frames are written: each encoding has a log of its own, and each conn one encoding. All but
 * the first are written only while there are conns for them: a conn that asks for one that is not
 * waits with its handshake until it is. Which may be written, core_claims.h says. */
struct core_encoding {
    struct frame_log *log;
    /* Grows when the writer begins and when it ends: odd while frames are written. The log was
     * cleared before it begins (frame_log_clear). */
    _Atomic uint32_t run;
    /* Set before it begins: its frames from first on are, one for one, those of the first
     * encoding's log from json_first on. */
    _Atomic uint64_t first;
    _Atomic uint64_t json_first;
    bool takes_json; /* Constant: its conns may be sent frames of the first encoding, too. */
};

static inline bool core_encoding_is_written(uint32_t run)
{
    return run % 2 == 1;
}

struct engine;
struct engine_options;
struct tls_service;

/* Stretches of at least this many bytes are sent by reference, if they are due to at least
 * sharers_min connections. 0 bytes: none are. */
struct core_zero_copy {
    uint32_t tcp_bytes;
    uint32_t unix_bytes;
    uint32_t sharers_min;
};

struct core_options {
    uint32_t index;                 /* of the core: its reader number in the log */
    int cpu;                        /* to pin the thread to; -1: not pinned */
    uint32_t conn_count_max;        /* global limit: the slab holds them all */
    _Atomic uint32_t *conn_count;   /* open, all cores together */
    uint32_t open_count_max;        /* of conn_count; 0: conn_count_max + CORE_SPARE_CONNS, and
                                       the others wait unaccepted. Fewer, when descriptors are
                                       short: the others receive 503 at once */
    _Atomic uint32_t *place_count;  /* of these, asked to come in and may: up to */
    uint32_t place_count_max;       /* this many; 0: conn_count_max. Others receive 503 */
    uint64_t heartbeat_interval_ns; /* WebSocket ping; two missed answers close with 4109 */
    uint64_t idle_timeout_ns;       /* no subscription and no message: 4114 */
    uint64_t max_lag_ns;            /* 0: only a lap triggers the policy */
    uint32_t send_buffer_bytes;     /* for accepted Unix-domain sockets; TCP inherits it */
    struct core_zero_copy zero_copy;
    uint32_t message_bytes_max; /* 0: CORE_MESSAGE_BYTES_MAX; no less than a request has */
    uint64_t half_message_ns;   /* 0: CORE_HALF_MESSAGE_NS; then 4005 */
    size_t out_pool_bytes;      /* 0: CORE_OUT_POOL_BYTES; what waits for single conns */
    bool busy_poll;
    struct keyed_hash key; /* random, so that no client can aim at the core's tables */
    struct core_listener listeners[CORE_LISTENERS_MAX];
    uint32_t listener_count;
    struct core_document document;
    struct handshake_site site;      /* numbers: encodings; the first row's if none is offered */
    struct core_encoding *encodings; /* shared by all cores; the first is always written */
    uint32_t encoding_count;
    const struct pressure *pressure; /* shared by all cores; NULL: there is never any */
    struct tls_service *tls;         /* shared by all cores; NULL: no listener is_tls */
    struct core_claims *claims;      /* of the other encodings, shared too; NULL: there are none */
    struct core_counters *counters;
    const struct core_ops *ops;
    void *context;
    /* A publisher inside the core's loop: polls feeds, appends to the log. Returns when to be
     * called next in CLOCK_MONOTONIC ns (0: at once; UINT64_MAX: never). NULL: it is elsewhere. */
    uint64_t (*publish)(void *publish_context, uint64_t now_ns);
    void *publish_context;
    /* For tests; NULL: io_uring and the real clocks. */
    int (*open_engine)(struct engine *engine, const struct engine_options *options,
                       char *error_out);
    void (*clock)(void *context, struct core_time *time_out);
};

/* What core_create touches at once, except for a few MiB. */
uint64_t core_memory_bytes(uint32_t conn_count_max);

/* error_out: on failure, what forbids it and what to do. */
int core_create(struct core **core_out, const struct core_options *options, char *error_out,
                size_t error_bytes);
void core_destroy(struct core *core);

/* Runs until core_stop; conns then get a Close frame (1001; 4201 after core_drain) and at most
 * 500 ms. */
int core_run(struct core *core);
void core_stop(struct core *core);

/* Any thread, once. Connections are notified (ops.on_drain), still get their frames, and are closed
 * with 4201 one after the other, evenly up to end_ns; one that is behind, when it has caught up.
 * New ones wait where the listener is kept; elsewhere, refuses: 503, otherwise a notice as well. */
void core_drain(struct core *core, uint64_t end_ns, bool refuses);

/* Tells a core that the log's head moved. The caller has published the head before. Returns
 * whether the core slept (and was woken). waker: an engine of the calling thread. */
bool core_wake(struct core *core, struct engine *waker);

/* ---- For the ops, on the core's thread ---- */

/* Queues a text frame. Never fails: a conn whose bytes have no room in the pool ends with 4108. */
void core_send_text(struct core *core, uint32_t conn, const char *payload, size_t payload_bytes);

/* Queues bytes as they are: whole frames, header included, in any number of calls. Never fails, as
 * above. */
void core_send_raw(struct core *core, uint32_t conn, const void *bytes, size_t bytes_count);
/* Whether all of that was taken by the kernel. */
bool core_has_drained(struct core *core, uint32_t conn);
/* The same, in ops.on_continue: if not, ops.on_continue is not called again before it was. */
bool core_await_drain(struct core *core, uint32_t conn);

/* Whether this conn's share of the pool has room for this many bytes. */
bool core_has_room(struct core *core, uint32_t conn, size_t bytes);

/* Counts the cost of work for a conn's message; and whether the rest of the work must wait. */
void core_spend(struct core *core, uint32_t units);
bool core_slice_is_over(const struct core *core);
/* For a mail: gives memory of pools that are idle back to the kernel, a slice's worth. Returns
 * whether there is no more. */
bool core_trim(struct core *core);
/* The message goes on in ops.on_continue. Until it is answered no other of this conn is read, and
 * its frames wait in the log. Of a conn that closes it is dropped (ops.on_drop). */
void core_hold(struct core *core, uint32_t conn);
bool core_is_held(struct core *core, uint32_t conn);

/* Sends Close (after what is queued); the conn gets nothing more. reason: readable by a program. */
void core_close(struct core *core, uint32_t conn, uint16_t code, const char *reason);
/* It is open, and nothing has ended it yet. */
bool core_is_open(struct core *core, uint32_t conn);

/* A subscription to one channel. */
struct core_subscription {
    uint32_t channel;
    uint32_t group;
    enum lag_policy policy;
    uint8_t tag;         /* a byte of the caller's, kept with it */
    bool snapshot;       /* The newest frame, if it is a full image, is sent before live ones. */
    bool asks_image;     /* has_image is to be found; with snapshot only */
    uint16_t max_lag_ms; /* see core_set_max_lag() */
    /* Set when it is subscribed: */
    bool has_image; /* The newest frame is an image of its own, and nothing waits for this conn. */
    uint64_t next_seq; /* as core_next_seq() */
    uint64_t hash;     /* as core_hash() */
};
/* 0: subscribed. 1: it was already, and nothing is changed. -ENOSPC: the core's subscriptions are
 * used up. */
int core_subscribe(struct core *core, uint32_t conn, struct core_subscription *subscription);
int core_unsubscribe(struct core *core, uint32_t conn, uint32_t channel);
/* The tag of a subscription to this very channel, or -ENOENT. */
int core_subscription_tag(struct core *core, uint32_t conn, uint32_t channel);
void core_set_subscription(struct core *core, uint32_t conn, uint32_t channel,
                           enum lag_policy policy, uint8_t tag);
/* The channels that it is subscribed to by themselves, in any order. Returns how many; more than
 * max: list_out has none. */
struct core_subscribed {
    uint32_t channel;
    uint8_t tag;
};
uint32_t core_subscriptions(struct core *core, uint32_t conn, struct core_subscribed *list_out,
                            uint32_t max);

/* How far behind a conn may be before the policy of a subscription that exists is applied, lap or
 * not; 0: any. Of a policy that conflates it changes nothing. */
void core_set_max_lag(struct core *core, uint32_t conn, uint32_t channel, uint16_t max_lag_ms);
void core_set_group_max_lag(struct core *core, uint32_t conn, uint32_t group, uint16_t max_lag_ms);
uint16_t core_max_lag(struct core *core, uint32_t conn, uint32_t channel);
uint16_t core_group_max_lag(struct core *core, uint32_t conn, uint32_t group);

/* Subscribes a channel, anew if it is subscribed, from the frame after seq on. 0: every frame since
 * is in the first encoding's log, and will be sent before live ones (and once: whatever the policy,
 * what the log passes meanwhile is reported by GAP). 1: not all is there; GAP reports the hole, and
 * the newest frame follows it if it is a full image. -ERANGE: no client can have got that seq.
 * -ENOSPC: no room. */
struct core_resume {
    uint32_t channel;
    uint32_t group;
    enum lag_policy policy;
    uint8_t tag;
    bool is_same_epoch; /* false: seq means nothing; GAP begins with 1 */
    uint64_t seq;
};
int core_resume(struct core *core, uint32_t conn, const struct core_resume *resume);

/* Sends the frames of some channels again (struct core_replay). -ERANGE: not all of them are there
 * any more. -EINVAL: there is nothing yet. -EBUSY: this conn has one, or the core has
 * CORE_REPLAYS_MAX. -ENOMEM. */
/* channels: in the order of their numbers, each once; copied. */
int core_replay(struct core *core, uint32_t conn, const struct core_replay *replay,
                const struct core_replayed *channels, uint32_t count);
/* Ends it, if there is one, without on_replay_end. */
void core_stop_replay(struct core *core, uint32_t conn);
/* Removes the channels from a conn's replay for which keeps() returns false, and returns how many.
 * Nothing more of them is sent. A replay without channels ends in the next turn (on_replay_end). */
uint32_t core_limit_replay(struct core *core, uint32_t conn,
                           bool (*keeps)(void *context, uint32_t channel), void *context);
/* All frames that were published later can be had again; nanoseconds. */
uint64_t core_log_begins_ns(struct core *core);

/* The newest frames of channels, as they were sent. Of a channel that the conn gets but is behind
 * with, it is the last one that it got. error: 0; -ENODATA: there is none in reach; -EAGAIN: too
 * much waits for this conn. They are valid until core_send_snapshots, which is to follow, with what
 * core_find_snapshots returned; the answer may be sent in between. */
uint64_t core_find_snapshots(struct core *core, uint32_t conn, struct core_snapshot *snapshots,
                             uint32_t count);
void core_send_snapshots(struct core *core, uint32_t conn, const struct core_snapshot *snapshots,
                         uint32_t count, uint64_t pinned);

/* A subscription to every channel of a group, present and future. A channel subscribed both ways
 * has the exact subscription's policy and its frames come once. */
int core_subscribe_group(struct core *core, uint32_t conn, uint32_t group, enum lag_policy policy,
                         bool snapshot);
int core_unsubscribe_group(struct core *core, uint32_t conn, uint32_t group);

/* enum core_encoding_number; chosen before ops.on_open. */
uint32_t core_conn_encoding(struct core *core, uint32_t conn);

/* The seq of the next live frame of a channel, as this core sees it for that conn; the running hash
 * (codec/running_hash.h) of the frames before; and a number that grows when either changes. */
uint64_t core_next_seq(struct core *core, uint32_t conn, uint32_t channel);
uint64_t core_hash(struct core *core, uint32_t conn, uint32_t channel);
uint64_t core_position(struct core *core, uint32_t conn);

/* Whether this conn was sent all its frames before core_next_seq. */
bool core_conn_is_current(struct core *core, uint32_t conn);

void core_conn_lag(struct core *core, uint32_t conn, struct core_lag *lag_out);

/* Channels this conn gets, in turns: fills channels_out from *turn on, at most max, and moves
 * *turn on (0 at the start; wraps). Returns how many. */
uint32_t core_conn_channels(struct core *core, uint32_t conn, uint32_t *turn,
                            uint32_t *channels_out, uint32_t max);

/* "127.0.0.1:5123", "[::1]:5123" or "unix"; may be a system call. */
void core_conn_peer(struct core *core, uint32_t conn, char text_out[CORE_PEER_TEXT_BYTES_MAX]);

/* The same in numbers; may be a system call. If the peer has left: the address ::. */
void core_conn_source(struct core *core, uint32_t conn, struct core_source *source_out);

uint32_t core_index(const struct core *core);

#endif
