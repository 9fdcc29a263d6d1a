#include "feeds/sim/sim_market.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

#define LEVELS SIM_MARKET_BOOK_LEVELS
#define TYPE_BIT(type) (UINT32_C(1) << (type))

#define SIM_MARKET_CENTS_MIN 500 /* of the first previous close: 5.00 to 500.00 */
#define SIM_MARKET_CENTS_MAX 50000
#define SIM_MARKET_FLOOR_CENTS 100     /* The price never leaves 1.00 ... */
#define SIM_MARKET_CEILING_CENTS 99999 /* ... to 999.99. */
#define SIM_MARKET_SPREAD_CENTS 2      /* Best bid and best ask cannot meet in one step of 1. */
#define SIM_MARKET_LOT 100
#define SIM_MARKET_LOTS_MAX 100
/* A day ends when its turnover reaches this many cents, long before 63 bits do. */
#define SIM_MARKET_DAY_CENTS INT64_C(1000000000000000)
#define SIM_MARKET_MINUTE_NS (60 * NS_PER_SECOND)

static_assert(LEVELS < SIM_MARKET_FLOOR_CENTS - SIM_MARKET_SPREAD_CENTS,
              "the lowest bid has a price above 0");

struct sim_bar {
    uint64_t start_ns;
    int64_t open, high, low, close; /* cents */
    int64_t volume, turnover;
    uint64_t count;
};

struct sim_instrument {
    uint64_t random;
    int64_t prev_close, open, high, low, last; /* cents */
    int64_t volume, turnover;                  /* of the day; cents */
    uint64_t trade_id;
    int64_t trade_size; /* of the last trade */
    enum md_side trade_side;
    uint32_t depth_count; /* depth ticks made, modulo SIM_MARKET_SNAPSHOT_EVERY */
    bool bar_is_done;     /* done_bar is still to be handed over. */
    struct sim_bar bar;
    struct sim_bar done_bar;
    /* The book: bids at bid, bid - 1, ...; asks at bid + SPREAD, bid + SPREAD + 1, ... */
    int64_t bid;
    uint16_t bid_lots[LEVELS];
    uint16_t ask_lots[LEVELS];
};

struct sim_market {
    /* Set at creation, then constant. */
    uint32_t types;
    uint32_t symbol_count;
    bool short_quotes;

    /* Of the tick being made. */
    struct md_level bids[LEVELS];
    struct md_level asks[LEVELS];
    struct sim_instrument instruments[];
};

