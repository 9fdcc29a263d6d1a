#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "ring/io/engine_uring.h"
#include "src/doctor/doctor_checks.h"

#define DOCTOR_URING_GROUPS_BYTES_MAX 4096
#define DOCTOR_URING_CAP_SYS_ADMIN 21

static void doctor_uring_setup(struct doctor *doctor)
{
    int error = doctor->host->uring_error;
    assert_always(error <= 0);
    if (error == 0) {
        doctor_text(doctor_add(doctor, "uring.setup", DOCTOR_OK)->is, "A ring can be made.");
        return;
    }
    bool has_server = doctor->pid != 0;
    struct doctor_finding *finding =
        doctor_add(doctor, "uring.setup", has_server ? DOCTOR_INFO : DOCTOR_FAIL);
    char words[ENGINE_ERROR_BYTES_MAX];
    engine_uring_explain(error, words, sizeof words);
    doctor_text(finding->is, "This user can make no ring here%s.",
                has_server ? "; the running server has its own" : "");
    doctor_text(finding->why, "A server ends at its start without io_uring.");
    doctor_text(finding->change, "%.*s.", DOCTOR_TEXT_BYTES_MAX - 2, words);
}

static void doctor_uring_mode(struct doctor *doctor)
{
    static const char *const modes[] = {"DEFER_TASKRUN", "COOP_TASKRUN", "no flags"};
    uint32_t rung = doctor->host->uring_rung;
    assert_always(rung < sizeof modes / sizeof modes[0]);
    if (doctor->host->uring_error < 0) {
        doctor_text(doctor_add(doctor, "uring.mode", DOCTOR_UNKNOWN)->is, "There is no ring.");
    } else if (rung == 0) {
        doctor_text(doctor_add(doctor, "uring.mode", DOCTOR_OK)->is, "The ring has %s.", modes[0]);
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "uring.mode", DOCTOR_WARN);
        doctor_text(finding->is, "The kernel refuses a ring with DEFER_TASKRUN; it has %s.",
                    modes[rung]);
        doctor_text(finding->why, "Completions then interrupt a core in the middle of its sends.");
        doctor_text(finding->change, "Run an unpatched Linux 6.1 or newer.");
    }
}

static void doctor_uring_ops(struct doctor *doctor)
{
    const char *lacks = doctor->host->uring_lacks;
    if (lacks == NULL) {
        doctor_text(doctor_add(doctor, "uring.ops", DOCTOR_UNKNOWN)->is,
                    "No ring, or no socket to try it with, can be made.");
    } else if (lacks[0] == '\0') {
        doctor_text(doctor_add(doctor, "uring.ops", DOCTOR_OK)->is,
                    "Multishot accept and receive work, and messages between rings.");
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "uring.ops", DOCTOR_FAIL);
        doctor_text(finding->is, "The ring cannot do this: %s.", lacks);
        doctor_text(finding->why, "Cores cannot accept, receive or be woken without it.");
        doctor_text(finding->change, "Run an unpatched Linux 6.1 or newer.");
    }
}

/* Whether the process is in the group, or may do without. */
static bool doctor_uring_is_in_group(const struct doctor *doctor, int64_t group)
{
    char text[DOCTOR_URING_GROUPS_BYTES_MAX];
    if (doctor_read_field(doctor, text, sizeof text, "CapEff", "/proc/%s/status",
                          doctor->process) &&
        (strtoull(text, NULL, 16) >> DOCTOR_URING_CAP_SYS_ADMIN & 1) != 0) {
        return true;
    }
    static const char *const keys[] = {"Gid:", "Groups:"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (!doctor_read_field(doctor, text, sizeof text, keys[i], "/proc/%s/status",
                               doctor->process)) {
            continue;
        }
        char *end = text;
        for (char *at = text; *at != '\0'; at = end) {
            int64_t number = strtoll(at, &end, 10);
            if (end == at) {
                break;
            }
            if (number == group) {
                return true;
            }
        }
    }
    return false;
}

static void doctor_uring_sysctl(struct doctor *doctor)
{
    int64_t disabled = 0;
    int64_t group = -1;
    if (!doctor_read_number(doctor, &disabled, "/proc/sys/kernel/io_uring_disabled")) {
        doctor_text(doctor_add(doctor, "uring.sysctl", DOCTOR_OK)->is,
                    "The kernel has no kernel.io_uring_disabled.");
        return;
    }
    (void)doctor_read_number(doctor, &group, "/proc/sys/kernel/io_uring_group");
    bool is_allowed = disabled == 0 || (disabled == 1 && doctor_uring_is_in_group(doctor, group));
    struct doctor_finding *finding =
        doctor_add(doctor, "uring.sysctl", is_allowed ? DOCTOR_OK : DOCTOR_FAIL);
    doctor_text(finding->is, "kernel.io_uring_disabled is %" PRId64 ".", disabled);
    if (!is_allowed && disabled == 1) {
        doctor_text(finding->why,
                    "Only root and group %" PRId64
                    " (kernel.io_uring_group) may make rings; this user is not in it.",
                    group);
        doctor_text(finding->change, "Put the server's user into that group, or sysctl -w "
                                     "kernel.io_uring_disabled=0.");
    } else if (!is_allowed) {
        doctor_text(finding->why, "Nobody may make rings: a server cannot start.");
        doctor_text(finding->change, "sysctl -w kernel.io_uring_disabled=0, or 1 for one group.");
    }
}

void doctor_check_uring(struct doctor *doctor)
{
    doctor_uring_setup(doctor);
    doctor_uring_mode(doctor);
    doctor_uring_ops(doctor);
    doctor_uring_sysctl(doctor);
}
