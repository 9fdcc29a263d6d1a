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

static_assert((CHANNELS_SLOTS & (CHANNELS_SLOTS - 1)) == 0, "a slot is found by masking");
static_assert(CHANNELS_SLOTS <= 1 << 20, "a slot and a level are of different bits of a hash");
static_assert((CHANNELS_VARIANTS_MAX & (CHANNELS_VARIANTS_MAX - 1)) == 0, "likewise a chain");
static_assert(CHANNELS_VARIANTS_MAX < UINT16_MAX, "1 + an index is a link of a chain");

/* One mapping: the entries, and the links of their order. */
#define CHANNELS_TABLES_BYTES                                                                      \
    (CHANNELS_MAX * (sizeof(struct channel) + sizeof(struct channel_order_links)))

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

int channels_create(struct channels **channels_out, struct control *control,
                    const struct keyed_hash *hash)
{
    struct channels *channels = channels_map(sizeof *channels);
    if (channels == NULL) {
        return -ENOMEM;
    }
    channels->entries = channels_map(CHANNELS_TABLES_BYTES);
    if (channels->entries == NULL) {
        munmap(channels, sizeof *channels);
        return -ENOMEM;
    }
    channels->order.entries = channels->entries;
    channels->order.links =
        (struct channel_order_links *)(void *)(channels->entries + CHANNELS_MAX);
    channels->control = control;
    channels->hash = *hash;
    pthread_mutex_init(&channels->lock, NULL);
    *channels_out = channels;
    return 0;
}

void channels_destroy(struct channels *channels)
{
    pthread_mutex_destroy(&channels->lock);
    munmap(channels->entries, CHANNELS_TABLES_BYTES);
    munmap(channels, sizeof *channels);
}

