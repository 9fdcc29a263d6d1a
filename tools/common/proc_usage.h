/*
 * proc_usage: the CPU time and memory of a process, the busy time of a core, and the time for which
 * this process waited for a core, from /proc and /sys/fs/cgroup.
 *
 * Owner    The caller. Threads: no state. Memory: nothing is allocated.
 * Units    Time in nanoseconds (the kernel's resolution is 10 ms, except for waits), sizes in
 *          bytes.
 * Errors   0 or a negative errno: -ENOENT when there is no such process or core, or when the kernel
 *          does not report it.
 */
#ifndef RINGCAST_TOOLS_PROC_USAGE_H
#define RINGCAST_TOOLS_PROC_USAGE_H

#include <stdint.h>

struct proc_usage {
    uint64_t user_ns;
    uint64_t system_ns;
    uint64_t rss_bytes;
    uint64_t thread_count;
    uint64_t start_ticks;        /* since boot: another process may get the same number */
    uint64_t voluntary_switches; /* of its threads that live: it waited for something */
    uint64_t forced_switches;    /* another thread got the core */
};

/* Since an unknown moment: only differences have a meaning. Time that is neither idle nor stolen is
 * busy, softirqs too. It is not the sum of user, system and softirq in /proc/stat. The kernel
 * counts these by what runs at a timer tick (TICK_CPU_ACCOUNTING, 250 a second), so they can be
 * anything for work at a multiple of the ticks. Idle time is measured. */
struct core_usage {
    uint64_t busy_ns;
    uint64_t idle_ns;
    uint64_t steal_ns;
};

int proc_usage_read(int pid, struct proc_usage *usage_out);
int core_usage_read(int cpu, struct core_usage *usage_out);

/* Between two samples. Idle time is counted in ticks of 10 ms. Between samples that are close
 * together it may be longer than the time that has passed; the busy time is then 0. */
uint64_t core_usage_busy_ns(const struct core_usage *begin, const struct core_usage *end);

/* Since the start of a thread of this process: the time for which it was ready to run and had no
 * core. */
int proc_usage_wait(int tid, uint64_t *wait_ns_out);

/* The time that hypervisors took from the cores that the caller may use, and the number of these.
 */
int core_usage_steal(uint64_t *steal_ns_out, uint32_t *core_count_out);

/* The time for which limits of this process's control groups (cpu.max, cpu.cfs_quota_us) stopped it
 * or other processes of these groups, sum of all cores. */
int proc_usage_throttled(uint64_t *throttled_ns_out);

#endif
