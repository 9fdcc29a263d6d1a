/* Whether the CPUs of the cores are as they should be: their clock, their sleep, who else uses
 * them. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_cgroup.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_cpus.h"

#define DOCTOR_CPU_DIRECTORY "/sys/devices/system/cpu"
#define DOCTOR_IDLE_STATES_MAX 16
#define DOCTOR_IDLE_LATENCY_US_MAX 50
#define DOCTOR_WORD_BYTES_MAX 64

/* The first line of a file of a CPU; false: there is none. */
static bool doctor_cores_word(const struct doctor *doctor, char out[DOCTOR_WORD_BYTES_MAX], int cpu,
                              const char *file)
{
    bool is_read = doctor_read(doctor, out, DOCTOR_WORD_BYTES_MAX, DOCTOR_CPU_DIRECTORY "/cpu%d/%s",
                               cpu, file);
    out[is_read ? strcspn(out, "\n") : 0] = '\0';
    return is_read;
}

/* ---- cpu.governor ---- */

/* Whether a CPU runs at its highest frequency, or at a fixed one, when it has work. */
static bool doctor_cores_is_fast(const struct doctor *doctor, int cpu, const char *governor)
{
    char word[DOCTOR_WORD_BYTES_MAX], other[DOCTOR_WORD_BYTES_MAX];
    if (strcmp(governor, "performance") == 0) {
        return true;
    }
    if (doctor_cores_word(doctor, word, cpu, "cpufreq/energy_performance_preference") &&
        strcmp(word, "performance") == 0) {
        return true; /* The processor chooses, and shall be fast. */
    }
    return doctor_cores_word(doctor, word, cpu, "cpufreq/scaling_min_freq") &&
           doctor_cores_word(doctor, other, cpu, "cpufreq/scaling_max_freq") &&
           strcmp(word, other) == 0;
}

