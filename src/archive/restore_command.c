#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/standard_fds.h"
#include "src/archive/archive_command.h"
#include "src/archive/tar.h"
#include "src/base/file.h"

#define RESTORE_FAILED 1
#define RESTORE_USAGE 2
#define RESTORE_STAGED ".restored" /* A file has this name until all are written, */
#define RESTORE_KEPT ".replaced"   /* and the one before it this name until the check is over. */
#define RESTORE_PATH_BYTES_MAX (PATH_MAX - 16)

struct restore_file {
    struct tar_entry entry;
    char path[RESTORE_PATH_BYTES_MAX];
    bool is_staged, is_kept, is_placed;
};

struct restore {
    const char *archive;
    const char *folder; /* "": the root */
    bool replaces;
    char *bytes;
    size_t size;
    char *arguments[ARCHIVE_ARGUMENTS_MAX + 3]; /* of the check; the first is the program */
    char *directory;                            /* in which it runs; NULL: nothing is known */
    char *lines;
    uint32_t count;
    struct restore_file files[ARCHIVE_FILES_MAX];
};

static int restore_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));
static int restore_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "ringcast restore: ");
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\n");
    va_end(arguments);
    return RESTORE_FAILED;
}

/* ---- Reading ---- */

static int restore_read(struct restore *restore)
{
    bool is_input = strcmp(restore->archive, "-") == 0;
    int fd = is_input ? dup(STDIN_FILENO) : open(restore->archive, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return restore_fail("%s: %s", restore->archive, strerror(errno));
    }
    int error = file_read(fd, TAR_BYTES_MAX, &restore->bytes, &restore->size);
    close(fd);
    return error < 0 ? restore_fail("%s: %s", restore->archive,
                                    error == -EFBIG ? "it is larger than 64 MiB" : strerror(-error))
                     : 0;
}

/* The working directory, and the options. */
static int restore_take_arguments(struct restore *restore, const struct tar_entry *entry)
{
    int count = 0;
    free(restore->lines);
    restore->lines = strndup((const char *)entry->bytes, entry->size);
    if (restore->lines == NULL) {
        return restore_fail("no memory");
    }
    restore->arguments[count++] = (char *)(uintptr_t) "ringcast";
    char *rest = restore->lines;
    restore->directory = strsep(&rest, "\n");
    while (rest != NULL && *rest != '\0') { /* A line may be empty, as an option may. */
        if (count > ARCHIVE_ARGUMENTS_MAX) {
            return restore_fail("%s: it has more than %d options", restore->archive,
                                ARCHIVE_ARGUMENTS_MAX);
        }
        restore->arguments[count++] = strsep(&rest, "\n");
    }
    restore->arguments[count++] = (char *)(uintptr_t) "--check-config";
    restore->arguments[count] = NULL;
    return 0;
}

static int restore_take(struct restore *restore, const struct tar_entry *entry)
{
    if (strcmp(entry->name, ARCHIVE_ARGUMENTS) == 0) {
        return restore_take_arguments(restore, entry);
    }
    if (restore->count == ARCHIVE_FILES_MAX) {
        return restore_fail("%s: it has more than %d files", restore->archive, ARCHIVE_FILES_MAX);
    }
    struct restore_file *file = &restore->files[restore->count++];
    file->entry = *entry;
    int bytes = snprintf(file->path, sizeof file->path, "%s/%s", restore->folder, entry->name);
    return bytes < (int)sizeof file->path ? 0
                                          : restore_fail("%s: the path is too long", entry->name);
}

static int restore_parse(struct restore *restore)
{
    size_t at = 0;
    struct tar_entry entry;
    const char *fault;
    int status;
    while ((status = tar_next((const uint8_t *)restore->bytes, restore->size, &at, &entry,
                              &fault)) > 0) {
        int result = restore_take(restore, &entry);
        if (result != 0) {
            return result;
        }
    }
    if (status == 0 && restore->directory == NULL) {
        fault = "`ringcast archive` has not made it: it has no " ARCHIVE_ARGUMENTS;
        status = -EINVAL;
    }
    return status < 0 ? restore_fail("%s: %s", restore->archive, fault) : 0;
}

/* ---- Writing ---- */

