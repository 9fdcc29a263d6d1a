/* Whether the cores get the CPU time that they need. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_cgroup.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_cpus.h"
#include "src/doctor/doctor_window.h"

/* A thread has to share its CPU if it waited for this part of the time, */
#define DOCTOR_WAIT_PERCENT_MIN 1.0
/* and either lost the CPU so often in a second, or waited so long each time. A thread alone on a
 * CPU waits as well, for what a wake-up costs, and loses it now and then to the kernel's. */
#define DOCTOR_PREEMPTED_PER_SECOND_MIN 16
#define DOCTOR_WAIT_MEAN_NS_MIN (500 * NS_PER_US)
#define DOCTOR_AGE_NS_MIN (10 * NS_PER_SECOND) /* A start says nothing of what comes after it. */

#define DOCTOR_STOLEN_PERCENT_MIN 1.0
#define DOCTOR_STOLEN_TICKS_MIN 3 /* of a window, which has 25 for each CPU */
#define DOCTOR_PRESSURE_PERCENT_MIN 5.0
#define DOCTOR_THROTTLED_PERCENT_MIN 1.0

static double doctor_percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 0 : 100.0 * (double)part / (double)whole;
}

static bool doctor_cpu_is_core(const struct doctor_thread *thread)
{
    return strncmp(thread->name, "core-", 5) == 0;
}

/* How many a running server has; its options may be unknown. */
static uint32_t doctor_cpu_core_count(struct doctor *doctor)
{
    const struct doctor_moment *moment = &doctor_window(doctor)->to;
    uint32_t count = 0;
    for (uint32_t i = 0; i < moment->thread_count; i++) {
        count += doctor_cpu_is_core(&moment->threads[i]);
    }
    return count > 0 ? count : doctor->options->core_count;
}

/* ---- cpu.quota ---- */

static void doctor_cpu_quota_too_small(struct doctor *doctor, const struct doctor_quota *quota)
{
    uint32_t core_count = doctor_cpu_core_count(doctor);
    assert_always(quota->period_us > 0);
    assert_always(core_count >= 1);
    double cpus = (double)quota->quota_us / (double)quota->period_us;
    struct doctor_finding *finding = doctor_add(doctor, "cpu.quota", DOCTOR_FAIL);
    doctor_text(finding->is,
                "The cgroup may use %.2f CPUs for %" PRIu32 " core%s (%.200s); it was throttled in "
                "%" PRIu64 " of %" PRIu64 " periods.",
                cpus, core_count, core_count == 1 ? "" : "s", quota->path, quota->throttled,
                quota->periods);
    doctor_text(finding->why,
                "When the quota of a period is used up, all threads stop until the next one: ticks "
                "are up to %.0f ms late.",
                (double)quota->period_us / 1000);
    doctor_text(finding->change,
                "Allow at least %" PRIu32 " CPUs, and one for the other threads (docker --cpus, "
                "Kubernetes limits.cpu, CPUQuota= of systemd), remove the limit, or use fewer "
                "--cores.",
                core_count);
}

static void doctor_cpu_quota(struct doctor *doctor)
{
    const struct doctor_window *window = doctor_window(doctor);
    const struct doctor_quota *quota = &window->to.quota;
    struct cgroup group;
    if (!doctor_cgroup_find(doctor, &group, "cpu")) {
        doctor_text(doctor_add(doctor, "cpu.quota", DOCTOR_UNKNOWN)->is,
                    "The cgroup that limits CPU time cannot be found in /proc/%s/cgroup.",
                    doctor->process);
        return;
    }
    if (quota->quota_us == 0) {
        doctor_text(doctor_add(doctor, "cpu.quota", DOCTOR_OK)->is, "No cgroup limits CPU time.");
        return;
    }
    if (quota->quota_us < doctor_cpu_core_count(doctor) * quota->period_us) {
        doctor_cpu_quota_too_small(doctor, quota);
        return;
    }
    bool grew = strcmp(quota->path, window->from.quota.path) == 0 &&
                quota->throttled > window->from.quota.throttled;
    bool is_often = doctor_percent(quota->throttled, quota->periods) > DOCTOR_THROTTLED_PERCENT_MIN;
    struct doctor_finding *finding =
        doctor_add(doctor, "cpu.quota", grew || is_often ? DOCTOR_WARN : DOCTOR_OK);
    doctor_text(finding->is,
                "The cgroup may use %.2f CPUs (%.200s); it was throttled in %" PRIu64 " of %" PRIu64
                " periods%s.",
                (double)quota->quota_us / (double)quota->period_us, quota->path, quota->throttled,
                quota->periods, grew ? ", and is now" : "");
    if (finding->level == DOCTOR_WARN) {
        doctor_text(finding->why,
                    "The cores, the other threads and the other programs of the cgroup used up the "
                    "quota; all of them stopped until the next period of %.0f ms.",
                    (double)quota->period_us / 1000);
        doctor_text(finding->change, "Allow more CPUs (docker --cpus, Kubernetes limits.cpu, "
                                     "CPUQuota= of systemd), or remove the limit.");
    }
}

