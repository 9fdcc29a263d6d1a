#include "ring/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/io/listener_group.h"

#define LISTENER_BACKLOG 65535 /* The kernel cuts it to net.core.somaxconn. */
#define LISTENER_PORT_TRIES 16 /* to find a port that is free at all addresses */
/* Another program may hold the lock: we wait 1 s at most. */
#define LISTENER_DEFER_S 1 /* for the first bytes of a client, before it is accepted without */
#define LISTENER_LOCK_TRIES 1000
#define LISTENER_LOCK_WAIT_US 1000
#define LISTENER_TEXT_BYTES_MAX (LISTENER_NAME_BYTES_MAX - 6)

/* Why nobody could connect to the address, or bind(2) would answer with EINVAL. NULL: nothing. */
static const char *listener_judge(const struct sockaddr_storage *address)
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

/* What a host stands for, in getaddrinfo's order. */
struct listener_addresses {
    struct listener_address {
        struct sockaddr_storage address;
        socklen_t bytes;
        int error;                      /* why it is skipped; 0: it is not */
        const char *fault;              /* the same in words; NULL: strerror's */
    } list[LISTENER_ADDRESSES_MAX + 1]; /* and one that may be a duplicate */
    uint32_t count;
};

/* Whether the address is 0.0.0.0 or ::, which stands for all. */
static bool listener_is_any(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr)
               : ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* ::ffff:127.0.0.1 is 127.0.0.1. */
static void listener_unmap(struct listener_address *address)
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

/* Whether a listener at one also receives the clients of the other. */
static bool listener_covers(const struct sockaddr_storage *one,
                            const struct sockaddr_storage *other)
{
    if (listener_is_any(one)) { /* A socket of :: takes IPv4 too. */
        return one->ss_family == AF_INET6 || other->ss_family == AF_INET;
    }
    return memcmp(one, other, sizeof *one) == 0;
}

/* /etc/hosts may name localhost twice. */
static void listener_remove_covered(struct listener_addresses *addresses)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < addresses->count; i++) {
        bool is_covered = false;
        for (uint32_t j = 0; j < addresses->count && !is_covered; j++) {
            bool is_same =
                listener_covers(&addresses->list[i].address, &addresses->list[j].address);
            is_covered = i != j && (j < i || !is_same) &&
                         listener_covers(&addresses->list[j].address, &addresses->list[i].address);
        }
        if (!is_covered) {
            addresses->list[kept++] = addresses->list[i];
        }
    }
    addresses->count = kept;
}

