/*
 * channel_order: the channels of feeds, in the byte order of their symbols and then by type.
 *
 * A skip list: each channel has a link to the next one, every sixteenth a second link that skips
 * about sixteen, and so on. Which ones is decided by a keyed hash, so that nobody can choose
 * symbols that make it slow. A search among 65 536 channels compares about 40 symbols.
 *
 * Owner    channels.c.
 * Threads  insert: the thread that makes a channel, one at a time. The others: any, without a lock.
 *          An entry never leaves the list.
 * Memory   16 bytes for each channel, touched as channels appear.
 */
#ifndef RINGCAST_SRC_CHANNEL_ORDER_H
#define RINGCAST_SRC_CHANNEL_ORDER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define CHANNEL_ORDER_LEVELS 4
#define CHANNEL_ORDER_SKIP_BITS                                                                    \
    4 /* A link of a level skips this many bits' worth of the one below. */

struct channel;

/* A link is 1 + a channel; 0: the end. */
struct channel_order_links {
    _Atomic uint32_t next[CHANNEL_ORDER_LEVELS];
};

struct channel_order {
    const struct channel *entries;     /* by channel */
    struct channel_order_links *links; /* by channel */
    struct channel_order_links first;
};

/* The channel's name is set. random: what its level is drawn from. */
void channel_order_insert(struct channel_order *order, uint32_t channel, uint32_t random);

/* The first channel whose symbol is symbol or comes after it (is_after: comes after it), in byte
 * order; CHANNEL_NONE: there is none. */
uint32_t channel_order_seek(const struct channel_order *order, const char *symbol, bool is_after);
/* The one that follows; CHANNEL_NONE: it is the last. */
uint32_t channel_order_next(const struct channel_order *order, uint32_t channel);

#endif
