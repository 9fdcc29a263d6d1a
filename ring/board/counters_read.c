#include "ring/board/counters_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "ring/board/counters_file.h"

#define COUNTERS_READ_END(text) text[sizeof(text) - 1] = '\0'

/* Whether count items of this size, one after the other, are within the file. */
static bool counters_read_fits(const struct counters_read *read, uint64_t at, uint64_t item_bytes,
                               uint64_t count)
{
    assert_always(item_bytes <= UINT32_MAX && count <= UINT32_MAX);
    return at <= read->bytes_count && item_bytes * count <= read->bytes_count - at;
}

static bool counters_read_has_table(const struct counters_read *read, uint32_t at,
                                    uint32_t item_bytes, size_t item_bytes_min, uint32_t count)
{
    return count <= COUNTERS_READ_TABLE_MAX && item_bytes >= item_bytes_min && at % 8 == 0 &&
           item_bytes % 8 == 0 && counters_read_fits(read, at, item_bytes, count);
}

static int counters_read_check(const struct counters_read *read)
{
    const struct counters_header *header = &read->header;
    bool is_whole =
        read->bytes_count >= sizeof *header && header->header_bytes >= sizeof *header &&
        header->header_bytes <= read->bytes_count && header->file_bytes <= read->bytes_count &&
        counters_read_has_table(read, header->scopes_at, header->scope_bytes,
                                sizeof(struct counters_scope_entry), header->scope_count) &&
        counters_read_has_table(read, header->entries_at, header->entry_bytes,
                                sizeof(struct counters_entry), header->entry_count) &&
        counters_read_has_table(read, header->threads_at, header->thread_bytes,
                                sizeof(struct counters_thread), header->thread_count);
    return is_whole ? 0 : -ERANGE;
}

/* Copies a record of a table, as far as this version knows it. */
static void counters_read_copy(const struct counters_read *read, uint32_t at, uint32_t stride,
                               uint32_t index, void *record_out, size_t bytes)
{
    assert_always(bytes <= stride);
    memcpy(record_out, read->bytes + at + (size_t)index * stride, bytes);
}

/* Copies the scopes: those that are whole. */
static void counters_read_take_scopes(struct counters_read *read)
{
    const struct counters_header *header = &read->header;
    for (uint32_t i = 0; i < header->scope_count && i < COUNTERS_READ_SCOPES_MAX; i++) {
        struct counters_scope_entry *scope = &read->scopes[i];
        counters_read_copy(read, header->scopes_at, header->scope_bytes, i, scope, sizeof *scope);
        COUNTERS_READ_END(scope->name);
        if (scope->at % 8 != 0 || scope->bytes % 8 != 0 || scope->count > COUNTERS_READ_TABLE_MAX ||
            !counters_read_fits(read, scope->at, scope->bytes, scope->count)) {
            *scope = (struct counters_scope_entry){0};
        }
    }
}

int counters_read_memory(struct counters_read *read_out, const void *bytes, size_t bytes_count)
{
    assert_always((uintptr_t)bytes % sizeof(uint64_t) == 0);
    struct counters_read *read = read_out;
    *read = (struct counters_read){.bytes = bytes, .bytes_count = bytes_count, .fd = -1};
    size_t head_bytes = bytes_count < sizeof read->header ? bytes_count : sizeof read->header;
    if (head_bytes > 0) {
        memcpy(&read->header, bytes, head_bytes);
        atomic_thread_fence(memory_order_acquire); /* The threads that it counts are whole. */
    }
    COUNTERS_READ_END(read->header.server_version);
    if (read->header.magic != COUNTERS_MAGIC) {
        return -EBADMSG;
    }
    if (bytes_count >= sizeof read->header && read->header.version < COUNTERS_VERSION_MIN) {
        return -EPROTONOSUPPORT;
    }
    int error = counters_read_check(read);
    if (error == 0) {
        counters_read_take_scopes(read);
    }
    return error;
}

