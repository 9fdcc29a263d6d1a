#include "src/admin/dump_proc.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/units.h"
#include "src/base/file.h"

#define DUMP_PROC_LINE_BYTES_MAX 1024
#define DUMP_PROC_COPY_BYTES_MAX (64 * MIB) /* a bound, for what grows while it is read */

static int dump_proc_put(int fd, const char *text)
{
    return file_write(fd, text, strlen(text));
}

int dump_proc_copy(const char *path, int fd)
{
    char bytes[16 * KIB];
    int from = open(path, O_RDONLY | O_CLOEXEC);
    if (from < 0) {
        snprintf(bytes, sizeof bytes, "%s cannot be read: %s\n", path, strerror(errno));
        return dump_proc_put(fd, bytes);
    }
    int error = 0;
    for (size_t done = 0; done < DUMP_PROC_COPY_BYTES_MAX && error == 0;) {
        ssize_t count = read(from, bytes, sizeof bytes);
        if (count <= 0) {
            break;
        }
        error = file_write(fd, bytes, (size_t)count);
        done += (size_t)count;
    }
    close(from);
    return error;
}

/* The first line of a small file; "": it cannot be read. */
static void dump_proc_read_line(int directory, const char *path, char *out, size_t out_bytes)
{
    int fd = openat(directory, path, O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? 0 : read(fd, out, out_bytes - 1);
    out[count > 0 ? count : 0] = '\0';
    out[strcspn(out, "\n")] = '\0';
    if (fd >= 0) {
        close(fd);
    }
}

static int dump_proc_thread(int directory, const char *tid, int fd)
{
    static const char *const names[] = {"comm", "wchan", "stat", "schedstat"};
    char path[NAME_MAX + 16];
    char value[DUMP_PROC_LINE_BYTES_MAX];
    int error = dump_proc_put(fd, tid);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && error == 0; i++) {
        char line[DUMP_PROC_LINE_BYTES_MAX + 16];
        snprintf(path, sizeof path, "%s/%s", tid, names[i]);
        dump_proc_read_line(directory, path, value, sizeof value);
        snprintf(line, sizeof line, " %s=%s", names[i], value);
        error = dump_proc_put(fd, line);
    }
    return error == 0 ? dump_proc_put(fd, "\n") : error;
}

static int dump_proc_fd(int directory, const char *number, int fd)
{
    char value[DUMP_PROC_LINE_BYTES_MAX];
    char line[DUMP_PROC_LINE_BYTES_MAX + NAME_MAX];
    ssize_t count = readlinkat(directory, number, value, sizeof value - 1);
    value[count > 0 ? count : 0] = '\0';
    snprintf(line, sizeof line, "%s %s\n", number, value);
    return dump_proc_put(fd, line);
}

/* put(directory, name of an entry, fd) for each entry of a directory. */
static int dump_proc_each(const char *path, int (*put)(int directory, const char *name, int fd),
                          int fd)
{
    char text[DUMP_PROC_LINE_BYTES_MAX];
    const struct dirent *entry;
    DIR *directory = opendir(path);
    if (directory == NULL) {
        snprintf(text, sizeof text, "%s cannot be read: %s\n", path, strerror(errno));
        return dump_proc_put(fd, text);
    }
    int error = 0;
    while (error == 0 && (entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] != '.') {
            error = put(dirfd(directory), entry->d_name, fd);
        }
    }
    closedir(directory);
    return error;
}

int dump_proc_threads(int fd)
{
    return dump_proc_each("/proc/self/task", dump_proc_thread, fd);
}

int dump_proc_fds(int fd)
{
    return dump_proc_each("/proc/self/fd", dump_proc_fd, fd);
}
