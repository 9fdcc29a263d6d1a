/*
 * server_pid_file: the step of a start that writes the file of the process ID (--pid-file).
 *
 * Owner    main. Threads: main's.
 * Errors   As of the steps of server.h.
 */
#ifndef RINGCAST_SRC_SERVER_PID_FILE_H
#define RINGCAST_SRC_SERVER_PID_FILE_H

#include "src/server.h"

/* After the listeners, and after main has blocked the signals that end it: no signal then leaves
 * the file behind. */
server_step server_write_pid_file;

#endif
