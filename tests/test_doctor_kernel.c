/* The checks kernel.*, uring.*, sec.*, env.* and limit.*. */
#include <errno.h>

#include "tests/doctor_tree.h"

/* ---- kernel ---- */

static void kernel_older_than_6_1_fails(void **state)
{
    struct doctor_tree *tree = *state;
    snprintf(tree->host.release, sizeof tree->host.release, "5.15.0-91-generic");
    doctor_tree_says(doctor_tree_finds(tree, "kernel.version", DOCTOR_FAIL), "5.15.0-91-generic");
    snprintf(tree->host.release, sizeof tree->host.release, "6.1.0");
    doctor_tree_finds(tree, "kernel.version", DOCTOR_OK);
    snprintf(tree->host.release, sizeof tree->host.release, "custom");
    doctor_tree_finds(tree, "kernel.version", DOCTOR_UNKNOWN);
}

static void kernel_before_6_5_is_reported_where_clients_use_unix(void **state)
{
    struct doctor_tree *tree = *state;
    snprintf(tree->host.release, sizeof tree->host.release, "6.4.16");
    doctor_tree_finds(tree, "kernel.version", DOCTOR_OK);
    tree->options.unix_path = "/run/x.sock";
    doctor_tree_says(doctor_tree_finds(tree, "kernel.version", DOCTOR_INFO), "6.5");
}

/* ---- uring ---- */

static void ring_that_is_refused_fails_in_words_for_its_errno(void **state)
{
    struct doctor_tree *tree = *state;
    tree->host.uring_lacks = NULL;
    tree->host.uring_error = -ENOMEM;
    doctor_tree_says(doctor_tree_finds(tree, "uring.setup", DOCTOR_FAIL), "LimitMEMLOCK=");
    tree->host.uring_error = -EPERM;
    doctor_tree_says(doctor_tree_finds(tree, "uring.setup", DOCTOR_FAIL), "io_uring_register).");
    doctor_tree_finds(tree, "uring.mode", DOCTOR_UNKNOWN);
    doctor_tree_finds(tree, "uring.ops", DOCTOR_UNKNOWN);
}

/* As another user sees it, who may make none. */
static void running_server_has_its_rings(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/status", "Seccomp:\t2\nSeccomp_filters:\t1\n");
    doctor_tree_write(tree, "/proc/self/attr/current", "docker-default (enforce)\n");
    tree->host.uring_lacks = NULL;
    tree->host.uring_error = -EPERM;
    tree->doctor.pid = 77;
    doctor_tree_says(doctor_tree_finds(tree, "uring.setup", DOCTOR_INFO), "has its own");
    doctor_tree_finds(tree, "sec.seccomp", DOCTOR_OK);
    doctor_tree_finds(tree, "sec.lsm", DOCTOR_OK);
}

static void ring_of_a_lower_rung_warns(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "uring.mode", DOCTOR_OK);
    tree->host.uring_rung = 1;
    doctor_tree_says(doctor_tree_finds(tree, "uring.mode", DOCTOR_WARN), "COOP_TASKRUN");
    tree->host.uring_rung = 2;
    doctor_tree_finds(tree, "uring.mode", DOCTOR_WARN);
}

static void ring_that_lacks_an_operation_fails(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "uring.ops", DOCTOR_OK);
    tree->host.uring_lacks = "multishot accept";
    doctor_tree_says(doctor_tree_finds(tree, "uring.ops", DOCTOR_FAIL), "multishot accept");
}

