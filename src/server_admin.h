/*
 * server_admin: what the admin server is given: its tokens and its sockets.
 *
 * Owner    server. Threads: main's.
 * Errors   As those of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_ADMIN_H
#define RINGCAST_SRC_SERVER_ADMIN_H

#include "src/admin/admin.h"
#include "src/server.h"

server_step server_admin_load_tokens;

/* How many sockets it listens on. */
uint32_t server_admin_daemons(const struct server *server);

/* Hands the sockets over. That of ctl stays open for the server, too: while it is, its file can be
 * told from another of the same path. */
void server_admin_give_sockets(struct server *server, struct admin_options *options);

#endif
