#include "src/admin/admin_connections.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "codec/base/check.h"

struct admin_connection {
    struct admin_connections *all;
    struct list_link age_link; /* In all->oldest; self-linked once it is to end. */
    int fd;
};

void admin_connections_init(struct admin_connections *connections, uint32_t limit)
{
    assert_always(limit > 0);
    list_init(&connections->oldest);
    connections->count = 0;
    /* It takes libmicrohttpd a moment to close those that end. */
    connections->count_max = limit < 3 ? 1 : limit - 1 - limit / 8;
}

static void admin_connections_add(struct admin_connection *connection)
{
    list_append(&connection->all->oldest, &connection->age_link);
    connection->all->count++;
}

static void admin_connections_remove(struct admin_connection *connection)
{
    if (!list_empty(&connection->age_link)) {
        assert_always(connection->all->count > 0);
        list_remove(&connection->age_link);
        connection->all->count--;
    }
}

/* libmicrohttpd closes it when it reads the end of the input, or fails to write. */
static void admin_connections_end_oldest(struct admin_connections *connections)
{
    assert_always(!list_empty(&connections->oldest));
    struct admin_connection *oldest =
        container_of(connections->oldest.next, struct admin_connection, age_link);
    admin_connections_remove(oldest);
    (void)shutdown(oldest->fd, SHUT_RDWR);
}

static struct admin_connection *admin_connections_begin(struct admin_connections *connections,
                                                        struct MHD_Connection *library_connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(library_connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct admin_connection *connection = info == NULL ? NULL : calloc(1, sizeof *connection);
    if (connection == NULL) {
        return NULL; /* It stays until its time is over. */
    }
    connection->all = connections;
    connection->fd = info->connect_fd;
    admin_connections_add(connection);
    if (connections->count > connections->count_max) {
        admin_connections_end_oldest(connections);
    }
    return connection;
}

void admin_connections_notify(void *context, struct MHD_Connection *connection,
                              void **socket_context, enum MHD_ConnectionNotificationCode code)
{
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = admin_connections_begin(context, connection);
    } else if (*socket_context != NULL) {
        admin_connections_remove(*socket_context);
        free(*socket_context);
        *socket_context = NULL;
    }
}

void admin_connections_renew(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct admin_connection *known = info == NULL ? NULL : info->socket_context;
    if (known != NULL && !list_empty(&known->age_link)) {
        admin_connections_remove(known);
        admin_connections_add(known);
    }
}
