/*
 * derived_quotes: the newest quote of a feed, at most once an interval.
 *
 * Owner    derived.c. Threads: the publisher's.
 */
#ifndef RINGCAST_SRC_DERIVED_QUOTES_H
#define RINGCAST_SRC_DERIVED_QUOTES_H

#include "src/market/derived_core.h"

void derived_quotes_keep(struct derived_source *source, const struct md_update *update);
void derived_quotes_tell(struct derived_core *core, struct derived_variant *variant);

#endif
