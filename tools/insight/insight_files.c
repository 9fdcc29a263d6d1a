#include "tools/insight/insight_files.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "codec/base/check.h"

#define REASON_BYTES_MAX 256

bool insight_files_is_id(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    const char *rest = text + digits;
    if (*rest == '.' && rest[1] != '\0') {
        rest += 1 + strspn(rest + 1, "0123456789");
    }
    return digits > 0 && *rest == '\0' && strlen(text) < sizeof((struct insight_file *)0)->id;
}

/* false: the file no longer exists. */
static bool insight_files_look(struct insight_file *file)
{
    struct counters_read read;
    struct stat status;
    if (lstat(file->path, &status) < 0) {
        return false;
    }
    file->uid = status.st_uid;
    file->error = counters_read_open(&read, file->path);
    if (file->error == 0) {
        file->is_live = counters_read_is_live(&read);
        file->header = read.header;
        counters_read_close(&read);
    } else if (file->error == -EPROTONOSUPPORT) {
        file->header = read.header;
    }
    return file->error != -ENOENT;
}

static int insight_files_compare(const void *left, const void *right)
{
    const struct insight_file *one = left;
    const struct insight_file *other = right;
    return strverscmp(one->id, other->id);
}

int insight_files_find(const char *directory, const char *wanted, struct insight_file **files_out,
                       size_t *count_out)
{
    struct insight_file *files = NULL;
    size_t count = 0;
    DIR *listing = opendir(directory);
    struct dirent *entry;
    while (listing != NULL && (entry = readdir(listing)) != NULL) {
        const char *id = entry->d_name + sizeof COUNTERS_FILE_PREFIX - 1;
        struct insight_file file = {0};
        if (strncmp(entry->d_name, COUNTERS_FILE_PREFIX, sizeof COUNTERS_FILE_PREFIX - 1) != 0 ||
            !insight_files_is_id(id) || (wanted != NULL && strcmp(id, wanted) != 0)) {
            continue;
        }
        strcpy(file.id, id);
        int bytes = snprintf(file.path, sizeof file.path, "%s/%s", directory, entry->d_name);
        if (bytes >= (int)sizeof file.path || !insight_files_look(&file)) {
            continue;
        }
        struct insight_file *grown = realloc(files, (count + 1) * sizeof *files);
        if (grown == NULL) {
            free(files);
            closedir(listing);
            return -ENOMEM;
        }
        files = grown;
        files[count++] = file;
    }
    if (listing != NULL) {
        closedir(listing);
    }
    if (count > 0) {
        qsort(files, count, sizeof *files, insight_files_compare);
    }
    *files_out = files;
    *count_out = count;
    return 0;
}

void insight_files_explain(const struct insight_file *file, char *out, size_t out_bytes)
{
    assert_always(file->error < 0);
    switch (file->error) {
    case -EACCES: {
        const struct passwd *owner = getpwuid(file->uid);
        snprintf(out, out_bytes, "it belongs to user %s (%u): only that user and root may read it",
                 owner == NULL ? "?" : owner->pw_name, file->uid);
        return;
    }
    case -EPROTONOSUPPORT:
        snprintf(
            out, out_bytes,
            "its server is too old for this program: its counters have version %u, and versions "
            "before %u cannot be read",
            file->header.version, COUNTERS_VERSION_MIN);
        return;
    case -EBADMSG:
        snprintf(out, out_bytes, "it is not a counters file of ringcast");
        return;
    case -ERANGE:
        snprintf(out, out_bytes, "it is damaged or incomplete");
        return;
    default:
        snprintf(out, out_bytes, "%s", strerror(-file->error));
    }
}

/* ---- Which one ---- */

/* The files that may be meant, by what is known of them. */
struct insight_files_choice {
    const struct insight_file *live;
    const struct insight_file *dead;
    size_t live_count, dead_count, failed_count;
};

static void insight_files_sort(struct insight_files_choice *choice,
                               const struct insight_file *files, size_t count)
{
    *choice = (struct insight_files_choice){0};
    for (size_t i = 0; i < count; i++) {
        if (files[i].error < 0) {
            choice->failed_count++;
        } else if (files[i].is_live) {
            choice->live = &files[i];
            choice->live_count++;
        } else {
            choice->dead = &files[i];
            choice->dead_count++;
        }
    }
    assert_debug(choice->live_count + choice->dead_count + choice->failed_count == count);
}

void insight_files_say_none(const char *program, const char *directory, const char *id)
{
    if (id != NULL) {
        fprintf(stderr,
                "%s: no server has process ID %s: there is no %s/" COUNTERS_FILE_PREFIX "%s\n",
                program, id, directory, id);
    } else {
        fprintf(stderr, "%s: no server runs here: there is no %s/" COUNTERS_FILE_PREFIX "PID\n",
                program, directory);
    }
    fprintf(stderr, "A server in a container is visible only if it shares %s with this program.\n",
            directory);
}

static void insight_files_say_all(const char *program, bool are_several,
                                  const struct insight_file *files, size_t count)
{
    fprintf(stderr, "%s: %s\n", program,
            are_several ? "several servers run; choose one with --pid" : "no server can be read");
    for (size_t i = 0; i < count; i++) {
        char reason[REASON_BYTES_MAX];
        snprintf(reason, sizeof reason, "%s", files[i].is_live ? "runs" : "has ended");
        if (files[i].error < 0) {
            insight_files_explain(&files[i], reason, sizeof reason);
        }
        fprintf(stderr, "  %s: %s\n", files[i].path, reason);
    }
}

bool insight_files_open(const char *program, const char *directory, const char *id,
                        struct insight_file *file_out, struct counters_read *read_out)
{
    struct insight_file *files;
    struct insight_files_choice choice;
    size_t count;
    const struct insight_file *chosen = NULL;
    if (insight_files_find(directory, id, &files, &count) < 0) {
        fprintf(stderr, "%s: out of memory\n", program);
        return false;
    }
    insight_files_sort(&choice, files, count);
    if (choice.live_count == 1) {
        chosen = choice.live;
    } else if (count == 1 && choice.dead_count == 1) {
        chosen = choice.dead;
    } else if (count == 0) {
        insight_files_say_none(program, directory, id);
    } else {
        insight_files_say_all(program, choice.live_count + choice.dead_count > 1, files, count);
    }
    assert_debug(chosen == NULL || chosen->error == 0);
    if (chosen != NULL) {
        *file_out = *chosen;
        int error = counters_read_open(read_out, chosen->path);
        if (error < 0) { /* It could be read a moment ago. */
            fprintf(stderr, "%s: %s: %s\n", program, chosen->path, strerror(-error));
            chosen = NULL;
        }
    }
    free(files);
    return chosen != NULL;
}
