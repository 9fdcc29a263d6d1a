#include "tools/insight/stat_sample.h"

#include <assert.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "codec/base/units.h"

#define FILE_BYTES_MAX (16 * MIB) /* 64 cores take a thirtieth */

int stat_sample_init(struct stat_sample *sample, const struct counters_read *file)
{
    *sample = (struct stat_sample){0};
    if (file->header.file_bytes > FILE_BYTES_MAX) {
        return -EFBIG;
    }
    assert_always(file->header.file_bytes <= file->bytes_count);
    sample->words = calloc(1, file->header.file_bytes + sizeof(uint64_t));
    return sample->words == NULL ? -ENOMEM : 0;
}

void stat_sample_deinit(struct stat_sample *sample)
{
    free(sample->words);
    sample->words = NULL;
}

int stat_sample_take(struct stat_sample *sample, const struct counters_read *file)
{
    const _Atomic uint64_t *words = (const void *)file->bytes;
    size_t count = file->header.file_bytes / sizeof *words;
    static_assert(sizeof *words == sizeof *sample->words, "a word is copied as a word");
    assert_always(sample->words != NULL);
    assert_always(count * sizeof *words <= file->bytes_count);
    if (!counters_read_is_whole(file)) {
        return -ERANGE;
    }
    sample->monotonic_ns = clock_ns(CLOCK_MONOTONIC);
    sample->realtime_ns = clock_ns(CLOCK_REALTIME);
    /* From the end, where the cores are: the head of the log only grows, and is to be read after
     * their positions. */
    for (size_t i = count; i-- > 0;) {
        sample->words[i] = atomic_load_explicit(&words[i], memory_order_relaxed);
    }
    return counters_read_memory(&sample->read, sample->words, count * sizeof *words);
}

/* The entry of this name in the other sample. */
static bool stat_sample_same(const struct stat_sample *other, const struct counters_entry *entry,
                             uint32_t instance, struct counters_entry *same_out)
{
    return other != NULL && counters_read_find(&other->read, entry->scope, entry->name, same_out) &&
           same_out->kind == entry->kind &&
           (instance == COUNTERS_READ_ALL ||
            instance < counters_read_instances(&other->read, same_out));
}

uint64_t stat_sample_value(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance)
{
    struct counters_entry same;
    uint64_t value = counters_read_value(&now->read, entry, instance);
    if (entry->kind != COUNTERS_COUNTER || !stat_sample_same(before, entry, instance, &same)) {
        return value;
    }
    uint64_t old = counters_read_value(&before->read, &same, instance);
    return value >= old ? value - old : value;
}

/* Whether the histogram has all that the old one had. */
static bool stat_sample_goes_on(const struct counters_read_histogram *histogram,
                                const struct counters_read_histogram *old)
{
    if (histogram->bucket_count != old->bucket_count || histogram->steps != old->steps ||
        histogram->first_bits != old->first_bits || histogram->sum < old->sum) {
        return false;
    }
    for (uint32_t i = 0; i < histogram->bucket_count; i++) {
        if (histogram->buckets[i] < old->buckets[i]) {
            return false;
        }
    }
    return true;
}

void stat_sample_histogram(const struct stat_sample *now, const struct stat_sample *before,
                           const struct counters_entry *entry, uint32_t instance,
                           struct counters_read_histogram *histogram_out)
{
    static struct counters_read_histogram old;
    struct counters_entry same;
    counters_read_histogram(&now->read, entry, instance, histogram_out);
    if (!stat_sample_same(before, entry, instance, &same)) {
        return;
    }
    counters_read_histogram(&before->read, &same, instance, &old);
    if (!stat_sample_goes_on(histogram_out, &old)) {
        return;
    }
    histogram_out->sum -= old.sum;
    histogram_out->count -= old.count;
    for (uint32_t i = 0; i < old.bucket_count; i++) {
        histogram_out->buckets[i] -= old.buckets[i];
    }
}

bool stat_sample_lag(const struct stat_sample *now, uint32_t instance, uint64_t *frames_out)
{
    struct counters_entry head;
    struct counters_entry position;
    if (!counters_read_find(&now->read, COUNTERS_PUBLISHER, "log_head", &head) ||
        !counters_read_find(&now->read, COUNTERS_CORE, "position", &position) ||
        head.kind == COUNTERS_HISTOGRAM || position.kind == COUNTERS_HISTOGRAM) {
        return false;
    }
    uint64_t index = counters_read_value(&now->read, &head, COUNTERS_READ_ALL);
    *frames_out = 0;
    for (uint32_t i = 0; i < counters_read_instances(&now->read, &position); i++) {
        uint64_t at = counters_read_value(&now->read, &position, i);
        if ((instance == COUNTERS_READ_ALL || instance == i) && index > at &&
            index - at > *frames_out) {
            *frames_out = index - at;
        }
    }
    return true;
}
