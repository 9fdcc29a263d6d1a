/*
 * bench_echo: --echo: the messages of a thread's connections, when each is due, and which one came
 * back.
 *
 * Message k of connection i is due at the start and (k x connections + i) steps. Its text follows
 * from k and the connection, so that nothing of it has to be kept.
 *
 * Owner    A thread (bench_thread.h); main reads it after the join.
 * Threads  One at a time.
 * Memory   24 bytes for each connection.
 * Units    CLOCK_REALTIME nanoseconds.
 * Errors   -ENOMEM.
 */
#ifndef RINGCAST_TOOLS_BENCH_ECHO_H
#define RINGCAST_TOOLS_BENCH_ECHO_H

#include "tools/common/histogram.h"
#include "tools/load/bench_crew.h"

#define BENCH_ECHO_PAYLOAD_BYTES_MIN 16 /* the number of connection and message */

struct bench_echo_conn {
    uint64_t due;       /* messages that are due */
    uint64_t sent;      /* messages that were sent as a whole */
    size_t frame_bytes; /* that were sent of the next one's frame */
};

struct bench_echo {
    struct bench_crew *crew;
    struct bench_echo_conn *conns;
    double step_ns;        /* from one message of the thread to the next */
    uint64_t start_ns;     /* 0: not begun */
    uint64_t next;         /* of the thread's messages: is due next */
    uint64_t window_due;   /* messages that were due in the window */
    bool has_backlog;      /* A connection has not taken all that was due. */
    uint32_t flush_next;   /* the connection that is tried first then */
    uint32_t budget;       /* messages that may yet be sent before the thread reads */
    struct histogram late; /* of the window: from when a message was due until it was sent */
};

struct bench_echo_window {
    uint64_t start_ns;
    uint64_t ns; /* 0: not known yet */
};

int bench_echo_init(struct bench_echo *echo, struct bench_crew *crew);
void bench_echo_deinit(struct bench_echo *echo);

/* Sends what is due. Returns when the next message is, at the latest. */
uint64_t bench_echo_act(struct bench_echo *echo, const struct bench_echo_window *window);

/* Which message this is: its number, from 0, and when it was due. false: it is none of conn's. */
bool bench_echo_read(const struct bench_echo *echo, const struct bench_conn *conn,
                     const uint8_t *payload, size_t payload_bytes, uint64_t *number_out,
                     uint64_t *due_ns_out);

/* Whether no further message of the connection is due before end_ns. */
bool bench_echo_is_last(const struct bench_echo *echo, const struct bench_conn *conn,
                        uint64_t number, uint64_t end_ns);

#endif
