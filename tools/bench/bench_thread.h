/*
 * bench_thread: one thread of the load: a ring, its connections, what they have received.
 *
 * Owner    main creates all threads, starts them, stops and joins them, then reads and destroys.
 * Threads  Fields of struct bench_totals and everything without "atomic": the thread's own until
 *          it is joined. The atomics: written by the side that is named.
 * Memory   At creation: conns, the ring, 8 MiB of receive buffers. Later: bench_conn.h.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_BENCH_THREAD_H
#define RINGCAST_TOOLS_BENCH_THREAD_H

#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>

#include "tools/bench/bench_conn.h"
#include "tools/bench/bench_inflate.h"
#include "tools/bench/bench_load.h"
#include "tools/bench/bench_options.h"
#include "tools/bench/bench_ticks.h"
#include "tools/common/histogram.h"
#include "tools/common/pattern_scan.h"

#define BENCH_CHANNELS_MAX 65536            /* Different channels that may be seen. */
#define BENCH_CHANNEL_NUMBER_MAX (1u << 20) /* A higher number is malformed. */
#define BENCH_CLOSE_CODES_MAX 16
#define BENCH_RECV_BUFFERS 256  /* used in turn: few, so that they stay in the cache */
#define BENCH_INTERVALS_MAX 600 /* A longer window has longer intervals than a second. */

/* The phases of a reader's coming. */
enum bench_phase {
    BENCH_PHASE_TCP,        /* connect(2) */
    BENCH_PHASE_UPGRADED,   /* from there to the 101 */
    BENCH_PHASE_SUBSCRIBED, /* to the answer to its subscription */
    BENCH_PHASE_FIRST_TICK, /* to the first tick */
    BENCH_PHASE_SNAPSHOT,   /* --snapshot: from its subscription to the first whole image */
    BENCH_PHASES,
};

/* Written by main, read by all threads. */
struct bench_control {
    const struct bench_load *load;
    uint32_t interval_count; /* 0: intervals are not wanted */
    uint64_t interval_ns;
    _Atomic bool source_fault_told; /* by the first thread that sees it */
    _Atomic uint64_t window_start_ns;
    _Atomic uint64_t window_ns; /* 0: not begun. Set last. */
    _Atomic bool ask;           /* --at-once: all are upgraded. */
    _Atomic bool resume;        /* The stalled (but the silent) read again. */
    _Atomic bool stop;
};

struct bench_close_count {
    uint32_t code; /* 0: the stream ended without a Close frame */
    uint32_t count;
};

/* What is counted apart for each role. */
struct bench_stream_totals {
    uint64_t sessions; /* times one came to be subscribed, or to do its misdeed */
    uint64_t refused;  /* connects that failed */
    uint64_t ignored;  /* misdeeds that the server did not answer by closing */
    uint64_t frames;
    uint64_t bytes; /* headers included */
    uint64_t holes; /* jumps of a channel's seq that no GAP told */
    uint64_t hole_frames;
    uint64_t gaps;       /* GAP frames */
    uint64_t gap_frames; /* what they told */
    uint64_t gaps_wrong; /* of them: not beginning at the next seq */
    uint64_t duplicates; /* a seq that had been before */
    struct bench_close_count closes[BENCH_CLOSE_CODES_MAX];
    uint32_t close_code_count;
};

struct bench_totals {
    struct bench_stream_totals streams[BENCH_ROLES];
    uint64_t window_frames;     /* Of readers, with a time inside the window. */
    uint64_t window_wire_bytes; /* of them, as they came, headers included */
    uint64_t differing;         /* of them: other bytes than somebody else got */
    uint64_t malformed;
    uint64_t pings;
    uint64_t refusals; /* SUBSCRIBED with a failed entry, ERROR */
    uint64_t receives;
    uint64_t no_buffer;
    uint32_t connect_errors;
    int last_error;         /* of connect_errors */
    char refusal_text[160]; /* The first one. */
    uint64_t first_started_ns;
    uint64_t last_subscribed_ns;
};

/* The frames of a channel with a time inside the window that any reader received. */
struct bench_channel {
    uint64_t channel;
    uint64_t first_seq; /* UINT64_MAX: none */
    uint64_t last_seq;
    uint32_t symbol;   /* in the load's list, or BENCH_SYMBOL_NONE */
    uint32_t readers;  /* of this thread */
    double place_unit; /* from one receipt to the next: 1 / (readers - 1) */
    struct bench_ticks ticks;
};

