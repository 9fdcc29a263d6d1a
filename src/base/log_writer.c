#include "src/base/log_writer.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "src/base/thread.h"

#define LOG_WRITER_RING_BYTES (256 * KIB)    /* a power of two */
#define LOG_WRITER_LATE_STEPS 50             /* of a wait for a thread that lacks the CPU, */
#define LOG_WRITER_LATE_NS (100 * NS_PER_MS) /* and how long each is */

static_assert((LOG_WRITER_RING_BYTES & (LOG_WRITER_RING_BYTES - 1)) == 0, "positions wrap into it");

/* Before each text in the ring. */
struct log_writer_head {
    int32_t fd; /* LOG_WRITER_FILE: the file */
    uint32_t text_bytes;
};

struct log_writer {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    pthread_cond_t emptied; /* tail == head: all has been written */
    pthread_t thread;
    _Atomic bool is_open;
    _Atomic uint64_t lost;
    _Atomic int error;
    int torn_fd; /* The thread's: there a line was cut off by an error. LOG_WRITER_FILE: nowhere. */

    /* Under the mutex. */
    bool is_ending;
    _Atomic uint32_t *tid; /* see log_writer_show */
    _Atomic uint64_t *turns;
    int file;      /* The thread writes there; -1: none. */
    int next_file; /* takes its place before the next text; -1: none */
    struct log_writer_times times;
    uint64_t head;
    uint64_t tail;
    char ring[LOG_WRITER_RING_BYTES];
};

#define LOG_WRITER_AT_REST                                                                         \
    {                                                                                              \
        .mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER,                    \
        .torn_fd = LOG_WRITER_FILE, .file = -1, .next_file = -1                                    \
    }

static struct log_writer log_writers[LOG_SINK_COUNT] = {
    [LOG_SINK_LOG] = LOG_WRITER_AT_REST,
    [LOG_SINK_ACCESS] = LOG_WRITER_AT_REST,
    [LOG_SINK_AUDIT] = LOG_WRITER_AT_REST,
};

static const char *const log_writer_names[] = {
    [LOG_SINK_LOG] = "log",
    [LOG_SINK_ACCESS] = "log-access",
    [LOG_SINK_AUDIT] = "log-audit",
};

static struct log_writer *log_writer_of(enum log_sink sink)
{
    assert_always((unsigned)sink < LOG_SINK_COUNT);
    return &log_writers[sink];
}

static void log_writer_lose(struct log_writer *writer, int error)
{
    atomic_fetch_add(&writer->lost, 1);
    atomic_store(&writer->error, error);
}

/* May wait. Returns 0 or errno; *written_out: bytes. */
static int log_writer_write(int fd, const char *text, size_t text_bytes, size_t *written_out)
{
    *written_out = 0;
    while (*written_out < text_bytes) {
        ssize_t written = write(fd, text + *written_out, text_bytes - *written_out);
        if (written >= 0) {
            *written_out += (size_t)written;
        } else if (errno == EAGAIN) { /* Another process that shares it has made it non-blocking. */
            struct pollfd writable = {.fd = fd, .events = POLLOUT};
            (void)poll(&writable, 1, -1);
        } else if (errno != EINTR) {
            return errno;
        }
    }
    return 0;
}

static void log_writer_write_text(struct log_writer *writer, int fd, const char *text,
                                  size_t text_bytes)
{
    size_t written = 0;
    int error = 0;
    if (writer->torn_fd == fd) {
        error = log_writer_write(fd, "\n", 1, &written);
        writer->torn_fd = error != 0 ? fd : LOG_WRITER_FILE;
    }
    if (error == 0) {
        error = log_writer_write(fd, text, text_bytes, &written);
        if (error != 0 && written > 0 && fd != STDOUT_FILENO) {
            writer->torn_fd = fd;
        }
    }
    if (error != 0) {
        log_writer_lose(writer, error);
    }
}

/* ---- The ring; the caller has the mutex ---- */

static void log_writer_copy_in(struct log_writer *writer, const void *bytes, size_t count)
{
    assert_always(writer->head + count - writer->tail <= LOG_WRITER_RING_BYTES);
    size_t at = writer->head % LOG_WRITER_RING_BYTES;
    size_t first = count < LOG_WRITER_RING_BYTES - at ? count : LOG_WRITER_RING_BYTES - at;
    memcpy(writer->ring + at, bytes, first);
    memcpy(writer->ring, (const char *)bytes + first, count - first);
    writer->head += count;
}

