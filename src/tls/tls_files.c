#include "src/tls/tls_files.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/keyed_hash.h"
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

/* The time of the last change of the inode moves with each write, rename, chmod and chown. */
static void tls_files_mix(uint64_t v[4], const char *path)
{
    struct stat status;
    if (path == NULL) {
        keyed_hash_take(v, 0);
        return;
    }
    if (stat(path, &status) < 0) {
        keyed_hash_take(v, (uint64_t)errno);
        return;
    }
    keyed_hash_take(v, status.st_dev);
    keyed_hash_take(v, status.st_ino);
    keyed_hash_take(v, (uint64_t)status.st_size);
    keyed_hash_take(v, (uint64_t)status.st_ctim.tv_sec);
    keyed_hash_take(v, (uint64_t)status.st_ctim.tv_nsec);
}

uint64_t tls_files_stamp(const struct tls_options *options)
{
    static const struct keyed_hash hash; /* Nobody gains by two stamps that are alike. */
    uint64_t v[4];
    assert_always(options->certificate_count <= TLS_CERTIFICATES_MAX);
    keyed_hash_begin(&hash, v);
    for (uint32_t i = 0; i < options->certificate_count; i++) {
        tls_files_mix(v, options->certificates[i].chain);
        tls_files_mix(v, options->certificates[i].key);
        tls_files_mix(v, options->certificates[i].ocsp);
    }
    tls_files_mix(v, options->client_ca);
    tls_files_mix(v, options->client_crl);
    tls_files_mix(v, options->ticket_key_file);
    return keyed_hash_end(v);
}
