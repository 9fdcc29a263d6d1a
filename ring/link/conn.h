/*
 * conn: one connection's fixed-size state, its life, and what is queued for it alone.
 *
 * Owner    A core, which has a slab of them. Threads: the core's own.
 * Memory   The slab; out chains, inputs and group_seqs come from the core's bounded pools.
 * Errors   None are returned: a conn that cannot go on is doomed. Nothing that it has goes away
 *          before core_bury(), so that no caller needs to ask whether it is still there.
 *
 * A conn gets data in one of two ways. While it keeps up it is *pushed*: the fan-out notes for it
 * what is due, and one send takes all (sender.h). When its socket is full, or when it has to be
 * brought up to date first, it *pulls* (puller.h).
 */
#ifndef RINGCAST_RING_CONN_H
#define RINGCAST_RING_CONN_H

#include "codec/base/list.h"
#include "codec/handshake.h"
#include "codec/proxy_header.h"
#include "ring/core/core.h"
#include "ring/fan/subs.h"
#include "ring/io/timer_wheel.h"
#include "ring/link/out_pool.h"

#define CONN_NONE UINT32_MAX
#define CONN_OUT_PAUSE_BYTES 65536  /* with more waiting for it, a conn is not read from */
#define CONN_FIRST_SLICE_UNITS 1000 /* of a conn that did not wait before */
#define CONN_TURN_UNITS 8000        /* of all conns that wait, in one turn; */
#define CONN_READ_UNITS 16000       /* with so many, what is received waits, too */
#define CONN_MESSAGE_UNITS 8        /* what a message costs, whatever it says: see core_spend */
#define CONN_INFLATE_UNITS 20
#define CONN_UNIT_BYTES 64 /* inflated for a unit */
#define CONN_HEAD_BYTES_MAX (PROXY_HEADER_BYTES_MAX + HANDSHAKE_BYTES_MAX)
#define CONN_HANDSHAKE_NS (5 * NS_PER_SECOND)
#define CONN_STARTS_PER_TURN 256 /* of conns that waited for their encoding */
#define CONN_CLOSE_NS (2 * NS_PER_SECOND)
#define CONN_TICK_NS NS_PER_SECOND /* without a frame in between: ops.on_quiet */
#define CONN_MISSED_PONGS_MAX 2
#define CONN_PING_INTERVALS_MAX 4 /* from one ping to the next; and round trips, at least */

struct io_uring_cqe;
struct puller_seq;

enum conn_state {
    CONN_FREE,        /* In the pool; the descriptor is closed. */
    CONN_HANDSHAKING, /* Reading the upgrade request. */
    CONN_STREAMING,   /* Upgraded; the log is followed. */
    CONN_CLOSING,     /* Close (or a refusal) is queued; the peer's end is awaited. */
    CONN_DOOMED,      /* It has ended, and waits for core_bury() with all that it has. */
    CONN_DRAINING,    /* Operations are cancelled; their completions are awaited. */
};

enum conn_mode {
    CONN_PUSHED,  /* Gets what the fan-out notes. */
    CONN_PULLING, /* Runnable: on core->pulls. */
    CONN_BLOCKED, /* The socket is full: OP_WRITABLE is armed. */
    CONN_STUCK,   /* Writable, yet nothing could be sent: waits for its timer. */
};

struct conn {
    /* What the fan-out and a whole send touch, and nothing else. */
    _Alignas(CACHE_LINE_BYTES) uint8_t state;
    uint8_t mode;
    uint8_t group_mask; /* groups subscribed as a whole */
    bool is_ready;      /* on core->ready */
    bool woken;         /* writable, and nothing was sent since */
    uint8_t encoding;   /* Which of core->streams it gets; 0 until it is chosen. */
    bool recv_paused;
    bool writable_armed;
    uint32_t due_frames;
    uint32_t extent_first; /* earlier extents, in core->extents; CONN_NONE: none */
    uint64_t due_start;    /* the newest extent, by position */
    uint32_t due_bytes;
    uint32_t extent_last;
    int32_t fd;
    uint32_t generation;
    struct out_chain out; /* 16 bytes */
    uint64_t frames_sent;

