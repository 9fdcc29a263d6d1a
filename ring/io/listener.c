#include "ring/io/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"

#define LISTENER_BACKLOG 65535 /* The kernel cuts it to net.core.somaxconn. */
/* For the lock of a directory that another program may hold: 1 s at most. */
#define LISTENER_LOCK_TRIES 100
#define LISTENER_LOCK_WAIT_US 10000

/* What bind(2) would answer with EINVAL. NULL: nothing. */
static const char *listener_judge_ipv6(const struct sockaddr_storage *address)
{
    const struct sockaddr_in6 *ipv6 = (const struct sockaddr_in6 *)address;
    if (address->ss_family != AF_INET6) {
        return NULL;
    }
    if (IN6_IS_ADDR_MULTICAST(&ipv6->sin6_addr)) {
        return "it is a multicast address, and no address of a machine";
    }
    return IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr) && ipv6->sin6_scope_id == 0
               ? "it is a link-local address; name its interface, too (fe80::1%eth0)"
               : NULL;
}

static int listener_resolve(const struct listener_options *options, struct sockaddr_storage *out,
                            socklen_t *out_bytes, char *error_out, size_t error_bytes)
{
    char port[8];
    struct addrinfo *found;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_STREAM,
        .ai_flags = AI_PASSIVE | AI_NUMERICSERV,
    };
    snprintf(port, sizeof port, "%u", options->port);
    int status = getaddrinfo(options->host, port, &hints, &found);
    if (status != 0) {
        snprintf(error_out, error_bytes,
                 "cannot listen on host '%s': %s (give an address of this "
                 "machine, 0.0.0.0 or :: for all)",
                 options->host, gai_strerror(status));
        return -EINVAL;
    }
    assert_always(found->ai_addrlen <= sizeof *out);
    assert_always(found->ai_family == AF_INET || found->ai_family == AF_INET6);
    memcpy(out, found->ai_addr, found->ai_addrlen);
    *out_bytes = found->ai_addrlen;
    freeaddrinfo(found);
    const char *fault = listener_judge_ipv6(out);
    if (fault != NULL) {
        snprintf(error_out, error_bytes, "cannot listen on host '%s': %s", options->host, fault);
        return -EINVAL;
    }
    return 0;
}

int listener_check_tcp(const struct listener_options *options, char *error_out, size_t error_bytes)
{
    struct sockaddr_storage address;
    socklen_t address_bytes;
    return listener_resolve(options, &address, &address_bytes, error_out, error_bytes);
}

/* Whether the address is 0.0.0.0 or ::, which stands for all. */
static bool listener_is_any(const struct sockaddr_storage *address)
{
    return address->ss_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)address)->sin6_addr)
               : ((const struct sockaddr_in *)address)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* ::ffff:127.0.0.1 is 127.0.0.1. */
static void listener_unmap(struct sockaddr_storage *address)
{
    struct sockaddr_in6 ipv6 = *(const struct sockaddr_in6 *)address;
    if (address->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&ipv6.sin6_addr)) {
        struct sockaddr_in ipv4 = {.sin_family = AF_INET, .sin_port = ipv6.sin6_port};
        memcpy(&ipv4.sin_addr, ipv6.sin6_addr.s6_addr + 12, sizeof ipv4.sin_addr);
        memset(address, 0, sizeof *address);
        memcpy(address, &ipv4, sizeof ipv4);
    }
}

bool listener_conflicts(const struct listener_options *options,
                        const struct listener_options *others)
{
    struct sockaddr_storage a = {0};
    struct sockaddr_storage b = {0};
    socklen_t bytes;
    char text[256];
    if (options->port == 0 || options->port != others->port ||
        listener_resolve(options, &a, &bytes, text, sizeof text) < 0 ||
        listener_resolve(others, &b, &bytes, text, sizeof text) < 0) {
        return false;
    }
    listener_unmap(&a);
    listener_unmap(&b);
    if (a.ss_family == b.ss_family) {
        return listener_is_any(&a) || listener_is_any(&b) || memcmp(&a, &b, sizeof a) == 0;
    }
    /* A socket of :: takes IPv4 too. */
    return (a.ss_family == AF_INET6 && listener_is_any(&a)) ||
           (b.ss_family == AF_INET6 && listener_is_any(&b));
}

