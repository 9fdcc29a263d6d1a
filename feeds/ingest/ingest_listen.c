#include "feeds/ingest/ingest_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "codec/base/check.h"

#define INGEST_LISTEN_HOST_BYTES_MAX 255
#define INGEST_LISTEN_TRIES_MAX 16 /* connections that ended before they were accepted */

/* "127.0.0.1:9000", "localhost:9000", "[::1]:9000" */
static bool ingest_listen_parse(const char *text, char host[INGEST_LISTEN_HOST_BYTES_MAX + 1],
                                uint16_t *port_out)
{
    const char *colon = strrchr(text, ':');
    size_t host_bytes = colon == NULL ? 0 : (size_t)(colon - text);
    if (host_bytes > 2 && text[0] == '[' && text[host_bytes - 1] == ']') {
        text++;
        host_bytes -= 2;
    } else if (memchr(text, ':', host_bytes) != NULL) {
        return false; /* An IPv6 address needs its brackets. */
    }
    if (host_bytes == 0 || host_bytes > INGEST_LISTEN_HOST_BYTES_MAX) {
        return false;
    }
    size_t digit_count = strspn(colon + 1, "0123456789");
    unsigned long port = strtoul(colon + 1, NULL, 10);
    if (digit_count == 0 || digit_count > 5 || colon[1 + digit_count] != '\0' ||
        port > UINT16_MAX) {
        return false;
    }
    memcpy(host, text, host_bytes);
    host[host_bytes] = '\0';
    *port_out = (uint16_t)port;
    return true;
}

static bool ingest_listen_is_loopback(int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0) {
        return false;
    }
    if (address.ss_family == AF_INET6) {
        return IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)&address)->sin6_addr);
    }
    return ntohl(((const struct sockaddr_in *)&address)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
}

static void ingest_listen_add(struct ingest_listen *listen, int fd, bool is_tcp)
{
    int flags = fcntl(fd, F_GETFL);
    assert_always(listen->socket_count < INGEST_LISTEN_SOCKETS_MAX);
    /* A connection may end between its report and accept4(), which must not wait for another. */
    fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    listen->sockets[listen->socket_count++] =
        (struct ingest_listen_socket){.fd = fd, .is_tcp = is_tcp};
}

static int ingest_listen_open_unix(struct ingest_listen *listen,
                                   const struct ingest_listen_options *options,
                                   char error_out[FEED_ERROR_BYTES_MAX])
{
    char text[FEED_ERROR_BYTES_MAX - 16];
    int error =
        options->reuse_port
            ? listener_unix_take_over(&listen->unix_listener, options->unix_path, text, sizeof text)
            : listener_unix_open(&listen->unix_listener, options->unix_path, text, sizeof text);
    if (error < 0) {
        listen->unix_listener.path = NULL;
        return feed_fail(error_out, error, "ingest: %s", text);
    }
    ingest_listen_add(listen, listen->unix_listener.fd, false);
    return 0;
}

/* Accepted sockets inherit them; the feed works without. A producer without HELLO owes no
 * HEARTBEAT: when its machine has vanished, only the kernel can find out. Without its time of
 * arrival, the feed reads the clock. */
static void ingest_listen_set_options(int fd)
{
    const int on = 1;
    const int idle_s = 15;
    const int interval_s = 15;
    const int probes = 3;
    (void)setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof interval_s);
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
}

static int ingest_listen_open_tcp(struct ingest_listen *listen,
                                  const struct ingest_listen_options *options,
                                  char error_out[FEED_ERROR_BYTES_MAX])
{
    char text[FEED_ERROR_BYTES_MAX - 16];
    char host[INGEST_LISTEN_HOST_BYTES_MAX + 1];
    struct listener_options where = {.host = host, .reuse_port = options->reuse_port};
    const char *tcp = options->tcp;
    if (!ingest_listen_parse(tcp, host, &where.port)) {
        return feed_fail(error_out, -EINVAL,
                         "ingest: tcp=%.64s is not HOST:PORT, for example 127.0.0.1:9000 or "
                         "[::1]:9000",
                         tcp);
    }
    int error = listener_open_tcp(&listen->tcp_listener, &where, 1, text, sizeof text);
    if (error < 0) {
        return feed_fail(error_out, error, "ingest: %s", text);
    }
    for (uint32_t i = 0; i < listen->tcp_listener.address_count; i++) {
        int fd = listen->tcp_listener.fds[i][0];
        ingest_listen_add(listen, fd, true);
        ingest_listen_set_options(fd);
        listen->is_exposed |= !ingest_listen_is_loopback(fd);
        if (!options->may_be_open && listen->is_exposed) {
            return feed_fail(error_out, -EACCES,
                             "ingest: tcp=%.64s lets other machines publish without a token: set "
                             "up tokens, or add open=yes, or listen on 127.0.0.1",
                             tcp);
        }
    }
    return 0;
}

int ingest_listen_open(struct ingest_listen *listen_out,
                       const struct ingest_listen_options *options,
                       char error_out[FEED_ERROR_BYTES_MAX])
{
    int error = 0;
    *listen_out = (struct ingest_listen){.unix_listener = {.fd = -1}};
    if (options->tcp[0] != '\0') {
        error = ingest_listen_open_tcp(listen_out, options, error_out);
    }
    if (error == 0 && options->unix_path[0] != '\0') {
        error = ingest_listen_open_unix(listen_out, options, error_out);
    }
    if (error < 0) {
        ingest_listen_close(listen_out);
    }
    return error;
}

void ingest_listen_close(struct ingest_listen *listen)
{
    if (listen->unix_listener.path != NULL) {
        listener_unix_close(&listen->unix_listener);
        listen->unix_listener.path = NULL;
    }
    listener_close_tcp(&listen->tcp_listener);
    listen->socket_count = 0;
}

int ingest_listen_accept(const struct ingest_listen_socket *listener)
{
    for (int tries = 0; tries < INGEST_LISTEN_TRIES_MAX; tries++) {
        int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0 || (errno != ECONNABORTED && errno != EINTR)) {
            return fd >= 0 ? fd : -errno;
        }
    }
    return -EAGAIN;
}
