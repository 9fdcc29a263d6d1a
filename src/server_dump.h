/*
 * server_dump: the step of a start that makes dumps possible.
 *
 * Owner    main. Threads: main's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_DUMP_H
#define RINGCAST_SRC_SERVER_DUMP_H

#include "src/server.h"

server_step server_create_dump; /* Before the admin server, which begins dumps, too. */

#endif
