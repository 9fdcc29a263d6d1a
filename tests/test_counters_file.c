/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ring/board/counters.h"
#include "ring/board/counters_file.h"
#include "ring/board/counters_read.h"

static char directory[64];
static struct counters_file file;

static int set_up(void **state)
{
    (void)state;
    snprintf(directory, sizeof directory, "/tmp/ringcast-counters-XXXXXX");
    assert_non_null(mkdtemp(directory));
    file.fd = -1;
    return 0;
}

/* Everything is removed by the tests themselves. */
static int tear_down(void **state)
{
    (void)state;
    counters_file_close(&file);
    return rmdir(directory);
}

/* A file of one core with its name, as a server makes it. */
static struct counters *publish(struct counters_file *made)
{
    struct counters *counters = NULL;
    assert_int_equal(counters_file_open(made, directory, counters_bytes(1)), 0);
    assert_int_equal(counters_open(&counters, made->fd, 1), 0);
    assert_int_equal(counters_file_publish(made, directory), 0);
    return counters;
}

static bool is_live(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    bool live = counters_file_is_live(fd);
    close(fd);
    return live;
}

static bool exists(const char *path)
{
    return access(path, F_OK) == 0;
}

/* A process that is dead and of whom nothing is left. */
static pid_t dead_pid(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    return pid;
}

static void the_name_is_that_of_the_process(void **state)
{
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/ringcast-%d", directory, getpid());
    struct counters *counters = publish(&file);
    assert_string_equal(file.path, path);
    assert_true(is_live(path));
    counters_close(counters);
    assert_true(is_live(path)); /* until the file is closed */
    counters_file_close(&file);
    assert_false(exists(path));
}

static void without_a_name_nothing_is_in_the_directory(void **state)
{
    (void)state;
    assert_int_equal(counters_file_open(&file, directory, 4096), 0);
    assert_string_equal(file.path, "");
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(counters_file_publish(&file, directory), -ENOENT);
    assert_string_equal(file.path, "");
    assert_int_equal(mkdir(directory, 0700), 0);
}

static void a_name_that_a_living_server_has_is_left_to_it(void **state)
{
    (void)state;
    char path[160];
    struct counters_file second = {.fd = -1};
    struct counters *counters = publish(&file);
    counter_set(&counters->publisher.ticks, 5);
    struct counters *others = publish(&second);
    snprintf(path, sizeof path, "%s.2", file.path);
    assert_string_equal(second.path, path);
    assert_true(is_live(file.path));
    assert_true(is_live(second.path));
    assert_int_equal(counter_get(&counters->publisher.ticks), 5);
    assert_int_equal(counter_get(&others->publisher.ticks), 0);
    counters_file_remove_dead(directory);
    assert_true(exists(file.path));
    assert_true(exists(second.path));
    counters_file_close(&second);
    assert_true(exists(file.path));
    counters_close(counters);
    counters_close(others);
}

/* As from another PID namespace: here its name is that of nobody. */
static void a_living_server_keeps_its_file_whatever_its_process_id(void **state)
{
    (void)state;
    char path[128];
    struct counters *counters = publish(&file);
    snprintf(path, sizeof path, "%s/ringcast-%d", directory, dead_pid());
    assert_int_equal(rename(file.path, path), 0);
    counters_file_remove_dead(directory);
    assert_true(exists(path));
    snprintf(file.path, sizeof file.path, "%s", path);
    counters_close(counters);
}

