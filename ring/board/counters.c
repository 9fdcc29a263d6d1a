#include "ring/board/counters.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/version.h"
#include "ring/board/counters_table.h"

static int counters_create_file(const char *path, size_t bytes)
{
    unlink(path);
    int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) {
        return -errno;
    }
    /* Reserve the room now: a full disk must not be a SIGBUS later. */
    int error = posix_fallocate(fd, 0, (off_t)bytes);
    if (error != 0) {
        close(fd);
        unlink(path);
        return -error;
    }
    return fd;
}

static void counters_describe_one(struct counters_entry *entry, const struct counters_row *row)
{
    snprintf(entry->name, sizeof entry->name, "%s", row->name);
    snprintf(entry->metric, sizeof entry->metric, "%s", row->metric == NULL ? "" : row->metric);
    snprintf(entry->labels, sizeof entry->labels, "%s", row->labels == NULL ? "" : row->labels);
    snprintf(entry->meaning, sizeof entry->meaning, "%s", row->meaning);
    entry->offset = row->offset;
    entry->scope = (uint8_t)row->scope;
    entry->kind = (uint8_t)row->kind;
    entry->unit = (uint8_t)row->unit;
    if (row->kind == COUNTERS_HISTOGRAM) {
        entry->first_bits = COUNTERS_HISTOGRAM_FIRST_BITS;
        entry->buckets = COUNTERS_HISTOGRAM_BUCKETS;
        entry->steps = COUNTERS_HISTOGRAM_STEPS;
    }
}

#define COUNTERS_AT(member) (uint32_t) offsetof(struct counters, member)

static void counters_describe(struct counters *counters)
{
    size_t count;
    const struct counters_row *rows = counters_rows(&count);
    for (size_t i = 0; i < count; i++) {
        counters_describe_one(&counters->entries[i], &rows[i]);
    }
    counters->header = (struct counters_header){
        .version = COUNTERS_VERSION,
        .header_bytes = sizeof counters->header,
        .entries_at = COUNTERS_AT(entries),
        .entry_bytes = sizeof counters->entries[0],
        .entry_count = (uint32_t)count,
        .threads_at = COUNTERS_AT(threads),
        .thread_bytes = sizeof counters->threads[0],
        .scopes = {[COUNTERS_PROCESS] = {COUNTERS_AT(process), sizeof counters->process},
                   [COUNTERS_PUBLISHER] = {COUNTERS_AT(publisher), sizeof counters->publisher},
                   [COUNTERS_CORE] = {COUNTERS_AT(cores), sizeof counters->cores[0]}},
        .started_ns = clock_ns(CLOCK_REALTIME),
        .server_version = RINGCAST_VERSION,
    };
}

int counters_open(struct counters **counters_out, const char *path, uint32_t core_count)
{
    int fd = -1;
    int flags = MAP_PRIVATE | MAP_ANONYMOUS;
    size_t bytes = counters_bytes(core_count);
    if (core_count > COUNTERS_CORES_MAX) {
        return -EINVAL;
    }
    if (path != NULL) {
        fd = counters_create_file(path, bytes);
        if (fd < 0) {
            return fd;
        }
        flags = MAP_SHARED;
    }
    struct counters *counters = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    int error = counters == MAP_FAILED ? -errno : 0;
    if (fd >= 0) {
        close(fd);
    }
    if (error < 0) {
        if (path != NULL) {
            unlink(path);
        }
        return error;
    }
    counters_describe(counters);
    counters->header.file_bytes = (uint32_t)bytes;
    counters->header.core_count = core_count;
    counters->header.pid = (uint64_t)getpid();
    /* Last: a reader that sees it may trust the rest. */
    atomic_thread_fence(memory_order_release);
    counters->header.magic = COUNTERS_MAGIC;
    *counters_out = counters;
    return 0;
}

void counters_close(struct counters *counters, const char *path)
{
    assert_always(counters->header.magic == COUNTERS_MAGIC);
    munmap(counters, counters_bytes(counters->header.core_count));
    if (path != NULL) {
        unlink(path);
    }
}