static int listener_set(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof value) < 0 ? -errno : 0;
}

/* Accepted sockets inherit all of these. */
static int listener_set_options(int fd, const struct listener_options *options)
{
    int error = listener_set(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (error == 0) {
        error = listener_set(fd, SOL_SOCKET, SO_SNDBUF, (int)options->send_buffer_bytes);
    }
    if (error == 0) {
        error = listener_set(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, (int)options->user_timeout_ms);
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
    if (error == 0 && bind(fd, (const struct sockaddr *)address, address_bytes) < 0) {
        error = -errno;
    }
    if (error < 0) {
        close(fd);
        return error;
    }
    return fd;
}

static uint16_t listener_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t bytes = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0) {
        return 0;
    }
    return ntohs(address.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&address)->sin6_port
                                               : ((struct sockaddr_in *)&address)->sin_port);
}

static void listener_set_port(struct sockaddr_storage *address, uint16_t port)
{
    if (address->ss_family == AF_INET6) {
        ((struct sockaddr_in6 *)address)->sin6_port = htons(port);
    } else {
        ((struct sockaddr_in *)address)->sin_port = htons(port);
    }
}

/* Binds without REUSEPORT and listens: refused when anybody has the port, be it with REUSEPORT.
 * Chooses the port when it is 0. */
static int listener_claim(struct sockaddr_storage *address, socklen_t address_bytes)
{
    int fd = listener_bind(address, address_bytes, false);
    if (fd < 0) {
        return fd;
    }
    int error = listen(fd, 1) < 0 ? -errno : 0;
    listener_set_port(address, listener_port(fd));
    close(fd);
    return error;
}

static void listener_explain(int error, const struct listener_options *options, char *error_out,
                             size_t error_bytes)
{
    const char *advice = "";
    if (error == -EADDRINUSE) {
        advice = ": another program (perhaps another ringcast) has it; stop that one, or choose "
                 "another port (0: any free one)";
    } else if (error == -EACCES) {
        advice = ": ports below 1024 need root or CAP_NET_BIND_SERVICE";
    } else if (error == -EADDRNOTAVAIL) {
        advice = ": it is not an address of this machine";
    }
    snprintf(error_out, error_bytes, "cannot listen on %s port %u: %s%s", options->host,
             options->port, strerror(-error), advice);
}

int listener_open_tcp(const struct listener_options *options, int *fds_out, uint32_t count,
                      uint16_t *port_out, char *error_out, size_t error_bytes)
{
    struct sockaddr_storage address = {0};
    socklen_t address_bytes;
    assert_always(count > 0);
    int error = listener_resolve(options, &address, &address_bytes, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    uint32_t opened = 0;
    error = listener_claim(&address, address_bytes);
    while (error == 0 && opened < count) {
        int fd = listener_bind(&address, address_bytes, true);
        if (fd < 0) {
            error = fd;
            break;
        }
        fds_out[opened++] = fd;
        error = listener_set_options(fd, options);
    }
    /* Only when all are bound: a listener takes clients from its first moment. */
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = listen(fds_out[i], LISTENER_BACKLOG) < 0 ? -errno : 0;
    }
    if (error < 0) {
        listener_explain(error, options, error_out, error_bytes);
        while (opened > 0) {
            close(fds_out[--opened]);
        }
        return error;
    }
    assert_always(opened == count);
    *port_out = listener_port(fds_out[0]);
    return 0;
}

/* Whether somebody listens at the path. One whose queue is full does: EAGAIN, without a wait. */
static bool listener_unix_is_alive(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return true;
    }
    bool alive = connect(fd, (const struct sockaddr *)address, sizeof *address) == 0 ||
                 errno != ECONNREFUSED;
    close(fd);
    return alive;
}

