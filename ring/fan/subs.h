/*
 * subs: the subscriptions of one core.
 *
 * A subscription is found three ways: by channel (a dense array, for the fan-out), by conn (a
 * list) and by both (a hash). Clients choose the pairs, so the hash is keyed.
 *
 * Owner    A core. Threads: its own.
 * Memory   The records come from one mapping that is touched as they are used, SUBS_MAX of them;
 *          arrays and hash grow by doubling, on the control path.
 * Errors   -ENOSPC: SUBS_MAX reached, or no memory; nothing is changed.
 */
#ifndef RINGCAST_RING_SUBS_H
#define RINGCAST_RING_SUBS_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "codec/base/keyed_hash.h"

#define SUBS_MAX (4u << 20)
#define SUB_NONE 0 /* Record 0 is never used. */

struct sub {
    uint32_t conn;
    uint32_t channel;
    uint32_t conn_next; /* The conn's other subscriptions. */
    uint32_t conn_prev;
    uint32_t place; /* in the channel's array */
    uint8_t group : 4;
    uint8_t policy : 4; /* enum lag_policy */
    uint8_t tag;
    uint16_t max_lag_ms; /* 0: none */
    uint64_t next_seq;   /* What the conn is to get next; kept only while it pulls. */
    uint64_t first_seq;  /* Frames before it are not to be got again. Both bear bits of puller.h. */
};
static_assert(sizeof(struct sub) == 40, "counted per subscription");

struct sub_list {
    uint32_t *conns;
    uint32_t count;
    uint32_t capacity;
};

struct subs {
    struct sub *records;
    uint32_t fresh;
    uint32_t free_first;
    uint32_t count;
    uint64_t factors[3]; /* random */
    uint32_t *hash;      /* of record numbers, linear probing */
    uint32_t hash_mask;
    struct sub_list *channels;
    uint32_t channel_count_max;
};

int subs_init(struct subs *subs, uint32_t channel_count_max, const struct keyed_hash *key);
void subs_deinit(struct subs *subs);

/* The record's number, or SUB_NONE. */
uint32_t subs_find(const struct subs *subs, uint32_t conn, uint32_t channel);

/* conn_first: head of the conn's list, changed here. The pair must not exist yet. */
int subs_add(struct subs *subs, uint32_t conn, uint32_t channel, uint32_t *conn_first,
             uint32_t *sub_out);
void subs_remove(struct subs *subs, uint32_t sub, uint32_t *conn_first);

/* Any list: the caller keeps the place. */
int sub_list_add(struct sub_list *list, uint32_t conn, uint32_t *place_out);
/* Returns the conn that moved into the place, or UINT32_MAX. */
uint32_t sub_list_remove(struct sub_list *list, uint32_t place);

#endif
