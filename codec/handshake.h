/*
 * handshake: the server's side of the HTTP upgrade (RFC 6455 section 4).
 *
 * Threads  Pure functions.
 * Memory   The caller's; a parsed request points into the given bytes and the site.
 * Errors   enum handshake_status; every fault has an HTTP status and a one-line reason.
 */
#ifndef RINGCAST_CODEC_HANDSHAKE_H
#define RINGCAST_CODEC_HANDSHAKE_H

#include "codec/handshake_head.h"

#define HANDSHAKE_KEY_BYTES 24
#define HANDSHAKE_ACCEPT_BYTES 28
#define HANDSHAKE_RESPONSE_BYTES_MAX 512
#define HANDSHAKE_TEXT_BYTES_MAX 256  /* of a refusal, with its end */
#define HANDSHAKE_NAMES_BYTES_MAX 128 /* of all paths, or all subprotocols, of a site as a list */

/* What a server grants. A zeroed one grants every path, and ignores all subprotocols. */
struct handshake_site {
    const char *const *paths; /* Other paths are HANDSHAKE_NOT_FOUND. */
    uint32_t path_count;
    const struct handshake_protocol *protocols; /* Others alone are HANDSHAKE_BAD_PROTOCOL. */
    uint32_t protocol_count;
    bool paths_go_on; /* Further segments may follow each path but "/". */
};

/* is_head is set with every verdict, path with HANDSHAKE_OK and _NOT_FOUND, the rest with _OK. */
struct handshake_request {
    bool is_head;      /* The answer has no body (RFC 9110 section 9.3.2). */
    size_t head_bytes; /* What follows in the bytes is the client's first frame. */
    const char *key;   /* HANDSHAKE_KEY_BYTES characters */
    const struct handshake_protocol *protocol; /* the client's first that is known; NULL: none */
    uint32_t protocol_mask;                    /* bit i: the client named the site's protocols[i] */
    struct ws_deflate_offers offers;
    struct ws_deflate_terms deflate; /* What the answer says; off, unless the caller agrees. */
    struct handshake_slice path;     /* without the query; for handshake_head_path_is() */
    struct handshake_slice rest;     /* with HANDSHAKE_OK: what follows the site's path, from its
                                        "/" or "?" on; empty: nothing */
};

/* What was read of a head that comes in pieces; zeroed before the first. */
struct handshake_progress {
    struct handshake_reader reader;
    bool has_line;
    struct handshake_line line;
    struct handshake_seen seen;
};

/* bytes: all that has come so far, at the same address as before while the head is not complete.
 * Reads nothing beyond bytes_count. The verdict on too long input does not need its end. */
enum handshake_status handshake_parse(struct handshake_progress *progress, const uint8_t *bytes,
                                      size_t bytes_count, const struct handshake_site *site,
                                      struct handshake_request *request_out);

/* The value of Sec-WebSocket-Accept, terminated, for a key. */
void handshake_accept_key(char out[HANDSHAKE_ACCEPT_BYTES + 1], const char *key);

/* The 101 answer. out holds HANDSHAKE_RESPONSE_BYTES_MAX; returns its length. */
size_t handshake_accept(char *out, const struct handshake_request *request);

/* The answer to a fault, with Connection: close and the reason as text/plain body. */
size_t handshake_refuse(char *out, enum handshake_status status, const struct handshake_site *site);

/* The same for a reason of the caller's. status_line: "403 Forbidden"; extra: header lines, each
 * with its line end, at most 96 bytes; text: shorter than HANDSHAKE_TEXT_BYTES_MAX. */
size_t handshake_refuse_with(char *out, const char *status_line, const char *extra,
                             const char *text);

/* How much of an answer is its head: all that a HEAD gets. */
size_t handshake_answer_head(const char *answer, size_t answer_bytes);

/* The head of the answer to a GET of a document; its bytes are to follow, then the end. */
size_t handshake_document(char *out, const char *content_type, size_t document_bytes);

const char *handshake_status_text(enum handshake_status status);

/* In a head that handshake_parse has accepted: the values of all header fields of that name, in
 * order, and the request's target. Returns how many there are; stores the first values_max. */
uint32_t handshake_values(const uint8_t *head, size_t head_bytes, const char *name,
                          struct handshake_slice *values_out, uint32_t values_max);
const char *handshake_target(const uint8_t *head, size_t head_bytes, size_t *target_bytes_out);

#endif
