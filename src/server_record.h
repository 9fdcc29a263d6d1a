/*
 * server_record: the steps of a start that make and start the recorder (--record).
 *
 * Owner    main. Threads: main's.
 * Memory   The recorder's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_RECORD_H
#define RINGCAST_SRC_SERVER_RECORD_H

#include "src/server.h"

server_step server_record_create; /* Before the publisher; --check-config runs it as well. */
server_step server_record_start;  /* Before the threads: they deliver ticks. */

#endif
