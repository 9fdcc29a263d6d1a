#include "codec/base/standard_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"

static bool standard_fds_is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0 || errno != EBADF;
}

void standard_fds_open(const char *program)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (standard_fds_is_open(fd)) {
            continue;
        }
        int opened = open("/dev/null", O_RDWR);
        if (opened < 0) {
            int error = errno;
            if (standard_fds_is_open(STDERR_FILENO)) {
                dprintf(STDERR_FILENO,
                        "%s: descriptor %d is closed, and /dev/null cannot be opened in its place: "
                        "%s\n",
                        program, fd, strerror(error));
            }
            _exit(1);
        }
        assert_always(opened == fd); /* The lowest free one, as POSIX has it. */
    }
}

bool standard_fds_output_is_gone(void)
{
    struct pollfd output = {.fd = STDOUT_FILENO}; /* Errors are reported without being asked for. */
    return poll(&output, 1, 0) == 1;
}

bool standard_fds_flush(const char *program)
{
    errno = 0;
    bool failed = ferror(stdout) != 0;
    failed |= fflush(stdout) != 0;
    if (!failed) {
        return true;
    }
    const char *reason = errno == 0 ? "is the disk full?" : strerror(errno);
    if (!standard_fds_output_is_gone()) {
        fprintf(stderr, "%s: standard output cannot be written (%s)\n", program, reason);
    }
    __fpurge(stdout); /* Or exit() tries again, and may wait. */
    return false;
}