/* What ticks of a part of the window met. */
struct bench_interval {
    struct histogram latency;
    uint64_t frames;
    uint64_t bytes;
};

struct bench_thread {
    /* Set before the thread starts, then constant. */
    const struct bench_options *options;
    struct bench_control *control;
    uint32_t thread_index;
    uint32_t conn_count;
    uint32_t first_conn_index; /* Counted over all threads. */
    uint32_t first_bad_conn;   /* Of this thread's; those before it are readers. */
    uint32_t in_flight_max;
    char key[WS_CLIENT_KEY_BYTES + 1];
    struct handshake_wish wish;
    char *subscribe_text; /* The same for all; NULL: each has its own. */
    size_t subscribe_bytes;

    /* The thread's own. */
    struct io_uring ring;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    struct bench_conn *conns;
    uint32_t started_count;
    uint32_t in_flight;
    uint32_t rearm_count;
    uint32_t *rearm; /* Conns whose receive must be armed again. */
    bool has_resumed;
    bool may_ask;            /* Who is upgraded subscribes at once; false: when main says so. */
    uint32_t ask_next;       /* Those before it have been asked to subscribe. */
    uint32_t upgraded_count; /* of readers, stalled and slow ones, in their first life */
    void *carry_free; /* Free blocks of BENCH_CARRY_BLOCK_BYTES, linked by their first word. */
    uint64_t random;
    uint64_t acted_ns;
    uint64_t cpu_begin_ns, cpu_ns; /* CPU time at the window's begin; used inside it */
    uint64_t now_ns;               /* Of the completion that is being handled. */
    uint64_t window_start_ns;
    uint64_t window_ns;
    uint64_t window_end_ns;        /* UINT64_MAX: not known */
    uint32_t streaming_count;      /* readers */
    uint32_t finished_count;       /* of them: is_finished */
    size_t wire_bytes;             /* of the frame that is being handled */
    struct bench_inflate *inflate; /* NULL: nothing is compressed */
    struct pattern_scan scan;
    bool has_seqs;             /* in its ticks */
    uint32_t *channel_indexes; /* By channel number: index + 1. */
    struct bench_channel *channels;
    uint32_t channel_count;
    struct bench_totals totals;
    struct histogram latency;
    struct histogram connect_time;
    struct histogram phases[BENCH_PHASES];
    struct bench_interval *intervals; /* NULL: not wanted */

    /* Written by the thread, read by main. */
    _Atomic uint64_t frames_now; /* of readers */
    _Atomic uint64_t bytes_now;
    _Atomic uint64_t window_frames_now;
    _Atomic uint32_t upgraded_now;
    _Atomic uint32_t subscribed_now; /* readers, stalled and slow ones; so are the failed */
    _Atomic uint32_t failed_now;
    _Atomic uint32_t unfinished_now; /* readers that may still be due something of the window */

    pthread_t pthread;
};

int bench_thread_create(struct bench_thread **thread_out, const struct bench_options *options,
                        struct bench_control *control, uint32_t thread_index);
int bench_thread_start(struct bench_thread *thread);
void bench_thread_join(struct bench_thread *thread);
/* After the join: reads what waits for the silent conns, so that their closes are counted. */
void bench_thread_read_rest(struct bench_thread *thread);
void bench_thread_destroy(struct bench_thread *thread);

/* For bench_conn: queues a receive, one-shot or multishot. */
void bench_thread_arm(struct bench_thread *thread, struct bench_conn *conn);

/* A free SQE. */
struct io_uring_sqe *bench_thread_sqe(struct bench_thread *thread);

/* The upgrade request of a conn; 0: it is too long. */
size_t bench_thread_request(const struct bench_thread *thread, const struct bench_conn *conn,
                            char out[WS_CLIENT_REQUEST_BYTES_MAX]);

/* The message that subscribes or unsubscribes; to be freed unless it is thread->subscribe_text.
 * NULL: out of memory. */
char *bench_thread_subscribe_text(const struct bench_thread *thread, const struct bench_conn *conn,
                                  bool unsubscribe, size_t *bytes_out);

uint64_t bench_thread_random(struct bench_thread *thread);

static inline uint32_t bench_thread_index_of(const struct bench_thread *thread,
                                             const struct bench_conn *conn)
{
    return (uint32_t)(conn - thread->conns);
}

/* What the operations of a conn carry as user_data. */
enum bench_op {
    BENCH_OP_CONNECT,
    BENCH_OP_RECV,
    BENCH_OP_COUNT,
};

#endif
