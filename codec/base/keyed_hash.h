/*
 * keyed_hash: the hash of a name, for its place in a table. SipHash is a pseudorandom function:
 * without the key nobody can choose names that collide. So only chance makes a search long.
 *
 * Owner    The owner of a table has the key: 16 random bytes, chosen at the start of the process.
 *          Tests and the simulation choose their own. No value of the function leaves the process.
 * Threads  Any.
 * Source   SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012), with one
 *          round per word and three at the end: the variant that hash tables use.
 */
#ifndef RINGCAST_CODEC_KEYED_HASH_H
#define RINGCAST_CODEC_KEYED_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "codec/base/bytes.h"

struct keyed_hash {
    uint64_t key[2];
};

static inline uint64_t keyed_hash_rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static inline void keyed_hash_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = keyed_hash_rotate(v[1], 13) ^ v[0];
    v[3] = keyed_hash_rotate(v[3], 16) ^ v[2];
    v[0] = keyed_hash_rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = keyed_hash_rotate(v[1], 17) ^ v[2];
    v[3] = keyed_hash_rotate(v[3], 21) ^ v[0];
    v[2] = keyed_hash_rotate(v[2], 32);
}

static inline void keyed_hash_begin(const struct keyed_hash *hash, uint64_t v[4])
{
    v[0] = hash->key[0] ^ UINT64_C(0x736f6d6570736575);
    v[1] = hash->key[1] ^ UINT64_C(0x646f72616e646f6d);
    v[2] = hash->key[0] ^ UINT64_C(0x6c7967656e657261);
    v[3] = hash->key[1] ^ UINT64_C(0x7465646279746573);
}

static inline void keyed_hash_take(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    keyed_hash_round(v);
    v[0] ^= word;
}

static inline uint64_t keyed_hash_end(uint64_t v[4])
{
    v[2] ^= 0xff;
    keyed_hash_round(v);
    keyed_hash_round(v);
    keyed_hash_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static inline uint64_t keyed_hash_bytes(const struct keyed_hash *hash, const void *bytes,
                                        size_t count)
{
    const uint8_t *at = bytes;
    uint64_t v[4];
    uint64_t last = (uint64_t)count << 56;
    keyed_hash_begin(hash, v);
    for (size_t left = count / 8; left > 0; left--, at += 8) {
        keyed_hash_take(v, bytes_load_le64(at));
    }
    for (size_t i = 0; i < count % 8; i++) {
        last |= (uint64_t)at[i] << 8 * i;
    }
    keyed_hash_take(v, last);
    return keyed_hash_end(v);
}

/* Of the word's eight bytes, least significant first. */
static inline uint64_t keyed_hash_word(const struct keyed_hash *hash, uint64_t word)
{
    uint64_t v[4];
    keyed_hash_begin(hash, v);
    keyed_hash_take(v, word);
    keyed_hash_take(v, UINT64_C(8) << 56);
    return keyed_hash_end(v);
}

#endif
