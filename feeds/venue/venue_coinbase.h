/*
 * venue_coinbase: the messages of Coinbase's exchange feed (level2, ticker, matches).
 *
 *   snapshot  depth, snapshot: every level; it has no time
 *   l2update  depth, delta: changes [side, price, size]; size 0 removes
 *   ticker    quote: last, the 24 h figures, the best bid and ask (sizes where given)
 *   match     trade: "side" is the maker's and is turned round
 *
 * last_match (from before the subscription), subscriptions, heartbeat, error and all others are
 * skipped and counted by name. Contract: venue.h.
 */
#ifndef RINGCAST_FEEDS_VENUE_COINBASE_H
#define RINGCAST_FEEDS_VENUE_COINBASE_H

#include "feeds/venue/venue.h"

extern const struct venue_ops venue_coinbase;

#endif
