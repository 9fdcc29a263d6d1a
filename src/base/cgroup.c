#include "src/base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

struct cgroup_mount {
    char root[CGROUP_PATH_BYTES_MAX];  /* the cgroup that is mounted, */
    char point[CGROUP_PATH_BYTES_MAX]; /* and where */
};

/* Whether a list, divided by commas, has the word; an empty list has the empty word only. */
static bool cgroup_lists(const char *list, const char *word)
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

static FILE *cgroup_open(const char *root, const char *path)
{
    char whole[2 * CGROUP_PATH_BYTES_MAX];
    int bytes = snprintf(whole, sizeof whole, "%s%s", root, path);
    return bytes < (int)sizeof whole ? fopen(whole, "re") : NULL;
}

/* The path of "hierarchy:controllers:path" whose controllers have ours. */
static bool cgroup_find_path(const char *root, const char *process, const char *controller,
                             char path_out[CGROUP_PATH_BYTES_MAX])
{
    char line[CGROUP_PATH_BYTES_MAX];
    bool is_found = false;
    snprintf(line, sizeof line, "/proc/%s/cgroup", process);
    FILE *file = cgroup_open(root, line);
    while (file != NULL && !is_found && fgets(line, sizeof line, file) != NULL) {
        char *controllers = strchr(line, ':');
        char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
        if (path == NULL) {
            continue;
        }
        *path++ = '\0';
        path[strcspn(path, "\n")] = '\0';
        is_found = cgroup_lists(controllers + 1, controller);
        if (is_found) {
            assert_always(strlen(path) < CGROUP_PATH_BYTES_MAX);
            memcpy(path_out, path, strlen(path) + 1);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* Blanks and the like come as \040. */
static void cgroup_unescape(char *text)
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
static bool cgroup_read_mount(const char *line, const char *controller,
                              struct cgroup_mount *mount_out)
{
    char type[32] = "";
    char options[512] = "";
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(rest, " - %31s %*s %511s", type, options) != 2 ||
        strcmp(type, controller[0] == '\0' ? "cgroup2" : "cgroup") != 0 ||
        (controller[0] != '\0' && !cgroup_lists(options, controller)) ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", mount_out->root, mount_out->point) != 2) {
        return false;
    }
    cgroup_unescape(mount_out->root);
    cgroup_unescape(mount_out->point);
    return true;
}

static bool cgroup_find_mount(const char *root, const char *controller,
                              struct cgroup_mount *mount_out)
{
    char *line = NULL;
    size_t line_bytes = 0;
    bool is_found = false;
    FILE *file = cgroup_open(root, "/proc/self/mountinfo");
    while (file != NULL && !is_found && getline(&line, &line_bytes, file) > 0) {
        is_found = cgroup_read_mount(line, controller, mount_out);
    }
    free(line);
    if (file != NULL) {
        fclose(file);
    }
    return is_found;
}

/* Where the cgroup of a path is mounted. In a container the mount often shows its own cgroup only,
 * while the path is the host's. */
static bool cgroup_place(struct cgroup *group, const char *path, const struct cgroup_mount *mount)
{
    size_t root_bytes = strcmp(mount->root, "/") == 0 ? 0 : strlen(mount->root);
    bool is_below = strncmp(path, mount->root, root_bytes) == 0 &&
                    (path[root_bytes] == '/' || path[root_bytes] == '\0') &&
                    strncmp(path, "/..", 3) != 0;
    assert_always(!is_below || root_bytes <= strlen(path));
    int bytes = snprintf(group->folder, sizeof group->folder, "%s%s", mount->point,
                         is_below ? path + root_bytes : "");
    if (bytes >= (int)sizeof group->folder) {
        return false;
    }
    group->mount_bytes = strlen(mount->point);
    if (group->folder[bytes - 1] == '/') { /* the path "/" */
        group->folder[bytes - 1] = '\0';
    }
    return true;
}

bool cgroup_find(struct cgroup *group_out, const char *root, const char *process,
                 const char *controller)
{
    char path[CGROUP_PATH_BYTES_MAX];
    struct cgroup_mount mount;
    assert_always(controller[0] != '\0');
    group_out->version = 1;
    if (!cgroup_find_path(root, process, controller, path)) {
        group_out->version = 2;
        controller = "";
    }
    return (group_out->version == 1 || cgroup_find_path(root, process, controller, path)) &&
           cgroup_find_mount(root, controller, &mount) && cgroup_place(group_out, path, &mount);
}

bool cgroup_up(struct cgroup *group)
{
    assert_always(group->version == 1 || group->version == 2);
    char *slash = strrchr(group->folder, '/');
    if (slash == NULL || (size_t)(slash - group->folder) < group->mount_bytes) {
        return false;
    }
    *slash = '\0';
    return true;
}
