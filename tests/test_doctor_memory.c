#include "tests/doctor_tree.h"

#include "ring/board/counters.h"
#include "ring/board/counters_file.h"

#define V2 "0::/pod\n"
#define V2_MOUNT "30 29 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

static void put_memory(struct doctor_tree *tree, const char *available_kib)
{
    char text[256];
    snprintf(text, sizeof text,
             "MemTotal: 99999999 kB\nMemAvailable: %s kB\nSwapTotal: 2048 kB\nSwapFree: 2048 kB\n",
             available_kib);
    doctor_tree_write(tree, "/proc/meminfo", text);
}

/* A pod of version 2 with this limit, in which nothing is used. */
static void put_pod(struct doctor_tree *tree, const char *limit)
{
    doctor_tree_write(tree, "/proc/self/cgroup", V2);
    doctor_tree_write(tree, "/proc/self/mountinfo", V2_MOUNT);
    doctor_tree_write(tree, "/sys/fs/cgroup/cgroup.controllers", "cpu memory\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/cgroup.controllers", "cpu memory\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.max", limit);
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.current", "0\n");
}

static void run_as(struct doctor_tree *tree, int pid)
{
    tree->doctor.pid = pid;
    snprintf(tree->doctor.process, sizeof tree->doctor.process, "%d", pid);
}

static void a_machine_with_room_is_well(void **state)
{
    struct doctor_tree *tree = *state;
    put_memory(tree, "4000000");
    doctor_tree_finds(tree, "mem.room", DOCTOR_OK);
    doctor_tree_finds(tree, "mem.swap", DOCTOR_OK);
}

static void a_log_that_does_not_fit_at_once_fails(void **state)
{
    struct doctor_tree *tree = *state;
    put_memory(tree, "90000");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "mem.room", DOCTOR_FAIL);
    doctor_tree_says(finding, "--frame-log-bytes");
    doctor_tree_says(finding, "87 MiB are left");
}

static void logs_of_all_encodings_that_do_not_fit_are_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    put_memory(tree, "400000");
    doctor_tree_finds(tree, "mem.room", DOCTOR_WARN);
    tree->options.memory_bytes_max = 169 * MIB; /* One log is the most. */
    doctor_tree_finds(tree, "mem.room", DOCTOR_OK);
}

static void what_a_running_server_has_taken_is_not_needed_again(void **state)
{
    struct doctor_tree *tree = *state;
    put_memory(tree, "100000");
    run_as(tree, 42);
    doctor_tree_finds(tree, "mem.room", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, "/proc/42/smaps_rollup", "Rss: 900000 kB\nPss: 500000 kB\n");
    doctor_tree_finds(tree, "mem.room", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/42/smaps_rollup", "Rss: 900000 kB\nPss: 120000 kB\n");
    doctor_tree_finds(tree, "mem.room", DOCTOR_WARN);
}

static void a_machine_without_meminfo_is_unknown(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "mem.room", DOCTOR_UNKNOWN);
    doctor_tree_finds(tree, "mem.swap", DOCTOR_UNKNOWN);
}

