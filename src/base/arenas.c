#include "src/base/arenas.h"

#include <errno.h>
#include <stddef.h>

/* jemalloc's, when it is linked. */
extern int mallctl(const char *name, void *old, size_t *old_bytes, void *new, size_t new_bytes)
    __attribute__((weak));

static int arenas_use(unsigned arena)
{
    return mallctl("thread.arena", NULL, NULL, &arena, sizeof arena) == 0 ? 0 : -ENOMEM;
}

int arenas_create(uint32_t thread_count)
{
    unsigned arena_count = 0; /* that threads are given by themselves */
    size_t bytes = sizeof arena_count;
    if (mallctl == NULL || mallctl("opt.narenas", &arena_count, &bytes, NULL, 0) != 0) {
        return 0;
    }
    int error = 0;
    /* Using one makes it. New threads then take those that nobody uses. */
    for (uint32_t i = 1; i < arena_count && i <= thread_count && error == 0; i++) {
        error = arenas_use(i);
    }
    return error == 0 ? arenas_use(0) : error;
}
