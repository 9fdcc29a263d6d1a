#include "src/market/channels.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/utf8.h"

/* Twice as many as channels, so that a search ends soon; a power of two. */
#define CHANNELS_SLOTS (2 * CHANNELS_MAX)

static_assert((CHANNELS_SLOTS & (CHANNELS_SLOTS - 1)) == 0, "a slot is found by masking");

struct channels {
    struct channel *entries; /* CHANNELS_MAX */
    pthread_mutex_t lock;    /* held by who makes a channel */

    /* Written under the lock, read by anybody. A slot is 0 or 1 + the channel; it is filled once
     * and never changed, so that a search needs no lock. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count;
    _Atomic uint32_t variant_count;
    uint32_t variants[CHANNELS_VARIANTS_MAX];
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t slots[CHANNELS_SLOTS];

    /* Written by the cores. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t wish_count;
    struct channel_wish wishes[CHANNELS_VARIANTS_MAX];
};

/* What a channel is found by. */
struct channels_key {
    const char *symbol;
    size_t symbol_bytes;
    enum md_type type;
    struct variant variant;
};

static void *channels_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

int channels_create(struct channels **channels_out)
{
    struct channels *channels = channels_map(sizeof *channels);
    if (channels == NULL) {
        return -ENOMEM;
    }
    channels->entries = channels_map(CHANNELS_MAX * sizeof *channels->entries);
    if (channels->entries == NULL) {
        munmap(channels, sizeof *channels);
        return -ENOMEM;
    }
    pthread_mutex_init(&channels->lock, NULL);
    *channels_out = channels;
    return 0;
}

void channels_destroy(struct channels *channels)
{
    pthread_mutex_destroy(&channels->lock);
    munmap(channels->entries, CHANNELS_MAX * sizeof *channels->entries);
    munmap(channels, sizeof *channels);
}

/* FNV-1a, with its bits mixed once more: only the low ones choose the slot. */
static uint32_t channels_first_slot(const struct channels_key *key)
{
    struct variant variant = key->variant;
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)key->type ^
                    (uint64_t)variant.depth << 8 ^ (uint64_t)variant.bar << 16 ^
                    (uint64_t)variant.interval_ms << 24;
    for (size_t i = 0; i < key->symbol_bytes; i++) {
        hash = (hash ^ (uint8_t)key->symbol[i]) * UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    return (uint32_t)(hash & (CHANNELS_SLOTS - 1));
}

static bool channels_is(const struct channel *channel, const struct channels_key *key)
{
    return channel->type == (uint8_t)key->type && channel->symbol_bytes == key->symbol_bytes &&
           variant_is_same(channel->variant, key->variant) &&
           memcmp(channel->symbol, key->symbol, key->symbol_bytes) == 0;
}

/* The slot that holds the key, or the free one where it belongs: half of them always are. */
static uint32_t channels_slot(const struct channels *channels, const struct channels_key *key)
{
    uint32_t slot = channels_first_slot(key);
    for (;;) {
        uint32_t entry = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
        if (entry == 0 || channels_is(&channels->entries[entry - 1], key)) {
            return slot;
        }
        slot = (slot + 1) & (CHANNELS_SLOTS - 1);
    }
}

static bool channels_is_symbol(const char *symbol, size_t symbol_bytes)
{
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < symbol_bytes; i++) {
        uint8_t byte = (uint8_t)symbol[i];
        if (byte < 0x20 || byte == 0x7f || byte == '*' || byte == '"') {
            return false;
        }
    }
    return utf8_is_valid((const uint8_t *)symbol, symbol_bytes);
}

