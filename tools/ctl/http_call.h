/*
 * http_call: one HTTP/1.1 request to a server of ringcast, over TCP or a Unix socket, and its
 * response.
 *
 * Owner    The caller closes the descriptor and frees the reply.
 * Threads  One; blocks.
 * Units    Timeouts in milliseconds.
 * Errors   A negative errno, and the reason in error_out.
 */
#ifndef RINGCAST_TOOLS_HTTP_CALL_H
#define RINGCAST_TOOLS_HTTP_CALL_H

#include <stdint.h>

#include "tools/common/ws_client.h"
#include "tools/ctl/http_reply.h"

#define HTTP_CALL_ERROR_BYTES_MAX WS_CLIENT_ERROR_BYTES_MAX
#define HTTP_CALL_REQUEST_BYTES_MAX 16384 /* its head and body */
#define HTTP_CALL_PORT "8080"             /* of a URL that names none */

struct http_call {
    const char *method;  /* "GET" or "POST" */
    const char *target;  /* "/stats?a=b", percent-encoded */
    const char *body;    /* JSON; NULL: none */
    const char *headers; /* further lines, each with its CR LF; NULL: none */
    int timeout_ms;
};

/* http://HOST[:PORT], with [v6] in brackets. -EINVAL: it is another URL. */
int http_call_parse_url(struct ws_client_url *url_out, const char *text,
                        char error_out[HTTP_CALL_ERROR_BYTES_MAX]);
/* -ENAMETOOLONG: it is longer than sockets' paths may be. */
int http_call_set_path(struct ws_client_url *url_out, const char *path,
                       char error_out[HTTP_CALL_ERROR_BYTES_MAX]);

/* Returns a descriptor. */
int http_call_connect(const struct ws_client_url *url, int timeout_ms,
                      char error_out[HTTP_CALL_ERROR_BYTES_MAX]);

/* 0: the response is whole, whatever its status. -ETIMEDOUT: the server did not answer in time. */
int http_call_exchange(int fd, const struct ws_client_url *url, const struct http_call *call,
                       struct http_reply *reply, char error_out[HTTP_CALL_ERROR_BYTES_MAX]);

#endif
