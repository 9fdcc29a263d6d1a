/*
 * bench_frames: server frames straight from the receive buffers, checked and counted.
 *
 * Strict only about what a broken server would break: mask, length, opcode, seq. UTF-8 and the
 * shape of the JSON are ringcast-tap's business.
 *
 * Owner    A thread. Threads: the thread's.
 * Memory   Nothing is copied but packets of NATS and MQTT that two WebSocket messages share.
 */
#ifndef RINGCAST_TOOLS_BENCH_FRAMES_H
#define RINGCAST_TOOLS_BENCH_FRAMES_H

#include "tools/load/bench_data.h"
#include "tools/load/bench_inflate.h"

struct bench_frames {
    struct bench_data *data;
    struct bench_inflate *inflate; /* NULL: nothing is compressed */
    size_t wire_bytes;             /* of the frame that is being handled */
};

/* Handles the whole frames at the beginning of bytes; returns how many bytes they were. */
size_t bench_frames_consume(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

/* How many bytes from the beginning of a frame are needed to go on: its header as far as that is
 * not known, else all of it. */
size_t bench_frames_needed(const uint8_t *bytes, size_t bytes_count);

/* A WebSocket message of a NATS or MQTT server. */
void bench_frames_on_broker(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

#endif
