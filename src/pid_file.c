#include "src/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"

#define PID_FILE_TEXT_BYTES_MAX 32 /* of its content */
#define PID_FILE_TRIES 100         /* while others replace it */

static bool pid_file_is_at(int fd, const char *path)
{
    struct stat named;
    struct stat own;
    return fstat(fd, &own) == 0 && lstat(path, &named) == 0 && named.st_dev == own.st_dev &&
           named.st_ino == own.st_ino;
}

/* What a file says: a process ID; 0: it is empty; -1: anything else. */
static long pid_file_read(int fd)
{
    char text[PID_FILE_TEXT_BYTES_MAX];
    char *end;
    ssize_t bytes = pread(fd, text, sizeof text - 1, 0);
    if (bytes <= 0) {
        return bytes == 0 ? 0 : -1;
    }
    text[bytes] = '\0';
    errno = 0;
    long pid = strtol(text, &end, 10);
    bool is_pid = text[0] >= '1' && text[0] <= '9' && errno == 0 &&
                  strspn(end, " \n") == strlen(end) && strlen(text) == (size_t)bytes;
    return is_pid ? pid : -1;
}

static int pid_file_fail(int error, const char *path, const char *what, char *error_out,
                         size_t error_bytes)
{
    snprintf(error_out, error_bytes, "--pid-file: %s: %s: %s", path, what, strerror(-error));
    return error;
}

/* Locks the file that has the path, so that no other server replaces it at the same time; one that
 * is taken over has the lock of the other server. 1: there is none. *fd_out: to be closed
 * afterwards. */
static int pid_file_claim(const char *path, bool take_over, int *fd_out, char *error_out,
                          size_t error_bytes)
{
    struct stat status;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
    if (fd < 0) {
        int error = -errno;
        return error == -ENOENT
                   ? 1
                   : pid_file_fail(error, path, "cannot be opened", error_out, error_bytes);
    }
    *fd_out = fd;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        snprintf(error_out, error_bytes, "--pid-file: %s is not a regular file; name another",
                 path);
        return -EEXIST;
    }
    long pid = pid_file_read(fd);
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 && !(take_over && errno == EWOULDBLOCK)) {
        if (errno != EWOULDBLOCK) {
            return pid_file_fail(-errno, path, "cannot be locked", error_out, error_bytes);
        }
        snprintf(error_out, error_bytes,
                 "--pid-file: %s belongs to process %ld, which runs; end it, or name another file",
                 path, pid);
        return -EBUSY;
    }
    if (pid < 0) {
        snprintf(error_out, error_bytes,
                 "--pid-file: %s has something other than a process ID; remove it, or name another "
                 "file",
                 path);
        return -EEXIST;
    }
    return 0;
}

/* A locked file with our process ID, beside the path. */
static int pid_file_make(const char *name)
{
    int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0) {
        return -errno;
    }
    int error = flock(fd, LOCK_EX | LOCK_NB) < 0 ? -errno : 0;
    if (error == 0 && dprintf(fd, "%ld\n", (long)getpid()) < 0) {
        error = -errno;
    }
    if (error < 0) {
        (void)unlink(name);
        close(fd);
        return error;
    }
    return fd;
}

/* 1: another server was quicker. Where there is no file yet, link(2) decides who is first. */
static int pid_file_put(const char *name, const char *path, bool is_replaced)
{
    if (is_replaced) {
        return rename(name, path) < 0 ? -errno : 0;
    }
    int error = link(name, path) < 0 ? -errno : 0;
    (void)unlink(name);
    return error == -EEXIST ? 1 : error;
}

/* 1: to be tried again. */
static int pid_file_try(struct pid_file *file_out, const char *path, bool take_over,
                        char *error_out, size_t error_bytes)
{
    char name[PATH_MAX];
    int old_fd = -1;
    int error = pid_file_claim(path, take_over, &old_fd, error_out, error_bytes);
    bool is_replaced = error == 0;
    if (error >= 0 && !(is_replaced && !pid_file_is_at(old_fd, path))) {
        int bytes = snprintf(name, sizeof name, "%s.%ld", path, (long)getpid());
        (void)unlink(name); /* Nobody else has our process ID. */
        int fd = bytes < (int)sizeof name ? pid_file_make(name) : -ENAMETOOLONG;
        error = fd < 0 ? fd : pid_file_put(name, path, is_replaced);
        if (error < 0) {
            pid_file_fail(error, path, "cannot be written", error_out, error_bytes);
        }
        if (error == 0) {
            *file_out = (struct pid_file){.fd = fd, .path = path};
        } else if (fd >= 0) {
            (void)unlink(name);
            close(fd);
        }
    } else if (error >= 0) {
        error = 1; /* It was replaced before we had the lock. */
    }
    if (old_fd >= 0) {
        close(old_fd);
    }
    return error;
}

int pid_file_open(struct pid_file *file_out, const char *path, bool take_over, char *error_out,
                  size_t error_bytes)
{
    int error = 1;
    assert_always(path != NULL);
    for (int i = 0; error == 1 && i < PID_FILE_TRIES; i++) {
        error = pid_file_try(file_out, path, take_over, error_out, error_bytes);
    }
    if (error == 1) {
        error = pid_file_fail(-EAGAIN, path, "other servers replace it all the time", error_out,
                              error_bytes);
    }
    assert_always(error <= 0);
    return error;
}

void pid_file_remove(const struct pid_file *file)
{
    if (file->fd >= 0 && pid_file_is_at(file->fd, file->path)) {
        (void)unlink(file->path);
    }
}

void pid_file_close(struct pid_file *file)
{
    pid_file_remove(file);
    if (file->fd >= 0) {
        close(file->fd);
    }
    file->fd = -1;
}
