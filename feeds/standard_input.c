#include "feeds/standard_input.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "codec/base/check.h"

/* There is one standard input in a process. */
static bool standard_input_is_open;

/* Sockets have no description of their own to give. */
static int standard_input_duplicate(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd >= 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0) {
        int error = -errno;
        close(fd);
        return error;
    }
    return fd < 0 ? -errno : fd;
}

int standard_input_open(void)
{
    if (standard_input_is_open) {
        return -EBUSY;
    }
    /* A description of its own, so that nobody else's standard input stops blocking. */
    int fd = open("/proc/self/fd/0", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    fd = fd < 0 ? standard_input_duplicate() : fd;
    /* A file is read from where the shell, or a program before this one, has left it. */
    off_t begin = lseek(STDIN_FILENO, 0, SEEK_CUR);
    if (fd >= 0 && begin > 0) {
        (void)lseek(fd, begin, SEEK_SET);
    }
    standard_input_is_open = fd >= 0;
    return fd;
}

/* The writer of a pipe then gets SIGPIPE, and does not wait for a reader that is gone. */
static void standard_input_leave(void)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        (void)dup2(fd, STDIN_FILENO);
        close(fd);
    }
}

void standard_input_close(int fd)
{
    assert_always(standard_input_is_open);
    standard_input_is_open = false;
    standard_input_leave();
    close(fd);
}
