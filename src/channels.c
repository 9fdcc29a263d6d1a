#include "src/channels.h"

#include <errno.h>
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

    /* Written by the publisher, read by anybody. A slot is 0 or 1 + the channel; it is filled once
     * and never changed, so that a search needs no lock. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count;
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t slots[CHANNELS_SLOTS];
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
    *channels_out = channels;
    return 0;
}

void channels_destroy(struct channels *channels)
{
    munmap(channels->entries, CHANNELS_MAX * sizeof *channels->entries);
    munmap(channels, sizeof *channels);
}

/* FNV-1a, with its bits mixed once more: only the low ones choose the slot. */
static uint32_t channels_first_slot(const char *symbol, size_t symbol_bytes, enum md_type type)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ (uint64_t)type;
    for (size_t i = 0; i < symbol_bytes; i++) {
        hash = (hash ^ (uint8_t)symbol[i]) * UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    return (uint32_t)(hash & (CHANNELS_SLOTS - 1));
}

static bool channels_is(const struct channel *channel, const char *symbol, size_t symbol_bytes,
                        enum md_type type)
{
    return channel->type == (uint8_t)type && channel->symbol_bytes == symbol_bytes &&
           memcmp(channel->symbol, symbol, symbol_bytes) == 0;
}

/* The slot that holds the pair, or the free one where it belongs: half of them always are. */
static uint32_t channels_slot(const struct channels *channels, const char *symbol,
                              size_t symbol_bytes, enum md_type type)
{
    uint32_t slot = channels_first_slot(symbol, symbol_bytes, type);
    for (;;) {
        uint32_t entry = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
        if (entry == 0 || channels_is(&channels->entries[entry - 1], symbol, symbol_bytes, type)) {
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

uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    assert_always((unsigned)type < MD_TYPE_COUNT);
    if (!channels_is_symbol(symbol, symbol_bytes)) {
        return CHANNEL_NONE;
    }
    uint32_t slot = channels_slot(channels, symbol, symbol_bytes, type);
    uint32_t known = atomic_load_explicit(&channels->slots[slot], memory_order_relaxed);
    if (known != 0) {
        return known - 1;
    }
    uint32_t number = atomic_load_explicit(&channels->count, memory_order_relaxed);
    if (number == CHANNELS_MAX) {
        return CHANNEL_NONE;
    }
    struct channel *channel = &channels->entries[number];
    memcpy(channel->symbol, symbol, symbol_bytes); /* What follows is 0 since it was mapped. */
    channel->symbol_bytes = (uint8_t)symbol_bytes;
    channel->type = (uint8_t)type;
    json_tick_head_init(&channel->json_head, type, symbol, symbol_bytes, number);

    /* The count first: whoever finds the slot may rely on it. */
    atomic_store_explicit(&channels->count, number + 1, memory_order_release);
    atomic_store_explicit(&channels->slots[slot], number + 1, memory_order_release);
    return number;
}

uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return CHANNEL_NONE;
    }
    uint32_t slot = channels_slot(channels, symbol, symbol_bytes, type);
    uint32_t entry = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
    return entry == 0 ? CHANNEL_NONE : entry - 1;
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

/* Each '*' takes as few bytes as it can; when the rest does not fit, the last one takes one more.
 * An earlier one never has to: what it could give, the last one can take. */
bool channels_pattern_matches(const char *pattern, size_t pattern_bytes, const char *symbol,
                              size_t symbol_bytes)
{
    size_t at = 0;
    size_t taken = 0;
    size_t star = SIZE_MAX; /* of the last '*' passed */
    size_t star_taken = 0;
    while (taken < symbol_bytes) {
        if (at < pattern_bytes && pattern[at] == '*') {
            star = at++;
            star_taken = taken;
        } else if (at < pattern_bytes && pattern[at] == symbol[taken]) {
            at++;
            taken++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            taken = ++star_taken;
        } else {
            return false;
        }
    }
    while (at < pattern_bytes && pattern[at] == '*') {
        at++;
    }
    return at == pattern_bytes;
}