/* Makes the folders above the file. */
static int restore_make_folders(const char *path)
{
    char folder[RESTORE_PATH_BYTES_MAX];
    snprintf(folder, sizeof folder, "%s", path);
    for (char *at = strchr(folder + 1, '/'); at != NULL; at = strchr(at + 1, '/')) {
        *at = '\0';
        if (mkdir(folder, 0755) < 0 && errno != EEXIST) {
            return -errno;
        }
        *at = '/';
    }
    return 0;
}

static void restore_name(const struct restore_file *file, const char *suffix, char out[PATH_MAX])
{
    snprintf(out, PATH_MAX, "%s%s", file->path, suffix);
}

static int restore_fill(int fd, const struct tar_entry *entry)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_NOW}, {.tv_sec = entry->modified_s}};
    int error = file_write(fd, entry->bytes, entry->size);
    if (error == 0 && geteuid() == 0 && fchown(fd, entry->uid, entry->gid) < 0) {
        error = -errno;
    }
    if (error == 0 &&
        (fchmod(fd, entry->mode & 0777) < 0 || futimens(fd, times) < 0 || fsync(fd) < 0)) {
        error = -errno;
    }
    return error;
}

/* Beside its place, so that a disk that is full changes nothing. */
static int restore_stage(struct restore_file *file)
{
    char name[PATH_MAX];
    assert_always(!file->is_staged);
    restore_name(file, RESTORE_STAGED, name);
    int error = restore_make_folders(file->path);
    int fd =
        error < 0 ? -1 : open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return restore_fail("%s: %s", name, strerror(error < 0 ? -error : errno));
    }
    file->is_staged = true;
    error = restore_fill(fd, &file->entry);
    close(fd);
    return error < 0 ? restore_fail("%s: %s", name, strerror(-error)) : 0;
}

static int restore_place(struct restore_file *file)
{
    char staged[PATH_MAX];
    char kept[PATH_MAX];
    assert_always(file->is_staged);
    assert_always(!file->is_kept);
    restore_name(file, RESTORE_STAGED, staged);
    restore_name(file, RESTORE_KEPT, kept);
    /* A second name leaves its place never empty; some file systems have none. */
    if (link(file->path, kept) == 0 || (errno != ENOENT && rename(file->path, kept) == 0)) {
        file->is_kept = true;
    } else if (errno != ENOENT) {
        return restore_fail("%s: %s", file->path, strerror(errno));
    }
    if (rename(staged, file->path) < 0) {
        return restore_fail("%s: %s", file->path, strerror(errno));
    }
    file->is_staged = false;
    file->is_placed = true;
    return 0;
}

/* As it was before, except for folders that were made. */
static void restore_undo(struct restore *restore)
{
    for (uint32_t i = 0; i < restore->count; i++) {
        struct restore_file *file = &restore->files[i];
        char name[PATH_MAX];
        restore_name(file, RESTORE_STAGED, name);
        if (file->is_staged) {
            (void)unlink(name);
        }
        restore_name(file, RESTORE_KEPT, name);
        if (file->is_kept && rename(name, file->path) < 0) {
            restore_fail("%s has the file of before: %s", name, strerror(errno));
        } else if (file->is_kept) {
            (void)unlink(name); /* A name of the file that is in its place. */
        } else if (file->is_placed) {
            (void)unlink(file->path);
        }
    }
}

static void restore_forget_kept(const struct restore *restore)
{
    for (uint32_t i = 0; i < restore->count; i++) {
        char name[PATH_MAX];
        restore_name(&restore->files[i], RESTORE_KEPT, name);
        if (restore->files[i].is_kept) {
            (void)unlink(name);
        }
    }
}

/* The server itself judges what is in place by now. */
static int restore_check(struct restore *restore)
{
    posix_spawn_file_actions_t actions;
    pid_t child;
    int status = -1;
    assert_always(restore->directory != NULL);
    assert_always(restore->arguments[0] != NULL);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, restore->directory);
    posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
    int error = posix_spawn(&child, "/proc/self/exe", &actions, NULL, restore->arguments, environ);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) {
        return restore_fail("the check cannot run in %s: %s", restore->directory, strerror(error));
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    return status == 0 ? 0 : restore_fail("the configuration of the archive is not good");
}

