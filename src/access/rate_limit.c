#include "src/access/rate_limit.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/base/units.h"

#define RATE_WAYS 16 /* entries of a set; the last one is shared */
#define RATE_SETS (RATE_TABLE_ENTRIES / RATE_WAYS)
#define RATE_CLAIMED UINT32_C(0x80000000) /* in held: it changes hands */
#define RATE_TRIES_MAX 64

static_assert(RATE_TABLE_ENTRIES % RATE_WAYS == 0, "sets are whole");
static_assert(RATE_NONE >= RATE_TABLE_ENTRIES, "no entry is RATE_NONE");

struct rate_entry {
    _Atomic uint64_t key;     /* 0: free since the start */
    _Atomic uint64_t full_ns; /* of the bucket */
    _Atomic uint32_t held;
};

static_assert(sizeof(struct rate_entry) == 24, "as rate_limit.h says");

struct rate_table {
    struct keyed_hash hash;
    uint32_t owner_count; /* main's */
    struct rate_entry entries[RATE_TABLE_ENTRIES];
};

struct rate rate_per_second(uint32_t count)
{
    assert_always(count > 0);
    assert_always(count <= NS_PER_SECOND); /* An interval of 0 would be no limit. */
    return (struct rate){.interval_ns = NS_PER_SECOND / count, .burst = 2 * count};
}

/* 0, and the new *full_ns; or the time to wait. */
static uint64_t rate_next(const struct rate *rate, uint64_t *full_ns, uint64_t now_ns)
{
    assert_always(rate->burst > 0);
    uint64_t begin_ns = *full_ns > now_ns ? *full_ns : now_ns;
    uint64_t room_ns = (uint64_t)(rate->burst - 1) * rate->interval_ns;
    if (begin_ns - now_ns > room_ns) {
        return begin_ns - now_ns - room_ns;
    }
    *full_ns = begin_ns + rate->interval_ns;
    return 0;
}

uint64_t rate_take(const struct rate *rate, uint64_t *full_ns, uint64_t now_ns)
{
    return rate->interval_ns == 0 ? 0 : rate_next(rate, full_ns, now_ns);
}

/* ---- The table ---- */

int rate_table_create(struct rate_table **table_out, const struct keyed_hash *hash)
{
    struct rate_table *table = calloc(1, sizeof *table);
    if (table == NULL) {
        return -ENOMEM;
    }
    table->hash = *hash;
    table->owner_count = 1;
    *table_out = table;
    return 0;
}

struct rate_table *rate_table_share(struct rate_table *table)
{
    if (table != NULL) {
        table->owner_count++;
    }
    return table;
}

void rate_table_destroy(struct rate_table *table)
{
    if (table != NULL) {
        assert_always(table->owner_count > 0);
        if (--table->owner_count == 0) {
            free(table);
        }
    }
}

/* Never 0. What an IPv4 address becomes, no /64 of a host begins with. */
static uint64_t rate_key(const struct ip_address *address)
{
    if (ip_address_is_v4(address)) {
        return UINT64_C(0xffff) << 32 | bytes_load_be32(address->bytes + 12);
    }
    uint64_t prefix = bytes_load_be64(address->bytes);
    return prefix != 0 ? prefix : UINT64_MAX;
}

static uint32_t rate_first_entry(const struct rate_table *table, uint64_t key)
{
    return (uint32_t)(keyed_hash_word(&table->hash, key) % RATE_SETS) * RATE_WAYS;
}

static bool rate_is_idle(const struct rate_entry *entry, uint64_t now_ns)
{
    return atomic_load(&entry->held) == 0 && atomic_load(&entry->full_ns) <= now_ns;
}

/* Holds one of the entry, if it is still the key's. It cannot change hands while it is held. */
static bool rate_hold(struct rate_entry *entry, uint64_t key)
{
    uint32_t held = atomic_fetch_add(&entry->held, 1);
    if (held < RATE_CLAIMED && atomic_load(&entry->key) == key) {
        return true;
    }
    atomic_fetch_sub(&entry->held, 1);
    return false;
}

