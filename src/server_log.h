/*
 * server_log: the step of a start that opens the log's files.
 *
 * Owner    main. Threads: main's.
 * Memory   The log's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_LOG_H
#define RINGCAST_SRC_SERVER_LOG_H

#include "src/server.h"

server_step server_open_logs; /* The first; --check-config runs it, too, and opens none. */

#endif
