#include "src/doctor/doctor_cgroup.h"

#include <string.h>

bool doctor_cgroup_find(const struct doctor *doctor, struct cgroup *group_out,
                        const char *controller)
{
    return cgroup_find(group_out, doctor->root, doctor->process, controller) &&
           strlen(group_out->folder) < DOCTOR_CGROUP_PATH_BYTES_MAX;
}
