#include "src/market/staleness_watch.h"

#include <stdio.h>
#include <string.h>

#include "codec/base/units.h"
#include "src/base/log.h"
#include "src/base/market_hours.h"
#include "src/market/staleness.h"

#define STALENESS_WATCH_LOG_NS (60 * NS_PER_SECOND) /* between two lines */
#define STALENESS_WATCH_LOG_NAMES 5
#define STALENESS_WATCH_NAMES_BYTES_MAX (STALENESS_WATCH_LOG_NAMES * (MD_SYMBOL_BYTES_MAX + 2) + 1)

/* main notices an opening up to a second late, so symbols become stale later, never earlier. */
static void staleness_watch_markets(struct staleness *staleness, uint64_t now_ns, int64_t wall_s)
{
    const struct market_hours *hours = staleness->hours;
    uint32_t market_count = hours == NULL ? 0 : market_hours_count(hours);
    for (uint32_t i = 0; i < market_count; i++) {
        _Atomic uint64_t *opened_ns = &staleness->opened_ns[1 + i];
        bool was_open = atomic_load_explicit(opened_ns, memory_order_relaxed) != 0;
        bool is_open = market_hours_is_open(hours, i, wall_s);
        if (is_open != was_open) {
            atomic_store_explicit(opened_ns, is_open ? now_ns : 0, memory_order_relaxed);
        }
    }
}

static void staleness_watch_log(const struct staleness *staleness,
                                const struct staleness_counts *counts, const uint32_t *symbols)
{
    char names[STALENESS_WATCH_NAMES_BYTES_MAX] = "";
    char reason[64] = "the source is gone";
    for (uint32_t i = 0; i < counts->stale && i < STALENESS_WATCH_LOG_NAMES; i++) {
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", i == 0 ? "" : ", ",
                 channels_get(staleness->options.channels, symbols[i])->symbol);
    }
    if (staleness->options.after_ns != 0) {
        snprintf(reason, sizeof reason, "no tick for %g s, or the source is gone",
                 (double)staleness->options.after_ns / (double)NS_PER_SECOND);
    }
    log_write(LOG_LEVEL_WARNING, "stale: %u of %u symbols (%s): %s%s", counts->stale,
              counts->symbols, reason, names,
              counts->stale > STALENESS_WATCH_LOG_NAMES ? " and others" : "");
}

/* Again when there are twice as many; at most a line a minute. */
static void staleness_watch_report(struct staleness *staleness, uint64_t now_ns,
                                   const struct staleness_counts *counts, const uint32_t *symbols)
{
    bool is_new = counts->stale > 0 && counts->stale >= 2 * staleness->logged_count;
    bool is_over = counts->stale == 0 && staleness->logged_count > 0;
    bool may_write =
        staleness->logged_ns == 0 || now_ns - staleness->logged_ns >= STALENESS_WATCH_LOG_NS;
    if ((is_new || is_over) && may_write) {
        staleness->logged_ns = now_ns;
        staleness->logged_count = counts->stale;
        if (is_over) {
            log_write(LOG_LEVEL_INFO, "stale: no symbol is stale any more");
        } else {
            staleness_watch_log(staleness, counts, symbols);
        }
    } else if (counts->stale > 0 && counts->stale < staleness->logged_count) {
        staleness->logged_count = counts->stale;
    }
}

void staleness_watch(struct staleness *staleness, uint64_t now_ns, int64_t wall_s)
{
    struct staleness_counts counts;
    uint32_t symbols[STALENESS_WATCH_LOG_NAMES];
    staleness_watch_markets(staleness, now_ns, wall_s);
    staleness_count(staleness, now_ns, &counts, symbols, STALENESS_WATCH_LOG_NAMES);
    staleness_watch_report(staleness, now_ns, &counts, symbols);
}
