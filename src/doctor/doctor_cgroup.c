#include "src/doctor/doctor_cgroup.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define DOCTOR_CGROUP_LINES_BYTES_MAX 8192
#define DOCTOR_CGROUP_MOUNTS_BYTES_MAX (256 * 1024) /* They are among the first of a host. */

struct doctor_cgroup_mount {
    char root[DOCTOR_CGROUP_PATH_BYTES_MAX];  /* the cgroup that is mounted, */
    char point[DOCTOR_CGROUP_PATH_BYTES_MAX]; /* and where */
};

/* Whether a list, divided by commas, has the word; an empty list has the empty word only. */
static bool doctor_cgroup_lists(const char *list, size_t list_bytes, const char *word)
{
    size_t word_bytes = strlen(word);
    for (size_t at = 0;;) {
        size_t bytes = 0;
        while (at + bytes < list_bytes && list[at + bytes] != ',') {
            bytes++;
        }
        if (bytes == word_bytes && memcmp(list + at, word, bytes) == 0) {
            return true;
        }
        at += bytes + 1;
        if (at > list_bytes) {
            return false;
        }
    }
}

/* The path of a line "hierarchy:controllers:path" whose controllers have ours. */
static bool doctor_cgroup_path(const char *lines, const char *controller, char *path_out)
{
    for (const char *line = lines; *line != '\0';) {
        size_t line_bytes = strcspn(line, "\n");
        const char *list = memchr(line, ':', line_bytes);
        const char *end = list == NULL ? NULL : strchr(list + 1, ':');
        if (end != NULL && end < line + line_bytes &&
            doctor_cgroup_lists(list + 1, (size_t)(end - list - 1), controller)) {
            size_t bytes = (size_t)(line + line_bytes - end - 1);
            if (bytes >= DOCTOR_CGROUP_PATH_BYTES_MAX) {
                return false;
            }
            memcpy(path_out, end + 1, bytes);
            path_out[bytes] = '\0';
            return true;
        }
        line += line_bytes + (line[line_bytes] == '\n');
    }
    return false;
}

/* Blanks and the like come as \040. */
static void doctor_cgroup_unescape(char *text)
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
static bool doctor_cgroup_mount_line(const char *line, const char *controller,
                                     struct doctor_cgroup_mount *mount_out)
{
    char type[32] = "", options[512] = "";
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(rest, " - %31s %*s %511s", type, options) != 2 ||
        strcmp(type, controller[0] == '\0' ? "cgroup2" : "cgroup") != 0 ||
        (controller[0] != '\0' && !doctor_cgroup_lists(options, strlen(options), controller)) ||
        sscanf(line, "%*s %*s %*s %383s %383s", mount_out->root, mount_out->point) != 2) {
        return false;
    }
    doctor_cgroup_unescape(mount_out->root);
    doctor_cgroup_unescape(mount_out->point);
    return true;
}

static bool doctor_cgroup_find_mount(const struct doctor *doctor, const char *controller,
                                     struct doctor_cgroup_mount *mount_out)
{
    char text[DOCTOR_CGROUP_MOUNTS_BYTES_MAX];
    if (!doctor_read(doctor, text, sizeof text, "/proc/self/mountinfo")) {
        return false;
    }
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        if (doctor_cgroup_mount_line(line, controller, mount_out)) {
            return true;
        }
    }
    return false;
}

/* Where the cgroup of a path is mounted. In a container the mount often shows its own cgroup only,
 * while the path is the host's. */
static bool doctor_cgroup_place(struct doctor_cgroup *group, const char *path,
                                const struct doctor_cgroup_mount *mount)
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

bool doctor_cgroup_find(const struct doctor *doctor, struct doctor_cgroup *group_out,
                        const char *controller)
{
    char lines[DOCTOR_CGROUP_LINES_BYTES_MAX];
    char path[DOCTOR_CGROUP_PATH_BYTES_MAX];
    struct doctor_cgroup_mount mount;
    assert_always(controller[0] != '\0');
    if (!doctor_read(doctor, lines, sizeof lines, "/proc/%s/cgroup", doctor->process)) {
        return false;
    }
    group_out->version = 1;
    if (!doctor_cgroup_path(lines, controller, path)) {
        group_out->version = 2;
        controller = "";
    }
    return (group_out->version == 1 || doctor_cgroup_path(lines, controller, path)) &&
           doctor_cgroup_find_mount(doctor, controller, &mount) &&
           doctor_cgroup_place(group_out, path, &mount);
}

bool doctor_cgroup_up(struct doctor_cgroup *group)
{
    assert_always(group->version == 1 || group->version == 2);
    char *slash = strrchr(group->folder, '/');
    if (slash == NULL || (size_t)(slash - group->folder) < group->mount_bytes) {
        return false;
    }
    *slash = '\0';
    return true;
}
