/*
 * bench_totals: the counters of the connections of a thread.
 *
 * Owner    A thread; main adds them up after the join.
 * Threads  One at a time.
 * Memory   The struct.
 */
#ifndef RINGCAST_TOOLS_BENCH_TOTALS_H
#define RINGCAST_TOOLS_BENCH_TOTALS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/load/bench_options.h"

#define BENCH_CLOSE_CODES_MAX 16
#define BENCH_SAMPLE_BYTES_MAX 200

struct bench_close_count {
    uint32_t code; /* 0: the stream ended without a Close frame */
    uint32_t count;
};

/* The counters of each role. */
struct bench_stream_totals {
    uint64_t sessions; /* how often one subscribed, or did its misdeed */
    uint64_t refused;  /* connects that failed */
    uint64_t ignored;  /* misdeeds that the server did not answer by closing */
    uint64_t frames;
    uint64_t bytes; /* headers included */
    uint64_t holes; /* jumps of a channel's seq that no GAP reported */
    uint64_t hole_frames;
    uint64_t gaps;       /* GAP frames */
    uint64_t gap_frames; /* frames that they reported */
    uint64_t gaps_wrong; /* GAPs that do not begin at the next seq */
    uint64_t duplicates; /* a seq that had been received before */
    struct bench_close_count closes[BENCH_CLOSE_CODES_MAX];
    uint32_t close_code_count;
};

/* The beginning of a message, which may be binary. */
struct bench_sample_text {
    char bytes[BENCH_SAMPLE_BYTES_MAX];
    uint32_t count;
    bool is_cut;     /* There is more of it. */
    const char *why; /* what is wrong with it; NULL: it does not have the fields of a tick */
};

struct bench_totals {
    struct bench_stream_totals streams[BENCH_ROLES];
    uint64_t window_frames;     /* Of readers, with a time inside the window. */
    uint64_t window_wire_bytes; /* of them, as they came, headers included */
    uint64_t differing;         /* of them: other bytes than another connection received */
    uint64_t early_ticks;       /* of them: read before the time in them */
    uint64_t far_ticks;         /* of all ticks: with a time that is hours from now */
    double far_number;          /* in the last of them, in its unit */
    uint64_t malformed;
    uint64_t unread;  /* not ticks, before the connection's first tick: greetings */
    uint64_t ignored; /* ignored by --ignore */
    uint64_t pings;
    uint64_t refusals;            /* SUBSCRIBED with a failed entry, ERROR */
    uint64_t subscribed_channels; /* of the connection with the most */
    uint64_t receives;
    uint64_t no_buffer;
    uint32_t connect_errors;
    int last_error; /* of connect_errors */
    struct bench_sample_text first_refusal;
    struct bench_sample_text first_malformed;
    struct bench_sample_text last_unread; /* The first ones may be greetings. */
    uint64_t first_started_ns;
    uint64_t last_subscribed_ns;
};

/* Counts closes under their code. */
void bench_totals_count_close(struct bench_stream_totals *totals, uint32_t code, uint32_t count);

/* A refusal of the server; the first text is kept for the report. */
void bench_totals_refuse(struct bench_totals *totals, const void *text, size_t text_bytes);

/* A message that cannot be read; the first one is kept, and why (see struct bench_sample_text). */
void bench_totals_malformed(struct bench_totals *totals, const char *why, const void *text,
                            size_t text_bytes);

/* A message that is not a tick, before the first tick of its connection; the last one is kept. */
void bench_totals_unread(struct bench_totals *totals, const void *text, size_t text_bytes);

#endif
