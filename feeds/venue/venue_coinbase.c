#include "feeds/venue/venue_coinbase.h"

#include <string.h>

#include "codec/time_text.h"

/* 0 where it is absent: the first ticker after a subscription may have none. */
static bool venue_coinbase_time(const json_t *message, uint64_t *ns_out)
{
    const json_t *value = json_object_get(message, "time");
    const char *text = json_string_value(value);
    *ns_out = 0;
    return venue_is_absent(value) ||
           (text != NULL && time_text_parse_iso(text, json_string_length(value), ns_out));
}

static enum venue_status venue_coinbase_snapshot(struct venue *venue, struct venue_symbol *symbol,
                                                 const json_t *message, struct md_update *update)
{
    update->type = MD_DEPTH;
    update->depth = (struct md_depth){
        .action = MD_SNAPSHOT,
        .bids = venue->bids,
        .asks = venue->asks,
    };
    if (!venue_levels(json_object_get(message, "bids"), venue->bids, &update->depth.bid_count) ||
        !venue_levels(json_object_get(message, "asks"), venue->asks, &update->depth.ask_count)) {
        return venue_fault(
            venue, "snapshot: bids or asks is not an array of at most " VENUE_LEVELS_MAX_TEXT
                   " [price, size]");
    }
    venue_order(venue, venue->bids, &update->depth.bid_count, 1);
    venue_order(venue, venue->asks, &update->depth.ask_count, -1);
    return venue_publish(venue, symbol, "snapshot", update);
}

/* One [side, price, size]: the next level of its side. */
static bool venue_coinbase_change(struct venue *venue, const json_t *change, struct md_depth *depth)
{
    struct md_level level;
    const char *side = json_string_value(json_array_get(change, 0));
    if (side == NULL || !venue_price(json_array_get(change, 1), &level.price) ||
        !venue_size(json_array_get(change, 2), &level.size)) {
        return false;
    }
    if (strcmp(side, "buy") == 0) {
        venue->bids[depth->bid_count++] = level;
        return true;
    }
    if (strcmp(side, "sell") == 0) {
        venue->asks[depth->ask_count++] = level;
        return true;
    }
    return false;
}

static enum venue_status venue_coinbase_l2update(struct venue *venue, struct venue_symbol *symbol,
                                                 const json_t *message, struct md_update *update)
{
    const json_t *changes = json_object_get(message, "changes");
    size_t count = json_array_size(changes);

    update->type = MD_DEPTH;
    update->depth = (struct md_depth){
        .action = MD_DELTA,
        .bids = venue->bids,
        .asks = venue->asks,
    };
    if ((!json_is_array(changes) && !json_is_null(changes)) || count > VENUE_LEVELS_MAX) {
        return venue_fault(venue,
                           "l2update: changes is not an array of at most " VENUE_LEVELS_MAX_TEXT);
    }
    for (size_t i = 0; i < count; i++) {
        if (!venue_coinbase_change(venue, json_array_get(changes, i), &update->depth)) {
            return venue_fault(venue, "l2update: a change is not [side, price, size]");
        }
    }
    if (!venue_coinbase_time(message, &update->ts_event_ns)) {
        return venue_fault(venue, "l2update: time is not like 2021-04-17T16:43:37.075687Z");
    }
    return venue_publish(venue, symbol, "l2update", update);
}

static enum venue_status venue_coinbase_ticker(struct venue *venue, struct venue_symbol *symbol,
                                               const json_t *message, struct md_update *update)
{
    struct md_quote *quote = &update->quote;
    update->type = MD_QUOTE;
    *quote = md_quote_none;
    quote->bids = venue->bids;
    quote->asks = venue->asks;
    if (json_object_get(message, "price") == NULL && json_object_get(message, "best_bid") == NULL &&
        json_object_get(message, "best_ask") == NULL) {
        return venue_fault(venue, "ticker: it has neither price nor best_bid nor best_ask");
    }
    if (!venue_optional_price(message, "price", &quote->last) ||
        !venue_optional_price(message, "open_24h", &quote->open) ||
        !venue_optional_price(message, "high_24h", &quote->high) ||
        !venue_optional_price(message, "low_24h", &quote->low) ||
        !venue_optional_size(message, "volume_24h", &quote->volume)) {
        return venue_fault(
            venue, "ticker: price or a figure of 24 h is not a decimal of at most 18 digits");
    }
    if (!venue_best(message, "best_bid", "best_bid_size", venue->bids, &quote->bid_count) ||
        !venue_best(message, "best_ask", "best_ask_size", venue->asks, &quote->ask_count)) {
        return venue_fault(venue,
                           "ticker: the best bid or ask is not a decimal of at most 18 digits");
    }
    if (!venue_coinbase_time(message, &update->ts_event_ns)) {
        return venue_fault(venue, "ticker: time is not like 2021-04-17T16:43:37.075687Z");
    }
    return venue_publish(venue, symbol, "ticker", update);
}

static enum venue_status venue_coinbase_match(struct venue *venue, struct venue_symbol *symbol,
                                              const json_t *message, struct md_update *update)
{
    struct md_trade *trade = &update->trade;
    bool has_side = !venue_is_absent(json_object_get(message, "side"));
    const char *side = venue_text(message, "side");
    update->type = MD_TRADE;
    *trade = (struct md_trade){0};

    if (!venue_price(json_object_get(message, "price"), &trade->price) ||
        !venue_optional_size(message, "size", &trade->size)) {
        return venue_fault(
            venue, "match: price or size is not a decimal of at most 18 digits, or price is 0");
    }
    if (has_side && (side == NULL || (strcmp(side, "buy") != 0 && strcmp(side, "sell") != 0))) {
        return venue_fault(venue, "match: side is neither buy nor sell");
    }
    if (has_side) { /* The maker's side: where the maker was selling, the aggressor bought. */
        trade->side = strcmp(side, "sell") == 0 ? MD_SIDE_BUY : MD_SIDE_SELL;
    }
    if (!venue_optional_integer(message, "trade_id", &trade->id, &trade->has_id)) {
        return venue_fault(venue, "match: trade_id is not an integer");
    }
    if (!venue_coinbase_time(message, &update->ts_event_ns)) {
        return venue_fault(venue, "match: time is not like 2021-04-17T16:43:37.075687Z");
    }
    return venue_publish(venue, symbol, "match", update);
}

static enum venue_status venue_coinbase_decode(struct venue *venue, const json_t *message,
                                               uint64_t ts_recv_ns)
{
    static const struct venue_kind kinds[] = {
        {"l2update", MD_DEPTH, venue_coinbase_l2update},
        {"ticker", MD_QUOTE, venue_coinbase_ticker},
        {"match", MD_TRADE, venue_coinbase_match},
        {"snapshot", MD_DEPTH, venue_coinbase_snapshot},
    };
    const char *type = venue_text(message, "type");
    if (type == NULL) {
        return venue_fault(venue, "it has no type");
    }
    return venue_decode_kind(venue, kinds, sizeof kinds / sizeof kinds[0], type, message,
                             ts_recv_ns);
}

const struct venue_ops venue_coinbase = {
    .name = "coinbase",
    .host_part = "coinbase",
    .suffix = "COINBASE",
    .symbol_key = "product_id",
    .symbol_fault = "product_id is not a symbol",
    .decode = venue_coinbase_decode,
};
