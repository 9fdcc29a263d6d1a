#include "tests/doctor_tree.h"

#include "ring/board/counters.h"
#include "ring/board/counters_file.h"

/* The counters of a server whose process ID is this process's; the test has to close them. */
struct run_server {
    struct counters_file file;
    struct counters *counters;
};

static void open_server(struct doctor_tree *tree, struct run_server *server)
{
    char path[64], directory[DOCTOR_PATH_BYTES_MAX];
    tree->doctor.pid = (int)getpid();
    snprintf(tree->doctor.process, sizeof tree->doctor.process, "%d", tree->doctor.pid);
    snprintf(path, sizeof path, "/proc/%d/root/dev/shm/.", tree->doctor.pid);
    doctor_tree_path(tree, path, directory);
    directory[strlen(directory) - 2] = '\0';
    assert_int_equal(counters_file_open(&server->file, directory, counters_bytes(2)), 0);
    assert_int_equal(counters_open(&server->counters, server->file.fd, 2), 0);
    assert_int_equal(counters_file_publish(&server->file, directory), 0);
}

static void close_server(struct run_server *server)
{
    counters_close(server->counters);
    counters_file_close(&server->file);
}

static void without_a_server_nothing_is_known(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_run(tree, "run");
    assert_int_equal(tree->doctor.count, 5);
    for (uint32_t i = 0; i < tree->doctor.count; i++) {
        assert_int_equal(tree->doctor.findings[i].level, DOCTOR_UNKNOWN);
    }
    tree->doctor.pid = 42;
    strcpy(tree->doctor.process, "42");
    doctor_tree_says(doctor_tree_finds(tree, "run.laps", DOCTOR_UNKNOWN), "server 42");
}

static void each_counter_is_a_finding(void **state)
{
    struct doctor_tree *tree = *state;
    struct run_server server;
    open_server(tree, &server);
    doctor_tree_run(tree, "run");
    assert_int_equal(tree->doctor.count, 5);
    assert_int_equal(tree->doctor.findings[0].level, DOCTOR_OK); /* the worst */

    counter_set(&server.counters->cores[0].core_laps, 2);
    counter_set(&server.counters->cores[1].core_laps, 3);
    doctor_tree_says(doctor_tree_finds(tree, "run.laps", DOCTOR_WARN), "5 times");
    counter_set(&server.counters->cores[1].cq_overflow, 1);
    doctor_tree_finds(tree, "run.overflow", DOCTOR_FAIL);
    counter_set(&server.counters->cores[1].recv_no_buffer, 1);
    doctor_tree_finds(tree, "run.recv", DOCTOR_WARN);
    counter_set(&server.counters->publisher.feed_malformed, 4);
    doctor_tree_says(doctor_tree_finds(tree, "run.malformed", DOCTOR_WARN), "4 inputs");
    counter_set(&server.counters->process.log_lost, 6);
    doctor_tree_says(doctor_tree_finds(tree, "run.log", DOCTOR_WARN), "6 lines");
    close_server(&server);
}

static void two_counters_of_one_id_are_two_findings(void **state)
{
    struct doctor_tree *tree = *state;
    struct run_server server;
    open_server(tree, &server);
    counter_set(&server.counters->publisher.feed_malformed, 4);
    counter_set(&server.counters->publisher.ticks_refused, 9);
    doctor_tree_run(tree, "run.malformed");
    assert_int_equal(tree->doctor.count, 2);
    doctor_tree_says(&tree->doctor.findings[1], "9 ticks were refused");
    close_server(&server);
}

static void a_server_of_a_container_has_the_id_of_its_namespace(void **state)
{
    struct doctor_tree *tree = *state;
    struct run_server server;
    char text[64];
    open_server(tree, &server);
    counter_set(&server.counters->cores[0].core_laps, 2);
    char from[DOCTOR_PATH_BYTES_MAX], to[DOCTOR_PATH_BYTES_MAX];
    snprintf(from, sizeof from, "%s/proc/%d", tree->root, tree->doctor.pid);
    snprintf(to, sizeof to, "%s/proc/7777", tree->root);
    assert_int_equal(rename(from, to), 0); /* as the host numbers it */
    snprintf(text, sizeof text, "Name:\tringcast\nNSpid:\t7777\t%ld\nVmSwap: 0 kB\n",
             (long)getpid());
    doctor_tree_write(tree, "/proc/7777/status", text);
    tree->doctor.pid = 7777;
    strcpy(tree->doctor.process, "7777");
    doctor_tree_finds(tree, "run.laps", DOCTOR_WARN);
    close_server(&server);
}

/* ---- trace.* ---- */

static void a_kernel_without_anything_to_trace_with_is_told(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "trace.btf", DOCTOR_INFO);
    doctor_tree_says(doctor_tree_finds(tree, "trace.tracefs", DOCTOR_INFO),
                     "mount -t tracefs tracefs /sys/kernel/tracing");
    doctor_tree_finds(tree, "trace.uprobes", DOCTOR_INFO);
    doctor_tree_finds(tree, "trace.lockdown", DOCTOR_OK);
}

static void a_kernel_that_can_be_traced_is_well(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/sys/kernel/btf/vmlinux", "\x9f\xeb");
    doctor_tree_write(tree, "/sys/kernel/tracing/events/enable", "0\n");
    doctor_tree_write(tree, "/sys/bus/event_source/devices/uprobe/type", "9\n");
    doctor_tree_write(tree, "/sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
    doctor_tree_run(tree, "trace");
    assert_int_equal(tree->doctor.count, 4);
    assert_int_equal(tree->doctor.findings[0].level, DOCTOR_OK);
}

static void what_only_root_may_read_is_mounted(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "30 29 0:7 / /sys/kernel/tracing rw,relatime - tracefs tracefs rw\n");
    doctor_tree_says(doctor_tree_finds(tree, "trace.tracefs", DOCTOR_INFO), "Only root");
}

static void a_locked_kernel_is_told(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/sys/kernel/security/lockdown", "none integrity [confidentiality]\n");
    doctor_tree_finds(tree, "trace.lockdown", DOCTOR_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(without_a_server_nothing_is_known),
        doctor_tree_test(each_counter_is_a_finding),
        doctor_tree_test(two_counters_of_one_id_are_two_findings),
        doctor_tree_test(a_server_of_a_container_has_the_id_of_its_namespace),
        doctor_tree_test(a_kernel_without_anything_to_trace_with_is_told),
        doctor_tree_test(a_kernel_that_can_be_traced_is_well),
        doctor_tree_test(what_only_root_may_read_is_mounted),
        doctor_tree_test(a_locked_kernel_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
