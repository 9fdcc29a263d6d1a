/*
 * drain_request: that an operator wants the server to drain and end, as SIGTERM does.
 *
 * Owner    server. Threads: main's; a command writes it (command.h).
 */
#ifndef RINGCAST_SRC_DRAIN_REQUEST_H
#define RINGCAST_SRC_DRAIN_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

struct drain_request {
    bool is_made;
    uint64_t timeout_ns; /* in place of --drain-timeout */
};

#endif
