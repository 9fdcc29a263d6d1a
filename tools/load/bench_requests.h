/*
 * bench_requests: --requests: each connection sends LIST, waits for the answer, and sends the next.
 *
 * The connections are readers and stay subscribed, so that a request competes with their ticks.
 * Request k of all belongs to connection k modulo the number of connections.
 *
 * Owner    A thread (bench_thread.h); main reads it after the join.
 * Threads  One at a time.
 * Memory   16 bytes for each connection.
 * Units    CLOCK_REALTIME nanoseconds.
 * Errors   -ENOMEM.
 */
#ifndef RINGCAST_TOOLS_BENCH_REQUESTS_H
#define RINGCAST_TOOLS_BENCH_REQUESTS_H

#include "tools/common/control_reply.h"
#include "tools/common/histogram.h"
#include "tools/load/bench_crew.h"

struct bench_requests_conn {
    uint64_t sent_ns; /* of the request that waits for its answer; 0: none does */
    uint32_t left;    /* requests that are not sent yet */
};

struct bench_requests {
    struct bench_crew *crew;
    struct bench_requests_conn *conns;
    bool has_begun;
    uint64_t unanswered; /* not sent, or not answered */
    uint64_t answered;
    uint64_t refused;          /* answered by ERROR */
    uint64_t first_ns;         /* when the first one was sent; 0: none was */
    uint64_t last_ns;          /* when the last answer came; 0: none did */
    struct histogram response; /* from sending to the answer; without those refused */
};

int bench_requests_init(struct bench_requests *requests, struct bench_crew *crew);
void bench_requests_deinit(struct bench_requests *requests);

/* Sends the first request of each connection, once. */
void bench_requests_begin(struct bench_requests *requests);

/* Whether the reply answers the connection's request. Then the next request is sent. */
bool bench_requests_take(struct bench_requests *requests, struct bench_conn *conn,
                         const struct control_reply *reply);

#endif
