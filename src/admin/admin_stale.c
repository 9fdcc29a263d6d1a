#include "src/admin/admin_stale.h"

#include "codec/base/check.h"
#include "codec/base/clock.h"
#include "src/market/staleness.h"

#define ADMIN_STALE_NAMES 10

static_assert(FEED_TABLE_FEEDS_MAX == STALENESS_FEEDS_MAX, "a count for each feed");

/* symbols: of some that are stale. */
static struct staleness_counts admin_stale_count(const struct metrics_options *source,
                                                 uint32_t symbols[ADMIN_STALE_NAMES])
{
    struct staleness_counts counts = {0};
    if (source->staleness != NULL) {
        staleness_count(source->staleness, clock_ns(CLOCK_MONOTONIC), &counts, symbols,
                        ADMIN_STALE_NAMES);
    }
    return counts;
}

bool admin_stale_is_too_much(const struct metrics_options *source)
{
    uint32_t symbols[ADMIN_STALE_NAMES];
    if (source->ready_stale_percent == 0) {
        return false;
    }
    struct staleness_counts counts = admin_stale_count(source, symbols);
    return counts.stale > 0 &&
           UINT64_C(100) * counts.stale >= (uint64_t)source->ready_stale_percent * counts.open;
}

json_t *admin_stale_json(const struct metrics_options *source)
{
    uint32_t symbols[ADMIN_STALE_NAMES];
    struct staleness_counts counts = admin_stale_count(source, symbols);
    json_t *names = json_array();
    for (uint32_t i = 0; i < counts.stale && i < ADMIN_STALE_NAMES; i++) {
        const struct channel *symbol =
            channels_get(source->staleness->options.channels, symbols[i]);
        json_array_append_new(names, json_string(symbol->symbol));
    }
    return json_pack("{s:I, s:I, s:I, s:o}", "symbols", (json_int_t)counts.symbols, "open",
                     (json_int_t)counts.open, "stale", (json_int_t)counts.stale, "names", names);
}

static void admin_stale_write_feeds(FILE *out, const struct feed_table *table,
                                    const struct staleness_counts *counts)
{
    static const char name[] = "ringcast_feed_stale_symbols";
    fprintf(out, "# HELP %s Stale symbols, by the feed of their last tick.\n# TYPE %s gauge\n",
            name, name);
    for (uint32_t i = 0; i < feed_table_count(table); i++) {
        struct feed_table_view feed;
        feed_table_read(table, i, &feed);
        fprintf(out, "%s{feed=\"%s\"} %u\n", name, feed.name, counts->stale_by_feed[i]);
    }
}

static void admin_stale_write_gauge(FILE *out, const char *name, const char *help, uint32_t value)
{
    fprintf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %u\n", name, help, name, name, value);
}

void admin_stale_write_prometheus(const struct metrics_options *source, FILE *out)
{
    uint32_t symbols[ADMIN_STALE_NAMES];
    struct staleness_counts counts = admin_stale_count(source, symbols);
    admin_stale_write_gauge(out, "ringcast_symbols",
                            "Symbols that feeds have named, with ticks of any type but status.",
                            counts.symbols);
    admin_stale_write_gauge(out, "ringcast_open_symbols",
                            "Symbols whose market is open (--market-hours).", counts.open);
    admin_stale_write_gauge(out, "ringcast_stale_symbols",
                            "Symbols of open markets that have had no tick for --stale-after, or "
                            "whose source is gone.",
                            counts.stale);
    admin_stale_write_feeds(out, source->feed_table, &counts);
}
