/*
 * proc_usage: what a process and a core have used, as the kernel tells it under /proc.
 *
 * Owner    The caller. Threads: no state. Memory: nothing is allocated.
 * Units    CPU time in nanoseconds (the kernel's resolution is 10 ms), sizes in bytes.
 * Errors   0 or a negative errno: -ENOENT when there is no such process or core.
 */
#ifndef RINGCAST_TOOLS_PROC_USAGE_H
#define RINGCAST_TOOLS_PROC_USAGE_H

#include <stdint.h>

struct proc_usage {
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t rss_bytes;
    uint64_t thread_count;
    uint64_t voluntary_switches; /* of its threads that live: it waited for something */
    uint64_t forced_switches;    /* somebody else got the core */
};

/* Since some moment: only differences mean something. What is neither idle nor stolen is busy,
 * softirqs too. It is not the sum of /proc/stat's user, system and softirq: these are counted by
 * who is found on the core at a timer tick (TICK_CPU_ACCOUNTING, 250 a second), which says anything
 * of work that comes at a multiple of the ticks; idle time is measured. */
struct core_usage {
    uint64_t busy_ns;
    uint64_t idle_ns;
    uint64_t steal_ns;
};

int proc_usage_read(int pid, struct proc_usage *usage_out);
int core_usage_read(int cpu, struct core_usage *usage_out);

#endif
