#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"

#define DOCTOR_SECURITY_LABEL_BYTES_MAX 128
#define DOCTOR_SECURITY_FILTER '2' /* of "Seccomp" in /proc/PID/status */
#define DOCTOR_SECURITY_CAP(number) (UINT64_C(1) << (number))
#define DOCTOR_SECURITY_SYS_ADMIN DOCTOR_SECURITY_CAP(21)
#define DOCTOR_SECURITY_TRACING (DOCTOR_SECURITY_CAP(38) | DOCTOR_SECURITY_CAP(39))

/* Whether something other than the kernel's age refuses rings. A running server has its own. */
static bool doctor_security_is_refused(const struct doctor *doctor)
{
    int error = doctor->host->uring_error;
    assert_always(error <= 0);
    return doctor->pid == 0 && (error == -EPERM || error == -EACCES || error == -ENOSYS);
}

static void doctor_security_seccomp(struct doctor *doctor)
{
    char mode[16];
    if (!doctor_read_field(doctor, mode, sizeof mode, "Seccomp:", "/proc/%s/status",
                           doctor->process)) {
        doctor_text(doctor_add(doctor, "sec.seccomp", DOCTOR_UNKNOWN)->is,
                    "/proc/%s/status does not say whether a seccomp filter is on.",
                    doctor->process);
    } else if (mode[0] != DOCTOR_SECURITY_FILTER) {
        doctor_text(doctor_add(doctor, "sec.seccomp", DOCTOR_OK)->is, "No seccomp filter is on.");
    } else if (!doctor_security_is_refused(doctor)) {
        doctor_text(doctor_add(doctor, "sec.seccomp", DOCTOR_OK)->is,
                    "A seccomp filter is on, and does not forbid rings.");
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "sec.seccomp", DOCTOR_FAIL);
        doctor_text(finding->is, "A seccomp filter is on, and rings are refused (%s).",
                    strerror(-doctor->host->uring_error));
        doctor_text(finding->why, "The default profiles of container engines forbid io_uring.");
        doctor_text(finding->change, "Use a profile that allows io_uring_setup, io_uring_enter and "
                                     "io_uring_register, such as container/seccomp.json.");
    }
}

/* Of this process: it is who would trace. */
static void doctor_security_caps(struct doctor *doctor)
{
    char text[32];
    if (!doctor_read_field(doctor, text, sizeof text, "CapEff:", "/proc/self/status")) {
        doctor_text(doctor_add(doctor, "sec.caps", DOCTOR_UNKNOWN)->is,
                    "/proc/self/status does not name the capabilities.");
        return;
    }
    uint64_t caps = strtoull(text, NULL, 16);
    if ((caps & DOCTOR_SECURITY_SYS_ADMIN) != 0 ||
        (caps & DOCTOR_SECURITY_TRACING) == DOCTOR_SECURITY_TRACING) {
        doctor_text(doctor_add(doctor, "sec.caps", DOCTOR_OK)->is,
                    "This user has the capabilities for tracing.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "sec.caps", DOCTOR_INFO);
    doctor_text(finding->is, "This user has neither CAP_BPF and CAP_PERFMON nor CAP_SYS_ADMIN.");
    doctor_text(finding->why, "bpftrace needs them. A server does not.");
    doctor_text(finding->change, "Trace as root, on the host.");
}

static void doctor_security_lsm(struct doctor *doctor)
{
    char label[DOCTOR_SECURITY_LABEL_BYTES_MAX];
    bool has_label =
        doctor_read(doctor, label, sizeof label, "/proc/%s/attr/current", doctor->process) &&
        label[0] != '\0';
    label[has_label ? strcspn(label, "\n") : 0] = '\0';
    if (!has_label || strcmp(label, "unconfined") == 0 || strcmp(label, "kernel") == 0) {
        doctor_text(doctor_add(doctor, "sec.lsm", DOCTOR_OK)->is,
                    "No security module confines the process.");
    } else if (!doctor_security_is_refused(doctor)) {
        doctor_text(doctor_add(doctor, "sec.lsm", DOCTOR_OK)->is,
                    "A security module has the process as \"%s\", and does not forbid rings.",
                    label);
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "sec.lsm", DOCTOR_WARN);
        doctor_text(finding->is, "A security module has the process as \"%s\".", label);
        doctor_text(finding->why, "It may be what refuses rings.");
        doctor_text(finding->change, "Look for io_uring in its audit log, and permit it there.");
    }
}

void doctor_check_security(struct doctor *doctor)
{
    doctor_security_seccomp(doctor);
    doctor_security_caps(doctor);
    doctor_security_lsm(doctor);
}
