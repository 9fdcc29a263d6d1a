/*
 * server_tls: the steps of a start that load certificates and start the threads of handshakes, and
 * what main does about certificates while the server runs.
 *
 * Owner    main. Threads: main's.
 * Memory   The tls_server's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_TLS_H
#define RINGCAST_SRC_SERVER_TLS_H

#include "src/server.h"

server_step server_tls_load;  /* All files; --check-config runs it as well. */
server_step server_tls_start; /* Before the cores, which give handshakes to the threads. */

/* Logs the certificates. */
void server_tls_announce(const struct server *server);
/* Gives them to the metrics. */
void server_tls_publish(const struct server *server);
/* About once a second. true: files have changed, and a reload is to be asked for. */
bool server_tls_tick(struct server *server, uint64_t now_ns);

#endif
