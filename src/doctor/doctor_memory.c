#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "ring/board/counters.h"
#include "ring/board/frame_log_size.h"
#include "src/doctor/doctor_cgroup.h"
#include "src/doctor/doctor_checks.h"
#include "src/doctor/doctor_counters.h"
#include "tools/insight/insight_files.h"

/* docs/memory.md measures these. */
#define DOCTOR_MEMORY_SERVER_BYTES (4 * MIB)
#define DOCTOR_MEMORY_CORE_BYTES (5 * MIB)
#define DOCTOR_MEMORY_SLOT_BYTES 140 /* a core's, for each connection that is allowed */
#define DOCTOR_MEMORY_CONN_BYTES (2 * KIB)
#define DOCTOR_MEMORY_RECORD_BYTES (74 * MIB)

#define DOCTOR_MEMORY_TEXT_BYTES_MAX 8192
#define DOCTOR_MEMORY_V1_NONE (INT64_C(1) << 62) /* and more: how version 1 says "no limit" */

/* What a server takes: when it starts, and at most. */
struct doctor_memory_need {
    uint64_t at_once_bytes;
    uint64_t most_bytes;
    uint32_t log_count;
};

/* "Word: 12 kB", of a file of /proc with such lines. */
static bool doctor_memory_find(const char *text, const char *word, uint64_t *bytes_out)
{
    size_t word_bytes = strlen(word);
    assert_debug(word_bytes > 0);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, word, word_bytes) == 0 && line[word_bytes] == ':') {
            *bytes_out = strtoull(line + word_bytes + 1, NULL, 10) * KIB;
            return true;
        }
    }
    return false;
}

static void doctor_memory_estimate(const struct options *options,
                                   struct doctor_memory_need *need_out)
{
    const struct frame_log_options log = {.capacity_bytes = options->frame_log_bytes,
                                          .channel_count_max = OPTIONS_SUBSCRIPTIONS_MAX};
    uint64_t log_most = frame_log_size_most(&log);
    assert_always(options->core_count > 0);
    assert_always(options->core_count <= OPTIONS_CORES_MAX);
    uint64_t log_count = options->compression != 0 ? 3 : 2; /* JSON, SBE, compressed JSON */
    if (options->memory_bytes_max != 0 && options->memory_bytes_max / log_most < log_count) {
        log_count = options->memory_bytes_max / log_most;
        log_count += log_count == 0;
    }
    uint64_t conns = options->connections_max;
    uint64_t fixed =
        DOCTOR_MEMORY_SERVER_BYTES +
        options->core_count * (DOCTOR_MEMORY_CORE_BYTES + conns * DOCTOR_MEMORY_SLOT_BYTES);
    uint64_t record = options->record_path == NULL ? 0 : DOCTOR_MEMORY_RECORD_BYTES;
    need_out->log_count = (uint32_t)log_count;
    need_out->at_once_bytes = frame_log_size_at_once(&log) + fixed;
    need_out->most_bytes = log_count * log_most + fixed + record + conns * DOCTOR_MEMORY_CONN_BYTES;
    assert_debug(need_out->at_once_bytes < need_out->most_bytes);
}

/* What the running server has already taken; false: not known. */
static bool doctor_memory_taken(const struct doctor *doctor, uint64_t *bytes_out)
{
    char text[DOCTOR_MEMORY_TEXT_BYTES_MAX];
    *bytes_out = 0;
    /* Not the RSS, which counts the pages of a log that is mapped twice twice. */
    return doctor->pid == 0 ||
           (doctor_read(doctor, text, sizeof text, "/proc/%s/smaps_rollup", doctor->process) &&
            doctor_memory_find(text, "Pss", bytes_out));
}

