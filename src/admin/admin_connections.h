/*
 * admin_connections: a connection to the admin port that asks for nothing, or does not read its
 * answer, gives way to newer ones.
 *
 * libmicrohttpd accepts nobody while it has as many connections as it may. So before that, each
 * new connection ends the one that has been without a new request for the longest.
 *
 * Owner    admin, one for each daemon of libmicrohttpd. Threads: that daemon's.
 * Memory   A record for each connection.
 */
#ifndef RINGCAST_SRC_ADMIN_CONNECTIONS_H
#define RINGCAST_SRC_ADMIN_CONNECTIONS_H

#include <microhttpd.h>
#include <stdint.h>

#include "codec/base/list.h"

struct admin_connections {
    struct list_link oldest; /* a list, by the time of the newest request */
    uint32_t count;
    uint32_t count_max;
};

/* limit: how many connections libmicrohttpd may have. */
void admin_connections_init(struct admin_connections *connections, uint32_t limit);

/* For MHD_OPTION_NOTIFY_CONNECTION; context: the struct admin_connections. */
void admin_connections_notify(void *context, struct MHD_Connection *connection,
                              void **socket_context, enum MHD_ConnectionNotificationCode code);

/* The head of a request has come. */
void admin_connections_renew(struct MHD_Connection *connection);

#endif
