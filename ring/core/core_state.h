/*
 * core_state: the inside of a core, shared by the files that make it up (core*.c) and by nobody
 * else.
 *
 * Threads  The core's own, except for core->armed, core->stopping, core->drain_end_wanted_ns and
 *          core->mailbox.
 */
#ifndef RINGCAST_RING_CORE_STATE_H
#define RINGCAST_RING_CORE_STATE_H

#include "codec/base/check.h"
#include "ring/core/core.h"
#include "ring/core/core_mail.h"
#include "ring/core/core_watch.h"
#include "ring/fan/fan.h"
#include "ring/link/link.h"
#include "ring/link/links.h"

#define CORE_COMPLAINT_NS (10 * NS_PER_SECOND) /* between two lines about the same */
#define CORE_STOP_NS (500 * NS_PER_MS)

static_assert(CORE_ENCODINGS_MAX == FAN_ENCODINGS_MAX, "");
static_assert(CORE_GROUPS_MAX == SUBSCRIBER_GROUPS_MAX, "");

/* Where a connection comes from, as the kernel said once. */
struct core_known_source {
    struct core_source source;
    uint32_t conn_plus_1; /* 0: of none */
    uint32_t generation;
};
#define CORE_SOURCES 64

/* Positions grow for ever; a mail's slot is the remainder. */
struct core_mailbox {
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t head; /* the sender's */
    _Atomic uint32_t tail;                            /* the core's */
    struct core_mail *mails[CORE_MAILS_MAX];
};

struct core {
    /* Read or written by other threads. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t armed; /* 1: asleep, or about to be */
    _Atomic uint32_t stopping;
    _Atomic uint64_t drain_end_wanted_ns; /* core_drain; 0: not called */
    bool drain_refuses;                   /* new connections; written before it */
    struct core_mailbox mailbox;

    /* Set at creation, then constant. */
    _Alignas(CACHE_LINE_BYTES) struct core_options options;
    uint32_t slab_count; /* of links and subscribers */

    /* The core's own. */
    struct core_counters *counters;
    struct core_time time;
    uint64_t counted_ns; /* Up to here, by time.now_ns, busy_ns and asleep_ns have its life. */
    struct fan fan;
    struct links links;
    uint32_t runs[CORE_ENCODINGS_MAX]; /* of each encoding, when its stream was brought up to it */
    struct core_watch watch;
    struct core_known_source sources[CORE_SOURCES]; /* of connections by their number's remainder */

    /* Where the planning of this turn is: see core_plan(). */
    uint32_t step;
    bool step_has_begun;
    uint32_t step_stream;
    uint32_t step_left;
    uint32_t step_batch_max;
    uint64_t step_bytes;
    uint32_t step_sharers; /* this many connections are to get about the same frames */
    uint64_t push_heads[CORE_ENCODINGS_MAX]; /* by encoding: up to where this turn pushes */
    uint32_t push_turns;                     /* that have pushed */
    bool has_pushed;

    uint64_t accept_retry_ns; /* when accepting is tried again; UINT64_MAX: it need not be */
    bool accept_armed[CORE_LISTENERS_MAX];
    bool accept_paused;
    bool accepts_one; /* at a time: a backlog accepted at once would take others' descriptors */
    uint64_t accept_complaint_ns; /* when the next line about it may be written */
    uint64_t worked_ns;           /* when frames were last fanned out */
    uint64_t timed_ns;            /* when it last came to the timers */
    uint64_t grace_ns;            /* They wait until then; 0: they do not. */
    uint32_t grace_count;         /* how often they were put off since they ran */
    uint64_t drain_end_ns;        /* 0: no drain has begun */
    uint64_t drain_began_ns;
    uint64_t drain_conn_count; /* when it began */
    uint64_t drain_told_count;
    uint32_t drain_next; /* Connections before it got their notice. */
    bool stopping_began;
    uint64_t stop_deadline_ns;
};