    /* Pulling. */
    uint64_t cursor;               /* index of the next frame to look at */
    struct puller_seq *group_seqs; /* per channel, for group_mask; NULL while pushed */
    uint32_t group_seqs_count;
    uint32_t sub_first;
    uint32_t sweep_sub;                    /* where the sweep goes on; SUB_NONE: subs are done */
    uint32_t sweep_channel;                /* then the groups' channels */
    uint8_t group_policy[CORE_GROUPS_MAX]; /* enum lag_policy */
    uint8_t missed_pongs;
    bool sweeping : 1;
    bool lag_exceeded : 1;   /* why it jumped last: max_lag, else a lap */
    bool is_pull_queued : 1; /* on core->pulls */
    bool is_unix : 1;
    bool copies : 1; /* the kernel copies what it is lent for this conn: nothing is lent any more */
    bool was_opened : 1;      /* ops.on_open was called */
    bool is_proxied : 1;      /* begins with a PROXY header */
    bool has_encoding : 1;    /* chosen, and counted */
    bool awaits_encoding : 1; /* In CONN_HANDSHAKING: granted, and on its stream's waiters. */
    bool has_place : 1;       /* is counted in options.place_count */
    bool close_received : 1;
    bool write_shut : 1;
    bool recv_armed : 1;
    bool shutdown_armed : 1;
    bool lag_told : 1;    /* since it was last up to date */
    bool inflates : 1;    /* permessage-deflate was agreed on */
    bool is_replayed : 1; /* has one of core->replays */
    bool in_history : 1;  /* struct conn_history counts; it stays in pull mode */
    bool reads_json : 1;  /* in_history, and what its own log does not have: see core_source() */
    bool is_waiting : 1;  /* on core->waiting */
    bool is_ending : 1;   /* on core->ending */
    bool is_held : 1;     /* a message of its is being answered in slices; it stays in pull mode */
    bool has_unread : 1;  /* messages of its wait in struct conn_history */
    uint32_t group_place[CORE_GROUPS_MAX];

    struct timer timer;
    uint32_t sub_count;
    uint32_t input; /* half a request or message; CONN_NONE: none */
    uint32_t round_trip_us;
    uint16_t close_code;
    uint8_t group_lag_mask; /* groups with a max_lag_ms, in struct conn_history */
    bool has_lag_limit;     /* a subscription of its has, or had, a max_lag_ms */
    uint64_t frames_lost;
    uint64_t frames_conflated;
    uint64_t frames_at_tick; /* frames_sent, at its last tick */
    uint64_t tick_ns;        /* when the next is */
    uint64_t opened_ns;
    uint64_t last_message_ns;
    /* In CONN_CLOSING: when it ends, whatever still waits. Once told of a drain: when it is closed.
     */
    uint64_t next_ping_ns;
    uint64_t ping_sent_ns;
    const char *close_text;
};
static_assert(sizeof(struct conn) == 256, "counted per connection, and a stride of whole lines");
static_assert(offsetof(struct conn, cursor) == CACHE_LINE_BYTES, "the fan-out touches one line");

/* What few conns need; by conn, in core->histories, and touched when it is first used. */
struct conn_history {
    /* While conn->awaits_encoding: what is left of its request. */
    struct list_link encoding_link;
    char key[HANDSHAKE_KEY_BYTES];
    const struct handshake_protocol *protocol;
    struct ws_deflate_terms deflate;
    /* While conn->in_history. */
    uint64_t end;      /* Frames before this index are all sent: none conflated, none too late. */
    uint64_t first;    /* The oldest frame that was found to be wanted, in the JSON log, */
    uint64_t seek_at;  /* and how far the search has come: 1 + the index of the channel's frame */
    uint32_t seek_sub; /* that is looked at next; 0: its newest. SUB_NONE: all are found. */
    /* Where conn->group_lag_mask says so. */
    uint16_t group_max_lag_ms[CORE_GROUPS_MAX];
    struct out_chain unread; /* While conn->has_unread: received, and not looked at yet. */
};

