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
    uint32_t fd;
    uint32_t text_bytes;
};

static struct {
    pthread_mutex_t mutex;
    pthread_cond_t filled;
    pthread_cond_t emptied; /* tail == head: all has been written */
    pthread_t thread;
    _Atomic bool is_open;
    _Atomic uint64_t lost;
    _Atomic int error;
    bool is_torn; /* The thread's: a line was cut off by an error. */

    /* Under the mutex. */
    bool is_ending;
    _Atomic uint32_t *tid; /* see log_writer_show */
    _Atomic uint64_t *turns;
    uint64_t head;
    uint64_t tail;
    char ring[LOG_WRITER_RING_BYTES];
} log_writer = {.mutex = PTHREAD_MUTEX_INITIALIZER, .filled = PTHREAD_COND_INITIALIZER};

static void log_writer_lose(int error)
{
    atomic_fetch_add(&log_writer.lost, 1);
    atomic_store(&log_writer.error, error);
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

static void log_writer_write_text(int fd, const char *text, size_t text_bytes)
{
    size_t written = 0;
    int error = 0;
    if (log_writer.is_torn && fd == STDERR_FILENO) {
        error = log_writer_write(fd, "\n", 1, &written);
        log_writer.is_torn = error != 0;
    }
    if (error == 0) {
        error = log_writer_write(fd, text, text_bytes, &written);
        log_writer.is_torn |= error != 0 && written > 0 && fd == STDERR_FILENO;
    }
    if (error != 0) {
        log_writer_lose(error);
    }
}

/* ---- The ring; the caller has the mutex ---- */

static void log_writer_copy_in(const void *bytes, size_t count)
{
    assert_always(log_writer.head + count - log_writer.tail <= LOG_WRITER_RING_BYTES);
    size_t at = log_writer.head % LOG_WRITER_RING_BYTES;
    size_t first = count < LOG_WRITER_RING_BYTES - at ? count : LOG_WRITER_RING_BYTES - at;
    memcpy(log_writer.ring + at, bytes, first);
    memcpy(log_writer.ring, (const char *)bytes + first, count - first);
    log_writer.head += count;
}

static void log_writer_copy_out(uint64_t position, void *bytes, size_t count)
{
    assert_always(position >= log_writer.tail);
    assert_always(position + count <= log_writer.head);
    size_t at = position % LOG_WRITER_RING_BYTES;
    size_t first = count < LOG_WRITER_RING_BYTES - at ? count : LOG_WRITER_RING_BYTES - at;
    memcpy(bytes, log_writer.ring + at, first);
    memcpy((char *)bytes + first, log_writer.ring, count - first);
}

static bool log_writer_fits(size_t text_bytes)
{
    return log_writer.head - log_writer.tail + sizeof(struct log_writer_head) + text_bytes <=
           LOG_WRITER_RING_BYTES;
}

/* ---- The thread ---- */

/* Under the mutex. */
static void log_writer_take_turn(uint32_t tid)
{
    if (log_writer.turns != NULL) {
        atomic_store_explicit(log_writer.tid, tid, memory_order_relaxed);
        atomic_fetch_add_explicit(log_writer.turns, 1, memory_order_relaxed);
    }
}

static void *log_writer_run(void *unused)
{
    char text[LOG_WRITER_TEXT_BYTES_MAX];
    struct log_writer_head head;
    uint32_t tid = (uint32_t)gettid();
    (void)unused;
    (void)pthread_setname_np(pthread_self(), "log");
    pthread_mutex_lock(&log_writer.mutex);
    for (;;) {
        log_writer_take_turn(tid);
        while (log_writer.tail == log_writer.head && !log_writer.is_ending) {
            pthread_cond_wait(&log_writer.filled, &log_writer.mutex);
            log_writer_take_turn(tid);
        }
        if (log_writer.tail == log_writer.head) {
            break;
        }
        log_writer_copy_out(log_writer.tail, &head, sizeof head);
        assert_always(head.text_bytes <= sizeof text);
        log_writer_copy_out(log_writer.tail + sizeof head, text, head.text_bytes);
        pthread_mutex_unlock(&log_writer.mutex);
        log_writer_write_text((int)head.fd, text, head.text_bytes);
        pthread_mutex_lock(&log_writer.mutex);
        log_writer.tail += sizeof head + head.text_bytes;
        if (log_writer.tail == log_writer.head) {
            pthread_cond_signal(&log_writer.emptied);
        }
    }
    pthread_mutex_unlock(&log_writer.mutex);
    return NULL;
}

int log_writer_open(void)
{
    pthread_condattr_t attributes;
    if (atomic_load(&log_writer.is_open)) {
        return 0;
    }
    int error = -pthread_condattr_init(&attributes);
    if (error < 0) {
        return error;
    }
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    error = -pthread_cond_init(&log_writer.emptied, &attributes);
    pthread_condattr_destroy(&attributes);
    if (error < 0) {
        return error;
    }
    log_writer.is_ending = false;
    /* Without signals, so that a terminal does not stop the program for a line. */
    error = thread_start(&log_writer.thread, log_writer_run, NULL);
    if (error < 0) {
        pthread_cond_destroy(&log_writer.emptied);
        return error;
    }
    atomic_store(&log_writer.is_open, true);
    return 0;
}

bool log_writer_put(int fd, const char *text, size_t text_bytes)
{
    assert_always(text_bytes <= LOG_WRITER_TEXT_BYTES_MAX);
    if (!atomic_load(&log_writer.is_open)) {
        log_writer_write_text(fd, text, text_bytes);
        return true;
    }
    struct log_writer_head head = {.fd = (uint32_t)fd, .text_bytes = (uint32_t)text_bytes};
    pthread_mutex_lock(&log_writer.mutex);
    bool fits = log_writer_fits(text_bytes);
    if (fits) {
        log_writer_copy_in(&head, sizeof head);
        log_writer_copy_in(text, text_bytes);
        pthread_cond_signal(&log_writer.filled);
    }
    pthread_mutex_unlock(&log_writer.mutex);
    if (!fits) {
        log_writer_lose(0);
    }
    return fits;
}

bool log_writer_has_room(void)
{
    if (!atomic_load(&log_writer.is_open)) {
        return true;
    }
    pthread_mutex_lock(&log_writer.mutex);
    bool fits = log_writer_fits(LOG_WRITER_RING_BYTES / 2);
    pthread_mutex_unlock(&log_writer.mutex);
    return fits;
}

/* Whether what is written next can be: the thread then waits for nothing but the CPU. The caller
 * has the mutex. */
static bool log_writer_is_only_late(void)
{
    struct log_writer_head head;
    log_writer_copy_out(log_writer.tail, &head, sizeof head);
    struct pollfd writable = {.fd = (int)head.fd, .events = POLLOUT};
    return poll(&writable, 1, 0) > 0;
}

bool log_writer_flush(uint64_t until_ns)
{
    int late_steps = 0;
    if (!atomic_load(&log_writer.is_open)) {
        return true;
    }
    pthread_mutex_lock(&log_writer.mutex);
    while (log_writer.tail != log_writer.head) {
        struct timespec until = {.tv_sec = (time_t)(until_ns / NS_PER_SECOND),
                                 .tv_nsec = (long)(until_ns % NS_PER_SECOND)};
        if (pthread_cond_timedwait(&log_writer.emptied, &log_writer.mutex, &until) == 0) {
            continue;
        }
        if (log_writer.tail == log_writer.head || late_steps++ == LOG_WRITER_LATE_STEPS ||
            !log_writer_is_only_late()) {
            break;
        }
        until_ns = clock_ns(CLOCK_MONOTONIC) + LOG_WRITER_LATE_NS;
    }
    bool is_empty = log_writer.tail == log_writer.head;
    pthread_mutex_unlock(&log_writer.mutex);
    return is_empty;
}

void log_writer_show(_Atomic uint32_t *tid, _Atomic uint64_t *turns)
{
    assert_always((tid == NULL) == (turns == NULL));
    pthread_mutex_lock(&log_writer.mutex);
    log_writer.tid = tid;
    log_writer.turns = turns;
    pthread_cond_signal(&log_writer.filled);
    pthread_mutex_unlock(&log_writer.mutex);
}

void log_writer_close(void)
{
    if (!atomic_load(&log_writer.is_open)) {
        return;
    }
    pthread_mutex_lock(&log_writer.mutex);
    bool is_empty = log_writer.tail == log_writer.head;
    log_writer.is_ending = is_empty;
    pthread_cond_signal(&log_writer.filled);
    pthread_mutex_unlock(&log_writer.mutex);
    if (is_empty) {
        pthread_join(log_writer.thread, NULL);
        pthread_cond_destroy(&log_writer.emptied);
        atomic_store(&log_writer.is_open, false);
    }
}

uint64_t log_writer_lost_count(void)
{
    return atomic_load(&log_writer.lost);
}

int log_writer_error(void)
{
    return atomic_load(&log_writer.error);
}
