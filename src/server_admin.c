#include "src/server_admin.h"

#include <fcntl.h>

#include "codec/base/check.h"
#include "src/access/secrets.h"

#define SERVER_ADMIN_ERROR_BYTES_MAX 512

int server_admin_load_tokens(struct server *server)
{
    const struct options *options = &server->options;
    char text[SERVER_ADMIN_ERROR_BYTES_MAX];
    int error = secrets_load_token(&server->admin_tokens, "admin-token", options->admin_token,
                                   options->admin_token_file, text, sizeof text);
    if (error == 0) {
        error = secrets_load_token(&server->admin_read_tokens, "admin-read-token", NULL,
                                   options->admin_read_token_file, text, sizeof text);
    }
    return error < 0 ? server_refuse(server, error, text) : 0;
}

uint32_t server_admin_daemons(const struct server *server)
{
    const struct sockets *sockets = &server->sockets;
    return sockets->admin.address_count + sockets->metrics.address_count + (sockets->ctl.fd >= 0);
}

static void server_admin_add(struct admin_options *options, int fd, enum admin_door door)
{
    assert_always(options->socket_count < ADMIN_SOCKETS_MAX);
    assert_always(fd >= 0);
    options->sockets[options->socket_count++] = (struct admin_socket){.fd = fd, .door = door};
}

static void server_admin_give(struct admin_options *options, struct listener_tcp *listener,
                              enum admin_door door)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        server_admin_add(options, listener->fds[i][0], door);
        listener->fds[i][0] = -1;
    }
}

void server_admin_give_sockets(struct server *server, struct admin_options *options)
{
    server_admin_give(options, &server->sockets.admin, ADMIN_DOOR_PORT);
    server_admin_give(options, &server->sockets.metrics, ADMIN_DOOR_METRICS);
    int ctl = server->sockets.ctl.fd < 0 ? -1 : fcntl(server->sockets.ctl.fd, F_DUPFD_CLOEXEC, 0);
    if (ctl >= 0) {
        server_admin_add(options, ctl, ADMIN_DOOR_UNIX);
    }
}