/* Under the lock, since the slot was found free. */
static uint32_t channels_make(struct channels *channels, uint32_t slot,
                              const struct channels_key *key)
{
    uint32_t number = atomic_load_explicit(&channels->count, memory_order_relaxed);
    uint32_t variants = atomic_load_explicit(&channels->variant_count, memory_order_relaxed);
    bool is_variant = !variant_is_none(key->variant);
    if (number == CHANNELS_MAX || (is_variant && variants == CHANNELS_VARIANTS_MAX)) {
        return CHANNEL_NONE;
    }
    struct channel *channel = &channels->entries[number];
    memcpy(channel->symbol, key->symbol, key->symbol_bytes); /* The rest is 0 since mapped. */
    channel->symbol_bytes = (uint8_t)key->symbol_bytes;
    channel->type = (uint8_t)key->type;
    channel->group = is_variant ? CHANNELS_VARIANTS_GROUP : (uint8_t)key->type;
    channel->variant = key->variant;
    if (is_variant) {
        channel->variant_index = (uint16_t)variants;
        channels->variants[variants] = number;
    }

    /* The count first: whoever finds the slot may rely on it. */
    atomic_store_explicit(&channels->count, number + 1, memory_order_release);
    if (is_variant) {
        atomic_store_explicit(&channels->variant_count, variants + 1, memory_order_release);
    }
    atomic_store_explicit(&channels->slots[slot], number + 1, memory_order_release);
    return number;
}

uint32_t channels_open_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant)
{
    struct channels_key key = {symbol, symbol_bytes, type, variant};
    assert_always((unsigned)type < MD_TYPE_COUNT);
    if (!channels_is_symbol(symbol, symbol_bytes)) {
        return CHANNEL_NONE;
    }
    uint32_t slot = channels_slot(channels, &key);
    uint32_t known = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
    if (known != 0) {
        return known - 1;
    }
    pthread_mutex_lock(&channels->lock);
    slot = channels_slot(channels, &key); /* Another may have been quicker. */
    known = atomic_load_explicit(&channels->slots[slot], memory_order_relaxed);
    uint32_t number = known != 0 ? known - 1 : channels_make(channels, slot, &key);
    pthread_mutex_unlock(&channels->lock);
    return number;
}

uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    return channels_open_variant(channels, symbol, symbol_bytes, type, (struct variant){0});
}

uint32_t channels_find_variant(const struct channels *channels, const char *symbol,
                               size_t symbol_bytes, enum md_type type, struct variant variant)
{
    struct channels_key key = {symbol, symbol_bytes, type, variant};
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return CHANNEL_NONE;
    }
    uint32_t slot = channels_slot(channels, &key);
    uint32_t entry = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
    return entry == 0 ? CHANNEL_NONE : entry - 1;
}

uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    return channels_find_variant(channels, symbol, symbol_bytes, type, (struct variant){0});
}

uint32_t channels_count(const struct channels *channels)
{
    return atomic_load_explicit(&channels->count, memory_order_acquire);
}

const struct channel *channels_get(const struct channels *channels, uint32_t channel)
{
    assert_always(channel < channels_count(channels));
    return &channels->entries[channel];
}

uint32_t channels_variant_count(const struct channels *channels)
{
    return atomic_load_explicit(&channels->variant_count, memory_order_acquire);
}

uint32_t channels_variant(const struct channels *channels, uint32_t variant_index)
{
    assert_always(variant_index < channels_variant_count(channels));
    return channels->variants[variant_index];
}

struct channel_wish *channels_wish(struct channels *channels, uint32_t variant_index)
{
    assert_always(variant_index < CHANNELS_VARIANTS_MAX);
    return &channels->wishes[variant_index];
}

uint64_t channels_wish_count(const struct channels *channels)
{
    return atomic_load_explicit(&channels->wish_count, memory_order_acquire);
}

void channels_count_subscriber(struct channels *channels, uint32_t number, int change)
{
    const struct channel *channel = channels_get(channels, number);
    if (channel->group != CHANNELS_VARIANTS_GROUP) {
        return;
    }
    struct channel_wish *wish = channels_wish(channels, channel->variant_index);
    atomic_fetch_add_explicit(&wish->subscriber_count, (uint32_t)change, memory_order_relaxed);
    atomic_fetch_add_explicit(&channels->wish_count, 1, memory_order_release);
}

void channels_ask_snapshot(struct channels *channels, uint32_t number)
{
    if (number >= channels_count(channels)) {
        return;
    }
    const struct channel *channel = channels_get(channels, number);
    if (channel->group != CHANNELS_VARIANTS_GROUP || channel->type != MD_DEPTH) {
        return;
    }
    struct channel_wish *wish = channels_wish(channels, channel->variant_index);
    atomic_store_explicit(&wish->asks_snapshot, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&channels->wish_count, 1, memory_order_release);
}