/* Gives an idle entry to the key. */
static bool rate_claim(struct rate_entry *entry, uint64_t key, uint64_t now_ns)
{
    uint32_t nothing = 0;
    if (!atomic_compare_exchange_strong(&entry->held, &nothing, RATE_CLAIMED)) {
        return false;
    }
    bool is_idle = atomic_load(&entry->full_ns) <= now_ns;
    if (is_idle) {
        atomic_store(&entry->key, key);
    }
    atomic_fetch_sub(&entry->held, RATE_CLAIMED);
    return is_idle;
}

/* The entry of the key, held; the shared one where there is no room. Two cores may give the same
 * new address two entries: then it has twice its limit until one is idle, no more. */
static uint32_t rate_find(struct rate_table *table, uint64_t key, uint64_t now_ns)
{
    uint32_t first = rate_first_entry(table, key);
    assert_always(first <= RATE_TABLE_ENTRIES - RATE_WAYS);
    assert_debug(key != 0); /* It would own every free entry. */
    for (int tries = 0; tries < RATE_TRIES_MAX; tries++) {
        uint32_t idle = RATE_NONE;
        for (uint32_t i = first; i < first + RATE_WAYS - 1; i++) {
            struct rate_entry *entry = &table->entries[i];
            if (atomic_load(&entry->key) == key && rate_hold(entry, key)) {
                return i;
            }
            idle = idle == RATE_NONE && rate_is_idle(entry, now_ns) ? i : idle;
        }
        if (idle == RATE_NONE) {
            break;
        }
        (void)rate_claim(&table->entries[idle], key, now_ns);
    }
    uint32_t shared = first + RATE_WAYS - 1;
    atomic_fetch_add(&table->entries[shared].held, 1);
    return shared;
}

static uint64_t rate_take_shared(struct rate_entry *entry, const struct rate *rate, uint64_t now_ns)
{
    uint64_t full_ns = atomic_load(&entry->full_ns);
    uint64_t next_ns;
    do {
        next_ns = full_ns;
        uint64_t wait_ns = rate_take(rate, &next_ns, now_ns);
        if (wait_ns > 0) {
            return wait_ns;
        }
    } while (!atomic_compare_exchange_weak(&entry->full_ns, &full_ns, next_ns));
    return 0;
}

enum rate_verdict rate_table_take(struct rate_table *table, const struct ip_address *address,
                                  const struct rate_limits *limits, uint64_t now_ns,
                                  uint32_t *entry_out, uint64_t *wait_ns_out)
{
    uint32_t found = rate_find(table, rate_key(address), now_ns);
    struct rate_entry *entry = &table->entries[found];
    enum rate_verdict verdict = RATE_OK;
    *wait_ns_out = rate_take_shared(entry, &limits->rate, now_ns);
    if (*wait_ns_out > 0) {
        verdict = RATE_TOO_FAST;
    } else if ((atomic_load(&entry->held) & ~RATE_CLAIMED) > limits->held_max) {
        verdict = RATE_TOO_MANY;
    }
    assert_debug((verdict == RATE_TOO_FAST) == (*wait_ns_out > 0));
    *entry_out = found;
    if (verdict != RATE_OK) {
        rate_table_release(table, found);
        *entry_out = RATE_NONE;
    }
    return verdict;
}

uint32_t rate_table_hold(struct rate_table *table, const struct ip_address *address,
                         uint64_t now_ns)
{
    return rate_find(table, rate_key(address), now_ns);
}

void rate_table_release(struct rate_table *table, uint32_t entry)
{
    if (entry != RATE_NONE) {
        assert_always(entry < RATE_TABLE_ENTRIES);
        uint32_t held = atomic_fetch_sub(&table->entries[entry].held, 1);
        assert_always((held & ~RATE_CLAIMED) > 0);
    }
}

void rate_table_charge(struct rate_table *table, uint32_t entry, const struct rate *rate,
                       uint32_t count, uint64_t now_ns)
{
    assert_always(entry < RATE_TABLE_ENTRIES);
    _Atomic uint64_t *full_ns = &table->entries[entry].full_ns;
    uint64_t before_ns = atomic_load(full_ns);
    uint64_t after_ns;
    do {
        after_ns = (before_ns > now_ns ? before_ns : now_ns) + count * rate->interval_ns;
    } while (!atomic_compare_exchange_weak(full_ns, &before_ns, after_ns));
}