/* ---- cpu.set ---- */

/* The CPUs that the running server's cores have to share. */
static void doctor_cpu_set_of_threads(struct doctor *doctor, cpu_set_t *cpus_out)
{
    const struct doctor_moment *moment = &doctor_window(doctor)->to;
    char path[64];
    CPU_ZERO(cpus_out);
    for (uint32_t i = 0; i < moment->thread_count; i++) {
        cpu_set_t cpus;
        if (doctor_cpu_is_core(&moment->threads[i])) {
            snprintf(path, sizeof path, "/proc/%d/task/%d/status", doctor->pid,
                     moment->threads[i].tid);
            doctor_cpus_allowed(doctor, &cpus, path);
            CPU_OR(cpus_out, cpus_out, &cpus);
        }
    }
}

static void doctor_cpu_set(struct doctor *doctor)
{
    char text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t cpus;
    uint32_t core_count = doctor_cpu_core_count(doctor);
    if (doctor->pid > 0) {
        doctor_cpu_set_of_threads(doctor, &cpus);
    } else {
        doctor_cpus_of_process(doctor, &cpus);
    }
    uint32_t cpu_count = (uint32_t)CPU_COUNT(&cpus);
    if (cpu_count == 0) {
        doctor_text(doctor_add(doctor, "cpu.set", DOCTOR_UNKNOWN)->is,
                    "The CPUs that the cores may use cannot be read in /proc/%s.", doctor->process);
        return;
    }
    struct doctor_finding *finding =
        doctor_add(doctor, "cpu.set", cpu_count < core_count ? DOCTOR_FAIL : DOCTOR_OK);
    doctor_text(finding->is, "%" PRIu32 " core%s may use CPU%s %s.", core_count,
                core_count == 1 ? "" : "s", cpu_count == 1 ? "" : "s",
                doctor_cpus_text(&cpus, text));
    if (finding->level == DOCTOR_FAIL) {
        doctor_text(finding->why, "Cores that share a CPU stop each other for milliseconds.");
        doctor_text(finding->change,
                    "Allow %" PRIu32 " CPUs (docker --cpuset-cpus, AllowedCPUs= "
                    "and CPUAffinity= of systemd, taskset) and start the server "
                    "again, or use --cores %" PRIu32 ".",
                    core_count, cpu_count);
    }
}

/* ---- cpu.shared ---- */

static bool doctor_cpu_is_shared(const struct doctor_thread *spent, uint64_t ns)
{
    return doctor_percent(spent->wait_ns, ns) > DOCTOR_WAIT_PERCENT_MIN &&
           (spent->preempted * NS_PER_SECOND >= DOCTOR_PREEMPTED_PER_SECOND_MIN * ns ||
            spent->wait_ns >= spent->runs * DOCTOR_WAIT_MEAN_NS_MIN);
}

/* The thread that waited for the greatest part of the time. */
struct doctor_waiter {
    char name[16];
    uint64_t ns; /* the time that was looked at; 0: none waited too long */
    struct doctor_thread spent;
};

static void doctor_cpu_keep_worst(struct doctor_waiter *worst, const struct doctor_thread *spent,
                                  uint64_t ns)
{
    if (ns > 0 && doctor_cpu_is_shared(spent, ns) &&
        doctor_percent(spent->wait_ns, ns) > doctor_percent(worst->spent.wait_ns, worst->ns)) {
        *worst = (struct doctor_waiter){.ns = ns, .spent = *spent};
        memcpy(worst->name, spent->name, sizeof worst->name);
    }
}

