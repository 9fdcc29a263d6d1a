#include "ring/fan/subs.h"

#include <errno.h>
#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/base/memory.h"

#define SUBS_HASH_START 1024
#define SUB_LIST_START 4
#define SUBS_PROBES_MAX 256 /* Chance alone does not come near it. */

int subs_init(struct subs *subs, uint32_t channel_count_max, const struct keyed_hash *key)
{
    *subs = (struct subs){.fresh = 1, .channel_count_max = channel_count_max};
    for (uint32_t i = 0; i < 3; i++) {
        subs->factors[i] = keyed_hash_word(key, i);
    }
    subs->records = memory_map(SUBS_MAX * sizeof *subs->records, MAP_NORESERVE);
    subs->channels = memory_map(channel_count_max * sizeof *subs->channels, MAP_NORESERVE);
    subs->hash = calloc(SUBS_HASH_START, sizeof *subs->hash);
    subs->hash_mask = SUBS_HASH_START - 1;
    if (subs->records == NULL || subs->channels == NULL || subs->hash == NULL) {
        subs_deinit(subs);
        return -ENOMEM;
    }
    return 0;
}

void subs_deinit(struct subs *subs)
{
    if (subs->channels != NULL) {
        for (uint32_t channel = 0; channel < subs->channel_count_max; channel++) {
            free(subs->channels[channel].conns);
        }
        munmap(subs->channels, subs->channel_count_max * sizeof *subs->channels);
    }
    if (subs->records != NULL) {
        munmap(subs->records, SUBS_MAX * sizeof *subs->records);
    }
    free(subs->hash);
}

/* It is computed for each frame that is checked for a slow client, so it is not SipHash. The upper
 * half of the sum is strongly universal (multiply-add-shift, Dietzfelbinger 1996): the places of
 * any two pairs that a client chooses without knowing the factors are independent. The rest is a
 * bijection (that of MurmurHash3), without which consecutive channels would lie in steps of one
 * size. */
static uint32_t subs_hash(const struct subs *subs, uint32_t conn, uint32_t channel)
{
    const uint64_t *factors = subs->factors;
    uint32_t hash = (uint32_t)((factors[0] + factors[1] * conn + factors[2] * channel) >> 32);
    hash = (hash ^ hash >> 16) * UINT32_C(0x85ebca6b);
    hash = (hash ^ hash >> 13) * UINT32_C(0xc2b2ae35);
    return (hash ^ hash >> 16) & subs->hash_mask;
}

uint32_t subs_find(const struct subs *subs, uint32_t conn, uint32_t channel)
{
    /* Ends: the hash is never more than half full. */
    uint32_t home = subs_hash(subs, conn, channel);
    for (uint32_t at = home;; at = (at + 1) & subs->hash_mask) {
        uint32_t sub = subs->hash[at];
        assert_debug(((at - home) & subs->hash_mask) < SUBS_PROBES_MAX);
        if (sub == SUB_NONE ||
            (subs->records[sub].conn == conn && subs->records[sub].channel == channel)) {
            return sub;
        }
    }
}

static void subs_hash_insert(struct subs *subs, uint32_t sub)
{
    const struct sub *record = &subs->records[sub];
    uint32_t at = subs_hash(subs, record->conn, record->channel);
    while (subs->hash[at] != SUB_NONE) {
        at = (at + 1) & subs->hash_mask;
    }
    subs->hash[at] = sub;
}

static int subs_hash_grow(struct subs *subs)
{
    uint32_t old_count = subs->hash_mask + 1;
    uint32_t *old_hash = subs->hash;
    uint32_t *hash = calloc((size_t)old_count * 2, sizeof *hash);
    if (hash == NULL) {
        return -ENOSPC;
    }
    subs->hash = hash;
    subs->hash_mask = old_count * 2 - 1;
    for (uint32_t at = 0; at < old_count; at++) {
        if (old_hash[at] != SUB_NONE) {
            subs_hash_insert(subs, old_hash[at]);
        }
    }
    free(old_hash);
    return 0;
}

