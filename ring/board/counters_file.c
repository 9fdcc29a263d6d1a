#include "ring/board/counters_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/board/counters_format.h"

#define COUNTERS_FILE_NAMES_MAX 64 /* of one process ID */

static int counters_file_lock(int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &lock) < 0 ? -errno : 0;
}

bool counters_file_is_live(int fd)
{
    struct flock lock = {.l_type = F_RDLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int counters_file_open(struct counters_file *file_out, const char *directory, size_t bytes)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    int error = counters_file_lock(fd);
    if (error == 0) {
        /* Reserve the room now: a full disk must not be a SIGBUS later. */
        error = -posix_fallocate(fd, 0, (off_t)bytes);
    }
    if (error < 0) {
        close(fd);
        return error;
    }
    *file_out = (struct counters_file){.fd = fd};
    return 0;
}

/* The first call needs CAP_DAC_READ_SEARCH before Linux 6.10, the second one needs /proc. */
static int counters_file_link(int fd, const char *path)
{
    char own[32];
    snprintf(own, sizeof own, "/proc/self/fd/%d", fd);
    if (linkat(fd, "", AT_FDCWD, path, AT_EMPTY_PATH) == 0 ||
        (errno == ENOENT && linkat(AT_FDCWD, own, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)) {
        return 0;
    }
    return -errno;
}

/* Removes the name if it is this file's. The caller holds the file's lock, so nobody else does. */
static void counters_file_unlink(const char *path, int fd)
{
    struct stat named;
    struct stat own;
    if (fstat(fd, &own) == 0 && lstat(path, &named) == 0 && named.st_dev == own.st_dev &&
        named.st_ino == own.st_ino) {
        (void)unlink(path);
    }
}

/* Whether the file is our user's, and a missing lock says that its server is dead. Servers of
 * version 5 and before hold no lock: they live while their process ID does. */
static bool counters_file_is_judged_by_lock(int fd, pid_t pid)
{
    struct stat status;
    struct counters_header header = {0};
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_uid != geteuid()) {
        return false;
    }
    bool is_known = pread(fd, &header, sizeof header, 0) == (ssize_t)sizeof header &&
                    header.magic == COUNTERS_MAGIC && header.version >= COUNTERS_VERSION_MIN;
    return is_known || (kill(pid, 0) < 0 && errno == ESRCH);
}

static void counters_file_remove_if_dead(const char *path, pid_t pid)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        return;
    }
    if (counters_file_is_judged_by_lock(fd, pid) && counters_file_lock(fd) == 0) {
        counters_file_unlink(path, fd);
    }
    close(fd);
}

void counters_file_remove_dead(const char *directory)
{
    size_t prefix_bytes = sizeof COUNTERS_FILE_PREFIX - 1;
    DIR *listing = opendir(directory);
    if (listing == NULL) {
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(listing)) != NULL) {
        if (strncmp(entry->d_name, COUNTERS_FILE_PREFIX, prefix_bytes) != 0) {
            continue;
        }
        char path[sizeof((struct counters_file *)0)->path];
        char *end;
        long pid = strtol(entry->d_name + prefix_bytes, &end, 10);
        if (*end == '.') {
            (void)strtoul(end + 1, &end, 10);
        }
        int path_bytes = snprintf(path, sizeof path, "%s/%s", directory, entry->d_name);
        if (pid > 0 && *end == '\0' && path_bytes < (int)sizeof path) {
            counters_file_remove_if_dead(path, (pid_t)pid);
        }
    }
    closedir(listing);
}

int counters_file_publish(struct counters_file *file, const char *directory)
{
    int error = -EEXIST;
    assert_always(file->fd >= 0);
    assert_always(file->path[0] == '\0');
    for (uint32_t number = 1; error == -EEXIST && number <= COUNTERS_FILE_NAMES_MAX; number++) {
        int bytes = snprintf(file->path, sizeof file->path, "%s/" COUNTERS_FILE_PREFIX "%ld",
                             directory, (long)getpid());
        if (number > 1 && bytes < (int)sizeof file->path) {
            bytes += snprintf(file->path + bytes, sizeof file->path - (size_t)bytes, ".%u", number);
        }
        error = bytes < (int)sizeof file->path ? 0 : -ENAMETOOLONG;
        if (error == 0) {
            counters_file_remove_if_dead(file->path, getpid());
            error = counters_file_link(file->fd, file->path);
        }
    }
    if (error < 0) {
        file->path[0] = '\0';
    }
    return error;
}

void counters_file_remove(const struct counters_file *file)
{
    if (file->path[0] != '\0') {
        assert_always(file->fd >= 0);
        counters_file_unlink(file->path, file->fd);
    }
}

void counters_file_close(struct counters_file *file)
{
    counters_file_remove(file);
    if (file->fd >= 0) {
        close(file->fd);
    }
    *file = (struct counters_file){.fd = -1};
}
