#include "libringcast/ringcast_publish_address.h"

#include <errno.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define RINGCAST_PUBLISH_HOST_BYTES_MAX 255

static int ringcast_publish_address_unix(struct ringcast_publish_addresses *addresses,
                                         const char *path, char *error_out, size_t error_bytes)
{
    struct ringcast_publish_address *address = &addresses->each[0];
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof address->local.sun_path) {
        snprintf(error_out, error_bytes,
                 "address: the path of a Unix socket has 1 to %zu bytes, not %zu",
                 sizeof address->local.sun_path - 1, bytes);
        return -EINVAL;
    }
    address->local.sun_family = AF_UNIX;
    memcpy(address->local.sun_path, path, bytes + 1);
    address->bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes + 1);
    addresses->count = 1;
    return 0;
}

/* "HOST:PORT" or "[IPV6]:PORT", in parts. */
static int ringcast_publish_address_split(const char *text, char *host_out, const char **port_out)
{
    const char *port = strrchr(text, ':');
    if (port == NULL || port[1] == '\0') {
        return -EINVAL;
    }
    size_t bytes = (size_t)(port - text);
    if (bytes > 2 && text[0] == '[' && text[bytes - 1] == ']') {
        text++;
        bytes -= 2;
    } else if (memchr(text, ':', bytes) != NULL) {
        return -EINVAL;
    }
    if (bytes == 0 || bytes > RINGCAST_PUBLISH_HOST_BYTES_MAX) {
        return -EINVAL;
    }
    memcpy(host_out, text, bytes);
    host_out[bytes] = '\0';
    *port_out = port + 1;
    return 0;
}

static int ringcast_publish_address_tcp(struct ringcast_publish_addresses *addresses,
                                        const char *text, char *error_out, size_t error_bytes)
{
    char host[RINGCAST_PUBLISH_HOST_BYTES_MAX + 1];
    const char *port;
    if (ringcast_publish_address_split(text, host, &port) < 0) {
        snprintf(error_out, error_bytes,
                 "address: \"tcp:%.100s\" is not of the form tcp:HOST:PORT or tcp:[IPV6]:PORT",
                 text);
        return -EINVAL;
    }
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    int fault = getaddrinfo(host, port, &hints, &found);
    if (fault != 0) {
        snprintf(error_out, error_bytes, "address: %.150s port %.10s: %s", host, port,
                 gai_strerror(fault));
        return fault == EAI_MEMORY ? -ENOMEM : -EHOSTUNREACH;
    }
    for (struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        if (addresses->count < RINGCAST_PUBLISH_ADDRESSES_MAX &&
            (at->ai_family == AF_INET || at->ai_family == AF_INET6)) {
            struct ringcast_publish_address *address = &addresses->each[addresses->count++];
            memcpy(&address->any, at->ai_addr, at->ai_addrlen);
            address->bytes = at->ai_addrlen;
        }
    }
    freeaddrinfo(found);
    return addresses->count > 0 ? 0 : -EHOSTUNREACH;
}

int ringcast_publish_address_find(struct ringcast_publish_addresses *addresses_out,
                                  const char *text, char *error_out, size_t error_bytes)
{
    *addresses_out = (struct ringcast_publish_addresses){0};
    if (text != NULL && strncmp(text, "unix:", 5) == 0) {
        return ringcast_publish_address_unix(addresses_out, text + 5, error_out, error_bytes);
    }
    if (text != NULL && strncmp(text, "tcp:", 4) == 0) {
        return ringcast_publish_address_tcp(addresses_out, text + 4, error_out, error_bytes);
    }
    snprintf(error_out, error_bytes, "address: give unix:PATH or tcp:HOST:PORT");
    return -EINVAL;
}
