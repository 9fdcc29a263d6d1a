/*
 * http_reply: an HTTP/1.1 response, read piece by piece as it arrives.
 *
 * Its body may have a Content-Length, come in chunks, or end with the connection. Interim responses
 * (1xx) are passed over.
 *
 * Owner    The caller; http_reply_deinit in the end, whatever happened.
 * Threads  One.
 * Memory   The body, at most HTTP_REPLY_BODY_BYTES_MAX.
 * Errors   error is a sentence then: -EPROTO: it is not HTTP/1.x, or not whole. -EMSGSIZE: a limit.
 *          -ENOMEM.
 * Source   RFC 9112.
 */
#ifndef RINGCAST_TOOLS_HTTP_REPLY_H
#define RINGCAST_TOOLS_HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_REPLY_BODY_BYTES_MAX (64u << 20)
#define HTTP_REPLY_LINE_BYTES_MAX 8192
#define HTTP_REPLY_LINES_MAX 256 /* of heads and trailers together */

enum http_reply_state {
    HTTP_REPLY_STATUS,     /* The status line is next, */
    HTTP_REPLY_HEADER,     /* a line of the head, */
    HTTP_REPLY_SIZED,      /* left bytes of the body, */
    HTTP_REPLY_OPEN,       /* the body, up to the end of the connection, */
    HTTP_REPLY_CHUNK,      /* the line with the size of a chunk, */
    HTTP_REPLY_CHUNK_DATA, /* left bytes of a chunk, */
    HTTP_REPLY_CHUNK_END,  /* the empty line after a chunk, */
    HTTP_REPLY_TRAILER,    /* or a line after the last chunk. */
    HTTP_REPLY_DONE,
};

struct http_reply {
    enum http_reply_state state;
    unsigned status; /* 200 to 599 once the head has been read */
    char *body;      /* terminated; NULL: empty */
    size_t body_bytes;
    const char *error;

    size_t body_capacity;
    uint64_t left;
    bool has_length;
    bool is_chunked;
    uint32_t line_count;
    size_t line_bytes;
    char line[HTTP_REPLY_LINE_BYTES_MAX];
};

void http_reply_init(struct http_reply *reply);
void http_reply_deinit(struct http_reply *reply);

/* Takes what arrived. 1: the response is whole, and what follows it is not looked at; 0: more is to
 * come. */
int http_reply_take(struct http_reply *reply, const char *bytes, size_t count);

/* The connection has ended. 0: the response is whole. */
int http_reply_end(struct http_reply *reply);

#endif
