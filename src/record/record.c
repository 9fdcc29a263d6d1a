#include "src/record/record.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "ring/board/counters_threads.h"
#include "src/base/log.h"
#include "src/base/thread.h"
#include "src/record/record_input.h"
#include "src/record/record_output.h"

#define RECORD_SLEEP_MS 250
#define RECORD_STOP_SECONDS 10

struct record {
    struct record_input input;
    struct record_output output;
    struct record_queue queue;
    struct counters_thread *thread_record;
    pthread_t thread;
    bool has_thread;
};

/* ---- The thread ---- */

static void record_sleep(struct record *record)
{
    struct record_queue *queue = &record->queue;
    struct pollfd wake = {.fd = queue->wake_fd, .events = POLLIN};
    eventfd_t count;
    atomic_store(&queue->is_sleeping, true);
    if (!atomic_load(&queue->is_ending) && poll(&wake, 1, RECORD_SLEEP_MS) == 1) {
        (void)eventfd_read(queue->wake_fd, &count);
    }
    atomic_store(&queue->is_sleeping, false);
}

static void *record_run(void *argument)
{
    struct record *record = argument;
    (void)pthread_setname_np(pthread_self(), "recorder");
    if (record->thread_record != NULL) {
        counters_threads_begin(record->thread_record);
    }
    while (!atomic_load(&record->queue.is_ending)) {
        counter_add(&record->queue.counters->record_turns, 1);
        if (!record_output_turn(&record->output, clock_ns(CLOCK_MONOTONIC))) {
            record_sleep(record);
        }
    }
    record_output_end(&record->output);
    return NULL;
}

/* ---- Life ---- */

static int record_allocate(struct record *record, const struct record_options *options)
{
    struct record_queue *queue = &record->queue;
    queue->channels = calloc(RECORD_QUEUE_CHANNELS_MAX, sizeof *queue->channels);
    if (queue->channels == NULL) {
        return -ENOMEM;
    }
    queue->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (queue->wake_fd < 0) {
        return -errno;
    }
    int error = record_ring_create(&queue->ring, options->ring_bytes);
    if (error == 0) {
        error = record_input_create(&record->input, queue);
    }
    if (error == 0) {
        error = record_file_create(&record->output.file, record->output.directory.fd);
    }
    return error;
}

int record_create(struct record **record_out, const struct record_options *options, char *error_out,
                  size_t error_bytes)
{
    struct record *record = aligned_alloc(CACHE_LINE_BYTES, sizeof *record);
    if (record == NULL) {
        snprintf(error_out, error_bytes, "--record: not enough memory");
        return -ENOMEM;
    }
    memset(record, 0, sizeof *record);
    record->queue.counters = options->counters;
    record->queue.wake_fd = -1;
    record->output = (struct record_output){
        .queue = &record->queue,
        .path = options->path,
        .epoch = options->epoch,
        .file_bytes_max = options->file_bytes_max,
        .file_ns_max = options->file_ns_max,
        .file = {.fd = -1},
    };
    int error =
        record_directory_open(&record->output.directory, options->path, error_out, error_bytes);
    if (error == 0) {
        error = record_allocate(record, options);
        if (error < 0) {
            snprintf(error_out, error_bytes, "--record: %s; free some memory", strerror(-error));
        }
    }
    if (error < 0) {
        record_destroy(record);
        return error;
    }
    *record_out = record;
    return 0;
}

int record_start(struct record *record, struct counters_thread *thread, char *error_out,
                 size_t error_bytes)
{
    assert_always(!record->has_thread);
    struct record_output *output = &record->output;
    int error = record_directory_lock(&output->directory, output->path, error_out, error_bytes);
    if (error < 0) {
        return error;
    }
    record->thread_record = thread;
    counter_set(&record->queue.counters->record_active, 1);
    error = thread_start(&record->thread, record_run, record);
    if (error < 0) {
        snprintf(error_out, error_bytes,
                 "--record: cannot start its thread: %s; raise the limit of threads (ulimit -u)",
                 strerror(-error));
        return error;
    }
    record->has_thread = true;
    return 0;
}

void record_set_limits(struct record *record, uint64_t file_bytes_max, uint64_t file_ns_max)
{
    atomic_store(&record->output.file_bytes_max, file_bytes_max);
    atomic_store(&record->output.file_ns_max, file_ns_max);
}

bool record_stop(struct record *record)
{
    struct timespec until;
    if (record == NULL || !record->has_thread) {
        return true;
    }
    atomic_store(&record->queue.is_ending, true);
    (void)eventfd_write(record->queue.wake_fd, 1);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += RECORD_STOP_SECONDS;
    if (pthread_timedjoin_np(record->thread, NULL, &until) == 0) {
        record->has_thread = false;
        return true;
    }
    log_write(LOG_LEVEL_ERROR,
              "--record: the disk has not taken the rest of %s/%s within %d s; it is lost",
              record->output.path, record->output.file.name, RECORD_STOP_SECONDS);
    return false;
}

void record_destroy(struct record *record)
{
    if (record == NULL || record->has_thread) {
        return; /* A thread that waits for the disk still uses it. */
    }
    record_file_abandon(&record->output.file);
    record_file_destroy(&record->output.file);
    record_directory_close(&record->output.directory);
    record_input_destroy(&record->input);
    record_ring_destroy(&record->queue.ring);
    if (record->queue.wake_fd >= 0) {
        close(record->queue.wake_fd);
    }
    free(record->queue.channels);
    free(record);
}

/* ---- The publisher ---- */

bool record_knows(const struct record *record, uint32_t channel)
{
    return record_input_knows(&record->input, channel);
}

void record_define(struct record *record, uint32_t channel, const char *symbol, size_t symbol_bytes,
                   enum md_type type)
{
    record_input_define(&record->input, channel, symbol, symbol_bytes, type);
}

void record_tick(struct record *record, const struct md_update *update)
{
    record_input_tick(&record->input, update);
}

void record_lose(struct record *record, uint32_t channel)
{
    record_input_lose(&record->input, channel);
}
