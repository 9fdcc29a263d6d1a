/*
 * admin: the HTTP server for health, statistics and metrics.
 *
 *   GET /                 the paths, each with a line: HTML for browsers, else text
 *   GET /health /livez    200 while the process runs, 503 while a thread is stalled (watchdog.h)
 *   GET /ready /readyz    200 while the server accepts clients, 503 otherwise (with the reason)
 *   GET /stats            numbers as JSON
 *   GET /metrics          numbers as Prometheus text
 *   GET /symbols          what there is to subscribe to (docs/protocol.md, "SYMBOLS")
 *   GET /schema/md.xml    the schema of md.sbe.v1
 *   /admin/...            for this host, or with Authorization: Bearer and the admin token
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
#include "src/admin/metrics.h"
#include "src/symbols/symbols.h"

#define ADMIN_CONNECTIONS_MAX 64 /* fewer, when descriptors are short */
#define ADMIN_TIMEOUT_SECONDS 10
#define ADMIN_ADDRESSES_MAX 8

struct admin;

struct admin_options {
    int fds[ADMIN_ADDRESSES_MAX]; /* that listen; its own from now on, also when it fails */
    uint32_t fd_count;
    struct metrics *metrics;
    const struct symbols *symbols; /* for /symbols */
    struct counters *counters;     /* Its thread shows there that it answers. */
    uint32_t connections_max;      /* further ones wait until one ends */
    /* One of them opens /admin/ to other hosts; empty: it is for this host only. main's. */
    const struct token_table *tokens;
};

int admin_start(struct admin **admin_out, const struct admin_options *options, char *error_out,
                size_t error_bytes);
void admin_stop(struct admin *admin);

#endif
