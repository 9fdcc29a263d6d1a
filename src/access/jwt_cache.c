#include "src/access/jwt_cache.h"

#include <openssl/crypto.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/memory.h"

#define JWT_CACHE_SETS (JWT_CACHE_TOKENS / JWT_CACHE_WAYS)

static_assert(JWT_CACHE_TOKENS % JWT_CACHE_WAYS == 0, "sets are whole");

/* All zeroes: free; no token is known that has such a digest. */
struct jwt_cache_entry {
    uint8_t digest[TOKEN_DIGEST_BYTES];
    uint32_t run; /* of the cache when it was added; in another run it is forgotten */
    uint32_t key;
};
static_assert(sizeof(struct jwt_cache_entry) == 40, "as jwt_cache.h says");

/* The newest of a set comes first. */
struct jwt_cache {
    struct jwt_cache_entry sets[JWT_CACHE_SETS][JWT_CACHE_WAYS];
    uint32_t run;
};

struct jwt_cache *jwt_cache_create(void)
{
    return memory_map(sizeof(struct jwt_cache), MAP_NORESERVE);
}

void jwt_cache_destroy(struct jwt_cache *cache)
{
    memory_unmap(cache, sizeof *cache);
}

/* Puts an entry first; place: where it was, or that of the one that is forgotten. */
static void jwt_cache_renew(struct jwt_cache_entry *set, uint32_t place,
                            struct jwt_cache_entry entry)
{
    assert_always(place < JWT_CACHE_WAYS);
    memmove(&set[1], &set[0], place * sizeof set[0]);
    set[0] = entry;
}

bool jwt_cache_has(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES],
                   uint32_t *key_out)
{
    struct jwt_cache_entry *set = cache->sets[bytes_load_le64(digest) % JWT_CACHE_SETS];
    for (uint32_t i = 0; i < JWT_CACHE_WAYS; i++) {
        if (set[i].run == cache->run &&
            CRYPTO_memcmp(set[i].digest, digest, sizeof set[i].digest) == 0) {
            *key_out = set[i].key;
            jwt_cache_renew(set, i, set[i]);
            return true;
        }
    }
    return false;
}

void jwt_cache_add(struct jwt_cache *cache, const uint8_t digest[TOKEN_DIGEST_BYTES], uint32_t key)
{
    struct jwt_cache_entry *set = cache->sets[bytes_load_le64(digest) % JWT_CACHE_SETS];
    struct jwt_cache_entry entry = {.run = cache->run, .key = key};
    memcpy(entry.digest, digest, sizeof entry.digest);
    jwt_cache_renew(set, JWT_CACHE_WAYS - 1, entry);
}

/* Without touching an entry: main may do so a thousand times a second. */
void jwt_cache_clear(struct jwt_cache *cache)
{
    cache->run++;
    assert_always(cache->run != 0); /* Else what is 2^32 runs old would be known again. */
}
