#include "tests/doctor_tree.h"

#define V2 "29 22 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
#define V1                                                                                         \
    "35 31 0:32 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"                                  \
    "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"

static void options_are(struct doctor_tree *tree, const char *line)
{
    options_deinit(&tree->options);
    tree->options = options_fixture_parsed(line, NULL);
}

static void server_runs(struct doctor_tree *tree)
{
    tree->doctor.pid = 77;
    strcpy(tree->doctor.process, "77");
}

/* ---- cpu.quota ---- */

static void v2_level(struct doctor_tree *tree, const char *folder, const char *max,
                     const char *stat)
{
    char path[128];
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.max", folder);
    doctor_tree_write(tree, path, max);
    snprintf(path, sizeof path, "/sys/fs/cgroup%s/cpu.stat", folder);
    doctor_tree_write(tree, path, stat);
}

static void quota_under_the_cores_fails(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/pod/box\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V2);
    v2_level(tree, "/pod/box", "max 100000\n", "usage_usec 7\n");
    v2_level(tree, "/pod", "150000 100000\n", "usage_usec 7\nnr_periods 900\nnr_throttled 312\n");
    options_are(tree, "--cores 2");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.quota", DOCTOR_FAIL);
    doctor_tree_says(finding, "1.50 CPUs for 2 cores");
    doctor_tree_says(finding, "/sys/fs/cgroup/pod/cpu.max");
    doctor_tree_says(finding, "312 of 900 periods");
    options_are(tree, "--cores 1");
    doctor_tree_finds(tree, "cpu.quota", DOCTOR_WARN); /* enough, and yet throttled */
}

static void tightest_quota_of_nested_cgroups_counts(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/a/b/c\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V2);
    v2_level(tree, "/a/b/c", "400000 100000\n", "");
    v2_level(tree, "/a/b", "20000 10000\n", ""); /* 2 CPUs: the least, by a small number */
    v2_level(tree, "/a", "300000 100000\n", "");
    options_are(tree, "--cores 2");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.quota", DOCTOR_OK), "2.00 CPUs");
    options_are(tree, "--cores 3");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.quota", DOCTOR_FAIL), "/a/b/cpu.max");
}

static void quota_of_version_1_is_read(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    doctor_tree_write(tree, "/proc/77/cgroup", "4:cpu:/box\n0::/z\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V1);
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "-1\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us", "100000\n");
    doctor_tree_finds(tree, "cpu.quota", DOCTOR_OK);
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us", "50000\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/box/cpu.stat",
                      "nr_periods 10\nnr_throttled 4\nthrottled_time 5\n");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.quota", DOCTOR_FAIL);
    doctor_tree_says(finding, "0.50 CPUs for 1 core ");
    doctor_tree_says(finding, "4 of 10 periods");
}

static void throttle_now(struct doctor_tree *tree)
{
    v2_level(tree, "/box", "200000 100000\n", "nr_periods 100002\nnr_throttled 8\n");
}

static void quota_that_throttles_now_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/box\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V2);
    v2_level(tree, "/box", "200000 100000\n", "nr_periods 100000\nnr_throttled 7\n");
    doctor_tree_finds(tree, "cpu.quota", DOCTOR_OK); /* a few of its start */
    tree->later = throttle_now;
    doctor_tree_says(doctor_tree_finds(tree, "cpu.quota", DOCTOR_WARN), "and is now");
}

static void quota_without_cgroups_is_unknown(void **state)
{
    doctor_tree_finds(*state, "cpu.quota", DOCTOR_UNKNOWN);
}

/* ---- cpu.set ---- */

static void cores_that_have_to_share_cpus_fail(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "cpu.set", DOCTOR_UNKNOWN);
    options_are(tree, "--cores 3");
    doctor_tree_write(tree, "/proc/self/status", "Name:\tx\nCpus_allowed_list:\t0,2-3\n");
    doctor_tree_finds(tree, "cpu.set", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/status", "Name:\tx\nCpus_allowed_list:\t2-3\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.set", DOCTOR_FAIL), "3 cores may use CPUs 2-3");
}

