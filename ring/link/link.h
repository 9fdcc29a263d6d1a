/*
 * link: one connection's bytes: its socket, what it says, what waits to be sent to it, its
 * deadlines. What it is to get of the log is known by the subscriber of the same index.
 *
 * Owner    struct links, which has a slab of them. Threads: the core's own.
 * Memory   The slab; out chains and inputs come from the bounded pools of struct links.
 * Errors   None are returned: a link that cannot go on is doomed. Nothing that it has goes away
 *          before core_bury(), so that no caller needs to ask whether it is still there.
 */
#ifndef RINGCAST_RING_LINK_H
#define RINGCAST_RING_LINK_H

#include <assert.h>

#include "codec/base/list.h"
#include "codec/base/units.h"
#include "codec/handshake.h"
#include "codec/proxy_header.h"
#include "codec/ws_decoder.h"
#include "ring/io/timer_wheel.h"
#include "ring/link/out_pool.h"
#include "ring/link/stamp.h"

#define LINK_NONE UINT32_MAX
#define LINK_NO_INPUT UINT16_MAX
#define LINK_STUCK_NS (10 * NS_PER_MS)
#define LINK_OUT_PAUSE_BYTES 65536 /* with more waiting for it, a link is not read from */
#define LINK_HEAD_BYTES_MAX (PROXY_HEADER_BYTES_MAX + HANDSHAKE_BYTES_MAX)
#define LINK_SECURING_NS (10 * NS_PER_SECOND) /* for a TLS handshake, from accept on; then */
#define LINK_HANDSHAKE_NS (5 * NS_PER_SECOND) /* for the request */
#define LINK_CLOSE_NS (2 * NS_PER_SECOND)
#define LINK_TICK_NS NS_PER_SECOND /* without a frame in between: ops.on_quiet */
#define LINK_MISSED_PONGS_MAX 2
#define LINK_PING_INTERVALS_MAX 4 /* from one ping to the next; and round trips, at least */

struct io_uring_cqe;
struct links;
struct tcp_info;

enum link_stage {
    LINK_FREE,        /* In the pool; the descriptor is closed. */
    LINK_SECURING,    /* In its TLS handshake. */
    LINK_HANDSHAKING, /* Reading the upgrade request. */
    LINK_STREAMING,   /* Upgraded; the log is followed. */
    LINK_CLOSING,     /* Close (or a refusal) is queued; the peer's end is awaited. */
    LINK_DOOMED,      /* It has ended, and waits for core_bury() with all that it has. */
    LINK_DRAINING,    /* Operations are cancelled; their completions are awaited. */
    LINK_STAGE_COUNT,
};

enum link_flow {
    LINK_CLEAR,   /* Its socket takes bytes, as far as is known. */
    LINK_BLOCKED, /* The socket is full: OP_WRITABLE is armed. */
    LINK_STUCK,   /* Writable, yet nothing could be sent: waits for its timer. */
    LINK_FLOW_COUNT,
};

struct link {
    /* All that a whole send reads comes first: a word, the descriptor, the chain. */
    _Alignas(CACHE_LINE_BYTES) uint8_t stage;
    uint8_t flow;
    bool is_ready : 1;  /* on links->ready */
    bool was_woken : 1; /* writable, and nothing was sent since */
    bool is_unix : 1;
    bool copies : 1; /* its socket takes nothing by reference: nothing is lent any more */
    bool is_tls : 1; /* links->tls has its keys */
    bool recv_paused : 1;
    bool recv_armed : 1;
    bool writable_armed : 1;
    bool shutdown_armed : 1;
    bool is_waiting : 1;    /* on links->waiting */
    bool is_ending : 1;     /* on links->ending */
    bool has_unread : 1;    /* messages of its wait in its backlog */
    bool is_held : 1;       /* a message of its is being answered in slices */
    bool awaits_drain : 1;  /* which go on when all its bytes are sent */
    bool was_opened : 1;    /* ops.on_open was called */
    bool is_proxied : 1;    /* begins with a PROXY header */
    bool has_encoding : 1;  /* chosen, and counted */
    bool awaits_answer : 1; /* In LINK_HANDSHAKING: it is on links->undecided or links->waiters. */
    bool has_place : 1;     /* is counted in options.place_count */
    bool close_received : 1;
    bool write_shut : 1;
    bool inflates : 1;   /* permessage-deflate was agreed on */
    bool is_head : 1;    /* Its request is a HEAD: the answer has no body. */
    bool is_refused : 1; /* or served a document: counted as that, when it ends nowhere else */
    bool was_pinged : 1;
    bool is_draining : 1; /* Its client has the notice of a drain. */
    bool was_blocked : 1; /* Its backlog has how long. */
    bool job_running : 1; /* its handshake's, elsewhere */
    uint8_t missed_pongs : 2;
    uint16_t close_code;
    union {
        int32_t fd;
        uint32_t free_next; /* in LINK_FREE: the next one that is free; LINK_NONE: none */
    };
    struct out_chain out;
    uint32_t generation;
    struct timer timer;
    int32_t end_text; /* see link_end_text() */
    uint32_t round_trip_us;
    /* Stamps: see stamp.h. */
    uint32_t tick; /* its next tick is due; before it streams: the end of the time for its stage */
    union {
        uint32_t ping;  /* its next ping is due */
        uint32_t drain; /* with is_draining: it is closed then */
        uint32_t close; /* in LINK_CLOSING: it ends then, even if bytes wait */
    };
    uint32_t asked; /* when its last ping was sent; before the first one, when it opened */
    uint32_t heard; /* when its last message came */
    uint64_t opened : 48;
    uint64_t input : 16; /* half a request or message; LINK_NO_INPUT: none */
};
static_assert(offsetof(struct link, fd) == 8, "what comes before it is one word");
static_assert(sizeof(struct link) == CACHE_LINE_BYTES, "counted per connection");

