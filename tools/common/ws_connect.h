/*
 * ws_connect: a connection to the address of a host that answers first.
 *
 * Each address is tried when the one before it has failed, or has not answered for a while. That
 * one goes on to be tried.
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

/* Puts the address that answered first, and returns a non-blocking socket. Otherwise error_out has
 * the errors of the first addresses, and the first one is returned; -EINTR: a signal came. */
int ws_connect(const struct ws_client_url *url, struct ws_client_addresses *addresses,
               int timeout_ms, char error_out[WS_CLIENT_ERROR_BYTES_MAX]);

#endif
