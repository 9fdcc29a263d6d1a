/*
 * ingest_channels: the sink's channel of each symbol and type that a producer has named, and sets
 * of such channels.
 *
 * Owner    feed_ingest embeds one. Threads: one at a time.
 * Memory   A hash table that doubles; only what the sink has given a channel is added, so that its
 *          channel table bounds it.
 */
#ifndef RINGCAST_FEEDS_INGEST_CHANNELS_H
#define RINGCAST_FEEDS_INGEST_CHANNELS_H

#include <stddef.h>
#include <stdint.h>

#include "feeds/feed.h"

#define INGEST_CHANNELS_NONE UINT32_MAX

struct ingest_channels {
    const struct feed_sink *sink;
    struct ingest_channels_slot *slots;
    uint32_t slot_count; /* 0, or a power of two */
    uint32_t count;
};

void ingest_channels_deinit(struct ingest_channels *channels);

/* The channel of a symbol and type that the table has. INGEST_CHANNELS_NONE: it has none. */
uint32_t ingest_channels_find(const struct ingest_channels *channels, const char *symbol,
                              size_t symbol_bytes, enum md_type type);

/* The same, from the sink if the table has none. INGEST_CHANNELS_NONE: the sink gives none, or
 * memory is short. */
uint32_t ingest_channels_open(struct ingest_channels *channels, const char *symbol,
                              size_t symbol_bytes, enum md_type type);

/* A set of the sink's channels. All 0: empty. */
struct ingest_channel_set {
    uint64_t *bits;
    uint32_t word_count;
};

static inline bool ingest_channel_set_has(const struct ingest_channel_set *set, uint32_t channel)
{
    uint32_t word = channel / 64;
    return word < set->word_count && (set->bits[word] >> (channel % 64) & 1) != 0;
}

/* Removes the channels for which keeps() returns false. */
void ingest_channel_set_limit(struct ingest_channel_set *set,
                              const struct ingest_channels *channels,
                              bool (*keeps)(void *context, uint32_t channel, const char *symbol,
                                            size_t symbol_bytes, enum md_type type),
                              void *context);
/* false: no memory. */
bool ingest_channel_set_add(struct ingest_channel_set *set, uint32_t channel);
void ingest_channel_set_deinit(struct ingest_channel_set *set);

#endif