static int counters_read_map(struct counters_read *read_out, int fd)
{
    struct stat status;
    if (fstat(fd, &status) < 0) {
        return -errno;
    }
    if (!S_ISREG(status.st_mode) || status.st_size == 0) {
        return -EBADMSG;
    }
    size_t bytes_count = (size_t)status.st_size;
    void *bytes = mmap(NULL, bytes_count, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        return -errno;
    }
    int error = counters_read_memory(read_out, bytes, bytes_count);
    if (error < 0) {
        munmap(bytes, bytes_count);
    }
    return error;
}

int counters_read_open(struct counters_read *read_out, const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return -errno;
    }
    int error = counters_read_map(read_out, fd);
    if (error < 0) {
        close(fd);
        return error;
    }
    read_out->fd = fd;
    return 0;
}

void counters_read_close(struct counters_read *read)
{
    if (read->fd >= 0) {
        munmap((void *)(uintptr_t)read->bytes, read->bytes_count);
        close(read->fd);
    }
    read->fd = -1;
}

bool counters_read_is_live(const struct counters_read *read)
{
    return read->fd >= 0 && counters_file_is_live(read->fd);
}

bool counters_read_is_whole(const struct counters_read *read)
{
    struct stat status;
    return read->fd < 0 ||
           (fstat(read->fd, &status) == 0 && (uint64_t)status.st_size >= read->bytes_count);
}

/* ---- Tables ---- */

bool counters_read_thread(const struct counters_read *read, uint32_t index,
                          struct counters_thread *thread_out)
{
    assert_always(index < read->header.thread_count);
    counters_read_copy(read, read->header.threads_at, read->header.thread_bytes, index, thread_out,
                       sizeof *thread_out);
    COUNTERS_READ_END(thread_out->name);
    return thread_out->progress_at % 8 == 0 &&
           counters_read_fits(read, thread_out->progress_at, sizeof(uint64_t), 1);
}

static bool counters_read_is_histogram(const struct counters_entry *entry)
{
    uint32_t steps = entry->steps;
    uint32_t buckets = entry->buckets;
    return entry->first_bits < 64 && steps > 0 && (steps & (steps - 1)) == 0 &&
           steps <= UINT64_C(1) << entry->first_bits && buckets >= 2 &&
           buckets <= COUNTERS_READ_BUCKETS_MAX && (buckets - 2) % steps == 0 &&
           entry->first_bits + (buckets - 2) / steps < 64;
}

/* How many numbers of 8 bytes the entry has in each instance; 0: it is damaged or not known. */
static uint32_t counters_read_words(const struct counters_entry *entry)
{
    switch (entry->kind) {
    case COUNTERS_COUNTER:
    case COUNTERS_GAUGE:
    case COUNTERS_MAX:
        return 1;
    case COUNTERS_HISTOGRAM:
        return counters_read_is_histogram(entry) ? 1 + (uint32_t)entry->buckets : 0;
    default:
        return 0;
    }
}

bool counters_read_entry(const struct counters_read *read, uint32_t index,
                         struct counters_entry *entry_out)
{
    assert_always(index < read->header.entry_count);
    counters_read_copy(read, read->header.entries_at, read->header.entry_bytes, index, entry_out,
                       sizeof *entry_out);
    COUNTERS_READ_END(entry_out->name);
    COUNTERS_READ_END(entry_out->metric);
    COUNTERS_READ_END(entry_out->labels);
    COUNTERS_READ_END(entry_out->meaning);
    uint64_t bytes = counters_read_words(entry_out) * sizeof(uint64_t);
    return bytes > 0 && entry_out->offset % 8 == 0 && entry_out->scope < COUNTERS_READ_SCOPES_MAX &&
           read->scopes[entry_out->scope].count > 0 &&
           entry_out->offset + bytes <= read->scopes[entry_out->scope].bytes;
}