static void thread(struct doctor_tree *tree, int tid, const char *name, const char *schedstat,
                   int preempted, const char *cpus)
{
    char path[64], text[128];
    snprintf(path, sizeof path, "/proc/77/task/%d/comm", tid);
    snprintf(text, sizeof text, "%s\n", name);
    doctor_tree_write(tree, path, text);
    snprintf(path, sizeof path, "/proc/77/task/%d/schedstat", tid);
    doctor_tree_write(tree, path, schedstat);
    snprintf(path, sizeof path, "/proc/77/task/%d/status", tid);
    snprintf(text, sizeof text,
             "Name:\tx\nCpus_allowed_list:\t%s\nvoluntary_ctxt_switches:\t9\n"
             "nonvoluntary_ctxt_switches:\t%d\n",
             cpus, preempted);
    doctor_tree_write(tree, path, text);
}

static void threads_of_a_server_whose_cpus_were_taken_fail(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    thread(tree, 77, "ringcast", "1 1 1\n", 0, "0-3");
    thread(tree, 78, "core-0", "1 1 1\n", 0, "2");
    thread(tree, 79, "core-1", "1 1 1\n", 0, "3");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.set", DOCTOR_OK), "2 cores may use CPUs 2-3");
    thread(tree, 79, "core-1", "1 1 1\n", 0, "2");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.set", DOCTOR_FAIL), "2 cores may use CPU 2.");
}

/* ---- cpu.shared ---- */

static void run_alone(struct doctor_tree *tree)
{
    /* 1000 wake-ups in a second, of which each waited 15 us; 3 times the kernel took the CPU. */
    thread(tree, 78, "core-0", "900000000 1015000000 6000\n", 13, "2");
}

static void run_beside_a_hog(struct doctor_tree *tree)
{
    thread(tree, 78, "core-0", "900000000 1300000000 5100\n", 100, "2");
}

static void wait_at_each_wake_up(struct doctor_tree *tree)
{
    thread(tree, 78, "core-0", "900000000 1060000000 5020\n", 10, "2");
}

static void core_that_waits_for_its_cpu_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_UNKNOWN);
    thread(tree, 78, "core-0", "800000000 1000000000 5000\n", 10, "2");
    thread(tree, 80, "log", "1 900000000000 1\n", 0, "0");
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_OK);
    tree->later = run_alone;
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_OK);
    thread(tree, 78, "core-0", "800000000 1000000000 5000\n", 10, "2");
    tree->later = run_beside_a_hog;
    const struct doctor_finding *finding = doctor_tree_finds(tree, "cpu.shared", DOCTOR_WARN);
    doctor_tree_says(finding, "Thread core-0");
    doctor_tree_says(finding, "30.0 % of the time just now");
    doctor_tree_says(finding, "lost its CPU 90 times");
    thread(tree, 78, "core-0", "800000000 1000000000 5000\n", 10, "2");
    tree->later = wait_at_each_wake_up;
    doctor_tree_says(doctor_tree_finds(tree, "cpu.shared", DOCTOR_WARN), "6.0 %");
}

static void core_that_waited_since_its_start_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    doctor_tree_write(tree, "/proc/uptime", "1100.00 7.00\n");
    doctor_tree_write(tree, "/proc/77/task/78/stat",
                      "78 (core 0) S 1 1 1 0 -1 4 5 6 7 8 9 10 11 12 13 14 15 16 100000 18 19\n");
    thread(tree, 78, "core-0", "50000000000 20000000000 5000\n", 10, "2"); /* 20 of 100 s */
    doctor_tree_says(doctor_tree_finds(tree, "cpu.shared", DOCTOR_WARN),
                     "20.0 % of the time since its start");
    thread(tree, 78, "core-0", "50000000000 900000000 5000\n", 10, "2");
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_OK);
}

