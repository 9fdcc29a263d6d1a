#include "tools/bench_ticks.h"

#include <stdlib.h>
#include <string.h>

#define COUNT_FIRST 256

static bool bench_ticks_grow(struct bench_ticks *ticks, uint64_t place)
{
    uint64_t count = ticks->count == 0 ? COUNT_FIRST : ticks->count;
    while (count <= place) {
        count *= 2;
    }
    if (count > BENCH_TICKS_MAX) {
        return false;
    }
    struct bench_tick *grown = realloc(ticks->ticks, count * sizeof *grown);
    if (grown == NULL) {
        return false;
    }
    memset(grown + ticks->count, 0, (count - ticks->count) * sizeof *grown);
    ticks->ticks = grown;
    ticks->count = (uint32_t)count;
    return true;
}

struct bench_tick *bench_ticks_at(struct bench_ticks *ticks, uint64_t seq)
{
    if (ticks->count == 0) {
        ticks->base_seq = seq > BENCH_TICKS_BEFORE ? seq - BENCH_TICKS_BEFORE : 0;
    }
    uint64_t place = seq - ticks->base_seq;
    if (seq < ticks->base_seq || place >= BENCH_TICKS_MAX ||
        (place >= ticks->count && !bench_ticks_grow(ticks, place))) {
        return NULL;
    }
    return &ticks->ticks[place];
}

void bench_ticks_deinit(struct bench_ticks *ticks)
{
    free(ticks->ticks);
    *ticks = (struct bench_ticks){0};
}

static uint64_t bench_ticks_load(const uint8_t *bytes)
{
    uint64_t value;
    memcpy(&value, bytes, sizeof value);
    return value;
}

static uint64_t bench_ticks_fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Two lanes of 16 bytes, each a folded product of 128 bits; the rest, shorter than 32 bytes, in
 * overlapping pieces. */
uint64_t bench_ticks_hash(const uint8_t *bytes, size_t count)
{
    const uint64_t k0 = UINT64_C(0xa0761d6478bd642f), k1 = UINT64_C(0xe7037ed1a0b428db);
    uint64_t a = k0 ^ count, b = k1;
    uint8_t tail[32] = {0};
    size_t at = 0;
    for (; count - at >= 32; at += 32) {
        a = bench_ticks_fold(a ^ bench_ticks_load(bytes + at),
                             k1 ^ bench_ticks_load(bytes + at + 8));
        b = bench_ticks_fold(b ^ bench_ticks_load(bytes + at + 16),
                             k0 ^ bench_ticks_load(bytes + at + 24));
    }
    memcpy(tail, bytes + at, count - at);
    a = bench_ticks_fold(a ^ bench_ticks_load(tail), k1 ^ bench_ticks_load(tail + 8));
    b = bench_ticks_fold(b ^ bench_ticks_load(tail + 16), k0 ^ bench_ticks_load(tail + 24));
    return bench_ticks_fold(a ^ k0, b ^ k1);
}

uint64_t bench_ticks_merge(struct bench_ticks *into, const struct bench_ticks *from)
{
    uint64_t differing = 0;
    for (uint32_t i = 0; i < from->count; i++) {
        const struct bench_tick *other = &from->ticks[i];
        struct bench_tick *tick =
            other->count == 0 ? NULL : bench_ticks_at(into, from->base_seq + i);
        if (tick == NULL) {
            continue;
        }
        if (tick->count == 0) {
            *tick = *other;
            continue;
        }
        differing += tick->hash != other->hash;
        tick->first_ns = other->first_ns < tick->first_ns ? other->first_ns : tick->first_ns;
        tick->last_ns = other->last_ns > tick->last_ns ? other->last_ns : tick->last_ns;
        tick->count += other->count;
    }
    return differing;
}
