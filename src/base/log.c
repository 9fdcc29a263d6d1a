#include "src/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/utf8.h"
#include "src/base/log_writer.h"

#define LOG_SLOTS 1024 /* lines a producer may post between two drains; a power of two */
/* With this many waiting, only warnings and errors have room. */
#define LOG_INFO_SLOTS (LOG_SLOTS / 2)
#define LOG_PREFIX_BYTES_MAX 96
/* JSON writes a control byte as six characters. */
#define LOG_OUT_BYTES_MAX (LOG_PREFIX_BYTES_MAX + 6 * LOG_LINE_BYTES_MAX)
static_assert(LOG_OUT_BYTES_MAX <= LOG_WRITER_TEXT_BYTES_MAX, "a line is one text");
#define LOG_FLUSH_NS (NS_PER_SECOND / 2) /* how long an end waits for standard error */
#define LOG_LOST_REPORT_NS (10 * NS_PER_SECOND)

static_assert(LOG_SLOTS > 0 && (LOG_SLOTS & (LOG_SLOTS - 1)) == 0, "a position wraps into a slot");

struct log_slot {
    uint64_t wall_ns;
    uint32_t level;
    char text[LOG_LINE_BYTES_MAX - 12];
};
static_assert(sizeof(struct log_slot) == LOG_LINE_BYTES_MAX, "slots are whole cache lines");

struct log_ring {
    /* Written by the producer. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t head;
    _Atomic uint64_t lost;
    _Atomic uint64_t warnings_lost; /* of them, warnings and errors */

    /* Written by the main thread. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t tail;

    struct log_slot slots[LOG_SLOTS];
};

static struct {
    struct log_ring *rings;
    uint32_t ring_count;
    _Atomic uint32_t level; /* enum log_level */
    bool json;
    _Atomic uint64_t warnings_lost; /* without a ring */
    /* The main thread's. */
    uint64_t lost_reported;
    uint64_t lost_reported_ns;
} log_state = {.level = LOG_LEVEL_INFO};

static const char *const log_level_names[] = {
    [LOG_LEVEL_DEBUG] = "DEBUG", [LOG_LEVEL_INFO] = "INFO",         [LOG_LEVEL_WARNING] = "WARNING",
    [LOG_LEVEL_ERROR] = "ERROR", [LOG_LEVEL_CRITICAL] = "CRITICAL",
};

int log_open(enum log_level level, bool json, uint32_t producer_count)
{
    assert_always(log_state.rings == NULL);
    if (producer_count == 0 || producer_count > LOG_PRODUCERS_MAX) {
        return -EINVAL;
    }
    size_t bytes = producer_count * sizeof(struct log_ring);
    struct log_ring *rings = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (rings == NULL) {
        return -ENOMEM;
    }
    int error = log_writer_open();
    if (error < 0) {
        free(rings);
        return error;
    }
    memset(rings, 0, bytes); /* Touched now: a post must not wait for a page. */
    log_state.rings = rings;
    log_state.ring_count = producer_count;
    log_state.level = level;
    log_state.json = json;
    atomic_store(&log_state.warnings_lost, 0);
    log_state.lost_reported = 0;
    log_state.lost_reported_ns = 0;
    return 0;
}

/* "2026-01-01T12:00:00.123Z", UTC. */
static size_t log_format_time(char *out, size_t out_bytes, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / NS_PER_SECOND);
    struct tm utc;
    gmtime_r(&seconds, &utc);
    size_t length = strftime(out, out_bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    int more = snprintf(out + length, out_bytes - length, ".%03uZ",
                        (unsigned)(wall_ns % NS_PER_SECOND / NS_PER_MS));
    return length + (size_t)more;
}

/* A line stays one line of valid UTF-8 that steers no terminal, whatever a peer sent: other bytes
 * become '?', and what is not printable '?' or \uXXXX. */
static size_t log_escape(char *out, const char *text)
{
    size_t length = 0;
    while (*text != '\0') {
        struct utf8_character at = utf8_character_at(text, strnlen(text, 4));
        if (!at.is_printable && at.is_valid && log_state.json) {
            length += (size_t)sprintf(out + length, "\\u%04x", at.code);
            text += at.bytes;
            continue;
        }
        if (!at.is_printable) {
            out[length++] = '?';
            text += at.bytes;
            continue;
        }
        if (log_state.json && (*text == '"' || *text == '\\')) {
            out[length++] = '\\';
        }
        memcpy(out + length, text, at.bytes);
        length += at.bytes;
        text += at.bytes;
    }
    return length;
}

/* text has fewer than LOG_LINE_BYTES_MAX bytes. */
static size_t log_format_line(char out[LOG_OUT_BYTES_MAX], uint64_t wall_ns, enum log_level level,
                              const char *text)
{
    char when[40];
    assert_always(level <= LOG_LEVEL_CRITICAL);
    log_format_time(when, sizeof when, wall_ns);
    const char *prefix =
        log_state.json ? "{\"ts\":\"%s\",\"level\":\"%s\",\"message\":\"" : "%s %s ringcast: ";
    const char *suffix = log_state.json ? "\"}\n" : "\n";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    int length = snprintf(out, LOG_PREFIX_BYTES_MAX, prefix, when, log_level_names[level]);
#pragma GCC diagnostic pop
    assert_always(length < LOG_PREFIX_BYTES_MAX);
    size_t used = (size_t)length + log_escape(out + length, text);
    size_t suffix_bytes = strlen(suffix);
    assert_always(used + suffix_bytes <= LOG_OUT_BYTES_MAX);
    memcpy(out + used, suffix, suffix_bytes);
    return used + suffix_bytes;
}

