/*
 * server_notify: what the service manager learns of the server, and when.
 *
 * Owner    main.
 * Threads  main's.
 * Memory   That of struct notify.
 * Units    In the names.
 * Errors   A message that cannot be sent is a warning in the log, at most once a minute.
 * Source   docs/systemd.md
 */
#ifndef RINGCAST_SRC_SERVER_NOTIFY_H
#define RINGCAST_SRC_SERVER_NOTIFY_H

#include "src/server.h"

/* Clients can connect. */
void server_notify_ready(struct server *server);

/* The end has begun, and may take so long. */
void server_notify_stopping(struct server *server, uint64_t drain_ns, uint32_t conn_count);

/* Several times a second: signs of life while all threads make progress, and a line of status. */
void server_notify_tick(struct server *server, uint64_t now_ns);

#endif
