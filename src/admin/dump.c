#include "src/admin/dump.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/admin/dump_proc.h"
#include "src/admin/prometheus.h"
#include "src/admin/stats.h"
#include "src/base/file.h"
#include "src/base/log.h"
#include "src/base/log_recent.h"
#include "src/base/thread.h"
#include "src/config/options_print.h"

/* jemalloc's. */
extern void malloc_stats_print(void (*write)(void *, const char *), void *context,
                               const char *options) __attribute__((weak));

struct dump {
    struct dump_options options;
    pthread_mutex_t mutex;
    pthread_cond_t done;

    /* Under the mutex. */
    pthread_t thread;
    bool has_thread; /* to be joined */
    bool has_begun;  /* one, at some time */
    uint64_t begun_ns;
    struct dump_result result;

    /* The thread's, while it runs. */
    struct metrics *metrics;
    char *config; /* the configuration as text, malloc */
    size_t config_bytes;
};

/* ---- Files; each is written to fd: 0 or a negative errno ---- */

static int dump_write_stats(const struct dump *dump, int fd)
{
    json_t *stats = stats_json(dump->metrics);
    char *text = stats == NULL ? NULL : json_dumps(stats, JSON_INDENT(1));
    int error = text == NULL ? -ENOMEM : file_write(fd, text, strlen(text));
    free(text);
    json_decref(stats);
    return error;
}

static int dump_write_metrics(const struct dump *dump, int fd)
{
    size_t bytes;
    char *text = prometheus_write(dump->metrics, false, &bytes);
    int error = text == NULL ? -ENOMEM : file_write(fd, text, bytes);
    free(text);
    return error;
}

static int dump_write_config(const struct dump *dump, int fd)
{
    return file_write(fd, dump->config, dump->config_bytes);
}

static int dump_write_log(const struct dump *dump, int fd)
{
    (void)dump;
    return log_recent_write(fd);
}

static int dump_write_counters(const struct dump *dump, int fd)
{
    return dump_proc_copy(dump->options.counters_path, fd);
}

struct dump_allocator {
    int fd;
    int error;
};

static void dump_on_allocator_text(void *context, const char *text)
{
    struct dump_allocator *allocator = context;
    if (allocator->error == 0) {
        allocator->error = file_write(allocator->fd, text, strlen(text));
    }
}

static int dump_write_allocator(const struct dump *dump, int fd)
{
    struct dump_allocator allocator = {.fd = fd};
    (void)dump;
    if (malloc_stats_print == NULL) {
        dump_on_allocator_text(&allocator,
                               "The allocator is not jemalloc: it has no statistics.\n");
    } else {
        malloc_stats_print(dump_on_allocator_text, &allocator, NULL);
    }
    return allocator.error;
}

static int dump_write_threads(const struct dump *dump, int fd)
{
    (void)dump;
    return dump_proc_threads(fd);
}

static int dump_write_fds(const struct dump *dump, int fd)
{
    (void)dump;
    return dump_proc_fds(fd);
}

static const struct {
    const char *name;
    int (*write)(const struct dump *dump, int fd);
    const char *copy_of; /* without a function */
} dump_files[] = {
    {"stats.json", dump_write_stats, NULL},
    {"metrics.txt", dump_write_metrics, NULL},
    {"config.yaml", dump_write_config, NULL},
    {"log.txt", dump_write_log, NULL},
    {"threads.txt", dump_write_threads, NULL},
    {"fds.txt", dump_write_fds, NULL},
    {"allocator.txt", dump_write_allocator, NULL},
    {"counters", dump_write_counters, NULL},
    {"status", NULL, "/proc/self/status"},
    {"limits", NULL, "/proc/self/limits"},
    {"maps", NULL, "/proc/self/maps"},
    {"smaps_rollup", NULL, "/proc/self/smaps_rollup"},
};
#define DUMP_FILE_COUNT (sizeof dump_files / sizeof dump_files[0])
static_assert(DUMP_FILE_COUNT <= DUMP_FILES_MAX, "a result has room for all");

/* ---- The directory ---- */

static int dump_write_file(const struct dump *dump, int directory, size_t index)
{
    int fd =
        openat(directory, dump_files[index].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0) {
        return -errno;
    }
    int error = dump_files[index].write != NULL ? dump_files[index].write(dump, fd)
                                                : dump_proc_copy(dump_files[index].copy_of, fd);
    if (close(fd) < 0 && error == 0) {
        error = -errno; /* Some file systems find out here that they are full. */
    }
    return error;
}

static void dump_write_files(const struct dump *dump, int directory, struct dump_result *result)
{
    for (size_t i = 0; i < DUMP_FILE_COUNT && result->error == 0; i++) {
        assert_always(result->file_count < DUMP_FILES_MAX);
        result->files[result->file_count++] = dump_files[i].name;
        result->error = dump_write_file(dump, directory, i);
        result->failed = dump_files[i].name;
    }
}

static void dump_remove(int directory, const struct dump_result *result)
{
    assert_always(result->file_count <= DUMP_FILES_MAX);
    for (uint32_t i = 0; i < result->file_count; i++) {
        (void)unlinkat(directory, result->files[i], 0);
    }
    (void)rmdir(result->path);
}