static void a_cgroup_that_is_too_small_fails(void **state)
{
    struct doctor_tree *tree = *state;
    put_pod(tree, "67108864\n");
    const struct doctor_finding *finding = doctor_tree_finds(tree, "mem.cgroup", DOCTOR_FAIL);
    doctor_tree_says(finding, "/sys/fs/cgroup/pod/memory.max");
    doctor_tree_says(finding, "64 MiB");
    put_pod(tree, "max\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_OK);
    put_pod(tree, "4294967296\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_OK);
}

static void memory_high_limits_too(void **state)
{
    struct doctor_tree *tree = *state;
    put_pod(tree, "4294967296\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.high", "67108864\n");
    doctor_tree_says(doctor_tree_finds(tree, "mem.cgroup", DOCTOR_FAIL), "memory.high");
}

static void file_pages_that_can_be_dropped_are_room(void **state)
{
    struct doctor_tree *tree = *state;
    put_pod(tree, "1073741824\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.current", "1073741824\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_FAIL);
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.stat", "anon 1\ninactive_file 1073741824\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_OK);
}

static void kills_of_the_kernel_are_told(void **state)
{
    struct doctor_tree *tree = *state;
    put_pod(tree, "4294967296\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/pod/memory.events", "oom 3\noom_kill 3\n");
    doctor_tree_run(tree, "mem.cgroup");
    assert_int_equal(tree->doctor.count, 2);
    assert_int_equal(tree->doctor.findings[0].level, DOCTOR_WARN);
    doctor_tree_says(&tree->doctor.findings[0], "killed 3 processes");
}

static void a_cgroup_of_version_1_limits(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "4:memory:/pod\n");
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "30 29 0:26 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_OK);
    doctor_tree_write(tree, "/sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "67108864\n");
    doctor_tree_write(tree, "/sys/fs/cgroup/memory/pod/memory.usage_in_bytes", "0\n");
    doctor_tree_finds(tree, "mem.cgroup", DOCTOR_FAIL);
}

static void a_server_that_is_swapped_out_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    put_memory(tree, "4000000");
    run_as(tree, 42);
    doctor_tree_write(tree, "/proc/42/status", "Name: ringcast\nVmSwap:\t 12 kB\n");
    doctor_tree_says(doctor_tree_finds(tree, "mem.swap", DOCTOR_WARN), "12 KiB");
    doctor_tree_write(tree, "/proc/42/status", "Name: ringcast\nVmSwap:\t 0 kB\n");
    doctor_tree_finds(tree, "mem.swap", DOCTOR_OK);
}

static void swap_of_others_is_no_fault(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/meminfo", "SwapTotal: 4096 kB\nSwapFree: 2048 kB\n");
    doctor_tree_finds(tree, "mem.swap", DOCTOR_INFO);
}

static void a_small_shm_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "shm.room", DOCTOR_OK);
    tree->host.shm_free_bytes = counters_bytes(tree->options.core_count) - 1;
    doctor_tree_finds(tree, "shm.room", DOCTOR_WARN);
    run_as(tree, 42);
    doctor_tree_finds(tree, "shm.room", DOCTOR_WARN); /* The server has no file. */
    run_as(tree, 0);
    tree->host.shm_free_bytes = UINT64_MAX;
    doctor_tree_finds(tree, "shm.room", DOCTOR_UNKNOWN);
}

/* The one file of a server is named after this process. */
static void files_of_dead_servers_are_told_with_the_rm(void **state)
{
    struct doctor_tree *tree = *state;
    char directory[DOCTOR_PATH_BYTES_MAX], command[64];
    struct counters_file file;
    struct counters *counters;
    doctor_tree_path(tree, "/dev/shm/.", directory);
    directory[strlen(directory) - 2] = '\0';
    assert_int_equal(counters_file_open(&file, directory, counters_bytes(1)), 0);
    assert_int_equal(counters_open(&counters, file.fd, 1), 0);
    assert_int_equal(counters_file_publish(&file, directory), 0);
    doctor_tree_finds(tree, "shm.stale", DOCTOR_OK); /* It lives. */
    counters_close(counters);
    assert_int_equal(close(file.fd), 0); /* as the end of a process does; its name stays */
    const struct doctor_finding *finding = doctor_tree_finds(tree, "shm.stale", DOCTOR_INFO);
    snprintf(command, sizeof command, "rm /dev/shm/ringcast-%ld", (long)getpid());
    doctor_tree_says(finding, command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(a_machine_with_room_is_well),
        doctor_tree_test(a_log_that_does_not_fit_at_once_fails),
        doctor_tree_test(logs_of_all_encodings_that_do_not_fit_are_warned_of),
        doctor_tree_test(what_a_running_server_has_taken_is_not_needed_again),
        doctor_tree_test(a_machine_without_meminfo_is_unknown),
        doctor_tree_test(a_cgroup_that_is_too_small_fails),
        doctor_tree_test(memory_high_limits_too),
        doctor_tree_test(file_pages_that_can_be_dropped_are_room),
        doctor_tree_test(kills_of_the_kernel_are_told),
        doctor_tree_test(a_cgroup_of_version_1_limits),
        doctor_tree_test(a_server_that_is_swapped_out_is_warned_of),
        doctor_tree_test(swap_of_others_is_no_fault),
        doctor_tree_test(a_small_shm_is_warned_of),
        doctor_tree_test(files_of_dead_servers_are_told_with_the_rm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
