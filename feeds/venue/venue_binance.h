/*
 * venue_binance: the messages of Binance's market streams, spot and USD-M futures, in the
 * envelope of a combined stream ({"stream":..,"data":..}) or bare.
 *
 *   depthUpdate  depth, delta: b, a; also when both are empty
 *   bookTicker   quote: one level a side; no time on spot
 *   aggTrade     trade: m true means that the buyer was the maker, so the aggressor sold
 *   kline        bar
 *
 * All others are skipped and counted by name. A hole in a symbol's book updates (spot: U is not
 * the previous u + 1; futures: pu is not the previous u) is counted. Contract: venue.h.
 */
#ifndef RINGCAST_FEEDS_VENUE_BINANCE_H
#define RINGCAST_FEEDS_VENUE_BINANCE_H

#include "feeds/venue/venue.h"

extern const struct venue_ops venue_binance;

#endif
