#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tools/proc_usage.h"

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

static void the_first_core_has_been_busy_and_the_last_is_not_there(void **state)
{
    (void)state;
    struct core_usage usage;
    assert_int_equal(core_usage_read(0, &usage), 0);
    assert_true(usage.busy_ns > 0);
    assert_int_equal(core_usage_read(100000, &usage), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_has_memory_and_a_thread),
        cmocka_unit_test(a_name_with_parentheses_is_no_trap),
        cmocka_unit_test(a_process_that_is_not_there_is_told),
        cmocka_unit_test(a_process_that_has_ended_is_gone_before_it_is_waited_for),
        cmocka_unit_test(the_first_core_has_been_busy_and_the_last_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