static void sysctl_of_io_uring_is_judged_for_the_user(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "uring.sysctl", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_disabled", "0\n");
    doctor_tree_finds(tree, "uring.sysctl", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_disabled", "2\n");
    doctor_tree_finds(tree, "uring.sysctl", DOCTOR_FAIL);
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_disabled", "1\n");
    doctor_tree_write(tree, "/proc/sys/kernel/io_uring_group", "990\n");
    doctor_tree_write(tree, "/proc/self/status",
                      "Gid:\t1000\t1000\t1000\t1000\nGroups:\t4 99 1000\nCapEff:\t0\n");
    doctor_tree_says(doctor_tree_finds(tree, "uring.sysctl", DOCTOR_FAIL), "group 990");
    doctor_tree_write(tree, "/proc/self/status",
                      "Gid:\t1000\t1000\t1000\t1000\nGroups:\t4 990\nCapEff:\t0\n");
    doctor_tree_finds(tree, "uring.sysctl", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/status",
                      "Gid:\t0\t0\t0\t0\nGroups:\t\nCapEff:\t0000000000200000\n");
    doctor_tree_finds(tree, "uring.sysctl", DOCTOR_OK); /* root */
}

/* ---- sec ---- */

static void seccomp_filter_fails_only_where_rings_are_refused(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "sec.seccomp", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, "/proc/self/status", "Seccomp:\t0\nSeccomp_filters:\t0\n");
    tree->host.uring_error = -EPERM;
    doctor_tree_finds(tree, "sec.seccomp", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/status", "Seccomp:\t2\nSeccomp_filters:\t1\n");
    doctor_tree_says(doctor_tree_finds(tree, "sec.seccomp", DOCTOR_FAIL), "io_uring_enter");
    tree->host.uring_error = 0;
    doctor_tree_finds(tree, "sec.seccomp", DOCTOR_OK);
}

static void user_who_cannot_trace_is_informed(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "sec.caps", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, "/proc/self/status", "CapEff:\t0000004000000000\n"); /* PERFMON */
    doctor_tree_finds(tree, "sec.caps", DOCTOR_INFO);
    doctor_tree_write(tree, "/proc/self/status", "CapEff:\t000000c000000000\n"); /* and BPF */
    doctor_tree_finds(tree, "sec.caps", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/status", "CapEff:\t0000000000200000\n"); /* SYS_ADMIN */
    doctor_tree_finds(tree, "sec.caps", DOCTOR_OK);
}

static void security_module_warns_only_where_rings_are_refused(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "sec.lsm", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/attr/current", "docker-default (enforce)\n");
    doctor_tree_finds(tree, "sec.lsm", DOCTOR_OK);
    tree->host.uring_error = -EACCES;
    doctor_tree_says(doctor_tree_finds(tree, "sec.lsm", DOCTOR_WARN), "docker-default (enforce)");
    doctor_tree_write(tree, "/proc/self/attr/current", "unconfined\n");
    doctor_tree_finds(tree, "sec.lsm", DOCTOR_OK);
}

/* ---- env ---- */

static void containers_are_recognized(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/system.slice/x.service\n");
    doctor_tree_finds(tree, "env.container", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/kubepods.slice/pod1\n");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_INFO), "(kubepods)");
    doctor_tree_write(tree, "/proc/1/environ", "PATH=/bin");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_INFO), "(kubepods)");
    doctor_tree_write(tree, "/proc/1/environ", "container=lxc");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_INFO), "(lxc)");
    doctor_tree_write(tree, "/.dockerenv", "");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_INFO), "(docker)");
    doctor_tree_write(tree, "/run/.containerenv", "");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_INFO), "(podman)");
    doctor_tree_write(tree, "/proc/version", "Linux version 4.4.0 gVisor\n");
    doctor_tree_says(doctor_tree_finds(tree, "env.container", DOCTOR_FAIL), "gVisor");
}

static void server_in_another_network_namespace_is_reported(void **state)
{
    struct doctor_tree *tree = *state;
    snprintf(tree->doctor.process, sizeof tree->doctor.process, "77");
    doctor_tree_link(tree, "/proc/self/ns/net", "net:[1]");
    doctor_tree_finds(tree, "env.namespaces", DOCTOR_UNKNOWN);
    doctor_tree_link(tree, "/proc/77/ns/net", "net:[2]");
    doctor_tree_says(doctor_tree_finds(tree, "env.namespaces", DOCTOR_INFO),
                     "net.* and nic.* cannot look at its network");
    snprintf(tree->doctor.process, sizeof tree->doctor.process, "self");
    doctor_tree_finds(tree, "env.namespaces", DOCTOR_OK);
}

static void virtual_machines_are_recognized(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hyper sse\n");
    doctor_tree_finds(tree, "env.vm", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/cpuinfo", "processor\t: 0\nflags\t\t: fpu hypervisor sse\n");
    doctor_tree_write(tree, "/sys/class/dmi/id/product_name", "KVM\n");
    doctor_tree_says(doctor_tree_finds(tree, "env.vm", DOCTOR_INFO), "machine: KVM.");
    doctor_tree_write(tree, "/proc/version", "Linux version 6.6.1-microsoft-standard-WSL2\n");
    doctor_tree_says(doctor_tree_finds(tree, "env.vm", DOCTOR_WARN), "Windows");
}

static void options_that_cannot_be_read_are_reported(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "env.options", DOCTOR_OK);
    tree->doctor.options_note = "The environment of process 7 cannot be read.";
    doctor_tree_says(doctor_tree_finds(tree, "env.options", DOCTOR_INFO), "process 7");
}