static uint32_t channels_key_hash(const struct channels *channels, const struct channels_key *key)
{
    struct variant variant = key->variant;
    uint8_t bytes[8 + MD_SYMBOL_BYTES_MAX] = {
        (uint8_t)key->type,
        variant.depth,
        variant.bar,
        0,
    };
    static_assert(sizeof variant.interval_ms <= sizeof(uint32_t), "it lies before the symbol");
    assert_always(key->symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    memcpy(bytes + 4, &variant.interval_ms, sizeof variant.interval_ms);
    memcpy(bytes + 8, key->symbol, key->symbol_bytes);
    return (uint32_t)keyed_hash_bytes(&channels->hash, bytes, 8 + key->symbol_bytes);
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
    uint32_t slot = channels_key_hash(channels, key) & (CHANNELS_SLOTS - 1);
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

/* Under the lock. CHANNEL_NONE: the table is full. Nobody knows the number before it is shown. */
static uint32_t channels_make(struct channels *channels, uint8_t group, uint16_t variant_index)
{
    uint32_t number = atomic_load_explicit(&channels->count, memory_order_relaxed);
    if (number == CHANNELS_MAX) {
        return CHANNEL_NONE;
    }
    channels->entries[number].group = group;
    channels->entries[number].variant_index = variant_index;
    return number;
}

/* Under the lock: nobody reads the name yet. */
static void channels_set_name(struct channel *channel, const struct channels_key *key)
{
    assert_always(key->symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    memset(channel->symbol, 0, sizeof channel->symbol);
    memcpy(channel->symbol, key->symbol, key->symbol_bytes);
    channel->symbol_bytes = (uint8_t)key->symbol_bytes;
    channel->type = (uint8_t)key->type;
    channel->variant = key->variant;
}

/* Under the lock: other processes see a name, of a new number or of an older one. */
static void channels_show_name(struct channels *channels, uint32_t number)
{
    const struct channel *channel = &channels->entries[number];
    struct layout_entry entry = {
        .symbol_bytes = channel->symbol_bytes,
        .type = channel->type,
        .group = channel->group,
        .depth = channel->variant.depth,
        .bar = channel->variant.bar,
        .interval_ms = channel->variant.interval_ms,
        .first_seq = channel->first_seq,
    };
    static_assert(sizeof entry.symbol == MD_SYMBOL_BYTES_MAX, "the longest symbol has room");
    memcpy(entry.symbol, channel->symbol, sizeof entry.symbol);
    if (channels->control == NULL) {
        return;
    }
    if (number < atomic_load_explicit(&channels->count, memory_order_relaxed)) {
        control_rename(channels->control, number, &entry);
    } else {
        control_append(channels->control, number, &entry,
                       channel->group == CHANNELS_VARIANTS_GROUP);
    }
}

/* Under the lock, since the slot was found free. */
static uint32_t channels_make_feed(struct channels *channels, uint32_t slot,
                                   const struct channels_key *key)
{
    uint32_t number = channels_make(channels, (uint8_t)key->type, 0);
    if (number == CHANNEL_NONE) {
        return CHANNEL_NONE;
    }
    channels_set_name(&channels->entries[number], key);
    channels_show_name(channels, number);
    /* The count first: whoever finds the slot may rely on it. */
    atomic_store_explicit(&channels->count, number + 1, memory_order_release);
    atomic_store_explicit(&channels->slots[slot], number + 1, memory_order_release);
    channel_order_insert(&channels->order, number, channels_key_hash(channels, key) >> 20);
    return number;
}

uint32_t channels_open(struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    struct channels_key key = {.symbol = symbol, .symbol_bytes = symbol_bytes, .type = type};
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
    uint32_t number = known != 0 ? known - 1 : channels_make_feed(channels, slot, &key);
    pthread_mutex_unlock(&channels->lock);
    return number;
}

uint32_t channels_find(const struct channels *channels, const char *symbol, size_t symbol_bytes,
                       enum md_type type)
{
    struct channels_key key = {.symbol = symbol, .symbol_bytes = symbol_bytes, .type = type};
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return CHANNEL_NONE;
    }
    uint32_t slot = channels_slot(channels, &key);
    uint32_t entry = atomic_load_explicit(&channels->slots[slot], memory_order_acquire);
    return entry == 0 ? CHANNEL_NONE : entry - 1;
}

/* ---- Names of variants ---- */

static uint16_t *channels_chain(struct channels *channels, const struct channels_key *key)
{
    return &channels->chains[channels_key_hash(channels, key) & (CHANNELS_VARIANTS_MAX - 1)];
}

/* Under the lock. 1 + its variant_index; 0: there is none of that name. */
static uint16_t channels_find_name(struct channels *channels, const struct channels_key *key)
{
    uint16_t link = *channels_chain(channels, key);
    while (link != 0 && !channels_is(&channels->entries[channels->variants[link - 1]], key)) {
        link = channels->chain_next[link - 1];
    }
    return link;
}

/* Under the lock: a number without a name, the one that was freed first. */
static uint32_t channels_take_free(struct channels *channels)
{
    assert_always(channels->free_count > 0);
    uint16_t index = channels->free[channels->free_first % CHANNELS_VARIANTS_MAX];
    channels->free_first++;
    channels->free_count--;
    return channels->variants[index];
}

/* Under the lock: a number for a name, a new one while there are any. */
static uint32_t channels_make_variant(struct channels *channels)
{
    uint32_t variants = atomic_load_explicit(&channels->variant_count, memory_order_relaxed);
    if (variants == CHANNELS_VARIANTS_MAX) {
        return channels->free_count > 0 ? channels_take_free(channels) : CHANNEL_NONE;
    }
    uint32_t number = channels_make(channels, CHANNELS_VARIANTS_GROUP, (uint16_t)variants);
    if (number == CHANNEL_NONE) {
        return channels->free_count > 0 ? channels_take_free(channels) : CHANNEL_NONE;
    }
    channels->variants[variants] = number;
    return number;
}

/* Under the lock: 1 + the index of a number that has the name now; 0: there is none left. */
static uint16_t channels_name_variant(struct channels *channels, const struct channels_key *key)
{
    uint32_t number = channels_make_variant(channels);
    if (number == CHANNEL_NONE) {
        return 0;
    }
    uint16_t index = channels->entries[number].variant_index;
    uint16_t *chain = channels_chain(channels, key);
    assert_always(channels->wishes[index].is_named == 0);
    assert_always(channels->wishes[index].subscriber_count == 0);
    channels_set_name(&channels->entries[number], key);
    channels_show_name(channels, number);
    if (number == atomic_load_explicit(&channels->count, memory_order_relaxed)) {
        atomic_store_explicit(&channels->count, number + 1, memory_order_release);
        atomic_store_explicit(&channels->variant_count, index + 1U, memory_order_release);
    }
    channels->chain_next[index] = *chain;
    *chain = (uint16_t)(index + 1);
    atomic_store_explicit(&channels->wishes[index].asks_snapshot, 0, memory_order_relaxed);
    atomic_store_explicit(&channels->wishes[index].is_named, 1, memory_order_release);
    return (uint16_t)(index + 1);
}

uint32_t channels_hold_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant)
{
    struct channels_key key = {symbol, symbol_bytes, type, variant};
    uint32_t number = CHANNEL_NONE;
    assert_always((unsigned)type < MD_TYPE_COUNT);
    assert_always(!variant_is_none(variant));
    if (!channels_is_symbol(symbol, symbol_bytes)) {
        return CHANNEL_NONE;
    }
    pthread_mutex_lock(&channels->lock);
    uint16_t link = channels_find_name(channels, &key);
    link = link == 0 ? channels_name_variant(channels, &key) : link;
    if (link != 0) {
        number = channels->variants[link - 1];
        channels_count_subscriber(channels, number, 1);
    }
    pthread_mutex_unlock(&channels->lock);
    return number;
}

uint32_t channels_find_variant(struct channels *channels, const char *symbol, size_t symbol_bytes,
                               enum md_type type, struct variant variant)
{
    struct channels_key key = {symbol, symbol_bytes, type, variant};
    if (variant_is_none(variant)) {
        return channels_find(channels, symbol, symbol_bytes, type);
    }
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX) {
        return CHANNEL_NONE;
    }
    pthread_mutex_lock(&channels->lock);
    uint16_t link = channels_find_name(channels, &key);
    uint32_t number = link == 0 ? CHANNEL_NONE : channels->variants[link - 1];
    pthread_mutex_unlock(&channels->lock);
    return number;
}

