/*
 * ws_handshake: the HTTP upgrade (RFC 6455 section 4, RFC 9112 for the request's syntax).
 *
 * Threads  Pure functions.
 * Memory   The caller's; a parsed request points into the given bytes.
 * Errors   enum handshake_status; every fault has an HTTP status and a one-line reason.
 */
#ifndef RINGCAST_CODEC_WS_HANDSHAKE_H
#define RINGCAST_CODEC_WS_HANDSHAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/ws_extensions.h"

#define HANDSHAKE_BYTES_MAX 8192        /* request line and headers together: else 431 */
#define HANDSHAKE_TARGET_BYTES_MAX 2048 /* else 414 */
#define HANDSHAKE_HEADERS_MAX 100       /* else 431 */
#define HANDSHAKE_RESPONSE_BYTES_MAX 512

enum handshake_status {
    HANDSHAKE_OK,
    HANDSHAKE_NEED_MORE,      /* Not a fault: the head is not complete yet. */
    HANDSHAKE_NOT_HTTP,       /* 400 */
    HANDSHAKE_BAD_REQUEST,    /* 400: syntax, missing Host, Upgrade or Connection */
    HANDSHAKE_BAD_KEY,        /* 400: missing, or not 16 bytes of base64 */
    HANDSHAKE_NOT_FOUND,      /* 404: a GET of a path other than / /ws /v1 (a query is ignored) */
    HANDSHAKE_BAD_METHOD,     /* 405 */
    HANDSHAKE_BAD_VERSION,    /* 426 with Sec-WebSocket-Version: 13 */
    HANDSHAKE_BAD_PROTOCOL,   /* 400: subprotocols were offered, none of them ours */
    HANDSHAKE_BAD_EXTENSIONS, /* 400: Sec-WebSocket-Extensions is not well-formed */
    HANDSHAKE_URI_TOO_LONG,   /* 414 */
    HANDSHAKE_TOO_LONG,       /* 431 */
    HANDSHAKE_BUSY,     /* 503 with Retry-After; never from the parser, for the server's use */
    HANDSHAKE_STOPPING, /* likewise */
    HANDSHAKE_STATUS_COUNT,
};

/* The client's first that we know. */
enum handshake_protocol {
    HANDSHAKE_NO_PROTOCOL, /* none was offered: as md.json.v1 */
    HANDSHAKE_JSON,        /* md.json.v1 */
    HANDSHAKE_SBE,         /* md.sbe.v1 */
};

struct handshake_request {
    size_t head_bytes; /* What follows in the bytes is the client's first frame. */
    const char *key;   /* 24 characters */
    enum handshake_protocol protocol;
    const char *user_agent; /* NULL or a slice */
    size_t user_agent_bytes;
    struct ws_deflate_offers offers;
    struct ws_deflate_terms deflate; /* What the answer says; off, unless the caller agrees. */
    const char *path;                /* without the query; set with HANDSHAKE_NOT_FOUND, too */
    size_t path_bytes;
};

/* bytes: all that has come so far. Reads nothing beyond bytes_count. May be called again with
 * more; the verdict on too long input does not need its end. */
enum handshake_status handshake_parse(const uint8_t *bytes, size_t bytes_count,
                                      struct handshake_request *request_out);

/* The 101 answer. out holds HANDSHAKE_RESPONSE_BYTES_MAX; returns its length. */
size_t handshake_accept(char *out, const struct handshake_request *request);

/* The answer to a fault, with Connection: close and the reason as text/plain body. */
size_t handshake_refuse(char *out, enum handshake_status status);

/* The head of the answer to who asks for a document; its bytes are to follow, then the end. */
size_t handshake_document(char *out, const char *content_type, size_t document_bytes);
/* The same for a reason of the caller's. status_line: "403 Forbidden"; extra: header lines, each
 * with its line end, at most 128 bytes; text: at most 128 bytes. */
size_t handshake_refuse_with(char *out, const char *status_line, const char *extra,
                             const char *text);

const char *handshake_status_text(enum handshake_status status);

/* In a head that handshake_parse has accepted: the value of the header field of that name, the
 * nth if there are several (from 0), and the request's target. NULL: there is none. */
const char *handshake_header(const uint8_t *head, size_t head_bytes, const char *name, uint32_t nth,
                             size_t *value_bytes_out);
const char *handshake_target(const uint8_t *head, size_t head_bytes, size_t *target_bytes_out);

/* What a client asks for. */
struct handshake_wish {
    enum handshake_protocol protocol; /* HANDSHAKE_NO_PROTOCOL: the header is left out */
    bool deflate;                     /* permessage-deflate, each message standing alone */
};

/* Client side: a GET with the given 24-character key; returns its length, 0 if it does not fit. */
size_t handshake_client_request(char *out, size_t out_bytes, const char *host, const char *path,
                                const char *key, const struct handshake_wish *wish);

/* Client side: checks status line, Upgrade, Connection and Sec-WebSocket-Accept.
 * HANDSHAKE_BAD_REQUEST: not a valid 101. HANDSHAKE_BAD_PROTOCOL, _BAD_EXTENSIONS: a valid one that
 * does not grant md.sbe.v1 or compression as wished, or compresses unasked; JSON is granted by
 * saying nothing, too. *head_bytes_out is set with HANDSHAKE_OK. */
enum handshake_status handshake_check_response(const uint8_t *bytes, size_t bytes_count,
                                               const char *key, const struct handshake_wish *wish,
                                               size_t *head_bytes_out);

#endif