static void doctor_cores_governor(struct doctor *doctor)
{
    char governor[DOCTOR_WORD_BYTES_MAX], slow[DOCTOR_WORD_BYTES_MAX] = "";
    char text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t cpus, slow_cpus;
    bool is_known = false;
    doctor_cpus_of_cores(doctor, &cpus);
    CPU_ZERO(&slow_cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &cpus) &&
            doctor_cores_word(doctor, governor, cpu, "cpufreq/scaling_governor")) {
            is_known = true;
            if (!doctor_cores_is_fast(doctor, cpu, governor)) {
                CPU_SET(cpu, &slow_cpus);
                memcpy(slow, governor, sizeof slow);
            }
        }
    }
    if (CPU_COUNT(&slow_cpus) == 0) {
        doctor_text(doctor_add(doctor, "cpu.governor", is_known ? DOCTOR_OK : DOCTOR_UNKNOWN)->is,
                    "%s",
                    is_known ? "The cores' CPUs run at full speed."
                             : "The kernel does not set the frequency of the CPUs: the firmware or "
                               "the hypervisor does.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "cpu.governor", DOCTOR_WARN);
    doctor_text(finding->is, "CPU %s: the frequency governor is \"%s\".",
                doctor_cpus_text(&slow_cpus, text), slow);
    doctor_text(finding->why, "A CPU that waits for ticks runs slowly; the first ticks after a "
                              "pause are sent at its lowest frequency.");
    doctor_text(finding->change, "Run cpupower frequency-set -g performance, and for good "
                                 "tuned-adm profile latency-performance.");
}

/* ---- cpu.idle ---- */

struct doctor_idle {
    bool is_known;
    int64_t latency_us; /* the longest to wake up from */
    int cpu;
    char state[DOCTOR_WORD_BYTES_MAX];
};

/* The longest that a CPU may take to wake up, as programs ask; INT64_MAX: as long as it wants. */
static int64_t doctor_cores_latency_max(const struct doctor *doctor, int cpu)
{
    char word[DOCTOR_WORD_BYTES_MAX];
    if (!doctor_cores_word(doctor, word, cpu, "power/pm_qos_resume_latency_us") ||
        strcmp(word, "0") == 0) {
        return INT64_MAX;
    }
    return strcmp(word, "n/a") == 0 ? 0 : strtoll(word, NULL, 10);
}

static void doctor_cores_read_idle(const struct doctor *doctor, int cpu, struct doctor_idle *idle)
{
    int64_t latency_max_us = doctor_cores_latency_max(doctor, cpu);
    for (int state = 0; state < DOCTOR_IDLE_STATES_MAX; state++) {
        char file[DOCTOR_WORD_BYTES_MAX];
        int64_t latency_us, is_disabled = 0;
        if (!doctor_read_number(doctor, &latency_us,
                                DOCTOR_CPU_DIRECTORY "/cpu%d/cpuidle/state%d/latency", cpu,
                                state)) {
            return;
        }
        (void)doctor_read_number(doctor, &is_disabled,
                                 DOCTOR_CPU_DIRECTORY "/cpu%d/cpuidle/state%d/disable", cpu, state);
        idle->is_known = true;
        if (is_disabled == 0 && latency_us <= latency_max_us && latency_us > idle->latency_us) {
            idle->latency_us = latency_us;
            idle->cpu = cpu;
            snprintf(file, sizeof file, "cpuidle/state%d/name", state);
            (void)doctor_cores_word(doctor, idle->state, cpu, file);
        }
    }
}

/* What programs such as tuned ask of all CPUs: a number in the machine's form. false: only root may
 * read it. */
static bool doctor_cores_asked_latency(const struct doctor *doctor, int32_t *latency_us_out)
{
    char bytes[sizeof *latency_us_out + 1] = "";
    static_assert(sizeof bytes == 5, "the kernel's number has 4 bytes");
    if (!doctor_read(doctor, bytes, sizeof bytes, "/dev/cpu_dma_latency")) {
        return false;
    }
    memcpy(latency_us_out, bytes, sizeof *latency_us_out);
    return true;
}

static void doctor_cores_idle_deep(struct doctor *doctor, const struct doctor_idle *idle,
                                   bool is_sure)
{
    assert_always(idle->latency_us > DOCTOR_IDLE_LATENCY_US_MAX);
    assert_always(idle->cpu >= 0);
    struct doctor_finding *finding =
        doctor_add(doctor, "cpu.idle", is_sure ? DOCTOR_WARN : DOCTOR_INFO);
    doctor_text(finding->is,
                "CPU %d may sleep in %s, from which it takes %" PRId64 " us to wake up%s.",
                idle->cpu, idle->state, idle->latency_us,
                is_sure ? ""
                        : ", unless a program such as tuned forbids it (only root can see that, in "
                          "/dev/cpu_dma_latency)");
    doctor_text(finding->why, "A core sleeps between ticks: each tick after a pause is that much "
                              "later.");
    doctor_text(
        finding->change,
        "Run cpupower idle-set -D %d, and for good tuned-adm profile latency-performance; or "
        "let the cores poll (--busy-poll).",
        DOCTOR_IDLE_LATENCY_US_MAX + 1);
}

static void doctor_cores_idle(struct doctor *doctor)
{
    struct doctor_idle idle = {.latency_us = 0, .state = "a state"};
    int32_t asked_us = INT32_MAX;
    cpu_set_t cpus;
    doctor_cpus_of_cores(doctor, &cpus);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &cpus)) {
            doctor_cores_read_idle(doctor, cpu, &idle);
        }
    }
    if (doctor->options->busy_poll) {
        doctor_text(doctor_add(doctor, "cpu.idle", DOCTOR_OK)->is,
                    "The cores poll, so that their CPUs do not sleep.");
    } else if (!idle.is_known) {
        doctor_text(doctor_add(doctor, "cpu.idle", DOCTOR_UNKNOWN)->is,
                    "The kernel does not choose how deep the CPUs sleep: the hypervisor may.");
    } else if (idle.latency_us <= DOCTOR_IDLE_LATENCY_US_MAX) {
        doctor_text(doctor_add(doctor, "cpu.idle", DOCTOR_OK)->is,
                    "The cores' CPUs wake up within %" PRId64 " us.", idle.latency_us);
    } else if (!doctor_cores_asked_latency(doctor, &asked_us)) {
        doctor_cores_idle_deep(doctor, &idle, false);
    } else if (asked_us <= DOCTOR_IDLE_LATENCY_US_MAX) {
        doctor_text(doctor_add(doctor, "cpu.idle", DOCTOR_OK)->is,
                    "A program asks for wake-ups within %" PRId32 " us (/dev/cpu_dma_latency).",
                    asked_us);
    } else {
        doctor_cores_idle_deep(doctor, &idle, true);
    }
}

/* ---- cpu.isolated ---- */

/* Whether the server's CPUs are a partition of their own, in which no others run. */
static bool doctor_cores_have_partition(struct doctor *doctor)
{
    struct cgroup group;
    char text[DOCTOR_WORD_BYTES_MAX];
    bool is_there = doctor_cgroup_find(doctor, &group, "cpuset");
    for (; is_there; is_there = cgroup_up(&group)) {
        /* The root of all cgroups has no such file. */
        if (doctor_read(doctor, text, sizeof text, "%s/cpuset.cpus.partition", group.folder) &&
            (strcmp(text, "isolated\n") == 0 || strcmp(text, "root\n") == 0)) {
            return true;
        }
    }
    return false;
}

