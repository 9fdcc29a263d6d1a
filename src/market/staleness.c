#include "src/market/staleness.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "codec/base/memory.h"
#include "src/base/market_hours.h"

static_assert(MARKET_HOURS_MAX < UINT8_MAX, "a byte holds a market");
static_assert(STALENESS_FEEDS_MAX <= UINT8_MAX, "a byte holds a feed");

static int staleness_load_hours(struct staleness *staleness, char *error_out, size_t error_bytes)
{
    char words[MARKET_HOURS_ERROR_BYTES_MAX];
    const char *path = staleness->options.market_hours_path;
    int error = path == NULL ? 0 : market_hours_load(&staleness->hours, path, words);
    if (error < 0) {
        snprintf(error_out, error_bytes, "--market-hours: %s", words);
    }
    return error;
}

static bool staleness_map(struct staleness *staleness)
{
    uint32_t market_count = staleness->hours == NULL ? 0 : market_hours_count(staleness->hours);
    staleness->ticks = memory_map(CHANNELS_MAX * sizeof *staleness->ticks, MAP_NORESERVE);
    staleness->firsts = memory_map(CHANNELS_MAX * sizeof *staleness->firsts, MAP_NORESERVE);
    staleness->markets = memory_map(CHANNELS_MAX * sizeof *staleness->markets, MAP_NORESERVE);
    staleness->opened_ns = calloc(1 + market_count, sizeof *staleness->opened_ns);
    return staleness->ticks != NULL && staleness->firsts != NULL && staleness->markets != NULL &&
           staleness->opened_ns != NULL;
}

int staleness_create(struct staleness **staleness_out, const struct staleness_options *options,
                     char *error_out, size_t error_bytes)
{
    struct staleness *staleness = calloc(1, sizeof *staleness);
    snprintf(error_out, error_bytes, "--stale-after: no memory for the table of last ticks");
    if (staleness == NULL) {
        return -ENOMEM;
    }
    staleness->options = *options;
    int error = staleness_load_hours(staleness, error_out, error_bytes);
    if (error == 0 && !staleness_map(staleness)) {
        error = -ENOMEM;
    }
    if (error < 0) {
        staleness_destroy(staleness);
        return error;
    }
    atomic_store(&staleness->opened_ns[0], 1);
    *staleness_out = staleness;
    return 0;
}

void staleness_set_after(struct staleness *staleness, uint64_t after_ns)
{
    atomic_store_explicit(&staleness->options.after_ns, after_ns, memory_order_relaxed);
}

void staleness_destroy(struct staleness *staleness)
{
    memory_unmap(staleness->ticks, CHANNELS_MAX * sizeof *staleness->ticks);
    memory_unmap(staleness->firsts, CHANNELS_MAX * sizeof *staleness->firsts);
    memory_unmap(staleness->markets, CHANNELS_MAX * sizeof *staleness->markets);
    free(staleness->opened_ns);
    market_hours_destroy(staleness->hours);
    free(staleness);
}

/* ---- What the publisher notes ---- */

static uint32_t staleness_first(const struct staleness *staleness, uint32_t channel)
{
    assert_always(channel < CHANNELS_MAX);
    return atomic_load_explicit(&staleness->firsts[channel], memory_order_acquire);
}

uint32_t staleness_symbol(const struct staleness *staleness, uint32_t channel)
{
    uint32_t known = staleness_first(staleness, channel);
    const struct channel *entry = channels_get(staleness->options.channels, channel);
    if (known != 0) {
        return known - 1;
    }
    for (unsigned type = 0; type < MD_TYPE_COUNT; type++) {
        uint32_t other = type == MD_STATUS
                             ? CHANNEL_NONE
                             : channels_find(staleness->options.channels, entry->symbol,
                                             entry->symbol_bytes, (enum md_type)type);
        uint32_t first = other == CHANNEL_NONE ? 0 : staleness_first(staleness, other);
        if (first != 0) {
            return first - 1;
        }
    }
    return CHANNEL_NONE;
}

