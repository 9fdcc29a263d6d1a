#include "tests/doctor_tree.h"

#include "src/doctor/doctor_cgroup.h"

static struct cgroup group;

static void assert_levels(const struct doctor_tree *tree, const char *controller, int version,
                          const char *const *folders)
{
    bool is_there = doctor_cgroup_find(&tree->doctor, &group, controller);
    for (; *folders != NULL; folders++) {
        assert_true(is_there);
        assert_int_equal(group.version, version);
        assert_string_equal(group.folder, *folders);
        is_there = cgroup_up(&group);
    }
    assert_false(is_there);
}
#define LEVELS(...)                                                                                \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

#define V2_MOUNT "29 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n"

static void version_2_is_walked_up_to_its_mount(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/kube/pod/box\n");
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "22 1 0:5 / / rw - ext4 /dev/sda rw\n" V2_MOUNT);
    assert_levels(tree, "memory", 2,
                  LEVELS("/sys/fs/cgroup/kube/pod/box", "/sys/fs/cgroup/kube/pod",
                         "/sys/fs/cgroup/kube", "/sys/fs/cgroup"));
}

static void a_controller_of_version_1_is_found_beside_version_2(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup",
                      "9:name=systemd:/x\n4:cpu,cpuacct:/box/inner\n1:cpuset:/y\n0::/z\n");
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
                      "35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
                      "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    assert_levels(tree, "cpu", 1,
                  LEVELS("/sys/fs/cgroup/cpu,cpuacct/box/inner", "/sys/fs/cgroup/cpu,cpuacct/box",
                         "/sys/fs/cgroup/cpu,cpuacct"));
    assert_levels(tree, "cpuset", 1, LEVELS("/sys/fs/cgroup/cpuset/y", "/sys/fs/cgroup/cpuset"));
    assert_levels(tree, "memory", 2, LEVELS("/sys/fs/cgroup/unified/z", "/sys/fs/cgroup/unified"));
}

static void the_cgroup_is_that_of_the_running_server(void **state)
{
    struct doctor_tree *tree = *state;
    tree->doctor.pid = 77;
    strcpy(tree->doctor.process, "77");
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/shell\n");
    doctor_tree_write(tree, "/proc/77/cgroup", "0::/system.slice/ringcast.service\n");
    doctor_tree_write(tree, "/proc/self/mountinfo", V2_MOUNT);
    assert_levels(tree, "cpu", 2,
                  LEVELS("/sys/fs/cgroup/system.slice/ringcast.service",
                         "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"));
}

static void a_container_sees_its_own_cgroup_at_the_mount(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/\n"); /* with a namespace */
    doctor_tree_write(tree, "/proc/self/mountinfo", V2_MOUNT);
    assert_levels(tree, "cpu", 2, LEVELS("/sys/fs/cgroup"));
    doctor_tree_write(
        tree, "/proc/self/mountinfo",
        "29 22 0:26 /docker/0123 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"); /* without */
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/docker/0123/inner\n");
    assert_levels(tree, "cpu", 2, LEVELS("/sys/fs/cgroup/inner", "/sys/fs/cgroup"));
    doctor_tree_write(tree, "/proc/self/cgroup",
                      "0::/docker/01234\n"); /* another, whose name only begins alike */
    assert_levels(tree, "cpu", 2, LEVELS("/sys/fs/cgroup"));
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/../other\n");
    assert_levels(tree, "cpu", 2, LEVELS("/sys/fs/cgroup"));
}

static void a_mount_whose_path_has_a_blank_is_found(void **state)
{
    struct doctor_tree *tree = *state;
    doctor_tree_write(tree, "/proc/self/cgroup", "garbage\n0::/box\n");
    doctor_tree_write(tree, "/proc/self/mountinfo",
                      "garbage\n29 22 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    assert_levels(tree, "cpu", 2, LEVELS("/my groups/box", "/my groups"));
}

static void what_is_missing_or_too_long_is_not_found(void **state)
{
    struct doctor_tree *tree = *state;
    assert_false(doctor_cgroup_find(&tree->doctor, &group, "cpu"));
    doctor_tree_write(tree, "/proc/self/cgroup", "0::/box\n");
    assert_false(doctor_cgroup_find(&tree->doctor, &group, "cpu"));
    doctor_tree_write(tree, "/proc/self/mountinfo", V2_MOUNT);
    assert_true(doctor_cgroup_find(&tree->doctor, &group, "cpu"));
    char line[DOCTOR_CGROUP_PATH_BYTES_MAX + 16];
    snprintf(line, sizeof line, "0::/%0*d\n", DOCTOR_CGROUP_PATH_BYTES_MAX - 8, 7);
    doctor_tree_write(tree, "/proc/self/cgroup", line);
    assert_false(doctor_cgroup_find(&tree->doctor, &group, "cpu"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        doctor_tree_test(version_2_is_walked_up_to_its_mount),
        doctor_tree_test(a_controller_of_version_1_is_found_beside_version_2),
        doctor_tree_test(the_cgroup_is_that_of_the_running_server),
        doctor_tree_test(a_container_sees_its_own_cgroup_at_the_mount),
        doctor_tree_test(a_mount_whose_path_has_a_blank_is_found),
        doctor_tree_test(what_is_missing_or_too_long_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
