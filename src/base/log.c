#include "src/base/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"
#include "codec/utf8.h"
#include "src/base/log_file.h"
#include "src/base/log_line.h"
#include "src/base/log_recent.h"

#define LOG_SLOTS 1024 /* lines a producer may post between two drains; a power of two */
/* With this many waiting, only warnings and errors have room. */
#define LOG_INFO_SLOTS (LOG_SLOTS / 2)
static_assert(LOG_LINE_OUT_BYTES_MAX <= LOG_WRITER_TEXT_BYTES_MAX, "a line is one text");
#define LOG_FLUSH_NS (NS_PER_SECOND / 2) /* how long an end waits for standard error */
#define LOG_LOST_REPORT_NS (10 * NS_PER_SECOND)

static_assert(LOG_SLOTS > 0 && (LOG_SLOTS & (LOG_SLOTS - 1)) == 0, "a position wraps into a slot");

struct log_slot {
    uint64_t wall_ns;
    uint8_t level;
    uint8_t sink;
    uint16_t code;
    char texts[LOG_POST_BYTES_MAX]; /* the line, its client and its name, each with a zero */
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

/* The rings of all producers, whose lines go the same way. */
struct log_rings {
    struct log_ring *rings; /* NULL: none */
    uint32_t count;
};

static struct {
    struct log_rings posts;    /* of the log and the audit log */
    struct log_rings accesses; /* of the access log: a crowd of them costs the log no line */
    _Atomic enum log_level level;
    struct log_line_style style;
    const char *paths[LOG_SINK_COUNT]; /* NULL: it has no file */
    _Atomic bool is_started;
    _Atomic uint64_t warnings_lost; /* without a ring */
    /* The main thread's. */
    uint64_t lost_reported[LOG_SINK_COUNT];
    uint64_t lost_reported_ns;
} log_state = {.level = LOG_LEVEL_INFO};

static const char *const log_sink_names[] = {
    [LOG_SINK_LOG] = "log",
    [LOG_SINK_ACCESS] = "access log",
    [LOG_SINK_AUDIT] = "audit log",
};

/* ---- Life cycle ---- */

static int log_create_rings(struct log_rings *rings, uint32_t count)
{
    size_t bytes = count * sizeof(struct log_ring);
    rings->rings = aligned_alloc(CACHE_LINE_BYTES, bytes);
    if (rings->rings == NULL) {
        return -ENOMEM;
    }
    memset(rings->rings, 0, bytes); /* Touched now: a post must not wait for a page. */
    rings->count = count;
    return 0;
}

static void log_destroy_rings(struct log_rings *rings)
{
    free(rings->rings);
    *rings = (struct log_rings){.rings = NULL};
}

int log_open(enum log_level level, bool json, uint32_t producer_count)
{
    assert_always(log_state.posts.rings == NULL);
    if (producer_count == 0 || producer_count > LOG_PRODUCERS_MAX) {
        return -EINVAL;
    }
    int error = log_create_rings(&log_state.posts, producer_count);
    if (error < 0) {
        return error;
    }
    error = log_writer_open(LOG_SINK_LOG);
    if (error < 0) {
        log_destroy_rings(&log_state.posts);
        return error;
    }
    log_set_level(level);
    log_state.style.is_json = json;
    log_state.style.is_journal = log_file_is_journal(STDERR_FILENO, getenv("JOURNAL_STREAM"));
    atomic_store(&log_state.is_started, false);
    atomic_store(&log_state.warnings_lost, 0);
    memset(log_state.lost_reported, 0, sizeof log_state.lost_reported);
    log_state.lost_reported_ns = 0;
    return 0;
}

int log_open_file(enum log_sink sink, const char *path)
{
    assert_always((unsigned)sink < LOG_SINK_COUNT);
    assert_always(log_state.posts.rings != NULL);
    int fd = log_file_open(path);
    if (fd < 0) {
        return fd;
    }
    int error = log_writer_open(sink);
    if (error == 0 && sink == LOG_SINK_ACCESS) {
        error = log_create_rings(&log_state.accesses, log_state.posts.count);
    }
    if (error < 0) {
        close(fd);
        return error;
    }
    log_writer_set_file(sink, fd);
    log_state.paths[sink] = path;
    log_state.style.is_journal = log_state.style.is_journal && sink != LOG_SINK_LOG;
    return 0;
}

void log_reopen(void)
{
    uint32_t count = 0;
    for (int i = 0; i < LOG_SINK_COUNT; i++) {
        const char *path = log_state.paths[i];
        int fd = path == NULL ? -ENOENT : log_file_open(path);
        if (fd >= 0) {
            log_writer_set_file((enum log_sink)i, fd);
            count++;
        } else if (path != NULL) {
            log_write(LOG_LEVEL_ERROR,
                      "cannot reopen the %s %s: %s; its lines go to the file that is open",
                      log_sink_names[i], path, strerror(-fd));
        }
    }
    log_write(LOG_LEVEL_INFO, "%" PRIu32 " log files were reopened", count);
}

void log_end_start(void)
{
    atomic_store(&log_state.is_started, true);
}

void log_set_level(enum log_level level)
{
    assert_always(level <= LOG_LEVEL_CRITICAL);
    atomic_store_explicit(&log_state.level, level, memory_order_relaxed);
}

enum log_level log_level(void)
{
    return atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

const char *log_level_name(enum log_level level)
{
    return log_line_level_name(level);
}

bool log_wants(enum log_level level)
{
    return level >= log_level();
}

/* ---- Lines ---- */

static int log_fd(enum log_sink sink)
{
    return log_state.paths[sink] == NULL ? STDERR_FILENO : LOG_WRITER_FILE;
}

/* Where lines of the audit log go. */
static enum log_sink log_audit_sink(void)
{
    return log_state.paths[LOG_SINK_AUDIT] != NULL ? LOG_SINK_AUDIT : LOG_SINK_LOG;
}

static enum log_level log_audit_level(const char *word)
{
    return strcmp(word, "GRANTED") == 0 ? LOG_LEVEL_INFO : LOG_LEVEL_WARNING;
}

static bool log_audit_wants(enum log_level level)
{
    return log_state.paths[LOG_SINK_AUDIT] != NULL || log_wants(level);
}

static void log_put(enum log_sink sink, const struct log_line *line)
{
    char out[LOG_LINE_OUT_BYTES_MAX];
    size_t bytes = log_line_format(out, line, log_state.style);
    if (!log_writer_put(sink, log_fd(sink), out, bytes) && line->level >= LOG_LEVEL_WARNING) {
        atomic_fetch_add(&log_state.warnings_lost, 1);
    }
    if (sink != LOG_SINK_LOG) {
        return;
    }
    log_recent_put(out, bytes);
    if (line->level >= LOG_LEVEL_ERROR && log_fd(sink) != STDERR_FILENO &&
        !atomic_load(&log_state.is_started)) {
        log_writer_put(sink, STDERR_FILENO, out, bytes);
    }
}

static void log_put_now(enum log_sink sink, enum log_level level, const char *text)
{
    struct log_line line = {.wall_ns = clock_ns(CLOCK_REALTIME), .level = level, .text = text};
    log_put(sink, &line);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (!log_wants(level)) {
        return;
    }
    char text[LOG_LINE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_put_now(LOG_SINK_LOG, level, text);
}

void log_audit(const char *word, const char *format, ...)
{
    enum log_level level = log_audit_level(word);
    if (!log_audit_wants(level)) {
        return;
    }
    char text[LOG_LINE_BYTES_MAX];
    int used = snprintf(text, sizeof text, "audit: %s ", word);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    log_put_now(log_audit_sink(), level, text);
}

bool log_has_access(void)
{
    return log_state.paths[LOG_SINK_ACCESS] != NULL;
}

bool log_is_json(void)
{
    return log_state.style.is_json;
}

void log_write_access(const char *line)
{
    char out[LOG_POST_BYTES_MAX + 1];
    assert_always(log_has_access());
    int bytes = snprintf(out, sizeof out, "%.*s\n", LOG_POST_BYTES_MAX - 1, line);
    log_writer_put(LOG_SINK_ACCESS, LOG_WRITER_FILE, out, (size_t)bytes);
}

/* ---- Posts ---- */

/* A slot to fill in, which log_end_post hands on; NULL: there is no room, which is counted. */
static struct log_slot *log_begin_post(const struct log_rings *rings, uint32_t producer,
                                       enum log_level level)
{
    assert_always(producer < rings->count);
    struct log_ring *ring = &rings->rings[producer];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t waiting = head - atomic_load_explicit(&ring->tail, memory_order_acquire);
    assert_always(waiting <= LOG_SLOTS);
    bool is_warning = level >= LOG_LEVEL_WARNING;
    bool has_whole_ring = is_warning || rings == &log_state.accesses;
    if (waiting >= (has_whole_ring ? LOG_SLOTS : LOG_INFO_SLOTS)) {
        atomic_fetch_add_explicit(&ring->lost, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&ring->warnings_lost, is_warning, memory_order_relaxed);
        return NULL;
    }
    struct log_slot *slot = &ring->slots[head % LOG_SLOTS];
    slot->wall_ns = clock_ns(CLOCK_REALTIME);
    slot->level = (uint8_t)level;
    slot->code = 0;
    return slot;
}

static void log_end_post(const struct log_rings *rings, uint32_t producer)
{
    struct log_ring *ring = &rings->rings[producer];
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    atomic_store_explicit(&ring->head, head + 1, memory_order_release);
}

/* Appends a text and its zero at *used, cut to what room is left. NULL: an empty one. */
static void log_slot_add(struct log_slot *slot, size_t *used, size_t reserved_bytes,
                         const char *text)
{
    assert_always(*used + reserved_bytes < sizeof slot->texts);
    size_t room = sizeof slot->texts - *used - reserved_bytes - 1;
    size_t bytes = text == NULL ? 0 : strnlen(text, room);
    memcpy(slot->texts + *used, text == NULL ? "" : text, bytes);
    slot->texts[*used + bytes] = '\0';
    *used += bytes + 1;
}

static void log_slot_fill(struct log_slot *slot, const struct log_fields *fields, const char *text)
{
    size_t used = 0;
    size_t client_bytes = fields->client == NULL ? 0 : strnlen(fields->client, 32);
    size_t name_bytes = fields->name == NULL ? 0 : strnlen(fields->name, 96);
    slot->code = (uint16_t)fields->code;
    log_slot_add(slot, &used, client_bytes + 1 + name_bytes + 1, text);
    log_slot_add(slot, &used, name_bytes + 1, fields->client);
    log_slot_add(slot, &used, 0, fields->name);
}

void log_post(uint32_t producer, enum log_level level, const char *text)
{
    static const struct log_fields none;
    log_post_fields(producer, level, &none, text);
}

void log_post_fields(uint32_t producer, enum log_level level, const struct log_fields *fields,
                     const char *text)
{
    if (!log_wants(level)) {
        return;
    }
    struct log_slot *slot = log_begin_post(&log_state.posts, producer, level);
    if (slot != NULL) {
        slot->sink = LOG_SINK_LOG;
        log_slot_fill(slot, fields, text);
        log_end_post(&log_state.posts, producer);
    }
}

void log_post_audit(uint32_t producer, const char *word, const struct log_fields *fields,
                    const char *text)
{
    enum log_level level = log_audit_level(word);
    if (!log_audit_wants(level)) {
        return;
    }
    char line[LOG_POST_BYTES_MAX];
    struct log_slot *slot = log_begin_post(&log_state.posts, producer, level);
    if (slot != NULL) {
        snprintf(line, sizeof line, "audit: %s %s", word, text);
        slot->sink = (uint8_t)log_audit_sink();
        log_slot_fill(slot, fields, line);
        log_end_post(&log_state.posts, producer);
    }
}

void log_post_access(uint32_t producer, const char *line)
{
    assert_always(log_has_access());
    struct log_slot *slot = log_begin_post(&log_state.accesses, producer, LOG_LEVEL_INFO);
    if (slot != NULL) {
        size_t used = 0;
        slot->sink = LOG_SINK_ACCESS;
        log_slot_add(slot, &used, 0, line);
        log_end_post(&log_state.accesses, producer);
    }
}

/* ---- What was lost ---- */

static uint64_t log_rings_lost(const struct log_rings *rings)
{
    uint64_t lost = 0;
    for (uint32_t i = 0; i < rings->count; i++) {
        lost += atomic_load_explicit(&rings->rings[i].lost, memory_order_relaxed);
    }
    return lost;
}

static uint64_t log_lost_of(enum log_sink sink)
{
    uint64_t lost = log_writer_lost_count(sink);
    lost += sink == LOG_SINK_LOG ? log_rings_lost(&log_state.posts) : 0;
    lost += sink == LOG_SINK_ACCESS ? log_rings_lost(&log_state.accesses) : 0;
    return lost;
}

uint64_t log_lost_count(void)
{
    uint64_t lost = 0;
    for (int i = 0; i < LOG_SINK_COUNT; i++) {
        lost += log_lost_of((enum log_sink)i);
    }
    return lost;
}

static uint64_t log_warnings_lost_count(void)
{
    const struct log_rings *posts = &log_state.posts;
    uint64_t lost = atomic_load(&log_state.warnings_lost);
    for (uint32_t i = 0; i < posts->count; i++) {
        lost += atomic_load_explicit(&posts->rings[i].warnings_lost, memory_order_relaxed);
    }
    return lost;
}

static void log_report_lost_of(enum log_sink sink)
{
    char warnings[80] = "";
    uint64_t lost = log_lost_of(sink);
    const char *where = log_state.paths[sink] == NULL ? "standard error" : log_state.paths[sink];
    int error = log_writer_error(sink);
    if (lost == log_state.lost_reported[sink]) {
        return;
    }
    if (sink == LOG_SINK_LOG) {
        snprintf(warnings, sizeof warnings, "; %" PRIu64 " of them were warnings or errors",
                 log_warnings_lost_count());
    }
    log_write(LOG_LEVEL_WARNING, "%" PRIu64 " %s lines were lost since the start: %s%s%s%s%s", lost,
              log_sink_names[sink], error == 0 ? "they came faster than " : "", where,
              error == 0 ? " accepted them" : ": ", error == 0 ? "" : strerror(error), warnings);
    log_state.lost_reported[sink] = lost;
    log_state.lost_reported_ns = clock_ns(CLOCK_REALTIME);
}

static void log_report_lost(void)
{
    if (!log_writer_has_room(LOG_SINK_LOG) ||
        clock_ns(CLOCK_REALTIME) - log_state.lost_reported_ns < LOG_LOST_REPORT_NS) {
        return;
    }
    for (int i = 0; i < LOG_SINK_COUNT; i++) {
        log_report_lost_of((enum log_sink)i);
    }
}

/* ---- The main thread's part ---- */

/* The ring whose oldest line is the oldest of all, or NULL. */
static struct log_ring *log_oldest(const struct log_rings *rings)
{
    struct log_ring *oldest = NULL;
    uint64_t oldest_ns = UINT64_MAX;
    for (uint32_t i = 0; i < rings->count; i++) {
        struct log_ring *ring = &rings->rings[i];
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

static void log_hand_on(const struct log_slot *slot)
{
    if (slot->sink == LOG_SINK_ACCESS) {
        log_write_access(slot->texts);
        return;
    }
    const char *client = slot->texts + strlen(slot->texts) + 1;
    struct log_line line = {
        .wall_ns = slot->wall_ns,
        .level = (enum log_level)slot->level,
        .text = slot->texts,
        .fields = {.client = client, .name = client + strlen(client) + 1, .code = slot->code},
    };
    log_put((enum log_sink)slot->sink, &line);
}

/* sink: what finds no room in its writer waits in its producer's ring. */
static uint32_t log_drain_rings(const struct log_rings *rings, enum log_sink sink)
{
    uint32_t count = 0;
    /* A bound: producers may post as fast as this loop writes. */
    uint32_t count_max = rings->count * LOG_SLOTS;
    struct log_ring *ring = log_oldest(rings);
    while (ring != NULL && count < count_max && log_writer_has_room(sink)) {
        uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
        log_hand_on(&ring->slots[tail % LOG_SLOTS]);
        atomic_store_explicit(&ring->tail, tail + 1, memory_order_release);
        count++;
        ring = log_oldest(rings);
    }
    return count;
}

uint32_t log_drain(void)
{
    uint32_t count = log_drain_rings(&log_state.posts, LOG_SINK_LOG) +
                     log_drain_rings(&log_state.accesses, LOG_SINK_ACCESS);
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
        is_written = true;
        for (int i = 0; i < LOG_SINK_COUNT; i++) {
            is_written &= log_writer_flush((enum log_sink)i, until_ns);
        }
    } while (is_written &&
             (log_oldest(&log_state.posts) != NULL || log_oldest(&log_state.accesses) != NULL));
}

void log_close(void)
{
    if (log_state.posts.rings == NULL) {
        return;
    }
    log_flush();
    for (int i = 0; i < LOG_SINK_COUNT; i++) {
        log_writer_close((enum log_sink)i);
        log_state.paths[i] = NULL;
    }
    log_destroy_rings(&log_state.posts);
    log_destroy_rings(&log_state.accesses);
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
    bool is_early = log_state.posts.rings == NULL && log_writer_open(LOG_SINK_LOG) == 0;
    log_writer_put(LOG_SINK_LOG, fd, text, strlen(text));
    if (is_early) {
        (void)log_writer_flush(LOG_SINK_LOG, clock_ns(CLOCK_MONOTONIC) + LOG_FLUSH_NS);
        log_writer_close(LOG_SINK_LOG);
    }
}
