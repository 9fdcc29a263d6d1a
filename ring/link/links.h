/*
 * links: the bytes of all connections of a core: its ring, its links and the pools that they share.
 * Nothing here knows of channels or of the log: what is to be sent arrives as plans (ring/plan.h).
 *
 * Owner    A core, one each. Threads: its own.
 * Memory   Sized at links_open; control bytes and halves of messages come from bounded pools that
 *          are touched when first used.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_RING_LINKS_H
#define RINGCAST_RING_LINKS_H

#include "codec/base/list.h"
#include "codec/handshake.h"
#include "ring/board/counters.h"
#include "ring/conn_queue.h"
#include "ring/core_ops.h"
#include "ring/io/engine.h"
#include "ring/io/timer_wheel.h"
#include "ring/link/link.h"
#include "ring/link/link_tls.h"
#include "ring/link/out_pool.h"
#include "ring/plan.h"
#include "ring/pressure.h"

#define LINKS_INPUTS_MAX 256 /* in the middle of a request or message */
static_assert(LINKS_INPUTS_MAX <= LINK_NO_INPUT, "a link keeps the number in 16 bits");
#define LINKS_ENCODINGS_MAX 4
#define LINKS_SQ_ENTRIES 1024
#define LINKS_CQ_ENTRIES 16384
#define LINKS_RECV_BUFFERS 256
#define LINKS_RECV_BUFFER_BYTES 4096

/* What a completion is of. The upper byte of its user_data; then 24 bits of the link's generation,
 * and its index. */
enum link_op {
    OP_NONE,
    OP_ACCEPT, /* index: the listener's number */
    OP_RECV,
    OP_SEND, /* index: slot of the batch */
    OP_WRITABLE,
    OP_CANCEL,
    OP_SHUTDOWN,
    OP_CLOSE,
    OP_WAKE,
    OP_WATCH, /* index: the number of a descriptor, see core_watch.h */
};

#define SEND_SLOTS_MAX PLAN_BATCH_MAX
#define SEND_IOVS_MAX 1024         /* in one send: UIO_MAXIOV */
#define SEND_JOINED_BYTES_MAX 4096 /* a shorter vector is joined by copying, which costs less */
#define LINKS_ARENA_BYTES (1u << 20)

/* One that is not plain (sender.c), or fell short. */
struct send {
    uint64_t bytes;     /* all of it, of which */
    uint32_t out_bytes; /* this many are the link's own; they come first */
    bool has_frames;    /* all of its plan follow */
    int64_t result;
    uint64_t wire_bytes; /* the same as bytes, except of a link that speaks TLS: */
    uint8_t *wire;       /* what is sent, in links->arena: */
    size_t sealed_bytes; /* so many of what waited sealed, then records; */
    uint64_t first_seq;  /* of the first of these */
};

/* One that leaves by reference, after the others have left by SQEs. */
struct send_lent {
    uint32_t number;
    struct engine_stretch stretch;
};

/* What is under way, by plan. */
struct send_batch {
    uint64_t special; /* a bit for each that sends[] has; of the others: */
    uint64_t plain_count;
    uint64_t plain_bytes;
    struct send sends[SEND_SLOTS_MAX];
    struct msghdr messages[SEND_SLOTS_MAX];
    struct iovec iovs[4 * SEND_IOVS_MAX]; /* of sends with bytes of the link's own */
    uint8_t joined[SEND_SLOTS_MAX * SEND_JOINED_BYTES_MAX];
    uint32_t joined_bytes;
    struct send_lent lents[SEND_SLOTS_MAX];
    uint32_t lent_count;
    uint32_t iov_count;
    uint32_t arena_bytes; /* used, of links->arena */
    uint32_t number;      /* distinguishes its completions from an older batch's */
};

/* What the links ask of their core. */
struct links_asks {
    /* Its frames are to be written in this encoding. false: there is no memory for that. */
    bool (*choose_encoding)(struct core *core, uint32_t conn, uint32_t encoding);
    /* Whether frames are being written in an encoding. */
    bool (*is_encoded)(struct core *core, uint32_t encoding);
    /* The upgrade is answered. */
    void (*on_open)(struct core *core, uint32_t conn);
    /* Its socket takes bytes again. */
    void (*on_clear)(struct core *core, uint32_t conn);
    /* A message of its that was held is answered. */
    void (*on_answered)(struct core *core, uint32_t conn);
    /* Whether it gets no frames, and waits for none. */
    bool (*is_idle)(struct core *core, uint32_t conn);
    /* Whether it gets all frames and there were none since it was asked last. */
    bool (*is_quiet)(struct core *core, uint32_t conn);
    /* It is its turn in a drain. */
    void (*on_drain)(struct core *core, uint32_t conn);
    /* Where a plan's one stretch lies in a file, to be sent from there; it does not change while
     * the kernel refers to it. false: it is to be copied. */
    bool (*lend)(struct core *core, const struct send_plan *plan,
                 struct engine_stretch *stretch_out);
};

struct links_options {
    uint32_t core_number; /* for tls */
    uint32_t link_count;
    uint32_t encoding_count;
    uint32_t place_count_max;
    uint64_t heartbeat_interval_ns;
    uint64_t idle_timeout_ns;
    uint64_t half_message_ns;
    uint32_t send_buffer_bytes;
    uint32_t lend_bytes;      /* Stretches of at least this many bytes are lent to the kernel, */
    uint32_t lend_unix_bytes; /* and for Unix-domain sockets; UINT32_MAX: none. */
    uint32_t message_bytes_max;
    size_t out_pool_bytes;
    const struct handshake_site *site;
    const struct core_document *document;
    _Atomic uint32_t *conn_count;  /* open, all cores together */
    _Atomic uint32_t *place_count; /* of these, asked to come in and may: up to place_count_max */
    /* NULL: there is never any. */
    const struct pressure *pressure;
    struct tls_service *tls; /* NULL: no link speaks TLS, and links.tls is NULL */
    struct core_counters *counters;
    struct core *core;
    const struct links_asks *asks;
    const struct core_ops *ops;
    void *context;
    void (*clock)(void *context, struct core_time *time_out);
    int (*open_engine)(struct engine *engine, const struct engine_options *options,
                       char *error_out);
};

