/*
 * counters: every number an operator may ask for, in one mapped file.
 *
 * Owner    src creates the file before the first core starts and removes it at the end.
 * Threads  One writer per struct, named below; anybody reads, also other processes, with
 *          relaxed loads: each number is whole, a set of them need not be of one instant.
 * Memory   One mapping; the layout is the file format (magic, version first).
 * Units    In the names.
 */
#ifndef RINGCAST_RING_COUNTERS_H
#define RINGCAST_RING_COUNTERS_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define COUNTERS_MAGIC UINT64_C(0x31747363676e6972) /* "ringcst1" */
#define COUNTERS_CORES_MAX 64
#define COUNTERS_LATENCY_BUCKETS 32

typedef _Atomic uint64_t counter;

static inline void counter_add(counter *value, uint64_t amount)
{
    /* One writer: no locked instruction is needed. */
    uint64_t old = atomic_load_explicit(value, memory_order_relaxed);
    atomic_store_explicit(value, old + amount, memory_order_relaxed);
}

static inline void counter_set(counter *value, uint64_t amount)
{
    atomic_store_explicit(value, amount, memory_order_relaxed);
}

static inline uint64_t counter_get(const counter *value)
{
    return atomic_load_explicit(value, memory_order_relaxed);
}

/* Written by its core. */
struct core_counters {
    _Alignas(CACHE_LINE_BYTES) counter conns_open; /* gauge: sockets, also in handshake */
    counter conns_streaming;                       /* gauge: upgraded */
    counter conns_blocked;                         /* gauge: socket full, waiting to be writable */
    counter conns_pulling;                         /* gauge: catching up from the log */
    counter accepted;
    counter refused_busy;      /* 503 over max_connections */
    counter refused_handshake; /* malformed, or not for us */
    counter refused_token;     /* 401 */
    counter refused_forbidden; /* 403: address, origin or scope */
    counter refused_rate;      /* 429: limits of an address or token */
    counter accept_paused;     /* times accept waited at EMFILE or max_connections */
    counter closed;
    counter closed_slow;     /* 4108 */
    counter closed_silent;   /* 4109 */
    counter closed_idle;     /* 4114 */
    counter closed_drain;    /* 4201 */
    counter closed_protocol; /* 1002, 1007, 1009 and failed handshakes */
    counter closed_token;    /* 4001, 4003, 4101, 4113 */
    counter closed_rate;     /* 4111 */
    counter closed_reset;    /* by the peer or an error, without a Close frame */
    counter subscriptions;   /* gauge */
    counter messages_in;
    counter messages_refused; /* over the rate, or without a token: ERROR 111 and 101 */
    counter messages_held;    /* that took more than one slice, see core_hold */
    counter slice_units_max;  /* gauge: the longest slice, see core_spend */
    counter bytes_in;
    counter frames_out; /* data frames handed to the kernel whole */
    counter bytes_out;
    counter control_out; /* control frames */
    counter sends;       /* send operations that succeeded whole */
    counter sends_short;
    counter sends_full; /* -EAGAIN */
    counter sends_failed;
    counter lent_sends;        /* sends without a copy, of which these bytes ... */
    counter lent_bytes;        /* ... the kernel did not copy, */
    counter lent_bytes_copied; /* ... it copied after all, */
    counter lent_bytes_held;   /* gauge: ... it still refers to */
    counter send_enters;       /* enters that submitted sends */
    counter enters;            /* every entry into the kernel by enter() */
    counter frames_lost;       /* told by GAP */
    counter frames_conflated;
    counter gaps_sent;
    counter lags_told;      /* LAG messages */
    counter laps;           /* conns passed by the writer */
    counter core_laps;      /* times the core itself was passed */
    counter recv_no_buffer; /* -ENOBUFS */
    counter cq_overflow;    /* enters after which the completion queue had overflowed */
    counter position;       /* gauge: index of the next frame to fan out */
    counter turns;          /* of its loop: at least ten a second, while it lives */
    /* Time from ts_pub to the end of the flush that sent it, per turn: bucket b counts
     * latencies under 2^(b+10) ns. */
    counter flush_latency[COUNTERS_LATENCY_BUCKETS];
    counter flush_latency_sum_ns;
};

/* Written by the publisher. */
struct publisher_counters {
    _Alignas(CACHE_LINE_BYTES) counter ticks; /* published */
    counter tick_bytes;                       /* frame bytes published */
    counter ticks_refused; /* could not be encoded within frame_bytes_max or no channel */
    counter channels;      /* gauge */
    counter wakes;         /* sleeping cores woken */
    counter feed_skipped;
    counter feed_malformed;
    counter feed_holes;
    counter feed_passes;
    counter feed_wakes;         /* polls of a feed because its descriptor was readable */
    counter log_waits;          /* times the writer waited for a core inside submit */
    counter log_wait_ns;        /* how long, in all logs; grows during a wait */
    counter log_saved;          /* last frames saved before they were lapped */
    counter log_replaced_bytes; /* pages given away, since the kernel still read them */
    counter sbe_frames;         /* in the log of md.sbe.v1 */
    counter sbe_bytes;
    counter deflate_frames; /* in the log of JSON with permessage-deflate */
    counter deflate_bytes;
    counter turns;   /* polls; an inline publisher's are turns of core 0, too */
    counter late_ns; /* gauge: how late the newest tick was published (ts_pub - ts_event
                        of simulated ticks, ts_pub - ts_recv of others) */
};

struct counters {
    uint64_t magic;
    uint32_t version;
    uint32_t core_count;
    uint64_t pid;
    uint64_t started_ns; /* CLOCK_REALTIME */
    struct publisher_counters publisher;
    struct core_counters cores[COUNTERS_CORES_MAX];
};

#define COUNTERS_VERSION 5

static_assert(sizeof(struct core_counters) % CACHE_LINE_BYTES == 0, "no two writers share a line");
static_assert(offsetof(struct counters, publisher) == CACHE_LINE_BYTES,
              "the head that other processes check first has a line of its own");
static_assert(sizeof(counter) == sizeof(uint64_t), "the layout is the file format");

/* Creates and maps the file at path (mode 0600, replaced if it exists; removed by close). path
 * NULL: memory only. 0 or a negative errno; *counters_out is untouched on failure. */
int counters_open(struct counters **counters_out, const char *path, uint32_t core_count);
void counters_close(struct counters *counters, const char *path);

#endif