/* Whether a restore that was killed has left a file of the suffix. */
static bool restore_is_left(const struct restore_file *file, const char *suffix)
{
    char name[PATH_MAX];
    struct stat status;
    restore_name(file, suffix, name);
    bool is_left = lstat(name, &status) == 0;
    if (is_left) {
        restore_fail("%s exists, perhaps from a restore that was interrupted: %s", name,
                     strcmp(suffix, RESTORE_KEPT) == 0
                         ? "it is the file of before; move it back, or remove it"
                         : "remove it");
    }
    return is_left;
}

static int restore_find_obstacle(const struct restore *restore)
{
    struct stat status;
    for (uint32_t i = 0; i < restore->count; i++) {
        const char *path = restore->files[i].path;
        if (restore_is_left(&restore->files[i], RESTORE_KEPT) ||
            restore_is_left(&restore->files[i], RESTORE_STAGED)) {
            return RESTORE_FAILED;
        }
        bool exists = lstat(path, &status) == 0;
        if (exists && !restore->replaces) {
            return restore_fail("%s exists; --force replaces files", path);
        }
        if (exists && S_ISDIR(status.st_mode)) {
            return restore_fail("%s is a folder", path);
        }
    }
    return 0;
}

static int restore_write(struct restore *restore)
{
    sigset_t signals;
    sigset_t before;
    sigemptyset(&signals);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, &before); /* They end the check, or wait for the end here. */
    int result = restore_find_obstacle(restore);
    for (uint32_t i = 0; result == 0 && i < restore->count; i++) {
        result = restore_stage(&restore->files[i]);
    }
    for (uint32_t i = 0; result == 0 && i < restore->count; i++) {
        result = restore_place(&restore->files[i]);
    }
    if (result == 0 && restore->folder[0] == '\0') {
        result = restore_check(restore);
    }
    if (result == 0) {
        restore_forget_kept(restore);
    } else {
        restore_undo(restore);
        restore_fail("nothing is restored");
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    return result;
}

/* ---- The command ---- */

static int restore_run(struct restore *restore)
{
    int result = restore_read(restore);
    result = result == 0 ? restore_parse(restore) : result;
    result = result == 0 ? restore_write(restore) : result;
    for (uint32_t i = 0; result == 0 && i < restore->count; i++) {
        printf("%s\n", restore->files[i].path);
    }
    if (result == 0) {
        printf("%u files are restored. A running server takes them by a reload or a restart\n",
               restore->count);
    }
    return standard_fds_flush("ringcast restore") ? result : RESTORE_FAILED;
}

/* false: wrong usage. */
static bool restore_take_words(struct restore *restore, int argc, char **argv)
{
    assert_always(argc > 0);
    restore->folder = "";
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--force") == 0) {
            restore->replaces = true;
        } else if (strcmp(argv[i], "--to") == 0 && i + 1 < argc && argv[i + 1][0] != '\0') {
            restore->folder = argv[++i];
        } else if (restore->archive == NULL && (argv[i][0] != '-' || argv[i][1] == '\0')) {
            restore->archive = argv[i];
        } else {
            return false;
        }
    }
    return restore->archive != NULL;
}

int restore_command(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        printf("Usage: ringcast restore FILE [--to DIR] [--force]\n\n"
               "Puts the files of an archive of `ringcast archive` back where they were, checks\n"
               "the configuration as the server does, and undoes all of it if the check fails.\n"
               "FILE -: standard input. Owners are restored for root only.\n\n"
               "  --to DIR   put them below this folder instead, without a check\n"
               "  --force    replace files that exist\n");
        return standard_fds_flush("ringcast restore") ? 0 : RESTORE_FAILED;
    }
    struct restore *restore = calloc(1, sizeof *restore);
    if (restore == NULL) {
        return restore_fail("no memory");
    }
    int result = RESTORE_USAGE;
    if (restore_take_words(restore, argc, argv)) {
        result = restore_run(restore);
    } else {
        restore_fail("usage: ringcast restore FILE [--to DIR] [--force]");
    }
    free(restore->bytes);
    free(restore->lines);
    free(restore);
    return result;
}