/* Between two starts at one path: neither takes the socket of the other, bound and not yet heard,
 * for one that is left from the dead. Returns the lock; -1: there is none to have, and the start
 * goes on without. Closing it gives it back. */
static int listener_lock_unix(const char *path)
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path + 2] = ".";
    const char *slash = strrchr(path, '/');
    if (slash != NULL) {
        snprintf(directory, sizeof directory, "%.*s/", (int)(slash - path), path);
    }
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LISTENER_LOCK_TRIES) {
            close(fd);
            return -1;
        }
        usleep(LISTENER_LOCK_WAIT_US);
    }
    return fd;
}

static int listener_bind_unix(int fd, const struct sockaddr_un *address)
{
    struct stat status;
    if (bind(fd, (const struct sockaddr *)address, sizeof *address) == 0) {
        return 0;
    }
    int error = -errno;
    bool is_left_over = error == -EADDRINUSE && stat(address->sun_path, &status) == 0 &&
                        S_ISSOCK(status.st_mode) && !listener_unix_is_alive(address);
    if (!is_left_over) {
        return error;
    }
    unlink(address->sun_path);
    return bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;
}

static int listener_refuse_unix(const char *path, int error, char *error_out, size_t error_bytes)
{
    const char *advice = "";
    if (error == -EADDRINUSE) {
        advice = ": another program listens there, or it is no socket; remove it or choose another "
                 "path";
    } else if (error == -ENOENT || error == -ENOTDIR || error == -EACCES) {
        advice = ": its directory must be there, and ringcast must be allowed to write into it";
    }
    snprintf(error_out, error_bytes, "cannot listen on Unix socket '%s': %s%s", path,
             strerror(-error), advice);
    return error;
}

int listener_check_unix(const char *path, char *error_out, size_t error_bytes)
{
    char directory[sizeof((struct sockaddr_un *)0)->sun_path + 2] = ".";
    const char *slash = strrchr(path, '/');
    struct stat status;
    if (slash != NULL) { /* What ends with "/." is a directory, or an error. */
        snprintf(directory, sizeof directory, "%.*s/.", (int)(slash - path), path);
    }
    int error = faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
    if (error == 0 && lstat(path, &status) == 0 &&
        (stat(path, &status) < 0 || !S_ISSOCK(status.st_mode))) {
        error = -EADDRINUSE;
    }
    return error < 0 ? listener_refuse_unix(path, error, error_out, error_bytes) : 0;
}

int listener_open_unix(struct listener_unix *listener_out, const char *path, char *error_out,
                       size_t error_bytes)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path) {
        snprintf(error_out, error_bytes, "Unix socket path '%s' is too long (at most %zu bytes)",
                 path, sizeof address.sun_path - 1);
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    struct listener_unix listener = {.path = path};
    listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener.fd < 0) {
        return listener_refuse_unix(path, -errno, error_out, error_bytes);
    }
    struct stat status;
    int lock = listener_lock_unix(path);
    int error = listener_bind_unix(listener.fd, &address);
    if (error == 0 && lstat(path, &status) == 0) {
        listener.device = status.st_dev;
        listener.inode = status.st_ino;
    }
    if (error == 0 && listen(listener.fd, LISTENER_BACKLOG) < 0) {
        error = -errno;
    }
    if (lock >= 0) {
        close(lock);
    }
    if (error < 0) {
        listener_close_unix(&listener);
        return listener_refuse_unix(path, error, error_out, error_bytes);
    }
    *listener_out = listener;
    return 0;
}

/* While the socket is open it refers to its file, removed or not: no other has the number. */
void listener_unlink_unix(const struct listener_unix *listener)
{
    struct stat status;
    assert_always(listener->fd >= 0);
    if (lstat(listener->path, &status) == 0 && status.st_dev == listener->device &&
        status.st_ino == listener->inode) {
        unlink(listener->path);
    }
}

void listener_close_unix(struct listener_unix *listener)
{
    listener_unlink_unix(listener);
    close(listener->fd);
    listener->fd = -1;
}
