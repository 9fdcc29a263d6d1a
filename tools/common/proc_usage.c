#include "tools/common/proc_usage.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
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

/* Adds up the threads: /proc/PID/status tells of the first one only. */
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
    uint64_t user = 0, system_ticks = 0, threads = 0, rss_pages = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        return -errno;
    }
    size_t bytes = fread(line, 1, sizeof line - 1, file);
    fclose(file);
    line[bytes] = 0;
    /* proc(5): the name in parentheses may hold anything; fields 3, 14, 15, 20 and 24. */
    const char *rest = strrchr(line, ')');
    if (rest == NULL || sscanf(rest + 1,
                               " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %" SCNu64 " %" SCNu64
                               " %*d %*d %*d %*d %" SCNu64 " %*d %*u %*u %" SCNu64,
                               &state, &user, &system_ticks, &threads, &rss_pages) != 5) {
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
