/*
 * core_state: the inside of a core, shared by the files that make it up (core.c, conn.c,
 * sender.c, puller.c) and by nobody else.
 *
 * Threads  The core's own, but for core->armed and core->stopping.
 *
 * A conn gets data in one of two ways. While it keeps up it is *pushed*: the fan-out notes for it
 * what is due, and one send takes all. When its socket is full, or when it has to be brought up
 * to date first (a new subscription's last frames, a lap), it *pulls*: it keeps a cursor into the
 * log, and for each subscription the seq it is to get next.
 */
#ifndef RINGCAST_RING_CORE_STATE_H
#define RINGCAST_RING_CORE_STATE_H

#include "codec/base/check.h"
#include "codec/base/list.h"
#include "codec/ws_decoder.h"
#include "codec/ws_handshake.h"
#include "ring/core.h"
#include "ring/engine.h"
#include "ring/out_pool.h"
#include "ring/probes.h"
#include "ring/subs.h"
#include "ring/timer_wheel.h"

#define CORE_BATCH_SENDS_MAX 64   /* SQEs a flush submits at once ... */
#define CORE_FIRST_BATCH_SENDS 16 /* ... but for the first, so that the first bytes leave early */
#define CORE_BATCH_IOVS_MAX 4096
#define CORE_SEND_IOVS_MAX 1024   /* UIO_MAXIOV */
#define CORE_TURN_FRAMES_MAX 1024 /* descriptors fanned out, */
#define CORE_TURN_BYTES_MAX                                                                        \
    (64 * KIB)                    /* and bytes, before conns are flushed: half of a pull's,        \
                                   so that who pulls catches up */
#define CORE_PULL_FRAMES_MAX 4096 /* the same for one pulling conn and turn */
#define CORE_PULL_BYTES_MAX (128 * KIB)
#define CORE_PULL_IOVS_MAX 256
#define CORE_PULLS_PER_TURN 64
#define CORE_EXTENTS_MAX 65536 /* noted at once, all conns together */
#define CORE_OUT_POOL_BYTES (64 * MIB)
#define CORE_OUT_PAUSE_BYTES 65536 /* a conn with more waiting is not read from */
#define CORE_SWEEP_BYTES 16384     /* a sweep pauses with so much waiting */
#define CORE_INPUTS_MAX 256        /* conns in the middle of a request or message */
#define CORE_SQ_ENTRIES 1024
#define CORE_CQ_ENTRIES 16384
#define CORE_RECV_BUFFERS 256
#define CORE_RECV_BUFFER_BYTES 4096
#define CORE_GROUP_SEQS_BYTES_MAX (64 * MIB)
#define CORE_HANDSHAKE_NS (5 * NS_PER_SECOND)
#define CORE_HALF_MESSAGE_NS (10 * NS_PER_SECOND)
#define CORE_CLOSE_NS (2 * NS_PER_SECOND)
#define CORE_QUIET_NS NS_PER_SECOND
#define CORE_STUCK_NS (10 * NS_PER_MS)
#define CORE_ACCEPT_RETRY_NS (100 * NS_PER_MS)
#define CORE_SPIN_NS (50 * NS_PER_US) /* before a core without inline publisher sleeps */
#define CORE_STOP_NS (500 * NS_PER_MS)
#define CORE_MISSED_PONGS_MAX 2

#define CONN_NONE UINT32_MAX
#define SEQ_SNAPSHOT_DUE (UINT64_C(1) << 63) /* in group_seqs */

enum core_op {
    OP_NONE,
    OP_ACCEPT, /* conn: the listener's number */
    OP_RECV,
    OP_SEND, /* conn: slot of the batch */
    OP_WRITABLE,
    OP_CANCEL,
    OP_CLOSE,
    OP_WAKE,
};

enum conn_state {
    CONN_FREE,        /* In the pool; the descriptor is closed. */
    CONN_HANDSHAKING, /* Reading the upgrade request. */
    CONN_STREAMING,   /* Upgraded; the log is followed. */
    CONN_CLOSING,     /* Close (or a refusal) is queued; the peer's end is awaited. */
    CONN_DRAINING,    /* Operations are cancelled; their completions are awaited. */
};

