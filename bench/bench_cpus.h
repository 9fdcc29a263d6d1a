/*
 * bench_cpus: two CPUs for a benchmark of two threads.
 *
 * Owner    The benchmark. Threads: bench_cpus_pin pins the calling thread.
 * Errors   false: there is only one CPU that this program may use.
 */
#ifndef RINGCAST_BENCH_BENCH_CPUS_H
#define RINGCAST_BENCH_BENCH_CPUS_H

#include <sched.h>
#include <stdbool.h>

#include "codec/base/check.h"

/* The first two. */
static inline bool bench_cpus_pick(int cpus_out[2])
{
    cpu_set_t cpus;
    int count = 0;
    assert_always(sched_getaffinity(0, sizeof cpus, &cpus) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE && count < 2; cpu++) {
        if (CPU_ISSET((size_t)cpu, &cpus)) {
            cpus_out[count++] = cpu;
        }
    }
    return count == 2;
}

static inline void bench_cpus_pin(int cpu)
{
    cpu_set_t cpus;
    CPU_ZERO(&cpus);
    CPU_SET((size_t)cpu, &cpus);
    assert_always(sched_setaffinity(0, sizeof cpus, &cpus) == 0);
}

#endif
