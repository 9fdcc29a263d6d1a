/*
 * core_claims: which encodings beside the first have a frame log with memory, or are to have one.
 *
 * A log costs memory from its encoding's beginning to its end, and only a limited number may have
 * it at a time. The first connection of an encoding claims the memory; the writer gives the claim
 * up when the encoding has ended and nobody uses it. Claims and connections are in one word, so
 * that cores and writer always agree (docs/decisions/0028).
 *
 * Owner    src, like the encodings; shared by the writer and all cores.
 * Threads  join, leave: any core. close: the writer. The others: any.
 * Memory   The caller's.
 * Errors   None.
 */
#ifndef RINGCAST_RING_CORE_CLAIMS_H
#define RINGCAST_RING_CORE_CLAIMS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "codec/base/check.h"

/* Of an encoding: its connections, and above them whether it is open. */
#define CORE_CLAIMS_BITS 21
#define CORE_CLAIMS_COUNT_MAX ((UINT64_C(1) << (CORE_CLAIMS_BITS - 1)) - 1)
#define CORE_CLAIMS_ENCODINGS_MAX 3 /* beside the first, which needs no claim */

struct core_claims {
    _Atomic uint64_t word;
    _Atomic uint32_t refused_count; /* joins that found no room */
    uint32_t open_max;              /* Constant: this many may be open at a time. */
};

static inline uint32_t core_claims_shift(uint32_t encoding)
{
    assert_always(encoding >= 1);
    assert_always(encoding <= CORE_CLAIMS_ENCODINGS_MAX);
    return (encoding - 1) * CORE_CLAIMS_BITS;
}

/* The bit of the word that says that an encoding is open. */
static inline uint64_t core_claims_bit(uint32_t encoding)
{
    return (CORE_CLAIMS_COUNT_MAX + 1) << core_claims_shift(encoding);
}

static inline bool core_claims_is_open(const struct core_claims *claims, uint32_t encoding)
{
    return (atomic_load(&claims->word) & core_claims_bit(encoding)) != 0;
}

static inline uint32_t core_claims_refused(const struct core_claims *claims)
{
    return atomic_load_explicit(&claims->refused_count, memory_order_relaxed);
}

/* Connections that have an encoding or wait for it. */
static inline uint64_t core_claims_count(const struct core_claims *claims, uint32_t encoding)
{
    return atomic_load(&claims->word) >> core_claims_shift(encoding) & CORE_CLAIMS_COUNT_MAX;
}

/* One more connection. false: the encoding is not open, and others have all the room. */
static inline bool core_claims_join(struct core_claims *claims, uint32_t encoding)
{
    uint64_t bit = core_claims_bit(encoding);
    uint64_t bits = core_claims_bit(1) | core_claims_bit(2) | core_claims_bit(3);
    uint64_t word = atomic_load(&claims->word);
    do {
        uint32_t open_count = (uint32_t)__builtin_popcountll(word & bits);
        assert_always(open_count <= claims->open_max);
        if ((word & bit) == 0 && open_count == claims->open_max) {
            atomic_fetch_add(&claims->refused_count, 1);
            return false;
        }
    } while (!atomic_compare_exchange_weak(
        &claims->word, &word, (word | bit) + (UINT64_C(1) << core_claims_shift(encoding))));
    return true;
}

static inline void core_claims_leave(struct core_claims *claims, uint32_t encoding)
{
    assert_always(core_claims_count(claims, encoding) > 0);
    atomic_fetch_sub(&claims->word, UINT64_C(1) << core_claims_shift(encoding));
}

/* Gives up the room of an encoding whose log has no memory, unless a connection uses it. */
static inline void core_claims_close(struct core_claims *claims, uint32_t encoding)
{
    uint64_t word = atomic_load(&claims->word);
    while ((word & core_claims_bit(encoding)) != 0 &&
           (word >> core_claims_shift(encoding) & CORE_CLAIMS_COUNT_MAX) == 0 &&
           !atomic_compare_exchange_weak(&claims->word, &word, word & ~core_claims_bit(encoding))) {
    }
}

#endif