static inline bool conn_is_open(const struct conn *conn)
{
    return conn->state == CONN_STREAMING || conn->state == CONN_HANDSHAKING ||
           conn->state == CONN_CLOSING;
}

/* Whether it was sent all that was published so far. */
static inline bool conn_is_current(const struct conn *conn)
{
    return conn->mode == CONN_PUSHED && conn->due_frames == 0;
}

/* A request or message that is not complete. As long as a message may be when it is compressed. */
struct conn_input {
    struct list_link age_link; /* In core->inputs_in_use, oldest first, while used. */
    uint32_t conn;
    uint32_t handshake_bytes;
    uint64_t since_ns;
    struct ws_decoder decoder;
    uint8_t bytes[];
};

void conn_on_recv(struct core *core, struct conn *conn, const struct io_uring_cqe *cqe);
void conn_on_timer(struct core *core, struct timer *timer);
/* Queues bytes that are whole frames of this conn's own; ends it (4108) when the pool is empty. */
void conn_queue(struct core *core, struct conn *conn, const void *bytes, size_t count);
void conn_queue_frame(struct core *core, struct conn *conn, enum ws_opcode opcode,
                      const void *payload, size_t payload_bytes);
/* Queues Close and goes to CONN_CLOSING. reason goes to the peer; text, a constant string, to
 * the log. */
void conn_close(struct core *core, struct conn *conn, uint16_t code, const char *reason,
                const char *text);
/* Ends it without another word: marks it, and core_bury() does the rest at the top of the next
 * turn. Until then all that it has stays. Of a conn that is doomed it changes nothing. code: 0, or
 * what is reported unless there is one already. text: a constant string. */
void conn_doom(struct core *core, struct conn *conn, uint16_t code, const char *text);
/* 4108: there is no room for what it is to get. */
void conn_doom_slow(struct core *core, struct conn *conn, const char *text);
/* After all that waited to be sent has gone. */
void conn_on_sent(struct core *core, struct conn *conn);
/* After one of its operations has ended. */
void conn_on_operation_ended(struct core *core, struct conn *conn);

/* For conn_handshake.c and core_bury.c. */
void conn_enter(struct core *core, struct conn *conn, enum conn_state next);
void conn_arm_recv(struct core *core, struct conn *conn);
void conn_cancel(struct core *core, const struct conn *conn, uint32_t op);
void conn_release_input(struct core *core, struct conn *conn);
void conn_begin_closing(struct core *core, struct conn *conn);

/* For conn_slices.c. */
void conn_list_ending(struct core *core, struct conn *conn);
void conn_begin_slice(struct core *core, uint64_t units);
void conn_pause_recv(struct core *core, struct conn *conn);
void conn_resume_recv(struct core *core, struct conn *conn);
bool conn_is_full(const struct core *core, const struct conn *conn);
bool conn_is_to_pause(const struct core *core, const struct conn *conn);
bool conn_must_wait(const struct core *core, const struct conn *conn);
size_t conn_decode(struct core *core, struct conn *conn, uint8_t *bytes, size_t count);

/* conn_slices.c */
/* A slice for each conn whose messages wait, until CONN_TURN_UNITS are spent. */
void conn_run_waiting(struct core *core);
void conn_wait(struct core *core, struct conn *conn);
/* Messages of a conn, or parts of them: now, or when their turn comes. */
void conn_take_bytes(struct core *core, struct conn *conn, uint8_t *bytes, size_t count);
void conn_forget_unread(struct core *core, struct conn *conn);

#endif
