#include "src/market/channel_order.h"

#include <string.h>

#include "codec/base/check.h"
#include "src/market/channels.h"

static_assert(CHANNEL_NONE + 1U == 0, "a link of 0 is no channel");

/* What a search looks for: the first channel that does not come before it. */
struct channel_order_place {
    const char *symbol;
    unsigned type;
};

/* Symbols have no zero bytes, so that this is byte order. */
static bool channel_order_is_before(const struct channel *channel, struct channel_order_place place)
{
    int order = strcmp(channel->symbol, place.symbol);
    return order < 0 || (order == 0 && channel->type < place.type);
}

/* The last links before the place, of each level. Returns the link of the lowest. */
static uint32_t channel_order_find(const struct channel_order *order,
                                   struct channel_order_place place,
                                   const struct channel_order_links *before_out[])
{
    const struct channel_order_links *links = &order->first;
    uint32_t link = 0;
    for (unsigned level = CHANNEL_ORDER_LEVELS; level-- > 0;) {
        link = atomic_load_explicit(&links->next[level], memory_order_acquire);
        while (link != 0 && channel_order_is_before(&order->entries[link - 1], place)) {
            links = &order->links[link - 1];
            link = atomic_load_explicit(&links->next[level], memory_order_acquire);
        }
        before_out[level] = links;
    }
    return link;
}

void channel_order_insert(struct channel_order *order, uint32_t channel, uint32_t random)
{
    const struct channel_order_links *before[CHANNEL_ORDER_LEVELS];
    const struct channel *entry = &order->entries[channel];
    struct channel_order_links *links = &order->links[channel];
    uint32_t next =
        channel_order_find(order, (struct channel_order_place){entry->symbol, entry->type}, before);
    assert_always(next != channel + 1);
    assert_debug(entry->symbol[0] != '\0');
    /* From the lowest level up: a reader that arrives by a higher level continues by all lower
     * ones. */
    for (unsigned level = 0; level < CHANNEL_ORDER_LEVELS; level++) {
        struct channel_order_links *to = (struct channel_order_links *)before[level];
        next = atomic_load_explicit(&to->next[level], memory_order_relaxed);
        atomic_store_explicit(&links->next[level], next, memory_order_relaxed);
        atomic_store_explicit(&to->next[level], channel + 1, memory_order_release);
        if ((random & ((1U << CHANNEL_ORDER_SKIP_BITS) - 1)) != 0) {
            break;
        }
        random >>= CHANNEL_ORDER_SKIP_BITS;
    }
}

uint32_t channel_order_seek(const struct channel_order *order, const char *symbol, bool is_after)
{
    const struct channel_order_links *before[CHANNEL_ORDER_LEVELS];
    unsigned type = is_after ? MD_TYPE_COUNT : 0;
    return channel_order_find(order, (struct channel_order_place){symbol, type}, before) - 1U;
}

uint32_t channel_order_next(const struct channel_order *order, uint32_t channel)
{
    assert_always(channel < CHANNELS_MAX);
    return atomic_load_explicit(&order->links[channel].next[0], memory_order_acquire) - 1U;
}
