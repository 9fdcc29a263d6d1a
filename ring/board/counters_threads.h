/*
 * counters_threads: the threads of the process, by name, and how each shows that it makes progress.
 *
 * Threads  add: main. begin: the thread itself. The others: any.
 * Memory   In the counters' file.
 */
#ifndef RINGCAST_RING_COUNTERS_THREADS_H
#define RINGCAST_RING_COUNTERS_THREADS_H

#include <stdint.h>

#include "ring/board/counters.h"

/* A record for a thread that is about to begin. progress: its word, in the file. */
struct counters_thread *counters_threads_add(struct counters *counters, const char *name,
                                             const counter *progress, uint32_t flags);
void counters_threads_begin(struct counters_thread *thread);

/* The threads that were added; their records are complete. */
uint32_t counters_threads_count(const struct counters *counters);
const struct counters_thread *counters_threads_get(const struct counters *counters, uint32_t index);

uint64_t counters_threads_progress(const struct counters *counters,
                                   const struct counters_thread *thread);

#endif
