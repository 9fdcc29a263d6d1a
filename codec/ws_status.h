/*
 * ws_status: how reading a peer's message ended.
 *
 * Threads  Pure functions. Memory: constant texts.
 */
#ifndef RINGCAST_CODEC_WS_STATUS_H
#define RINGCAST_CODEC_WS_STATUS_H

#include <stdint.h>

enum ws_status {
    WS_OK,           /* *message_out is complete. */
    WS_NEED_MORE,    /* Not a fault: all bytes are consumed; call again when more have arrived. */
    WS_NEED_BUFFER,  /* Not a fault: set decoder->buffer (message_bytes_max bytes; when it
                        inflates, WS_DEFLATE_BYTES_MAX of it) and call again with the bytes
                        that were not consumed. */
    WS_NOT_MASKED,   /* A client's frame without mask, or a server's with one. */
    WS_RESERVED_BIT, /* RSV1-3 without an extension, or RSV1 where no data message begins. */
    WS_BAD_OPCODE,   /* Reserved opcode. */
    WS_BAD_CONTROL,  /* A control frame that is fragmented or over 125 bytes. */
    WS_BAD_CONTINUATION, /* Continuation without a start, or a new message inside one. */
    WS_BAD_LENGTH,       /* Not minimal, or the top bit of a 64-bit length is set. */
    WS_BAD_CLOSE,        /* A Close payload of 1 byte, or with a code that may not be sent. */
    WS_BAD_UTF8,
    WS_TOO_LONG,    /* Over message_bytes_max. */
    WS_BAD_DEFLATE, /* Never from the decoder: what is compressed cannot be inflated. */
    WS_STATUS_COUNT,
};

/* 1002, 1007 or 1009 for faults; 0 for the others. */
uint16_t ws_status_close_code(enum ws_status status);

/* A short English phrase, for the Close reason and the log. */
const char *ws_status_text(enum ws_status status);

#endif