static void log_writer_copy_out(const struct log_writer *writer, uint64_t position, void *bytes,
                                size_t count)
{
    assert_always(position >= writer->tail);
    assert_always(position + count <= writer->head);
    size_t at = position % LOG_WRITER_RING_BYTES;
    size_t first = count < LOG_WRITER_RING_BYTES - at ? count : LOG_WRITER_RING_BYTES - at;
    memcpy(bytes, writer->ring + at, first);
    memcpy((char *)bytes + first, writer->ring, count - first);
}

static bool log_writer_fits(const struct log_writer *writer, size_t text_bytes)
{
    return writer->head - writer->tail + sizeof(struct log_writer_head) + text_bytes <=
           LOG_WRITER_RING_BYTES;
}

/* ---- The thread ---- */

/* Under the mutex. */
static void log_writer_take_turn(struct log_writer *writer, uint32_t tid)
{
    if (writer->turns != NULL) {
        atomic_store_explicit(writer->tid, tid, memory_order_relaxed);
        atomic_fetch_add_explicit(writer->turns, 1, memory_order_relaxed);
    }
}

/* Under the mutex, which it gives up while it closes the old file: that may wait for a disk. */
static void log_writer_take_file(struct log_writer *writer)
{
    if (writer->next_file < 0) {
        return;
    }
    int old = writer->file;
    writer->file = writer->next_file;
    writer->next_file = -1;
    if (old >= 0) {
        writer->torn_fd = writer->torn_fd == old ? LOG_WRITER_FILE : writer->torn_fd;
        pthread_mutex_unlock(&writer->mutex);
        close(old);
        pthread_mutex_lock(&writer->mutex);
    }
}

/* Under the mutex, which it gives up while it writes. */
static void log_writer_write_next(struct log_writer *writer)
{
    char text[LOG_WRITER_TEXT_BYTES_MAX];
    struct log_writer_head head;
    log_writer_copy_out(writer, writer->tail, &head, sizeof head);
    assert_always(head.text_bytes <= sizeof text);
    log_writer_copy_out(writer, writer->tail + sizeof head, text, head.text_bytes);
    int fd = head.fd == LOG_WRITER_FILE ? writer->file : head.fd;
    pthread_mutex_unlock(&writer->mutex);
    uint64_t began_ns = clock_ns(CLOCK_MONOTONIC);
    log_writer_write_text(writer, fd, text, head.text_bytes);
    uint64_t ended_ns = clock_ns(CLOCK_MONOTONIC);
    assert_debug(ended_ns >= began_ns);
    pthread_mutex_lock(&writer->mutex);
    writer->times.write_count++;
    writer->times.write_ns += ended_ns - began_ns;
    writer->tail += sizeof head + head.text_bytes;
    if (writer->tail == writer->head) {
        pthread_cond_signal(&writer->emptied);
    }
}

static void *log_writer_run(void *argument)
{
    struct log_writer *writer = argument;
    uint32_t tid = (uint32_t)gettid();
    (void)pthread_setname_np(pthread_self(), log_writer_names[writer - log_writers]);
    pthread_mutex_lock(&writer->mutex);
    for (;;) {
        log_writer_take_turn(writer, tid);
        log_writer_take_file(writer);
        if (writer->tail != writer->head) {
            log_writer_write_next(writer);
        } else if (writer->is_ending) {
            break;
        } else if (writer->next_file < 0) {
            pthread_cond_wait(&writer->filled, &writer->mutex);
        }
    }
    pthread_mutex_unlock(&writer->mutex);
    return NULL;
}

