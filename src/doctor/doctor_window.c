#include "src/doctor/doctor_window.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/doctor/doctor_cgroup.h"

static_assert(DOCTOR_WINDOW_NS <= 300 * NS_PER_MS, "a whole run ends within 2 s");

#define DOCTOR_WINDOW_TEXT_BYTES_MAX 16384
#define DOCTOR_WINDOW_TICKS_PER_SECOND 100 /* of /proc, on every machine */

/* The number after a word in a text; 0: it is not there. */
static uint64_t doctor_window_after(const char *text, const char *word)
{
    const char *at = strstr(text, word);
    return at == NULL ? 0 : strtoull(at + strlen(word), NULL, 10);
}

/* ---- CPU time of the cgroup ---- */

/* The limit of one level; quota_us is 0: none. */
static void doctor_window_read_level(const struct doctor *doctor, const struct cgroup *group,
                                     struct doctor_quota *quota_out)
{
    char text[DOCTOR_WINDOW_TEXT_BYTES_MAX];
    int64_t quota_us = 0, period_us = 0;
    const char *file = group->version == 1 ? "cpu.cfs_quota_us" : "cpu.max";
    *quota_out = (struct doctor_quota){0};
    if (group->version == 1) {
        (void)doctor_read_number(doctor, &quota_us, "%s/%s", group->folder, file);
        (void)doctor_read_number(doctor, &period_us, "%s/cpu.cfs_period_us", group->folder);
    } else if (doctor_read(doctor, text, sizeof text, "%s/%s", group->folder, file)) {
        (void)sscanf(text, "%" SCNd64 " %" SCNd64, &quota_us, &period_us);
    }
    if (quota_us <= 0 || period_us <= 0) {
        return; /* "max", -1, or no files of the controller */
    }
    quota_out->quota_us = (uint64_t)quota_us;
    quota_out->period_us = (uint64_t)period_us;
    snprintf(quota_out->path, sizeof quota_out->path, "%s/%s", group->folder, file);
    if (doctor_read(doctor, text, sizeof text, "%s/cpu.stat", group->folder)) {
        quota_out->periods = doctor_window_after(text, "nr_periods ");
        quota_out->throttled = doctor_window_after(text, "nr_throttled ");
    }
}

static void doctor_window_read_quota(const struct doctor *doctor, struct doctor_quota *quota_out)
{
    struct cgroup group;
    struct doctor_quota level;
    *quota_out = (struct doctor_quota){0};
    bool is_there = doctor_cgroup_find(doctor, &group, "cpu");
    for (; is_there; is_there = cgroup_up(&group)) {
        doctor_window_read_level(doctor, &group, &level);
        if (level.quota_us > 0 &&
            (quota_out->quota_us == 0 ||
             level.quota_us * quota_out->period_us < quota_out->quota_us * level.period_us)) {
            *quota_out = level;
            assert_debug(quota_out->path[0] != '\0');
        }
    }
}

/* ---- The server's threads ---- */

/* Since the thread began: field 22 of its stat, in ticks since the host's start. */
static uint64_t doctor_window_age_ns(const struct doctor *doctor, int tid)
{
    char text[DOCTOR_WINDOW_TEXT_BYTES_MAX];
    assert_always(doctor->pid > 0);
    double uptime_seconds = 0;
    uint64_t ticks = 0;
    if (!doctor_read(doctor, text, sizeof text, "/proc/uptime") ||
        sscanf(text, "%lf", &uptime_seconds) != 1 ||
        !doctor_read(doctor, text, sizeof text, "/proc/%d/task/%d/stat", doctor->pid, tid)) {
        return 0;
    }
    const char *at = strrchr(text, ')'); /* A name may have blanks. */
    for (int field = 2; at != NULL && field < 22; field++) {
        at = strchr(at + 1, ' ');
    }
    if (at != NULL) {
        ticks = strtoull(at, NULL, 10);
    }
    double age_seconds = uptime_seconds - (double)ticks / DOCTOR_WINDOW_TICKS_PER_SECOND;
    return ticks > 0 && age_seconds > 0 ? (uint64_t)(age_seconds * (double)NS_PER_SECOND) : 0;
}