/* The memory that is left, against what the server may still take. left_of ends a sentence. */
static void doctor_memory_compare(struct doctor *doctor, const char *id, uint64_t left_bytes,
                                  const char *left_of)
{
    struct doctor_memory_need need;
    uint64_t taken;
    doctor_memory_estimate(doctor->options, &need);
    assert_debug(need.log_count > 0);
    if (!doctor_memory_taken(doctor, &taken)) {
        doctor_text(doctor_add(doctor, id, DOCTOR_UNKNOWN)->is,
                    "/proc/%s/smaps_rollup, which says what the server has taken of %s, cannot be "
                    "read. Run the doctor as the server's user, or as root.",
                    doctor->process, left_of);
        return;
    }
    bool starts = doctor->pid != 0 || need.at_once_bytes < left_bytes;
    uint64_t more_bytes = need.most_bytes > taken ? need.most_bytes - taken : 0;
    if (starts && more_bytes <= left_bytes) {
        doctor_text(doctor_add(doctor, id, DOCTOR_OK)->is,
                    "%" PRIu64 " MiB are left of %s; the server may take %" PRIu64 " MiB more.",
                    left_bytes / MIB, left_of, more_bytes / MIB);
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, id, starts ? DOCTOR_WARN : DOCTOR_FAIL);
    doctor_text(finding->is,
                "%" PRIu64 " MiB are left of %s. The server needs %" PRIu64
                " MiB to start, and may take %" PRIu64 " MiB %s: %u logs of --frame-log-bytes "
                "%" PRIu64 "m, and %u clients.",
                left_bytes / MIB, left_of, need.at_once_bytes / MIB, more_bytes / MIB,
                doctor->pid == 0 ? "at most" : "more than now", need.log_count,
                doctor->options->frame_log_bytes / MIB, doctor->options->connections_max);
    doctor_text(
        finding->why, "%s",
        starts ? "When clients use all encodings, the kernel may kill the server, or hold it up "
                 "to free memory."
               : "The server does not start, or the kernel kills it.");
    doctor_text(finding->change,
                "Give a smaller --frame-log-bytes, --memory-max or --max-connections, or more "
                "memory (docker --memory, Kubernetes limits, systemd MemoryMax=). docs/memory.md "
                "has the formula.");
}

static void doctor_memory_room(struct doctor *doctor)
{
    char text[DOCTOR_MEMORY_TEXT_BYTES_MAX];
    uint64_t available;
    if (!doctor_read(doctor, text, sizeof text, "/proc/meminfo") ||
        !doctor_memory_find(text, "MemAvailable", &available)) {
        doctor_text(doctor_add(doctor, "mem.room", DOCTOR_UNKNOWN)->is,
                    "/proc/meminfo has no MemAvailable.");
        return;
    }
    doctor_memory_compare(doctor, "mem.room", available, "the machine's memory");
}

/* ---- The cgroup ---- */

struct doctor_memory_group {
    uint64_t limit_bytes, left_bytes;
    char file[DOCTOR_CGROUP_PATH_BYTES_MAX + 32];   /* of the limit; empty: there is none */
    char events[DOCTOR_CGROUP_PATH_BYTES_MAX + 32]; /* counts the processes that were killed */
};

static uint64_t doctor_memory_inactive(const struct doctor *doctor, const struct cgroup *group)
{
    char text[DOCTOR_MEMORY_TEXT_BYTES_MAX];
    const char *word = group->version == 1 ? "\ntotal_inactive_file " : "\ninactive_file ";
    if (!doctor_read(doctor, text, sizeof text, "%s/memory.stat", group->folder)) {
        return 0;
    }
    const char *line = strstr(text, word);
    return line == NULL ? 0 : strtoull(line + strlen(word), NULL, 10);
}

/* Takes the limit of one level, if it leaves less than those before it. */
static void doctor_memory_look(const struct doctor *doctor, const struct cgroup *group,
                               const char *limit_name, struct doctor_memory_group *tightest)
{
    int64_t limit, used;
    bool is_v1 = group->version == 1;
    assert_debug(is_v1 || group->version == 2);
    if (!doctor_read_number(doctor, &limit, "%s/%s", group->folder, limit_name) ||
        limit >= DOCTOR_MEMORY_V1_NONE ||
        !doctor_read_number(doctor, &used, "%s/%s", group->folder,
                            is_v1 ? "memory.usage_in_bytes" : "memory.current")) {
        return;
    }
    /* File pages that nobody has touched lately are dropped at once. */
    int64_t left = limit - used + (int64_t)doctor_memory_inactive(doctor, group);
    left = left < 0 ? 0 : left > limit ? limit : left;
    if (tightest->file[0] != '\0' && (uint64_t)left >= tightest->left_bytes) {
        return;
    }
    tightest->limit_bytes = (uint64_t)limit;
    tightest->left_bytes = (uint64_t)left;
    snprintf(tightest->file, sizeof tightest->file, "%s/%s", group->folder, limit_name);
    snprintf(tightest->events, sizeof tightest->events, "%s/%s", group->folder,
             is_v1 ? "memory.oom_control" : "memory.events");
}

