#include "src/access/jwt_cache.h"

#include <openssl/crypto.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/memory.h"

#define JWT_CACHE_SETS (JWT_CACHE_TOKENS / JWT_CACHE_WAYS)

static_assert(JWT_CACHE_TOKENS % JWT_CACHE_WAYS == 0, "sets are whole");

/* The newest of a set comes first. All zeroes: free; no token is known that has such a digest. */
struct jwt_cache {
    uint8_t sets[JWT_CACHE_SETS][JWT_CACHE_WAYS][TOKEN_DIGEST_BYTES];
};

struct jwt_cache *jwt_cache_create(void)
{
    return memory_map(sizeof(struct jwt_cache), MAP_NORESERVE);
}

void jwt_cache_destroy(struct jwt_cache *cache)
{
    memory_unmap(cache, sizeof *cache);
}

/* Puts a digest first; place: where it was, or that of the one that is forgotten. */
static void jwt_cache_renew(uint8_t (*set)[TOKEN_DIGEST_BYTES], uint32_t place,
                            const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    assert_always(place < JWT_CACHE_WAYS);
    memmove(set[1], set[0], place * sizeof set[0]);
    memcpy(set[0], digest, sizeof set[0]);
}

bool jwt_cache_has(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    uint8_t(*set)[TOKEN_DIGEST_BYTES] = cache->sets[bytes_load_le64(digest) % JWT_CACHE_SETS];
    for (uint32_t i = 0; i < JWT_CACHE_WAYS; i++) {
        if (CRYPTO_memcmp(set[i], digest, sizeof set[i]) == 0) {
            jwt_cache_renew(set, i, digest);
            return true;
        }
    }
    return false;
}

void jwt_cache_add(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES])
{
    uint8_t(*set)[TOKEN_DIGEST_BYTES] = cache->sets[bytes_load_le64(digest) % JWT_CACHE_SETS];
    jwt_cache_renew(set, JWT_CACHE_WAYS - 1, digest);
}
