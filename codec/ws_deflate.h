/*
 * ws_deflate: messages compressed by permessage-deflate, both ways, with zlib.
 *
 * Owner    The caller creates and destroys the states. Threads: one state, one thread.
 * Memory   All of a state's at its creation (260 KiB to compress, 40 KiB to inflate), then nothing
 *          more, which is asserted.
 * Errors   Of the peer: enum ws_status. Ours: 0 or a negative errno.
 * Source   RFC 7692 section 7.2; zlib.h.
 *
 * What a message is compressed with may be less than what was agreed: a receiver that expects a
 * window of 2^15 bytes reads any smaller one.
 */
#ifndef RINGCAST_CODEC_WS_DEFLATE_H
#define RINGCAST_CODEC_WS_DEFLATE_H

#include "codec/ws_decoder.h"
#include "codec/ws_extensions.h"

/* ---- Compressing ---- */

/* For frames that are compressed once for everybody (bench/bench_ws_deflate.c, JSON full of
 * numbers): 2 KiB take 27 us and 42 % of them are left; at level 4 32 us and 41 %, at level 6 50 us
 * and 40 %. 256 bytes take 8 us, 16 KiB 180 us. Smaller hash tables or windows gain nothing. */
#define WS_DEFLATE_LEVEL 1

struct ws_deflate;

struct ws_deflate_options {
    int level;                  /* 1 to 9 */
    uint8_t window_bits;        /* WS_DEFLATE_WINDOW_BITS_MIN to _MAX */
    bool keeps_context;         /* false: every message stands alone */
    uint32_t payload_bytes_min; /* Frames of shorter payloads are left uncompressed. */
};

/* -EINVAL: an option is out of range. -ENOMEM. *deflate_out is then untouched. */
int ws_deflate_create(struct ws_deflate **deflate_out, const struct ws_deflate_options *options);
void ws_deflate_destroy(struct ws_deflate *deflate); /* NULL does nothing. */

/* The payload of a compressed message. Returns its length, at least 1; 0: out_bytes are too few
 * (WS_DEFLATE_BYTES_MAX are enough), and what a state keeps as context is then spoilt. */
size_t ws_deflate_message(struct ws_deflate *deflate, uint8_t *out, size_t out_bytes,
                          const void *payload, size_t payload_bytes);

/* A whole frame of a compressed message, header included, as anybody may get it: the state keeps
 * no context. Returns its length; 0: the plain frame is to be used, since the payload is short, or
 * would not be shorter, or has no room. It depends on the payload alone. */
size_t ws_deflate_frame(struct ws_deflate *deflate, uint8_t *frame_out, size_t frame_bytes_max,
                        enum ws_opcode opcode, const void *payload, size_t payload_bytes);

/* ---- Inflating ---- */

struct ws_inflate;

/* Reads every window. -ENOMEM: *inflate_out is untouched. */
int ws_inflate_create(struct ws_inflate **inflate_out, bool keeps_context);
void ws_inflate_destroy(struct ws_inflate *inflate); /* NULL does nothing. */

/* Makes a compressed message what it was: its payload is then in out, and text is UTF-8. WS_OK,
 * WS_BAD_DEFLATE, WS_TOO_LONG (over bytes_max, found as soon as it has inflated so many) or
 * WS_BAD_UTF8. */
enum ws_status ws_inflate_message(struct ws_inflate *inflate, struct ws_message *message,
                                  uint8_t *out, size_t bytes_max);

#endif