static uint8_t staleness_market(const struct staleness *staleness, const struct channel *channel)
{
    const struct market_hours *hours = staleness->hours;
    uint32_t market = hours == NULL
                          ? MARKET_HOURS_NONE
                          : market_hours_find(hours, channel->symbol, channel->symbol_bytes);
    return market == MARKET_HOURS_NONE ? 0 : (uint8_t)(1 + market);
}

void staleness_on_channel(struct staleness *staleness, uint32_t channel, uint32_t feed,
                          uint64_t now_ns)
{
    const struct channel *entry = channels_get(staleness->options.channels, channel);
    assert_always(feed < STALENESS_FEEDS_MAX);
    assert_always(entry->group != CHANNELS_VARIANTS_GROUP);
    if (entry->type == MD_STATUS || staleness_first(staleness, channel) != 0) {
        return;
    }
    uint32_t symbol = staleness_symbol(staleness, channel);
    if (symbol == CHANNEL_NONE) {
        symbol = channel;
        staleness->markets[symbol] = staleness_market(staleness, entry);
        atomic_store_explicit(&staleness->ticks[symbol],
                              (now_ns & STALENESS_TIME_MASK) | feed << STALENESS_FEED_SHIFT |
                                  STALENESS_KNOWN,
                              memory_order_release);
    }
    atomic_store_explicit(&staleness->firsts[channel], 1 + symbol, memory_order_release);
}

void staleness_on_silence(struct staleness *staleness, uint32_t channel)
{
    uint32_t first = staleness_first(staleness, channel);
    if (first != 0) {
        atomic_store_explicit(&staleness->has_silence, true, memory_order_relaxed);
        _Atomic uint64_t *tick = &staleness->ticks[first - 1];
        uint64_t before = atomic_load_explicit(tick, memory_order_relaxed);
        atomic_store_explicit(tick, before | STALENESS_SILENT, memory_order_relaxed);
    }
}

/* ---- What readers see ---- */

/* opened_ns: of the symbol's market; 0: it is closed. */
static bool staleness_judge(const struct staleness *staleness, uint64_t tick, uint64_t opened_ns,
                            uint64_t now_ns)
{
    uint64_t since_ns = tick & STALENESS_TIME_MASK;
    uint64_t after_ns = staleness->options.after_ns;
    since_ns = since_ns > opened_ns ? since_ns : opened_ns;
    if (opened_ns == 0 || (tick & STALENESS_KNOWN) == 0) {
        return false;
    }
    return (tick & STALENESS_SILENT) != 0 ||
           (after_ns != 0 && now_ns > since_ns && now_ns - since_ns >= after_ns);
}

static uint64_t staleness_opened_ns(const struct staleness *staleness, uint32_t symbol)
{
    return atomic_load_explicit(&staleness->opened_ns[staleness->markets[symbol]],
                                memory_order_relaxed);
}

bool staleness_is_stale(const struct staleness *staleness, uint32_t symbol, uint64_t now_ns)
{
    assert_always(symbol < CHANNELS_MAX);
    uint64_t tick = atomic_load_explicit(&staleness->ticks[symbol], memory_order_acquire);
    return tick != 0 &&
           staleness_judge(staleness, tick, staleness_opened_ns(staleness, symbol), now_ns);
}

void staleness_count(const struct staleness *staleness, uint64_t now_ns,
                     struct staleness_counts *counts_out, uint32_t *first_out, uint32_t first_max)
{
    struct staleness_counts counts = {0};
    uint32_t channel_count = channels_count(staleness->options.channels);
    for (uint32_t i = 0; i < channel_count; i++) {
        uint64_t tick = atomic_load_explicit(&staleness->ticks[i], memory_order_acquire);
        if (tick == 0) {
            continue;
        }
        uint64_t opened_ns = staleness_opened_ns(staleness, i);
        counts.symbols++;
        counts.open += opened_ns != 0;
        if (!staleness_judge(staleness, tick, opened_ns, now_ns)) {
            continue;
        }
        uint32_t feed = (tick >> STALENESS_FEED_SHIFT) & 0xff;
        assert_always(feed < STALENESS_FEEDS_MAX);
        counts.stale_by_feed[feed]++;
        if (counts.stale < first_max) {
            first_out[counts.stale] = i;
        }
        counts.stale++;
    }
    assert_debug(counts.stale <= counts.open);
    *counts_out = counts;
}
