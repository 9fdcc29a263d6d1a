#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "codec/base/standard_fds.h"

static bool is_null(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3);
}

/* Runs in a child: closes those of mask. Returns whether all three are as they should be. */
static bool closed_are_opened(unsigned mask)
{
    int pipe_fds[2];
    if (pipe(pipe_fds) < 0) {
        return false;
    }
    for (int fd = 0; fd <= 2; fd++) {
        dup2(pipe_fds[1], fd);
    }
    for (int fd = 0; fd <= 2; fd++) {
        if ((mask >> fd & 1) != 0) {
            close(fd);
        }
    }
    standard_fds_open("test");
    for (int fd = 0; fd <= 2; fd++) {
        if (is_null(fd) != ((mask >> fd & 1) != 0)) {
            return false;
        }
    }
    return true;
}

static void each_closed_descriptor_becomes_null_and_no_other(void **state)
{
    (void)state;
    for (unsigned mask = 0; mask < 8; mask++) {
        pid_t child = fork();
        if (child == 0) {
            _exit(closed_are_opened(mask) ? 0 : 1);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
    }
}

/* What a child says on standard error, of which fd 0 is closed and which may open nothing. */
static void without_null_it_ends_and_says_so(void **state)
{
    (void)state;
    int pipe_fds[2];
    char text[256] = "";
    assert_int_equal(pipe(pipe_fds), 0);
    pid_t child = fork();
    if (child == 0) {
        struct rlimit none = {0, 0};
        dup2(pipe_fds[1], STDERR_FILENO);
        close(STDIN_FILENO);
        setrlimit(RLIMIT_NOFILE, &none);
        standard_fds_open("test");
        _exit(0);
    }
    close(pipe_fds[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(read(pipe_fds[0], text, sizeof text - 1) > 0);
    close(pipe_fds[0]);
    assert_non_null(strstr(text, "test: descriptor 0 is closed, and /dev/null cannot be opened"));
}

/* Prints text on path, flushes twice and ends; returns the child's exit status. */
static int exit_status_of_output_to(const char *path, const char *text)
{
    pid_t child = fork();
    if (child == 0) {
        dup2(open(path, O_WRONLY), STDOUT_FILENO);
        dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
        fputs(text, stdout);
        bool first = standard_fds_flush("test");
        bool second = standard_fds_flush("test");
        _exit(first && second ? 0 : !first && !second ? 1 : 2);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void output_that_is_lost_is_reported_from_then_on(void **state)
{
    (void)state;
    assert_int_equal(exit_status_of_output_to("/dev/null", "text"), 0);
    assert_int_equal(exit_status_of_output_to("/dev/full", "text"), 1);
    assert_int_equal(exit_status_of_output_to("/dev/full", ""), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_closed_descriptor_becomes_null_and_no_other),
        cmocka_unit_test(without_null_it_ends_and_says_so),
        cmocka_unit_test(output_that_is_lost_is_reported_from_then_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