static uint64_t doctor_memory_kills(const struct doctor *doctor, const char *path)
{
    char text[512];
    const char *line;
    if (!doctor_read(doctor, text, sizeof text, "%s", path) ||
        (line = strstr(text, "oom_kill ")) == NULL) {
        return 0;
    }
    return strtoull(line + strlen("oom_kill "), NULL, 10);
}

static void doctor_memory_cgroup(struct doctor *doctor)
{
    struct doctor_memory_group tightest = {.file = ""};
    struct cgroup group;
    bool is_there = doctor_cgroup_find(doctor, &group, "memory");
    for (; is_there; is_there = cgroup_up(&group)) {
        if (group.version == 1) {
            doctor_memory_look(doctor, &group, "memory.limit_in_bytes", &tightest);
        } else {
            doctor_memory_look(doctor, &group, "memory.max", &tightest);
            doctor_memory_look(doctor, &group, "memory.high", &tightest);
        }
    }
    if (tightest.file[0] == '\0') {
        doctor_text(doctor_add(doctor, "mem.cgroup", DOCTOR_OK)->is, "No cgroup limits memory.");
        return;
    }
    assert_debug(tightest.left_bytes <= tightest.limit_bytes);
    char left_of[128];
    snprintf(left_of, sizeof left_of, "%" PRIu64 " MiB of %.90s", tightest.limit_bytes / MIB,
             tightest.file);
    doctor_memory_compare(doctor, "mem.cgroup", tightest.left_bytes, left_of);
    uint64_t kills = doctor_memory_kills(doctor, tightest.events);
    if (kills > 0) {
        struct doctor_finding *finding = doctor_add(doctor, "mem.cgroup", DOCTOR_WARN);
        doctor_text(finding->is,
                    "The kernel has killed %" PRIu64 " processes because the cgroup reached its "
                    "%" PRIu64 " MiB (%.150s).",
                    kills, tightest.limit_bytes / MIB, tightest.events);
        doctor_text(finding->why, "All clients of a killed server have to connect again.");
        doctor_text(finding->change,
                    "Raise the limit (docker --memory, Kubernetes limits, systemd MemoryMax=), or "
                    "give a smaller --frame-log-bytes.");
    }
}

/* ---- Swap ---- */

static void doctor_memory_swap(struct doctor *doctor)
{
    char text[DOCTOR_MEMORY_TEXT_BYTES_MAX];
    uint64_t swapped = 0, total = 0, unused = 0;
    if (doctor->pid != 0 &&
        doctor_read(doctor, text, sizeof text, "/proc/%s/status", doctor->process) &&
        doctor_memory_find(text, "VmSwap", &swapped) && swapped > 0) {
        struct doctor_finding *finding = doctor_add(doctor, "mem.swap", DOCTOR_WARN);
        doctor_text(finding->is, "%" PRIu64 " KiB of the server are swapped out.", swapped / KIB);
        doctor_text(finding->why,
                    "A core that touches such a page waits for the disk: ticks of all its clients "
                    "are late by milliseconds.");
        doctor_text(finding->change,
                    "Forbid it: MemorySwapMax=0 in the systemd unit, docker --memory-swap equal to "
                    "--memory, or swapoff -a. Then restart the server.");
        return;
    }
    if (!doctor_read(doctor, text, sizeof text, "/proc/meminfo") ||
        !doctor_memory_find(text, "SwapTotal", &total) ||
        !doctor_memory_find(text, "SwapFree", &unused)) {
        doctor_text(doctor_add(doctor, "mem.swap", DOCTOR_UNKNOWN)->is,
                    "/proc/meminfo has no SwapTotal and SwapFree.");
    } else if (unused >= total) {
        doctor_text(doctor_add(doctor, "mem.swap", DOCTOR_OK)->is, "No swap is in use.");
    } else {
        struct doctor_finding *finding = doctor_add(doctor, "mem.swap", DOCTOR_INFO);
        doctor_text(finding->is, "%" PRIu64 " MiB of swap are in use, by other programs.",
                    (total - unused) / MIB);
        doctor_text(finding->why, "Pages of a server that were swapped out make its ticks late.");
        doctor_text(finding->change, "Forbid it for the server: MemorySwapMax=0 in the systemd "
                                     "unit, or docker --memory-swap equal to --memory.");
    }
}