static void doctor_cores_isolated(struct doctor *doctor)
{
    char text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t pinned, isolated, both;
    bool are_pinned = doctor_cpus_pinned(doctor, &pinned);
    if (!doctor->options->busy_poll) {
        doctor_text(doctor_add(doctor, "cpu.isolated", DOCTOR_OK)->is,
                    "The cores do not poll; they may share CPUs that are idle.");
        return;
    }
    doctor_cpus_read(doctor, &isolated, DOCTOR_CPU_DIRECTORY "/isolated");
    CPU_AND(&both, &pinned, &isolated);
    if (are_pinned && (CPU_EQUAL(&both, &pinned) || doctor_cores_have_partition(doctor))) {
        doctor_text(doctor_add(doctor, "cpu.isolated", DOCTOR_OK)->is,
                    "CPU %s, where cores poll, is isolated.", doctor_cpus_text(&pinned, text));
        return;
    }
    CPU_XOR(&pinned, &pinned, &both);
    struct doctor_finding *finding = doctor_add(doctor, "cpu.isolated", DOCTOR_WARN);
    if (are_pinned) {
        doctor_text(finding->is, "Cores poll on CPU %s, which is not isolated.",
                    doctor_cpus_text(&pinned, text));
    } else {
        doctor_text(finding->is, "The core polls and is not pinned to a CPU.");
    }
    doctor_text(finding->why, "The scheduler puts other programs on a CPU that only polls; a tick "
                              "then waits until they have had their turn, milliseconds.");
    doctor_text(finding->change, "Isolate CPUs by the kernel's command line (isolcpus=2,3 "
                                 "nohz_full=2,3 rcu_nocbs=2,3) and name them (--cores 2-3), as "
                                 "docs/latency.md says, or do not use --busy-poll.");
}

/* ---- cpu.smt ---- */

static void doctor_cores_smt(struct doctor *doctor)
{
    char siblings_text[DOCTOR_WORD_BYTES_MAX], text[DOCTOR_CPUS_TEXT_BYTES_MAX];
    cpu_set_t pinned, siblings, shared, firsts;
    bool is_known = false;
    if (!doctor_cpus_pinned(doctor, &pinned)) {
        doctor_text(doctor_add(doctor, "cpu.smt", DOCTOR_OK)->is, "One core, on any CPU.");
        return;
    }
    CPU_ZERO(&shared);
    CPU_ZERO(&firsts); /* of those that share a physical core */
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &pinned) ||
            !doctor_cores_word(doctor, siblings_text, cpu, "topology/thread_siblings_list")) {
            continue;
        }
        is_known = true;
        doctor_cpus_parse(siblings_text, &siblings);
        CPU_AND(&siblings, &siblings, &pinned);
        if (CPU_COUNT(&siblings) > 1) {
            CPU_SET(cpu, &shared);
        }
        cpu_set_t taken;
        CPU_AND(&taken, &siblings, &firsts);
        if (CPU_COUNT(&taken) == 0) {
            CPU_SET(cpu, &firsts);
        }
    }
    if (CPU_COUNT(&shared) == 0) {
        doctor_text(doctor_add(doctor, "cpu.smt", is_known ? DOCTOR_OK : DOCTOR_UNKNOWN)->is, "%s",
                    is_known ? "Each core has a physical core of its own."
                             : "Which CPUs are of one physical core cannot be read.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "cpu.smt", DOCTOR_WARN);
    doctor_text(finding->is, "Cores are pinned to CPUs of one physical core: %s.",
                doctor_cpus_text(&shared, text));
    doctor_text(finding->why, "Two threads of a physical core take turns: each is about half as "
                              "fast while the other works.");
    doctor_text(finding->change,
                "Use --cores with one CPU of each physical core: %s, and others as "
                "/sys/devices/system/cpu/cpu*/topology/thread_siblings_list shows them.",
                doctor_cpus_text(&firsts, text));
}

/* ---- cpu.zero ---- */

static void doctor_cores_zero(struct doctor *doctor)
{
    cpu_set_t pinned, online;
    (void)doctor_cpus_pinned(doctor, &pinned);
    doctor_cpus_read(doctor, &online, DOCTOR_CPU_DIRECTORY "/online");
    if (!CPU_ISSET(0, &pinned) || CPU_COUNT(&online) <= CPU_COUNT(&pinned)) {
        doctor_text(doctor_add(doctor, "cpu.zero", DOCTOR_OK)->is, "%s",
                    CPU_ISSET(0, &pinned) ? "Cores use all CPUs, CPU 0 too."
                                          : "No core is pinned to CPU 0.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "cpu.zero", DOCTOR_INFO);
    doctor_text(finding->is, "A core is pinned to CPU 0, and others are free.");
    doctor_text(finding->why, "The kernel's own work, and interrupts that nobody moved, are on "
                              "CPU 0 first.");
    doctor_text(finding->change, "Name other CPUs, such as --cores 1-%" PRIu32 ".",
                doctor->options->core_count);
}

void doctor_check_cores(struct doctor *doctor)
{
    doctor_cores_governor(doctor);
    doctor_cores_idle(doctor);
    doctor_cores_isolated(doctor);
    doctor_cores_smt(doctor);
    doctor_cores_zero(doctor);
}
