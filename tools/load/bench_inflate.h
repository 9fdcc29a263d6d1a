/*
 * bench_inflate: inflates compressed messages, with one state for all connections of a thread.
 *
 * A server that compresses a message once sends the same bytes to each connection. The newest
 * messages are kept and compared, so that each is inflated only once.
 *
 * Owner    A thread. Threads: that one.
 * Memory   At creation 40 KiB and room for a message (1 MiB, touched as far as messages are long);
 *          64 messages of at most 64 KiB each, with their inflated text.
 * Errors   0 or a negative errno.
 * Source   RFC 7692 section 7.2.2, with server_no_context_takeover.
 */
#ifndef RINGCAST_TOOLS_BENCH_INFLATE_H
#define RINGCAST_TOOLS_BENCH_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_inflate;

int bench_inflate_create(struct bench_inflate **inflate_out);
void bench_inflate_destroy(struct bench_inflate *inflate); /* NULL does nothing. */

/* The message of a compressed payload, valid until the next call. false: it cannot be inflated, or
 * is longer than BENCH_FRAME_BYTES_MAX. */
bool bench_inflate_message(struct bench_inflate *inflate, const uint8_t *payload,
                           size_t payload_bytes, const uint8_t **message_out,
                           size_t *message_bytes_out);

#endif
