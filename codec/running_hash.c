#include "codec/running_hash.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "numbers are hashed as they lie");

uint64_t running_hash_payload(const void *payload, size_t payload_bytes)
{
    return XXH3_64bits(payload, payload_bytes);
}

uint64_t running_hash_add(uint64_t hash, uint64_t payload_hash)
{
    const uint64_t both[2] = {hash, payload_hash};
    return XXH3_64bits(both, sizeof both);
}
