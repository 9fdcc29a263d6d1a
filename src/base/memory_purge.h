/*
 * memory_purge: gives the kernel what the allocator keeps of memory that was freed.
 *
 * What a thread keeps for itself (its cache) only that thread can hand back to the allocator.
 *
 * Threads  Any that may block: up to 0.5 s for each GiB that is given back. Others go on meanwhile.
 *          memory_purge_thread: the thread's own; tens of microseconds.
 * Memory   None is kept.
 * Units    Bytes.
 * Errors   None: what cannot be given back stays.
 */
#ifndef RINGCAST_SRC_MEMORY_PURGE_H
#define RINGCAST_SRC_MEMORY_PURGE_H

#include <stdint.h>

/* Returns by how much the resident memory of the process has fallen. Others may take memory
 * meanwhile, so that it can be 0 although something was given back. */
uint64_t memory_purge(void);

/* Hands the calling thread's cache back to the allocator. */
void memory_purge_thread(void);

/* Of the process, now; 0: /proc does not report it. */
uint64_t memory_resident_bytes(void);

#endif
