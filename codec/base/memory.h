/*
 * memory: anonymous mappings, for what is large or is touched only when it is used.
 *
 * Memory   Zeroed. The owner unmaps it with the size that it asked for.
 * Errors   NULL: there is none.
 */
#ifndef RINGCAST_CODEC_BASE_MEMORY_H
#define RINGCAST_CODEC_BASE_MEMORY_H

#include <stddef.h>
#include <sys/mman.h>

/* flags: MAP_POPULATE to touch it now, MAP_NORESERVE, or 0. */
static inline void *memory_map(size_t bytes, int flags)
{
    void *memory =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | flags, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static inline void memory_unmap(void *memory, size_t bytes)
{
    if (memory != NULL) {
        munmap(memory, bytes);
    }
}

#endif