static inline struct link *core_link(struct core *core, uint32_t conn)
{
    assert_debug(conn < core->slab_count);
    return &core->links.links[conn];
}

static inline struct subscriber *core_subscriber(struct core *core, uint32_t conn)
{
    assert_debug(conn < core->slab_count);
    return &core->fan.subscribers[conn];
}

static inline struct fan_stream *core_stream(struct core *core, uint32_t conn)
{
    return fan_stream(&core->fan, core_subscriber(core, conn));
}

/* Whether enough connections share what a page that is lent costs. */
static inline bool core_may_lend(const struct core *core)
{
    return core->step_sharers >= core->options.zero_copy.sharers_min;
}

/* Calls for one that closes or is doomed change nothing. */
static inline bool core_is_streaming(struct core *core, uint32_t conn)
{
    return core_link(core, conn)->stage == LINK_STREAMING;
}

void core_log(struct core *core, int level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void core_read_clock(struct core *core);
/* false: there was no completion. */
bool core_reap(struct core *core);
void core_see_channels(struct core *core);
/* Brings a stream up to an encoding that was begun since; false: it is not being written. */
bool core_follow_run(struct core *core, uint32_t encoding);
/* The writer has passed the core, or an encoding has begun again: continues with live frames. */
void core_resync(struct core *core, struct fan_stream *stream);

/* core_sleep.c */
/* How long there is nothing to do, unless something comes. */
uint64_t core_wait_ns(const struct core *core, uint64_t next_publish_ns);
void core_sleep(struct core *core, uint64_t wait_ns, bool publisher_elsewhere);

/* core_accept.c */
void core_accept_arm(struct core *core);
void core_accept_cancel(struct core *core);
void core_accept_on_completion(struct core *core, const struct io_uring_cqe *cqe);
void core_accept_on_timer(struct core *core);

/* core_bury.c: takes apart what has ended since the last turn, and as much as is left of earlier
 * ones. Only here a conn's subscriptions, memory and operations go, and src learns of its end. */
void core_bury(struct core *core);
void core_remove_sub(struct core *core, struct subscriber *subscriber, uint32_t sub);
void core_remove_groups(struct core *core, struct subscriber *subscriber);

/* core_plan.c: a batch after the other. false: nothing is left to be sent in this turn. */
bool core_plan(struct core *core);
/* Sends it, and accounts for what has left. */
void core_send(struct core *core);

/* core_notices.c: turns the notices of fan into text, which waits for its link. */
void core_notices(struct core *core);

/* core_subscribe.c: a channel has a subscriber more (1) or less (-1). */
void core_tell_subscriber(struct core *core, uint32_t channel, int change);

/* core_history.c: a replay is at its end, or goes without another word. */
void core_forget_replay(struct core *core, uint32_t conn);
void core_end_replay(struct core *core, uint32_t conn, bool is_whole);

/* core_conn.c */
void core_conn_trace_upgrade(const struct core *core, uint32_t conn);

/* core_post.c */
bool core_has_mail(const struct core *core);
/* A slice of the work in its box. true: there is more. */
bool core_mail_go_on(struct core *core);
/* The thread's CPU time at the top of a turn that begins with a timed mail; otherwise 0. It is
 * counted when the mail was worked off and what has ended was buried, and at the end of the turn.
 */
uint64_t core_mail_begin_turn(const struct core *core);
void core_mail_count(counter *max_ns, uint64_t began_ns);

/* core_drain.c */
#define CORE_DRAIN_CLOSE_CODE 4201
/* Begins a requested drain, and notifies some conns. true: there are more. */
bool core_drain_go_on(struct core *core);
/* It is a conn's turn: closes it, or puts it off. */
void core_drain_close(struct core *core, uint32_t conn);
/* One that has come since, where new ones are not refused. */
void core_drain_open(struct core *core, uint32_t conn);

#endif
