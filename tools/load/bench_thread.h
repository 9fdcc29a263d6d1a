/*
 * bench_thread: one thread of the load generator: the loop around its ring.
 *
 * Owner    main creates all threads, starts them, stops and joins them, then reads and destroys.
 * Threads  Everything without "atomic": the thread's own until it is joined.
 * Memory   At creation: connections, the ring and its buffers, tables of channels. Later: as in the
 *          headers of the parts.
 * Errors   0 or a negative errno.
 */
#ifndef RINGCAST_TOOLS_BENCH_THREAD_H
#define RINGCAST_TOOLS_BENCH_THREAD_H

#include <pthread.h>
#include <stdatomic.h>

#include "tools/load/bench_receive.h"

struct bench_thread {
    struct bench_crew crew;
    struct bench_ring ring;
    struct bench_data data;
    struct bench_echo echo;
    struct bench_requests requests;
    struct bench_frames frames;
    struct bench_receive receive;

    uint32_t *rearm; /* Conns whose receive must be armed again. */
    uint32_t rearm_count;
    bool has_resumed;
    uint64_t acted_ns;
    struct histogram turns; /* of the window: from the first completion's handling to the last's */

    /* Written by the thread, read by main. */
    _Atomic int tid;             /* 0: it has not begun */
    _Atomic uint64_t frames_now; /* of readers */
    _Atomic uint64_t bytes_now;
    _Atomic uint64_t window_frames_now;
    _Atomic uint32_t upgraded_now;
    _Atomic uint32_t failed_now;     /* of readers, stalled and slow connections */
    _Atomic uint32_t unfinished_now; /* readers that may still be due something of the window */
    _Atomic uint64_t unanswered_now; /* of --requests */

    /* A copy of the latencies so far, for a terminal. It is main's while shown_round is that of the
     * control; the thread makes the next one when that has changed. */
    struct histogram shown_latency;
    _Atomic uint32_t shown_round;

    pthread_t pthread;
};

int bench_thread_create(struct bench_thread **thread_out, const struct bench_options *options,
                        struct bench_control *control, uint32_t thread_index);
int bench_thread_start(struct bench_thread *thread);
void bench_thread_join(struct bench_thread *thread);
/* After the join: reads the bytes that wait for silent connections, so that their closes are
 * counted. */
void bench_thread_read_rest(struct bench_thread *thread);
void bench_thread_destroy(struct bench_thread *thread);

#endif
