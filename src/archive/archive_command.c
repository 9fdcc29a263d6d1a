#include "src/archive/archive_command.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/standard_fds.h"
#include "src/archive/tar.h"
#include "src/base/file.h"
#include "src/config/options_parse.h"

#define ARCHIVE_FAILED 1
#define ARCHIVE_USAGE 2

/* The options whose values are files that the server only reads. */
static const char *const archive_options[] = {
    "config",           "market-hours",          "auth-token-file",    "tokens-file",
    "jwt-key-file",     "jwt-secret-file",       "tls-client-ca",      "tls-client-crl",
    "admin-token-file", "admin-read-token-file", "tls-ticket-key-file"};

struct archive {
    struct tar tar;
    char names[ARCHIVE_FILES_MAX][TAR_NAME_BYTES_MAX];
    uint32_t count;
    char directory[PATH_MAX]; /* the working one */
};

static int archive_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int archive_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ringcast archive: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    return ARCHIVE_FAILED;
}

/* The path from the root without the slash in front, and without "." and "..". false: it is too
 * long. */
static bool archive_name(const struct archive *archive, const char *path,
                         char name[TAR_NAME_BYTES_MAX])
{
    char whole[2 * PATH_MAX];
    size_t used = 0;
    snprintf(whole, sizeof whole, "%s/%s", path[0] == '/' ? "" : archive->directory, path);
    for (const char *at = whole; *at != '\0';) {
        size_t bytes = strcspn(at, "/");
        bool is_up = bytes == 2 && memcmp(at, "..", 2) == 0;
        if (is_up) {
            while (used > 0 && name[--used] != '/') {
            }
        } else if (bytes > 0 && !(bytes == 1 && at[0] == '.')) {
            if (used + 1 + bytes >= TAR_NAME_BYTES_MAX) {
                return false;
            }
            if (used > 0) {
                name[used++] = '/';
            }
            memcpy(name + used, at, bytes);
            used += bytes;
        }
        at += bytes + (at[bytes] == '/');
    }
    name[used] = '\0';
    return used > 0;
}

static int archive_put(struct archive *archive, const struct tar_entry *entry, const char *path)
{
    if (archive->count == ARCHIVE_FILES_MAX) {
        return archive_fail("the configuration names more than %d files", ARCHIVE_FILES_MAX);
    }
    int error = tar_add(&archive->tar, entry);
    if (error < 0) {
        return archive_fail("%s: %s", path,
                            error == -EFBIG ? "the archive would be larger than 64 MiB"
                                            : strerror(-error));
    }
    memcpy(archive->names[archive->count++], entry->name, sizeof entry->name);
    return 0;
}

static int archive_add_fd(struct archive *archive, const char *path, struct tar_entry *entry,
                          int fd)
{
    struct stat status;
    char *text;
    if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        return archive_fail("%s: it is not a regular file", path);
    }
    int error = file_read(fd, ARCHIVE_FILE_BYTES_MAX, &text, &entry->size);
    if (error < 0) {
        return archive_fail("%s: %s", path,
                            error == -EFBIG ? "it is larger than 16 MiB" : strerror(-error));
    }
    entry->mode = status.st_mode;
    entry->uid = status.st_uid;
    entry->gid = status.st_gid;
    entry->modified_s = status.st_mtime;
    entry->bytes = (const uint8_t *)text;
    int result = archive_put(archive, entry, path);
    free(text);
    return result;
}

/* path: NULL: there is none. A file that two options name is put once. */
static int archive_add(struct archive *archive, const char *path)
{
    struct tar_entry entry = {0};
    if (path == NULL) {
        return 0;
    }
    if (!archive_name(archive, path, entry.name)) {
        return archive_fail("%s: the path is too long", path);
    }
    for (uint32_t i = 0; i < archive->count; i++) {
        if (strcmp(archive->names[i], entry.name) == 0) {
            return 0;
        }
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return archive_fail("%s: %s", path, strerror(errno));
    }
    int result = archive_add_fd(archive, path, &entry, fd);
    close(fd);
    return result;
}

static int archive_add_arguments(struct archive *archive, int argc, char **argv)
{
    struct tar_entry entry = {.name = ARCHIVE_ARGUMENTS, .mode = 0600};
    char *text = NULL;
    FILE *out = open_memstream(&text, &entry.size);
    if (out == NULL) {
        return archive_fail("%s", strerror(errno));
    }
    bool is_good = strchr(archive->directory, '\n') == NULL && argc <= ARCHIVE_ARGUMENTS_MAX;
    fprintf(out, "%s\n", archive->directory);
    for (int i = 0; i < argc; i++) {
        is_good &= strchr(argv[i], '\n') == NULL;
        fprintf(out, "%s\n", argv[i]);
    }
    if (fclose(out) != 0 || text == NULL) {
        free(text);
        return archive_fail("no memory");
    }
    entry.bytes = (const uint8_t *)text;
    int result = is_good ? archive_put(archive, &entry, ARCHIVE_ARGUMENTS)
                         : archive_fail("an option has a line end, or there are more than %d",
                                        ARCHIVE_ARGUMENTS_MAX);
    free(text);
    return result;
}

