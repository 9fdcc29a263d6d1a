/*
 * bench_options: what ringcast-bench was asked to do.
 *
 * Owner    main fills it once; constant afterwards, read by all threads.
 * Errors   bench_options_parse prints what is wrong and returns the exit code, or -1: go on.
 */
#ifndef RINGCAST_TOOLS_BENCH_OPTIONS_H
#define RINGCAST_TOOLS_BENCH_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/ws_client.h"

#define BENCH_CONNECTIONS_MAX 1000000
#define BENCH_THREADS_MAX 64

struct bench_options {
    const char *url_text;
    struct ws_client_url url;
    struct ws_client_address address;
    const char *symbols;
    const char *types;
    uint32_t connection_count;
    uint32_t thread_count;
    uint32_t in_flight_max;        /* Connections that are being made at one time, all threads. */
    uint32_t receive_buffer_bytes; /* SO_RCVBUF of the readers; 0: the kernel's choice. */
    uint32_t stalled_count;        /* Of the connections: subscribe and stop reading. */
    uint32_t silent_count;         /* Of the stalled: never read again. */
    uint32_t stalled_buffer_bytes; /* SO_RCVBUF of the stalled. */
    uint64_t duration_ns;
    uint64_t warmup_ns;
    uint64_t connect_timeout_ns;
    uint64_t stalled_resume_ns; /* After the window began; 0: never. */
    int pid;                    /* The server's; 0: not measured. */
    int cpu;                    /* The server's core; -1: not measured. */
    bool json;
    bool allow_gaps;
    bool snapshot;
};

int bench_options_parse(struct bench_options *options_out, int argc, char **argv);

#endif