enum conn_mode {
    CONN_PUSHED,  /* Gets what the fan-out notes. */
    CONN_PULLING, /* Runnable: on core->pulls. */
    CONN_BLOCKED, /* The socket is full: OP_WRITABLE is armed. */
    CONN_STUCK,   /* Writable, yet nothing could be sent: waits for its timer. */
};

struct conn {
    /* The fan-out's line. */
    uint8_t state;
    uint8_t mode;
    uint8_t group_mask; /* groups subscribed as a whole */
    uint8_t missed_pongs;
    bool is_ready; /* on core->ready */
    bool is_unix;
    bool recv_armed;
    bool writable_armed;
    uint32_t due_frames;
    uint32_t extent_first; /* earlier extents, in core->extents; CONN_NONE: none */
    uint64_t due_start;    /* the newest extent, by position */
    uint64_t due_end;
    uint32_t extent_last;
    int32_t fd;
    uint32_t generation;
    uint32_t sub_first;
    struct out_chain out; /* 16 bytes */

    /* Pulling. */
    uint64_t cursor;      /* index of the next frame to look at */
    uint64_t *group_seqs; /* per channel, for group_mask; NULL while pushed */
    uint32_t group_seqs_count;
    uint32_t sweep_sub;     /* where the sweep goes on; SUB_NONE: subs are done */
    uint32_t sweep_channel; /* then the groups' channels */
    bool sweeping;
    bool recv_paused;
    uint8_t group_policy[CORE_GROUPS_MAX]; /* enum lag_policy */
    bool was_opened;                       /* ops.on_open was called */
    bool is_spare;                         /* beyond conn_count_max: is answered 503 */
    bool close_received;
    bool write_shut;
    bool is_pull_queued; /* on core->pulls */
    bool woken;          /* writable, and nothing was sent since */
    bool lag_exceeded;   /* the reason of its last jump: max_lag, else a lap */
    uint32_t group_place[CORE_GROUPS_MAX];

    struct timer timer;
    uint32_t sub_count;
    uint32_t input; /* half a request or message; CONN_NONE: none */
    uint32_t round_trip_us;
    uint16_t close_code;
    uint64_t frames_sent;
    uint64_t frames_lost;
    uint64_t frames_conflated;
    uint64_t opened_ns;
    uint64_t last_frame_ns;
    uint64_t last_message_ns;
    uint64_t next_ping_ns;
    uint64_t ping_sent_ns;
    const char *close_text;
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

/* A request or message that is not complete. */
struct core_input {
    struct list_link age_link; /* In core->inputs_in_use, oldest first, while used. */
    uint32_t conn;
    uint32_t handshake_bytes;
    uint64_t since_ns;
    struct ws_decoder decoder;
    uint8_t bytes[CORE_MESSAGE_BYTES_MAX];
};
static_assert(CORE_MESSAGE_BYTES_MAX >= HANDSHAKE_BYTES_MAX, "one kind of block serves both");

struct core_extent {
    uint64_t start; /* position in the log */
    uint32_t bytes;
    uint32_t next;
};

/* What the core knows of a channel at core->position. */
struct core_channel {
    uint64_t last_seq;          /* 0: none yet */
    uint64_t last_index_plus_1; /* 0: none yet */
    uint8_t group;              /* once there was a frame */
};

struct core_send {
    uint32_t conn;
    uint32_t iov_first;
    uint32_t iov_count;
    uint32_t out_iov_count; /* The first ones are the conn's own chain. */
    uint32_t out_bytes;
    uint64_t total_bytes;
    int64_t result;
    uint32_t frames;
    bool is_pull;
    uint64_t from; /* index of the first frame looked at, */
    uint64_t to;   /* and after the last: where the cursor is when all is sent */
    struct msghdr message;
};

struct core_batch {
    struct core_send sends[CORE_BATCH_SENDS_MAX];
    struct iovec iovs[CORE_BATCH_IOVS_MAX];
    uint32_t send_count;
    uint32_t iov_count;
    uint32_t number; /* tells its completions from an older batch's */
};

struct core {
    /* Read or written by other threads. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t armed; /* 1: asleep, or about to be */
    _Atomic uint32_t stopping;

    /* Set at creation, then constant. */
    _Alignas(CACHE_LINE_BYTES) struct core_options options;
    uint32_t slab_count;

