#include "tests/doctor_tree.h"

#define CPU_FILES "/sys/devices/system/cpu"

static void options_are(struct doctor_tree *tree, const char *line)
{
    options_deinit(&tree->options);
    tree->options = options_fixture_parsed(line, NULL);
}

/* A file of CPUs first to last. */
static void each_cpu(struct doctor_tree *tree, int first, int last, const char *file,
                     const char *text)
{
    char path[128];
    for (int cpu = first; cpu <= last; cpu++) {
        snprintf(path, sizeof path, CPU_FILES "/cpu%d/%s", cpu, file);
        doctor_tree_write(tree, path, text);
    }
}

/* ---- cpu.governor ---- */

static void slow_governor_of_a_cores_cpu_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-3");
    doctor_tree_finds(tree, "cpu.governor", DOCTOR_UNKNOWN);
    each_cpu(tree, 0, 1, "cpufreq/scaling_governor", "powersave\n");
    each_cpu(tree, 2, 3, "cpufreq/scaling_governor", "performance\n");
    doctor_tree_finds(tree, "cpu.governor", DOCTOR_OK); /* Others may be slow. */
    each_cpu(tree, 3, 3, "cpufreq/scaling_governor", "schedutil\n");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.governor", DOCTOR_WARN);
    doctor_tree_says(finding, "CPU 3: the frequency governor is \"schedutil\"");
    doctor_tree_says(finding, "cpupower frequency-set -g performance");
}

static void governor_that_cannot_be_slow_is_good(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-3");
    each_cpu(tree, 2, 3, "cpufreq/scaling_governor", "powersave\n");
    each_cpu(tree, 2, 3, "cpufreq/energy_performance_preference", "balance_performance\n");
    doctor_tree_finds(tree, "cpu.governor", DOCTOR_WARN);
    each_cpu(tree, 2, 2, "cpufreq/energy_performance_preference", "performance\n");
    each_cpu(tree, 3, 3, "cpufreq/scaling_min_freq", "3000000\n");
    each_cpu(tree, 3, 3, "cpufreq/scaling_max_freq", "3000000\n");
    doctor_tree_finds(tree, "cpu.governor", DOCTOR_OK);
}

/* A core that is not pinned may be on any CPU of the process. */
static void all_cpus_count_for_a_core_that_is_not_pinned(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/status", "Name:\tx\nCpus_allowed_list:\t1-2\n");
    each_cpu(tree, 0, 3, "cpufreq/scaling_governor", "powersave\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.governor", DOCTOR_WARN), "CPU 1-2:");
}

/* ---- cpu.idle ---- */

static void idle_states(struct doctor_tree *tree)
{
    each_cpu(tree, 0, 3, "cpuidle/state0/name", "POLL\n");
    each_cpu(tree, 0, 3, "cpuidle/state0/latency", "0\n");
    each_cpu(tree, 0, 3, "cpuidle/state1/name", "C1E\n");
    each_cpu(tree, 0, 3, "cpuidle/state1/latency", "10\n");
    each_cpu(tree, 0, 3, "cpuidle/state2/name", "C6\n");
    each_cpu(tree, 0, 3, "cpuidle/state2/latency", "133\n");
}

static void deep_sleep_of_a_cores_cpu_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-3");
    doctor_tree_finds(tree, "cpu.idle", DOCTOR_UNKNOWN);
    idle_states(tree);
    /* As an ordinary user nobody knows whether tuned forbids it. */
    doctor_tree_says(doctor_tree_finds(tree, "cpu.idle", DOCTOR_INFO), "/dev/cpu_dma_latency");
    doctor_tree_write(tree, "/dev/cpu_dma_latency", "\x03\x94\x35\x77");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.idle", DOCTOR_WARN);
    doctor_tree_says(finding, "CPU 2 may sleep in C6, from which it takes 133 us");
    doctor_tree_says(finding, "cpupower idle-set -D 51");
    options_are(tree, "--cores 2-3 --busy-poll");
    doctor_tree_finds(tree, "cpu.idle", DOCTOR_OK);
}

