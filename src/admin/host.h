/*
 * host: this process and the machine it runs on, as the kernel reports them.
 *
 * Threads  Any that may block: it reads files below /proc.
 * Memory   None is kept.
 * Units    In the names.
 * Errors   What the kernel does not report is 0.
 */
#ifndef RINGCAST_SRC_HOST_H
#define RINGCAST_SRC_HOST_H

#include <stdbool.h>
#include <stdint.h>

/* The process, now. What /proc does not report is 0. */
struct host_process {
    double cpu_seconds;
    uint64_t resident_bytes;
    uint64_t virtual_bytes;
    uint64_t open_fds;
    uint64_t fds_max;
    uint64_t threads;
};
void host_read_process(struct host_process *process_out);

/* What the process has allocated: its private pages, without files and shared memory. */
uint64_t host_private_bytes(void);

/* User and system CPU time of the process so far. */
double host_process_cpu_seconds(void);

/* How long a thread of this process has been runnable without a CPU so far, and with one. */
uint64_t host_run_delay_ns(uint32_t tid);
uint64_t host_cpu_ns(uint32_t tid);

/* The host (or what the container shows of it), now. */
struct host_system {
    bool memory_is_limited; /* by a cgroup, to less than the host has: the next two are its */
    uint64_t memory_bytes;
    uint64_t memory_available_bytes; /* at most memory_bytes */
    uint64_t disk_bytes;             /* of the file system of the working directory */
    uint64_t disk_free_bytes;
    uint64_t network_sent_bytes; /* all interfaces, since boot */
    uint64_t network_received_bytes;
    double load_average[3];
};
void host_read_system(struct host_system *system_out);

/* CPU time of all CPUs since the boot, in ticks of /proc/stat. */
struct host_cpu {
    uint64_t busy;
    uint64_t total;
};
void host_read_cpu(struct host_cpu *cpu_out);

#endif
