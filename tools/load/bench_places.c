#include "tools/load/bench_places.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "tools/load/bench_options.h"

#define COUNT_FIRST 4096

static_assert(BENCH_CONNECTIONS_MAX <= 1u << BENCH_RECEIPT_CONNECTION_BITS,
              "the number of each connection fits");
static_assert(BENCH_CONNECTIONS_MAX < BENCH_RECEIPTS_MAX, "a tick of all connections fits");

static uint64_t bench_places_tick(uint64_t channel, uint64_t seq)
{
    uint64_t z = seq + channel * UINT64_C(0x9e3779b97f4a7c15); /* the last step of SplitMix64 */
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

static void bench_places_thin(struct bench_receipts *receipts)
{
    size_t kept = 0;
    receipts->forget_mask = receipts->forget_mask << 1 | 1;
    for (size_t i = 0; i < receipts->count; i++) {
        if ((receipts->receipts[i].tick & receipts->forget_mask) == 0) {
            receipts->receipts[kept++] = receipts->receipts[i];
        }
    }
    receipts->count = kept;
}

static void bench_places_make_room(struct bench_receipts *receipts)
{
    size_t capacity = receipts->capacity == 0 ? COUNT_FIRST : 2 * receipts->capacity;
    capacity = capacity < receipts->count_max ? capacity : receipts->count_max;
    struct bench_receipt *grown =
        capacity > receipts->capacity
            ? realloc(receipts->receipts, capacity * sizeof *receipts->receipts)
            : NULL;
    if (grown != NULL) {
        receipts->receipts = grown;
        receipts->capacity = capacity;
        return;
    }
    while (receipts->count > 0 && receipts->count == receipts->capacity) {
        bench_places_thin(receipts);
    }
}

void bench_places_note(struct bench_receipts *receipts, uint64_t channel, uint64_t seq,
                       uint64_t at_ns, uint32_t connection)
{
    uint64_t tick = bench_places_tick(channel, seq);
    assert_debug(connection >> BENCH_RECEIPT_CONNECTION_BITS == 0);

    if ((tick & receipts->forget_mask) != 0) {
        return;
    }
    if (receipts->count == receipts->capacity) {
        bench_places_make_room(receipts);
    }
    if (receipts->count == receipts->capacity || (tick & receipts->forget_mask) != 0) {
        return;
    }
    receipts->receipts[receipts->count++] =
        (struct bench_receipt){tick, at_ns << BENCH_RECEIPT_CONNECTION_BITS | connection};
}

void bench_places_forget(struct bench_receipts *receipts)
{
    free(receipts->receipts);
    receipts->receipts = NULL;
    receipts->count = receipts->capacity = 0;
}

/* ---- The means ---- */

struct bench_places_mean {
    double sum;
    uint32_t count;
};

static int bench_places_compare(const void *left, const void *right)
{
    const struct bench_receipt *a = left;
    const struct bench_receipt *b = right;
    return a->tick != b->tick ? (a->tick > b->tick) - (a->tick < b->tick)
                              : (a->at > b->at) - (a->at < b->at);
}

/* Those of ticks that all threads have kept. NULL: out of memory. */
static struct bench_receipt *bench_places_sorted(const struct bench_receipts *const *threads,
                                                 uint32_t thread_count, size_t *count_out)
{
    size_t room = 1, count = 0;
    uint64_t forget_mask = 0;
    for (uint32_t i = 0; i < thread_count; i++) {
        room += threads[i]->count;
        forget_mask |= threads[i]->forget_mask;
    }
    struct bench_receipt *all = malloc(room * sizeof *all);
    for (uint32_t i = 0; i < thread_count && all != NULL; i++) {
        for (size_t k = 0; k < threads[i]->count; k++) {
            const struct bench_receipt *receipt = &threads[i]->receipts[k];
            if ((receipt->tick & forget_mask) == 0) {
                all[count++] = *receipt;
            }
        }
    }
    if (all != NULL) {
        qsort(all, count, sizeof *all, bench_places_compare);
    }
    assert_always(count < room);
    *count_out = count;
    return all;
}

/* Returns the sum of the variances that each place would have by chance. */
static double bench_places_add(struct bench_places_mean *means, uint32_t connection_count,
                               const struct bench_receipt *receipts, size_t count,
                               struct bench_places *places)
{
    const uint64_t connection_mask = (UINT64_C(1) << BENCH_RECEIPT_CONNECTION_BITS) - 1;
    double variance_sum = 0.0;
    for (size_t i = 0, same; i < count; i += same) {
        for (same = 1; i + same < count && receipts[i + same].tick == receipts[i].tick; same++) {
        }
        double last = (double)same - 1.0;
        for (size_t k = 0; k < same && same > 1; k++) {
            uint64_t connection = receipts[i + k].at & connection_mask;
            assert_always(connection < connection_count);
            means[connection].sum += (double)k / last;
            means[connection].count++;
        }
        places->ticks += same > 1;
        variance_sum += same > 1 ? (double)same * (last + 2.0) / (12.0 * last) : 0.0;
    }
    return variance_sum;
}

static void bench_places_tell(struct bench_places *places, const struct bench_places_mean *means,
                              const bool *is_counted, uint32_t connection_count,
                              double variance_sum)
{
    double sum = 0.0, squares = 0.0, inverses = 0.0, count = 0.0;
    places->min = 1.0;
    for (uint32_t i = 0; i < connection_count; i++) {
        count += means[i].count;
        if (!is_counted[i] || means[i].count == 0) {
            continue;
        }
        double mean = means[i].sum / means[i].count;
        places->min = mean < places->min ? mean : places->min;
        places->max = mean > places->max ? mean : places->max;
        places->connections++;
        sum += mean;
        squares += mean * mean;
        inverses += 1.0 / means[i].count;
    }
    if (places->connections > 0) {
        double mean = sum / places->connections;
        places->deviation = sqrt(fmax(squares / places->connections - mean * mean, 0.0));
        places->chance = sqrt(variance_sum / count * inverses / places->connections);
    }
}

int bench_places_find(struct bench_places *places_out, const struct bench_receipts *const *threads,
                      uint32_t thread_count, const bool *is_counted, uint32_t connection_count)
{
    size_t count;
    *places_out = (struct bench_places){0};
    struct bench_places_mean *means = calloc(connection_count + 1, sizeof *means);
    struct bench_receipt *receipts = bench_places_sorted(threads, thread_count, &count);
    bool has_room = means != NULL && receipts != NULL;
    if (has_room) {
        double variance_sum =
            bench_places_add(means, connection_count, receipts, count, places_out);
        bench_places_tell(places_out, means, is_counted, connection_count, variance_sum);
    }
    free(means);
    free(receipts);
    return has_room ? 0 : -ENOMEM;
}