struct links {
    struct links_options options;
    struct core_counters *counters;
    uint64_t now_ns; /* CLOCK_MONOTONIC: of the turn */
    /* When sockets became writable, less when they became full: sums of now_ns, which wrap. */
    uint64_t flow_ns;
    bool is_refusing; /* new connections: the server stops */

    struct link *links;
    struct link_backlog *backlogs;    /* by link */
    struct link_tls *tls;             /* the same */
    struct tls_ciphers *ciphers;      /* for their records, */
    uint8_t *arena;                   /* and what is sealed for a batch; */
    struct link_tls_jobs *tls_jobs;   /* their handshakes, */
    struct link_tls_parts *tls_parts; /* and parts of what they send; all five NULL without TLS */
    uint32_t free_first;              /* LINK_NONE: none */
    uint32_t free_count;
    struct conn_queue ready;                       /* something of their own waits to be sent */
    struct conn_queue waiting;                     /* messages of theirs wait for their turn */
    struct list_link waiters[LINKS_ENCODINGS_MAX]; /* by encoding: openings that wait for it */
    struct list_link undecided;                    /* openings whose grant is to follow */
    struct conn_queue ending;                      /* closing, or doomed: for core_bury() */

    struct engine engine;
    struct send_batch *batch;
    uint32_t lend_bytes_min; /* No link is lent less. */
    struct out_pool out_pool;
    struct timer_wheel wheel;

    uint64_t spent;       /* units of the slice, */
    uint64_t slice_units; /* which ends with this many, */
    uint64_t turn_spent;  /* and of the slices of this turn before it */

    void *inputs; /* input_count blocks of input_bytes: see links_input() */
    size_t input_bytes;
    uint32_t input_count;
    struct list_link inputs_in_use;
    uint32_t *free_inputs;
    uint32_t free_input_count;
    uint8_t *inflated;     /* the message at hand, if it came compressed: message_bytes_max bytes */
    uint64_t complaint_ns; /* when the next line about a kernel that takes nothing may be written */
};

static inline uint32_t links_index(const struct links *links, const struct link *link)
{
    return (uint32_t)(link - links->links);
}

static inline struct link *links_at(struct links *links, uint32_t index)
{
    return &links->links[index];
}

/* One that is free. */
static inline struct link *links_take(struct links *links)
{
    assert_always(links->free_count > 0);
    struct link *link = links_at(links, links->free_first);
    links->free_first = link->free_next;
    links->free_count--;
    return link;
}

static inline void links_give(struct links *links, struct link *link)
{
    assert_always(link->stage == LINK_FREE);
    link->free_next = links->free_first;
    links->free_first = links_index(links, link);
    links->free_count++;
}

/* Its timer comes in this many ns, or before: see timer_wheel.h. */
static inline void links_arm(struct links *links, const struct link *link, uint64_t in_ns)
{
    timer_arm(&links->wheel, links_index(links, link), links->now_ns + in_ns);
}

static inline struct link_backlog *links_backlog(const struct links *links, const struct link *link)
{
    return &links->backlogs[link - links->links];
}

static inline struct link_tls *links_tls(const struct links *links, const struct link *link)
{
    assert_debug(link->is_tls);
    return &links->tls[link - links->links];
}

/* What is to be sent to it before anything of the log. */
static inline uint32_t links_waiting_bytes(const struct links *links, const struct link *link)
{
    return link->out.bytes + (link->is_tls ? links_tls(links, link)->sealed.bytes : 0);
}

static inline struct link_input *links_input(struct links *links, uint32_t index)
{
    return (struct link_input *)((char *)links->inputs + index * links->input_bytes);
}

static inline uint64_t links_tag(enum link_op op, uint32_t generation, uint32_t index)
{
    return (uint64_t)op << 56 | (uint64_t)(generation & 0xffffff) << 32 | index;
}

static inline uint64_t links_tag_of(const struct links *links, const struct link *link,
                                    enum link_op op)
{
    return links_tag(op, link->generation, links_index(links, link));
}

/* Whose operation a completion is of. */
static inline struct link *links_target(struct links *links, const struct io_uring_cqe *cqe)
{
    uint32_t index = (uint32_t)cqe->user_data;
    assert_always(index < links->options.link_count);
    struct link *link = links_at(links, index);
    assert_always(link->stage != LINK_FREE);
    assert_always((link->generation & 0xffffff) == (uint32_t)(cqe->user_data >> 32 & 0xffffff));
    return link;
}

/* How long sockets of links were full until now_ns, all together. */
static inline uint64_t links_blocked_ns(const struct links *links)
{
    return links->flow_ns + counter_get(&links->counters->conns_blocked) * links->now_ns;
}

/* error_out: on failure, what forbids it and what to do; empty: memory. */
int links_open(struct links *links, const struct links_options *options,
               char error_out[ENGINE_ERROR_BYTES_MAX]);
void links_close(struct links *links);

/* Room for an SQE; sends have theirs submitted in the batch they belong to. */
struct io_uring_sqe *links_sqe(struct links *links);
void links_enter(struct links *links, uint64_t wait_ns);
/* Enters until the kernel has taken all that is queued. */
void links_flush(struct links *links);
void links_log(struct links *links, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