/* result->path is chosen. */
static void dump_write(const struct dump *dump, struct dump_result *result)
{
    result->failed = "";
    if (mkdir(result->path, 0700) < 0) {
        result->error = -errno;
        return;
    }
    int directory = open(result->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (directory < 0) {
        result->error = -errno;
        (void)rmdir(result->path);
        return;
    }
    dump_write_files(dump, directory, result);
    if (result->error != 0) {
        dump_remove(directory, result);
        result->file_count = 0;
    }
    close(directory);
}

static void dump_log(const struct dump_result *result)
{
    if (result->error == 0) {
        log_write(LOG_LEVEL_INFO, "dump: %u files were written to %s", result->file_count,
                  result->path);
    } else {
        log_write(LOG_LEVEL_ERROR, "dump: cannot write %s%s%s: %s; --dump-dir names a directory",
                  result->path, result->failed[0] == '\0' ? "" : "/", result->failed,
                  strerror(-result->error));
    }
}

static void *dump_run(void *argument)
{
    struct dump *dump = argument;
    (void)pthread_setname_np(pthread_self(), "dump");
    pthread_mutex_lock(&dump->mutex);
    struct dump_result result = dump->result;
    pthread_mutex_unlock(&dump->mutex);
    assert_always(!result.is_done);
    dump_write(dump, &result);
    result.is_done = true;
    pthread_mutex_lock(&dump->mutex);
    dump->result = result;
    pthread_cond_broadcast(&dump->done);
    pthread_mutex_unlock(&dump->mutex);
    dump_log(&result); /* Who reads it may ask for another one. */
    return NULL;
}

/* ---- Life cycle ---- */

int dump_create(struct dump **dump_out, const struct dump_options *options)
{
    pthread_condattr_t attributes;
    struct dump *dump = calloc(1, sizeof *dump);
    if (dump == NULL) {
        return -ENOMEM;
    }
    assert_always(options->options != NULL);
    assert_always(options->counters_path != NULL);
    dump->options = *options;
    pthread_mutex_init(&dump->mutex, NULL);
    pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&dump->done, &attributes);
    pthread_condattr_destroy(&attributes);
    *dump_out = dump;
    return 0;
}

void dump_destroy(struct dump *dump)
{
    if (dump == NULL) {
        return;
    }
    if (dump->has_thread) {
        pthread_join(dump->thread, NULL);
    }
    free(dump->config);
    pthread_cond_destroy(&dump->done);
    pthread_mutex_destroy(&dump->mutex);
    free(dump);
}

static void dump_choose_path(const struct dump *dump, char path[DUMP_PATH_BYTES_MAX])
{
    char when[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(when, sizeof when, "%Y%m%dT%H%M%SZ", &utc);
    snprintf(path, DUMP_PATH_BYTES_MAX, "%s/ringcast-dump-%d-%s",
             dump->options.options->dump_directory, (int)getpid(), when);
}

/* A reload may change the options while the thread writes: it gets a copy as text. */
static int dump_print_config(struct dump *dump)
{
    free(dump->config);
    dump->config = NULL;
    FILE *out = open_memstream(&dump->config, &dump->config_bytes);
    if (out == NULL) {
        return -errno;
    }
    options_print_config(out, dump->options.options);
    return fclose(out) != 0 ? -errno : 0;
}

/* The caller has the mutex. */
static int dump_begin_locked(struct dump *dump, struct metrics *metrics)
{
    uint64_t now_ns = clock_ns(CLOCK_MONOTONIC);
    assert_always(now_ns >= dump->begun_ns);
    if (dump->has_thread && !dump->result.is_done) {
        return -EBUSY;
    }
    if (dump->has_begun && now_ns - dump->begun_ns < DUMP_PAUSE_SECONDS * NS_PER_SECOND) {
        return -EAGAIN;
    }
    if (dump->has_thread) {
        pthread_join(dump->thread, NULL); /* It has ended, but for its last instructions. */
        dump->has_thread = false;
    }
    assert_always(!dump->has_thread);
    dump->result = (struct dump_result){.is_done = false};
    dump_choose_path(dump, dump->result.path);
    dump->metrics = metrics;
    int error = dump_print_config(dump);
    error = error < 0 ? error : thread_start(&dump->thread, dump_run, dump);
    if (error == 0) {
        dump->has_thread = true;
        dump->has_begun = true;
        dump->begun_ns = now_ns;
    }
    return error;
}

int dump_begin(struct dump *dump, struct metrics *metrics)
{
    pthread_mutex_lock(&dump->mutex);
    int error = dump_begin_locked(dump, metrics);
    pthread_mutex_unlock(&dump->mutex);
    return error;
}

void dump_wait(struct dump *dump, uint64_t until_ns, struct dump_result *result_out)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                             .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
    pthread_mutex_lock(&dump->mutex);
    while (!dump->result.is_done &&
           pthread_cond_timedwait(&dump->done, &dump->mutex, &until) == 0) {
    }
    *result_out = dump->result;
    pthread_mutex_unlock(&dump->mutex);
}

const char *dump_error_text(int error)
{
    if (error == -EBUSY) {
        return "a dump is being written";
    }
    static_assert(DUMP_PAUSE_SECONDS == 10, "as the text says");
    return error == -EAGAIN ? "the last dump began less than 10 s ago" : strerror(-error);
}
