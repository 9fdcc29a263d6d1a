#include "tools/common/proc_usage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/clock.h"
#include "codec/base/units.h"

static uint64_t proc_usage_tick_ns(void)
{
    long hz = sysconf(_SC_CLK_TCK);
    return NS_PER_SECOND / (uint64_t)(hz > 0 ? hz : 100);
}

/* Adds up the threads: /proc/PID/status has the first one only. */
static void proc_usage_add_switches(int pid, struct proc_usage *usage)
{
    char path[128];
    char line[256];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    const struct dirent *task;
    while (tasks != NULL && (task = readdir(tasks)) != NULL) {
        uint64_t count;
        snprintf(path, sizeof path, "/proc/%d/task/%.20s/status", pid, task->d_name);
        FILE *file = task->d_name[0] == '.' ? NULL : fopen(path, "re");
        while (file != NULL && fgets(line, sizeof line, file) != NULL) {
            if (sscanf(line, "voluntary_ctxt_switches: %" SCNu64, &count) == 1) {
                usage->voluntary_switches += count;
            } else if (sscanf(line, "nonvoluntary_ctxt_switches: %" SCNu64, &count) == 1) {
                usage->forced_switches += count;
            }
        }
        if (file != NULL) {
            fclose(file);
        }
    }
    if (tasks != NULL) {
        closedir(tasks);
    }
}

int proc_usage_read(int pid, struct proc_usage *usage_out)
{
    char path[64];
    char line[1024];
    char state = 0;
    uint64_t user = 0, system_ticks = 0, threads = 0, start = 0, rss_pages = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    size_t bytes = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[bytes] = 0;
    /* proc(5): the name in parentheses may hold anything; fields 3, 14, 15, 20, 22 and 24. */
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest + 1,
                               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                               " %*d %*d %*d %*d %" SCNu64 " %*d %" SCNu64 " %*u %" SCNu64,
                               &state, &user, &system_ticks, &threads, &start, &rss_pages) != 6) {
        return -EIO;
    }
    if (state == 'Z' || state == 'X') {
        return -ENOENT; /* Its parent has not yet noticed its end. */
    }
    *usage_out = (struct proc_usage){
        .user_ns = user * proc_usage_tick_ns(),
        .system_ns = system_ticks * proc_usage_tick_ns(),
        .rss_bytes = rss_pages * (uint64_t)sysconf(_SC_PAGESIZE),
        .thread_count = threads,
        .start_ticks = start,
    };
    proc_usage_add_switches(pid, usage_out);
    return 0;
}

int core_usage_read(int cpu, struct core_usage *usage_out)
{
    char line[512];
    char name[16];
    uint64_t idle, iowait, steal;
    size_t name_bytes = (size_t)snprintf(name, sizeof name, "cpu%d ", cpu);
    FILE *file = fopen("/proc/stat", "re");
    int error = -ENOENT;
    if (file == NULL) {
        return -errno;
    }
    while (error != 0 && fgets(line, sizeof line, file) != NULL) {
        if (strncmp(line, name, name_bytes) != 0) {
            continue;
        }
        /* proc(5): fields 4, 5 and 8. */
        if (sscanf(line + name_bytes, "%*u %*u %*u %" SCNu64 " %" SCNu64 " %*u %*u %" SCNu64, &idle,
                   &iowait, &steal) != 3) {
            break;
        }
        *usage_out = (struct core_usage){
            .idle_ns = (idle + iowait) * proc_usage_tick_ns(),
            .steal_ns = steal * proc_usage_tick_ns(),
        };
        usage_out->busy_ns = clock_ns(CLOCK_MONOTONIC) - usage_out->idle_ns - usage_out->steal_ns;
        error = 0;
    }
    fclose(file);
    return error;
}

uint64_t core_usage_busy_ns(const struct core_usage *begin, const struct core_usage *end)
{
    int64_t busy_ns = (int64_t)(end->busy_ns - begin->busy_ns);
    return busy_ns > 0 ? (uint64_t)busy_ns : 0;
}

int core_usage_steal(uint64_t *steal_ns_out, uint32_t *core_count_out)
{
    cpu_set_t cores;
    uint64_t steal_ns = 0;
    uint32_t core_count = 0;
    if (sched_getaffinity(0, sizeof cores, &cores) != 0) {
        return -errno;
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        struct core_usage usage;
        if (CPU_ISSET(cpu, &cores) && core_usage_read(cpu, &usage) == 0) {
            steal_ns += usage.steal_ns;
            core_count++;
        }
    }
    *steal_ns_out = steal_ns;
    *core_count_out = core_count;
    return core_count > 0 ? 0 : -ENOENT;
}

int proc_usage_wait(int tid, uint64_t *wait_ns_out)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%d/schedstat", tid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    /* Documentation/scheduler/sched-stats: time on a core, time waiting for one, times it ran. */
    uint64_t run_ns = 0;
    int found = fscanf(file, "%" SCNu64 " %" SCNu64, &run_ns, wait_ns_out);
    fclose(file);
    return found == 2 && run_ns > 0 ? 0 : -ENOENT;
}

/* Adds the figure of a group's cpu.stat: microseconds in version 2, nanoseconds in version 1. */
static bool proc_usage_add_throttled(const char *path, uint64_t *throttled_ns)
{
    char line[128];
    uint64_t value;
    bool found = false;
    FILE *file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (sscanf(line, "throttled_usec %" SCNu64, &value) == 1) {
            *throttled_ns += value * NS_PER_US;
            found = true;
        } else if (sscanf(line, "throttled_time %" SCNu64, &value) == 1) {
            *throttled_ns += value;
            found = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found;
}

/* The groups from this one up to the root: each may have a limit. */
static bool proc_usage_add_groups(const char *mount, char *group, uint64_t *throttled_ns)
{
    char path[PATH_MAX];
    bool found = false;
    for (;;) {
        int bytes = snprintf(path, sizeof path, "%s%s/cpu.stat", mount, group);
        if (bytes > 0 && (size_t)bytes < sizeof path) {
            found |= proc_usage_add_throttled(path, throttled_ns);
        }
        char *slash = strrchr(group, '/');
        if (slash == NULL) {
            return found;
        }
        *slash = 0;
    }
}

int proc_usage_throttled(uint64_t *throttled_ns_out)
{
    char line[PATH_MAX];
    bool found = false;
    *throttled_ns_out = 0;
    FILE *file = fopen("/proc/self/cgroup", "re");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        /* cgroups(7): "0::/group" in version 2, "4:cpu,cpuacct:/group" in version 1. */
        char *names = strchr(line, ':');
        char *group = names == NULL ? NULL : strchr(names + 1, ':');
        if (group == NULL) {
            continue;
        }
        *group++ = 0;
        group[strcspn(group, "\n")] = 0;
        names++;
        if (*names == 0) {
            found |= proc_usage_add_groups("/sys/fs/cgroup", group, throttled_ns_out);
        } else if (strcmp(names, "cpu") == 0 || strncmp(names, "cpu,", 4) == 0 ||
                   strstr(names, ",cpu") != NULL) {
            found |= proc_usage_add_groups("/sys/fs/cgroup/cpu", group, throttled_ns_out);
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return found ? 0 : -ENOENT;
}