/* What few links need; by index, and touched when it is first used. */
struct link_backlog {
    /* While link->awaits_answer: what is left of its request. */
    struct list_link answer_link; /* Before it is keyed: while it waits for a job. */
    union {
        struct {
            char key[HANDSHAKE_KEY_BYTES];
            const struct handshake_protocol *protocol;
        };
        struct proxy_header proxied; /* With is_tls and is_proxied: until there is a request. */
    };
    uint32_t protocol_mask;
    struct ws_deflate_terms deflate;
    struct out_chain unread;   /* While link->has_unread: received, and not read yet. */
    uint64_t blocked_ns;       /* With link->was_blocked: how long its socket was full before, */
    uint64_t blocked_since_ns; /* and since when, in LINK_BLOCKED. */
};

/* What is read of a request that is not complete. */
struct link_request {
    struct proxy_header proxy; /* Without bytes: not complete, or there is none. */
    struct handshake_progress progress;
};

/* A request or message that is not complete. As long as a message may be when it is compressed. */
struct link_input {
    struct list_link age_link; /* In links->inputs_in_use, oldest first, while used. */
    uint32_t conn;
    uint32_t handshake_bytes;
    uint64_t since_ns;
    struct link_request request;
    struct ws_decoder decoder;
    uint8_t bytes[];
};

static inline bool link_is_open(const struct link *link)
{
    return link->stage == LINK_STREAMING || link->stage == LINK_HANDSHAKING ||
           link->stage == LINK_CLOSING || link->stage == LINK_SECURING;
}

/* The only places where its stage and its flow change. */
void link_enter(struct links *links, struct link *link, enum link_stage next);
void link_enter_flow(struct links *links, struct link *link, enum link_flow next);

/* ---- Its own bytes ---- */

/* Queues bytes that are whole frames of its own; dooms it (4108) when the pool is empty. */
void link_queue(struct links *links, struct link *link, const void *bytes, size_t count);
void link_queue_frame(struct links *links, struct link *link, enum ws_opcode opcode,
                      const void *payload, size_t payload_bytes);
/* Has what is queued sent. */
void link_mark_ready(struct links *links, struct link *link);
/* How long its socket has been full, up to now. */
uint64_t link_blocked_ns(const struct links *links, const struct link *link);
/* After something of what waited was sent. */
void link_on_sent(struct links *links, struct link *link);
/* The socket takes nothing more just now. progress: something was sent. */
void link_wait_writable(struct links *links, struct link *link, bool progress);

/* ---- Its end ---- */

/* Why it ends, for the log; NULL: it does not. */
const char *link_end_text(const struct link *link);
/* Queues Close and goes to LINK_CLOSING. reason goes to the peer; text, a constant string, to
 * the log. */
void link_close(struct links *links, struct link *link, uint16_t code, const char *reason,
                const char *text);
void link_begin_closing(struct links *links, struct link *link, const char *text);
/* Ends it without another word: marks it, and core_bury() does the rest at the top of the next
 * turn. Until then all that it has stays, except its place. Of one that is doomed it changes
 * nothing. code: 0, or what is reported unless there is one already. text: a constant string. */
void link_doom(struct links *links, struct link *link, uint16_t code, const char *text);
/* 4108: there is no room for what it is to get. */
void link_doom_slow(struct links *links, struct link *link, const char *text);
/* Puts it on the list of core_bury(). */
void link_list_ending(struct links *links, struct link *link);
/* For core_bury(), of one that is doomed: all that it has goes, and its operations are cancelled.
 */
void link_end(struct links *links, struct link *link);
/* Frees it, if it has ended and the kernel has done with it. */
void link_on_operation_ended(struct links *links, struct link *link);

/* ---- Operations ---- */

void link_arm_recv(struct links *links, struct link *link);
void link_pause_recv(struct links *links, struct link *link);
void link_resume_recv(struct links *links, struct link *link);
bool link_is_full(const struct links *links, const struct link *link);
bool link_is_to_pause(const struct links *links, const struct link *link);
/* Its messages wait for their turn. */
void link_wait(struct links *links, struct link *link);
void link_on_writable(struct links *links, struct link *link);
/* Its socket is tried again. */
void link_clear(struct links *links, struct link *link);
/* A system call. false: it is not a TCP connection, or the peer has left. */
bool link_ask_kernel(const struct link *link, struct tcp_info *info_out);

#endif
