/*
 * ingest_output: the messages that wait to be sent to a producer, in its form.
 *
 * Owner    A producer embeds one; the descriptor stays the caller's.
 * Threads  One at a time.
 * Memory   One buffer of INGEST_OUTPUT_BYTES.
 * Errors   0 or a negative errno of send(2).
 */
#ifndef RINGCAST_FEEDS_INGEST_OUTPUT_H
#define RINGCAST_FEEDS_INGEST_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/units.h"

#define INGEST_OUTPUT_BYTES (64 * KIB)
#define INGEST_OUTPUT_MESSAGE_BYTES_MAX 512

struct ingest_output {
    int fd; /* -1: nothing can be sent; messages are discarded */
    uint8_t *buffer;
    uint32_t begin, end; /* bytes that wait */
};

/* -ENOMEM. */
int ingest_output_init(struct ingest_output *output, int fd);
void ingest_output_deinit(struct ingest_output *output);

/* Whether what one message of the producer causes fits, and the ERROR that ends the connection. */
bool ingest_output_has_room(const struct ingest_output *output);
bool ingest_output_is_empty(const struct ingest_output *output);

/* text: JSON of at most INGEST_OUTPUT_MESSAGE_BYTES_MAX. Discarded, and false, if it does not fit.
 */
bool ingest_output_put(struct ingest_output *output, bool is_binary, const char *text,
                       size_t text_bytes);

/* Sends what can be sent. -EAGAIN: the rest waits. */
int ingest_output_flush(struct ingest_output *output);

#endif
