#include "tools/load/bench_slow_ticks.h"

#include <stdbool.h>
#include <stdlib.h>

#include "codec/base/check.h"

void bench_slow_ticks_begin(struct bench_slow_ticks *slow, uint32_t count_max)
{
    assert_always(count_max <= BENCH_SLOW_TICKS_MAX);
    slow->count = 0;
    slow->count_max = count_max;
    slow->above_ns = count_max == 0 ? UINT64_MAX : 0;
}

static bool bench_slow_ticks_are_same(const struct bench_slow_tick *a,
                                      const struct bench_slow_tick *b)
{
    return a->seq == b->seq && a->channel == b->channel && a->time_ns == b->time_ns;
}

/* The same tick, or the one that is left out for this one. */
static struct bench_slow_tick *bench_slow_ticks_place(struct bench_slow_ticks *slow,
                                                      const struct bench_slow_tick *tick)
{
    struct bench_slow_tick *least = &slow->list[0];
    for (uint32_t i = 0; i < slow->count; i++) {
        if (bench_slow_ticks_are_same(&slow->list[i], tick)) {
            return &slow->list[i];
        }
        least = slow->list[i].latency_ns < least->latency_ns ? &slow->list[i] : least;
    }
    return slow->count < slow->count_max ? &slow->list[slow->count++] : least;
}

void bench_slow_ticks_add(struct bench_slow_ticks *slow, const struct bench_slow_tick *tick)
{
    if (slow->count_max == 0 || tick->latency_ns <= slow->above_ns) {
        return;
    }
    uint32_t count = slow->count;
    struct bench_slow_tick *place = bench_slow_ticks_place(slow, tick);
    if (slow->count == count && place->latency_ns >= tick->latency_ns) {
        return;
    }
    *place = *tick;
    if (slow->count == slow->count_max) {
        slow->above_ns = UINT64_MAX;
        for (uint32_t i = 0; i < slow->count; i++) {
            uint64_t latency_ns = slow->list[i].latency_ns;
            slow->above_ns = latency_ns < slow->above_ns ? latency_ns : slow->above_ns;
        }
    }
}

static int bench_slow_ticks_compare(const void *left, const void *right)
{
    const struct bench_slow_tick *a = left;
    const struct bench_slow_tick *b = right;
    return a->latency_ns > b->latency_ns ? -1 : a->latency_ns < b->latency_ns;
}

void bench_slow_ticks_sort(struct bench_slow_ticks *slow)
{
    qsort(slow->list, slow->count, sizeof slow->list[0], bench_slow_ticks_compare);
}
