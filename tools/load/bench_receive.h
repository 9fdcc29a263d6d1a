/*
 * bench_receive: handles the events of a connection: the result of connect, bytes, the end.
 *
 * Owner    A thread. Threads: the thread's.
 * Memory   While a frame is split between two receives, a block (1 KiB from a pool, more for longer
 *          frames). With wss://, 64 KiB of plaintext.
 */
#ifndef RINGCAST_TOOLS_BENCH_RECEIVE_H
#define RINGCAST_TOOLS_BENCH_RECEIVE_H

#include "tools/load/bench_frames.h"

#define BENCH_CARRY_BLOCK_BYTES 1024

struct bench_receive {
    struct bench_frames *frames;
    void *carry_free; /* Blocks of BENCH_CARRY_BLOCK_BYTES, linked by their first word. */
    uint8_t *plain;   /* wss://: what has been opened; NULL until then */
};

void bench_receive_deinit(struct bench_receive *receive);

/* The result of connect: begins the TLS handshake of wss://, or sends the upgrade request; and
 * begins to read. */
void bench_receive_on_connected(struct bench_receive *receive, struct bench_conn *conn, int error);

/* Bytes from the peer's socket, in order. They belong to the caller again afterwards. */
void bench_receive_on_bytes(struct bench_receive *receive, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

/* The end of the stream, for any reason. */
void bench_receive_on_end(struct bench_receive *receive, struct bench_conn *conn);

#endif