static void steal_now(struct doctor_tree *tree)
{
    doctor_tree_write(tree, "/proc/stat", "cpu  1000 0 0 100090 0 0 0 10 0 0\n");
}

static void stolen_time_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    thread(tree, 78, "core-0", "1 1 1\n", 0, "2");
    doctor_tree_write(tree, "/proc/stat", "cpu  1000 0 0 100000 0 0 0 2 0 0\n");
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_OK);
    tree->later = steal_now;
    doctor_tree_says(doctor_tree_finds(tree, "cpu.shared", DOCTOR_WARN), "8.2 % of the CPU time");
    tree->later = NULL;
    doctor_tree_write(tree, "/proc/stat", "cpu  1000 0 0 7000 0 0 0 2000 0 0\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.shared", DOCTOR_WARN),
                     "20.0 % of the CPU time since the machine's start");
}

static void without_a_server_a_busy_machine_is_mentioned(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, "/proc/pressure/cpu",
                      "some avg10=90.00 avg60=1.50 avg300=9.00 total=1\n");
    doctor_tree_finds(tree, "cpu.shared", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/pressure/cpu",
                      "some avg10=0.00 avg60=31.50 avg300=9.00 total=1\n");
    doctor_tree_says(doctor_tree_finds(tree, "cpu.shared", DOCTOR_INFO), "31.5 %");
}

/* ---- cpu.autogroup ---- */

static void server_in_a_terminal_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/sys/kernel/sched_autogroup_enabled", "1\n");
    doctor_tree_write(tree, "/proc/77/cgroup", "0::/user.slice/session-3.scope\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V2);
    doctor_tree_write(tree, "/proc/77/stat", "77 (ring cast) S 1 77 77 34816 77 4194304\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_OK); /* no server */
    server_runs(tree);
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_WARN);
    doctor_tree_write(tree, "/sys/fs/cgroup/user.slice/cpu.weight", "100\n"); /* a group's share */
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/77/cgroup", "0::/\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_WARN);
    doctor_tree_write(tree, "/proc/77/stat", "77 (ring cast) S 1 77 77 0 -1 4194304\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_OK); /* a service */
}

static void autogroup_is_of_the_root_of_version_1_only(void **state)
{
    struct doctor_tree *tree = *state;
    server_runs(tree);
    doctor_tree_write(tree, "/proc/sys/kernel/sched_autogroup_enabled", "1\n");
    doctor_tree_write(tree, "/proc/77/stat", "77 (ringcast) S 1 77 77 34816 77 4194304\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V1);
    doctor_tree_write(tree, "/sys/fs/cgroup/cpu/release_agent", "\n");
    doctor_tree_write(tree, "/proc/77/cgroup", "4:cpu:/\n0::/z\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_WARN);
    doctor_tree_write(tree, "/proc/sys/kernel/sched_autogroup_enabled", "0\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/sys/kernel/sched_autogroup_enabled", "1\n");
    doctor_tree_write(tree, "/proc/77/cgroup", "4:cpu:/box\n0::/z\n");
    doctor_tree_finds(tree, "cpu.autogroup", DOCTOR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(quota_under_the_cores_fails),
        doctor_tree_test(tightest_quota_of_nested_cgroups_counts),
        doctor_tree_test(quota_of_version_1_is_read),
        doctor_tree_test(quota_that_throttles_now_is_warned_of),
        doctor_tree_test(quota_without_cgroups_is_unknown),
        doctor_tree_test(cores_that_have_to_share_cpus_fail),
        doctor_tree_test(threads_of_a_server_whose_cpus_were_taken_fail),
        doctor_tree_test(core_that_waits_for_its_cpu_is_warned_of),
        doctor_tree_test(core_that_waited_since_its_start_is_warned_of),
        doctor_tree_test(stolen_time_is_warned_of),
        doctor_tree_test(without_a_server_a_busy_machine_is_mentioned),
        doctor_tree_test(server_in_a_terminal_is_warned_of),
        doctor_tree_test(autogroup_is_of_the_root_of_version_1_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
