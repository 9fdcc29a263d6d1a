#include "src/record/record_directory.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/time_text.h"

#define RECORD_DIRECTORY_PREFIX "ringcast-"
#define RECORD_DIRECTORY_SUFFIX ".sbe.zst"
#define RECORD_DIRECTORY_STAMP_BYTES 20 /* 20261129T223647.123Z */

int record_directory_open(struct record_directory *directory, const char *path, char *error_out,
                          size_t error_bytes)
{
    directory->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int error = directory->fd < 0 ? -errno : 0;
    if (error == 0 && faccessat(directory->fd, ".", W_OK | X_OK, AT_EACCESS) < 0) {
        error = -errno;
        close(directory->fd);
        directory->fd = -1;
    }
    if (error < 0) {
        snprintf(error_out, error_bytes, "--record: %.300s: %s; %s", path, strerror(-error),
                 error == -ENOENT    ? "create the directory (mkdir -p)"
                 : error == -ENOTDIR ? "give a directory; files are made in it"
                                     : "give a directory that the server may write to");
    }
    return error;
}

void record_directory_close(struct record_directory *directory)
{
    if (directory->fd >= 0) {
        close(directory->fd);
        directory->fd = -1;
    }
}

/* 0: it is no name of a recording. */
static uint64_t record_directory_stamp_ms(const char *name)
{
    size_t prefix_bytes = strlen(RECORD_DIRECTORY_PREFIX);
    if (strncmp(name, RECORD_DIRECTORY_PREFIX, prefix_bytes) != 0 ||
        strlen(name) < prefix_bytes + RECORD_DIRECTORY_STAMP_BYTES) {
        return 0;
    }
    char text[40];
    uint64_t ns;
    const char *stamp = name + prefix_bytes;
    snprintf(text, sizeof text, "%.4s-%.2s-%.2sT%.2s:%.2s:%.7s", stamp, stamp + 4, stamp + 6,
             stamp + 9, stamp + 11, stamp + 13);
    return time_text_parse_iso(text, strlen(text), &ns) ? ns / NS_PER_MS : 0;
}

int record_directory_lock(struct record_directory *directory, const char *path, char *error_out,
                          size_t error_bytes)
{
    assert_always(directory->fd >= 0);
    if (flock(directory->fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
        snprintf(error_out, error_bytes,
                 "--record: %.300s: another server records there; give each server a directory of "
                 "its own",
                 path);
        return -EBUSY;
    }
    int fd = openat(directory->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = fd < 0 ? NULL : fdopendir(fd);
    if (entries == NULL) {
        int error = -errno;
        snprintf(error_out, error_bytes, "--record: %.300s cannot be listed: %s", path,
                 strerror(-error));
        if (fd >= 0) {
            close(fd);
        }
        return error;
    }
    for (struct dirent *entry = readdir(entries); entry != NULL; entry = readdir(entries)) {
        uint64_t ms = record_directory_stamp_ms(entry->d_name);
        directory->newest_ms = ms > directory->newest_ms ? ms : directory->newest_ms;
    }
    closedir(entries);
    return 0;
}

void record_directory_name(struct record_directory *directory, uint64_t wall_ns,
                           char name_out[RECORD_DIRECTORY_NAME_BYTES_MAX])
{
    uint64_t ms = wall_ns / NS_PER_MS;
    ms = ms > directory->newest_ms ? ms : directory->newest_ms + 1;
    directory->newest_ms = ms;
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char stamp[24];
    gmtime_r(&seconds, &tm);
    size_t stamp_bytes = strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%S", &tm);
    assert_always(stamp_bytes > 0);
    int bytes = snprintf(name_out, RECORD_DIRECTORY_NAME_BYTES_MAX,
                         RECORD_DIRECTORY_PREFIX "%s.%03" PRIu64 "Z" RECORD_DIRECTORY_SUFFIX, stamp,
                         ms % 1000);
    assert_always(bytes < RECORD_DIRECTORY_NAME_BYTES_MAX);
}
