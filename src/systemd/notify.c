#include "src/systemd/notify.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

#define NOTIFY_SEND_SECONDS 1 /* for a manager that does not read */

/* path: an absolute one, or "@" and an abstract name. */
static int notify_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = NOTIFY_SEND_SECONDS};
    size_t bytes = strlen(path);
    if ((path[0] != '/' && path[0] != '@') || bytes < 2) {
        return -EAFNOSUPPORT;
    }
    if (bytes >= sizeof address.sun_path) {
        return -ENAMETOOLONG;
    }
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') {
        address.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    socklen_t address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout) < 0 ||
        connect(fd, (const struct sockaddr *)&address, address_bytes) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}

/* 0: the manager wants no signs of life, or from another process. */
static uint64_t notify_watchdog_ns(void)
{
    const char *limit = getenv("WATCHDOG_USEC");
    const char *pid = getenv("WATCHDOG_PID");
    if (limit == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid())) {
        return 0;
    }
    uint64_t limit_us = strtoull(limit, NULL, 10);
    return limit_us < UINT64_MAX / 1000 ? limit_us * 1000 / 2 : 0;
}

int notify_open(struct notify *notify_out)
{
    const char *path = getenv("NOTIFY_SOCKET");
    int fd = path == NULL ? -1 : notify_connect(path);
    *notify_out = (struct notify){
        .fd = fd < 0 ? -1 : fd,
        .watchdog_interval_ns = fd < 0 ? 0 : notify_watchdog_ns(),
    };
    bool has_failed = path != NULL && fd < 0;
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    return has_failed ? fd : 0;
}

void notify_close(struct notify *notify)
{
    if (notify->fd >= 0) {
        close(notify->fd);
        notify->fd = -1;
    }
}

int notify_send(const struct notify *notify, const char *lines, bool waits)
{
    size_t bytes = strlen(lines);
    assert_always(bytes < NOTIFY_MESSAGE_BYTES_MAX);
    if (notify->fd < 0) {
        return 0;
    }
    int flags = MSG_NOSIGNAL | (waits ? 0 : MSG_DONTWAIT);
    return send(notify->fd, lines, bytes, flags) == (ssize_t)bytes ? 0 : -errno;
}

bool notify_is_due(const struct notify *notify, uint64_t now_ns)
{
    return notify->watchdog_interval_ns != 0 &&
           now_ns - notify->watchdog_sent_ns >= notify->watchdog_interval_ns;
}

int notify_sign_of_life(struct notify *notify, uint64_t now_ns)
{
    assert_always(notify->watchdog_interval_ns != 0);
    notify->watchdog_sent_ns = now_ns;
    return notify_send(notify, "WATCHDOG=1", false);
}
