#include "src/base/memory_purge.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* jemalloc's, when it is linked. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

uint64_t memory_resident_bytes(void)
{
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t bytes = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) {
        close(fd);
    }
    text[bytes > 0 ? bytes : 0] = '\0';
    const char *second = strchr(text, ' '); /* "size resident shared ...", in pages */
    return second == NULL ? 0 : strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

void memory_purge_thread(void)
{
    if (mallctl != NULL) {
        (void)mallctl("thread.tcache.flush", NULL, NULL, NULL, 0);
    }
}

uint64_t memory_purge(void)
{
    uint64_t before_bytes = memory_resident_bytes();
    memory_purge_thread();
    if (mallctl == NULL) {
        (void)malloc_trim(0);
    } else {
        /* 4096 stands for all arenas (MALLCTL_ARENAS_ALL). */
        (void)mallctl("arena.4096.purge", NULL, NULL, NULL, 0);
    }
    uint64_t after_bytes = memory_resident_bytes();
    return before_bytes > after_bytes ? before_bytes - after_bytes : 0;
}
