#include "codec/ws_frame.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define WS_FINAL_BIT 0x80
#define WS_MASK_BIT 0x80
#define WS_LENGTH_16 126 /* The length is in the next 2 bytes. */
#define WS_LENGTH_64 127 /* The length is in the next 8 bytes. */
#define WS_MASK_BYTES 4

size_t ws_frame_header(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes)
{
    out[0] = (uint8_t)(WS_FINAL_BIT | opcode);
    if (payload_bytes < WS_LENGTH_16) {
        out[1] = (uint8_t)payload_bytes;
        return 2;
    }
    if (payload_bytes <= UINT16_MAX) {
        out[1] = WS_LENGTH_16;
        bytes_store_be16(out + 2, (uint16_t)payload_bytes);
        return 4;
    }
    out[1] = WS_LENGTH_64;
    bytes_store_be64(out + 2, payload_bytes);
    return 10;
}

size_t ws_frame_client_header(uint8_t *out, enum ws_opcode opcode, uint64_t payload_bytes,
                              const uint8_t mask[4])
{
    size_t header_bytes = ws_frame_header(out, opcode, payload_bytes);
    out[1] |= WS_MASK_BIT;
    memcpy(out + header_bytes, mask, WS_MASK_BYTES);
    return header_bytes + WS_MASK_BYTES;
}

void ws_frame_mask(uint8_t *bytes, size_t bytes_count, const uint8_t mask[4], uint64_t offset)
{
    uint8_t turned[8]; /* The mask twice, beginning with the byte for bytes[0]. */
    for (size_t i = 0; i < sizeof turned; i++) {
        turned[i] = mask[(offset + i) % WS_MASK_BYTES];
    }
    uint64_t mask_word;
    memcpy(&mask_word, turned, sizeof mask_word);

    size_t at = 0;
    for (; bytes_count - at >= sizeof mask_word; at += sizeof mask_word) {
        uint64_t word;
        memcpy(&word, bytes + at, sizeof word);
        word ^= mask_word;
        memcpy(bytes + at, &word, sizeof word);
    }
    for (; at < bytes_count; at++) {
        bytes[at] ^= turned[at % WS_MASK_BYTES];
    }
}

size_t ws_frame_close_payload(uint8_t *out, uint16_t code, const char *reason)
{
    size_t reason_bytes = strnlen(reason, WS_CLOSE_REASON_BYTES_MAX + 1);
    if (reason_bytes > WS_CLOSE_REASON_BYTES_MAX) {
        reason_bytes = WS_CLOSE_REASON_BYTES_MAX;
        while (reason_bytes > 0 && ((uint8_t)reason[reason_bytes] & 0xc0) == 0x80) {
            reason_bytes--; /* The first byte that is cut off continues a character. */
        }
    }
    assert_debug(2 + reason_bytes <= WS_CONTROL_BYTES_MAX);
    bytes_store_be16(out, code);
    memcpy(out + 2, reason, reason_bytes);
    return 2 + reason_bytes;
}

size_t ws_frame_finish(uint8_t *frame, enum ws_opcode opcode, size_t payload_bytes)
{
    assert_always(payload_bytes <= WS_FRAME_FINISH_BYTES_MAX);

    size_t header_bytes = ws_frame_header(frame, opcode, payload_bytes);
    assert_debug(header_bytes <= WS_FRAME_FINISH_GAP);
    if (header_bytes < WS_FRAME_FINISH_GAP) {
        memmove(frame + header_bytes, frame + WS_FRAME_FINISH_GAP, payload_bytes);
    }
    return header_bytes + payload_bytes;
}