/* Takes what getaddrinfo has found. Returns what is wrong with it, or NULL. */
static const char *listener_take(struct listener_addresses *addresses, const struct addrinfo *found)
{
    for (const struct addrinfo *at = found; at != NULL; at = at->ai_next) {
        struct listener_address address = {.bytes = at->ai_addrlen};
        assert_always(at->ai_addrlen <= sizeof address.address);
        assert_always(at->ai_family == AF_INET || at->ai_family == AF_INET6);
        memcpy(&address.address, at->ai_addr, at->ai_addrlen);
        listener_unmap(&address);
        address.fault = listener_judge(&address.address);
        address.error = address.fault == NULL ? 0 : -EINVAL;
        addresses->list[addresses->count++] = address;
        listener_remove_covered(addresses);
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

/* All addresses of the host, of which at least one is good. */
static int listener_resolve(const struct listener_options *options,
                            struct listener_addresses *addresses_out, char *error_out,
                            size_t error_bytes)
{
    char port[8];
    struct addrinfo *found;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    snprintf(port, sizeof port, "%u", options->port);
    *addresses_out = (struct listener_addresses){.count = 0};
    int status = getaddrinfo(options->host, port, &hints, &found);
    if (status == EAI_SYSTEM) {
        int error = -errno;
        snprintf(error_out, error_bytes, "cannot listen on host '%s': %s", options->host,
                 strerror(-error));
        return error;
    }
    if (status != 0) {
        snprintf(error_out, error_bytes,
                 "cannot listen on host '%s': %s (give an address of this "
                 "machine, 0.0.0.0 or :: for all)",
                 options->host, gai_strerror(status));
        return -EINVAL;
    }
    const char *fault = listener_take(addresses_out, found);
    freeaddrinfo(found);
    if (fault != NULL) {
        snprintf(error_out, error_bytes, "cannot listen on host '%s': %s", options->host, fault);
        return -EINVAL;
    }
    return 0;
}

int listener_check_tcp(const struct listener_options *options, char *error_out, size_t error_bytes)
{
    struct listener_addresses addresses;
    return listener_resolve(options, &addresses, error_out, error_bytes);
}

bool listener_conflicts(const struct listener_options *options,
                        const struct listener_options *others)
{
    struct listener_addresses ours;
    struct listener_addresses theirs;
    char text[256];
    if (options->port == 0 || options->port != others->port ||
        listener_resolve(options, &ours, text, sizeof text) < 0 ||
        listener_resolve(others, &theirs, text, sizeof text) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < ours.count; i++) {
        for (uint32_t j = 0; j < theirs.count; j++) {
            const struct sockaddr_storage *a = &ours.list[i].address;
            const struct sockaddr_storage *b = &theirs.list[j].address;
            if (listener_covers(a, b) || listener_covers(b, a)) {
                return true;
            }
        }
    }
    return false;
}

static int listener_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* Accepted sockets inherit all of these. TCP_DEFER_ACCEPT: a client is accepted with its first
 * bytes, so that the core wakes up once for both. */
static int listener_set_options(int fd, const struct listener_options *options)
{
    int error = listener_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (error == 0 && options->send_buffer_bytes > 0) {
        error = listener_set(fd, SOL_SOCKET, SO_SNDBUF, (int)options->send_buffer_bytes);
    }
    if (error == 0) {
        error = listener_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
    }
    if (error == 0) {
        error = listener_set(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, LISTENER_DEFER_S);
    }
    return error;
}

static int listener_bind(const struct sockaddr_storage *address, socklen_t address_bytes,
                         bool share_port)
{
    int error;
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    /* REUSEADDR: connections of an earlier run in TIME_WAIT do not hold the port. */
    error = listener_set(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (error == 0 && share_port) {
        error = listener_set(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    }
    if (error == 0 && address->ss_family == AF_INET6) { /* Whatever net.ipv6.bindv6only says. */
        error = listener_set(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    }
    if (error == 0 && bind(fd, (const struct sockaddr *)address, address_bytes) < 0) {
        error = -errno;
    }
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

static uint16_t listener_port_of(const struct sockaddr_storage *address)
{
    return ntohs(address->ss_family == AF_INET6 ? ((const struct sockaddr_in6 *)address)->sin6_port
                                                : ((const struct sockaddr_in *)address)->sin_port);
}

static void listener_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

/* Binds without REUSEPORT and listens: fails when anybody has the port, also with REUSEPORT.
 * Chooses the port when it is 0. reuse_port: others may have it; only the bind is tried then, since
 * a socket that listens receives clients. */
static int listener_claim(struct sockaddr_storage *address, socklen_t address_bytes,
                          bool reuse_port)
{
    int fd = listener_bind(address, address_bytes, reuse_port);
    if (fd < 0) {
        return fd;
    }
    int error = !reuse_port && listen(fd, 1) < 0 ? -errno : 0;
    if (error == 0 && getsockname(fd, (struct sockaddr *)address, &address_bytes) < 0) {
        error = -errno;
    }
    close(fd);
    return error;
}

/* "[::1]" or "127.0.0.1" */
static void listener_text(const struct sockaddr_storage *address, char out[LISTENER_TEXT_BYTES_MAX])
{
    char host[LISTENER_TEXT_BYTES_MAX - 2] = "?";
    (void)getnameinfo((const struct sockaddr *)address, sizeof *address, host, sizeof host, NULL, 0,
                      NI_NUMERICHOST);
    snprintf(out, LISTENER_TEXT_BYTES_MAX, address->ss_family == AF_INET6 ? "[%s]" : "%s", host);
}

static int listener_explain(const struct listener_options *options,
                            const struct listener_address *address, char *error_out,
                            size_t error_bytes)
{
    const char *advice = "";
    char text[LISTENER_TEXT_BYTES_MAX];
    int error = address->error;
    assert_always(error < 0);
    listener_text(&address->address, text);
    if (error == -EADDRINUSE) {
        advice = ": another program (perhaps another ringcast) uses it; stop that program, or "
                 "choose another port (0: any free one)";
    } else if (error == -EACCES) {
        advice = ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
    } else if (error == -EMFILE) {
        advice = ": raise the limit of open files (ulimit -n)";
    } else if (error == -EADDRNOTAVAIL) {
        advice = ": it is not an address of this machine";
    } else if (error == -EAFNOSUPPORT && address->address.ss_family == AF_INET6) {
        advice = ": this machine has no IPv6; give 0.0.0.0 or an IPv4 address";
    }
    bool is_number = strstr(text, options->host) != NULL;
    snprintf(error_out, error_bytes, "cannot listen on %s%s%s%s port %u: %s%s", options->host,
             is_number ? "" : " (", is_number ? "" : text, is_number ? "" : ")", options->port,
             strerror(-error), advice);
    return error;
}

/* Whether this machine lacks the address. The host's other addresses are served without it. */
static bool listener_is_missing(int error)
{
    return error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT;
}

/* Claims the port at all addresses, and marks those that this machine lacks. Returns the address
 * that fails with its error, or NULL. */
static struct listener_address *listener_claim_all(struct listener_addresses *addresses,
                                                   uint16_t *port, bool reuse_port)
{
    struct listener_address *missing = NULL;
    bool has_one = false;
    for (uint32_t i = 0; i < addresses->count; i++) {
        struct listener_address *at = &addresses->list[i];
        if (at->error < 0) {
            continue;
        }
        listener_set_port(&at->address, *port);
        int error = listener_claim(&at->address, at->bytes, reuse_port);
        if (error == 0) {
            *port = listener_port_of(&at->address);
            has_one = true;
        } else if (!listener_is_missing(error)) {
            at->error = error;
            return at;
        } else if (missing == NULL) {
            missing = at;
        }
        at->error = error;
    }
    return has_one ? NULL : missing;
}

/* Claims the addresses that there are. For port 0 it tries again when the port that the first one
 * has chosen is taken at another one. */
static struct listener_address *listener_choose_port(const struct listener_addresses *resolved,
                                                     struct listener_addresses *addresses_out,
                                                     uint16_t *port, bool reuse_port)
{
    struct listener_address *failed = NULL;
    uint16_t wanted = *port;
    for (int tries = 0; tries < LISTENER_PORT_TRIES; tries++) {
        *addresses_out = *resolved;
        *port = wanted;
        failed = listener_claim_all(addresses_out, port, reuse_port && wanted != 0);
        if (failed == NULL || wanted != 0 || failed->error != -EADDRINUSE) {
            break;
        }
    }
    return failed;
}

/* A socket for each share of the address. */
static int listener_open_shares(struct listener_tcp *listener, const struct listener_address *at,
                                const struct listener_options *options)
{
    int *fds = listener->fds[listener->address_count];
    char text[LISTENER_TEXT_BYTES_MAX];
    listener_text(&at->address, text);
    snprintf(listener->names[listener->address_count], LISTENER_NAME_BYTES_MAX, "%s:%u", text,
             listener->port);
    for (uint32_t i = 0; i < listener->share_count; i++) {
        fds[i] = -1;
    }
    listener->address_count++;
    for (uint32_t i = 0; i < listener->share_count; i++) {
        fds[i] = listener_bind(&at->address, at->bytes, true);
        int error = fds[i] < 0 ? fds[i] : listener_set_options(fds[i], options);
        if (error < 0) {
            return error;
        }
    }
    return 0;
}

/* Removes the addresses that this machine lacks. */
static void listener_skip(struct listener_tcp *listener, struct listener_addresses *addresses)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < addresses->count; i++) {
        const struct listener_address *at = &addresses->list[i];
        char text[LISTENER_TEXT_BYTES_MAX];
        size_t used = strlen(listener->skipped);
        if (at->error == 0) {
            addresses->list[kept++] = *at;
            continue;
        }
        listener_text(&at->address, text);
        snprintf(listener->skipped + used, sizeof listener->skipped - used, "%s%s (%s)",
                 used == 0 ? "" : ", ", text, at->fault == NULL ? strerror(-at->error) : at->fault);
    }
    addresses->count = kept;
}

/* The address that fails, or NULL. */
static struct listener_address *listener_open_all(struct listener_tcp *listener,
                                                  struct listener_addresses *addresses,
                                                  const struct listener_options *options)
{
    for (uint32_t i = 0; i < addresses->count; i++) {
        struct listener_address *at = &addresses->list[i];
        at->error = listener_open_shares(listener, at, options);
        if (at->error < 0) {
            return at;
        }
    }
    for (uint32_t i = 0; options->reuse_port && i < addresses->count; i++) {
        listener->elders[i] = listener_group_elder(&addresses->list[i].address);
    }
    /* Only when all are bound: a listener takes clients from its first moment. */
    for (uint32_t i = 0; i < addresses->count * listener->share_count; i++) {
        uint32_t index = i / listener->share_count;
        if (listen(listener->fds[index][i % listener->share_count], LISTENER_BACKLOG) < 0) {
            addresses->list[index].error = -errno;
            return &addresses->list[index];
        }
    }
    return NULL;
}

/* Between a claim and the shares no other start may claim the port: both would share its clients.
 * An abstract Unix socket belongs to the same network namespace as the port, and ends with its
 * process. Returns the lock, which close(2) releases; -1: there can be none. */
static int listener_lock(void)
{
    static const char path[] = "\0ringcast-listener";
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t bytes = offsetof(struct sockaddr_un, sun_path) + sizeof path - 1;
    memcpy(address.sun_path, path, sizeof path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    for (int tries = 0; fd >= 0; tries++) {
        if (bind(fd, (const struct sockaddr *)&address, bytes) == 0) {
            return fd;
        }
        if (errno != EADDRINUSE || tries == LISTENER_LOCK_TRIES) {
            break;
        }
        usleep(LISTENER_LOCK_WAIT_US);
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int listener_open_tcp(struct listener_tcp *listener_out, const struct listener_options *options,
                      uint32_t share_count, char *error_out, size_t error_bytes)
{
    struct listener_addresses resolved;
    struct listener_addresses addresses;
    struct listener_tcp listener = {.share_count = share_count, .port = options->port};
    assert_always(share_count > 0);
    assert_always(share_count <= LISTENER_SHARES_MAX);
    int error = listener_resolve(options, &resolved, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    int lock = listener_lock();
    struct listener_address *failed =
        listener_choose_port(&resolved, &addresses, &listener.port, options->reuse_port);
    if (failed == NULL) {
        listener_skip(&listener, &addresses);
        failed = listener_open_all(&listener, &addresses, options);
    }
    if (lock >= 0) {
        close(lock);
    }
    if (failed != NULL) {
        listener_close_tcp(&listener);
        return listener_explain(options, failed, error_out, error_bytes);
    }
    assert_always(listener.address_count > 0);
    assert_always(listener.port != 0);
    *listener_out = listener;
    return 0;
}

void listener_close_tcp(struct listener_tcp *listener)
{
    for (uint32_t i = 0; i < listener->address_count; i++) {
        for (uint32_t j = 0; j < listener->share_count; j++) {
            if (listener->fds[i][j] >= 0) {
                close(listener->fds[i][j]);
            }
        }
    }
    listener->address_count = 0;
}
