#include "ring/board/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/check.h"

static int counters_create_file(const char *path)
{
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    /* Reserve the room now: a full disk must not be a SIGBUS later. */
    int error = posix_fallocate(fd, 0, sizeof(struct counters));
    if (error != 0) {
        close(fd);
        unlink(path);
        return -error;
    }
    return fd;
}

int counters_open(struct counters **counters_out, const char *path, uint32_t core_count)
{
    int fd = -1;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    if (core_count > COUNTERS_CORES_MAX) {
        return -EINVAL;
    }
    if (path != NULL) {
        fd = counters_create_file(path);
        if (fd < 0) {
            return fd;
        }
        flags = MAP_SHARED;
    }
    struct counters *counters = mmap(NULL, sizeof *counters, PROT_READ | PROT_WRITE, flags, fd, 0);
    int error = counters == MAP_FAILED ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (error < 0) {
        if (path != NULL) {
            unlink(path);
        }
        return error;
    }
    counters->version = COUNTERS_VERSION;
    counters->core_count = core_count;
    counters->pid = (uint64_t)getpid();
    counters->magic = COUNTERS_MAGIC; /* Last: a reader that sees it may trust the rest. */
    *counters_out = counters;
    return 0;
}

void counters_close(struct counters *counters, const char *path)
{
    assert_always(counters->magic == COUNTERS_MAGIC);
    munmap(counters, sizeof *counters);
    if (path != NULL) {
        unlink(path);
    }
}
