/*
 * raw_sender: sends the same bytes to every streaming peer of a raw_server, by a bare loop:
 * send(2), SSL_write (where the server has TLS), or io_uring.
 *
 * Owner    The caller. Threads: one.
 * Errors   The sender waits for a full peer (at most a second), and closes a peer that has left.
 */
#ifndef RINGCAST_BENCH_RAW_SENDER_H
#define RINGCAST_BENCH_RAW_SENDER_H

#include <liburing.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/raw_server.h"

struct raw_sender {
    uint32_t uring_batch; /* 0: send(2) or SSL_write */
    struct io_uring ring;
    uint64_t sends;
    uint64_t waits;
    uint64_t bytes;
};

int raw_sender_init(struct raw_sender *sender, uint32_t uring_batch);
void raw_sender_deinit(struct raw_sender *sender);
void raw_sender_send(struct raw_sender *sender, struct raw_server *server, const uint8_t *bytes,
                     size_t bytes_count);

#endif
