/*
 * listener_address: the addresses that a host stands for, as listeners bind them.
 *
 * Owner    The caller.
 * Errors   As said of each, with error_out saying what is wrong and what to do.
 */
#ifndef RINGCAST_RING_LISTENER_ADDRESS_H
#define RINGCAST_RING_LISTENER_ADDRESS_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define LISTENER_ADDRESSES_MAX 8 /* a host with more is refused */
#define LISTENER_ADDRESS_TEXT_BYTES_MAX 66

struct listener_address {
    struct sockaddr_storage address;
    socklen_t bytes;
    int error;         /* why it is skipped; 0: it is not */
    const char *fault; /* the same in words; NULL: strerror's */
};

/* What a host stands for, in getaddrinfo's order. */
struct listener_addresses {
    struct listener_address list[LISTENER_ADDRESSES_MAX + 1]; /* and one that may be a duplicate */
    uint32_t count;
};

/* All addresses of the host with this port, of which at least one is good. -EINVAL: it has none. */
int listener_address_resolve(const char *host, uint16_t port, struct listener_addresses *out,
                             char *error_out, size_t error_bytes);

/* ::ffff:127.0.0.1 becomes 127.0.0.1. */
void listener_address_unmap(struct listener_address *address);

/* Whether a listener at one also receives the clients of the other. */
bool listener_address_covers(const struct sockaddr_storage *one,
                             const struct sockaddr_storage *other);
bool listener_address_is_same(const struct sockaddr_storage *one,
                              const struct sockaddr_storage *other);

uint16_t listener_address_port(const struct sockaddr_storage *address);
void listener_address_set_port(struct sockaddr_storage *address, uint16_t port);

/* "[::1]" or "127.0.0.1" */
void listener_address_text(const struct sockaddr_storage *address,
                           char out[LISTENER_ADDRESS_TEXT_BYTES_MAX]);

#endif