bool counters_read_find(const struct counters_read *read, enum counters_scope scope,
                        const char *name, struct counters_entry *entry_out)
{
    for (uint32_t i = 0; i < read->header.entry_count; i++) {
        if (counters_read_entry(read, i, entry_out) && entry_out->scope == scope &&
            strcmp(entry_out->name, name) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Numbers ---- */

static uint64_t counters_read_word(const struct counters_read *read, uint64_t at)
{
    assert_always(at % sizeof(uint64_t) == 0);
    assert_always(counters_read_fits(read, at, sizeof(uint64_t), 1));
    return atomic_load_explicit((const _Atomic uint64_t *)(const void *)(read->bytes + at),
                                memory_order_relaxed);
}

uint64_t counters_read_progress(const struct counters_read *read,
                                const struct counters_thread *thread)
{
    return counters_read_word(read, thread->progress_at);
}

uint32_t counters_read_instances(const struct counters_read *read,
                                 const struct counters_entry *entry)
{
    assert_always(entry->scope < COUNTERS_READ_SCOPES_MAX);
    return read->scopes[entry->scope].count;
}

static uint64_t counters_read_at(const struct counters_read *read,
                                 const struct counters_entry *entry, uint32_t instance)
{
    assert_always(instance < counters_read_instances(read, entry));
    const struct counters_scope_entry *scope = &read->scopes[entry->scope];
    return scope->at + (uint64_t)instance * scope->bytes + entry->offset;
}

uint64_t counters_read_value(const struct counters_read *read, const struct counters_entry *entry,
                             uint32_t instance)
{
    assert_always(entry->kind != COUNTERS_HISTOGRAM);
    if (instance != COUNTERS_READ_ALL) {
        return counters_read_word(read, counters_read_at(read, entry, instance));
    }
    uint64_t all = 0;
    for (uint32_t i = 0; i < counters_read_instances(read, entry); i++) {
        uint64_t value = counters_read_word(read, counters_read_at(read, entry, i));
        if (entry->kind != COUNTERS_MAX) {
            all += value;
        } else if (value > all) {
            all = value;
        }
    }
    return all;
}

static void counters_read_add_histogram(const struct counters_read *read, uint64_t at,
                                        struct counters_read_histogram *histogram)
{
    histogram->sum += counters_read_word(read, at);
    for (uint32_t i = 0; i < histogram->bucket_count; i++) {
        uint64_t count = counters_read_word(read, at + (1 + i) * sizeof(uint64_t));
        histogram->buckets[i] += count;
        histogram->count += count;
    }
}

void counters_read_histogram(const struct counters_read *read, const struct counters_entry *entry,
                             uint32_t instance, struct counters_read_histogram *histogram_out)
{
    assert_always(entry->kind == COUNTERS_HISTOGRAM);
    *histogram_out = (struct counters_read_histogram){
        .bucket_count = entry->buckets, .first_bits = entry->first_bits, .steps = entry->steps};
    for (uint32_t i = 0; i < counters_read_instances(read, entry); i++) {
        if (instance == i || instance == COUNTERS_READ_ALL) {
            counters_read_add_histogram(read, counters_read_at(read, entry, i), histogram_out);
        }
    }
}

uint64_t counters_read_limit(const struct counters_read_histogram *histogram, uint32_t bucket)
{
    assert_always(bucket < histogram->bucket_count);
    if (bucket == histogram->bucket_count - 1) {
        return UINT64_MAX;
    }
    uint64_t power = (UINT64_C(1) << histogram->first_bits) << bucket / histogram->steps;
    return power + (power / histogram->steps) * (bucket % histogram->steps);
}

uint64_t counters_read_percentile(const struct counters_read_histogram *histogram, double share)
{
    uint64_t below = 0;
    assert_always(share >= 0 && share <= 1);
    for (uint32_t i = 0; i < histogram->bucket_count - 1; i++) {
        below += histogram->buckets[i];
        if (below > 0 && (double)below >= share * (double)histogram->count) {
            return counters_read_limit(histogram, i);
        }
    }
    return histogram->count == 0 ? 0 : counters_read_limit(histogram, histogram->bucket_count - 2);
}

uint64_t counters_read_below(const struct counters_read_histogram *histogram, uint64_t limit)
{
    uint64_t below = 0;
    for (uint32_t i = 0; i < histogram->bucket_count && counters_read_limit(histogram, i) <= limit;
         i++) {
        below += histogram->buckets[i];
    }
    return below;
}
