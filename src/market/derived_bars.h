/*
 * derived_bars: bars that are built from a feed's trades, and the feed's own where it has some.
 *
 * Owner    derived.c. Threads: the publisher's.
 */
#ifndef RINGCAST_SRC_DERIVED_BARS_H
#define RINGCAST_SRC_DERIVED_BARS_H

#include "src/market/derived_core.h"

/* A bar that has a subscriber from now on: the open one is published. */
void derived_bars_begin(struct derived_core *core, struct derived_variant *variant);

/* seen_ns: when the trade was published. */
void derived_bars_take(struct derived_core *core, struct derived_source *source,
                       const struct md_update *update, uint64_t seen_ns);

/* Closes the bar whose interval is over, and publishes the open one when it is time. */
void derived_bars_on_timer(struct derived_core *core, struct derived_variant *variant);

/* A feed's own bars of the interval go on as they are. */
void derived_bars_relay(struct derived_core *core, struct derived_source *source,
                        const struct md_update *update);

#endif
