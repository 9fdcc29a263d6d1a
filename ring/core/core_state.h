/*
 * core_state: the inside of a core, shared by the files that make it up (core.c,
 * core_subscribe.c, core_drain.c, conn.c, sender.c, puller.c, lag.c) and by nobody else.
 *
 * Threads  The core's own, but for core->armed, core->stopping and core->drain_end_wanted_ns.
 */
#ifndef RINGCAST_RING_CORE_STATE_H
#define RINGCAST_RING_CORE_STATE_H

#include "codec/base/check.h"
#include "ring/core/core_watch.h"
#include "ring/fan/lag.h"
#include "ring/fan/puller.h"
#include "ring/io/engine.h"
#include "ring/link/conn.h"
#include "ring/link/sender.h"
#include "ring/probes.h"

#define CORE_INPUTS_MAX 256 /* conns in the middle of a request or message */
#define CORE_SQ_ENTRIES 1024
#define CORE_CQ_ENTRIES 16384
#define CORE_RECV_BUFFERS 256
#define CORE_RECV_BUFFER_BYTES 4096
#define CORE_ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define CORE_SPIN_NS (50 * NS_PER_US) /* before a core without inline publisher sleeps */
#define CORE_STOP_NS (500 * NS_PER_MS)

enum core_op {
    OP_NONE,
    OP_ACCEPT, /* conn: the listener's number */
    OP_RECV,
    OP_SEND, /* conn: slot of the batch */
    OP_LEND, /* a send without a copy; conn: slot << 16 | encoding << 12 | hold */
    OP_WRITABLE,
    OP_CANCEL,
    OP_SHUTDOWN,
    OP_CLOSE,
    OP_WAKE,
    OP_WATCH, /* conn: the number of a descriptor, see core_watch.h */
};

/* First in, first out; a conn is on it at most once, so that it never overflows. */
struct conn_queue {
    uint32_t *conns;
    uint32_t capacity;
    uint32_t first;
    uint32_t count;
};

static inline void conn_queue_push(struct conn_queue *queue, uint32_t conn)
{
    assert_always(queue->count < queue->capacity);
    uint32_t at = queue->first + queue->count++;
    queue->conns[at < queue->capacity ? at : at - queue->capacity] = conn;
}

static inline uint32_t conn_queue_pop(struct conn_queue *queue)
{
    assert_always(queue->count > 0);
    uint32_t conn = queue->conns[queue->first];
    queue->first = queue->first + 1 == queue->capacity ? 0 : queue->first + 1;
    queue->count--;
    return conn;
}

/* The one that place pops from now would return. */
static inline uint32_t conn_queue_peek(const struct conn_queue *queue, uint32_t place)
{
    uint32_t at = queue->first + place;
    return queue->conns[at < queue->capacity ? at : at - queue->capacity];
}

/* A stretch of the log that the kernel was given without a copy; by its hold's number. */
struct core_loan {
    uint32_t conn;
    uint32_t generation;
    uint32_t bytes;
};

struct replay;

/* What the core knows of a channel at core->position. */
struct core_channel {
    uint64_t last_seq;          /* 0: none yet */
    uint64_t last_index_plus_1; /* 0: none yet */
    uint64_t hash;              /* running, of its frames up to last_seq */
    uint8_t group;              /* once there was a frame */
};

/* One encoding: its log, how far the core has come in it, and who subscribes to what. A conn has
 * exactly one, for life. */
struct core_stream {
    struct frame_log *log;
    struct core_encoding *encoding;
    uint32_t run;   /* of the encoding, when the rest was brought up to it */
    uint64_t first; /* of the encoding; so is the next */
    uint64_t json_first;
    uint64_t position;   /* index of the next frame to fan out */
    uint64_t turn_first; /* where the turn began whose frames are due */
    struct core_channel *channels;
    struct core_loan *loans;  /* FRAME_LOG_HOLDS_MAX */
    struct list_link waiters; /* conns whose handshake ends when the encoding begins */
    struct subs subs;
    struct sub_list groups[CORE_GROUPS_MAX];
};

struct core {
    /* Read or written by other threads. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t armed; /* 1: asleep, or about to be */
    _Atomic uint32_t stopping;
    _Atomic uint64_t drain_end_wanted_ns; /* core_drain; 0: not called */

    /* Set at creation, then constant. */
    _Alignas(CACHE_LINE_BYTES) struct core_options options;
    uint32_t slab_count;

    /* The core's own. */
    struct engine engine;
    struct core_counters *counters;
    struct conn *conns;
    struct conn_history *histories; /* by conn */
    struct replay *replays;         /* CORE_REPLAYS_MAX */
    uint32_t replay_count;
    uint32_t replay_turn;   /* who is served first */
    uint64_t replay_due_ns; /* when one has something to send; UINT64_MAX: none has */
    uint32_t *free_conns;
    uint32_t free_conn_count;
    struct core_stream streams[CORE_ENCODINGS_MAX];
    uint32_t channel_count;
    struct out_pool out_pool;
    struct timer_wheel wheel;
    struct core_time time;