static void doctor_cpu_find_waiters(struct doctor *doctor, struct doctor_waiter *now,
                                    struct doctor_waiter *ever)
{
    const struct doctor_window *window = doctor_window(doctor);
    *now = *ever = (struct doctor_waiter){0};
    for (uint32_t i = 0; i < window->to.thread_count; i++) {
        const struct doctor_thread *to = &window->to.threads[i];
        const struct doctor_thread *from = doctor_window_from(window, to);
        if (from != NULL) {
            struct doctor_thread spent = *to;
            spent.wait_ns = doctor_growth(from->wait_ns, to->wait_ns);
            spent.runs = doctor_growth(from->runs, to->runs);
            spent.preempted = doctor_growth(from->preempted, to->preempted);
            doctor_cpu_keep_worst(now, &spent, window->ns);
        }
        if (to->age_ns >= DOCTOR_AGE_NS_MIN) {
            doctor_cpu_keep_worst(ever, to, to->age_ns);
        }
    }
}

static void doctor_cpu_waited(struct doctor *doctor, const struct doctor_waiter *worst,
                              const char *when)
{
    assert_always(worst->ns > 0);
    assert_always(doctor->pid > 0);
    struct doctor_finding *finding = doctor_add(doctor, "cpu.shared", DOCTOR_WARN);
    doctor_text(
        finding->is,
        "Thread %s was ready to run and had no CPU for %.1f %% of the time %s, and lost its "
        "CPU %" PRIu64 " times.",
        worst->name, doctor_percent(worst->spent.wait_ns, worst->ns), when, worst->spent.preempted);
    doctor_text(finding->why, "Other threads use its CPU; a tick waits for them, up to some "
                              "milliseconds each time.");
    doctor_text(finding->change,
                "Keep others off the cores' CPUs: pin the cores (--cores 2-3) and isolate these "
                "CPUs (docs/latency.md). Who they are: bpftrace offcpu.bt %d, in the "
                "folder of the scripts (docs/tracing.md).",
                doctor->pid);
}

static void doctor_cpu_stolen(struct doctor *doctor, double percent, const char *when)
{
    struct doctor_finding *finding = doctor_add(doctor, "cpu.shared", DOCTOR_WARN);
    doctor_text(finding->is,
                "The hypervisor took %.1f %% of the CPU time %s (steal of /proc/stat).", percent,
                when);
    doctor_text(finding->why, "The virtual CPUs stop for milliseconds, and nothing inside this "
                              "machine can prevent it.");
    doctor_text(finding->change, "Move to a machine whose CPUs are not shared: an instance with "
                                 "dedicated CPUs, or vCPUs pinned by the hypervisor.");
}

/* Without a server: whether programs wait for CPUs here. */
static void doctor_cpu_pressure(struct doctor *doctor)
{
    char text[512];
    double percent = 0;
    bool is_read = doctor_read(doctor, text, sizeof text, "/proc/pressure/cpu") &&
                   sscanf(text, "some avg10=%*f avg60=%lf", &percent) == 1;
    if (!is_read) {
        doctor_text(doctor_add(doctor, "cpu.shared", DOCTOR_UNKNOWN)->is,
                    "No server runs, and /proc/pressure/cpu cannot be read.");
        return;
    }
    bool is_busy = percent > DOCTOR_PRESSURE_PERCENT_MIN;
    struct doctor_finding *finding =
        doctor_add(doctor, "cpu.shared", is_busy ? DOCTOR_INFO : DOCTOR_OK);
    doctor_text(finding->is, "Programs waited for a CPU in %.1f %% of the last minute.", percent);
    if (is_busy) {
        doctor_text(finding->why, "A server would wait with them, unless its cores have CPUs of "
                                  "their own.");
        doctor_text(finding->change, "Run the doctor again beside the running server: it looks at "
                                     "the cores themselves then.");
    }
}

