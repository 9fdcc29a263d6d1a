/*
 * bench_crew: the connections of a thread: the role, the messages and the state of each.
 *
 * Owner    A thread (bench_thread.h). bench_conn changes the state of a connection.
 * Threads  The thread's, and main's before it starts and after it is joined. subscribed_now:
 *          written by the thread, read by main.
 * Memory   A connection: 96 bytes; the seqs of its channels (8 bytes each); while a frame is
 *          split between two receives, a block of bench_receive's; with wss://, as in tls_client.h.
 * Units    Times: CLOCK_REALTIME nanoseconds, since they are compared with those in ticks.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_BENCH_CREW_H
#define RINGCAST_TOOLS_BENCH_CREW_H

#include <assert.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/common/histogram.h"
#include "tools/load/bench_broker.h"
#include "tools/load/bench_load.h"
#include "tools/load/bench_options.h"
#include "tools/load/bench_ring.h"
#include "tools/load/bench_totals.h"

/* The phases of connecting a reader. */
enum bench_phase {
    BENCH_PHASE_TCP,        /* connect(2) */
    BENCH_PHASE_TLS,        /* wss://: the TLS handshake */
    BENCH_PHASE_UPGRADED,   /* from there to the 101 */
    BENCH_PHASE_SUBSCRIBED, /* to the answer to its subscription */
    BENCH_PHASE_FIRST_TICK, /* to the first tick */
    BENCH_PHASE_SNAPSHOT,   /* --snapshot: from its subscription to the first whole image */
    BENCH_PHASES,
};

#define BENCH_INTERVALS_MAX 600 /* A longer window has longer intervals than a second. */

/* Written by main, read by all threads. */
struct bench_control {
    const struct bench_load *load;
    uint32_t interval_count; /* 0: intervals are not wanted */
    uint64_t interval_ns;
    _Atomic bool source_fault_told; /* by the first thread that sees it */
    _Atomic uint64_t window_start_ns;
    _Atomic uint64_t window_ns; /* 0: not begun. Set last. */
    _Atomic bool ask;           /* --at-once: all are upgraded. */
    _Atomic bool resume;        /* The stalled connections (except the silent ones) read again. */
    _Atomic bool stop;
    _Atomic uint32_t shown_round; /* of main's questions: see shown_latency of a thread */
};

enum bench_conn_state {
    BENCH_CONN_NEW,         /* No socket. */
    BENCH_CONN_CONNECTING,  /* connect(2) is under way. */
    BENCH_CONN_SECURING,    /* wss://: the TLS handshake is under way. */
    BENCH_CONN_UPGRADING,   /* The request is sent. */
    BENCH_CONN_SUBSCRIBING, /* Upgraded; the subscription is asked for. */
    BENCH_CONN_STREAMING,   /* Subscribed. */
    BENCH_CONN_STALLED,     /* The same, but nothing is read. */
    BENCH_CONN_WAITING,     /* It broke the protocol, and waits for the server's Close. */
    BENCH_CONN_CLOSED,      /* Shut down; the last completion may still come. */
};

struct bench_conn {
    int fd;
    uint8_t state; /* enum bench_conn_state, changed by bench_conn_enter only */
    uint8_t role;  /* enum bench_role */
    bool is_silent;
    bool is_finished; /* a reader: the window owes it nothing more, as far as is known */
    bool close_is_counted;
    bool rearm_due; /* In the rearm of its thread. */
    bool recv_armed;
    bool is_back; /* It has left and connected again. */
    bool is_upgraded;
    uint8_t misdeeds; /* misdeeds so far, for the choice of the next one */
    uint32_t next_seq_count;
    uint32_t carry_bytes;
    uint32_t carry_capacity;
    uint32_t window_ticks;  /* a reader: of the window */
    uint8_t *carry;         /* The beginning of a frame (or answer head); NULL: none. */
    uint64_t *next_seqs;    /* By the thread's channel index; 0: no frame yet. */
    struct tls_client *tls; /* wss://; NULL: in the clear */
    uint64_t started_ns;
    uint64_t phase_ns; /* when the last phase of connecting ended; 0: all have */
    uint64_t asked_ns; /* when its subscription was sent; 0: not yet, or its image has come */
    uint64_t due_ns;   /* the time at which its role acts next */
    struct bench_broker *broker;
};
static_assert(sizeof(struct bench_conn) <= 96, "what the header says");

struct bench_crew {
    /* Set by bench_crew_init, then constant. */
    const struct bench_options *options;
    struct bench_control *control;
    struct bench_ring *ring;
    uint32_t conn_count;
    uint32_t first_conn_index; /* Counted over all threads. */
    uint32_t first_bad_conn;   /* Of this thread's; those before it are readers. */
    uint32_t in_flight_max;
    char key[WS_CLIENT_KEY_BYTES + 1];
    struct handshake_wish wish;
    char *subscribe_text; /* The same for all; NULL: each has its own. */
    size_t subscribe_bytes;

    /* Written by the thread. */
    uint64_t now_ns; /* of the completion that is being handled */
    uint64_t random;
    struct bench_conn *conns;
    uint32_t started_count;
    uint32_t in_flight; /* being made */
    bool may_ask;       /* An upgraded connection subscribes at once; false: when main allows it. */
    uint32_t ask_next;  /* Those before it have been asked to subscribe. */
    uint64_t kept_alive_ns;   /* MQTT: until when PINGREQs have been sent; 0: none yet */
    uint32_t keep_alive_next; /* the connection that sends the next one */
    uint32_t upgraded_count; /* of readers, stalled and slow connections that have connected once */
    uint32_t streaming_count; /* readers */
    uint32_t finished_count;  /* of them: is_finished */
    struct bench_totals totals;
    struct histogram connect_time;
    struct histogram phases[BENCH_PHASES];
    _Atomic uint32_t subscribed_now; /* readers, stalled and slow connections */
};

/* crew: zeroed. */
int bench_crew_init(struct bench_crew *crew, const struct bench_options *options,
                    struct bench_control *control, struct bench_ring *ring, uint32_t thread_index);
void bench_crew_deinit(struct bench_crew *crew);

/* Queues a receive, one-shot or multishot. */
void bench_crew_arm(struct bench_crew *crew, struct bench_conn *conn);

/* The upgrade request of a conn; 0: it is too long. */
size_t bench_crew_request(const struct bench_crew *crew, const struct bench_conn *conn,
                          char out[WS_CLIENT_REQUEST_BYTES_MAX]);

/* The message that subscribes or unsubscribes; to be freed unless it is crew->subscribe_text. NULL:
 * out of memory. */
char *bench_crew_subscribe_text(const struct bench_crew *crew, const struct bench_conn *conn,
                                bool unsubscribe, size_t *bytes_out);

uint64_t bench_crew_random(struct bench_crew *crew);

static inline uint32_t bench_crew_index_of(const struct bench_crew *crew,
                                           const struct bench_conn *conn)
{
    return (uint32_t)(conn - crew->conns);
}

static inline struct bench_stream_totals *bench_crew_totals(struct bench_crew *crew,
                                                            const struct bench_conn *conn)
{
    return &crew->totals.streams[conn->role];
}

#endif
