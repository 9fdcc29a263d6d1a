/*
 * counters: all numbers that operators see, in one mapped file that describes itself.
 *
 * The structs are for writers. A reader of the file uses counters_format.h.
 *
 * Owner    src, before the first core starts until all threads have ended.
 * Threads  One writer per struct or cache line, named below. Any thread or process may read, with
 *          relaxed loads: each number is whole, but several need not be of the same instant.
 * Memory   One mapping of counters_bytes(core_count).
 * Units    In the names; a time in an entry is in ns.
 * Source   ring/board/counters_table.c explains each number, and docs/metrics.md repeats it.
 */
#ifndef RINGCAST_RING_COUNTERS_H
#define RINGCAST_RING_COUNTERS_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"
#include "ring/board/counters_format.h"

#define COUNTERS_CORES_MAX 64
#define COUNTERS_THREADS_MAX (COUNTERS_CORES_MAX + 5) /* publisher, main, admin, log, recorder */
#define COUNTERS_ENTRIES_MAX 160

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

/* Times by size: bucket 0 counts those under 2^FIRST_BITS ns; then come STEPS buckets of equal
 * width for each power of two; the last bucket counts those from 2^LAST_BITS ns on. */
#define COUNTERS_HISTOGRAM_FIRST_BITS 8
#define COUNTERS_HISTOGRAM_LAST_BITS 36
#define COUNTERS_HISTOGRAM_STEPS 4
#define COUNTERS_HISTOGRAM_BUCKETS                                                                 \
    (2 + COUNTERS_HISTOGRAM_STEPS * (COUNTERS_HISTOGRAM_LAST_BITS - COUNTERS_HISTOGRAM_FIRST_BITS))

struct counters_histogram {
    counter sum_ns;
    counter buckets[COUNTERS_HISTOGRAM_BUCKETS];
};

/* What is too short or too long counts as the longest of the first bucket, or the shortest of the
 * last one: then no time needs a branch. */
static inline uint32_t counters_histogram_bucket(uint64_t value_ns)
{
    static_assert(COUNTERS_HISTOGRAM_STEPS == 4, "two bits below the highest choose the step");
    const uint64_t least = (UINT64_C(1) << COUNTERS_HISTOGRAM_FIRST_BITS) - 1;
    const uint64_t most = UINT64_C(1) << COUNTERS_HISTOGRAM_LAST_BITS;
    value_ns = value_ns > least ? value_ns : least;
    value_ns = value_ns < most ? value_ns : most;
    uint32_t bits = 63 - (uint32_t)__builtin_clzll(value_ns);
    return COUNTERS_HISTOGRAM_STEPS * (bits - COUNTERS_HISTOGRAM_FIRST_BITS) +
           (uint32_t)(value_ns >> (bits - 2)) - 3;
}

