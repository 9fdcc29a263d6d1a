#include "feeds/venue/venue_binance.h"

#include <string.h>

/* Counts a hole before this update of the book, and remembers where it ends. */
static bool venue_binance_sequence(struct venue *venue, struct venue_symbol *symbol,
                                   const json_t *data)
{
    uint64_t first;
    uint64_t last;
    uint64_t before;
    bool has_before;
    if (!venue_integer(data, "U", &first) || !venue_integer(data, "u", &last) ||
        !venue_optional_integer(data, "pu", &before, &has_before)) {
        return false;
    }
    if (symbol->sequence_stream == venue->stream) {
        bool continues = has_before ? before == symbol->sequence : first == symbol->sequence + 1;
        venue->counters->holes += !continues;
        if (!continues) {
            venue_lose(venue, symbol, MD_DEPTH);
        }
    }
    symbol->sequence_stream = venue->stream;
    symbol->sequence = last;
    return true;
}

static enum venue_status venue_binance_depth(struct venue *venue, struct venue_symbol *symbol,
                                             const json_t *data, struct md_update *update)
{
    update->type = MD_DEPTH;
    update->depth = (struct md_depth){
        .action = MD_DELTA,
        .bids = venue->bids,
        .asks = venue->asks,
    };
    if (!venue_levels(json_object_get(data, "b"), venue->bids, &update->depth.bid_count) ||
        !venue_levels(json_object_get(data, "a"), venue->asks, &update->depth.ask_count)) {
        return venue_fault(venue,
                           "depthUpdate: b or a is not an array of at most " VENUE_LEVELS_MAX_TEXT
                           " [price, size]");
    }
    if (!venue_time(data, "E", &update->ts_event_ns)) {
        return venue_fault(venue, "depthUpdate: E is not a time in ms, us or ns");
    }
    if (!venue_binance_sequence(venue, symbol, data)) {
        return venue_fault(venue, "depthUpdate: U, u or pu is not an integer");
    }
    update->source_seq = symbol->sequence;
    update->source_epoch = symbol->sequence_stream;
    return venue_publish(venue, symbol, "depthUpdate", update);
}

static enum venue_status venue_binance_book_ticker(struct venue *venue, struct venue_symbol *symbol,
                                                   const json_t *data, struct md_update *update)
{
    struct md_quote *quote = &update->quote;
    update->type = MD_QUOTE;
    *quote = md_quote_none;
    quote->bids = venue->bids;
    quote->asks = venue->asks;
    if (json_object_get(data, "b") == NULL && json_object_get(data, "a") == NULL) {
        return venue_fault(venue, "bookTicker: it has neither b nor a");
    }
    if (!venue_best(data, "b", "B", venue->bids, &quote->bid_count) ||
        !venue_best(data, "a", "A", venue->asks, &quote->ask_count)) {
        return venue_fault(venue, "bookTicker: b, B, a or A is not a decimal of at most 18 digits");
    }
    if (!venue_time(data, "E", &update->ts_event_ns)) {
        return venue_fault(venue, "bookTicker: E is not a time in ms, us or ns");
    }
    return venue_publish(venue, symbol, "bookTicker", update);
}

static enum venue_status venue_binance_trade(struct venue *venue, struct venue_symbol *symbol,
                                             const json_t *data, struct md_update *update,
                                             const char *kind, const char *beside,
                                             const char *id_key)
{
    struct md_trade *trade = &update->trade;
    const json_t *buyer_is_maker = json_object_get(data, "m");
    update->type = MD_TRADE;
    *trade = (struct md_trade){0};

    if (!venue_price(json_object_get(data, "p"), &trade->price) ||
        !venue_optional_size(data, "q", &trade->size)) {
        return venue_fault(venue, "trade: p or q is not a decimal of at most 18 digits, or p is 0");
    }
    if (!venue_is_absent(buyer_is_maker) && !json_is_boolean(buyer_is_maker)) {
        return venue_fault(venue, "trade: m is neither true nor false");
    }
    if (json_is_boolean(buyer_is_maker)) {
        trade->side = json_is_true(buyer_is_maker) ? MD_SIDE_SELL : MD_SIDE_BUY;
    }
    if (!venue_optional_integer(data, id_key, &trade->id, &trade->has_id)) {
        return venue_fault(venue, "trade: its id (a or t) is not an integer");
    }
    if (!venue_time(data, "T", &update->ts_event_ns)) {
        return venue_fault(venue, "trade: T is not a time in ms, us or ns");
    }
    /* Both streams have the same trades: only those of the first stream are published. */
    symbol->trades = symbol->trades == NULL ? kind : symbol->trades;
    if (strcmp(symbol->trades, kind) != 0) {
        return venue_skip(venue, beside);
    }
    return venue_publish(venue, symbol, kind, update);
}

static enum venue_status venue_binance_aggregate(struct venue *venue, struct venue_symbol *symbol,
                                                 const json_t *data, struct md_update *update)
{
    return venue_binance_trade(venue, symbol, data, update, "aggTrade", "aggTrade-beside-trade",
                               "a");
}