void doctor_check_memory(struct doctor *doctor)
{
    doctor_memory_room(doctor);
    doctor_memory_cgroup(doctor);
    doctor_memory_swap(doctor);
}

/* ---- /dev/shm ---- */

/* Whether the running server has no file, although its folder can be read. */
static bool doctor_memory_lacks_file(const struct doctor *doctor)
{
    struct counters_read read;
    int error = doctor_counters_open(doctor, &read);
    if (error == 0) {
        counters_read_close(&read);
    }
    return error == -ENOENT;
}

static void doctor_memory_shm_room(struct doctor *doctor)
{
    uint64_t need = counters_bytes(doctor->options->core_count);
    uint64_t unused = doctor->host->shm_free_bytes;
    bool lacks_file = doctor_memory_lacks_file(doctor);
    if (!lacks_file && unused == UINT64_MAX) {
        doctor_text(doctor_add(doctor, "shm.room", DOCTOR_UNKNOWN)->is,
                    "/dev/shm cannot be asked for its room.");
        return;
    }
    if (!lacks_file && (doctor->pid != 0 || unused >= need)) {
        doctor_text(doctor_add(doctor, "shm.room", DOCTOR_OK)->is,
                    "/dev/shm has room for the counters of a server.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "shm.room", DOCTOR_WARN);
    if (lacks_file) {
        doctor_text(finding->is, "The server has no counters file in its /dev/shm: there was no "
                                 "room when it began, or somebody has removed it.");
    } else {
        doctor_text(finding->is,
                    "%" PRIu64 " KiB can be written in /dev/shm; the counters of %u cores need "
                    "%" PRIu64 " KiB.",
                    unused / KIB, doctor->options->core_count, need / KIB + 1);
    }
    doctor_text(finding->why, "ringcast stat and the checks run.* cannot see a server without "
                              "its file /dev/shm/ringcast-PID.");
    doctor_text(finding->change, "Remove files from /dev/shm, or make it larger: mount -o "
                                 "remount,size=64m /dev/shm, or docker --shm-size 128m. Then "
                                 "start the server again.");
}

static void doctor_memory_shm_stale(struct doctor *doctor)
{
    char directory[DOCTOR_PATH_BYTES_MAX];
    struct insight_file *files;
    size_t count;
    uint32_t stale_count = 0;
    char names[256] = "";
    size_t names_bytes = 0;
    int bytes = snprintf(directory, sizeof directory, "%s" COUNTERS_FILE_DIRECTORY, doctor->root);
    assert_always(bytes < (int)sizeof directory);
    if (insight_files_find(directory, NULL, &files, &count) < 0) {
        doctor_text(doctor_add(doctor, "shm.stale", DOCTOR_UNKNOWN)->is, "There is no memory.");
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const char *path = files[i].path + strlen(doctor->root);
        assert_debug(*path == '/');
        if (files[i].error == 0 && !files[i].is_live) {
            stale_count++;
            if (names_bytes + strlen(path) + 2 < sizeof names) {
                names_bytes +=
                    (size_t)snprintf(names + names_bytes, sizeof names - names_bytes, " %s", path);
            }
        }
    }
    free(files);
    if (stale_count == 0) {
        doctor_text(doctor_add(doctor, "shm.stale", DOCTOR_OK)->is,
                    "No file of a dead server is in /dev/shm.");
        return;
    }
    struct doctor_finding *finding = doctor_add(doctor, "shm.stale", DOCTOR_INFO);
    doctor_text(finding->is, "/dev/shm has %u file%s of dead servers.", stale_count,
                stale_count == 1 ? "" : "s");
    doctor_text(finding->why, "The last numbers of a server that died "
                              "are there (ringcast stat --list). The next server of that user "
                              "removes them.");
    doctor_text(finding->change, "If nobody wants to read them: rm%s", names);
}

void doctor_check_shm(struct doctor *doctor)
{
    doctor_memory_shm_room(doctor);
    doctor_memory_shm_stale(doctor);
}
