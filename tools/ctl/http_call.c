#include "tools/ctl/http_call.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/common/ws_connect.h"

#define HTTP_CALL_READ_BYTES 16384

static int http_call_fail(char *error_out, int error, const char *what)
{
    snprintf(error_out, HTTP_CALL_ERROR_BYTES_MAX, "%s", what);
    return error;
}

int http_call_parse_url(struct ws_client_url *url_out, const char *text,
                        char error_out[HTTP_CALL_ERROR_BYTES_MAX])
{
    static const char fault[] = "a URL has the form http://HOST:PORT";
    char same[512];
    if (strncasecmp(text, "http://", 7) != 0) {
        return http_call_fail(error_out, -EINVAL, fault);
    }
    const char *host = text + 7;
    size_t host_bytes = strcspn(host, "/?#");
    const char *rest = host + host_bytes;
    if (host_bytes > 300 || (rest[0] != '\0' && strcmp(rest, "/") != 0) ||
        memchr(host, '@', host_bytes) != NULL) {
        return http_call_fail(error_out, -EINVAL, fault);
    }
    const char *bracket = memchr(host, ']', host_bytes);
    const char *end = bracket == NULL ? host : bracket;
    bool has_port = memchr(end, ':', host_bytes - (size_t)(end - host)) != NULL;
    snprintf(same, sizeof same, "ws://%.*s%s", (int)host_bytes, host,
             has_port ? "" : ":" HTTP_CALL_PORT);
    return ws_client_parse_url(url_out, same, error_out) < 0
               ? http_call_fail(error_out, -EINVAL, fault)
               : 0;
}

int http_call_set_path(struct ws_client_url *url_out, const char *path,
                       char error_out[HTTP_CALL_ERROR_BYTES_MAX])
{
    *url_out = (struct ws_client_url){.is_unix = true};
    if (strlen(path) >= sizeof url_out->socket_path) {
        return http_call_fail(error_out, -ENAMETOOLONG, "the path of a socket has up to 107 bytes");
    }
    strcpy(url_out->socket_path, path);
    strcpy(url_out->host, "localhost");
    return 0;
}

int http_call_connect(const struct ws_client_url *url, int timeout_ms,
                      char error_out[HTTP_CALL_ERROR_BYTES_MAX])
{
    struct ws_client_addresses addresses;
    int error = ws_client_resolve(url, &addresses, error_out);
    return error < 0 ? error : ws_connect(url, &addresses, timeout_ms, error_out);
}

/* Returns its length, or -EMSGSIZE. */
static int http_call_write(const struct ws_client_url *url, const struct http_call *call,
                           char out[HTTP_CALL_REQUEST_BYTES_MAX])
{
    char host[sizeof url->host + sizeof url->port + 4];
    size_t body_bytes = call->body == NULL ? 0 : strlen(call->body);
    const char *form = url->is_unix ? "%s" : strchr(url->host, ':') == NULL ? "%s:%s" : "[%s]:%s";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(host, sizeof host, form, url->host, url->port);
#pragma GCC diagnostic pop
    int bytes =
        snprintf(out, HTTP_CALL_REQUEST_BYTES_MAX,
                 "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n"
                 "Accept: application/json\r\n%s",
                 call->method, call->target, host, call->headers == NULL ? "" : call->headers);
    if (bytes < HTTP_CALL_REQUEST_BYTES_MAX && strcmp(call->method, "POST") == 0) {
        bytes += snprintf(out + bytes, HTTP_CALL_REQUEST_BYTES_MAX - (size_t)bytes,
                          "Content-Type: application/json\r\nContent-Length: %zu\r\n", body_bytes);
    }
    if (bytes < HTTP_CALL_REQUEST_BYTES_MAX) {
        bytes += snprintf(out + bytes, HTTP_CALL_REQUEST_BYTES_MAX - (size_t)bytes, "\r\n%s",
                          call->body == NULL ? "" : call->body);
    }
    return bytes < HTTP_CALL_REQUEST_BYTES_MAX ? bytes : -EMSGSIZE;
}

/* Until fd is ready for events. -ETIMEDOUT: not before end_ns. */
static int http_call_wait(int fd, short events, uint64_t end_ns)
{
    struct pollfd ready = {.fd = fd, .events = events};
    for (;;) {
        uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
        if (now_ns >= end_ns) {
            return -ETIMEDOUT;
        }
        int count = poll(&ready, 1, (int)((end_ns - now_ns + NS_PER_MS - 1) / NS_PER_MS));
        if (count > 0) {
            return 0;
        }
        if (count < 0 && errno != EINTR) {
            return -errno;
        }
    }
}

static int http_call_send(int fd, const char *bytes, size_t count, uint64_t end_ns)
{
    while (count > 0) {
        ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes += sent;
            count -= (size_t)sent;
            continue;
        }
        int error = errno == EAGAIN ? http_call_wait(fd, POLLOUT, end_ns) : -errno;
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

/* 0: the response is whole. With -EPROTO and the like the reply has the reason. */
static int http_call_receive(int fd, struct http_reply *reply, uint64_t end_ns)
{
    char bytes[HTTP_CALL_READ_BYTES];
    for (;;) {
        int error = http_call_wait(fd, POLLIN, end_ns);
        if (error < 0) {
            return error;
        }
        ssize_t count = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (count < 0 && errno == EAGAIN) {
            continue;
        }
        if (count < 0) {
            return -errno;
        }
        int result =
            count == 0 ? http_reply_end(reply) : http_reply_take(reply, bytes, (size_t)count);
        if (result != 0 || count == 0) {
            return result == 1 ? 0 : result;
        }
    }
}

int http_call_exchange(int fd, const struct ws_client_url *url, const struct http_call *call,
                       struct http_reply *reply, char error_out[HTTP_CALL_ERROR_BYTES_MAX])
{
    char request[HTTP_CALL_REQUEST_BYTES_MAX];
    uint64_t end_ns = clock_ns(CLOCK_MONOTONIC) + (uint64_t)call->timeout_ms * NS_PER_MS;
    int bytes = http_call_write(url, call, request);
    assert_always(fd >= 0);
    http_reply_init(reply);
    if (bytes < 0) {
        return http_call_fail(error_out, bytes, "the request is too long");
    }
    int error = http_call_send(fd, request, (size_t)bytes, end_ns);
    if (error == 0 || error == -EPIPE) { /* It may have answered before it closed. */
        error = http_call_receive(fd, reply, end_ns);
    }
    if (error == -ETIMEDOUT) {
        snprintf(error_out, HTTP_CALL_ERROR_BYTES_MAX, "the server did not answer within %g s",
                 (double)call->timeout_ms / 1000);
    } else if (error < 0) {
        http_call_fail(error_out, error, reply->error == NULL ? strerror(-error) : reply->error);
    }
    return error;
}
