#include "tests/doctor_tree.h"

static void kernel_older_than_6_1_fails(void **state)
{
    struct doctor_tree *tree = *state;
    snprintf(tree->host.release, sizeof tree->host.release, "5.15.0-91-generic");
    doctor_tree_says(doctor_tree_finds(tree, "kernel.version", DOCTOR_FAIL), "5.15.0-91-generic");
    snprintf(tree->host.release, sizeof tree->host.release, "6.1.0");
    doctor_tree_finds(tree, "kernel.version", DOCTOR_OK);
}

static void kernel_release_without_a_number_is_unknown(void **state)
{
    struct doctor_tree *tree = *state;
    snprintf(tree->host.release, sizeof tree->host.release, "custom");
    doctor_tree_finds(tree, "kernel.version", DOCTOR_UNKNOWN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(kernel_older_than_6_1_fails),
        doctor_tree_test(kernel_release_without_a_number_is_unknown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