/* Moves later entries of the run back into the hole, so that no tombstone is needed. */
static void subs_hash_remove(struct subs *subs, uint32_t sub)
{
    const struct sub *record = &subs->records[sub];
    uint32_t hole = subs_hash(subs, record->conn, record->channel);
    while (subs->hash[hole] != sub) {
        assert_always(subs->hash[hole] != SUB_NONE);
        hole = (hole + 1) & subs->hash_mask;
    }
    for (uint32_t at = (hole + 1) & subs->hash_mask; subs->hash[at] != SUB_NONE;
         at = (at + 1) & subs->hash_mask) {
        const struct sub *moved = &subs->records[subs->hash[at]];
        uint32_t home = subs_hash(subs, moved->conn, moved->channel);
        if (((at - home) & subs->hash_mask) >= ((at - hole) & subs->hash_mask)) {
            subs->hash[hole] = subs->hash[at];
            hole = at;
        }
    }
    subs->hash[hole] = SUB_NONE;
}

/* false: there is no memory, and nothing is changed. */
static bool sub_list_resize(struct sub_list *list, uint32_t capacity)
{
    assert_always(capacity >= list->count);
    uint32_t *conns = realloc(list->conns, capacity * sizeof *conns);
    if (conns != NULL) {
        list->conns = conns;
        list->capacity = capacity;
    }
    return conns != NULL;
}

int sub_list_add(struct sub_list *list, uint32_t conn, uint32_t *place_out)
{
    if (list->count == list->capacity &&
        !sub_list_resize(list, list->capacity == 0 ? SUB_LIST_START : list->capacity * 2)) {
        return -ENOSPC;
    }
    *place_out = list->count;
    list->conns[list->count++] = conn;
    return 0;
}

uint32_t sub_list_remove(struct sub_list *list, uint32_t place)
{
    uint32_t moved = UINT32_MAX;
    assert_always(place < list->count);
    list->count--;
    if (place < list->count) {
        moved = list->conns[list->count];
        list->conns[place] = moved;
    }
    if (list->capacity > SUB_LIST_START && list->count <= list->capacity / 4) {
        (void)sub_list_resize(list, list->capacity / 2);
    }
    return moved;
}

static uint32_t subs_take(struct subs *subs)
{
    uint32_t sub = subs->free_first;
    if (sub != SUB_NONE) {
        subs->free_first = subs->records[sub].conn_next;
    } else {
        sub = subs->fresh++;
    }
    subs->count++;
    return sub;
}

static void subs_give(struct subs *subs, uint32_t sub)
{
    subs->records[sub].conn_next = subs->free_first;
    subs->free_first = sub;
    subs->count--;
}

int subs_add(struct subs *subs, uint32_t conn, uint32_t channel, uint32_t *conn_first,
             uint32_t *sub_out)
{
    assert_always(channel < subs->channel_count_max);
    if (subs->free_first == SUB_NONE && subs->fresh == SUBS_MAX) {
        return -ENOSPC;
    }
    if ((subs->count + 1) * 2 > subs->hash_mask + 1 && subs_hash_grow(subs) < 0) {
        return -ENOSPC;
    }
    uint32_t sub = subs_take(subs);
    struct sub *record = &subs->records[sub];
    *record = (struct sub){.conn = conn, .channel = channel};
    int error = sub_list_add(&subs->channels[channel], conn, &record->place);
    if (error < 0) {
        subs_give(subs, sub);
        return error;
    }
    record->conn_next = *conn_first;
    if (*conn_first != SUB_NONE) {
        subs->records[*conn_first].conn_prev = sub;
    }
    *conn_first = sub;
    subs_hash_insert(subs, sub);
    *sub_out = sub;
    return 0;
}

void subs_remove(struct subs *subs, uint32_t sub, uint32_t *conn_first)
{
    struct sub *record = &subs->records[sub];
    assert_always(sub != SUB_NONE && subs->count > 0);
    assert_always(subs->channels[record->channel].conns[record->place] == record->conn);
    subs_hash_remove(subs, sub);
    uint32_t moved = sub_list_remove(&subs->channels[record->channel], record->place);
    if (moved != UINT32_MAX) {
        subs->records[subs_find(subs, moved, record->channel)].place = record->place;
    }
    if (record->conn_prev != SUB_NONE) {
        subs->records[record->conn_prev].conn_next = record->conn_next;
    } else {
        *conn_first = record->conn_next;
    }
    if (record->conn_next != SUB_NONE) {
        subs->records[record->conn_next].conn_prev = record->conn_prev;
    }
    subs_give(subs, sub);
}
