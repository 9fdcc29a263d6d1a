#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_checks.h"

/* What tracing needs of the kernel. None of it makes a tick late: all is DOCTOR_INFO. */

#define DOCTOR_TRACE_MOUNTS_BYTES_MAX (64 * 1024)

static void doctor_trace_say(struct doctor *doctor, const char *id, const char *is, const char *why,
                             const char *change)
{
    struct doctor_finding *finding = doctor_add(doctor, id, DOCTOR_INFO);
    assert_debug(change[0] != '\0');
    doctor_text(finding->is, "%s", is);
    doctor_text(finding->why, "%s", why);
    doctor_text(finding->change, "%s", change);
}

static void doctor_trace_btf(struct doctor *doctor)
{
    char begin[4];
    if (doctor_read(doctor, begin, sizeof begin, "/sys/kernel/btf/vmlinux")) {
        doctor_text(doctor_add(doctor, "trace.btf", DOCTOR_OK)->is,
                    "The kernel has type information.");
    } else {
        doctor_trace_say(doctor, "trace.btf",
                         "The kernel has no type information (/sys/kernel/btf/vmlinux).",
                         "bpftrace cannot read the kernel's structures; the probes work.",
                         "To use such scripts, run a kernel with CONFIG_DEBUG_INFO_BTF=y.");
    }
}

static bool doctor_trace_is_mounted(const struct doctor *doctor)
{
    static char mounts[DOCTOR_TRACE_MOUNTS_BYTES_MAX];
    return doctor_read(doctor, mounts, sizeof mounts, "/proc/self/mountinfo") &&
           strstr(mounts, " /sys/kernel/tracing ") != NULL;
}

static void doctor_trace_tracefs(struct doctor *doctor)
{
    DIR *events = doctor_open_directory(doctor, "/sys/kernel/tracing/events");
    if (events != NULL) {
        closedir(events);
        doctor_text(doctor_add(doctor, "trace.tracefs", DOCTOR_OK)->is,
                    "The tracepoints can be read.");
    } else if (doctor_trace_is_mounted(doctor)) {
        doctor_trace_say(doctor, "trace.tracefs", "Only root may read /sys/kernel/tracing.",
                         "bpftrace and perf need it to trace the server.",
                         "To trace, run them as root.");
    } else {
        doctor_trace_say(doctor, "trace.tracefs", "/sys/kernel/tracing is not mounted.",
                         "bpftrace and perf need it to trace the server.",
                         "To trace, as root: mount -t tracefs tracefs /sys/kernel/tracing");
    }
}

static void doctor_trace_uprobes(struct doctor *doctor)
{
    int64_t type;
    if (doctor_read_number(doctor, &type, "/sys/bus/event_source/devices/uprobe/type")) {
        doctor_text(doctor_add(doctor, "trace.uprobes", DOCTOR_OK)->is, "The kernel has uprobes.");
    } else {
        doctor_trace_say(doctor, "trace.uprobes",
                         "The kernel has no uprobes (/sys/bus/event_source/devices/uprobe).",
                         "The server's probes cannot be traced.",
                         "To trace them, run a kernel with CONFIG_UPROBE_EVENTS=y.");
    }
}

/* "none [integrity] confidentiality". */
static void doctor_trace_lockdown(struct doctor *doctor)
{
    char modes[128];
    if (!doctor_read(doctor, modes, sizeof modes, "/sys/kernel/security/lockdown") ||
        strstr(modes, "[confidentiality]") == NULL) {
        doctor_text(doctor_add(doctor, "trace.lockdown", DOCTOR_OK)->is,
                    "The kernel's lockdown, if it has one, permits tracing.");
    } else {
        doctor_trace_say(doctor, "trace.lockdown", "The kernel is locked down (confidentiality).",
                         "It lets no program read its memory, so bpftrace and perf fail.",
                         "To trace, boot with lockdown=integrity.");
    }
}

void doctor_check_trace(struct doctor *doctor)
{
    doctor_trace_btf(doctor);
    doctor_trace_tracefs(doctor);
    doctor_trace_uprobes(doctor);
    doctor_trace_lockdown(doctor);
}