/* false: it is neither a core nor the publisher, or has ended. */
static bool doctor_window_read_thread(const struct doctor *doctor, int tid,
                                      struct doctor_thread *thread_out)
{
    char text[DOCTOR_WINDOW_TEXT_BYTES_MAX];
    assert_always(tid > 0);
    *thread_out = (struct doctor_thread){.tid = tid};
    if (!doctor_read(doctor, thread_out->name, sizeof thread_out->name, "/proc/%d/task/%d/comm",
                     doctor->pid, tid)) {
        return false;
    }
    thread_out->name[strcspn(thread_out->name, "\n")] = '\0';
    if ((strncmp(thread_out->name, "core-", 5) != 0 &&
         strcmp(thread_out->name, "publisher") != 0) ||
        !doctor_read(doctor, text, sizeof text, "/proc/%d/task/%d/schedstat", doctor->pid, tid) ||
        sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64, &thread_out->run_ns, &thread_out->wait_ns,
               &thread_out->runs) != 3 ||
        !doctor_read(doctor, text, sizeof text, "/proc/%d/task/%d/status", doctor->pid, tid)) {
        return false;
    }
    thread_out->preempted = doctor_window_after(text, "\nnonvoluntary_ctxt_switches:");
    thread_out->age_ns = doctor_window_age_ns(doctor, tid);
    return true;
}

static void doctor_window_read_threads(const struct doctor *doctor, struct doctor_moment *moment)
{
    moment->thread_count = 0;
    DIR *tasks =
        doctor->pid == 0 ? NULL : doctor_open_directory(doctor, "/proc/%d/task", doctor->pid);
    if (tasks == NULL) {
        return;
    }
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        int tid = atoi(task->d_name);
        if (tid > 0 && moment->thread_count < DOCTOR_WINDOW_THREADS_MAX &&
            doctor_window_read_thread(doctor, tid, &moment->threads[moment->thread_count])) {
            moment->thread_count++;
        }
    }
    closedir(tasks);
}

/* ---- The whole ---- */

/* "cpu  user nice system idle iowait irq softirq steal ..." */
static void doctor_window_read_ticks(const struct doctor *doctor, struct doctor_moment *moment)
{
    char text[512];
    moment->cpu_ticks = moment->stolen_ticks = 0;
    if (!doctor_read(doctor, text, sizeof text, "/proc/stat") || strncmp(text, "cpu ", 4) != 0) {
        return;
    }
    char *at = text + 4;
    for (int i = 0; i < 8; i++) {
        moment->stolen_ticks = strtoull(at, &at, 10); /* the last of them */
        moment->cpu_ticks += moment->stolen_ticks;
    }
    assert_debug(moment->stolen_ticks <= moment->cpu_ticks);
}

static void doctor_window_read(const struct doctor *doctor, struct doctor_moment *moment)
{
    doctor_window_read_quota(doctor, &moment->quota);
    doctor_window_read_threads(doctor, moment);
    doctor_window_read_ticks(doctor, moment);
    if (!doctor_read(doctor, moment->interrupts, sizeof moment->interrupts, "/proc/interrupts")) {
        moment->interrupts[0] = '\0';
    }
    if (!doctor_read(doctor, moment->softnet, sizeof moment->softnet, "/proc/net/softnet_stat")) {
        moment->softnet[0] = '\0';
    }
}

const struct doctor_window *doctor_window(struct doctor *doctor)
{
    static struct doctor_window window;
    if (doctor->window == NULL) {
        assert_always(doctor->host->pass != NULL);
        doctor_window_read(doctor, &window.from);
        window.ns = doctor->host->pass(doctor->host->pass_context);
        doctor_window_read(doctor, &window.to);
        doctor->window = &window;
    }
    assert_always(doctor->window->ns > 0);
    return doctor->window;
}

const struct doctor_thread *doctor_window_from(const struct doctor_window *window,
                                               const struct doctor_thread *to)
{
    for (uint32_t i = 0; i < window->from.thread_count; i++) {
        if (window->from.threads[i].tid == to->tid) {
            return &window->from.threads[i];
        }
    }
    return NULL;
}