/* SplitMix64 (Steele, Lea, Flood 2014): any seed will do, also 0. */
static uint64_t sim_market_random(uint64_t *state)
{
    uint64_t mixed = *state += UINT64_C(0x9e3779b97f4a7c15);
    mixed = (mixed ^ mixed >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    mixed = (mixed ^ mixed >> 27) * UINT64_C(0x94d049bb133111eb);
    return mixed ^ mixed >> 31;
}

/* 0 to bound - 1, without a division (Lemire 2019). */
static uint32_t sim_market_below(uint64_t *state, uint32_t bound)
{
    return (uint32_t)((sim_market_random(state) >> 32) * bound >> 32);
}

static uint16_t sim_market_lots(uint64_t *state)
{
    return (uint16_t)(1 + sim_market_below(state, SIM_MARKET_LOTS_MAX));
}

static void sim_market_init_instrument(struct sim_instrument *instrument, uint64_t seed)
{
    uint64_t *random = &instrument->random;
    *random = seed;
    instrument->prev_close = SIM_MARKET_CENTS_MIN +
                             sim_market_below(random, SIM_MARKET_CENTS_MAX - SIM_MARKET_CENTS_MIN);
    instrument->bid = instrument->prev_close - 5 + sim_market_below(random, 10);
    instrument->open = instrument->bid;
    instrument->high = instrument->open;
    instrument->low = instrument->open;
    instrument->last = instrument->open;
    for (uint32_t i = 0; i < LEVELS; i++) {
        instrument->bid_lots[i] = sim_market_lots(random);
        instrument->ask_lots[i] = sim_market_lots(random);
    }
}

int sim_market_create(struct sim_market **market_out, const struct sim_market_options *options)
{
    uint64_t seeds = options->seed;
    struct sim_market *market =
        calloc(1, sizeof *market + options->symbol_count * sizeof market->instruments[0]);
    if (market == NULL) {
        return -ENOMEM;
    }
    market->types = options->types;
    market->symbol_count = options->symbol_count;
    market->short_quotes = options->short_quotes;
    for (uint32_t i = 0; i < options->symbol_count; i++) {
        sim_market_init_instrument(&market->instruments[i], sim_market_random(&seeds));
    }
    *market_out = market;
    return 0;
}

void sim_market_destroy(struct sim_market *market)
{
    free(market);
}

static struct md_decimal sim_market_price(int64_t cents)
{
    return (struct md_decimal){.mantissa = cents, .exponent = -2};
}

static struct md_decimal sim_market_size(int64_t size)
{
    return (struct md_decimal){.mantissa = size, .exponent = 0};
}

static struct md_level sim_market_level(int64_t cents, uint32_t lots)
{
    return (struct md_level){.price = sim_market_price(cents),
                             .size = sim_market_size((int64_t)lots * SIM_MARKET_LOT)};
}

/* Yesterday's close bounds today's prices, so a day that never ended would never move on. */
static void sim_market_begin_day(struct sim_instrument *instrument)
{
    instrument->prev_close = instrument->last;
    instrument->open = instrument->last;
    instrument->high = instrument->last;
    instrument->low = instrument->last;
    instrument->volume = 0;
    instrument->turnover = 0;
}

/* Puts aside the bar of a minute that is over and begins the one of ts_event_ns. */
static void sim_market_turn_bar(struct sim_instrument *instrument, uint64_t ts_event_ns)
{
    uint64_t start_ns = ts_event_ns - ts_event_ns % SIM_MARKET_MINUTE_NS;
    struct sim_bar *bar = &instrument->bar;
    if (bar->start_ns == start_ns) {
        return;
    }
    if (bar->start_ns != 0) {
        instrument->done_bar = *bar;
        instrument->bar_is_done = true;
    }
    *bar = (struct sim_bar){
        .start_ns = start_ns,
        .open = instrument->last,
        .high = instrument->last,
        .low = instrument->last,
        .close = instrument->last,
    };
}

/* Somebody takes from the best level: the day and the minute count it. */
static void sim_market_trade(struct sim_instrument *instrument)
{
    bool buys = sim_market_random(&instrument->random) >> 63;
    int64_t price = buys ? instrument->bid + SIM_MARKET_SPREAD_CENTS : instrument->bid;
    int64_t size = (int64_t)sim_market_lots(&instrument->random) * SIM_MARKET_LOT;
    struct sim_bar *bar = &instrument->bar;

    if (instrument->turnover >= SIM_MARKET_DAY_CENTS) {
        sim_market_begin_day(instrument);
    }
    if (instrument->volume == 0) {
        instrument->open = instrument->high = instrument->low = price;
    }
    instrument->trade_side = buys ? MD_SIDE_BUY : MD_SIDE_SELL;
    instrument->trade_size = size;
    instrument->trade_id++;
    instrument->last = price;
    instrument->high = price > instrument->high ? price : instrument->high;
    instrument->low = price < instrument->low ? price : instrument->low;
    instrument->volume += size;
    instrument->turnover += price * size;

    if (bar->count++ == 0) {
        bar->open = bar->high = bar->low = price;
    }
    bar->high = price > bar->high ? price : bar->high;
    bar->low = price < bar->low ? price : bar->low;
    bar->close = price;
    bar->volume += size;
    bar->turnover += price * size;
}

/* -1, 0 or 1 cent: half of the time the book stays where it is. */
static int sim_market_direction(struct sim_instrument *instrument)
{
    int64_t reach = instrument->prev_close / 10;
    uint32_t chance = sim_market_below(&instrument->random, 4);
    if (chance == 0 && instrument->bid + 1 <= instrument->prev_close + reach &&
        instrument->bid + 1 + SIM_MARKET_SPREAD_CENTS + LEVELS <= SIM_MARKET_CEILING_CENTS) {
        return 1;
    }
    if (chance == 1 && instrument->bid - 1 >= instrument->prev_close - reach &&
        instrument->bid - 1 >= SIM_MARKET_FLOOR_CENTS) {
        return -1;
    }
    return 0;
}

/* One side of the book when its best price goes away from the other side (a level is taken) or
 * comes nearer (a level is set). levels_out: the two levels that change; prices are
 * best + outward * i for i from 0 to LEVELS - 1. */
static void sim_market_shift(uint16_t *lots, int64_t best, int outward, bool away,
                             uint16_t new_lots, struct md_level levels_out[2])
{
    if (away) {
        memmove(lots, lots + 1, (LEVELS - 1) * sizeof *lots);
        lots[LEVELS - 1] = new_lots;
        levels_out[0] = sim_market_level(best, 0);
        levels_out[1] = sim_market_level(best + outward * LEVELS, new_lots);
    } else {
        memmove(lots + 1, lots, (LEVELS - 1) * sizeof *lots);
        lots[0] = new_lots;
        levels_out[0] = sim_market_level(best - outward, new_lots);
        levels_out[1] = sim_market_level(best + outward * (LEVELS - 1), 0);
    }
}

/* Moves the book by one step and writes the changes to depth. */
static void sim_market_step_book(struct sim_market *market, struct sim_instrument *instrument,
                                 struct md_depth *depth)
{
    int direction = sim_market_direction(instrument);
    int64_t ask = instrument->bid + SIM_MARKET_SPREAD_CENTS;
    uint16_t bid_lots = sim_market_lots(&instrument->random);
    uint16_t ask_lots = sim_market_lots(&instrument->random);

    *depth = (struct md_depth){.action = MD_DELTA, .bids = market->bids, .asks = market->asks};
    if (direction == 0) {
        uint32_t i = sim_market_below(&instrument->random, LEVELS);
        uint32_t j = sim_market_below(&instrument->random, LEVELS);
        instrument->bid_lots[i] = bid_lots;
        instrument->ask_lots[j] = ask_lots;
        market->bids[0] = sim_market_level(instrument->bid - i, bid_lots);
        market->asks[0] = sim_market_level(ask + j, ask_lots);
        depth->bid_count = depth->ask_count = 1;
        return;
    }
    sim_market_shift(instrument->bid_lots, instrument->bid, -1, direction < 0, bid_lots,
                     market->bids);
    sim_market_shift(instrument->ask_lots, ask, 1, direction > 0, ask_lots, market->asks);
    instrument->bid += direction;
    depth->bid_count = depth->ask_count = 2;
}

static void sim_market_fill_levels(struct sim_market *market,
                                   const struct sim_instrument *instrument, uint32_t level_count)
{
    assert_always(level_count <= LEVELS);
    for (uint32_t i = 0; i < level_count; i++) {
        market->bids[i] = sim_market_level(instrument->bid - i, instrument->bid_lots[i]);
        market->asks[i] = sim_market_level(instrument->bid + SIM_MARKET_SPREAD_CENTS + i,
                                           instrument->ask_lots[i]);
    }
}

static void sim_market_quote(struct sim_market *market, const struct sim_instrument *instrument,
                             struct md_quote *quote)
{
    uint32_t level_count = market->short_quotes ? 1 : SIM_MARKET_QUOTE_LEVELS;
    sim_market_fill_levels(market, instrument, level_count);
    *quote = md_quote_none;
    quote->last = sim_market_price(instrument->last);
    quote->bids = market->bids;
    quote->asks = market->asks;
    quote->bid_count = level_count;
    quote->ask_count = level_count;
    if (market->short_quotes) {
        return;
    }
    if (instrument->volume > 0) { /* Before the first trade a day has none of these. */
        quote->open = sim_market_price(instrument->open);
        quote->high = sim_market_price(instrument->high);
        quote->low = sim_market_price(instrument->low);
    }
    quote->prev_close = sim_market_price(instrument->prev_close);
    quote->volume = sim_market_size(instrument->volume);
    quote->turnover = sim_market_price(instrument->turnover);
}

/* First a bar that was put aside, closed; otherwise the current one. */
static void sim_market_bar(struct sim_instrument *instrument, struct md_bar *bar)
{
    const struct sim_bar *source =
        instrument->bar_is_done ? &instrument->done_bar : &instrument->bar;
    *bar = (struct md_bar){
        .interval = "1m",
        .start_ns = source->start_ns,
        .open = sim_market_price(source->open),
        .high = sim_market_price(source->high),
        .low = sim_market_price(source->low),
        .close = sim_market_price(source->close),
        .volume = sim_market_size(source->volume),
        .turnover = sim_market_price(source->turnover),
        .has_count = true,
        .count = source->count,
        .closed = instrument->bar_is_done,
    };
    instrument->bar_is_done = false;
}

static void sim_market_depth(struct sim_market *market, struct sim_instrument *instrument,
                             struct md_depth *depth)
{
    sim_market_step_book(market, instrument, depth);
    if (instrument->depth_count == 0) {
        sim_market_fill_levels(market, instrument, LEVELS);
        depth->action = MD_SNAPSHOT;
        depth->bid_count = depth->ask_count = LEVELS;
    }
    instrument->depth_count = (instrument->depth_count + 1) % SIM_MARKET_SNAPSHOT_EVERY;
}

void sim_market_tick(struct sim_market *market, uint32_t symbol_index, enum md_type type,
                     uint64_t ts_event_ns, struct md_update *update_out)
{
    struct sim_instrument *instrument = &market->instruments[symbol_index];
    assert_always(symbol_index < market->symbol_count);
    assert_always(market->types & TYPE_BIT(type));

    /* Where trades (or book changes) are published, only those that are published take place:
     * a client can then add them up. Otherwise every tick brings some. */
    sim_market_turn_bar(instrument, ts_event_ns);
    if (!(market->types & TYPE_BIT(MD_DEPTH))) {
        struct md_depth unseen;
        sim_market_step_book(market, instrument, &unseen);
    }
    if (type == MD_TRADE || !(market->types & TYPE_BIT(MD_TRADE))) {
        sim_market_trade(instrument);
    }

    *update_out = (struct md_update){.type = type, .ts_event_ns = ts_event_ns};
    switch (type) {
    case MD_QUOTE:
        sim_market_quote(market, instrument, &update_out->quote);
        return;
    case MD_TRADE:
        update_out->trade = (struct md_trade){
            .price = sim_market_price(instrument->last),
            .size = sim_market_size(instrument->trade_size),
            .side = instrument->trade_side,
            .has_id = true,
            .id = instrument->trade_id,
        };
        return;
    case MD_BAR:
        sim_market_bar(instrument, &update_out->bar);
        return;
    case MD_DEPTH:
        sim_market_depth(market, instrument, &update_out->depth);
        return;
    case MD_STATUS:
    case MD_TYPE_COUNT:
        break;
    }
    assert_always(false);
}

void sim_market_longest_quote(struct sim_market *market, struct md_update *update_out)
{
    struct sim_instrument longest = {
        .prev_close = SIM_MARKET_CEILING_CENTS,
        .open = SIM_MARKET_CEILING_CENTS,
        .high = SIM_MARKET_CEILING_CENTS,
        .low = SIM_MARKET_CEILING_CENTS,
        .last = SIM_MARKET_CEILING_CENTS,
        .volume = INT64_MAX,
        .turnover = INT64_MAX,
        .bid = SIM_MARKET_CEILING_CENTS - SIM_MARKET_SPREAD_CENTS - LEVELS,
    };
    for (uint32_t i = 0; i < LEVELS; i++) {
        longest.bid_lots[i] = SIM_MARKET_LOTS_MAX;
        longest.ask_lots[i] = SIM_MARKET_LOTS_MAX;
    }
    *update_out = (struct md_update){.type = MD_QUOTE, .ts_event_ns = UINT64_MAX};
    sim_market_quote(market, &longest, &update_out->quote);
}
