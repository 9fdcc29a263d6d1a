#include "tests/doctor_tree.h"

#include <sys/timex.h>

#define SOURCE "/sys/devices/system/clocksource/clocksource0"

static void slow_source_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_finds(tree, "clock.source", DOCTOR_UNKNOWN);
    doctor_tree_write(tree, SOURCE "/current_clocksource", "kvm-clock\n");
    doctor_tree_finds(tree, "clock.source", DOCTOR_OK);
    doctor_tree_write(tree, SOURCE "/current_clocksource", "hpet\n");
    doctor_tree_write(tree, SOURCE "/available_clocksource", "hpet acpi_pm \n");
    doctor_tree_says(doctor_tree_finds(tree, "clock.source", DOCTOR_WARN), "does not offer tsc");
    doctor_tree_write(tree, SOURCE "/available_clocksource", "tsc hpet acpi_pm \n");
    doctor_tree_says(doctor_tree_finds(tree, "clock.source", DOCTOR_WARN), "echo tsc > " SOURCE);
}

static void dear_clock_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    tree->host.clock_ns = 100;
    doctor_tree_finds(tree, "clock.cost", DOCTOR_OK);
    tree->host.clock_ns = 730;
    doctor_tree_says(doctor_tree_finds(tree, "clock.cost", DOCTOR_WARN), "takes 730 ns");
}

static void clock_that_nobody_sets_is_warned_of(void **state)
{
    struct doctor_tree *tree = *state;
    tree->host.clock_state = TIME_OK;
    doctor_tree_finds(tree, "clock.sync", DOCTOR_OK);
    tree->host.clock_state = TIME_ERROR;
    doctor_tree_says(doctor_tree_finds(tree, "clock.sync", DOCTOR_WARN), "no program");
    doctor_tree_write(tree, "/proc/9/comm", "bash\n");
    doctor_tree_write(tree, "/proc/10/comm", "systemd-timesyn\n");
    doctor_tree_says(doctor_tree_finds(tree, "clock.sync", DOCTOR_WARN), "systemd-timesyn runs");
    doctor_tree_write(tree, "/proc/7/comm", "chronyd\n"); /* may be right all the same */
    doctor_tree_says(doctor_tree_finds(tree, "clock.sync", DOCTOR_INFO), "rtcsync");
}

static void leap_second_is_mentioned(void **state)
{
    struct doctor_tree *tree = *state;
    tree->host.clock_state = TIME_INS;
    doctor_tree_finds(tree, "clock.sync", DOCTOR_INFO);
    tree->host.clock_state = -EPERM;
    doctor_tree_finds(tree, "clock.sync", DOCTOR_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(slow_source_is_warned_of),
        doctor_tree_test(dear_clock_is_warned_of),
        doctor_tree_test(clock_that_nobody_sets_is_warned_of),
        doctor_tree_test(leap_second_is_mentioned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
