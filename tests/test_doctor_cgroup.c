#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "src/doctor/doctor_cgroup.h"

static char root[64];
static struct doctor doctor;
static struct doctor_cgroup group;

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ringcast-test-XXXXXX");
    doctor = (struct doctor){.root = root};
    return mkdtemp(root) == NULL ? -1 : 0;
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

static int tear_down(void **state)
{
    (void)state;
    return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void put(const char *path, const char *text)
{
    char whole[512];
    snprintf(whole, sizeof whole, "%s%s", root, path);
    for (char *slash = strchr(whole + strlen(root) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void assert_levels(const char *controller, int version, const char *const *folders)
{
    bool is_there = doctor_cgroup_find(&doctor, &group, controller);
    for (; *folders != NULL; folders++) {
        assert_true(is_there);
        assert_int_equal(group.version, version);
        assert_string_equal(group.folder, *folders);
        is_there = doctor_cgroup_up(&group);
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
    (void)state;
    put("/proc/self/cgroup", "0::/kube/pod/box\n");
    put("/proc/self/mountinfo", "22 1 0:5 / / rw - ext4 /dev/sda rw\n" V2_MOUNT);
    assert_levels("memory", 2,
                  LEVELS("/sys/fs/cgroup/kube/pod/box", "/sys/fs/cgroup/kube/pod",
                         "/sys/fs/cgroup/kube", "/sys/fs/cgroup"));
}

static void a_controller_of_version_1_is_found_beside_version_2(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "9:name=systemd:/x\n4:cpu,cpuacct:/box/inner\n1:cpuset:/y\n0::/z\n");
    put("/proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "35 31 0:32 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
    assert_levels("cpu", 1,
                  LEVELS("/sys/fs/cgroup/cpu,cpuacct/box/inner", "/sys/fs/cgroup/cpu,cpuacct/box",
                         "/sys/fs/cgroup/cpu,cpuacct"));
    assert_levels("cpuset", 1, LEVELS("/sys/fs/cgroup/cpuset/y", "/sys/fs/cgroup/cpuset"));
    assert_levels("memory", 2, LEVELS("/sys/fs/cgroup/unified/z", "/sys/fs/cgroup/unified"));
}

static void the_cgroup_is_that_of_the_running_server(void **state)
{
    (void)state;
    doctor.pid = 77;
    put("/proc/self/cgroup", "0::/shell\n");
    put("/proc/77/cgroup", "0::/system.slice/ringcast.service\n");
    put("/proc/self/mountinfo", V2_MOUNT);
    assert_levels("cpu", 2,
                  LEVELS("/sys/fs/cgroup/system.slice/ringcast.service",
                         "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup"));
}

static void a_container_sees_its_own_cgroup_at_the_mount(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "0::/\n"); /* with a namespace */
    put("/proc/self/mountinfo", V2_MOUNT);
    assert_levels("cpu", 2, LEVELS("/sys/fs/cgroup"));
    put("/proc/self/mountinfo",
        "29 22 0:26 /docker/0123 /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"); /* without */
    put("/proc/self/cgroup", "0::/docker/0123/inner\n");
    assert_levels("cpu", 2, LEVELS("/sys/fs/cgroup/inner", "/sys/fs/cgroup"));
    put("/proc/self/cgroup", "0::/docker/01234\n"); /* another, whose name only begins alike */
    assert_levels("cpu", 2, LEVELS("/sys/fs/cgroup"));
    put("/proc/self/cgroup", "0::/../other\n");
    assert_levels("cpu", 2, LEVELS("/sys/fs/cgroup"));
}

static void a_mount_whose_path_has_a_blank_is_found(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "garbage\n0::/box\n");
    put("/proc/self/mountinfo", "garbage\n29 22 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    assert_levels("cpu", 2, LEVELS("/my groups/box", "/my groups"));
}

static void what_is_missing_or_too_long_is_not_found(void **state)
{
    (void)state;
    assert_false(doctor_cgroup_find(&doctor, &group, "cpu"));
    put("/proc/self/cgroup", "0::/box\n");
    assert_false(doctor_cgroup_find(&doctor, &group, "cpu"));
    put("/proc/self/mountinfo", V2_MOUNT);
    assert_true(doctor_cgroup_find(&doctor, &group, "cpu"));
    char line[DOCTOR_CGROUP_PATH_BYTES_MAX + 16];
    snprintf(line, sizeof line, "0::/%0*d\n", DOCTOR_CGROUP_PATH_BYTES_MAX - 8, 7);
    put("/proc/self/cgroup", line);
    assert_false(doctor_cgroup_find(&doctor, &group, "cpu"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(version_2_is_walked_up_to_its_mount),
        TEST(a_controller_of_version_1_is_found_beside_version_2),
        TEST(the_cgroup_is_that_of_the_running_server),
        TEST(a_container_sees_its_own_cgroup_at_the_mount),
        TEST(a_mount_whose_path_has_a_blank_is_found),
        TEST(what_is_missing_or_too_long_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
