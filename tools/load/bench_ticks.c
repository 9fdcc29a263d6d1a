#include "tools/load/bench_ticks.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static_assert((BENCH_TICKS_MAX & (BENCH_TICKS_MAX - 1)) == 0, "it is reached by doubling");

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
    assert_always(place < ticks->count);
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

/* Four lanes of 16 bytes, each a chain of folded products of 128 bits, so that the processor has
 * four multiplications under way; the last block is filled up with zeros. */
uint64_t bench_ticks_hash(const uint8_t *bytes, size_t count)
{
    static const uint64_t keys[] = {UINT64_C(0xa0761d6478bd642f), UINT64_C(0xe7037ed1a0b428db),
                                    UINT64_C(0x8ebc6af09c88c6e3), UINT64_C(0x589965cc75374cc3)};
    uint64_t lanes[4] = {keys[0] ^ count, keys[1], keys[2], keys[3]};
    uint8_t last[64] = {0};
    for (size_t at = 0; at <= count; at += 64) {
        const uint8_t *block = bytes + at;
        if (count - at < 64) {
            memcpy(last, block, count - at);
            block = last;
        }
        for (uint32_t lane = 0; lane < 4; lane++) {
            lanes[lane] =
                bench_ticks_fold(lanes[lane] ^ bench_ticks_load(block + 16 * lane),
                                 keys[3 - lane] ^ bench_ticks_load(block + 16 * lane + 8));
        }
    }
    return bench_ticks_fold(lanes[0] ^ lanes[2] ^ keys[0], lanes[1] ^ lanes[3] ^ keys[1]);
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
