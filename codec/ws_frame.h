/*
 * ws_frame: WebSocket frames that are written (RFC 6455 section 5.2).
 *
 * Threads  Pure functions. Memory: the caller's.
 */
#ifndef RINGCAST_CODEC_WS_FRAME_H
#define RINGCAST_CODEC_WS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ws_opcode {
    WS_CONTINUATION = 0x0,
    WS_TEXT = 0x1,
    WS_BINARY = 0x2,
    WS_CLOSE = 0x8,
    WS_PING = 0x9,
    WS_PONG = 0xa,
};

#define WS_COMPRESSED_BIT 0x40   /* RSV1 of a message's first frame: RFC 7692 section 6 */
#define WS_HEADER_BYTES_MAX 14   /* client to server, 64-bit length */
#define WS_CONTROL_BYTES_MAX 125 /* RFC 6455 section 5.5 */
#define WS_CLOSE_REASON_BYTES_MAX 123

/* The header of an unmasked, unfragmented frame: 2, 4 or 10 bytes; returns how many. */
size_t ws_frame_header(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes);

/* The header of a client's masked, unfragmented frame: 6, 8 or 14 bytes; the caller masks the
 * payload with ws_mask. */
size_t ws_frame_client_header(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes,
                              const uint8_t mask[4]);

/* XORs bytes in place; offset is the position of bytes[0] in the payload. */
void ws_frame_mask(uint8_t *bytes, size_t bytes_count, const uint8_t mask[4], uint64_t offset);

/* A Close frame's payload: code and reason (cut to 123 bytes at a UTF-8 boundary). out holds
 * WS_CONTROL_BYTES_MAX. Returns its length. */
size_t ws_frame_close_payload(uint8_t *out, uint16_t code, const char *reason);

/* The largest payload that ws_frame_finish accepts. */
#define WS_FRAME_FINISH_BYTES_MAX 65535
#define WS_FRAME_FINISH_GAP 4

/* Completes a server frame in place whose payload was written at frame + WS_FRAME_FINISH_GAP:
 * puts the header before it (and moves a payload under 126 bytes down by 2, so that the frame
 * always begins at frame[0]). Returns the whole frame's length. */
size_t ws_frame_finish(uint8_t *frame, enum ws_opcode opcode, size_t payload_bytes);

/* How long the header of such a frame is; its payload is the rest. */
static inline size_t ws_frame_finished_header_bytes(const uint8_t *frame)
{
    return frame[1] < 126 ? 2 : WS_FRAME_FINISH_GAP;
}

#endif
