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

#include "codec/base/units.h"
#include "src/base/memory_limit.h"

#define V1_MOUNT "/sys/fs/cgroup/memory"
#define V1_NONE "9223372036854771712\n"

static char root[64];
static struct memory_limit limit;

static int set_up(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ringcast-test-XXXXXX");
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

/* A file below the root, with the folders it needs. */
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

static void put_level(const char *folder, const char *max, const char *current, const char *stat)
{
    char path[256];
    snprintf(path, sizeof path, "%s/memory.max", folder);
    put(path, max);
    snprintf(path, sizeof path, "%s/memory.current", folder);
    put(path, current);
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    put(path, stat);
}

static void put_v2(const char *group, const char *mount_root)
{
    char text[512];
    snprintf(text, sizeof text, "0::%s\n", group);
    put("/proc/self/cgroup", text);
    snprintf(text, sizeof text,
             "22 1 0:5 / / rw - ext4 /dev/sda rw\n"
             "29 22 0:26 %s /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n",
             mount_root);
    put("/proc/self/mountinfo", text);
}

static void the_smallest_limit_on_the_way_up_counts(void **state)
{
    (void)state;
    put_v2("/kube/pod/box", "/");
    put_level("/sys/fs/cgroup/kube/pod/box", "500000000\n", "100000000\n",
              "anon 1\ninactive_file 20000000\nactive_file 7\n");
    put_level("/sys/fs/cgroup/kube/pod", "400000000\n", "390000000\n", "anon 1\n");
    put_level("/sys/fs/cgroup/kube", "max\n", "390000000\n", "anon 1\n");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 400000000);
    assert_int_equal(limit.used_bytes, 390000000);
    assert_int_equal(limit.available_bytes, 10000000);
    assert_string_equal(limit.path, "/sys/fs/cgroup/kube/pod/memory.max");
}

static void file_pages_that_can_be_dropped_are_not_in_use(void **state)
{
    (void)state;
    put_v2("/box", "/");
    put_level("/sys/fs/cgroup/box", "500000000\n", "100000000\n",
              "anon 1\ninactive_file 20000000\n");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.used_bytes, 80000000);
    assert_int_equal(limit.available_bytes, 420000000);
}

/* The host's fuller parent may leave less than a smaller limit below it. */
static void what_is_available_is_the_least_of_all_levels(void **state)
{
    (void)state;
    put_v2("/a/b", "/");
    put_level("/sys/fs/cgroup/a/b", "100\n", "10\n", "");
    put_level("/sys/fs/cgroup/a", "1000\n", "990\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 100);
    assert_int_equal(limit.available_bytes, 10);
}

static void without_a_limit_there_is_none(void **state)
{
    (void)state;
    memory_limit_read(&limit, root); /* no /proc */
    assert_int_equal(limit.limit_bytes, 0);
    put_v2("/box", "/");
    memory_limit_read(&limit, root); /* no files of the memory controller */
    assert_int_equal(limit.limit_bytes, 0);
    put_level("/sys/fs/cgroup/box", "max\n", "1\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 0);
    assert_true(limit.available_bytes == UINT64_MAX);
    assert_string_equal(limit.path, "");
}

/* With a namespace of its own a container sees "/"; its limit is at the mount itself. */
static void a_container_with_a_namespace_has_its_limit_at_the_mount(void **state)
{
    (void)state;
    put_v2("/", "/");
    put_level("/sys/fs/cgroup", "300\n", "100\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 300);
    put_v2("/../other", "/../..");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 300);
}

static void a_container_without_a_namespace_has_its_own_cgroup_mounted(void **state)
{
    (void)state;
    put_v2("/docker/0123", "/docker/0123");
    put_level("/sys/fs/cgroup", "300\n", "100\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 300);
    put_v2("/docker/0123/inner", "/docker/0123");
    put_level("/sys/fs/cgroup/inner", "200\n", "100\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 200);
    put_v2("/docker/01234", "/docker/0123"); /* another, whose name only begins alike */
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 300);
}

static void put_v1(const char *group)
{
    char text[512];
    snprintf(text, sizeof text, "9:name=systemd:/x\n4:cpu,memory:%s\n1:cpuset:/y\n0::/\n", group);
    put("/proc/self/cgroup", text);
    put("/proc/self/mountinfo",
        "32 31 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
        "35 31 0:32 / " V1_MOUNT " rw,relatime - cgroup cgroup rw,cpu,memory\n"
        "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n");
}

static void version_1_is_read_beside_an_empty_version_2(void **state)
{
    (void)state;
    put_v1("/box/inner");
    put(V1_MOUNT "/memory.limit_in_bytes", V1_NONE);
    put(V1_MOUNT "/box/memory.limit_in_bytes", "314572800\n");
    put(V1_MOUNT "/box/memory.usage_in_bytes", "104857600\n");
    put(V1_MOUNT "/box/memory.stat", "inactive_file 5\ntotal_inactive_file 4857600\n");
    put(V1_MOUNT "/box/inner/memory.limit_in_bytes", V1_NONE);
    put(V1_MOUNT "/box/inner/memory.usage_in_bytes", "104857600\n");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 314572800);
    assert_int_equal(limit.used_bytes, 100000000);
    assert_string_equal(limit.path, V1_MOUNT "/box/memory.limit_in_bytes");
}

static void a_limit_below_the_use_leaves_nothing(void **state)
{
    (void)state;
    put_v1("/box");
    put(V1_MOUNT "/box/memory.limit_in_bytes", "100\n");
    put(V1_MOUNT "/box/memory.usage_in_bytes", "200\n");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.available_bytes, 0);
}

static void a_mount_whose_path_has_a_blank_is_found(void **state)
{
    (void)state;
    put("/proc/self/cgroup", "garbage\n0::/box\n");
    put("/proc/self/mountinfo", "garbage\n29 22 0:26 / /my\\040groups rw - cgroup2 cgroup2 rw\n");
    put_level("/my groups/box", "77\n", "7\n", "");
    memory_limit_read(&limit, root);
    assert_int_equal(limit.limit_bytes, 77);
}

static void this_process_can_be_read(void **state)
{
    (void)state;
    memory_limit_read(&limit, "");
    assert_true((limit.limit_bytes == 0) == (limit.path[0] == '\0'));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_smallest_limit_on_the_way_up_counts),
        TEST(file_pages_that_can_be_dropped_are_not_in_use),
        TEST(what_is_available_is_the_least_of_all_levels),
        TEST(without_a_limit_there_is_none),
        TEST(a_container_with_a_namespace_has_its_limit_at_the_mount),
        TEST(a_container_without_a_namespace_has_its_own_cgroup_mounted),
        TEST(version_1_is_read_beside_an_empty_version_2),
        TEST(a_limit_below_the_use_leaves_nothing),
        TEST(a_mount_whose_path_has_a_blank_is_found),
        TEST(this_process_can_be_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
