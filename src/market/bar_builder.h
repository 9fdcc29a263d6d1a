/*
 * bar_builder: bars of one interval from the trades of one symbol.
 *
 * Owner    The publisher's derived channels. Threads: the publisher's. No clock: times are those
 *          of the trades, and the caller says when one is over.
 * Memory   The caller's struct.
 * Units    Bars begin at multiples of their interval since the Unix epoch. Prices and sums are
 *          exact (decimal_sum). A trade's time is its ts_event. Without one it is that of the last
 *          trade which had one, and what has gone by since; until one had, its ts_recv.
 *
 * A bar is closed once and final then: a trade that comes for it later is left out and counted. One
 * that is moreover BAR_LATE_NS_MAX older than the newest says that the source's clock was set, or
 * a replay began again: bars go on from there. Intervals without a trade have no bar. Volume and
 * turnover are exact or not given: one trade without a size leaves its bar without them.
 */
#ifndef RINGCAST_SRC_BAR_BUILDER_H
#define RINGCAST_SRC_BAR_BUILDER_H

#include "codec/base/units.h"
#include "codec/decimal.h"
#include "codec/md.h"

#define BAR_LATE_NS_MAX (10 * NS_PER_SECOND)

/* What a trade did. */
enum bar_event {
    BAR_CHANGED = 1, /* The open bar counts it. */
    BAR_CLOSED = 2,  /* It ended the bar before, which is handed out. */
};

struct bar_builder {
    uint64_t interval_ns;
    const char *interval; /* "1m" */

    bool is_open;
    uint64_t start_ns; /* of the open bar, */
    uint64_t floor_ns; /* which cannot be before this: 1 + the start of the last closed one */
    uint64_t newest_ns;
    uint64_t last_ns;                       /* of the last trade, in the time of the trades */
    uint64_t timed_event_ns, timed_recv_ns; /* of the last trade with ts_event; 0: none had one */
    uint64_t ts_event_ns, ts_recv_ns;       /* of the last trade in the bar */
    struct md_decimal open, high, low, close;
    struct decimal_sum volume, turnover;
    bool is_sized; /* Each trade in the bar has a size. */
    uint64_t count;
    uint64_t late_count;
};

void bar_builder_init(struct bar_builder *builder, const char *interval, uint64_t interval_ns);

/* update: a trade. Returns bits of enum bar_event; with BAR_CLOSED *closed_out is the bar. */
unsigned bar_builder_add(struct bar_builder *builder, const struct md_update *update,
                         struct md_update *closed_out);

/* The open bar's interval is over. false: none is open. */
bool bar_builder_close(struct bar_builder *builder, struct md_update *closed_out);

/* The open bar as it is now; there must be one. */
void bar_builder_image(const struct bar_builder *builder, struct md_update *image_out);

/* From the last trade in the open bar to the end of its interval, in the time of the trades. */
static inline uint64_t bar_builder_left_ns(const struct bar_builder *builder)
{
    return builder->start_ns + builder->interval_ns - builder->last_ns;
}

#endif