static void log_put(uint64_t wall_ns, enum log_level level, const char *text)
{
    char out[LOG_OUT_BYTES_MAX];
    if (!log_writer_put(STDERR_FILENO, out, log_format_line(out, wall_ns, level, text)) &&
        level >= LOG_LEVEL_WARNING) {
        atomic_fetch_add(&log_state.warnings_lost, 1);
    }
}

void log_set_level(enum log_level level)
{
    assert_always(level <= LOG_LEVEL_CRITICAL);
    log_state.level = level;
}

bool log_wants(enum log_level level)
{
    return level >= log_state.level;
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level < log_state.level) {
        return;
    }
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_put(clock_ns(CLOCK_REALTIME), level, text);
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    if (level < log_state.level) {
        return;
    }
    assert_always(producer < log_state.ring_count);
    struct log_ring *ring = &log_state.rings[producer];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t waiting = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    assert_always(waiting <= LOG_SLOTS);
    bool is_warning = level >= LOG_LEVEL_WARNING;
    if (waiting >= (is_warning ? LOG_SLOTS : LOG_INFO_SLOTS)) {
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&ring->warnings_lost, is_warning, memory_order_relaxed);
        return;
    }
    struct log_slot *slot = &ring->slots[head % LOG_SLOTS];
    size_t text_bytes = strnlen(text, sizeof slot->text - 1);
    slot->wall_ns = clock_ns(CLOCK_REALTIME);
    slot->level = level;
    memcpy(slot->text, text, text_bytes);
    slot->text[text_bytes] = '\0';
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

uint64_t log_lost_count(void)
{
    uint64_t lost = log_writer_lost_count();
    for (uint32_t i = 0; i < log_state.ring_count; i++) {
        lost += atomic_load_explicit(&log_state.rings[i].lost, memory_order_relaxed);
    }
    return lost;
}

static uint64_t log_warnings_lost_count(void)
{
    uint64_t lost = atomic_load(&log_state.warnings_lost);
    for (uint32_t i = 0; i < log_state.ring_count; i++) {
        lost += atomic_load_explicit(&log_state.rings[i].warnings_lost, memory_order_relaxed);
    }
    return lost;
}

/* The ring whose oldest line is the oldest of all, or NULL. */
static struct log_ring *log_oldest(void)
{
    struct log_ring *oldest = NULL;
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < log_state.ring_count; i++) {
        struct log_ring *ring = &log_state.rings[i];
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        if (tail == atomic_load_explicit(&ring->head, memory_order_acquire)) {
            continue;
        }
        uint64_t wall_ns = ring->slots[tail % LOG_SLOTS].wall_ns;
        if (oldest == NULL || wall_ns < oldest_ns) {
            oldest = ring;
            oldest_ns = wall_ns;
        }
    }
    return oldest;
}

static void log_report_lost(void)
{
    uint64_t lost = log_lost_count();
    if (lost == log_state.lost_reported || !log_writer_has_room()) {
        return;
    }
    uint64_t now_ns = clock_ns(CLOCK_REALTIME);
    if (now_ns - log_state.lost_reported_ns < LOG_LOST_REPORT_NS) {
        return;
    }
    int error = log_writer_error();
    log_write(LOG_LEVEL_WARNING,
              "%" PRIu64 " log lines were lost since the start: %s%s; %" PRIu64
              " of them were warnings or errors",
              lost,
              error == 0 ? "they came faster than standard error accepted them"
                         : "standard error: ",
              error == 0 ? "" : strerror(error), log_warnings_lost_count());
    log_state.lost_reported = lost;
    log_state.lost_reported_ns = now_ns;
}

uint32_t log_drain(void)
{
    uint32_t count = 0;
    /* A bound: producers may post as fast as this loop writes. */
    uint32_t count_max = log_state.ring_count * LOG_SLOTS;
    struct log_ring *ring = log_oldest();
    /* What finds no room in the writer waits in its producer's ring. */
    while (ring != NULL && count < count_max && log_writer_has_room()) {
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        const struct log_slot *slot = &ring->slots[tail % LOG_SLOTS];
        log_put(slot->wall_ns, (enum log_level)slot->level, slot->text);
        atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
        count++;
        ring = log_oldest();
    }
    log_report_lost();
    return count;
}

void log_flush(void)
{
    uint64_t until_ns = clock_ns(CLOCK_MONOTONIC) + LOG_FLUSH_NS;
    bool is_written;
    log_state.lost_reported_ns = 0; /* The last chance. */
    do {
        log_drain();
        is_written = log_writer_flush(until_ns);
    } while (is_written && log_oldest() != NULL);
}

void log_close(void)
{
    if (log_state.rings == NULL) {
        return;
    }
    log_flush();
    log_writer_close();
    free(log_state.rings);
    log_state.rings = NULL;
    log_state.ring_count = 0;
}

/* Lines stay lines. */
static void log_make_printable(char *text)
{
    char *out = text;
    while (*text != '\0') {
        struct utf8_character at = utf8_character_at(text, strnlen(text, 4));
        bool is_kept = at.is_printable || *text == '\n';
        memmove(out, is_kept ? text : "?", is_kept ? at.bytes : 1);
        out += is_kept ? at.bytes : 1;
        text += at.bytes;
    }
    *out = '\0';
}

void log_say(int fd, const char *format, ...)
{
    char text[LOG_WRITER_TEXT_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_make_printable(text);
    bool is_early = log_state.rings == NULL && log_writer_open() == 0;
    log_writer_put(fd, text, strlen(text));
    if (is_early) {
        (void)log_writer_flush(clock_ns(CLOCK_MONOTONIC) + LOG_FLUSH_NS);
        log_writer_close();
    }
}
