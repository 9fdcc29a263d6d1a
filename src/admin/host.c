#include "src/admin/host.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/base/memory_limit.h"

/* The first bytes of a file, terminated; empty when it cannot be read. */
static void host_read_file(const char *path, char *text, size_t text_bytes)
{
    FILE *file = fopen(path, "re");
    size_t length = 0;
    if (file != NULL) {
        length = fread(text, 1, text_bytes - 1, file);
        fclose(file);
    }
    assert_always(length < text_bytes);
    text[length] = '\0';
}

/* The number after a name such as "MemTotal:"; 0 when there is none. */
static uint64_t host_number_after(const char *text, const char *name)
{
    const char *at = strstr(text, name);
    return at == NULL ? 0 : strtoull(at + strlen(name), NULL, 10);
}

static uint64_t host_count_fds(void)
{
    uint64_t count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (directory == NULL) {
        return 0;
    }
    while (readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count > 3 ? count - 3 : 0; /* ".", ".." and the directory's own */
}

double host_process_cpu_seconds(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* "size resident shared ...", in pages */
uint64_t host_private_bytes(void)
{
    char text[128];
    host_read_file("/proc/self/statm", text, sizeof text);
    char *at = text;
    (void)strtoull(at, &at, 10);
    uint64_t resident = strtoull(at, &at, 10);
    uint64_t shared = strtoull(at, &at, 10);
    return resident > shared ? (resident - shared) * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

void host_read_process(struct host_process *process_out)
{
    char text[4096];
    struct rlimit limit;
    uint64_t page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    *process_out = (struct host_process){.cpu_seconds = host_process_cpu_seconds(),
                                         .open_fds = host_count_fds()};

    host_read_file("/proc/self/statm", text, sizeof text);
    char *end = text;
    process_out->virtual_bytes = strtoull(end, &end, 10) * page_bytes;
    process_out->resident_bytes = strtoull(end, &end, 10) * page_bytes;

    host_read_file("/proc/self/status", text, sizeof text);
    process_out->threads = host_number_after(text, "\nThreads:");
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        process_out->fds_max = limit.rlim_cur;
    }
}

/* "time on a CPU, time in the queue for one, times it got one"; "" for no thread. */
static void host_read_schedule(uint32_t tid, char *text, size_t text_bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/task/%" PRIu32 "/schedstat", tid);
    host_read_file(path, text, text_bytes);
}

uint64_t host_run_delay_ns(uint32_t tid)
{
    char text[128];
    host_read_schedule(tid, text, sizeof text);
    const char *delay = strchr(text, ' ');
    return delay == NULL ? 0 : strtoull(delay, NULL, 10);
}

uint64_t host_cpu_ns(uint32_t tid)
{
    char text[128];
    host_read_schedule(tid, text, sizeof text);
    return strtoull(text, NULL, 10);
}

/* Lines of /proc/net/dev: "  eth0: received_bytes and 7 more, sent_bytes ...". */
static void host_read_network(struct host_system *system_out)
{
    char text[16384];
    host_read_file("/proc/net/dev", text, sizeof text);
    for (char *at = strchr(text, ':'); at != NULL; at = strchr(at, ':')) {
        at++;
        system_out->network_received_bytes += strtoull(at, &at, 10);
        for (int i = 0; i < 7; i++) {
            (void)strtoull(at, &at, 10);
        }
        system_out->network_sent_bytes += strtoull(at, &at, 10);
    }
}

static void host_read_limit(struct host_system *system)
{
    struct memory_limit limit;
    memory_limit_read(&limit, "");
    system->memory_is_limited = limit.limit_bytes > 0 && limit.limit_bytes < system->memory_bytes;
    if (system->memory_is_limited) {
        system->memory_bytes = limit.limit_bytes;
        system->memory_available_bytes =
            limit.used_bytes < limit.limit_bytes ? limit.limit_bytes - limit.used_bytes : 0;
    }
}

void host_read_system(struct host_system *system_out)
{
    char text[4096];
    struct statvfs disk;
    *system_out = (struct host_system){0};
    host_read_file("/proc/meminfo", text, sizeof text);
    system_out->memory_bytes = host_number_after(text, "MemTotal:") * KIB;
    system_out->memory_available_bytes = host_number_after(text, "MemAvailable:") * KIB;
    host_read_limit(system_out);
    if (system_out->memory_available_bytes > system_out->memory_bytes) {
        system_out->memory_available_bytes = system_out->memory_bytes;
    }
    if (statvfs(".", &disk) == 0) {
        system_out->disk_bytes = (uint64_t)disk.f_blocks * disk.f_frsize;
        system_out->disk_free_bytes = (uint64_t)disk.f_bavail * disk.f_frsize;
    }
    host_read_network(system_out);
    (void)getloadavg(system_out->load_average, 3);
}

/* "cpu  user nice system idle iowait irq softirq steal ...", in ticks. */
void host_read_cpu(struct host_cpu *cpu_out)
{
    char text[256];
    *cpu_out = (struct host_cpu){0};
    host_read_file("/proc/stat", text, sizeof text);
    char *at = text + strcspn(text, " ");
    for (int i = 0; i < 8; i++) {
        uint64_t ticks = strtoull(at, &at, 10);
        bool idle = i == 3 || i == 4;
        cpu_out->total += ticks;
        cpu_out->busy += idle ? 0 : ticks;
    }
    assert_debug(cpu_out->busy <= cpu_out->total);
}
