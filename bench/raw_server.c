#include "bench/raw_server.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/handshake.h"
#include "codec/ws_decoder.h"

#define PEERS_MAX 65536
#define LISTENER UINT32_MAX
#define EVENTS_MAX 256

/* The state of a peer until it is subscribed. */
struct raw_setup {
    bool is_upgraded;
    size_t bytes_count;
    uint8_t bytes[HANDSHAKE_BYTES_MAX];
    struct ws_decoder decoder;
};

struct raw_peer {
    int fd; /* -1: closed */
    bool is_streaming;
    struct raw_setup *setup;
    SSL *ssl; /* NULL: in the clear */
};

struct raw_server {
    int listen_fd;
    int epoll_fd;
    SSL_CTX *tls; /* NULL: in the clear */
    uint32_t send_buffer_bytes;
    uint32_t peer_count;
    struct raw_peer peers[PEERS_MAX];
};

static int raw_server_listen(const struct raw_server_options *options)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons(options->port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    bool is_unix = options->unix_path != NULL;
    int one = 1;
    int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return -errno;
    }
    if (is_unix) {
        snprintf(un.sun_path, sizeof un.sun_path, "%s", options->unix_path);
        unlink(un.sun_path);
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    const struct sockaddr *address = is_unix ? (const void *)&un : (const void *)&in;
    if (bind(fd, address, is_unix ? sizeof un : sizeof in) < 0 || listen(fd, 4096) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* "CHAIN,KEY" */
static SSL_CTX *raw_server_tls(const char *certificate)
{
    char chain[1024];
    const char *comma = strchr(certificate, ',');
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (comma == NULL || (size_t)(comma - certificate) >= sizeof chain || tls == NULL) {
        SSL_CTX_free(tls);
        return NULL;
    }
    snprintf(chain, sizeof chain, "%.*s", (int)(comma - certificate), certificate);
    SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_num_tickets(tls, 0);
    if (SSL_CTX_set_ciphersuites(tls, "TLS_AES_128_GCM_SHA256") != 1 || /* as ringcast chooses */
        SSL_CTX_use_certificate_chain_file(tls, chain) != 1 ||
        SSL_CTX_use_PrivateKey_file(tls, comma + 1, SSL_FILETYPE_PEM) != 1) {
        SSL_CTX_free(tls);
        return NULL;
    }
    return tls;
}

int raw_server_create(struct raw_server **server_out, const struct raw_server_options *options)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = LISTENER};
    struct raw_server *server = calloc(1, sizeof *server);
    if (server == NULL) {
        return -ENOMEM;
    }
    server->send_buffer_bytes = options->send_buffer_bytes;
    server->tls = options->certificate == NULL ? NULL : raw_server_tls(options->certificate);
    if (options->certificate != NULL && server->tls == NULL) {
        free(server);
        return -EINVAL;
    }
    server->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    server->listen_fd = raw_server_listen(options);
    if (server->listen_fd < 0 || server->epoll_fd < 0 ||
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, server->listen_fd, &event) < 0) {
        int error = server->listen_fd < 0 ? server->listen_fd : -errno;
        SSL_CTX_free(server->tls);
        free(server);
        return error;
    }
    *server_out = server;
    return 0;
}

uint32_t raw_server_count(const struct raw_server *server)
{
    return server->peer_count;
}

int raw_server_fd(const struct raw_server *server, uint32_t peer_index)
{
    const struct raw_peer *peer = &server->peers[peer_index];
    return peer->is_streaming ? peer->fd : -1;
}

/* What OpenSSL wants, as an errno. */
static ssize_t raw_peer_fail(const struct raw_peer *peer, int result)
{
    int error = SSL_get_error(peer->ssl, result);
    bool waits = error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
    errno = waits ? EAGAIN : ECONNRESET;
    return -1;
}

