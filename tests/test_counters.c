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
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/board/counters.h"

static char directory[64];
static char path[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ringcast-counters-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    snprintf(path, sizeof path, "%s/counters", directory);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(directory);
}

/* What a second process sees. */
static const struct counters *map_again(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    void *mapped = mmap(NULL, counters_bytes(COUNTERS_CORES_MAX), PROT_READ, MAP_SHARED, fd, 0);
    assert_true(mapped != MAP_FAILED);
    close(fd);
    return mapped;
}

static void the_file_says_what_it_is_and_is_as_long_as_the_struct(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    struct stat status;
    assert_int_equal(counters_open(&counters, path, 3), 0);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_size, counters_bytes(3));
    assert_int_equal(status.st_mode & 0777, 0600);
    const struct counters *seen = map_again();
    assert_memory_equal(&seen->header.magic, "ringcst1", 8);
    assert_int_equal(seen->header.version, COUNTERS_VERSION);
    assert_int_equal(seen->header.core_count, 3);
    assert_int_equal(seen->header.pid, getpid());
    munmap((void *)(uintptr_t)seen, counters_bytes(COUNTERS_CORES_MAX));
    counters_close(counters, path);
}

static void a_count_is_seen_through_another_mapping(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    assert_int_equal(counters_open(&counters, path, COUNTERS_CORES_MAX), 0);
    const struct counters *seen = map_again();
    struct core_counters *last = &counters->cores[COUNTERS_CORES_MAX - 1];
    counter_add(&last->frames_out, 5);
    counter_add(&last->frames_out, 7);
    counter_set(&last->conns_open, 3);
    counter_add(&last->conns_open, (uint64_t)-1); /* Gauges go down so. */
    assert_int_equal(counter_get(&seen->cores[COUNTERS_CORES_MAX - 1].frames_out), 12);
    assert_int_equal(counter_get(&seen->cores[COUNTERS_CORES_MAX - 1].conns_open), 2);
    assert_int_equal(counter_get(&seen->publisher.ticks), 0);
    munmap((void *)(uintptr_t)seen, counters_bytes(COUNTERS_CORES_MAX));
    counters_close(counters, path);
}

static void close_removes_the_file(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    assert_int_equal(counters_open(&counters, path, 1), 0);
    counters_close(counters, path);
    assert_int_equal(access(path, F_OK), -1);
}

static void a_file_that_was_left_is_replaced_and_a_link_is_not_followed(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    char target[160];
    snprintf(target, sizeof target, "%s/target", directory);
    int fd = open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    assert_int_equal(write(fd, "precious", 8), 8);
    close(fd);
    assert_int_equal(symlink(target, path), 0);
    assert_int_equal(counters_open(&counters, path, 1), 0);
    assert_int_equal(counter_get(&counters->cores[0].accepted), 0);
    counters_close(counters, path);
    struct stat status;
    assert_int_equal(stat(target, &status), 0);
    assert_int_equal(status.st_size, 8);
    unlink(target);
}

static void without_a_path_the_counters_are_in_memory(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    assert_int_equal(counters_open(&counters, NULL, 2), 0);
    assert_int_equal(counters->header.core_count, 2);
    counter_add(&counters->cores[1].sends, 1);
    assert_int_equal(counter_get(&counters->cores[1].sends), 1);
    counters_close(counters, NULL);
}

static void a_path_that_cannot_be_created_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    struct counters *counters = NULL;
    char missing[160];
    snprintf(missing, sizeof missing, "%s/missing/counters", directory);
    assert_int_equal(counters_open(&counters, missing, 1), -ENOENT);
    assert_null(counters);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(counters_open(&counters, path, 1), -EEXIST);
    assert_null(counters);
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(counters_open(&counters, path, COUNTERS_CORES_MAX + 1), -EINVAL);
    assert_int_equal(access(path, F_OK), -1);
}

static void each_core_writes_cache_lines_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct counters, publisher) % CACHE_LINE_BYTES, 0);
    assert_int_equal(offsetof(struct counters, cores) % CACHE_LINE_BYTES, 0);
    assert_int_equal(sizeof(struct core_counters) % CACHE_LINE_BYTES, 0);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_file_says_what_it_is_and_is_as_long_as_the_struct),
        TEST(a_count_is_seen_through_another_mapping),
        TEST(close_removes_the_file),
        TEST(a_file_that_was_left_is_replaced_and_a_link_is_not_followed),
        TEST(without_a_path_the_counters_are_in_memory),
        TEST(a_path_that_cannot_be_created_is_an_error_and_changes_nothing),
        TEST(each_core_writes_cache_lines_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
