/*
 * ws_decoder: bytes from a peer into WebSocket messages (RFC 6455 sections 5 and 7.4.1, 8.1; RFC
 * 7692 section 6).
 *
 * Owner    The caller owns the decoder, its message buffer and the bytes.
 * Threads  One decoder, one thread.
 * Memory   No allocation. Payloads are unmasked in place; an unfragmented message that lies
 *          whole in the given bytes is handed out where it lies. Only what must wait for more
 *          bytes is copied, into decoder->buffer; a caller may therefore decode with a
 *          decoder on its stack and keep it (and give it a buffer) only if ws_decoder_is_idle()
 *          is false afterwards.
 * Errors   enum ws_status; a fault is final for the connection and has a close code.
 */
#ifndef RINGCAST_CODEC_WS_DECODER_H
#define RINGCAST_CODEC_WS_DECODER_H

#include "codec/ws_frame.h"
#include "codec/ws_status.h"

struct ws_message {
    enum ws_opcode opcode; /* WS_TEXT, WS_BINARY, WS_CLOSE, WS_PING or WS_PONG */
    uint8_t *payload;      /* Valid until the next call. Not terminated. */
    size_t payload_bytes;
    bool is_compressed; /* ws_inflate_message() is yet to make it what it is (ws_deflate.h). */
};

/* What so many bytes take compressed, at most, however a peer has set zlib. */
#define WS_DEFLATE_BYTES_MAX(bytes) ((bytes) + (bytes) / 8 + (bytes) / 64 + 64)

struct ws_decoder {
    /* Set by ws_decoder_init. */
    uint32_t message_bytes_max;
    bool expect_mask; /* true in a server */
    uint8_t *buffer;  /* see WS_NEED_BUFFER; or NULL */

    /* Set by the caller, after init: messages may be compressed. Their UTF-8 and whether they keep
     * within message_bytes_max is for ws_inflate_message() to say. */
    bool inflates;

    /* Private. */
    uint8_t header[WS_HEADER_BYTES_MAX];
    uint8_t header_bytes; /* collected so far */
    uint8_t control[WS_CONTROL_BYTES_MAX];
    bool in_payload;
    bool in_message; /* Between the first and the last fragment. */
    uint8_t message_opcode;
    bool message_compressed;
    uint8_t frame_opcode;
    bool frame_final;
    bool frame_compressed;
    uint8_t mask[4];
    uint64_t frame_bytes; /* payload of the current frame */
    uint64_t frame_offset;
    uint32_t message_bytes; /* collected in buffer */
    uint32_t utf8_state;    /* of a text message whose fragments are checked as they come */
};

void ws_decoder_init(struct ws_decoder *decoder, uint32_t message_bytes_max, bool expect_mask,
                     uint8_t *buffer);

/* Consumes bytes up to the end of the first complete message (control frames are messages of
 * their own, also between fragments). *consumed_out is always set, faults included. */
enum ws_status ws_decode(struct ws_decoder *decoder, uint8_t *bytes, size_t bytes_count,
                         size_t *consumed_out, struct ws_message *message_out);

/* No byte of an incomplete frame or message is held. */
bool ws_decoder_is_idle(const struct ws_decoder *decoder);

#endif
