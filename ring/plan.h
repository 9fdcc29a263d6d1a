/*
 * plan: the structs that the fan-out and the links pass to each other through the core.
 *
 * Fan makes plans (frames to be sent) and notices (other news for a client). For plans that were
 * not sent as a whole, the sender reports in outcomes how far they got. Each batch is planned, sent
 * and accounted for before anything else happens.
 *
 * Owner    The core, one batch. Threads: its own.
 */
#ifndef RINGCAST_RING_PLAN_H
#define RINGCAST_RING_PLAN_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define PLAN_BATCH_MAX 64      /* plans of a batch */
#define PLAN_FIRST_BATCH 16    /* of a flush's first, so that its first bytes leave early */
#define PLAN_IOVS_MAX 4096     /* of a batch */
#define PLAN_ROOM_IOVS_MAX 512 /* of one plan */
#define PLAN_NOTICES_MAX 2048
#define PLAN_ROOM_NOTICES_MAX 264 /* of one plan */
#define PLAN_NOTICE_BYTES_MIN 64  /* what a notice counts for at least, */
#define PLAN_GAP_BYTES 192        /* and a GAP: what it takes, about */

/* In the order of a turn. */
enum send_kind {
    SEND_PUSH,   /* new frames, for subscribers that keep up */
    SEND_OWN,    /* no frames: what waits in the link's own chain */
    SEND_PULL,   /* what one that is behind gets */
    SEND_REPLAY, /* history beside live frames */
};

/* A stretch of frames for one connection, after what waits in its link's own chain. */
struct send_plan {
    uint32_t conn;
    uint32_t iov_first; /* where the frames lie, */
    uint32_t iov_count;
    uint32_t frames;
    uint64_t bytes;
    uint64_t from; /* index of the first frame read, */
    uint64_t to;   /* and after the last: where the cursor is when all is sent */
    uint8_t kind;
    uint8_t log; /* number of the encoding whose frames they are */
};

/* Of a plan that was not sent as a whole. */
struct send_outcome {
    uint32_t plan;
    int32_t error;   /* the connection ends: nothing is accounted for; 0: */
    uint64_t bytes;  /* bytes of its frames that were sent */
    bool is_blocked; /* The link takes nothing more just now. */
};

enum notice_kind {
    NOTICE_GAP,        /* frames of a channel are lost */
    NOTICE_COPY,       /* a frame, or the rest of one, that goes out ahead of what is planned */
    NOTICE_RECODE,     /* a frame of the JSON log, to be put into the connection's encoding */
    NOTICE_LAG,        /* half of what it may lag is used up */
    NOTICE_SLOW,       /* it lags too far and is closed */
    NOTICE_REPLAY_END, /* of its replay */
};

enum gap_reason {
    GAP_OVERRUN, /* the log has passed it */
    GAP_LAG,     /* max_lag */
    GAP_RESTART, /* another epoch */
};

enum lag_policy {
    LAG_SKIP,       /* Jump to live frames; GAP reports what was lost. */
    LAG_CONFLATE,   /* Only the newest frame of each channel; full images only. */
    LAG_DISCONNECT, /* Close with 4108. */
};

enum lag_cause {
    LAG_BY_CLIENT,  /* It does not read: its receive window is full. Always, on a Unix socket. */
    LAG_BY_NETWORK, /* Packets are lost, or the congestion window is full. */
    LAG_BY_SERVER,  /* Neither: we do not send fast enough, or the send buffer is small. */
};

/* How far a conn is behind in the log; at least so far, when the log has passed it. */
struct core_lag {
    bool is_behind;
    uint64_t bytes;  /* of the log, for any client; */
    uint64_t frames; /* and the same in frames */
    uint64_t ms;     /* age of the oldest frame that it has not been sent */
    enum lag_cause cause;
    uint32_t round_trip_us; /* as the kernel has it; 0: not known */
};

/* Sends the frames of some channels again, from a seq (of one channel) or a time of publication on,
 * in the order of the JSON log. */
struct core_replay {
    bool is_by_seq;
    uint64_t from; /* a seq, or nanoseconds */
    uint64_t to;   /* of the same kind, inclusive; 0: up to now, then on with live frames */
    double speed;  /* 0: as fast as it is read; 1: as it was published; 2: twice as fast */
};
struct core_replayed {
    uint32_t channel;
    uint32_t group;
    enum lag_policy policy; /* for what follows; so are the next two */
    uint8_t tag;
    uint16_t max_lag_ms;
    uint64_t first_seq; /* Older frames are not sent: they had another name. */
    uint64_t last_seq;  /* that was sent; at the end, what live frames follow on. 0: none */
    int result;         /* at the end: of core_resume, or -EEXIST: it was subscribed meanwhile */
};

struct core_snapshot {
    uint32_t channel;
    uint32_t group;
    int error;
    uint32_t frame_bytes;
    uint64_t as_of; /* its seq */
    const uint8_t *frame;
};

struct frame_desc;

struct notice {
    uint32_t conn;
    uint8_t kind;
    uint8_t reason; /* of a GAP */
    bool is_whole;  /* of a replay: nothing was missing */
    uint32_t channel;
    uint32_t bytes; /* of the frame */
    const uint8_t *frame;
    const struct frame_desc *desc; /* of one that is to be recoded */
    uint64_t from_seq, to_seq;     /* of a GAP, inclusive */
};

/* What fan knows of a link. */
struct link_view {
    uint32_t waiting_bytes; /* of its own; fan adds what its notices will take */
    uint32_t lend_bytes;    /* With this many due, its own bytes go first and alone. */
};

static_assert(sizeof(struct send_plan) <= 64, "a plan is a cache line");
static_assert(PLAN_FIRST_BATCH <= PLAN_BATCH_MAX, "");
static_assert(PLAN_BATCH_MAX + PLAN_ROOM_IOVS_MAX <= PLAN_IOVS_MAX, "a batch of short plans");

struct plan_batch {
    struct send_plan plans[PLAN_BATCH_MAX];
    struct send_outcome outcomes[PLAN_BATCH_MAX];
    struct notice notices[PLAN_NOTICES_MAX];
    struct iovec iovs[PLAN_IOVS_MAX];
    uint32_t plan_count;
    uint32_t outcome_count;
    uint32_t notice_count;
    uint32_t iov_count;
    uint32_t frames_sent; /* of the batch */
};

#endif
