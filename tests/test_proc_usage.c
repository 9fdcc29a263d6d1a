#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "tests/emulator.h"
#include "tools/common/proc_usage.h"

static void this_process_has_memory_and_a_thread(void **state)
{
    (void)state;
    EMULATOR_LACKS("/proc/self/stat of the program");
    struct proc_usage usage;
    assert_int_equal(proc_usage_read(getpid(), &usage), 0);
    assert_true(usage.rss_bytes > 100000);
    assert_int_equal(usage.thread_count, 1);
}

static void a_name_with_parentheses_is_no_trap(void **state)
{
    (void)state;
    EMULATOR_LACKS("/proc/self/stat of the program");
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

static uint64_t tick_ns(void)
{
    return NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK);
}

static uint64_t own_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/* What /proc/stat says of all cores together: idle and waiting for input. */
static uint64_t idle_by_kernel_ns(void)
{
    uint64_t idle, iowait;
    FILE *file = fopen("/proc/stat", "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "cpu %*u %*u %*u %" SCNu64 " %" SCNu64, &idle, &iowait), 2);
    fclose(file);
    return (idle + iowait) * tick_ns();
}

static void cores_were_idle_for_as_long_as_the_kernel_says(void **state)
{
    (void)state;
    struct core_usage usage;
    uint64_t sum_ns = 0;
    uint64_t least_ns = idle_by_kernel_ns();
    int cpu = 0;
    for (; core_usage_read(cpu, &usage) == 0; cpu++) {
        sum_ns += usage.idle_ns;
    }
    uint64_t most_ns = idle_by_kernel_ns();
    uint64_t rounding_ns = 2 * (uint64_t)(cpu + 1) * tick_ns(); /* idle and waiting, each core */
    assert_true(cpu > 0);
    assert_in_range(sum_ns, least_ns - rounding_ns, most_ns + rounding_ns);
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
    uint64_t wall_begin_ns = clock_ns(CLOCK_MONOTONIC);
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
    uint64_t wall_ns = clock_ns(CLOCK_MONOTONIC) - wall_begin_ns;
    int64_t idle_ns = (int64_t)(end.idle_ns - begin.idle_ns); /* Waiting may be taken back. */
    assert_true(end.busy_ns - begin.busy_ns + 30 * NS_PER_MS >= used_ns);
    assert_true(idle_ns + (int64_t)used_ns <= (int64_t)(wall_ns + 30 * NS_PER_MS));
}

static void a_core_that_is_not_there_is_told(void **state)
{
    (void)state;
    struct core_usage usage;
    assert_int_equal(core_usage_read(100000, &usage), -ENOENT);
}

static void a_thread_waited_at_most_as_long_as_it_is_there(void **state)
{
    (void)state;
    uint64_t begin_ns = clock_ns(CLOCK_MONOTONIC);
    uint64_t first_ns, last_ns;
    if (proc_usage_wait(gettid(), &first_ns) == -ENOENT) {
        print_message("SKIPPED: this kernel does not tell\n");
        skip();
    }
    for (int i = 0; i < 10; i++) {
        sched_yield();
        usleep(1000);
    }
    assert_int_equal(proc_usage_wait(gettid(), &last_ns), 0);
    assert_true(last_ns >= first_ns);
    assert_true(last_ns - first_ns <= clock_ns(CLOCK_MONOTONIC) - begin_ns);
    assert_int_equal(proc_usage_wait(INT32_MAX, &last_ns), -ENOENT);
}

static void stolen_time_is_that_of_the_cores_of_this_process(void **state)
{
    (void)state;
    uint64_t steal_ns = UINT64_MAX, sum_ns = 0, least_ns = 0;
    uint32_t core_count = 0;
    struct core_usage usage;
    cpu_set_t cpus;
    assert_int_equal(sched_getaffinity(0, sizeof cpus, &cpus), 0);
    for (int round = 0; round < 2; round++) {
        sum_ns = 0;
        for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
            if (CPU_ISSET(cpu, &cpus) && core_usage_read(cpu, &usage) == 0) {
                sum_ns += usage.steal_ns;
            }
        }
        if (round == 0) {
            least_ns = sum_ns;
            assert_int_equal(core_usage_steal(&steal_ns, &core_count), 0);
        }
    }
    assert_int_equal(core_count, CPU_COUNT(&cpus));
    assert_in_range(steal_ns, least_ns, sum_ns);
}

/* What no control group tells is told to be unknown, and never as 0. */
static void throttled_time_grows_or_is_not_told(void **state)
{
    (void)state;
    uint64_t first_ns = UINT64_MAX, last_ns;
    int error = proc_usage_throttled(&first_ns);
    assert_true(error == 0 || error == -ENOENT);
    assert_int_equal(proc_usage_throttled(&last_ns), error);
    assert_true(last_ns >= first_ns);
}

static void a_core_is_never_busy_for_less_than_no_time(void **state)
{
    (void)state;
    struct core_usage begin = {.busy_ns = 5000000};
    struct core_usage end = {.busy_ns = 7000000};
    assert_int_equal(core_usage_busy_ns(&begin, &end), 2000000);
    assert_int_equal(core_usage_busy_ns(&begin, &begin), 0);
    assert_int_equal(core_usage_busy_ns(&end, &begin), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_is_never_busy_for_less_than_no_time),
        cmocka_unit_test(a_thread_waited_at_most_as_long_as_it_is_there),
        cmocka_unit_test(stolen_time_is_that_of_the_cores_of_this_process),
        cmocka_unit_test(throttled_time_grows_or_is_not_told),
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
