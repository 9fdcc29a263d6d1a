/*
 * admin: the HTTP server for health, statistics and metrics.
 *
 * Its paths are the rows of admin_routes.h. A request may have a body of JSON.
 *
 * Owner    main starts it after the cores and stops it before their counters go.
 * Threads  Libmicrohttpd's, one for each address. They may block, take no lock of a core's, and
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

#define ADMIN_CONNECTIONS_MAX 64 /* fewer, when descriptors are short */
#define ADMIN_TIMEOUT_SECONDS 10
#define ADMIN_ADDRESSES_MAX 8

struct admin;

struct admin_options {
    int fds[ADMIN_ADDRESSES_MAX]; /* that listen; its own from now on, also when it fails */
    uint32_t fd_count;
    struct admin_sources sources;
    struct counters *counters; /* Its thread shows there that it answers. */
    uint32_t connections_max;  /* further ones wait until one ends */
    /* One of them opens /admin/ to other hosts; empty: it is for this host only. main's. */
    const struct token_table *tokens;
};

int admin_start(struct admin **admin_out, const struct admin_options *options, char *error_out,
                size_t error_bytes);
void admin_stop(struct admin *admin);

#endif
