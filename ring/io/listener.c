#include "ring/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
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
#define LISTENER_DEFER_S 1     /* for the first bytes of a client, before it is accepted without */
/* Another program may hold the lock: we wait 1 s at most. */
#define LISTENER_LOCK_TRIES 1000
#define LISTENER_LOCK_WAIT_US 1000

int listener_check_tcp(const struct listener_options *options, char *error_out, size_t error_bytes)
{
    struct listener_addresses addresses;
    return listener_address_resolve(options->host, options->port, &addresses, error_out,
                                    error_bytes);
}

bool listener_conflicts(const struct listener_options *options,
                        const struct listener_options *others)
{
    struct listener_addresses ours;
    struct listener_addresses theirs;
    char text[256];
    if (options->port == 0 || options->port != others->port ||
        listener_address_resolve(options->host, options->port, &ours, text, sizeof text) < 0 ||
        listener_address_resolve(others->host, others->port, &theirs, text, sizeof text) < 0) {
        return false;
    }
    for (uint32_t i = 0; i < ours.count; i++) {
        for (uint32_t j = 0; j < theirs.count; j++) {
            const struct sockaddr_storage *a = &ours.list[i].address;
            const struct sockaddr_storage *b = &theirs.list[j].address;
            if (listener_address_covers(a, b) || listener_address_covers(b, a)) {
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

static int listener_explain(const struct listener_options *options,
                            const struct listener_address *address, char *error_out,
                            size_t error_bytes)
{
    const char *advice = "";
    char text[LISTENER_ADDRESS_TEXT_BYTES_MAX];
    int error = address->error;
    assert_always(error < 0);
    listener_address_text(&address->address, text);
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
        listener_address_set_port(&at->address, *port);
        int error = listener_claim(&at->address, at->bytes, reuse_port);
        if (error == 0) {
            *port = listener_address_port(&at->address);
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
    char text[LISTENER_ADDRESS_TEXT_BYTES_MAX];
    listener_address_text(&at->address, text);
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
        char text[LISTENER_ADDRESS_TEXT_BYTES_MAX];
        size_t used = strlen(listener->skipped);
        if (at->error == 0) {
            addresses->list[kept++] = *at;
            continue;
        }
        listener_address_text(&at->address, text);
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
    if (options->reuse_port) {
        listener_group_spread(listener);
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

static int listener_open_new(struct listener_tcp *listener_out,
                             const struct listener_options *options, uint32_t share_count,
                             char *error_out, size_t error_bytes)
{
    struct listener_addresses resolved;
    struct listener_addresses addresses;
    struct listener_tcp listener = {.share_count = share_count, .port = options->port};
    int error =
        listener_address_resolve(options->host, options->port, &resolved, error_out, error_bytes);
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

/* ---- Sockets that were passed ---- */

/* The row of the address, perhaps a new one without sockets. NULL: there are too many. */
static int *listener_passed_row(struct listener_tcp *listener, struct listener_addresses *addresses,
                                const struct listener_address *address)
{
    char text[LISTENER_ADDRESS_TEXT_BYTES_MAX];
    uint32_t row = 0;
    while (row < addresses->count &&
           !listener_address_is_same(&addresses->list[row].address, &address->address)) {
        row++;
    }
    if (row == LISTENER_ADDRESSES_MAX) {
        return NULL;
    }
    if (row == addresses->count) {
        addresses->list[addresses->count++] = *address;
        for (uint32_t i = 0; i < listener->share_count; i++) {
            listener->fds[row][i] = -1;
        }
        listener_address_text(&address->address, text);
        snprintf(listener->names[row], LISTENER_NAME_BYTES_MAX, "%s:%u", text,
                 listener_address_port(&address->address));
        listener->address_count++;
    }
    return listener->fds[row];
}

/* Sorts one into the first free share of its address. */
static int listener_passed_sort(struct listener_tcp *listener, struct listener_addresses *addresses,
                                int fd, char *error_out, size_t error_bytes)
{
    struct listener_address address = {.bytes = sizeof address.address};
    uint32_t share = 0;
    if (getsockname(fd, (struct sockaddr *)&address.address, &address.bytes) < 0) {
        int error = -errno;
        snprintf(error_out, error_bytes, "it has no address: %s", strerror(-error));
        return error;
    }
    listener_address_unmap(&address);
    int *fds = listener_passed_row(listener, addresses, &address);
    if (fds == NULL) {
        snprintf(error_out, error_bytes, "there are too many addresses (at most %u)",
                 LISTENER_ADDRESSES_MAX);
        return -EINVAL;
    }
    while (share < listener->share_count && fds[share] >= 0) {
        share++;
    }
    if (share == listener->share_count) {
        snprintf(error_out, error_bytes,
                 "there are more than %u for one address, and only as many threads accept from "
                 "them; pass fewer, or give more --cores if it is a port for clients",
                 listener->share_count);
        return -EINVAL;
    }
    fds[share] = fd;
    return 0;
}

/* Whether all have one port, and addresses of the host. */
static int listener_passed_check(struct listener_tcp *listener,
                                 const struct listener_addresses *addresses,
                                 const struct listener_options *options, char *error_out,
                                 size_t error_bytes)
{
    struct listener_addresses wanted = {.count = 0};
    listener->port = listener_address_port(&addresses->list[0].address);
    int error = options->host == NULL ? 0
                                      : listener_address_resolve(options->host, listener->port,
                                                                 &wanted, error_out, error_bytes);
    for (uint32_t i = 0; i < addresses->count && error == 0; i++) {
        const struct sockaddr_storage *address = &addresses->list[i].address;
        bool is_wanted = options->host == NULL;
        for (uint32_t j = 0; j < wanted.count && !is_wanted; j++) {
            is_wanted = listener_address_is_same(&wanted.list[j].address, address);
        }
        if (listener_address_port(address) != listener->port) {
            snprintf(error_out, error_bytes, "%s and %s have different ports; pass one port",
                     listener->names[0], listener->names[i]);
            error = -EINVAL;
        } else if (!is_wanted) {
            snprintf(error_out, error_bytes,
                     "%s is not an address of '%s', which the configuration gives; change one of "
                     "them, or leave it out of the configuration",
                     listener->names[i], options->host);
            error = -EINVAL;
        }
    }
    return error;
}

/* Fills the shares of an address that have no socket, and makes all of them as our own are. */
static int listener_passed_finish(const struct listener_tcp *listener, int *fds,
                                  const struct listener_options *options)
{
    uint32_t count = 0;
    int error = 0;
    while (count < listener->share_count && fds[count] >= 0) {
        count++;
    }
    assert_always(count > 0);
    for (uint32_t i = 0; i < listener->share_count && error == 0; i++) {
        if (i >= count) {
            fds[i] = fcntl(fds[i % count], F_DUPFD_CLOEXEC, 0);
        }
        error = fds[i] < 0 ? -errno : listener_set_options(fds[i], options);
        /* A ring waits for clients; of a socket that is not to wait, it would ask without end. */
        if (error == 0 && (fcntl(fds[i], F_SETFL, 0) < 0 || listen(fds[i], LISTENER_BACKLOG) < 0)) {
            error = -errno;
        }
    }
    return error;
}

static int listener_open_passed(struct listener_tcp *listener_out,
                                const struct listener_options *options, uint32_t share_count,
                                char *error_out, size_t error_bytes)
{
    struct listener_tcp listener = {.share_count = share_count, .is_passed = true};
    struct listener_addresses addresses = {.count = 0};
    int error = 0;
    for (uint32_t i = 0; i < options->passed_count && error == 0; i++) {
        error = listener_passed_sort(&listener, &addresses, options->passed_fds[i], error_out,
                                     error_bytes);
    }
    if (error == 0) {
        error = listener_passed_check(&listener, &addresses, options, error_out, error_bytes);
    }
    for (uint32_t i = 0; i < listener.address_count && error == 0; i++) {
        error = listener_passed_finish(&listener, listener.fds[i], options);
        if (error < 0) {
            snprintf(error_out, error_bytes, "%s: %s", listener.names[i], strerror(-error));
        }
    }
    if (error < 0) {
        listener_close_tcp(&listener);
        return error;
    }
    *listener_out = listener;
    return 0;
}

int listener_open_tcp(struct listener_tcp *listener_out, const struct listener_options *options,
                      uint32_t share_count, char *error_out, size_t error_bytes)
{
    assert_always(share_count > 0);
    assert_always(share_count <= LISTENER_SHARES_MAX);
    return options->passed_count == 0
               ? listener_open_new(listener_out, options, share_count, error_out, error_bytes)
               : listener_open_passed(listener_out, options, share_count, error_out, error_bytes);
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
