#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/doctor/doctor_checks.h"

/* Beside the clients: those that wait for a place, the admin server, files; rings and listeners of
 * each core. */
#define DOCTOR_LIMITS_FDS 192
#define DOCTOR_LIMITS_CORE_FDS 8
/* Beside the cores and the threads of TLS: main, publisher, recorder, logs, dump, admin. */
#define DOCTOR_LIMITS_THREADS 16
#define DOCTOR_LIMITS_LOCKED_BYTES (8 * MIB)
#define DOCTOR_LIMITS_CAP_IPC_LOCK 14
#define DOCTOR_LIMITS_UNLIMITED UINT64_MAX

struct doctor_limit {
    const char *name; /* "fs.nr_open" */
    uint64_t value;
};

/* A limit of /proc/PID/limits, soft or hard. false: it cannot be read. */
static bool doctor_limits_read(const struct doctor *doctor, const char *name, bool is_hard,
                               uint64_t *value_out)
{
    char text[128];
    if (!doctor_read_field(doctor, text, sizeof text, name, "/proc/%s/limits", doctor->process)) {
        return false;
    }
    const char *at = text;
    if (is_hard) {
        at += strcspn(at, " ");
        at += strspn(at, " ");
    }
    *value_out =
        strncmp(at, "unlimited", 9) == 0 ? DOCTOR_LIMITS_UNLIMITED : strtoull(at, NULL, 10);
    return *value_out == DOCTOR_LIMITS_UNLIMITED || isdigit((unsigned char)*at);
}

static void doctor_limits_unknown(struct doctor *doctor, const char *id)
{
    doctor_text(doctor_add(doctor, id, DOCTOR_UNKNOWN)->is, "/proc/%s/limits cannot be read.",
                doctor->process);
}

/* The tightest of the limits of open files. false: none can be read. */
static bool doctor_limits_tightest(const struct doctor *doctor, struct doctor_limit *limit_out)
{
    char text[128];
    int64_t number;
    uint64_t used, max;
    struct doctor_limit limit = {.name = "the hard limit (ulimit -Hn)"};
    if (!doctor_limits_read(doctor, "Max open files", true, &limit.value)) {
        return false;
    }
    if (doctor_read_number(doctor, &number, "/proc/sys/fs/nr_open") && number > 0 &&
        (uint64_t)number < limit.value) {
        limit = (struct doctor_limit){.name = "fs.nr_open", .value = (uint64_t)number};
    }
    if (doctor_read(doctor, text, sizeof text, "/proc/sys/fs/file-nr") &&
        sscanf(text, "%" SCNu64 " %*u %" SCNu64, &used, &max) == 2 && used <= max &&
        max - used < limit.value) {
        limit = (struct doctor_limit){.name = "what fs.file-max leaves", .value = max - used};
    }
    *limit_out = limit;
    return true;
}

static void doctor_limits_nofile(struct doctor *doctor)
{
    struct doctor_limit limit;
    uint64_t needed = (uint64_t)doctor->options->connections_max + DOCTOR_LIMITS_FDS +
                      (uint64_t)DOCTOR_LIMITS_CORE_FDS * doctor->options->core_count;
    assert_debug(doctor->options->core_count > 0);
    if (!doctor_limits_tightest(doctor, &limit)) {
        doctor_limits_unknown(doctor, "limit.nofile");
        return;
    }
    bool suffices = limit.value >= needed;
    struct doctor_finding *finding =
        doctor_add(doctor, "limit.nofile", suffices ? DOCTOR_OK : DOCTOR_FAIL);
    if (limit.value == DOCTOR_LIMITS_UNLIMITED) {
        doctor_text(finding->is, "The number of open files is not limited.");
        return;
    }
    doctor_text(finding->is,
                "%" PRIu64 " files may be open (%s); %u clients and %u core(s) need %" PRIu64 ".",
                limit.value, limit.name, doctor->options->connections_max,
                doctor->options->core_count, needed);
    if (!suffices) {
        doctor_text(finding->why, "The server serves fewer clients; the others receive 503.");
        doctor_text(finding->change,
                    "Raise it (LimitNOFILE= of systemd, --ulimit nofile of containers, "
                    "/etc/security/limits.conf, sysctl), or lower --max-connections.");
    }
}

static bool doctor_limits_may_lock(const struct doctor *doctor)
{
    char text[32];
    return doctor_read_field(doctor, text, sizeof text, "CapEff:", "/proc/%s/status",
                             doctor->process) &&
           (strtoull(text, NULL, 16) >> DOCTOR_LIMITS_CAP_IPC_LOCK & 1) != 0;
}

static void doctor_limits_memlock(struct doctor *doctor)
{
    uint64_t limit_bytes;
    if (!doctor_limits_read(doctor, "Max locked memory", false, &limit_bytes)) {
        doctor_limits_unknown(doctor, "limit.memlock");
        return;
    }
    if (limit_bytes >= DOCTOR_LIMITS_LOCKED_BYTES || doctor_limits_may_lock(doctor)) {
        doctor_text(doctor_add(doctor, "limit.memlock", DOCTOR_OK)->is,
                    "Locked memory suffices for rings.");
        return;
    }
    struct doctor_finding *finding = doctor_add(
        doctor, "limit.memlock",
        doctor->pid == 0 && doctor->host->uring_error == -ENOMEM ? DOCTOR_FAIL : DOCTOR_WARN);
    doctor_text(finding->is, "%" PRIu64 " KiB of memory may be locked; 8 MiB are enough.",
                limit_bytes / KIB);
    doctor_text(finding->why, "From Linux 6.14 on, rings count towards it, those of all "
                              "processes of the user together; then no ring can be made.");
    doctor_text(finding->change, "Raise it: LimitMEMLOCK= of systemd, --ulimit memlock=-1 of "
                                 "containers, or /etc/security/limits.conf.");
}

/* root is not limited. */
static bool doctor_limits_is_root(const struct doctor *doctor)
{
    char text[64];
    return doctor_read_field(doctor, text, sizeof text, "Uid:", "/proc/%s/status",
                             doctor->process) &&
           strtoul(text, NULL, 10) == 0;
}

static void doctor_limits_nproc(struct doctor *doctor)
{
    uint64_t limit;
    assert_debug(doctor->options->core_count > 0);
    uint64_t needed = (uint64_t)DOCTOR_LIMITS_THREADS + doctor->options->core_count +
                      (options_has_tls(doctor->options) ? doctor->options->tls.thread_count : 0);
    if (!doctor_limits_read(doctor, "Max processes", false, &limit)) {
        doctor_limits_unknown(doctor, "limit.nproc");
        return;
    }
    if (limit >= needed || doctor_limits_is_root(doctor)) {
        doctor_text(doctor_add(doctor, "limit.nproc", DOCTOR_OK)->is,
                    "The user may have enough threads for %u core(s).",
                    doctor->options->core_count);
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "limit.nproc", DOCTOR_FAIL);
    doctor_text(finding->is,
                "The user may have %" PRIu64 " threads; the server alone may need %" PRIu64 ".",
                limit, needed);
    doctor_text(finding->why, "All processes of the user share them. A thread that cannot be made "
                              "ends the start of the server.");
    doctor_text(finding->change, "Raise it: LimitNPROC= of systemd, --ulimit nproc of containers, "
                                 "or /etc/security/limits.conf.");
}

void doctor_check_limits(struct doctor *doctor)
{
    doctor_limits_nofile(doctor);
    doctor_limits_memlock(doctor);
    doctor_limits_nproc(doctor);
}