static inline void counters_histogram_add(struct counters_histogram *histogram, uint64_t value_ns,
                                          uint64_t times)
{
    counter_add(&histogram->buckets[counters_histogram_bucket(value_ns)], times);
    counter_add(&histogram->sum_ns, value_ns * times);
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
    counter refused_late;      /* no answer: not complete within 5 s */
    counter opening_left;      /* ended before their request was complete */
    counter documents;         /* served instead of an upgrade */
    counter accept_paused;     /* times accept waited at EMFILE or max_connections */
    counter closed;
    counter closed_slow;     /* 4108 */
    counter closed_silent;   /* 4109 */
    counter closed_idle;     /* 4114 */
    counter closed_drain;    /* 4201 */
    counter closed_kicked;   /* by POST /admin/kick: 4115, or the code given */
    counter closed_protocol; /* 1002, 1007, 1009 and 4005 */
    counter closed_token;    /* 4001, 4003, 4101, 4113 */
    counter closed_rate;     /* 4111 */
    counter closed_reset;    /* by the peer or an error, without a Close frame */
    counter quality_good;    /* gauge: connections by quality (src/base/quality.h) */
    counter quality_fair;
    counter quality_poor;
    counter subscriptions; /* gauge */
    counter messages_in;
    counter messages_refused;    /* over the rate, or without a token: ERROR 111 and 101 */
    counter messages_held;       /* that took more than one slice, see core_hold */
    counter slice_units_max;     /* max: the longest slice, see core_spend */
    counter signatures;          /* of tokens, by one key */
    counter signature_units_max; /* max: for those of one turn, see core_spend */
    counter bytes_in;
    counter frames_out; /* data frames passed to the kernel whole */
    counter bytes_out;
    counter control_out; /* control frames */
    counter sends;       /* send operations that succeeded whole */
    counter sends_short;
    counter sends_full; /* -EAGAIN */
    counter sends_failed;
    counter lent_sends;  /* by reference, */
    counter lent_bytes;  /* with this many bytes */
    counter send_enters; /* enters that submitted sends */
    counter enters;      /* every entry into the kernel by enter() */
    counter frames_lost; /* reported by GAP */
    counter frames_conflated;
    counter gaps_sent;
    counter lags_told;              /* LAG messages */
    counter laps;                   /* conns passed by the writer */
    counter core_laps;              /* times the core itself was passed */
    counter recv_no_buffer;         /* -ENOBUFS */
    counter cq_overflow;            /* enters after which the completion queue had overflowed */
    counter position;               /* gauge: index of the next frame to fan out */
    counter turns;                  /* of its loop: at least ten a second, while it lives */
    counter busy_ns;                /* not asleep */
    counter asleep_ns;              /* in the kernel, since there was nothing to do */
    counter overslept_ns;           /* longer than it asked for, when nothing woke it */
    counter turn_max_ns;            /* max: the longest turn without its sleep */
    counter turns_slow;             /* turns over 1 ms */
    counter mail_cpu_max_ns;        /* max: CPU time of a reload in a turn, and of burying */
    counter mail_turn_cpu_max_ns;   /* max: of a whole turn that began with a reload */
    counter blocked_ns;             /* of all connections: how long their sockets were full */
    counter tls_12;                 /* gauge: connections that speak TLS 1.2, */
    counter tls_13;                 /* and TLS 1.3 */
    counter tls_running;            /* gauge: handshakes that have begun */
    counter tls_waiting;            /* gauge: connections that wait to begin theirs */
    counter tls_full;               /* handshakes that finished, */
    counter tls_resumed;            /* and with a ticket */
    counter tls_not_tls;            /* that failed: the first byte is not TLS */
    counter tls_protocol;           /* nothing in common, or malformed */
    counter tls_certificate;        /* the client's was refused, or is missing */
    counter tls_alert;              /* the client refused ours, by an alert */
    counter tls_left;               /* the client left in the middle */
    counter tls_late;               /* not finished within 10 s */
    counter tls_internal;           /* memory, or libcrypto */
    counter tls_records_out;        /* sealed, and sent at least in part */
    counter tls_records_in;         /* opened */
    counter tls_refused_mac;        /* records that do not open, */
    counter tls_refused_length;     /* that are too long or not TLS, */
    counter tls_refused_unexpected; /* that mean nothing where they come, */
    counter tls_refused_flood;      /* and too many that carry no data */
    counter tls_updates_peer;       /* keys changed by clients, */
    counter tls_updates_own;        /* and ours */
    counter tls_sealed_bytes;       /* gauge: sealed, and waiting for a socket */
    struct counters_histogram wait; /* of the oldest frame: from ts_pub to the turn that sends it */
    struct counters_histogram scatter;       /* from there to the end of its last send */
    struct counters_histogram flush;         /* both together */
    struct counters_histogram flush_newest;  /* the same of the newest frame of the turn */
    struct counters_histogram tls_handshake; /* work of a handshake, all steps */

    /* Written by main. */
    _Alignas(CACHE_LINE_BYTES) counter run_delay_ns; /* runnable without a CPU */
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
    counter log_replaced_bytes; /* pages replaced because the kernel may still read them */
    counter sbe_frames;         /* in the log of md.sbe.v1 */
    counter sbe_bytes;
    counter deflate_frames; /* in the log of JSON with permessage-deflate */
    counter deflate_bytes;
    counter turns;              /* polls; an inline publisher's are turns of core 0, too */
    counter late_ns;            /* gauge: how late the newest tick was published (ts_pub - ts_event
                                   of simulated ticks, ts_pub - ts_recv of others) */
    counter log_head;           /* gauge: index of the next frame of the JSON log */
    counter log_images_unsaved; /* last frames that found no room when they were lapped */
    struct counters_histogram feed;    /* what late_ns has of the newest tick, of every tick */
    struct counters_histogram publish; /* from ts_pub until the cores see it */

    /* Written by main. */
    _Alignas(CACHE_LINE_BYTES) counter run_delay_ns; /* runnable without a CPU; 0: inline */
};

/* Each written by the thread that it names. */
struct process_counters {
    _Alignas(CACHE_LINE_BYTES) counter main_turns;
    counter log_lost; /* lines of all logs; main copies it once a second */
    _Alignas(CACHE_LINE_BYTES) counter admin_turns;
    _Alignas(CACHE_LINE_BYTES) counter log_turns;
    _Alignas(CACHE_LINE_BYTES) counter record_turns;
    counter record_active; /* gauge: 1 while ticks are recorded */
    counter record_ticks;  /* that can be read from the files */
    counter record_bytes;  /* compressed */
    counter record_files;
    counter record_cut; /* ticks that waited to be written when the recording stopped */

    /* Written by the publisher: ticks that are not in the recording. */
    _Alignas(CACHE_LINE_BYTES) counter record_full; /* The disk was too slow. */
    counter record_stopped;                         /* The recording had stopped. */
    counter record_too_long;                        /* More than 4 MiB. */
};

struct counters {
    struct counters_header header;
    struct counters_scope_entry scopes[COUNTERS_SCOPES];
    struct counters_entry entries[COUNTERS_ENTRIES_MAX];
    struct process_counters process;
    struct publisher_counters publisher;
    struct counters_thread threads[COUNTERS_THREADS_MAX];
    struct core_counters cores[COUNTERS_CORES_MAX]; /* as many as there are cores */
};

static_assert(sizeof(struct core_counters) % CACHE_LINE_BYTES == 0, "no two writers share a line");
static_assert(sizeof(counter) == sizeof(uint64_t), "the layout is the file format");

static inline size_t counters_bytes(uint32_t core_count)
{
    return offsetof(struct counters, cores) + core_count * sizeof(struct core_counters);
}

/* Maps the counters of a file (counters_file.h); fd -1: memory only. 0 or a negative errno;
 * *counters_out is untouched on failure. */
int counters_open(struct counters **counters_out, int fd, uint32_t core_count);
void counters_close(struct counters *counters);

#endif
