/*
 * bench_data: the ticks that the server sent: seqs, latencies, and which connection received which
 * tick when.
 *
 * Owner    A thread; main reads it after the join.
 * Threads  One at a time.
 * Memory   At creation the tables of channels; ticks as in bench_ticks.h; next_seqs of a
 *          connection grows.
 * Units    Times: CLOCK_REALTIME nanoseconds.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_BENCH_DATA_H
#define RINGCAST_TOOLS_BENCH_DATA_H

#include "tools/common/control_reply.h"
#include "tools/common/histogram.h"
#include "tools/common/pattern_scan.h"
#include "tools/load/bench_conn.h"
#include "tools/load/bench_echo.h"
#include "tools/load/bench_places.h"
#include "tools/load/bench_requests.h"
#include "tools/load/bench_slow_ticks.h"
#include "tools/load/bench_ticks.h"

#define BENCH_CHANNELS_MAX 65536            /* Different channels that may be seen. */
#define BENCH_CHANNEL_NUMBER_MAX (1u << 20) /* A higher number is malformed. */

/* The frames of a channel with a time inside the window that any reader received. */
struct bench_channel {
    uint64_t channel;
    uint64_t first_seq; /* UINT64_MAX: none */
    uint64_t last_seq;
    uint32_t symbol; /* in the list of bench_load, or BENCH_SYMBOL_NONE */
    struct bench_ticks ticks;
};

/* The figures of the ticks of a part of the window. */
struct bench_interval {
    struct histogram latency;
    uint64_t frames;
    uint64_t bytes;
    uint64_t turn_max_ns; /* of the thread's turns that began in it */
};

struct bench_data {
    /* Set by bench_data_init, then constant. */
    struct bench_crew *crew;
    struct bench_echo *echo;         /* NULL: not --echo */
    struct bench_requests *requests; /* NULL: not --requests */
    struct pattern_scan scan;
    bool has_seqs;  /* in its ticks */
    bool has_times; /* likewise; without times, a tick has the time of its receipt */

    /* Set by the thread, with the values of main. */
    uint64_t window_start_ns;
    uint64_t window_ns;     /* 0: not begun */
    uint64_t window_end_ns; /* UINT64_MAX: not known */

    uint32_t *channel_indexes; /* By channel number: index + 1. */
    struct bench_channel *channels;
    uint32_t channel_count;
    struct histogram latency;
    struct bench_receipts receipts;
    struct bench_slow_ticks slow_ticks;
    struct bench_interval *intervals; /* NULL: not wanted */
};

/* data: zeroed. */
int bench_data_init(struct bench_data *data, struct bench_crew *crew);
void bench_data_deinit(struct bench_data *data);

enum bench_form {
    BENCH_FORM_TEXT, /* JSON, or any text in which the patterns find their numbers */
    BENCH_FORM_SBE,
};

/* The payload of a tick, and its number of bytes on the wire. */
struct bench_tick_bytes {
    enum bench_form form;
    const uint8_t *payload;
    size_t payload_bytes;
    size_t wire_bytes;
};
void bench_data_on_tick(struct bench_data *data, struct bench_conn *conn,
                        const struct bench_tick_bytes *tick);

void bench_data_on_gap(struct bench_data *data, struct bench_conn *conn,
                       const struct control_reply *reply);

/* A HEARTBEAT from after the window shows that nothing is missing, unless it announces a seq that
 * has not come. */
void bench_data_on_heartbeat(struct bench_data *data, struct bench_conn *conn,
                             const struct control_reply *reply);

/* The symbols of the channels in SBE frames. */
void bench_data_on_definition(struct bench_data *data, const struct control_reply *reply);

#endif
