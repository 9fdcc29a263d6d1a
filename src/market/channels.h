/*
 * channels: symbol x type x variant to channel number and back, and who wants the variants;
 * append-only.
 *
 * Owner    src creates it first and destroys it last.
 * Threads  Any. The only lock is taken where a channel is made (by the publisher at the first tick
 *          of a symbol, by a core at the first wish for a variant), for about a microsecond.
 * Memory   Sized at creation for CHANNELS_MAX; touched as channels appear.
 */
#ifndef RINGCAST_SRC_CHANNELS_H
#define RINGCAST_SRC_CHANNELS_H

#include <stdatomic.h>

#include "codec/md.h"
#include "src/market/variant.h"

#define CHANNELS_MAX 65536
#define CHANNELS_VARIANTS_MAX 8192 /* of them; one that was made stays for the run */
#define CHANNELS_VARIANTS_GROUP MD_TYPE_COUNT
#define CHANNEL_NONE UINT32_MAX

struct channel {
    char symbol[MD_SYMBOL_BYTES_MAX + 1]; /* terminated */
    uint8_t symbol_bytes;
    uint8_t type;           /* enum md_type */
    uint8_t group;          /* its type, or CHANNELS_VARIANTS_GROUP: "*" never covers a variant */
    uint16_t variant_index; /* counts the variants; of one without, 0 */
    struct variant variant;
};

/* Written by the cores, read by the publisher. */
struct channel_wish {
    _Atomic uint32_t subscriber_count;
    _Atomic uint32_t asks_snapshot; /* 1: since the publisher looked */
};

struct channels;

int channels_create(struct channels **channels_out);
void channels_destroy(struct channels *channels);

/* The number of the pair, made when new. CHANNEL_NONE: the table is full, or the symbol is not 1
 * to 32 bytes of UTF-8 without control characters, '*' or '"'. */
uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);

/* The same of a variant (or of none). CHANNEL_NONE also: there are CHANNELS_VARIANTS_MAX. */
uint32_t channels_open_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant);

/* CHANNEL_NONE: no feed knows it (yet). */
uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);
uint32_t channels_find_variant(const struct channels *channels, const char *symbol,
                               size_t symbol_bytes, enum md_type type, struct variant variant);

/* How many there are (acquire): those below it are complete and never change. */
uint32_t channels_count(const struct channels *channels);

const struct channel *channels_get(const struct channels *channels, uint32_t channel);

/* ---- Wishes for variants ---- */

/* The channels of variants, by variant_index. */
uint32_t channels_variant_count(const struct channels *channels);
uint32_t channels_variant(const struct channels *channels, uint32_t variant_index);

/* A core has one subscriber more (1) or less (-1) of any channel. */
void channels_count_subscriber(struct channels *channels, uint32_t channel, int change);

/* Of a book's variant: a snapshot is to be published soon. Of another channel: nothing. */
void channels_ask_snapshot(struct channels *channels, uint32_t channel);

/* Grows with every wish that comes, so that the publisher looks at one number (acquire). */
uint64_t channels_wish_count(const struct channels *channels);
struct channel_wish *channels_wish(struct channels *channels, uint32_t variant_index);

#endif
