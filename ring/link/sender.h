/*
 * sender: the fan-out of new frames, and the batches of sends that carry everything out.
 *
 * Owner    A core. Threads: its own. Memory: what the core mapped at creation.
 *
 * A batch is built, submitted, and its outcome dealt with before anything else happens: sends end
 * inside submit (docs/architecture.md), so that no buffer and no order has to be kept.
 *
 * A long stretch of the log is lent to the kernel (SEND_ZC), which sends from it without a copy,
 * and tells later when it has done with it. It is held until then (frame_log.h). A conn for which
 * the kernel says that it copied after all (to loopback, say) is lent nothing any more. Linux 6.2,
 * for IORING_SEND_ZC_REPORT_USAGE; before, the first try fails, and the conn is sent copies.
 */
#ifndef RINGCAST_RING_SENDER_H
#define RINGCAST_RING_SENDER_H

#include <sys/socket.h>
#include <sys/uio.h>

#include "ring/link/conn.h"

#define SENDER_BATCH_MAX 64 /* SQEs submitted at once ... */
#define SENDER_FIRST_BATCH                                                                         \
    16 /* ... but for a flush's first, so that its first bytes leave early                         \
        */
#define SENDER_BATCH_IOVS_MAX 4096
#define SENDER_IOVS_MAX 1024         /* in one send: UIO_MAXIOV */
#define SENDER_JOINED_BYTES_MAX 4096 /* a shorter vector is joined by copying, which costs less */
#define SENDER_TURN_FRAMES_MAX 1024  /* fanned out before conns are flushed, */
/* and bytes: half of a pull's, so that who pulls catches up. */
#define SENDER_TURN_BYTES_MAX (64 * KIB)
#define SENDER_EXTENTS_MAX 65536 /* noted at once, all conns together */
#define SENDER_STUCK_NS (10 * NS_PER_MS)

struct send_extent {
    uint64_t start; /* position in the log */
    uint32_t bytes;
    uint32_t next;
};

struct send {
    uint32_t conn;
    uint32_t iov_first;
    uint32_t iov_count;
    uint32_t out_iov_count; /* The first ones are the conn's own chain. */
    uint32_t out_bytes;
    uint64_t total_bytes;
    int64_t result;
    uint32_t frames;
    bool is_pull;
    bool is_replay;
    bool is_lent;
    bool is_of_json; /* Its frames lie in the JSON log, though its conn's encoding is another. */
    uint64_t from;   /* index of the first frame looked at, */
    uint64_t to;     /* and after the last: where the cursor is when all is sent */
    struct msghdr message;
};

struct send_batch {
    struct send sends[SENDER_BATCH_MAX];
    struct iovec iovs[SENDER_BATCH_IOVS_MAX];
    uint8_t joined[SENDER_BATCH_MAX][SENDER_JOINED_BYTES_MAX]; /* by slot */
    uint32_t send_count;
    uint32_t iov_count;
    uint32_t number; /* tells its completions from an older batch's */
};

/* Has what is queued for a conn sent before the core sleeps. */
void sender_mark_ready(struct core *core, struct conn *conn);
/* Fans out a turn's worth of frames; false: there are none. */
bool sender_fan_out(struct core *core);
void sender_flush_ready(struct core *core);
/* Before the subscriptions of a conn change: it will pull what is due to it. */
void sender_settle(struct core *core, struct conn *conn);
/* Whether so many bytes of the log, side by side and with nothing else, would go without a copy. */
bool sender_may_lend(const struct core *core, const struct conn *conn, uint64_t bytes);
/* A completion of a send without a copy: its result (which was seen to), or the loan's end. */
void sender_on_loan(struct core *core, const struct io_uring_cqe *cqe);
void sender_on_writable(struct core *core, struct conn *conn);
void sender_forget_due(struct conn *conn);
/* Before a slot is opened, with no conn in hand: submits a batch that has reached the limit and
 * reaps, which may change any conn; says whether it did. */
bool sender_begin(struct core *core, uint32_t batch_limit);
/* A slot of the batch, with room for SENDER_IOVS_MAX entries. */
struct send *sender_open_slot(struct core *core, struct conn *conn);
/* Begins the send with what waits in the conn's own chain. */
void sender_add_out(struct core *core, struct conn *conn, struct send *send);
/* Nothing to send: gives the slot back. */
void sender_cancel_slot(struct core *core, struct send *send);
void sender_queue_slot(struct core *core, struct send *send);
void sender_submit(struct core *core);

#endif