static void doctor_cpu_shared(struct doctor *doctor)
{
    struct doctor_waiter now, ever;
    const struct doctor_window *window = doctor_window(doctor);
    uint64_t stolen = doctor_growth(window->from.stolen_ticks, window->to.stolen_ticks);
    double stolen_now =
        doctor_percent(stolen, doctor_growth(window->from.cpu_ticks, window->to.cpu_ticks));
    double stolen_ever = doctor_percent(window->to.stolen_ticks, window->to.cpu_ticks);
    doctor_cpu_find_waiters(doctor, &now, &ever);
    if (now.ns > 0) {
        doctor_cpu_waited(doctor, &now, "just now");
    } else if (ever.ns > 0) {
        doctor_cpu_waited(doctor, &ever, "since its start");
    } else if (stolen >= DOCTOR_STOLEN_TICKS_MIN && stolen_now > DOCTOR_STOLEN_PERCENT_MIN) {
        doctor_cpu_stolen(doctor, stolen_now, "just now");
    } else if (stolen_ever > DOCTOR_STOLEN_PERCENT_MIN) {
        doctor_cpu_stolen(doctor, stolen_ever, "since the machine's start");
    } else if (doctor->pid == 0) {
        doctor_cpu_pressure(doctor);
    } else if (window->to.thread_count == 0) {
        doctor_text(doctor_add(doctor, "cpu.shared", DOCTOR_UNKNOWN)->is,
                    "The threads of process %d cannot be read.", doctor->pid);
    } else {
        doctor_text(doctor_add(doctor, "cpu.shared", DOCTOR_OK)->is,
                    "%" PRIu32 " threads got a CPU when they were ready.", window->to.thread_count);
    }
}

/* ---- cpu.autogroup ---- */

/* The scheduler puts only threads of the root cgroup into a group for each session. */
static bool doctor_cpu_is_in_cgroup(struct doctor *doctor)
{
    struct cgroup group;
    char text[8];
    bool is_there = doctor_cgroup_find(doctor, &group, "cpu");
    for (; is_there; is_there = cgroup_up(&group)) {
        /* Version 2 has the first file in all but the root, version 1 the second in the root. */
        if (group.version == 1
                ? !doctor_read(doctor, text, sizeof text, "%s/release_agent", group.folder)
                : doctor_read(doctor, text, sizeof text, "%s/cpu.weight", group.folder)) {
            return true;
        }
    }
    return false;
}

/* The terminal of a process: field 7 of its stat; 0: none. */
static bool doctor_cpu_has_terminal(const struct doctor *doctor)
{
    char text[1024];
    int terminal = 0;
    const char *at = NULL;
    if (doctor_read(doctor, text, sizeof text, "/proc/%s/stat", doctor->process)) {
        at = strrchr(text, ')');
    }
    return at != NULL && sscanf(at + 1, " %*c %*d %*d %*d %d", &terminal) == 1 && terminal != 0;
}

static void doctor_cpu_autogroup(struct doctor *doctor)
{
    int64_t is_enabled = 0;
    (void)doctor_read_number(doctor, &is_enabled, "/proc/sys/kernel/sched_autogroup_enabled");
    if (doctor->pid == 0 || is_enabled == 0 || !doctor_cpu_has_terminal(doctor) ||
        doctor_cpu_is_in_cgroup(doctor)) {
        doctor_text(doctor_add(doctor, "cpu.autogroup", DOCTOR_OK)->is, "%s",
                    is_enabled == 0    ? "CPU time is not divided by sessions."
                    : doctor->pid == 0 ? "No server runs in a terminal."
                                       : "The server shares its CPU time with no terminal.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "cpu.autogroup", DOCTOR_WARN);
    doctor_text(finding->is, "The server runs in the session of a terminal, and "
                             "kernel.sched_autogroup_enabled is 1.");
    doctor_text(finding->why,
                "The scheduler gives each session the same CPU time: all cores, and what else "
                "runs in this terminal, count as one program, and nice does not change it.");
    doctor_text(finding->change, "Run the server as a service (systemctl start ringcast), or "
                                 "run sysctl -w kernel.sched_autogroup_enabled=0.");
}

void doctor_check_cpu(struct doctor *doctor)
{
    doctor_cpu_quota(doctor);
    doctor_cpu_set(doctor);
    doctor_cpu_shared(doctor);
    doctor_cpu_autogroup(doctor);
}
