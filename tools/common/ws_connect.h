/*
 * ws_connect: connects to the first address of a host that answers.
 *
 * The next address is tried when one has failed, or has not answered for a while. The attempt at
 * the slow address continues.
 *
 * Owner    The caller.
 * Threads  No state of its own; blocks.
 * Units    Timeouts in milliseconds.
 * Source   RFC 8305 section 5 ("Happy Eyeballs").
 */
#ifndef RINGCAST_TOOLS_WS_CONNECT_H
#define RINGCAST_TOOLS_WS_CONNECT_H

#include "tools/common/ws_client.h"

#define WS_CONNECT_NEXT_MS 250

/* Stores the address that answered first, and returns a non-blocking socket. Otherwise error_out
 * has the errors of the first addresses, and the first error is returned; -EINTR: a signal arrived.
 */
int ws_connect(const struct ws_client_url *url, struct ws_client_addresses *addresses,
               int timeout_ms, char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

#endif
