/*
 * handshake_client: the client's side of the HTTP upgrade.
 *
 * Threads  Pure functions.
 * Memory   The caller's.
 * Errors   enum handshake_status: HANDSHAKE_OK, _NEED_MORE, or
 *          HANDSHAKE_NOT_HTTP        no HTTP answer,
 *          HANDSHAKE_BAD_REQUEST     a well-formed one that is no 101,
 *          HANDSHAKE_BAD_KEY         a 101 without the right Upgrade, Connection,
 * Sec-WebSocket-Accept, HANDSHAKE_BAD_PROTOCOL    one that does not grant the subprotocol, or
 * another one, HANDSHAKE_BAD_EXTENSIONS  likewise compression, or with what was not asked for,
 *          HANDSHAKE_TOO_LONG        over HANDSHAKE_BYTES_MAX, or interim answers without end.
 * Source   RFC 9110 section 15.2: answers with 1xx before the one that counts. RFC 7692
 * section 7.1.
 */
#ifndef RINGCAST_CODEC_HANDSHAKE_CLIENT_H
#define RINGCAST_CODEC_HANDSHAKE_CLIENT_H

#include "codec/handshake_head.h"

#define HANDSHAKE_INTERIM_MAX 8 /* answers with 100, 102, 103, ... before the 101 */

/* What a client asks for. */
struct handshake_wish {
    const char *protocol; /* NULL: the header is left out */
    bool is_implied;      /* A server that names no subprotocol grants it, too. */
    bool deflate;         /* permessage-deflate, each message standing alone */
    const char *headers;  /* Further header lines, each with its CR LF. NULL: none. */
};

/* A GET with the given 24-character key; returns its length, 0 if it does not fit. */
size_t handshake_client_request(char *out, size_t out_bytes, const char *host, const char *path,
                                const char *key, const struct handshake_wish *wish);

/* *at_out: with HANDSHAKE_OK where the head ends, otherwise where the answer that counts begins. */
enum handshake_status handshake_client_check(const uint8_t *bytes, size_t bytes_count,
                                             const char *key, const struct handshake_wish *wish,
                                             size_t *at_out);

/* What is wrong with an answer, in addition to its status line; "" if that line says it all. */
const char *handshake_client_text(enum handshake_status status);

#endif
