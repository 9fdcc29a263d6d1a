/*
 * doctor_cgroup: the cgroups that limit the server, from its own up to the mount.
 *
 * A limit of any of them counts, so a check looks at each and takes the tightest:
 *
 *     struct doctor_cgroup group;
 *     bool is_there = doctor_cgroup_find(doctor, &group, "memory");
 *     for (; is_there; is_there = doctor_cgroup_up(&group)) {
 *         doctor_read_number(doctor, &bytes, "%s/memory.max", group.folder);
 *     }
 *
 * A controller is in one hierarchy at a time: in version 1 if /proc/PID/cgroup lists it there,
 * else in version 2. Cgroups above the mount, as a container has them, cannot be seen.
 *
 * Threads  One. Memory: the caller's.
 */
#ifndef RINGCAST_SRC_DOCTOR_CGROUP_H
#define RINGCAST_SRC_DOCTOR_CGROUP_H

#include "src/doctor/doctor.h"

#define DOCTOR_CGROUP_PATH_BYTES_MAX 384

struct doctor_cgroup {
    char folder[DOCTOR_CGROUP_PATH_BYTES_MAX]; /* of this level; a path without doctor->root */
    size_t mount_bytes;                        /* of the folder's beginning */
    int version;                               /* 1 or 2 */
};

/* The server's own cgroup; without a server that of this process. false: the controller is in no
 * mounted hierarchy, or its files cannot be read. */
bool doctor_cgroup_find(const struct doctor *doctor, struct doctor_cgroup *group_out,
                        const char *controller);

/* One level up; false: it was the highest. */
bool doctor_cgroup_up(struct doctor_cgroup *group);

#endif
