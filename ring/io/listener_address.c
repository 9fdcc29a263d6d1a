#include "ring/io/listener_address.h"

#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

/* Why nobody could connect to the address, or bind(2) would answer with EINVAL. NULL: nothing. */
static const char *listener_address_judge(const struct sockaddr_storage *address)
{
    static const char multicast[] = "it is a multicast address, not an address of a machine";
    if (address->ss_family == AF_INET) {
        in_addr_t ipv4 = ntohl(((const struct sockaddr_in *)address)->sin_addr.s_addr);
        return IN_MULTICAST(ipv4) ? multicast
               : ipv4 == INADDR_BROADCAST
                   ? "it is the broadcast address, not an address of a machine"
                   : NULL;
    }
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
    if (IN6_IS_ADDR_MULTICAST(&ipv6->sin6_addr)) {
        return multicast;
    }
    return IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr) && ipv6->sin6_scope_id == 0
               ? "it is a link-local address; add its interface (fe80::1%eth0)"
               : NULL;
}

/* Whether the address is 0.0.0.0 or ::, which stands for all. */
static bool listener_address_is_any(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr)
               : ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

void listener_address_unmap(struct listener_address *address)
{
    struct sockaddr_in6 ipv6;
    memcpy(&ipv6, &address->address, sizeof ipv6);
    if (address->address.ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = ipv6.sin6_port};
        memcpy(&ipv4.sin_addr, ipv6.sin6_addr.s6_addr + 12, sizeof ipv4.sin_addr);
        *address = (struct listener_address){.bytes = sizeof ipv4};
        memcpy(&address->address, &ipv4, sizeof ipv4);
    }
}

bool listener_address_covers(const struct sockaddr_storage *one,
                             const struct sockaddr_storage *other)
{
    if (listener_address_is_any(one)) { /* A socket of :: takes IPv4 too. */
        return one->ss_family == AF_INET6 || other->ss_family == AF_INET;
    }
    return memcmp(one, other, sizeof *one) == 0;
}

bool listener_address_is_same(const struct sockaddr_storage *one,
                              const struct sockaddr_storage *other)
{
    return listener_address_covers(one, other) && listener_address_covers(other, one);
}

/* /etc/hosts may name localhost twice. */
static void listener_address_remove_covered(struct listener_addresses *addresses)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < addresses->count; i++) {
        bool is_covered = false;
        for (uint32_t j = 0; j < addresses->count && !is_covered; j++) {
            bool is_same =
                listener_address_covers(&addresses->list[i].address, &addresses->list[j].address);
            is_covered =
                i != j && (j < i || !is_same) &&
                listener_address_covers(&addresses->list[j].address, &addresses->list[i].address);
        }
        if (!is_covered) {
            addresses->list[kept++] = addresses->list[i];
        }
    }
    addresses->count = kept;
}

/* Takes what getaddrinfo has found. Returns what is wrong with it, or NULL. */
static const char *listener_address_take(struct listener_addresses *addresses,
                                         const struct addrinfo *found)
{
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        struct listener_address address = {.bytes = at->ai_addrlen};
        assert_always(at->ai_addrlen <= sizeof address.address);
        assert_always(at->ai_family == AF_INET || at->ai_family == AF_INET6);
        memcpy(&address.address, at->ai_addr, at->ai_addrlen);
        listener_address_unmap(&address);
        address.fault = listener_address_judge(&address.address);
        address.error = address.fault == NULL ? 0 : -EINVAL;
        addresses->list[addresses->count++] = address;
        listener_address_remove_covered(addresses);
        if (addresses->count > LISTENER_ADDRESSES_MAX) {
            return "it has too many addresses; give one of them, or 0.0.0.0 or :: for all";
        }
    }
    for (uint32_t i = 0; i < addresses->count; i++) {
        if (addresses->list[i].error == 0) {
            return NULL;
        }
    }
    assert_always(addresses->count > 0);
    return addresses->list[0].fault;
}

int listener_address_resolve(const char *host, uint16_t port, struct listener_addresses *out,
                             char *error_out, size_t error_bytes)
{
    char port_text[8];
    struct addrinfo *found;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    snprintf(port_text, sizeof port_text, "%u", port);
    *out = (struct listener_addresses){.count = 0};
    int status = getaddrinfo(host, port_text, &hints, &found);
    if (status == EAI_SYSTEM) {
        int error = -errno;
        snprintf(error_out, error_bytes, "cannot listen on host '%s': %s", host, strerror(-error));
        return error;
    }
    if (status != 0) {
        snprintf(error_out, error_bytes,
                 "cannot listen on host '%s': %s (give an address of this "
                 "machine, 0.0.0.0 or :: for all)",
                 host, gai_strerror(status));
        return -EINVAL;
    }
    const char *fault = listener_address_take(out, found);
    freeaddrinfo(found);
    if (fault != NULL) {
        snprintf(error_out, error_bytes, "cannot listen on host '%s': %s", host, fault);
        return -EINVAL;
    }
    return 0;
}

uint16_t listener_address_port(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

void listener_address_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

void listener_address_text(const struct sockaddr_storage *address,
                           char out[LISTENER_ADDRESS_TEXT_BYTES_MAX])
{
    char host[LISTENER_ADDRESS_TEXT_BYTES_MAX - 2] = "?";
    (void)getnameinfo((const struct sockaddr *)address, sizeof *address, host, sizeof host, NULL, 0,
                      NI_NUMERICHOST);
    snprintf(out, LISTENER_ADDRESS_TEXT_BYTES_MAX, address->ss_family == AF_INET6 ? "[%s]" : "%s",
             host);
}
