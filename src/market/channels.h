/*
 * channels: maps symbol x type x variant to a channel number and back, and counts the subscribers
 * of variants.
 *
 * Owner    src creates it first and destroys it last.
 * Threads  Any. A feed's channel is made by the publisher and never changes: it is found without a
 *          lock. A variant's name is found under a lock, which is held for about a microsecond.
 * Memory   Sized at creation for CHANNELS_MAX; touched as channels appear.
 *
 * A variant's number outlives its name. While a client holds the number, its name stays. When the
 * number was unused for a while, the publisher removes the name (channels_unname), ends the channel
 * in the log, waits until every core has passed that frame, and gives the number back
 * (channels_reuse). Then it may get another name. So what a core has looked up stays true for the
 * rest of its turn, and no frame of another name follows first_seq (docs/decisions/0022).
 */
#ifndef RINGCAST_SRC_CHANNELS_H
#define RINGCAST_SRC_CHANNELS_H

#include <pthread.h>
#include <stdatomic.h>

#include "codec/base/check.h"
#include "codec/base/keyed_hash.h"
#include "codec/base/units.h"
#include "codec/md.h"
#include "ring/board/control.h"
#include "src/market/channel_order.h"
#include "src/market/variant.h"

#define CHANNELS_MAX 65536
#define CHANNELS_VARIANTS_MAX 8192       /* of them, at a time */
#define CHANNELS_CLIENT_VARIANTS_MAX 256 /* that one client may subscribe to, at a time */
#define CHANNELS_VARIANTS_GROUP MD_TYPE_COUNT
#define CHANNEL_NONE UINT32_MAX

/* Twice as many as channels, so that a search ends soon; a power of two. */
#define CHANNELS_SLOTS (2 * CHANNELS_MAX)

struct channel {
    char symbol[MD_SYMBOL_BYTES_MAX + 1]; /* terminated */
    uint8_t symbol_bytes;
    uint8_t type; /* enum md_type */
    struct variant variant;
    uint64_t first_seq; /* of a variant: older frames of the number had another name */

    /* These never change, whatever the name. */
    uint8_t group;          /* its type, or CHANNELS_VARIANTS_GROUP: "*" never covers a variant */
    uint16_t variant_index; /* counts the variants; of one without, 0 */
};

/* Written by the cores, read by the publisher. */
struct channel_wish {
    _Atomic uint32_t subscriber_count; /* subscribers, and other holders of the number */
    _Atomic uint32_t asks_snapshot;    /* 1: since the publisher looked */
    _Atomic uint32_t is_named;         /* Written under the lock. */
};

struct channels {
    struct channel *entries;    /* CHANNELS_MAX */
    struct channel_order order; /* of feeds' channels; written under the lock */
    struct control *control;    /* NULL: none */
    struct keyed_hash hash;     /* Producers choose the symbols, clients the variants. */
    pthread_mutex_t lock;       /* held to make, name or find a variant, or to make a channel */

    /* Written under the lock, read by anybody. A slot is 0 or 1 + a feed's channel; it is filled
     * once and never changed, so that a search needs no lock. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t count;
    _Atomic uint32_t variant_count;           /* numbers that were made for variants */
    uint32_t variants[CHANNELS_VARIANTS_MAX]; /* by variant_index; set once */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint32_t slots[CHANNELS_SLOTS];

    /* Under the lock. The names of variants: chains of 1 + variant_index; 0: the end. */
    uint16_t chains[CHANNELS_VARIANTS_MAX];
    uint16_t chain_next[CHANNELS_VARIANTS_MAX];
    uint16_t free[CHANNELS_VARIANTS_MAX]; /* variant_index; the one that was freed first, first */
    uint32_t free_first, free_count;

    /* Written by the cores. */
    _Alignas(CACHE_LINE_BYTES) _Atomic uint64_t wish_count;
    struct channel_wish wishes[CHANNELS_VARIANTS_MAX];
};

/* control: its directory shows them, too; NULL: no other process sees them. */
int channels_create(struct channels **channels_out, struct control *control,
                    const struct keyed_hash *hash);
void channels_destroy(struct channels *channels);

/* The number of the pair, made when new. CHANNEL_NONE: the table is full, or the symbol is not 1
 * to 32 bytes of UTF-8 without control characters, '*' or '"'. */
uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);

/* CHANNEL_NONE: no feed knows it (yet). */
uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type);
/* The same of a variant (or of none). What is found stays true for the rest of a core's turn. */
uint32_t channels_find_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant);

/* How many there are (acquire): those below it are complete. */
static inline uint32_t channels_count(const struct channels *channels)
{
    return atomic_load_explicit(&channels->count, memory_order_acquire);
}

/* The name of a variant is valid for a caller that holds it, or has just found it. */
static inline const struct channel *channels_get(const struct channels *channels, uint32_t channel)
{
    assert_always(channel < channels_count(channels));
    return &channels->entries[channel];
}

/* ---- Names of variants ---- */

/* The number of the variant, made when new, and held. CHANNEL_NONE: there are
 * CHANNELS_VARIANTS_MAX, or no more channels; or it is no symbol. */
uint32_t channels_hold_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant);
/* Holds a channel as a subscriber does. false: it is of a variant, and has no name now. */
bool channels_hold(struct channels *channels, uint32_t channel);
void channels_release(struct channels *channels, uint32_t channel);

/* The publisher removes the name. false: the number is held. */
bool channels_unname(struct channels *channels, uint32_t variant_index);
/* The publisher hands the number back. first_seq: of its next frame. */
void channels_reuse(struct channels *channels, uint32_t variant_index, uint64_t first_seq);

/* ---- Wishes for variants ---- */

/* The channels of variants, by variant_index. */
uint32_t channels_variant_count(const struct channels *channels);
uint32_t channels_variant(const struct channels *channels, uint32_t variant_index);

/* A core has one subscriber more (1) or less (-1) of any channel; of one more, the number is held.
 */
void channels_count_subscriber(struct channels *channels, uint32_t channel, int change);

/* Of a book's variant: a snapshot is to be published soon. Of another channel: nothing. */
void channels_ask_snapshot(struct channels *channels, uint32_t channel);

/* Grows with every request, so that the publisher reads one number (acquire). */
uint64_t channels_wish_count(const struct channels *channels);
struct channel_wish *channels_wish(struct channels *channels, uint32_t variant_index);

#endif