static enum venue_status venue_binance_raw_trade(struct venue *venue, struct venue_symbol *symbol,
                                                 const json_t *data, struct md_update *update)
{
    /* Of futures: an insurance fund's trade, or none at all, of price 0 ("NA"). */
    const char *execution = venue_text(data, "X");
    if (execution != NULL && execution[0] != '\0' && strcmp(execution, "MARKET") != 0) {
        return venue_skip(venue, "trade-off-market");
    }
    return venue_binance_trade(venue, symbol, data, update, "trade", "trade-beside-aggTrade", "t");
}

/* "1m", "1h", "1M": a plain word, since it is sent to clients unchanged. */
static bool venue_binance_is_interval(const char *text)
{
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t bytes = text == NULL ? 0 : strlen(text);
    return bytes > 0 && bytes <= MD_INTERVAL_BYTES_MAX && strspn(text, plain) == bytes;
}

static bool venue_binance_candle(const json_t *kline, struct md_bar *bar)
{
    return venue_price(json_object_get(kline, "o"), &bar->open) &&
           venue_price(json_object_get(kline, "h"), &bar->high) &&
           venue_price(json_object_get(kline, "l"), &bar->low) &&
           venue_price(json_object_get(kline, "c"), &bar->close) &&
           venue_optional_size(kline, "v", &bar->volume) &&
           venue_optional_size(kline, "q", &bar->turnover) &&
           venue_optional_integer(kline, "n", &bar->count, &bar->has_count);
}

static enum venue_status venue_binance_kline(struct venue *venue, struct venue_symbol *symbol,
                                             const json_t *data, struct md_update *update)
{
    struct md_bar *bar = &update->bar;
    const json_t *kline = json_object_get(data, "k");
    const char *interval = venue_text(kline, "i");
    const json_t *closed = json_object_get(kline, "x");
    update->type = MD_BAR;
    *bar = (struct md_bar){.closed = json_is_true(closed)};

    if (!venue_binance_is_interval(interval)) {
        return venue_fault(venue, "kline: k.i is not an interval");
    }
    strcpy(bar->interval, interval);
    if (!venue_binance_candle(kline, bar)) {
        return venue_fault(
            venue,
            "kline: one of k.o, h, l, c is missing, or one of them, v, q, n is not a number");
    }
    if (!venue_is_absent(closed) && !json_is_boolean(closed)) {
        return venue_fault(venue, "kline: k.x is neither true nor false");
    }
    if (!venue_time(kline, "t", &bar->start_ns) || bar->start_ns == 0 ||
        !venue_time(data, "E", &update->ts_event_ns)) {
        return venue_fault(venue, "kline: k.t or E is not a time in ms, us or ns");
    }
    return venue_publish(venue, symbol, "kline", update);
}

/* The name of what a message is: its event, or what its stream is called after the '@'; a bare
 * bookTicker of spot has neither and is known by its fields. NULL: not even a name. */
static const char *venue_binance_kind(const json_t *data, const char *stream)
{
    const char *event = venue_text(data, "e");
    const char *at = stream == NULL ? NULL : strchr(stream, '@');
    if (event != NULL) {
        return event;
    }
    if (at != NULL) {
        return stream[0] == '!' ? stream : at + 1; /* "!ticker@arr" is of all symbols. */
    }
    if (venue_text(data, "s") != NULL &&
        (json_object_get(data, "b") != NULL || json_object_get(data, "a") != NULL)) {
        return "bookTicker";
    }
    if (json_object_get(data, "result") != NULL || json_object_get(data, "error") != NULL) {
        return "response";
    }
    return stream;
}

static enum venue_status venue_binance_decode(struct venue *venue, const json_t *message,
                                              uint64_t ts_recv_ns)
{
    static const struct venue_kind kinds[] = {
        {"depthUpdate", MD_DEPTH, venue_binance_depth},
        {"bookTicker", MD_QUOTE, venue_binance_book_ticker},
        {"aggTrade", MD_TRADE, venue_binance_aggregate},
        {"trade", MD_TRADE, venue_binance_raw_trade},
        {"kline", MD_BAR, venue_binance_kline},
    };
    const char *stream = venue_text(message, "stream");
    bool is_wrapped = json_object_get(message, "data") != NULL || stream != NULL;
    const json_t *data = is_wrapped ? json_object_get(message, "data") : message;
    const char *kind = venue_binance_kind(data, stream);
    if (data == NULL || kind == NULL) {
        return venue_fault(venue, "it is neither {\"stream\":..,\"data\":..} nor an event");
    }
    return venue_decode_kind(venue, kinds, sizeof kinds / sizeof kinds[0], kind, data, ts_recv_ns);
}

const struct venue_ops venue_binance = {
    .name = "binance",
    .host_part = "binance",
    .suffix = "BINANCE",
    .symbol_key = "s",
    .symbol_fault = "s is not a symbol",
    .decode = venue_binance_decode,
};
