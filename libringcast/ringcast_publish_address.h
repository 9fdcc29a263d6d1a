/*
 * ringcast_publish_address: "unix:PATH" or "tcp:HOST:PORT" as addresses of sockets.
 *
 * Threads  Any. Memory: the caller's. Errors: 0 or a negative errno, with a message.
 */
#ifndef RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_ADDRESS_H
#define RINGCAST_LIBRINGCAST_RINGCAST_PUBLISH_ADDRESS_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

#define RINGCAST_PUBLISH_ADDRESSES_MAX 8

#pragma GCC visibility push(hidden)

struct ringcast_publish_address {
    union {
        struct sockaddr any;
        struct sockaddr_un local;
        struct sockaddr_in ipv4;
        struct sockaddr_in6 ipv6;
    };
    socklen_t bytes;
};

struct ringcast_publish_addresses {
    struct ringcast_publish_address each[RINGCAST_PUBLISH_ADDRESSES_MAX];
    uint32_t count; /* at least 1 */
};

/* Asks the resolver about a host name, which may block. */
int ringcast_publish_address_find(struct ringcast_publish_addresses *addresses_out,
                                  const char *text, char *error_out, size_t error_bytes);

#pragma GCC visibility pop

#endif
