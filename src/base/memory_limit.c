#include "src/base/memory_limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define MEMORY_LIMIT_LEVELS_MAX 64
#define MEMORY_LIMIT_V1_NONE (UINT64_C(1) << 62) /* and more: how version 1 says "no limit" */

/* How a version of cgroups calls its files. */
struct memory_limit_version {
    const char *file_system;
    const char *controller; /* in a line of /proc/self/cgroup, and in the mount's options */
    const char *limit, *usage;
    const char *inactive; /* the line of memory.stat */
};

static const struct memory_limit_version memory_limit_versions[] = {
    {"cgroup2", "", "memory.max", "memory.current", "inactive_file "},
    {"cgroup", "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
};

struct memory_limit_mount {
    char root[MEMORY_LIMIT_PATH_BYTES_MAX];  /* the cgroup that is mounted, */
    char point[MEMORY_LIMIT_PATH_BYTES_MAX]; /* and where */
};

/* Whether a list, divided by commas, has the word; an empty list has the empty word only. */
static bool memory_limit_lists(const char *list, const char *word)
{
    size_t word_bytes = strlen(word);
    for (const char *at = list;; at++) {
        size_t bytes = strcspn(at, ",\n");
        if (bytes == word_bytes && memcmp(at, word, bytes) == 0) {
            return true;
        }
        at += bytes;
        if (*at != ',') {
            return false;
        }
    }
}

static FILE *memory_limit_open(const char *root, const char *path)
{
    char whole[2 * MEMORY_LIMIT_PATH_BYTES_MAX];
    int bytes = snprintf(whole, sizeof whole, "%s%s", root, path);
    return bytes < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

/* The path of "hierarchy:controllers:path" whose controllers have ours. */
static bool memory_limit_find_group(const char *root, const struct memory_limit_version *version,
                                    char path_out[MEMORY_LIMIT_PATH_BYTES_MAX])
{
    char line[MEMORY_LIMIT_PATH_BYTES_MAX];
    bool is_found = false;
    FILE *file = memory_limit_open(root, "/proc/self/cgroup");
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        is_found = memory_limit_lists(controllers + 1, version->controller);
        if (is_found) {
            assert_always(strlen(path) < MEMORY_LIMIT_PATH_BYTES_MAX);
            memcpy(path_out, path, strlen(path) + 1);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* Blanks and the like come as \040. */
static void memory_limit_unescape(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0';) {
        bool is_escape = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' &&
                         at[2] <= '7' && at[3] >= '0' && at[3] <= '7';
        *to++ = is_escape ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0') : *at;
        at += is_escape ? 4 : 1;
    }
    *to = '\0';
}

/* A line of mountinfo: "36 35 98:0 ROOT POINT options [more] - TYPE source superoptions". */
static bool memory_limit_read_mount(const char *line, const struct memory_limit_version *version,
                                    struct memory_limit_mount *mount_out)
{
    char type[32] = "";
    char options[512] = "";
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(rest, " - %31s %*s %511s", type, options) != 2 ||
        strcmp(type, version->file_system) != 0 ||
        (version->controller[0] != '\0' && !memory_limit_lists(options, version->controller)) ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", mount_out->root, mount_out->point) != 2) {
        return false;
    }
    memory_limit_unescape(mount_out->root);
    memory_limit_unescape(mount_out->point);
    return true;
}

static bool memory_limit_find_mount(const char *root, const struct memory_limit_version *version,
                                    struct memory_limit_mount *mount_out)
{
    char *line = NULL;
    size_t line_bytes = 0;
    bool is_found = false;
    FILE *file = memory_limit_open(root, "/proc/self/mountinfo");
    while (file != NULL && !is_found && getline(&line, &line_bytes, file) > 0) {
        is_found = memory_limit_read_mount(line, version, mount_out);
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* The number after a word at the beginning of a line, or of the file; false: there is none. */
static bool memory_limit_number(const char *root, const char *folder, const char *name,
                                const char *word, uint64_t *number_out)
{
    char path[MEMORY_LIMIT_PATH_BYTES_MAX + 64];
    char line[256];
    bool is_found = false;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = memory_limit_open(root, path);
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        size_t word_bytes = strlen(word);
        char *end;
        if (strncmp(line, word, word_bytes) == 0) {
            *number_out = strtoull(line + word_bytes, &end, 10);
            is_found = end != line + word_bytes;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

static void memory_limit_look(struct memory_limit *limit, const char *root, const char *folder,
                              const struct memory_limit_version *version)
{
    uint64_t bytes;
    uint64_t usage = 0;
    uint64_t inactive = 0;
    if (!memory_limit_number(root, folder, version->limit, "", &bytes) ||
        bytes >= MEMORY_LIMIT_V1_NONE) {
        return;
    }
    (void)memory_limit_number(root, folder, version->usage, "", &usage);
    (void)memory_limit_number(root, folder, "memory.stat", version->inactive, &inactive);
    uint64_t used = inactive < usage ? usage - inactive : 0;
    uint64_t available = used < bytes ? bytes - used : 0;
    limit->available_bytes =
        available < limit->available_bytes ? available : limit->available_bytes;
    if (limit->path[0] == '\0' || bytes < limit->limit_bytes) {
        limit->limit_bytes = bytes;
        limit->used_bytes = used;
        int length = snprintf(limit->path, sizeof limit->path, "%s/%s", folder, version->limit);
        (void)length; /* A path that was cut off still names the place. */
    }
}

static void memory_limit_walk(struct memory_limit *limit, const char *root,
                              const struct memory_limit_version *version)
{
    char group[MEMORY_LIMIT_PATH_BYTES_MAX];
    char folder[MEMORY_LIMIT_PATH_BYTES_MAX];
    struct memory_limit_mount mount;
    if (!memory_limit_find_group(root, version, group) ||
        !memory_limit_find_mount(root, version, &mount)) {
        return;
    }
    /* In a container the mount often shows its own cgroup only, while the path is the host's. */
    size_t root_bytes = strcmp(mount.root, "/") == 0 ? 0 : strlen(mount.root);
    bool is_below = strncmp(group, mount.root, root_bytes) == 0 &&
                    (group[root_bytes] == '/' || group[root_bytes] == '\0') &&
                    strncmp(group, "/..", 3) != 0;
    size_t point_bytes = strlen(mount.point);
    assert_always(!is_below || root_bytes <= strlen(group));
    int length =
        snprintf(folder, sizeof folder, "%s%s", mount.point, is_below ? group + root_bytes : "");
    if (length >= (int)sizeof folder) {
        return;
    }
    for (int level = 0; level < MEMORY_LIMIT_LEVELS_MAX; level++) {
        memory_limit_look(limit, root, folder, version);
        char *slash = strrchr(folder, '/');
        if (slash == NULL || (size_t)(slash - folder) < point_bytes) {
            return;
        }
        *slash = '\0';
    }
}

void memory_limit_read(struct memory_limit *limit_out, const char *root)
{
    limit_out->limit_bytes = 0;
    limit_out->used_bytes = 0;
    limit_out->available_bytes = UINT64_MAX;
    limit_out->path[0] = '\0';
    for (size_t i = 0; i < sizeof memory_limit_versions / sizeof memory_limit_versions[0]; i++) {
        memory_limit_walk(limit_out, root, &memory_limit_versions[i]);
    }
}
