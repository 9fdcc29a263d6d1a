/*
 * proc_usage: what a process and a core have used, and what kept this process from a core, as the
 * kernel tells it under /proc and /sys/fs/cgroup.
 *
 * Owner    The caller. Threads: no state. Memory: nothing is allocated.
 * Units    Time in nanoseconds (the kernel's resolution is 10 ms, but for waits), sizes in bytes.
 * Errors   0 or a negative errno: -ENOENT when there is no such process or core, or when the kernel
 *          does not tell.
 */
#ifndef RINGCAST_TOOLS_PROC_USAGE_H
#define RINGCAST_TOOLS_PROC_USAGE_H

#include <stdint.h>

struct proc_usage {
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t rss_bytes;
    uint64_t thread_count;
    uint64_t start_ticks;        /* since boot: another process may come to have the same number */
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

/* Between two samples. Idle time comes in ticks of 10 ms: between samples that are near each other
 * more of it may be counted than has passed, and the core was busy for none of it. */
uint64_t core_usage_busy_ns(const struct core_usage *begin, const struct core_usage *end);

/* Since the start of a thread of this process: it was ready to run, and others had the cores. */
int proc_usage_wait(int tid, uint64_t *wait_ns_out);

/* What hypervisors took of the cores that the caller may use, and how many cores these are. */
int core_usage_steal(uint64_t *steal_ns_out, uint32_t *core_count_out);

/* How long the limits of this process's control groups (cpu.max, cpu.cfs_quota_us) stopped it, or
 * others of these groups; the time of each core is added up. */
int proc_usage_throttled(uint64_t *throttled_ns_out);

#endif
