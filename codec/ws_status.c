#include "codec/ws_status.h"

#include "codec/base/check.h"

static const uint16_t ws_status_close_codes[WS_STATUS_COUNT] = {
    [WS_NOT_MASKED] = 1002,  [WS_RESERVED_BIT] = 1002,     [WS_BAD_OPCODE] = 1002,
    [WS_BAD_CONTROL] = 1002, [WS_BAD_CONTINUATION] = 1002, [WS_BAD_LENGTH] = 1002,
    [WS_BAD_CLOSE] = 1002,   [WS_BAD_UTF8] = 1007,         [WS_TOO_LONG] = 1009,
    [WS_BAD_DEFLATE] = 1007,
};

static const char *const ws_status_texts[WS_STATUS_COUNT] = {
    [WS_OK] = "ok",
    [WS_NEED_MORE] = "more bytes needed",
    [WS_NEED_BUFFER] = "message buffer needed",
    [WS_NOT_MASKED] = "client frames must be masked, server frames must not",
    [WS_RESERVED_BIT] = "reserved bit set",
    [WS_BAD_OPCODE] = "reserved opcode",
    [WS_BAD_CONTROL] = "control frame fragmented or over 125 bytes",
    [WS_BAD_CONTINUATION] = "fragment out of order",
    [WS_BAD_LENGTH] = "frame length not minimal",
    [WS_BAD_CLOSE] = "invalid close payload",
    [WS_BAD_UTF8] = "text is not UTF-8",
    [WS_TOO_LONG] = "message too long",
    [WS_BAD_DEFLATE] = "compressed data is corrupt",
};

uint16_t ws_status_close_code(enum ws_status status)
{
    assert_always((unsigned)status < WS_STATUS_COUNT);

    return ws_status_close_codes[status];
}

const char *ws_status_text(enum ws_status status)
{
    assert_always((unsigned)status < WS_STATUS_COUNT);

    return ws_status_texts[status];
}
