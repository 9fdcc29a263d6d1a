/*
 * ws_headers: further header lines of an upgrade request: a token, or lines of the user.
 *
 * Owner    The caller.
 * Threads  No state of its own; ws_headers_add_token_file may block.
 * Memory   Everything is inside the struct.
 * Errors   0, or -EINVAL or the negative errno of the file; error_out then has the reason. It never
 *          contains a token.
 * Source   RFC 9110 section 5.1 and 5.5; RFC 6750 section 2.1.
 */
#ifndef RINGCAST_TOOLS_WS_HEADERS_H
#define RINGCAST_TOOLS_WS_HEADERS_H

#include <stdbool.h>
#include <stddef.h>

#define WS_HEADERS_BYTES_MAX 6144 /* A server accepts a request of 8192 bytes. */
#define WS_HEADERS_ERROR_BYTES_MAX 256

struct ws_headers {
    bool has_authorization;
    size_t text_bytes;
    char text[WS_HEADERS_BYTES_MAX]; /* Lines with their CR LF; for handshake_wish.headers. */
};

/* Whether the text is a token of RFC 9110, as names of headers and of subprotocols are. */
bool ws_headers_is_token(const char *text, size_t text_bytes);

/* "Name: value". Names that the handshake itself sets are refused. */
int ws_headers_add(struct ws_headers *headers, const char *line,
                   char error_out[WS_HEADERS_ERROR_BYTES_MAX]);

/* Authorization: Bearer TOKEN. */
int ws_headers_add_token(struct ws_headers *headers, const char *token,
                         char error_out[WS_HEADERS_ERROR_BYTES_MAX]);

/* The token is the content of the file, without blanks and line ends around it. */
int ws_headers_add_token_file(struct ws_headers *headers, const char *path,
                              char error_out[WS_HEADERS_ERROR_BYTES_MAX]);

#endif
