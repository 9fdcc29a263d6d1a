/*
 * bench_inflate: compressed messages made what they were, by one state for all connections of a
 * thread.
 *
 * What is compressed once for everybody comes to each connection as the same bytes: the newest
 * messages are kept, and compared to, so that inflating them does not become the load.
 *
 * Owner    A thread. Threads: that one.
 * Memory   At creation 40 KiB and room for a message (1 MiB, touched as far as messages are long);
 *          64 messages that take at most 64 KiB each, with what they were.
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

/* The message of a compressed payload, until the next call. false: it cannot be inflated, or is
 * longer than BENCH_FRAME_BYTES_MAX. */
bool bench_inflate_message(struct bench_inflate *inflate, const uint8_t *payload,
                           size_t payload_bytes, const uint8_t **message_out,
                           size_t *message_bytes_out);

#endif