static ssize_t raw_peer_send(const struct raw_peer *peer, const void *bytes, size_t bytes_count)
{
    if (peer->ssl == NULL) {
        return send(peer->fd, bytes, bytes_count, MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    int sent = SSL_write(peer->ssl, bytes, (int)bytes_count);
    return sent > 0 ? sent : raw_peer_fail(peer, sent);
}

/* The first ones also do the handshake. */
static ssize_t raw_peer_receive(const struct raw_peer *peer, void *into, size_t room)
{
    if (peer->ssl == NULL) {
        return recv(peer->fd, into, room, MSG_DONTWAIT);
    }
    int got = SSL_read(peer->ssl, into, (int)room);
    return got > 0 ? got : raw_peer_fail(peer, got);
}

ssize_t raw_server_send(struct raw_server *server, uint32_t peer_index, const uint8_t *bytes,
                        size_t bytes_count)
{
    return raw_peer_send(&server->peers[peer_index], bytes, bytes_count);
}

void raw_server_close(struct raw_server *server, uint32_t peer_index)
{
    struct raw_peer *peer = &server->peers[peer_index];
    SSL_free(peer->ssl);
    if (peer->fd >= 0) {
        close(peer->fd);
    }
    free(peer->setup);
    *peer = (struct raw_peer){.fd = -1};
}

void raw_server_destroy(struct raw_server *server)
{
    for (uint32_t i = 0; i < server->peer_count; i++) {
        raw_server_close(server, i);
    }
    close(server->listen_fd);
    close(server->epoll_fd);
    SSL_CTX_free(server->tls);
    free(server);
}

static uint32_t raw_server_free_index(const struct raw_server *server)
{
    uint32_t index = 0;
    while (index < server->peer_count && server->peers[index].fd >= 0) {
        index++;
    }
    return index;
}

static void raw_server_accept(struct raw_server *server)
{
    int fd;
    int one = 1;
    while ((fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)) >= 0) {
        /* Within a run nobody closes: a scan only where a run before has left holes. */
        uint32_t index = server->peer_count > 0 && server->peers[0].fd < 0
                             ? raw_server_free_index(server)
                             : server->peer_count;
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = index};
        struct raw_setup *setup = calloc(1, sizeof *setup);
        if (index == PEERS_MAX || setup == NULL) {
            close(fd);
            free(setup);
            return;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &server->send_buffer_bytes, sizeof(int));
        server->peers[index] = (struct raw_peer){.fd = fd, .setup = setup};
        if (server->tls != NULL) {
            SSL *ssl = SSL_new(server->tls);
            assert_always(ssl != NULL && SSL_set_fd(ssl, fd) == 1);
            SSL_set_accept_state(ssl);
            server->peers[index].ssl = ssl;
        }
        server->peer_count += index == server->peer_count;
        epoll_ctl(server->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static bool raw_server_reply(const struct raw_peer *peer, const char *type, const char *data)
{
    uint8_t frame[512];
    int payload_bytes = snprintf((char *)frame + WS_FRAME_FINISH_GAP, 400,
                                 "{\"type\":\"%s\",\"id\":1,\"ts\":0,\"data\":%s}", type, data);
    size_t frame_bytes = ws_frame_finish(frame, WS_TEXT, (size_t)payload_bytes);
    return raw_peer_send(peer, frame, frame_bytes) == (ssize_t)frame_bytes;
}

/* false: close it. */
static bool raw_server_upgrade(struct raw_peer *peer)
{
    static const struct handshake_site site = {.path_count = 0};
    struct raw_setup *setup = peer->setup;
    struct handshake_progress progress = {.has_line = false};
    struct handshake_request request;
    char response[HANDSHAKE_RESPONSE_BYTES_MAX];
    enum handshake_status status =
        handshake_parse(&progress, setup->bytes, setup->bytes_count, &site, &request);
    if (status == HANDSHAKE_NEED_MORE) {
        return true;
    }
    if (status != HANDSHAKE_OK) {
        return false;
    }
    size_t response_bytes = handshake_accept(response, &request);
    setup->bytes_count -= request.head_bytes;
    memmove(setup->bytes, setup->bytes + request.head_bytes, setup->bytes_count);
    setup->is_upgraded = true;
    ws_decoder_init(&setup->decoder, HANDSHAKE_BYTES_MAX, true, NULL);
    return raw_peer_send(peer, response, response_bytes) == (ssize_t)response_bytes &&
           raw_server_reply(peer, "WELCOME", "{\"epoch\":\"raw\"}");
}

/* The first message that arrives whole is taken for SUBSCRIBE. */
static bool raw_server_subscribe(struct raw_peer *peer)
{
    struct raw_setup *setup = peer->setup;
    struct ws_message message;
    size_t consumed;
    enum ws_status status =
        ws_decode(&setup->decoder, setup->bytes, setup->bytes_count, &consumed, &message);
    if (status == WS_NEED_MORE || status == WS_NEED_BUFFER) {
        return setup->bytes_count == 0; /* A client sends it in one piece here. */
    }
    if (status != WS_OK || message.opcode != WS_TEXT) {
        return false;
    }
    free(setup);
    peer->setup = NULL;
    peer->is_streaming = true;
    return raw_server_reply(peer, "SUBSCRIBED", "{\"epoch\":\"raw\",\"ok\":[],\"failed\":[]}");
}

static bool raw_server_on_readable(struct raw_peer *peer)
{
    uint8_t ignored[4096];
    struct raw_setup *setup = peer->setup;
    uint8_t *into = setup == NULL ? ignored : setup->bytes + setup->bytes_count;
    size_t room = setup == NULL ? sizeof ignored : sizeof setup->bytes - setup->bytes_count;
    ssize_t got = raw_peer_receive(peer, into, room);
    if (got <= 0) {
        return got < 0 && errno == EAGAIN;
    }
    if (setup == NULL) {
        return true; /* pongs */
    }
    setup->bytes_count += (size_t)got;
    if (!setup->is_upgraded && !raw_server_upgrade(peer)) {
        return false;
    }
    return !setup->is_upgraded || setup->bytes_count == 0 || raw_server_subscribe(peer);
}

void raw_server_poll(struct raw_server *server, uint64_t timeout_ns)
{
    struct epoll_event events[EVENTS_MAX];
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ns / NS_PER_SECOND),
                               .tv_nsec = (long)(timeout_ns % NS_PER_SECOND)};
    int count = epoll_pwait2(server->epoll_fd, events, EVENTS_MAX, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        uint32_t index = events[i].data.u32;
        if (index == LISTENER) {
            raw_server_accept(server);
        } else if (server->peers[index].fd >= 0 && !raw_server_on_readable(&server->peers[index])) {
            raw_server_close(server, index);
        }
    }
}
