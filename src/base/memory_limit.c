#include "src/base/memory_limit.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/cgroup.h"

#define MEMORY_LIMIT_V1_NONE (UINT64_C(1) << 62) /* and more: how version 1 says "no limit" */

/* How a version of cgroups calls its files. */
struct memory_limit_version {
    const char *limit, *usage;
    const char *inactive; /* the line of memory.stat */
};

static const struct memory_limit_version memory_limit_versions[] = {
    [1] = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "},
    [2] = {"memory.max", "memory.current", "inactive_file "},
};

/* The number after a word at the beginning of a line, or of the file; false: there is none. */
static bool memory_limit_number(const char *root, const char *folder, const char *name,
                                const char *word, uint64_t *number_out)
{
    char path[2 * MEMORY_LIMIT_PATH_BYTES_MAX];
    char line[256];
    bool is_found = false;
    int bytes = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    FILE *file = bytes < (int)sizeof path ? fopen(path, "re") : NULL;
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

void memory_limit_read(struct memory_limit *limit_out, const char *root)
{
    struct cgroup group;
    limit_out->limit_bytes = 0;
    limit_out->used_bytes = 0;
    limit_out->available_bytes = UINT64_MAX;
    limit_out->path[0] = '\0';
    bool is_there = cgroup_find(&group, root, "self", "memory");
    for (; is_there; is_there = cgroup_up(&group)) {
        memory_limit_look(limit_out, root, group.folder, &memory_limit_versions[group.version]);
    }
}
