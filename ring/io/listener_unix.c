#include "ring/io/listener_unix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "codec/base/check.h"

#define LISTENER_UNIX_BACKLOG 65535 /* The kernel cuts it to net.core.somaxconn. */
#define LISTENER_UNIX_PATH_BYTES_MAX (sizeof((struct sockaddr_un *)0)->sun_path)
#define LISTENER_UNIX_DIRECTORY_BYTES_MAX (LISTENER_UNIX_PATH_BYTES_MAX + 2)
/* Another program may hold the lock of the directory: we wait 1 s at most. */
#define LISTENER_UNIX_LOCK_TRIES 100
#define LISTENER_UNIX_LOCK_WAIT_US 10000

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

/* What ends with "/." is a directory, or an error. */
static void listener_unix_directory(const char *path, char out[LISTENER_UNIX_DIRECTORY_BYTES_MAX])
{
    const char *slash = strrchr(path, '/');
    int bytes = slash == NULL ? 0 : (int)(slash - path) + 1;
    snprintf(out, LISTENER_UNIX_DIRECTORY_BYTES_MAX, "%.*s.", bytes, path);
}

/* Another start at this path waits for the lock. Without it, that start could remove our socket,
 * which is bound but does not listen yet, as if its process were dead. Returns the lock, which
 * close(2) releases; -1: there can be none, and the start goes on without it. */
static int listener_unix_lock(const char *path)
{
    char directory[LISTENER_UNIX_DIRECTORY_BYTES_MAX];
    listener_unix_directory(path, directory);
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int tries = 0; fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0; tries++) {
        if (errno != EWOULDBLOCK || tries == LISTENER_UNIX_LOCK_TRIES) {
            close(fd);
            return -1;
        }
        usleep(LISTENER_UNIX_LOCK_WAIT_US);
    }
    return fd;
}

static int listener_unix_bind(int fd, const struct sockaddr_un *address)
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

static int listener_unix_refuse(const char *path, int error, char *error_out, size_t error_bytes)
{
    const char *advice = "";
    if (error == -EADDRINUSE) {
        advice = ": another program listens there, or the file is not a socket that ringcast may "
                 "replace; remove it, or choose another path";
    } else if (error == -ENOENT || error == -ENOTDIR || error == -EACCES) {
        advice = ": its directory must exist, and ringcast needs permission to write into it";
    }
    snprintf(error_out, error_bytes, "cannot listen on Unix socket '%s': %s%s", path,
             strerror(-error), advice);
    return error;
}

int listener_unix_check(const char *path, char *error_out, size_t error_bytes)
{
    char directory[LISTENER_UNIX_DIRECTORY_BYTES_MAX];
    struct stat status;
    listener_unix_directory(path, directory);
    int error = faccessat(AT_FDCWD, directory, W_OK | X_OK, AT_EACCESS) < 0 ? -errno : 0;
    if (error == 0 && lstat(path, &status) == 0 &&
        (stat(path, &status) < 0 || !S_ISSOCK(status.st_mode))) {
        error = -EADDRINUSE;
    }
    return error < 0 ? listener_unix_refuse(path, error, error_out, error_bytes) : 0;
}

static int listener_unix_too_long(const char *path, size_t bytes_max, char *error_out,
                                  size_t error_bytes)
{
    snprintf(error_out, error_bytes, "Unix socket path '%s' is too long (at most %zu bytes)", path,
             bytes_max);
    return -ENAMETOOLONG;
}

/* Binds at name and listens; a name that is not the path becomes it then. */
static int listener_unix_listen(struct listener_unix *listener, const char *name)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    memcpy(address.sun_path, name, strlen(name) + 1);
    int error = listener_unix_bind(listener->fd, &address);
    if (error == 0 && lstat(name, &status) == 0) {
        listener->device = status.st_dev;
        listener->inode = status.st_ino;
    }
    if (error == 0 && listen(listener->fd, LISTENER_UNIX_BACKLOG) < 0) {
        error = -errno;
    }
    if (error == 0 && strcmp(name, listener->path) != 0 && rename(name, listener->path) < 0) {
        error = -errno;
        (void)unlink(name);
    }
    return error;
}

