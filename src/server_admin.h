/*
 * server_admin: the steps that load the admin server's tokens, and start it.
 *
 * Owner    server. Threads: main's.
 * Errors   As those of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_ADMIN_H
#define RINGCAST_SRC_SERVER_ADMIN_H

#include "src/server.h"

server_step server_admin_load_tokens;

/* Before the threads: a port that is taken costs no client. */
server_step server_admin_start;

#endif