/* ---- limit ---- */

static void limits(const struct doctor_tree *tree, const char *files, const char *locked,
                   const char *processes)
{
    char text[512];
    snprintf(text, sizeof text,
             "Limit                     Soft Limit           Hard Limit           Units     \n"
             "Max processes             %-20s %-20s processes \n"
             "Max open files            1                    %-20s files     \n"
             "Max locked memory         %-20s %-20s bytes     \n",
             processes, processes, files, locked, locked);
    doctor_tree_write(tree, "/proc/self/limits", text);
}

static void files_that_do_not_suffice_for_all_clients_fail(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "limit.nofile", DOCTOR_UNKNOWN);
    tree->options.connections_max = 1000;
    tree->options.core_count = 2;
    limits(tree, "1208", "8388608", "1000");
    doctor_tree_finds(tree, "limit.nofile", DOCTOR_OK);
    limits(tree, "1207", "8388608", "1000");
    doctor_tree_says(doctor_tree_finds(tree, "limit.nofile", DOCTOR_FAIL), "1207 files");
    limits(tree, "unlimited", "8388608", "1000");
    doctor_tree_finds(tree, "limit.nofile", DOCTOR_OK);
    doctor_tree_write(tree, "/proc/sys/fs/nr_open", "1200\n");
    doctor_tree_says(doctor_tree_finds(tree, "limit.nofile", DOCTOR_FAIL), "fs.nr_open");
    doctor_tree_write(tree, "/proc/sys/fs/file-nr", "500\t0\t1500\n");
    doctor_tree_says(doctor_tree_finds(tree, "limit.nofile", DOCTOR_FAIL), "fs.file-max");
}

static void locked_memory_of_less_than_8_mib_warns(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "limit.memlock", DOCTOR_UNKNOWN);
    limits(tree, "9", "8388608", "9");
    doctor_tree_finds(tree, "limit.memlock", DOCTOR_OK);
    limits(tree, "9", "65536", "9");
    doctor_tree_says(doctor_tree_finds(tree, "limit.memlock", DOCTOR_WARN), "64 KiB");
    tree->host.uring_error = -ENOMEM;
    doctor_tree_finds(tree, "limit.memlock", DOCTOR_FAIL);
    doctor_tree_write(tree, "/proc/self/status", "CapEff:\t0000000000004000\n"); /* IPC_LOCK */
    doctor_tree_finds(tree, "limit.memlock", DOCTOR_OK);
}

static void fewer_threads_than_a_server_has_fail(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "limit.nproc", DOCTOR_UNKNOWN);
    tree->options.core_count = 4;
    limits(tree, "9", "9", "20");
    doctor_tree_finds(tree, "limit.nproc", DOCTOR_OK);
    limits(tree, "9", "9", "19");
    doctor_tree_says(doctor_tree_finds(tree, "limit.nproc", DOCTOR_FAIL), "may need 20");
    doctor_tree_write(tree, "/proc/self/status", "Uid:\t1000\t0\t0\t0\n");
    doctor_tree_finds(tree, "limit.nproc", DOCTOR_FAIL);
    doctor_tree_write(tree, "/proc/self/status", "Uid:\t0\t0\t0\t0\n");
    doctor_tree_finds(tree, "limit.nproc", DOCTOR_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(kernel_older_than_6_1_fails),
        doctor_tree_test(kernel_before_6_5_is_reported_where_clients_use_unix),
        doctor_tree_test(ring_that_is_refused_fails_in_words_for_its_errno),
        doctor_tree_test(running_server_has_its_rings),
        doctor_tree_test(ring_of_a_lower_rung_warns),
        doctor_tree_test(ring_that_lacks_an_operation_fails),
        doctor_tree_test(sysctl_of_io_uring_is_judged_for_the_user),
        doctor_tree_test(seccomp_filter_fails_only_where_rings_are_refused),
        doctor_tree_test(user_who_cannot_trace_is_informed),
        doctor_tree_test(security_module_warns_only_where_rings_are_refused),
        doctor_tree_test(containers_are_recognized),
        doctor_tree_test(server_in_another_network_namespace_is_reported),
        doctor_tree_test(virtual_machines_are_recognized),
        doctor_tree_test(options_that_cannot_be_read_are_reported),
        doctor_tree_test(files_that_do_not_suffice_for_all_clients_fail),
        doctor_tree_test(locked_memory_of_less_than_8_mib_warns),
        doctor_tree_test(fewer_threads_than_a_server_has_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