    /* The core's own. */
    struct engine engine;
    struct frame_log *log;
    struct core_counters *counters;
    struct conn *conns;
    uint32_t *free_conns;
    uint32_t free_conn_count;
    struct core_channel *channels;
    uint32_t channel_count;
    struct subs subs;
    struct sub_list groups[CORE_GROUPS_MAX];
    struct out_pool out_pool;
    struct timer_wheel wheel;
    struct core_time time;

    uint64_t position;       /* index of the next frame to fan out */
    uint64_t turn_first;     /* where the turn began whose frames are due */
    struct conn_queue ready; /* conns with something to send */
    struct conn_queue pulls; /* conns that pull */
    struct core_extent *extents;
    uint32_t extent_count;
    struct core_batch *batch;
    uint64_t group_seqs_bytes;

    struct core_input *inputs;
    struct list_link inputs_in_use;
    uint32_t *free_inputs;
    uint32_t free_input_count;

    struct timer accept_timer;
    bool accept_armed[CORE_LISTENERS_MAX];
    bool accept_paused;
    uint64_t accept_complaint_ns; /* when the next line about it may be written */
    uint64_t worked_ns;           /* when frames were last fanned out */
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

static inline uint32_t conn_index(const struct core *core, const struct conn *conn)
{
    return (uint32_t)(conn - core->conns);
}

static inline bool conn_is_open(const struct conn *conn)
{
    return conn->state == CONN_STREAMING || conn->state == CONN_HANDSHAKING ||
           conn->state == CONN_CLOSING;
}

/* core.c */
void core_log(struct core *core, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void core_reap(struct core *core);
void core_see_channels(struct core *core);
void core_drop_subscriptions(struct core *core, struct conn *conn);
void core_pause_accept(struct core *core);
struct io_uring_sqe *core_sqe(struct core *core);

/* conn.c */
void conn_open(struct core *core, int fd, bool is_unix);
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
/* Ends it without another word. text: a constant string. */
void conn_abort(struct core *core, struct conn *conn, const char *text);
/* After all that waited to be sent has gone. */
void conn_on_sent(struct core *core, struct conn *conn);
/* After one of its operations has ended. */
void conn_on_operation_ended(struct core *core, struct conn *conn);

/* sender.c */
/* Has what is queued for a conn sent before the core sleeps. */
void sender_mark_ready(struct core *core, struct conn *conn);
/* Fans out a turn's worth of frames; false: there are none. */
bool sender_fan_out(struct core *core);
void sender_flush_ready(struct core *core);
/* Sends what is due to a conn now, before its subscriptions change. */
void sender_settle(struct core *core, struct conn *conn);
void sender_on_writable(struct core *core, struct conn *conn);
void sender_forget_due(struct conn *conn);
/* A slot of the batch with room for iov_count entries; may submit what is there first. */
struct core_send *sender_open_slot(struct core *core, struct conn *conn, uint32_t iov_count);
/* Begins the send with what waits in the conn's own chain. */
void sender_add_out(struct core *core, struct conn *conn, struct core_send *send);
/* Nothing to send: gives the slot back. */
void sender_cancel_slot(struct core *core, struct core_send *send);
void sender_queue_slot(struct core *core, struct core_send *send);
void sender_submit(struct core *core);

/* puller.c */
/* From push mode: the conn goes on at cursor; frames from there up to core->position (which are
 * pinned) were not sent. */
void puller_start(struct core *core, struct conn *conn, uint64_t cursor);
/* Brings each subscription up to date (its newest frame, or its loss) once the cursor is. */
void puller_sweep(struct core *core, struct conn *conn);
void puller_enqueue(struct core *core, struct conn *conn);
void puller_run(struct core *core);
/* A pull was sent as a whole, or but for the frames from index on. */
void puller_on_sent(struct core *core, struct conn *conn, uint64_t to);
void puller_on_cut(struct core *core, struct conn *conn, uint64_t index, uint64_t to);
void puller_release(struct core *core, struct conn *conn);
/* The seq a pulling conn is to get next of a channel that a group of its covers. */
uint64_t *puller_group_seq(struct core *core, struct conn *conn, uint32_t channel);
/* The writer has passed the whole core. */
void puller_resync_core(struct core *core);

#endif