    struct conn_queue ready;   /* conns with something to send */
    struct conn_queue pulls;   /* conns that pull */
    struct conn_queue waiting; /* conns whose messages wait for their turn */
    struct conn_queue ending;  /* conns that close or are doomed: for core_bury() */
    uint64_t spent;            /* units of the slice, */
    uint64_t slice_units;      /* which ends with so many, */
    uint64_t turn_spent;       /* and of the slices of this turn before it */
    uint64_t pull_steps;       /* of the conns that pull, in this turn */
    uint64_t linked_frames;    /* found for them by links, ever (narrow.h); */
    uint64_t linked_cuts;      /* likewise, of those that were not sent */
    struct send_extent *extents;
    uint32_t extent_count;
    struct send_batch *batch;
    struct core_watch watch;
    uint64_t group_seqs_bytes;

    void *inputs; /* input_count blocks of input_bytes: see core_input() */
    size_t input_bytes;
    uint32_t input_count;
    struct list_link inputs_in_use;
    uint32_t *free_inputs;
    uint32_t free_input_count;
    uint8_t *inflated; /* the message at hand, if it came compressed: message_bytes_max bytes */

    struct timer accept_timer;
    bool accept_armed[CORE_LISTENERS_MAX];
    bool accept_paused;
    bool accepts_one; /* at a time: a backlog accepted at once would take others' descriptors */
    uint64_t accept_complaint_ns; /* when the next line about it may be written */
    uint64_t kernel_complaint_ns; /* the same for a kernel that takes nothing */
    uint64_t worked_ns;           /* when frames were last fanned out */
    uint64_t drain_end_ns;        /* 0: no drain has begun */
    uint64_t drain_began_ns;
    uint64_t drain_conn_count; /* when it began */
    uint64_t drain_told_count;
    uint32_t drain_next; /* Conns before it were told. */
    bool stopping_began;
    uint64_t stop_deadline_ns;
};

static inline uint64_t core_tag(enum core_op op, uint32_t generation, uint32_t conn)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & 0xffffff) << 32 | conn;
}

static inline struct conn *core_conn(struct core *core, uint32_t index)
{
    return &core->conns[index];
}

static inline struct conn_history *core_history(const struct core *core, const struct conn *conn)
{
    return &core->histories[conn - core->conns];
}

static inline struct conn_input *core_input(struct core *core, uint32_t index)
{
    return (struct conn_input *)((char *)core->inputs + index * core->input_bytes);
}

static inline uint32_t conn_index(const struct core *core, const struct conn *conn)
{
    return (uint32_t)(conn - core->conns);
}

static inline struct core_stream *core_stream(struct core *core, const struct conn *conn)
{
    return &core->streams[conn->encoding];
}

/* The first encoding's: all that is in reach of the past is in its log. */
static inline struct core_stream *core_json(struct core *core)
{
    return &core->streams[CORE_ENCODING_JSON];
}

/* What conn->cursor is an index in. */
static inline struct core_stream *core_source(struct core *core, const struct conn *conn)
{
    return conn->reads_json ? core_json(core) : core_stream(core, conn);
}

/* Where the first encoding's log has the tick of a frame, from stream->first on. */
static inline uint64_t core_json_index(const struct core_stream *stream, uint64_t index)
{
    return index - stream->first + stream->json_first;
}

/* And back, from stream->json_first on. */
static inline uint64_t core_own_index(const struct core_stream *stream, uint64_t json_index)
{
    return json_index - stream->json_first + stream->first;
}

void core_log(struct core *core, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void core_reap(struct core *core);
void core_enter(struct core *core, uint64_t wait_ns);
/* Enters until the kernel has taken all that is queued. */
void core_flush(struct core *core);
void core_see_channels(struct core *core);
/* Brings a stream up to an encoding that was begun since; false: it is not being written. */
bool core_follow_run(struct core *core, struct core_stream *stream);
void core_remove_sub(struct core *core, struct conn *conn, uint32_t sub);
void core_remove_group(struct core *core, struct conn *conn, uint32_t group);
/* Takes apart what has ended since the last turn, and as much as is left of earlier ones: the only
 * place where a conn's subscriptions, memory and operations go, and src is told of its end. */
void core_bury(struct core *core);
/* error: 0, or what to complain of in the log. */
void core_pause_accept(struct core *core, int error);

#define CORE_DRAIN_CLOSE_CODE 4201
/* Begins a drain that is wanted, and tells some conns; true: there are more. */
bool core_drain_go_on(struct core *core);
bool core_drain_has_told(const struct core *core, const struct conn *conn);
/* When the conn is to be looked at next: at its tick, or when it is closed. */
uint64_t core_drain_check_ns(const struct core *core, const struct conn *conn);
/* It is a conn's turn: closes it, or puts it off. */
void core_drain_close(struct core *core, struct conn *conn);
struct io_uring_sqe *core_sqe(struct core *core);

#endif
