/*
 * conn_handshake: a connection's opening, from accept to the finished upgrade.
 *
 * Owner    The core that has the connection. Threads: the core's own.
 * Memory   A request that is not complete is kept in a conn_input; see conn.h.
 * Errors   None are returned: a request that is refused is answered, and the connection ends.
 */
#ifndef RINGCAST_RING_CONN_HANDSHAKE_H
#define RINGCAST_RING_CONN_HANDSHAKE_H

#include "ring/link/conn.h"

void conn_open(struct core *core, int fd, bool is_unix);
/* Returns how many bytes were the request's (and the proxy's before it), or 0: not complete, or
 * refused. */
size_t conn_on_handshake(struct core *core, struct conn *conn, const uint8_t *bytes, size_t count);
/* More bytes of a request that did not come whole. */
void conn_collect_handshake(struct core *core, struct conn *conn, uint8_t *bytes, size_t count);
void conn_on_handshake_timer(struct core *core, struct conn *conn);
/* Ends the handshakes whose encoding has begun. */
void conn_handshake_go_on(struct core *core);
/* Of a conn that ends while its handshake waits. */
void conn_handshake_stop_waiting(struct core *core, struct conn *conn);

#endif
