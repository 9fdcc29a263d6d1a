/*
 * cgroup: the cgroups that limit a process, from its own up to the mount.
 *
 * A limit of any of them counts, so a caller looks at each:
 *
 *     struct cgroup group;
 *     bool is_there = cgroup_find(&group, "", "self", "memory");
 *     for (; is_there; is_there = cgroup_up(&group)) {
 *         ... group.folder, "/memory.max" ...
 *     }
 *
 * A controller is in one hierarchy at a time: in version 1 if /proc/PID/cgroup lists it there,
 * else in version 2. /proc/self/mountinfo says where that is mounted. Cgroups above the mount, as a
 * container has them, cannot be seen.
 *
 * Threads  Any that may block: it reads files.
 * Memory   The caller's.
 */
#ifndef RINGCAST_SRC_CGROUP_H
#define RINGCAST_SRC_CGROUP_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH_BYTES_MAX 4096

struct cgroup {
    char folder[CGROUP_PATH_BYTES_MAX]; /* of this level; a path without the root */
    size_t mount_bytes;                 /* of the folder's beginning */
    int version;                        /* 1 or 2 */
};

/* root: before every path that is read; "" except in tests. process: "self", or a process ID.
 * false: the controller is in no mounted hierarchy, or its files cannot be read. */
bool cgroup_find(struct cgroup *group_out, const char *root, const char *process,
                 const char *controller);

/* One level up; false: it was the highest. */
bool cgroup_up(struct cgroup *group);

#endif
