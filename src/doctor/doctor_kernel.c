#include <stdio.h>

#include "src/doctor/doctor_checks.h"

#define DOCTOR_KERNEL(major, minor) ((major)*1000u + (minor))

static void doctor_kernel_version(struct doctor *doctor)
{
    const char *release = doctor->host->release;
    unsigned major = 0, minor = 0;
    if (sscanf(release, "%u.%u", &major, &minor) != 2) {
        doctor_text(doctor_add(doctor, "kernel.version", DOCTOR_UNKNOWN)->is,
                    "The kernel's release \"%s\" has no number.", release);
    } else if (DOCTOR_KERNEL(major, minor) < DOCTOR_KERNEL(6, 1)) {
        struct doctor_finding *finding = doctor_add(doctor, "kernel.version", DOCTOR_FAIL);
        doctor_text(finding->is, "Linux %s.", release);
        doctor_text(finding->why, "The server needs what io_uring has since Linux 6.1.");
        doctor_text(finding->change, "Run Linux 6.1 or newer.");
    } else {
        doctor_text(doctor_add(doctor, "kernel.version", DOCTOR_OK)->is, "Linux %s.", release);
    }
}

void doctor_check_kernel(struct doctor *doctor)
{
    doctor_kernel_version(doctor);
}
