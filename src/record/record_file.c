#include "src/record/record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "codec/base/check.h"

#define RECORD_FILE_LEVEL 1 /* decision 66 has the figures of others */

int record_file_create(struct record_file *file, int directory_fd)
{
    *file = (struct record_file){.directory_fd = directory_fd, .fd = -1};
    file->out_capacity = ZSTD_CStreamOutSize();
    file->out = malloc(file->out_capacity);
    file->zstd = ZSTD_createCCtx();
    if (file->out == NULL || file->zstd == NULL) {
        record_file_destroy(file);
        return -ENOMEM;
    }
    size_t level = ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_compressionLevel, RECORD_FILE_LEVEL);
    size_t checksum = ZSTD_CCtx_setParameter(file->zstd, ZSTD_c_checksumFlag, 1);
    assert_always(!ZSTD_isError(level) && !ZSTD_isError(checksum));
    return 0;
}

void record_file_destroy(struct record_file *file)
{
    assert_always(file->fd < 0);
    ZSTD_freeCCtx(file->zstd);
    free(file->out);
}

int record_file_begin(struct record_file *file, const char *name)
{
    assert_always(file->fd < 0);
    assert_always(strlen(name) < sizeof file->name);
    strcpy(file->name, name);
    file->fd = openat(file->directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file->fd < 0) {
        return -errno;
    }
    file->bytes = 0;
    file->out_bytes = 0;
    ZSTD_CCtx_reset(file->zstd, ZSTD_reset_session_only);
    return 0;
}

static int record_file_write(struct record_file *file)
{
    size_t written = 0;
    while (written < file->out_bytes) {
        ssize_t bytes = write(file->fd, file->out + written, file->out_bytes - written);
        if (bytes < 0 && errno != EINTR) {
            return -errno;
        }
        bytes = bytes < 0 ? 0 : bytes;
        written += (size_t)bytes;
        file->bytes += (uint64_t)bytes;
        file->all_bytes += (uint64_t)bytes;
    }
    file->out_bytes = 0;
    return 0;
}

static int record_file_compress(struct record_file *file, const void *bytes, size_t count,
                                ZSTD_EndDirective end)
{
    ZSTD_inBuffer in = {.src = bytes, .size = count};
    assert_always(file->fd >= 0);
    for (;;) {
        ZSTD_outBuffer out = {file->out, file->out_capacity, file->out_bytes};
        size_t left = ZSTD_compressStream2(file->zstd, &out, &in, end);
        if (ZSTD_isError(left)) {
            return -ENOMEM; /* The only error that can come of these parameters. */
        }
        file->out_bytes = out.pos;
        bool is_done = end == ZSTD_e_continue ? in.pos == in.size : left == 0;
        int error = is_done && end == ZSTD_e_continue ? 0 : record_file_write(file);
        if (error < 0 || is_done) {
            return error;
        }
    }
}

int record_file_append(struct record_file *file, const void *bytes, size_t count)
{
    return record_file_compress(file, bytes, count, ZSTD_e_continue);
}

int record_file_flush(struct record_file *file)
{
    struct stat status;
    int error = record_file_compress(file, NULL, 0, ZSTD_e_flush);
    if (error == 0 && fstat(file->fd, &status) == 0 && status.st_nlink == 0) {
        error = -ENOENT; /* Somebody has deleted it. */
    }
    if (error == 0) {
        /* Begun now, the writing leaves little to wait for at the end. */
        (void)sync_file_range(file->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
    return error;
}

int record_file_end(struct record_file *file)
{
    int error = record_file_compress(file, NULL, 0, ZSTD_e_end);
    if (error == 0 && fsync(file->fd) < 0) {
        error = -errno;
    }
    if (error == 0) {
        error = close(file->fd) < 0 ? -errno : 0;
        file->fd = -1;
        (void)fsync(file->directory_fd); /* Not every file system can do that. */
    }
    return error;
}

void record_file_abandon(struct record_file *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
        if (file->bytes == 0) {
            (void)unlinkat(file->directory_fd, file->name, 0);
        }
    }
}
