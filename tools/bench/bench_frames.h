/*
 * bench_frames: server frames straight from the receive buffers, checked and counted.
 *
 * Strict only about what a broken server would break: mask, length, opcode, seq. UTF-8 and the
 * shape of the JSON are ringcast-tap's business.
 *
 * Owner    The thread's. Memory: nothing is copied; next_seqs of a conn may grow.
 */
#ifndef RINGCAST_TOOLS_BENCH_FRAMES_H
#define RINGCAST_TOOLS_BENCH_FRAMES_H

#include "tools/bench/bench_thread.h"

/* Handles the whole frames at the beginning of bytes; returns how many bytes they were. */
size_t bench_frames_consume(struct bench_thread *thread, struct bench_conn *conn,
                            const uint8_t *bytes, size_t bytes_count);

/* How many bytes from the beginning of a frame are needed to go on: its header as far as that is
 * not known, else all of it. */
size_t bench_frames_needed(const uint8_t *bytes, size_t bytes_count);

enum bench_form {
    BENCH_FORM_TEXT, /* JSON, or whatever the patterns find their numbers in */
    BENCH_FORM_SBE,
};

/* A tick's payload. */
void bench_frames_on_data(struct bench_thread *thread, struct bench_conn *conn,
                          enum bench_form form, const uint8_t *payload, size_t payload_bytes);

/* The server said no; the first such text is kept for the report. */
void bench_frames_refused(struct bench_thread *thread, const uint8_t *payload,
                          size_t payload_bytes);

/* Counts a close under its code. */
void bench_frames_count_close(struct bench_stream_totals *totals, uint32_t code, uint32_t count);

#endif