static void deep_sleep_that_is_forbidden_is_good(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-3");
    idle_states(tree);
    doctor_tree_write(tree, "/dev/cpu_dma_latency", "\x03"); /* as tuned asks; the rest is zero */
    doctor_tree_says(doctor_tree_finds(tree, "cpu.idle", DOCTOR_OK), "within 3 us");
    doctor_tree_write(tree, "/dev/cpu_dma_latency", "\x03\x94\x35\x77");
    each_cpu(tree, 2, 2, "cpuidle/state2/disable", "1\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.idle", DOCTOR_WARN), "CPU 3");
    each_cpu(tree, 3, 3, "power/pm_qos_resume_latency_us", "20\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.idle", DOCTOR_OK), "within 10 us");
}

/* ---- cpu.isolated ---- */

static void polling_on_shared_cpus_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, CPU_FILES "/isolated", "\n");
    options_are(tree, "--cores 2-3");
    doctor_tree_finds(tree, "cpu.isolated", DOCTOR_OK);
    options_are(tree, "--cores 2-3 --busy-poll");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.isolated", DOCTOR_WARN), "CPU 2-3");
    doctor_tree_write(tree, CPU_FILES "/isolated", "1,3\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.isolated", DOCTOR_WARN), "on CPU 2,");
    doctor_tree_write(tree, CPU_FILES "/isolated", "1-3\n");
    doctor_tree_finds(tree, "cpu.isolated", DOCTOR_OK);
    options_are(tree, "--cores 1 --busy-poll");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.isolated", DOCTOR_WARN), "not pinned");
}

static void partition_of_cpus_is_isolated(void **state)
{
    struct doctor_tree *tree = *state;
    options_are(tree, "--cores 2-3 --busy-poll");
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/fast/box\n");
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/fast/box/cpuset.cpus.partition", "member\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/fast/cpuset.cpus.partition", "isolated invalid\n");
    doctor_tree_finds(tree, "cpu.isolated", DOCTOR_WARN);
    doctor_tree_write(tree, "/sys/fs/cgroup/fast/cpuset.cpus.partition", "isolated\n");
    doctor_tree_finds(tree, "cpu.isolated", DOCTOR_OK);
}

/* ---- cpu.smt ---- */

static void cores_on_siblings_are_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "cpu.smt", DOCTOR_OK); /* one core, not pinned */
    options_are(tree, "--cores 0-3");
    doctor_tree_finds(tree, "cpu.smt", DOCTOR_UNKNOWN);
    each_cpu(tree, 0, 1, "topology/thread_siblings_list", "0-1\n");
    each_cpu(tree, 2, 3, "topology/thread_siblings_list", "2-3\n");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.smt", DOCTOR_WARN);
    doctor_tree_says(finding, "one physical core: 0-3");
    doctor_tree_says(finding, "0,2");
    options_are(tree, "--cores 0,2");
    doctor_tree_finds(tree, "cpu.smt", DOCTOR_OK);
}

/* ---- cpu.zero ---- */

static void core_on_cpu_0_is_mentioned_where_others_are_free(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, CPU_FILES "/online", "0-3\n");
    doctor_tree_finds(tree, "cpu.zero", DOCTOR_OK);
    options_are(tree, "--cores 2");
    doctor_tree_finds(tree, "cpu.zero", DOCTOR_INFO);
    options_are(tree, "--cores 0-3");
    doctor_tree_finds(tree, "cpu.zero", DOCTOR_OK);
    options_are(tree, "--cores 1-2");
    doctor_tree_finds(tree, "cpu.zero", DOCTOR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(slow_governor_of_a_cores_cpu_is_warned_of),
        doctor_tree_test(governor_that_cannot_be_slow_is_good),
        doctor_tree_test(all_cpus_count_for_a_core_that_is_not_pinned),
        doctor_tree_test(deep_sleep_of_a_cores_cpu_is_warned_of),
        doctor_tree_test(deep_sleep_that_is_forbidden_is_good),
        doctor_tree_test(polling_on_shared_cpus_is_warned_of),
        doctor_tree_test(partition_of_cpus_is_isolated),
        doctor_tree_test(cores_on_siblings_are_warned_of),
        doctor_tree_test(core_on_cpu_0_is_mentioned_where_others_are_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
