#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tools/common/proc_usage.h"

static void this_process_has_memory_and_a_thread(void **state)
{
    (void)state;
    struct proc_usage usage;
    assert_int_equal(proc_usage_read(getpid(), &usage), 0);
    assert_true(usage.rss_bytes > 100000);
    assert_int_equal(usage.thread_count, 1);
}

static void a_name_with_parentheses_is_no_trap(void **state)
{
    (void)state;
    struct proc_usage usage;
    prctl(PR_SET_NAME, "a) R 1 (b");
    assert_int_equal(proc_usage_read(getpid(), &usage), 0);
    assert_int_equal(usage.thread_count, 1);
}

static void a_process_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct proc_usage usage;
    assert_int_equal(proc_usage_read(INT32_MAX, &usage), -ENOENT);
}

static void a_process_that_has_ended_is_gone_before_it_is_waited_for(void **state)
{
    (void)state;
    struct proc_usage usage;
    siginfo_t ended;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        _exit(0);
    }
    assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOWAIT), 0);
    assert_int_equal(proc_usage_read(child, &usage), -ENOENT);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static uint64_t own_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* The kernel's own sum over all cores. */
static uint64_t idle_by_uptime_ns(void)
{
    double seconds = 0;
    FILE *file = fopen("/proc/uptime", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%*f %lf", &seconds), 1);
    fclose(file);
    return (uint64_t)(seconds * 1e9);
}

static uint64_t idle_of_all_cores_ns(void)
{
    struct core_usage usage;
    uint64_t sum_ns = 0;
    for (int cpu = 0; core_usage_read(cpu, &usage) == 0; cpu++) {
        sum_ns += usage.idle_ns;
    }
    return sum_ns;
}

static void cores_were_idle_for_as_long_as_the_kernel_says(void **state)
{
    (void)state;
    uint64_t begin_ns = idle_of_all_cores_ns();
    uint64_t uptime_begin_ns = idle_by_uptime_ns();
    usleep(300 * 1000);
    uint64_t uptime_ns = idle_by_uptime_ns() - uptime_begin_ns;
    assert_true(idle_of_all_cores_ns() - begin_ns + 50 * NS_PER_MS >= uptime_ns);
}

/* In steps much shorter than a timer tick, which a count of ticks may miss all. */
static void a_core_was_busy_for_as_long_as_a_thread_ran_on_it(void **state)
{
    (void)state;
    struct core_usage begin, end;
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    int cpu = 0;
    while (!CPU_ISSET(cpu, &cpus)) {
        cpu++;
    }
    CPU_ZERO(&cpus);
    CPU_SET(cpu, &cpus);
    assert_int_equal(sched_setaffinity(0, sizeof cpus, &cpus), 0);
    assert_int_equal(core_usage_read(cpu, &begin), 0);
    uint64_t begin_ns = own_ns();
    for (int i = 0; i < 200; i++) {
        uint64_t step_ns = own_ns();
        while (own_ns() - step_ns < NS_PER_MS) {
        }
        usleep(500);
    }
    uint64_t used_ns = own_ns() - begin_ns;
    assert_int_equal(core_usage_read(cpu, &end), 0);
    assert_true(end.busy_ns - begin.busy_ns + 30 * NS_PER_MS >= used_ns);
}

static void a_core_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct core_usage usage;
    assert_int_equal(core_usage_read(100000, &usage), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_has_memory_and_a_thread),
        cmocka_unit_test(a_name_with_parentheses_is_no_trap),
        cmocka_unit_test(a_process_that_is_not_there_is_told),
        cmocka_unit_test(a_process_that_has_ended_is_gone_before_it_is_waited_for),
        cmocka_unit_test(cores_were_idle_for_as_long_as_the_kernel_says),
        cmocka_unit_test(a_core_was_busy_for_as_long_as_a_thread_ran_on_it),
        cmocka_unit_test(a_core_that_is_not_there_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
