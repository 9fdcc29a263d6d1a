#include "src/tls/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "src/base/file.h"

/* Negative errno. -EISDIR, -ENOTSUP: not a regular file. */
static int tls_files_read_open(struct tls_file *file, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode)) {
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENOTSUP;
    }
    file->is_open_to_others = (status.st_mode & S_IROTH) != 0;
    return file_read(fd, TLS_FILES_BYTES_MAX, &file->text, &file->bytes);
}

int tls_files_read(struct tls_file *file_out, const char *option, const char *path,
                   char error_out[TLS_ERROR_BYTES_MAX])
{
    /* O_NONBLOCK: a FIFO must not stop the server. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    int error = fd < 0 ? -errno : tls_files_read_open(file_out, fd);
    if (fd >= 0) {
        close(fd);
    }
    switch (error) {
    case 0:
        assert_always(file_out->text != NULL);
        return 0;
    case -EFBIG:
        return tls_error_write(error_out, -EINVAL, option, path,
                               "the file must have at most 4 MiB; correct the path");
    case -ENOTSUP:
        return tls_error_write(error_out, -EINVAL, option, path,
                               "it must be a regular file, because a reload reads it again; "
                               "write it to a file");
    case -EACCES:
        return tls_error_write(error_out, -EINVAL, option, path,
                               "Permission denied: the user of the server must be able to read it");
    default:
        return tls_error_write(error_out, error == -ENOMEM ? error : -EINVAL, option, path, "%s",
                               strerror(-error));
    }
}

void tls_files_free(struct tls_file *file)
{
    if (file->text != NULL) {
        OPENSSL_cleanse(file->text, file->bytes);
        free(file->text);
    }
    *file = (struct tls_file){0};
}

/* FNV-1a: https://datatracker.ietf.org/doc/draft-eastlake-fnv */
static uint64_t tls_files_mix(uint64_t hash, uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++) {
        hash = (hash ^ (value >> 8 * i & 0xff)) * 0x100000001b3;
    }
    return hash;
}

/* The time of the last change of the inode moves with each write, rename, chmod and chown. */
static uint64_t tls_files_mix_file(uint64_t hash, const char *path)
{
    struct stat status;
    if (path == NULL) {
        return tls_files_mix(hash, 0);
    }
    if (stat(path, &status) < 0) {
        return tls_files_mix(hash, (uint64_t)errno);
    }
    hash = tls_files_mix(hash, status.st_dev);
    hash = tls_files_mix(hash, status.st_ino);
    hash = tls_files_mix(hash, (uint64_t)status.st_size);
    hash = tls_files_mix(hash, (uint64_t)status.st_ctim.tv_sec);
    return tls_files_mix(hash, (uint64_t)status.st_ctim.tv_nsec);
}

uint64_t tls_files_stamp(const struct tls_options *options)
{
    assert_always(options->certificate_count <= TLS_CERTIFICATES_MAX);
    uint64_t hash = 0xcbf29ce484222325;
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        hash = tls_files_mix_file(hash, options->certificates[i].chain);
        hash = tls_files_mix_file(hash, options->certificates[i].key);
        hash = tls_files_mix_file(hash, options->certificates[i].ocsp);
    }
    hash = tls_files_mix_file(hash, options->client_ca);
    hash = tls_files_mix_file(hash, options->client_crl);
    return tls_files_mix_file(hash, options->ticket_key_file);
}
