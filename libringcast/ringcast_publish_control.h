/*
 * ringcast_publish_control: the messages of a producer that are JSON, with their lengths.
 *
 * Threads  Pure functions. Each returns the bytes that it wrote, length included.
 * Memory   The caller's; the limits below are enough for any text that they are passed.
 * Source   docs/feeds/ingest.md.
 */
#ifndef RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_CONTROL_H
#define RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_CONTROL_H

#include <stddef.h>
#include <stdint.h>

#include "codec/md.h"

#define RINGCAST_PUBLISH_NAME_BYTES_MAX 64
#define RINGCAST_PUBLISH_TOKEN_BYTES_MAX 8192
#define RINGCAST_PUBLISH_CONTROL_BYTES_MAX 20480 /* HELLO with the longest token, all escaped */
#define RINGCAST_PUBLISH_GAP_BYTES_MAX 320
#define RINGCAST_PUBLISH_DEFINITION_BYTES_MAX 320 /* of each channel */

#pragma GCC visibility push(hidden)

struct ringcast_publish_channel {
    char symbol[MD_SYMBOL_BYTES_MAX];
    uint8_t symbol_bytes;
    uint8_t type; /* enum md_type */
};

/* token: NULL for none. */
size_t ringcast_publish_control_hello(uint8_t *out, const char *name, const char *token,
                                      uint64_t epoch);

size_t ringcast_publish_control_heartbeat(uint8_t *out);

size_t ringcast_publish_control_gap(uint8_t *out, const struct ringcast_publish_channel *channel);

/* Defines channels[first] and as many behind it as fit in RINGCAST_PUBLISH_CONTROL_BYTES_MAX;
 * *first is then the next one. */
size_t ringcast_publish_control_definition(uint8_t *out,
                                           const struct ringcast_publish_channel *channels,
                                           uint32_t *first, uint32_t channel_count);

#pragma GCC visibility pop

#endif
