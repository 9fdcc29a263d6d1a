/*
 * activation: listening sockets that a service manager passes: systemd's socket activation.
 *
 * The variables LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES say how many descriptors from 3 on are
 * such sockets, and the name of each, which says what it is for.
 *
 * Owner    main, until a listener takes them.
 * Threads  main's, before there are others: the environment is changed.
 * Memory   The caller's.
 * Errors   A negative errno, with error_out saying what is wrong and what to do.
 * Source   sd_listen_fds(3), systemd.socket(5).
 */
#ifndef RINGCAST_SRC_ACTIVATION_H
#define RINGCAST_SRC_ACTIVATION_H

#include <stddef.h>
#include <stdint.h>

#define ACTIVATION_SOCKETS_MAX 64 /* for one purpose */

enum activation_purpose {
    ACTIVATION_CLIENTS,
    ACTIVATION_TLS,
    ACTIVATION_ADMIN,
    ACTIVATION_METRICS,
    ACTIVATION_PURPOSE_COUNT,
};

/* The sockets of TCP for one purpose. */
struct activation_sockets {
    int fds[ACTIVATION_SOCKETS_MAX];
    uint32_t count; /* 0: none */
};

struct activation {
    struct activation_sockets tcp[ACTIVATION_PURPOSE_COUNT];
    int unix_fd; /* for clients; -1: none */
};

/* The name of its sockets. */
const char *activation_name(enum activation_purpose purpose);

/* Takes those that are meant for this process, and removes the variables. */
int activation_take(struct activation *activation_out, char *error_out, size_t error_bytes);

#endif
