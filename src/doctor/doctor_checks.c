#include "src/doctor/doctor_checks.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

static const struct {
    void (*run)(struct doctor *doctor);
    const char *ids; /* with a blank between them */
} doctor_checks[] = {
    {doctor_check_kernel, "kernel.version"},
    {doctor_check_uring, "uring.setup uring.mode uring.ops uring.sysctl"},
    {doctor_check_security, "sec.seccomp sec.caps sec.lsm"},
    {doctor_check_environment, "env.container env.namespaces env.vm env.options"},
    {doctor_check_limits, "limit.nofile limit.memlock limit.nproc"},
    {doctor_check_cpu, "cpu.quota cpu.set cpu.shared cpu.autogroup"},
    {doctor_check_cores, "cpu.governor cpu.idle cpu.isolated cpu.smt cpu.zero"},
    {doctor_check_irq, "irq.on_core irq.softirq"},
    {doctor_check_clock, "clock.source clock.cost clock.sync"},
    {doctor_check_memory, "mem.room mem.cgroup mem.swap"},
    {doctor_check_shm, "shm.room shm.stale"},
    {doctor_check_net, "net.backlog net.buffers net.conntrack net.idle_cwnd net.corking net.cc"},
    {doctor_check_nic, "nic.queues nic.steering nic.offload nic.coalesce nic.numa"},
    {doctor_check_trace, "trace.btf trace.tracefs trace.uprobes trace.lockdown"},
    {doctor_check_run, "run.laps run.overflow run.recv run.malformed run.log"},
};
#define DOCTOR_CHECK_COUNT (sizeof doctor_checks / sizeof doctor_checks[0])

/* wanted: "cpu.quota", or "cpu" for each id that begins with "cpu.". */
static bool doctor_checks_match(const char *id, size_t id_bytes, const char *wanted,
                                size_t wanted_bytes)
{
    return wanted_bytes > 0 && wanted_bytes <= id_bytes && memcmp(id, wanted, wanted_bytes) == 0 &&
           (wanted_bytes == id_bytes || id[wanted_bytes] == '.');
}

static bool doctor_checks_want(const char *only, const char *id, size_t id_bytes)
{
    if (only == NULL) {
        return true;
    }
    for (const char *at = only; *at != '\0';) {
        size_t bytes = strcspn(at, ",");
        if (doctor_checks_match(id, id_bytes, at, bytes)) {
            return true;
        }
        at += bytes + (at[bytes] == ',');
    }
    return false;
}

/* Whether one of the ids of a row is wanted. */
static bool doctor_checks_want_any(const char *only, const char *ids)
{
    for (const char *id = ids; *id != '\0';) {
        size_t bytes = strcspn(id, " ");
        if (doctor_checks_want(only, id, bytes)) {
            return true;
        }
        id += bytes + (id[bytes] == ' ');
    }
    return false;
}

const char *doctor_checks_id(size_t index, char out[DOCTOR_ID_BYTES_MAX])
{
    for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
        for (const char *id = doctor_checks[i].ids; *id != '\0';) {
            size_t bytes = strcspn(id, " ");
            if (index-- == 0) {
                assert_always(bytes < DOCTOR_ID_BYTES_MAX);
                snprintf(out, DOCTOR_ID_BYTES_MAX, "%.*s", (int)bytes, id);
                return out;
            }
            id += bytes + (id[bytes] == ' ');
        }
    }
    return NULL;
}

bool doctor_checks_know(const char *id, size_t id_bytes)
{
    char known[DOCTOR_ID_BYTES_MAX];
    for (size_t i = 0; doctor_checks_id(i, known) != NULL; i++) {
        if (doctor_checks_match(known, strlen(known), id, id_bytes)) {
            return true;
        }
    }
    return false;
}

static void doctor_checks_keep_wanted(struct doctor *doctor, const char *only)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < doctor->count; i++) {
        const char *id = doctor->findings[i].id;
        assert_always(doctor_checks_know(id, strlen(id)));
        if (doctor_checks_want(only, id, strlen(id))) {
            doctor->findings[kept++] = doctor->findings[i];
        }
    }
    doctor->count = kept;
}

/* Those of one level stay in the order of the table. */
static void doctor_checks_order(struct doctor *doctor)
{
    for (uint32_t i = 1; i < doctor->count; i++) {
        struct doctor_finding finding = doctor->findings[i];
        uint32_t at = i;
        for (; at > 0 && doctor->findings[at - 1].level < finding.level; at--) {
            doctor->findings[at] = doctor->findings[at - 1];
        }
        doctor->findings[at] = finding;
    }
}

void doctor_checks_run(struct doctor *doctor, const char *only)
{
    assert_always(doctor->count == 0);
    assert_always(doctor->process[0] != '\0');
    for (size_t i = 0; i < DOCTOR_CHECK_COUNT; i++) {
        if (doctor_checks_want_any(only, doctor_checks[i].ids)) {
            doctor_checks[i].run(doctor);
        }
    }
    doctor_checks_keep_wanted(doctor, only);
    doctor_checks_order(doctor);
}
