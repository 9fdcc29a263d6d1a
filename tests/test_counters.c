/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/counters.h"

static char path[64];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "/tmp/ringcast-test-counters-%d", (int)getpid());
    return 0;
}

static void another_process_sees_what_is_counted(void **state)
{
    (void)state;
    struct counters *counters;
    assert_int_equal(counters_open(&counters, path, 2), 0);
    counter_add(&counters->cores[1].frames_out, 41);
    counter_add(&counters->cores[1].frames_out, 1);
    int fd = open(path, O_RDONLY);
    assert_true(fd >= 0);
    const struct counters *seen = mmap(NULL, sizeof *seen, PROT_READ, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(seen, MAP_FAILED);
    assert_true(seen->magic == COUNTERS_MAGIC);
    assert_int_equal(seen->version, COUNTERS_VERSION);
    assert_int_equal(seen->core_count, 2);
    assert_int_equal(counter_get(&seen->cores[1].frames_out), 42);
    munmap((void *)(uintptr_t)seen, sizeof *seen);
    close(fd);
    counters_close(counters, path);
    assert_int_equal(access(path, F_OK), -1);
}

static void only_the_owner_may_read_the_file(void **state)
{
    (void)state;
    struct counters *counters;
    struct stat status;
    assert_int_equal(counters_open(&counters, path, 1), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    counters_close(counters, path);
}

static void a_path_that_cannot_be_made_is_an_error(void **state)
{
    (void)state;
    struct counters *counters;
    assert_int_equal(counters_open(&counters, "/nowhere/at/all", 1), -ENOENT);
    assert_int_equal(counters_open(&counters, NULL, COUNTERS_CORES_MAX + 1), -EINVAL);
}

static void without_a_path_they_are_in_memory_only(void **state)
{
    (void)state;
    struct counters *counters;
    assert_int_equal(counters_open(&counters, NULL, 1), 0);
    counter_set(&counters->publisher.ticks, 7);
    assert_int_equal(counter_get(&counters->publisher.ticks), 7);
    counters_close(counters, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_process_sees_what_is_counted),
        cmocka_unit_test(only_the_owner_may_read_the_file),
        cmocka_unit_test(a_path_that_cannot_be_made_is_an_error),
        cmocka_unit_test(without_a_path_they_are_in_memory_only),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
