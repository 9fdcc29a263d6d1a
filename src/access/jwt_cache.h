/*
 * jwt_cache: which JWTs had the right signature, so that a client that comes back costs none.
 *
 * That a signature is right does not change while the keys do not: a set of keys that changes needs
 * an empty cache (jwt_cache_clear). All else (when a token ends, what it opens) is read from the
 * token each time.
 *
 * Owner    The sessions of a core. Threads: the core's.
 * Memory   JWT_CACHE_TOKENS entries of 40 bytes (640 KiB), touched as they are used. A set that is
 * full forgets the token that it has not seen for the longest time.
 *
 * Only an owner of the keys can make tokens that are remembered, and a look-up compares at most
 * JWT_CACHE_WAYS digests: nobody gains by choosing where they lie.
 */
#ifndef RINGCAST_SRC_JWT_CACHE_H
#define RINGCAST_SRC_JWT_CACHE_H

#include <stdbool.h>

#include "src/access/token.h"

#define JWT_CACHE_WAYS 8
#define JWT_CACHE_TOKENS 16384

struct jwt_cache;

/* NULL: no memory. */
struct jwt_cache *jwt_cache_create(void);
void jwt_cache_destroy(struct jwt_cache *cache);

/* *key_out: the place of the key that has signed it. */
bool jwt_cache_has(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES],
                   uint32_t *key_out);
void jwt_cache_add(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES], uint32_t key);
/* Forgets all. */
void jwt_cache_clear(struct jwt_cache *cache);

#endif