bool channels_hold(struct channels *channels, uint32_t number)
{
    const struct channel *channel = channels_get(channels, number);
    if (channel->group != CHANNELS_VARIANTS_GROUP) {
        return true;
    }
    pthread_mutex_lock(&channels->lock);
    bool is_named = channels->wishes[channel->variant_index].is_named != 0;
    if (is_named) {
        channels_count_subscriber(channels, number, 1);
    }
    pthread_mutex_unlock(&channels->lock);
    return is_named;
}

void channels_release(struct channels *channels, uint32_t number)
{
    channels_count_subscriber(channels, number, -1);
}

/* Under the lock. */
static void channels_unlink(struct channels *channels, uint16_t index)
{
    const struct channel *channel = &channels->entries[channels->variants[index]];
    struct channels_key key = {
        channel->symbol,
        channel->symbol_bytes,
        (enum md_type)channel->type,
        channel->variant,
    };
    uint16_t *link = channels_chain(channels, &key);
    while (*link != index + 1) {
        assert_always(*link != 0);
        link = &channels->chain_next[*link - 1];
    }
    *link = channels->chain_next[index];
}

bool channels_unname(struct channels *channels, uint32_t variant_index)
{
    struct channel_wish *wish = channels_wish(channels, variant_index);
    pthread_mutex_lock(&channels->lock);
    assert_always(wish->is_named != 0);
    /* Acquire: what the last holder did comes before what the number is used for next. */
    bool is_free = atomic_load_explicit(&wish->subscriber_count, memory_order_acquire) == 0;
    if (is_free) {
        channels_unlink(channels, (uint16_t)variant_index);
        atomic_store_explicit(&wish->is_named, 0, memory_order_relaxed);
    }
    pthread_mutex_unlock(&channels->lock);
    return is_free;
}

void channels_reuse(struct channels *channels, uint32_t variant_index, uint64_t first_seq)
{
    assert_always(variant_index < channels_variant_count(channels));
    pthread_mutex_lock(&channels->lock);
    assert_always(channels->wishes[variant_index].is_named == 0);
    assert_always(channels->free_count < CHANNELS_VARIANTS_MAX);
    channels->entries[channels->variants[variant_index]].first_seq = first_seq;
    channels->free[(channels->free_first + channels->free_count) % CHANNELS_VARIANTS_MAX] =
        (uint16_t)variant_index;
    channels->free_count++;
    pthread_mutex_unlock(&channels->lock);
}

/* ---- Wishes ---- */

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
    uint32_t before =
        atomic_fetch_add_explicit(&wish->subscriber_count, (uint32_t)change, memory_order_release);
    assert_always(change > 0 || before > 0);
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
