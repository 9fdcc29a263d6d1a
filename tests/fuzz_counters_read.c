/* No bytes make a reader of counters read outside of them; what it reads is in order. Input: a
 * file. */
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "ring/board/counters_read.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_counters_histogram(const struct counters_read *read,
                                    const struct counters_entry *entry)
{
    static struct counters_read_histogram histogram;
    counters_read_histogram(read, entry, COUNTERS_READ_ALL, &histogram);
    uint64_t limit = 0;
    for (uint32_t i = 0; i < histogram.bucket_count; i++) {
        assert_always(counters_read_limit(&histogram, i) > limit);
        limit = counters_read_limit(&histogram, i);
    }
    assert_always(counters_read_below(&histogram, limit) == histogram.count);
    uint64_t median = counters_read_percentile(&histogram, 0.5);
    assert_always(median <= counters_read_percentile(&histogram, 1));
}

static void fuzz_counters_entry(const struct counters_read *read,
                                const struct counters_entry *entry)
{
    struct counters_entry found;
    uint32_t instances = counters_read_instances(read, entry);
    assert_always(instances > 0);
    assert_always(strlen(entry->name) < sizeof entry->name);
    assert_always(strlen(entry->meaning) < sizeof entry->meaning);
    assert_always(counters_read_find(read, entry->scope, entry->name, &found));
    if (entry->kind == COUNTERS_HISTOGRAM) {
        fuzz_counters_histogram(read, entry);
        return;
    }
    uint64_t all = 0;
    for (uint32_t i = 0; i < instances; i++) {
        uint64_t value = counters_read_value(read, entry, i);
        all = entry->kind != COUNTERS_MAX ? all + value : value > all ? value : all;
    }
    assert_always(counters_read_value(read, entry, COUNTERS_READ_ALL) == all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct counters_read read;
    void *bytes = malloc(size == 0 ? 1 : size); /* At a multiple of 8. */
    assert_always(bytes != NULL);
    if (size > 0) {
        memcpy(bytes, data, size);
    }
    int error = counters_read_memory(&read, bytes, size);
    for (uint32_t i = 0; error == 0 && i < read.header.entry_count; i++) {
        struct counters_entry entry;
        if (counters_read_entry(&read, i, &entry)) {
            fuzz_counters_entry(&read, &entry);
        }
    }
    for (uint32_t i = 0; error == 0 && i < read.header.thread_count; i++) {
        struct counters_thread thread;
        if (counters_read_thread(&read, i, &thread)) {
            (void)counters_read_progress(&read, &thread);
        }
    }
    counters_read_close(&read);
    free(bytes);
    return 0;
}