int log_writer_open(enum log_sink sink)
{
    struct log_writer *writer = log_writer_of(sink);
    pthread_condattr_t attributes;
    if (atomic_load(&writer->is_open)) {
        return 0;
    }
    int error = -pthread_condattr_init(&attributes);
    if (error < 0) {
        return error;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = -pthread_cond_init(&writer->emptied, &attributes);
    pthread_condattr_destroy(&attributes);
    if (error < 0) {
        return error;
    }
    writer->is_ending = false;
    /* Without signals, so that a terminal does not stop the program for a line. */
    error = thread_start(&writer->thread, log_writer_run, writer);
    if (error < 0) {
        pthread_cond_destroy(&writer->emptied);
        return error;
    }
    atomic_store(&writer->is_open, true);
    return 0;
}

void log_writer_set_file(enum log_sink sink, int fd)
{
    struct log_writer *writer = log_writer_of(sink);
    assert_always(fd > STDERR_FILENO);
    pthread_mutex_lock(&writer->mutex);
    int unused = writer->next_file;
    writer->next_file = fd;
    pthread_cond_signal(&writer->filled);
    pthread_mutex_unlock(&writer->mutex);
    if (unused >= 0) {
        close(unused);
    }
}

bool log_writer_put(enum log_sink sink, int fd, const char *text, size_t text_bytes)
{
    struct log_writer *writer = log_writer_of(sink);
    assert_always(text_bytes <= LOG_WRITER_TEXT_BYTES_MAX);
    if (!atomic_load(&writer->is_open)) {
        log_writer_write_text(writer, fd, text, text_bytes);
        return true;
    }
    struct log_writer_head head = {.fd = fd, .text_bytes = (uint32_t)text_bytes};
    pthread_mutex_lock(&writer->mutex);
    bool fits = log_writer_fits(writer, text_bytes);
    if (fits) {
        log_writer_copy_in(writer, &head, sizeof head);
        log_writer_copy_in(writer, text, text_bytes);
        pthread_cond_signal(&writer->filled);
    }
    pthread_mutex_unlock(&writer->mutex);
    if (!fits) {
        log_writer_lose(writer, 0);
    }
    return fits;
}

bool log_writer_has_room(enum log_sink sink)
{
    struct log_writer *writer = log_writer_of(sink);
    if (!atomic_load(&writer->is_open)) {
        return true;
    }
    pthread_mutex_lock(&writer->mutex);
    bool fits = log_writer_fits(writer, LOG_WRITER_RING_BYTES / 2);
    pthread_mutex_unlock(&writer->mutex);
    return fits;
}

/* Whether what is written next can be: the thread then waits for nothing but the CPU. The caller
 * has the mutex. */
static bool log_writer_is_only_late(const struct log_writer *writer)
{
    struct log_writer_head head;
    log_writer_copy_out(writer, writer->tail, &head, sizeof head);
    int file = writer->next_file >= 0 ? writer->next_file : writer->file;
    struct pollfd writable = {.fd = head.fd == LOG_WRITER_FILE ? file : head.fd, .events = POLLOUT};
    return poll(&writable, 1, 0) > 0;
}

bool log_writer_flush(enum log_sink sink, uint64_t until_ns)
{
    struct log_writer *writer = log_writer_of(sink);
    int late_steps = 0;
    if (!atomic_load(&writer->is_open)) {
        return true;
    }
    pthread_mutex_lock(&writer->mutex);
    while (writer->tail != writer->head) {
        struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                                 .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
        if (pthread_cond_timedwait(&writer->emptied, &writer->mutex, &until) == 0) {
            continue;
        }
        if (writer->tail == writer->head || late_steps++ == LOG_WRITER_LATE_STEPS ||
            !log_writer_is_only_late(writer)) {
            break;
        }
        until_ns = clock_ns(CLOCK_MONOTONIC) + LOG_WRITER_LATE_NS;
    }
    bool is_empty = writer->tail == writer->head;
    pthread_mutex_unlock(&writer->mutex);
    return is_empty;
}

void log_writer_show(_Atomic uint32_t *tid, _Atomic uint64_t *turns)
{
    struct log_writer *writer = log_writer_of(LOG_SINK_LOG);
    assert_always((tid == NULL) == (turns == NULL));
    pthread_mutex_lock(&writer->mutex);
    writer->tid = tid;
    writer->turns = turns;
    pthread_cond_signal(&writer->filled);
    pthread_mutex_unlock(&writer->mutex);
}

/* The thread has ended. */
static void log_writer_close_file(struct log_writer *writer)
{
    if (writer->file >= 0) {
        close(writer->file);
    }
    writer->file = -1;
    writer->torn_fd = LOG_WRITER_FILE;
}

void log_writer_close(enum log_sink sink)
{
    struct log_writer *writer = log_writer_of(sink);
    if (!atomic_load(&writer->is_open)) {
        return;
    }
    pthread_mutex_lock(&writer->mutex);
    bool is_empty = writer->tail == writer->head;
    writer->is_ending = is_empty;
    pthread_cond_signal(&writer->filled);
    pthread_mutex_unlock(&writer->mutex);
    if (is_empty) {
        pthread_join(writer->thread, NULL);
        pthread_cond_destroy(&writer->emptied);
        log_writer_close_file(writer);
        atomic_store(&writer->is_open, false);
    }
}

uint64_t log_writer_lost_count(enum log_sink sink)
{
    return atomic_load(&log_writer_of(sink)->lost);
}

int log_writer_error(enum log_sink sink)
{
    return atomic_load(&log_writer_of(sink)->error);
}

void log_writer_read_times(enum log_sink sink, struct log_writer_times *times_out)
{
    struct log_writer *writer = log_writer_of(sink);
    pthread_mutex_lock(&writer->mutex);
    *times_out = writer->times;
    pthread_mutex_unlock(&writer->mutex);
}