static int archive_add_files(struct archive *archive, const struct options *options)
{
    int result = 0;
    for (size_t i = 0; result == 0 && i < sizeof archive_options / sizeof archive_options[0]; i++) {
        const struct option_spec *spec =
            options_find(archive_options[i], strlen(archive_options[i]));
        const char *path;
        assert_always(spec != NULL);
        assert_always(option_kind(spec) == OPTION_TEXT);
        memcpy(&path, (const char *)options + spec->offset, sizeof path);
        result = archive_add(archive, path);
    }
    for (uint32_t i = 0; result == 0 && i < options->tls.certificate_count; i++) {
        const struct tls_certificate_files *files = &options->tls.certificates[i];
        result = archive_add(archive, files->chain);
        result = result == 0 ? archive_add(archive, files->key) : result;
        result = result == 0 ? archive_add(archive, files->ocsp) : result;
    }
    return result;
}

/* A file that exists is left as it is. "-": standard output. */
static int archive_write(struct archive *archive, const char *path)
{
    bool is_output = strcmp(path, "-") == 0;
    assert_always(archive->count > 0);
    int error = tar_end(&archive->tar);
    if (error < 0) {
        return archive_fail("%s", strerror(-error));
    }
    int fd = is_output ? dup(STDOUT_FILENO)
                       : open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return archive_fail("%s: %s%s", path, strerror(errno),
                            errno == EEXIST ? "; name a file that does not exist" : "");
    }
    error = file_write(fd, archive->tar.bytes, archive->tar.size);
    error = error == 0 && !is_output && fsync(fd) < 0 ? -errno : error;
    error = close(fd) < 0 && error == 0 ? -errno : error;
    if (error < 0) {
        if (!is_output) {
            (void)unlink(path);
        }
        return archive_fail("%s: %s", path, strerror(-error));
    }
    fprintf(is_output ? stderr : stdout,
            "the archive has %u file%s, with the secrets that are in them: keep it safe\n",
            archive->count - 1, archive->count == 2 ? "" : "s");
    return standard_fds_flush("ringcast archive") ? 0 : ARCHIVE_FAILED;
}

/* argv[0]: the file; what follows are the server's options. */
static int archive_run(struct archive *archive, int argc, char **argv)
{
    static struct options options;
    char text[OPTIONS_ERROR_BYTES_MAX];
    cpu_set_t cpus;
    if (getcwd(archive->directory, sizeof archive->directory) == NULL) {
        return archive_fail("the working directory: %s", strerror(errno));
    }
    struct options_input input = options_input_here(argc, argv, &cpus);
    if (options_parse(&options, &input, text) < 0) {
        archive_fail("%s", text);
        return ARCHIVE_USAGE;
    }
    int result = archive_add_arguments(archive, argc - 1, argv + 1);
    result = result == 0 ? archive_add_files(archive, &options) : result;
    result = result == 0 ? archive_write(archive, argv[0]) : result;
    options_deinit(&options);
    return result;
}

int archive_command(int argc, char **argv)
{
    assert_always(argc > 0);
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("Usage: ringcast archive FILE [--OPTION VALUE]...\n\n"
               "Writes the configuration file, and every file that the server reads as well\n"
               "(tokens, keys, certificates, market hours), into one archive. Give the options\n"
               "with which the server is started. FILE must not exist; -: standard output.\n"
               "The archive has secrets: only its owner can read it. `ringcast restore` puts\n"
               "the files back, and tar lists them. Logs and recordings are not part of it.\n\n"
               "Example: ringcast archive backup.tar --config /etc/ringcast/ringcast.yaml\n");
        return standard_fds_flush("ringcast archive") ? 0 : ARCHIVE_FAILED;
    }
    if (argc < 2 || (argv[1][0] == '-' && argv[1][1] != '\0')) {
        archive_fail("name the file to write first: ringcast archive FILE [--OPTION VALUE]...");
        return ARCHIVE_USAGE;
    }
    struct archive *archive = calloc(1, sizeof *archive);
    if (archive == NULL) {
        return archive_fail("no memory");
    }
    int result = archive_run(archive, argc - 1, argv + 1);
    tar_deinit(&archive->tar);
    free(archive);
    return result;
}