/* name: of the socket until it listens; it fits. */
static int listener_unix_make(struct listener_unix *listener_out, const char *path,
                              const char *name, char *error_out, size_t error_bytes)
{
    struct listener_unix listener = {.path = path};
    listener.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener.fd < 0) {
        return listener_unix_refuse(path, -errno, error_out, error_bytes);
    }
    int lock = listener_unix_lock(path);
    int error = listener_unix_listen(&listener, name);
    if (lock >= 0) {
        close(lock);
    }
    if (error < 0) {
        listener_unix_close(&listener);
        return listener_unix_refuse(path, error, error_out, error_bytes);
    }
    *listener_out = listener;
    return 0;
}

int listener_unix_open(struct listener_unix *listener_out, const char *path, char *error_out,
                       size_t error_bytes)
{
    if (strlen(path) >= LISTENER_UNIX_PATH_BYTES_MAX) {
        return listener_unix_too_long(path, LISTENER_UNIX_PATH_BYTES_MAX - 1, error_out,
                                      error_bytes);
    }
    return listener_unix_make(listener_out, path, path, error_out, error_bytes);
}

int listener_unix_take_over(struct listener_unix *listener_out, const char *path, char *error_out,
                            size_t error_bytes)
{
    char name[LISTENER_UNIX_PATH_BYTES_MAX];
    struct stat status;
    if (lstat(path, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        return listener_unix_refuse(path, -EADDRINUSE, error_out, error_bytes);
    }
    int suffix_bytes = snprintf(name, sizeof name, ".%ld", (long)getpid());
    if (strlen(path) + (size_t)suffix_bytes >= sizeof name) {
        return listener_unix_too_long(path, sizeof name - 1 - (size_t)suffix_bytes, error_out,
                                      error_bytes);
    }
    snprintf(name, sizeof name, "%s.%ld", path, (long)getpid());
    return listener_unix_make(listener_out, path, name, error_out, error_bytes);
}

int listener_unix_take(struct listener_unix *listener_out, int fd,
                       char name_out[LISTENER_UNIX_NAME_BYTES_MAX])
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof address;
    static_assert(sizeof address.sun_path < LISTENER_UNIX_NAME_BYTES_MAX, "a path fits");
    if (getsockname(fd, (struct sockaddr *)&address, &bytes) < 0 ||
        fcntl(fd, F_SETFL, 0) < 0 || /* A ring waits for clients. */
        listen(fd, LISTENER_UNIX_BACKLOG) < 0) {
        return -errno;
    }
    int name_bytes = (int)(bytes - offsetof(struct sockaddr_un, sun_path));
    bool is_abstract = name_bytes > 0 && address.sun_path[0] == '\0';
    snprintf(name_out, LISTENER_UNIX_NAME_BYTES_MAX, "%s%.*s", is_abstract ? "@" : "",
             name_bytes - is_abstract, address.sun_path + is_abstract);
    *listener_out = (struct listener_unix){.fd = fd, .path = name_out};
    return 0;
}

void listener_unix_remove_dead(const char *directory, const char *prefix, const char *suffix)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t prefix_bytes = strlen(prefix);
    size_t suffix_bytes = strlen(suffix);
    DIR *listing = opendir(directory);
    struct dirent *entry;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        size_t bytes = strlen(entry->d_name);
        struct stat status;
        int path_bytes =
            snprintf(address.sun_path, sizeof address.sun_path, "%s/%s", directory, entry->d_name);
        if (bytes < prefix_bytes + suffix_bytes ||
            strncmp(entry->d_name, prefix, prefix_bytes) != 0 ||
            strcmp(entry->d_name + bytes - suffix_bytes, suffix) != 0 ||
            path_bytes >= (int)sizeof address.sun_path) {
            continue;
        }
        int lock = listener_unix_lock(address.sun_path);
        if (lock >= 0 && lstat(address.sun_path, &status) == 0 && S_ISSOCK(status.st_mode) &&
            status.st_uid == geteuid() && !listener_unix_is_alive(&address)) {
            unlink(address.sun_path);
        }
        if (lock >= 0) {
            close(lock);
        }
    }
    if (listing != NULL) {
        closedir(listing);
    }
}

/* While the socket is open, no other file gets its inode number, even if the file is removed. */
void listener_unix_unlink(const struct listener_unix *listener)
{
    struct stat status;
    assert_always(listener->fd >= 0);
    if (listener->inode != 0 && lstat(listener->path, &status) == 0 &&
        status.st_dev == listener->device && status.st_ino == listener->inode) {
        unlink(listener->path);
    }
}

void listener_unix_close(struct listener_unix *listener)
{
    listener_unix_unlink(listener);
    close(listener->fd);
    listener->fd = -1;
}
