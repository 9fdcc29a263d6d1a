/*
 * tap_decode: turns messages of other encodings into JSON: it inflates compressed messages, and
 * turns SBE messages into JSON data frames with the same values.
 *
 * Owner    main, for all connections.
 * Threads  One.
 * Memory   At creation, for deflate or SBE: 1 MiB for a message, 2 MiB for levels, both touched as
 *          far as messages are long; 312 bytes per channel; one bit per connection and channel.
 * Errors   A text with the fault of a message, or enum ws_status.
 * Source   docs/protocol.md, "SBE"; RFC 7692.
 */
#ifndef RINGCAST_TOOLS_TAP_DECODE_H
#define RINGCAST_TOOLS_TAP_DECODE_H

#include <jansson.h>

#include "codec/ws_decoder.h"
#include "tools/tap/tap_options.h"

#define TAP_MESSAGE_BYTES_MAX (1u << 20)

struct tap_decode;

/* NULL: out of memory. */
struct tap_decode *tap_decode_create(enum tap_encoding encoding, uint32_t reader_count);
void tap_decode_destroy(struct tap_decode *decode); /* NULL does nothing. */

/* Inflates the payload of a compressed message; valid until the next call. */
enum ws_status tap_decode_inflate(struct tap_decode *decode, struct ws_message *message);

/* The reader has connected anew: it knows no channels. */
void tap_decode_forget(struct tap_decode *decode, uint32_t reader);

/* data: of a DEFINITION. NULL, or what is wrong with it. */
const char *tap_decode_define(struct tap_decode *decode, uint32_t reader, const json_t *data);

/* The JSON data frame of an SBE message, valid until the next call. Returns NULL, or the fault:
 * then *json_out is NULL, or there is no DEFINITION for this reader. */
const char *tap_decode_sbe(struct tap_decode *decode, uint32_t reader, const uint8_t *payload,
                           size_t payload_bytes, const uint8_t **json_out, size_t *json_bytes_out);

#endif
