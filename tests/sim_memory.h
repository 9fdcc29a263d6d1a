/*
 * sim_memory: the server's own allocations, by its simulated threads, fail by chance.
 *
 * It takes the place of malloc, calloc and realloc, and asks sim_threads whether a thread runs.
 */
#ifndef RINGCAST_TESTS_SIM_MEMORY_H
#define RINGCAST_TESTS_SIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_memory {
    uint64_t random;
    uint32_t one_in; /* 0: none fails */
    uint64_t failed_count;
};

extern struct sim_memory sim_memory;

void sim_memory_open(uint64_t seed, uint32_t one_in);

/* A realloc() that never fails. */
void *sim_memory_grow(void *old, size_t bytes);

#endif
