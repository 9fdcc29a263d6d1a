#include "src/base/log_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_FILE_MODE 0640
#define LOG_FILE_DIRECTORY_MODE 0755

/* Of "/var/log/x": "/var/log"; of "x": ".". false: the path is too long. */
static bool log_file_parent(char parent[PATH_MAX], const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t bytes = slash == NULL ? 0 : (size_t)(slash - path);
    if (bytes >= PATH_MAX) {
        return false;
    }
    memcpy(parent, path, bytes);
    parent[bytes] = '\0';
    if (bytes == 0) {
        strcpy(parent, slash == NULL ? "." : "/");
    }
    return true;
}

/* O_NONBLOCK: a FIFO that nobody reads is an error, not a wait. */
static int log_file_try(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  LOG_FILE_MODE);
    return fd < 0 ? -errno : fd;
}

int log_file_open(const char *path)
{
    char parent[PATH_MAX];
    int fd = log_file_try(path);
    if (fd == -ENOENT && log_file_parent(parent, path)) {
        if (mkdir(parent, LOG_FILE_DIRECTORY_MODE) < 0 && errno != EEXIST) {
            return -errno;
        }
        fd = log_file_try(path);
    }
    return fd;
}

static int log_file_may_write(const char *path, int mode)
{
    return access(path, mode) < 0 ? -errno : 0;
}

int log_file_check(const char *path)
{
    char parent[PATH_MAX];
    char grandparent[PATH_MAX];
    struct stat found;
    if (stat(path, &found) == 0) {
        return S_ISDIR(found.st_mode) ? -EISDIR : log_file_may_write(path, W_OK);
    }
    int error = -errno;
    if (error != -ENOENT || !log_file_parent(parent, path)) {
        return error;
    }
    error = log_file_may_write(parent, W_OK | X_OK);
    if (error == -ENOENT && log_file_parent(grandparent, parent)) {
        error = log_file_may_write(grandparent, W_OK | X_OK);
    }
    return error;
}

bool log_file_is_journal(int fd, const char *value)
{
    uintmax_t device;
    uintmax_t inode;
    struct stat found;
    return value != NULL && sscanf(value, "%ju:%ju", &device, &inode) == 2 &&
           fstat(fd, &found) == 0 && device == (uintmax_t)found.st_dev &&
           inode == (uintmax_t)found.st_ino;
}
