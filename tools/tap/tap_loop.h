/*
 * tap_loop: connects all readers, and lets them read until the run ends.
 *
 * Owner    main.
 * Threads  One; tap_loop_connect blocks, at most 10 s for each address.
 * Errors   Exit codes; the error has been printed.
 */
#ifndef RINGCAST_TOOLS_TAP_LOOP_H
#define RINGCAST_TOOLS_TAP_LOOP_H

#include "tools/tap/tap_reader.h"

struct tap_loop {
    const struct tap_options *options;
    struct tap_sink *sink;
    struct tap_reader *readers; /* options->connections of them */
    struct ws_client_addresses addresses;
    char *subscribe_text;
    int epoll_fd;
    bool is_refused;   /* The server refuses the connection, and will refuse it again. */
    uint64_t retry_ns; /* --resume: when to connect again; 0: it is connected */
};

/* Also catches SIGINT and SIGTERM: the loop ends with them. */
int tap_loop_init(struct tap_loop *loop, const struct tap_options *options, struct tap_sink *sink);

/* Closes what is open. */
void tap_loop_deinit(struct tap_loop *loop);

/* Connects a reader that is not connected, and sends message, SUBSCRIBE or another; NULL: none. */
int tap_loop_connect(struct tap_loop *loop, uint32_t index, const char *message);

/* Connects each reader, and subscribes it; with --resume the cursor does that. */
int tap_loop_connect_all(struct tap_loop *loop);

/* Reads until there are enough ticks, the time is over, a signal comes or all connections have
 * ended; with --verify then until all readers have what the foremost has. */
int tap_loop_run(struct tap_loop *loop);

#endif
