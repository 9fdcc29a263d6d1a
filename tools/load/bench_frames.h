/*
 * bench_frames: server frames straight from the receive buffers, checked and counted.
 *
 * It checks only what a broken server would break: mask, length, opcode, seq. UTF-8 and the form of
 * the JSON are checked by ringcast-tap.
 *
 * Owner    A thread. Threads: the thread's.
 * Memory   Only packets of NATS and MQTT that are split between two WebSocket messages are copied.
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

/* Handles the complete frames at the beginning of bytes; returns the number of their bytes. */
size_t bench_frames_consume(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

/* The number of bytes that are needed from the beginning of a frame: its header if that is
 * incomplete, otherwise the whole frame. */
size_t bench_frames_needed(const uint8_t *bytes, size_t bytes_count);

/* A WebSocket message of a NATS or MQTT server. */
void bench_frames_on_broker(struct bench_frames *frames, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

#endif
