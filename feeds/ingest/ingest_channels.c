#include "feeds/ingest/ingest_channels.h"

#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"

#define INGEST_CHANNELS_SLOTS_MIN 256

struct ingest_channels_slot {
    uint32_t channel;
    uint8_t symbol_bytes; /* 0: free */
    uint8_t type;
    char symbol[MD_SYMBOL_BYTES_MAX];
};

void ingest_channels_deinit(struct ingest_channels *channels)
{
    free(channels->slots);
    channels->slots = NULL;
    channels->slot_count = 0;
}

/* The slot of the pair, or the free one where it belongs. */
static struct ingest_channels_slot *ingest_channels_slot(const struct ingest_channels *channels,
                                                         const char *symbol, size_t symbol_bytes,
                                                         uint8_t type)
{
    uint64_t hash = keyed_hash_bytes(&channels->sink->hash, symbol, symbol_bytes) + type;
    assert_debug(bytes_is_power_of_two(channels->slot_count));
    assert_debug(channels->count < channels->slot_count);
    for (;; hash++) {
        struct ingest_channels_slot *slot = &channels->slots[hash & (channels->slot_count - 1)];
        if (slot->symbol_bytes == 0 || (slot->symbol_bytes == symbol_bytes && slot->type == type &&
                                        memcmp(slot->symbol, symbol, symbol_bytes) == 0)) {
            return slot;
        }
    }
}

uint32_t ingest_channels_find(const struct ingest_channels *channels, const char *symbol,
                              size_t symbol_bytes, enum md_type type)
{
    if (channels->slot_count == 0 || symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return INGEST_CHANNELS_NONE;
    }
    const struct ingest_channels_slot *slot =
        ingest_channels_slot(channels, symbol, symbol_bytes, (uint8_t)type);
    return slot->symbol_bytes == 0 ? INGEST_CHANNELS_NONE : slot->channel;
}

/* At most half of the slots are used. */
static bool ingest_channels_make_room(struct ingest_channels *channels)
{
    struct ingest_channels grown = *channels;
    if (2 * (channels->count + 1) <= channels->slot_count) {
        return true;
    }
    grown.slot_count =
        channels->slot_count == 0 ? INGEST_CHANNELS_SLOTS_MIN : 2 * channels->slot_count;
    grown.slots = calloc(grown.slot_count, sizeof *grown.slots);
    if (grown.slots == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < channels->slot_count; i++) {
        const struct ingest_channels_slot *slot = &channels->slots[i];
        if (slot->symbol_bytes > 0) {
            *ingest_channels_slot(&grown, slot->symbol, slot->symbol_bytes, slot->type) = *slot;
        }
    }
    free(channels->slots);
    *channels = grown;
    return true;
}

uint32_t ingest_channels_open(struct ingest_channels *channels, const char *symbol,
                              size_t symbol_bytes, enum md_type type)
{
    const struct feed_sink *sink = channels->sink;
    uint32_t channel = ingest_channels_find(channels, symbol, symbol_bytes, type);
    if (channel != INGEST_CHANNELS_NONE || !ingest_channels_make_room(channels)) {
        return channel;
    }
    channel = sink->open_channel(sink->context, symbol, symbol_bytes, type);
    if (channel == UINT32_MAX) {
        return INGEST_CHANNELS_NONE;
    }
    struct ingest_channels_slot *slot =
        ingest_channels_slot(channels, symbol, symbol_bytes, (uint8_t)type);
    *slot = (struct ingest_channels_slot){
        .channel = channel,
        .symbol_bytes = (uint8_t)symbol_bytes,
        .type = (uint8_t)type,
    };
    memcpy(slot->symbol, symbol, symbol_bytes);
    channels->count++;
    return channel;
}

bool ingest_channel_set_add(struct ingest_channel_set *set, uint32_t channel)
{
    uint32_t word = channel / 64;
    if (word >= set->word_count) {
        uint32_t count = 2 * word + 16;
        uint64_t *bits = realloc(set->bits, count * sizeof *bits);
        if (bits == NULL) {
            return false;
        }
        memset(bits + set->word_count, 0, (count - set->word_count) * sizeof *bits);
        set->bits = bits;
        set->word_count = count;
    }
    set->bits[word] |= UINT64_C(1) << (channel % 64);
    return true;
}

void ingest_channel_set_limit(struct ingest_channel_set *set,
                              const struct ingest_channels *channels,
                              bool (*keeps)(void *context, uint32_t channel, const char *symbol,
                                            size_t symbol_bytes, enum md_type type),
                              void *context)
{
    for (uint32_t i = 0; i < channels->slot_count; i++) {
        const struct ingest_channels_slot *slot = &channels->slots[i];
        if (slot->symbol_bytes > 0 && ingest_channel_set_has(set, slot->channel) &&
            !keeps(context, slot->channel, slot->symbol, slot->symbol_bytes,
                   (enum md_type)slot->type)) {
            set->bits[slot->channel / 64] &= ~(UINT64_C(1) << (slot->channel % 64));
        }
    }
}

void ingest_channel_set_deinit(struct ingest_channel_set *set)
{
    free(set->bits);
    *set = (struct ingest_channel_set){.bits = NULL};
}
