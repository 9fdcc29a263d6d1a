/*
 * handshake_client: the client's side of the HTTP upgrade.
 *
 * Threads  Pure functions.
 * Memory   The caller's.
 * Errors   0, or enum handshake_status.
 */
#ifndef RINGCAST_CODEC_HANDSHAKE_CLIENT_H
#define RINGCAST_CODEC_HANDSHAKE_CLIENT_H

#include "codec/handshake_head.h"

/* What a client asks for. */
struct handshake_wish {
    const char *protocol; /* NULL: the header is left out */
    bool is_implied;      /* A server that names no subprotocol grants it, too. */
    bool deflate;         /* permessage-deflate, each message standing alone */
};

/* A GET with the given 24-character key; returns its length, 0 if it does not fit. */
size_t handshake_client_request(char *out, size_t out_bytes, const char *host, const char *path,
                                const char *key, const struct handshake_wish *wish);

/* Checks status line, Upgrade, Connection and Sec-WebSocket-Accept. HANDSHAKE_BAD_REQUEST: not a
 * valid 101. HANDSHAKE_BAD_PROTOCOL, _BAD_EXTENSIONS: a valid one that does not grant the
 * subprotocol or compression as wished, or grants what was not asked for. *head_bytes_out is set
 * with HANDSHAKE_OK. */
enum handshake_status handshake_client_check(const uint8_t *bytes, size_t bytes_count,
                                             const char *key, const struct handshake_wish *wish,
                                             size_t *head_bytes_out);

#endif
