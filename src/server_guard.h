/*
 * server_guard: what main measures for the guard, once a second (src/guard/guard.h).
 *
 * Owner    main. Threads: main's.
 * Memory   The guard's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_GUARD_H
#define RINGCAST_SRC_SERVER_GUARD_H

#include "src/server.h"

server_step server_create_guard; /* Before the cores, which obey it. */

/* After metrics_tick(). */
void server_guard_tick(struct server *server, uint64_t now_ns);

#endif
