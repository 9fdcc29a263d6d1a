#include "ring/board/counters.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/version.h"
#include "ring/board/counters_table.h"

static void counters_set_text(char *text, size_t bytes, const char *value)
{
    assert_always(strlen(value) < bytes);
    strcpy(text, value);
}

#define COUNTERS_SET_TEXT(field, value) counters_set_text(field, sizeof(field), value)

static void counters_describe_row(struct counters_entry *entry, const struct counters_row *row)
{
    COUNTERS_SET_TEXT(entry->name, row->name);
    COUNTERS_SET_TEXT(entry->metric, row->metric == NULL ? "" : row->metric);
    COUNTERS_SET_TEXT(entry->labels, row->labels == NULL ? "" : row->labels);
    COUNTERS_SET_TEXT(entry->meaning, row->meaning);
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

static void counters_describe(struct counters *counters, uint32_t core_count)
{
    size_t row_count;
    const struct counters_row *rows = counters_rows(&row_count);
    assert_always(row_count <= COUNTERS_ENTRIES_MAX);
    for (size_t i = 0; i < row_count; i++) {
        counters_describe_row(&counters->entries[i], &rows[i]);
    }
    counters->scopes[COUNTERS_PROCESS] = (struct counters_scope_entry){
        "process", COUNTERS_AT(process), sizeof counters->process, .count = 1};
    counters->scopes[COUNTERS_PUBLISHER] = (struct counters_scope_entry){
        "publisher", COUNTERS_AT(publisher), sizeof counters->publisher, .count = 1};
    counters->scopes[COUNTERS_CORE] = (struct counters_scope_entry){
        "core", COUNTERS_AT(cores), sizeof counters->cores[0], .count = core_count};
    counters->header = (struct counters_header){
        .magic = COUNTERS_MAGIC,
        .version = COUNTERS_VERSION,
        .core_count = core_count,
        .pid = (uint64_t)getpid(),
        .started_ns = clock_ns(CLOCK_REALTIME),
        .header_bytes = sizeof counters->header,
        .file_bytes = (uint32_t)counters_bytes(core_count),
        .scopes_at = COUNTERS_AT(scopes),
        .scope_bytes = sizeof counters->scopes[0],
        .scope_count = COUNTERS_SCOPES,
        .entries_at = COUNTERS_AT(entries),
        .entry_bytes = sizeof counters->entries[0],
        .entry_count = (uint32_t)row_count,
        .threads_at = COUNTERS_AT(threads),
        .thread_bytes = sizeof counters->threads[0],
        .server_version = RINGCAST_VERSION,
    };
}

int counters_open(struct counters **counters_out, int fd, uint32_t core_count)
{
    size_t bytes = counters_bytes(core_count);
    if (core_count > COUNTERS_CORES_MAX) {
        return -EINVAL;
    }
    struct counters *counters = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                                     fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED, fd, 0);
    if (counters == MAP_FAILED) {
        return -errno;
    }
    counters_describe(counters, core_count);
    *counters_out = counters;
    return 0;
}

void counters_close(struct counters *counters)
{
    assert_always(counters->header.magic == COUNTERS_MAGIC);
    munmap(counters, counters_bytes(counters->header.core_count));
}
