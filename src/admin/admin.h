/*
 * admin: the HTTP server for health, statistics, metrics and control.
 *
 * Its paths are the rows of admin_routes.h. A request may have a body of JSON. admin_access.h says
 * who may ask.
 *
 * Owner    main starts it after the cores and stops it before their counters go.
 * Threads  Libmicrohttpd's, one for each socket. They may block, take no lock of a core's, and
 *          answer one request at a time.
 * Memory   At most ADMIN_CONNECTIONS_MAX connections of 32 KiB, and the page being sent to each.
 * Errors   A negative errno with error_out saying what is wrong and what to do.
 */
#ifndef RINGCAST_SRC_ADMIN_H
#define RINGCAST_SRC_ADMIN_H

#include <stddef.h>
#include <stdint.h>

#include "src/access/token.h"
#include "src/admin/admin_route.h"

#define ADMIN_CONNECTIONS_MAX 64 /* of all sockets; fewer, when descriptors are short */
#define ADMIN_ARGUMENTS_MAX 100  /* of a URL's query */
#define ADMIN_TIMEOUT_SECONDS 10
#define ADMIN_ADDRESSES_MAX 8                                   /* of a port */
#define ADMIN_SOCKETS_MAX (2 * (size_t)ADMIN_ADDRESSES_MAX + 1) /* two ports, and a Unix socket */

struct admin;

enum admin_door {
    ADMIN_DOOR_PORT,    /* the admin port */
    ADMIN_DOOR_METRICS, /* the metrics port: four paths, for everybody */
    ADMIN_DOOR_UNIX,    /* the Unix socket: for this server's user and root */
    ADMIN_DOOR_COUNT,
};

struct admin_socket {
    int fd; /* that listens */
    enum admin_door door;
};

struct admin_options {
    struct admin_socket sockets[ADMIN_SOCKETS_MAX]; /* its own from now on, also when it fails */
    uint32_t socket_count;
    struct admin_sources sources;
    struct counters *counters; /* Its thread shows there that it answers. */
    uint32_t connections_max;  /* further ones wait until one ends */
    /* One of each opens /admin to other hosts; empty: it is for this host only. main's. */
    const struct token_table *tokens;
    const struct token_table *read_tokens;
    const char *host; /* --admin-host */
};

int admin_start(struct admin **admin_out, const struct admin_options *options, char *error_out,
                size_t error_bytes);
void admin_stop(struct admin *admin);

#endif
