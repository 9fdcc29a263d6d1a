#include <stdio.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"

#define DOCTOR_KERNEL_RELEASE(major, minor) ((major)*1000u + (minor))

/* What a kernel lacks that is older than this. */
static void doctor_kernel_judge(struct doctor *doctor, unsigned release)
{
    const char *name = doctor->host->release;
    struct doctor_finding *finding;
    assert_debug(release > 0);
    if (release < DOCTOR_KERNEL_RELEASE(6, 1)) {
        finding = doctor_add(doctor, "kernel.version", DOCTOR_FAIL);
        doctor_text(finding->is, "The kernel is Linux %s.", name);
        doctor_text(finding->why, "The server needs what io_uring has since Linux 6.1.");
        doctor_text(finding->change, "Run Linux 6.1 or newer.");
    } else if (release < DOCTOR_KERNEL_RELEASE(6, 5) && doctor->options->unix_path != NULL) {
        finding = doctor_add(doctor, "kernel.version", DOCTOR_INFO);
        doctor_text(finding->is, "The kernel is Linux %s.", name);
        doctor_text(finding->why,
                    "Before Linux 6.5, clients of the Unix-domain socket get copies of the frames, "
                    "not the pages of the log.");
        doctor_text(finding->change, "Run Linux 6.5 or newer if many clients use --unix.");
    } else {
        finding = doctor_add(doctor, "kernel.version", DOCTOR_OK);
        doctor_text(finding->is, "The kernel is Linux %s.", name);
    }
}

void doctor_check_kernel(struct doctor *doctor)
{
    unsigned major = 0, minor = 0;
    if (sscanf(doctor->host->release, "%u.%u", &major, &minor) == 2) {
        doctor_kernel_judge(doctor, DOCTOR_KERNEL_RELEASE(major, minor));
    } else {
        doctor_text(doctor_add(doctor, "kernel.version", DOCTOR_UNKNOWN)->is,
                    "The kernel's release \"%s\" has no number.", doctor->host->release);
    }
}