static void a_killed_server_leaves_a_file_that_is_read_until_the_next_one_starts(void **state)
{
    (void)state;
    struct counters_read seen;
    struct counters_entry entry;
    char path[128];
    int ready[2];
    assert_int_equal(pipe(ready), 0);
    pid_t pid = fork();
    if (pid == 0) {
        struct counters *counters = publish(&file);
        counter_set(&counters->cores[0].frames_out, 77);
        (void)!write(ready[1], "x", 1);
        pause();
        _exit(0);
    }
    char byte;
    assert_int_equal(read(ready[0], &byte, 1), 1);
    snprintf(path, sizeof path, "%s/ringcast-%d", directory, pid);
    assert_int_equal(counters_read_open(&seen, path), 0);
    assert_true(counters_read_is_live(&seen));
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    assert_false(counters_read_is_live(&seen));
    counters_read_close(&seen);
    assert_int_equal(counters_read_open(&seen, path), 0);
    assert_int_equal(seen.header.pid, pid);
    assert_true(counters_read_find(&seen, COUNTERS_CORE, "frames_out", &entry));
    assert_int_equal(counters_read_value(&seen, &entry, 0), 77);
    counters_read_close(&seen);
    counters_file_remove_dead(directory);
    assert_false(exists(path));
    close(ready[0]);
    close(ready[1]);
}

static void the_name_of_a_dead_server_with_this_process_id_is_taken(void **state)
{
    (void)state;
    char path[128];
    struct counters *counters = publish(&file);
    snprintf(path, sizeof path, "%s", file.path);
    counters_close(counters);
    close(file.fd); /* as if it were dead: the lock goes, the name stays */
    assert_true(exists(path));
    counters = publish(&file);
    assert_string_equal(file.path, path);
    assert_true(is_live(path));
    counters_close(counters);
}

static void another_file_that_has_the_name_by_now_is_not_removed(void **state)
{
    (void)state;
    char path[128];
    struct counters *counters = publish(&file);
    snprintf(path, sizeof path, "%s", file.path);
    assert_int_equal(unlink(path), 0);
    close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    counters_file_close(&file);
    counters_close(counters);
    assert_true(exists(path));
    unlink(path);
}

/* They know no lock. */
static void a_file_of_version_5_is_removed_when_its_process_is_dead(void **state)
{
    (void)state;
    struct counters_header header = {.magic = COUNTERS_MAGIC, .version = 5};
    pid_t pids[] = {getppid(), dead_pid()};
    char paths[2][128];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/ringcast-%d", directory, pids[i]);
        int fd = open(paths[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_int_equal(write(fd, &header, sizeof header), sizeof header);
        close(fd);
    }
    counters_file_remove_dead(directory);
    assert_true(exists(paths[0]));
    assert_false(exists(paths[1]));
    unlink(paths[0]);
}

static void what_is_no_file_of_a_server_is_left_alone(void **state)
{
    (void)state;
    char target[128];
    char link[128];
    char other[128];
    pid_t pid = dead_pid();
    snprintf(target, sizeof target, "%s/target", directory);
    snprintf(link, sizeof link, "%s/ringcast-%d", directory, pid);
    snprintf(other, sizeof other, "%s/ringcast-%d.flight", directory, pid);
    close(open(target, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    close(open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    assert_int_equal(symlink(target, link), 0);
    counters_file_remove_dead(directory);
    assert_true(exists(target));
    assert_true(exists(link));
    assert_true(exists(other));
    unlink(target);
    unlink(link);
    unlink(other);
}

static void a_directory_that_is_missing_is_an_error_and_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(counters_file_open(&file, "/tmp/ringcast-missing", 4096), -ENOENT);
    assert_int_equal(file.fd, -1);
    counters_file_remove_dead("/tmp/ringcast-missing");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_name_is_that_of_the_process),
        TEST(without_a_name_nothing_is_in_the_directory),
        TEST(a_name_that_a_living_server_has_is_left_to_it),
        TEST(a_living_server_keeps_its_file_whatever_its_process_id),
        TEST(a_killed_server_leaves_a_file_that_is_read_until_the_next_one_starts),
        TEST(the_name_of_a_dead_server_with_this_process_id_is_taken),
        TEST(another_file_that_has_the_name_by_now_is_not_removed),
        TEST(a_file_of_version_5_is_removed_when_its_process_is_dead),
        TEST(what_is_no_file_of_a_server_is_left_alone),
        TEST(a_directory_that_is_missing_is_an_error_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
