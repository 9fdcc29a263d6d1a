#include "src/doctor/doctor_namespace.h"

#include <string.h>

#include "codec/base/check.h"

#define DOCTOR_NAMESPACE_BYTES_MAX 64 /* "net:[4026531840]" */

bool doctor_namespace_is_ours(const struct doctor *doctor)
{
    char ours[DOCTOR_NAMESPACE_BYTES_MAX], servers[DOCTOR_NAMESPACE_BYTES_MAX];
    return doctor->pid == 0 || !doctor_read_link(doctor, ours, sizeof ours, "/proc/self/ns/net") ||
           !doctor_read_link(doctor, servers, sizeof servers, "/proc/%s/ns/net", doctor->process) ||
           strcmp(ours, servers) == 0;
}

void doctor_namespace_say_elsewhere(struct doctor *doctor, const char *id)
{
    struct doctor_finding *finding = doctor_add(doctor, id, DOCTOR_UNKNOWN);
    assert_always(doctor->pid != 0);
    doctor_text(finding->is, "The server is in another network namespace, such as a container's.");
    doctor_text(finding->change,
                "Run the doctor in the container, or as root: nsenter -t %d -n ringcast doctor "
                "--pid %d",
                doctor->pid, doctor->pid);
}
