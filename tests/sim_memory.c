/* sim_memory: allocations of the simulated server's threads fail by chance. Those of libraries do
 * not: jansson, for one, then reads a string as if it were shorter. */
#include "tests/sim_memory.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "tests/sim_threads.h"

extern const char __executable_start, etext; /* of the program */

struct sim_memory sim_memory;

void sim_memory_open(uint64_t seed, uint32_t one_in)
{
    sim_memory = (struct sim_memory){.random = seed * 2 + 1, .one_in = one_in};
}

/* Draws of its own: they do not change the rest of a history. */
static bool sim_memory_is_short(const void *caller)
{
    bool is_own = (const char *)caller >= &__executable_start && (const char *)caller < &etext;
    if (sim_memory.one_in == 0 || !is_own || !sim_threads_are_running() || sim.calm) {
        return false;
    }
    sim_memory.random = sim_memory.random * UINT64_C(6364136223846793005) + 1442695040888963407;
    bool is_short = (sim_memory.random >> 33) % sim_memory.one_in == 0;
    sim_memory.failed_count += is_short;
    errno = is_short ? ENOMEM : errno;
    return is_short;
}

void *sim_memory_grow(void *old, size_t bytes)
{
    uint32_t one_in = sim_memory.one_in;
    sim_memory.one_in = 0;
    void *grown = realloc(old, bytes);
    sim_memory.one_in = one_in;
    assert_always(grown != NULL);
    return grown;
}

/* AddressSanitizer has allocators of its own. */
#ifndef __SANITIZE_ADDRESS__

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *old, size_t bytes);

void *malloc(size_t bytes)
{
    return sim_memory_is_short(__builtin_return_address(0)) ? NULL : __libc_malloc(bytes);
}

void *calloc(size_t count, size_t bytes)
{
    return sim_memory_is_short(__builtin_return_address(0)) ? NULL : __libc_calloc(count, bytes);
}

void *realloc(void *old, size_t bytes)
{
    return sim_memory_is_short(__builtin_return_address(0)) ? NULL : __libc_realloc(old, bytes);
}

#endif
