/*
 * doctor_cgroup: the cgroups that limit the server, level by level (src/base/cgroup.h).
 *
 * Threads  One. Memory: the caller's.
 */
#ifndef RINGCAST_SRC_DOCTOR_CGROUP_H
#define RINGCAST_SRC_DOCTOR_CGROUP_H

#include "src/base/cgroup.h"
#include "src/doctor/doctor.h"

#define DOCTOR_CGROUP_PATH_BYTES_MAX 384 /* of a folder: what doctor_read() can read below it */

/* The server's own cgroup; without a server that of this process. false: the controller is in no
 * mounted hierarchy, its files cannot be read, or the path is too long. */
bool doctor_cgroup_find(const struct doctor *doctor, struct cgroup *group_out,
                        const char *controller);

#endif
