/*
 * listener: listening sockets, made on the main thread before the cores start.
 *
 * Owner    The caller closes what it has opened.
 * Errors   A negative errno with error_out saying what is wrong and what to do.
 */
#ifndef RINGCAST_RING_LISTENER_H
#define RINGCAST_RING_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ring/io/listener_address.h"

struct listener_options {
    const char *host;           /* "0.0.0.0", "::", a name or an address */
    uint16_t port;              /* 0: any free one */
    const int *passed_fds;      /* sockets that listen already, to be used in place of new ones */
    uint32_t passed_count;      /* 0: none; otherwise host may be NULL, and port 0: any */
    uint32_t send_buffer_bytes; /* 0: the system's */
    uint32_t user_timeout_ms;   /* TCP_USER_TIMEOUT; 0: the system's */
    bool reuse_port;            /* Another server of this user may have the port already. */
};

#define LISTENER_SHARES_MAX 64
#define LISTENER_NAME_BYTES_MAX (LISTENER_ADDRESS_TEXT_BYTES_MAX + 6)

/* The sockets of a host: shares of each of its addresses, all on one port. */
struct listener_tcp {
    uint32_t address_count; /* 0: closed */
    uint32_t share_count;
    uint16_t port;
    bool is_passed; /* Others listen at them as well. */
    int fds[LISTENER_ADDRESSES_MAX][LISTENER_SHARES_MAX];
    char names[LISTENER_ADDRESSES_MAX][LISTENER_NAME_BYTES_MAX]; /* "[::1]:8765" */
    ino_t elders[LISTENER_ADDRESSES_MAX]; /* a listener that had the address before; 0: none */
    char skipped[256]; /* the host's addresses that this machine lacks, and why; empty: none */
};

/* Listens on all addresses of the host, IPv6 and IPv4; on :: for both. Each has share_count sockets
 * by SO_REUSEPORT, after an exclusive bind has shown that the port is free, unless reuse_port and a
 * port are given. -EADDRINUSE: another program, perhaps another ringcast, has the port at one of
 * them. Addresses that this machine lacks are skipped when it has others.
 *
 * Sockets that were passed belong to the listener, even after an error. They must have one port,
 * and be at addresses of the host. The shares of an address use its sockets in turn. */
int listener_open_tcp(struct listener_tcp *listener_out, const struct listener_options *options,
                      uint32_t share_count, char *error_out, size_t error_bytes);
void listener_close_tcp(struct listener_tcp *listener);

/* Refuses what opening would always refuse, without a socket: a host that has no address. */
int listener_check_tcp(const struct listener_options *options, char *error_out, size_t error_bytes);

/* Whether both name the same port of the same address: the second would be refused. */
bool listener_conflicts(const struct listener_options *options,
                        const struct listener_options *others);

#endif
