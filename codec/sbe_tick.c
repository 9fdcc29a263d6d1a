#include "codec/sbe_tick.h"

#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/decimal.h"

#define SBE_TICK_VERSION 0
#define SBE_TICK_HEADER_BYTES 8
#define SBE_TICK_GROUP_BYTES 4 /* blockLength, numInGroup */
#define SBE_TICK_LEVEL_BYTES 16
#define SBE_TICK_TEXT_BYTES 2 /* length */

/* By enum md_type; the template's id is one more. */
static const uint16_t sbe_tick_block_bytes[MD_TYPE_COUNT] = {
    [MD_QUOTE] = 96, [MD_TRADE] = 64, [MD_BAR] = 112, [MD_DEPTH] = 44, [MD_STATUS] = 36,
};

static const int64_t sbe_tick_powers[DECIMAL_PLACES_MAX + 1] = {
    1,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
};

/* Fields are written one after the other: the order of codec/md.xml. */
struct sbe_tick_writer {
    uint8_t *at;
    int price_exponent;
    int size_exponent;
    bool failed; /* A value has no place in its field. */
};

/* ---- What fits ---- */

/* All of a message but its block; 0 stands for none. *failed_out: over a limit. */
static size_t sbe_tick_text_bytes(const char *text, bool *failed)
{
    size_t bytes = text == NULL ? 0 : strlen(text);
    *failed |= bytes > SBE_TICK_TEXT_BYTES_MAX;
    return SBE_TICK_TEXT_BYTES + bytes;
}

static size_t sbe_tick_side_bytes(uint32_t level_count, bool *failed)
{
    *failed |= level_count > SBE_TICK_LEVELS_MAX;
    return SBE_TICK_GROUP_BYTES + (size_t)level_count * SBE_TICK_LEVEL_BYTES;
}

/* The length of the whole message. */
static size_t sbe_tick_bytes(const struct md_update *update, bool *failed)
{
    size_t bytes = SBE_TICK_HEADER_BYTES + sbe_tick_block_bytes[update->type];
    if (update->type == MD_QUOTE) {
        bytes += sbe_tick_side_bytes(update->quote.bid_count, failed);
        bytes += sbe_tick_side_bytes(update->quote.ask_count, failed);
        bytes += sbe_tick_text_bytes(update->quote.status, failed);
    } else if (update->type == MD_DEPTH) {
        bytes += sbe_tick_side_bytes(update->depth.bid_count, failed);
        bytes += sbe_tick_side_bytes(update->depth.ask_count, failed);
    } else if (update->type == MD_STATUS) {
        bytes += sbe_tick_text_bytes(update->status.state, failed);
        bytes += sbe_tick_text_bytes(update->status.reason, failed);
    }
    return bytes;
}

/* ---- Exponents ---- */

static inline int sbe_tick_least(int exponent, struct md_decimal decimal)
{
    int other = md_is_given(decimal) ? decimal.exponent : 0;
    return other < exponent ? other : exponent;
}

static inline void sbe_tick_see_levels(struct sbe_tick_writer *writer,
                                       const struct md_level *levels, uint32_t level_count)
{
    int price = writer->price_exponent;
    int size = writer->size_exponent;
    for (uint32_t i = 0; i < level_count; i++) {
        price = sbe_tick_least(price, levels[i].price);
        size = sbe_tick_least(size, levels[i].size);
    }
    writer->price_exponent = price;
    writer->size_exponent = size;
}

static inline int sbe_tick_least_of_four(struct md_decimal a, struct md_decimal b,
                                         struct md_decimal c, struct md_decimal d)
{
    return sbe_tick_least(sbe_tick_least(sbe_tick_least(sbe_tick_least(0, a), b), c), d);
}

/* ---- Fields ---- */

#define SBE_TICK_PUT(writer, type, value)                                                          \
    do {                                                                                           \
        type sbe_value = (type)(value);                                                            \
        memcpy((writer)->at, &sbe_value, sizeof sbe_value);                                        \
        (writer)->at += sizeof sbe_value;                                                          \
    } while (0)

static inline void sbe_tick_put_decimal(struct sbe_tick_writer *writer, struct md_decimal decimal,
                                        int exponent)
{
    static_assert(MD_NONE == INT64_MIN, "it is the null of int64");
    int64_t mantissa = decimal.mantissa;
    if (md_is_given(decimal)) {
        unsigned places = (unsigned)(decimal.exponent - exponent);
        assert_always(places <= DECIMAL_PLACES_MAX);
        writer->failed |= __builtin_mul_overflow(mantissa, sbe_tick_powers[places], &mantissa);
    }
    SBE_TICK_PUT(writer, int64_t, mantissa);
}

static inline void sbe_tick_put_price(struct sbe_tick_writer *writer, struct md_decimal decimal)
{
    sbe_tick_put_decimal(writer, decimal, writer->price_exponent);
}

static inline void sbe_tick_put_size(struct sbe_tick_writer *writer, struct md_decimal decimal)
{
    sbe_tick_put_decimal(writer, decimal, writer->size_exponent);
}

static inline void sbe_tick_put_u64(struct sbe_tick_writer *writer, bool is_given, uint64_t value)
{
    writer->failed |= is_given && value == UINT64_MAX;
    SBE_TICK_PUT(writer, uint64_t, is_given ? value : UINT64_MAX);
}

static inline void sbe_tick_put_levels(struct sbe_tick_writer *writer,
                                       const struct md_level *levels, uint32_t level_count)
{
    SBE_TICK_PUT(writer, uint16_t, SBE_TICK_LEVEL_BYTES);
    SBE_TICK_PUT(writer, uint16_t, level_count);
    for (uint32_t i = 0; i < level_count; i++) {
        writer->failed |= !md_is_given(levels[i].price);
        sbe_tick_put_price(writer, levels[i].price);
        sbe_tick_put_size(writer, levels[i].size);
    }
}

static void sbe_tick_put_text(struct sbe_tick_writer *writer, const char *text)
{
    size_t bytes = text == NULL ? 0 : strlen(text);
    SBE_TICK_PUT(writer, uint16_t, bytes);
    if (bytes > 0) {
        memcpy(writer->at, text, bytes);
        writer->at += bytes;
    }
}

/* ---- Messages ---- */

static inline void sbe_tick_put_exponents(struct sbe_tick_writer *writer)
{
    SBE_TICK_PUT(writer, int8_t, writer->price_exponent);
    SBE_TICK_PUT(writer, int8_t, writer->size_exponent);
}

static void sbe_tick_quote(struct sbe_tick_writer *writer, const struct md_quote *quote)
{
    int turnover_exponent = sbe_tick_least(0, quote->turnover);
    writer->price_exponent =
        sbe_tick_least_of_four(quote->last, quote->open, quote->high, quote->low);
    writer->price_exponent = sbe_tick_least(writer->price_exponent, quote->prev_close);
    writer->size_exponent = sbe_tick_least(0, quote->volume);
    sbe_tick_see_levels(writer, quote->bids, quote->bid_count);
    sbe_tick_see_levels(writer, quote->asks, quote->ask_count);

    sbe_tick_put_exponents(writer);
    SBE_TICK_PUT(writer, int8_t, turnover_exponent);
    SBE_TICK_PUT(writer, uint8_t, 0);
    sbe_tick_put_price(writer, quote->last);
    sbe_tick_put_price(writer, quote->open);
    sbe_tick_put_price(writer, quote->high);
    sbe_tick_put_price(writer, quote->low);
    sbe_tick_put_price(writer, quote->prev_close);
    sbe_tick_put_size(writer, quote->volume);
    sbe_tick_put_decimal(writer, quote->turnover, turnover_exponent);
    sbe_tick_put_levels(writer, quote->bids, quote->bid_count);
    sbe_tick_put_levels(writer, quote->asks, quote->ask_count);
    sbe_tick_put_text(writer, quote->status);
}

static void sbe_tick_trade(struct sbe_tick_writer *writer, const struct md_trade *trade)
{
    static const uint8_t sides[] = {
        [MD_SIDE_NONE] = UINT8_MAX, [MD_SIDE_BUY] = 1, [MD_SIDE_SELL] = 2};
    writer->price_exponent = sbe_tick_least(0, trade->price);
    writer->size_exponent = sbe_tick_least(0, trade->size);

    sbe_tick_put_exponents(writer);
    SBE_TICK_PUT(writer, uint8_t, sides[trade->side]);
    SBE_TICK_PUT(writer, uint8_t, 0);
    sbe_tick_put_price(writer, trade->price);
    sbe_tick_put_size(writer, trade->size);
    sbe_tick_put_u64(writer, trade->has_id, trade->id);
}

static void sbe_tick_bar(struct sbe_tick_writer *writer, const struct md_bar *bar)
{
    static_assert(sizeof bar->interval == 8, "as in the schema");
    char interval[8] = {0};
    int turnover_exponent = sbe_tick_least(0, bar->turnover);
    memcpy(interval, bar->interval, strnlen(bar->interval, sizeof interval));
    writer->price_exponent = sbe_tick_least_of_four(bar->open, bar->high, bar->low, bar->close);
    writer->size_exponent = sbe_tick_least(0, bar->volume);

    sbe_tick_put_exponents(writer);
    SBE_TICK_PUT(writer, int8_t, turnover_exponent);
    SBE_TICK_PUT(writer, uint8_t, bar->closed);
    memcpy(writer->at, interval, sizeof interval);
    writer->at += sizeof interval;
    sbe_tick_put_u64(writer, bar->start_ns != 0, bar->start_ns);
    sbe_tick_put_price(writer, bar->open);
    sbe_tick_put_price(writer, bar->high);
    sbe_tick_put_price(writer, bar->low);
    sbe_tick_put_price(writer, bar->close);
    sbe_tick_put_size(writer, bar->volume);
    sbe_tick_put_decimal(writer, bar->turnover, turnover_exponent);
    sbe_tick_put_u64(writer, bar->has_count, bar->count);
}

static void sbe_tick_depth(struct sbe_tick_writer *writer, const struct md_depth *depth)
{
    sbe_tick_see_levels(writer, depth->bids, depth->bid_count);
    sbe_tick_see_levels(writer, depth->asks, depth->ask_count);
    writer->failed |= depth->has_checksum && depth->checksum == UINT32_MAX;

    sbe_tick_put_exponents(writer);
    SBE_TICK_PUT(writer, uint8_t, depth->action == MD_DELTA);
    SBE_TICK_PUT(writer, uint8_t, 0);
    SBE_TICK_PUT(writer, uint32_t, depth->has_checksum ? depth->checksum : UINT32_MAX);
    sbe_tick_put_levels(writer, depth->bids, depth->bid_count);
    sbe_tick_put_levels(writer, depth->asks, depth->ask_count);
}

static void sbe_tick_message(struct sbe_tick_writer *writer, const struct md_update *update)
{
    switch (update->type) {
    case MD_QUOTE:
        sbe_tick_quote(writer, &update->quote);
        return;
    case MD_TRADE:
        sbe_tick_trade(writer, &update->trade);
        return;
    case MD_BAR:
        sbe_tick_bar(writer, &update->bar);
        return;
    case MD_DEPTH:
        sbe_tick_depth(writer, &update->depth);
        return;
    case MD_STATUS:
        sbe_tick_put_text(writer, update->status.state);
        sbe_tick_put_text(writer, update->status.reason);
        return;
    case MD_TYPE_COUNT:
        break;
    }
}

size_t sbe_tick_encode(uint8_t *out, size_t out_bytes, uint32_t channel,
                       const struct md_update *update, uint64_t seq, uint64_t ts_pub_ns)
{
    assert_always((unsigned)update->type < MD_TYPE_COUNT);

    struct sbe_tick_writer writer = {.at = out};
    size_t bytes = sbe_tick_bytes(update, &writer.failed);
    if (bytes > out_bytes || writer.failed) {
        return 0;
    }
    SBE_TICK_PUT(&writer, uint16_t, sbe_tick_block_bytes[update->type]);
    SBE_TICK_PUT(&writer, uint16_t, update->type + 1);
    SBE_TICK_PUT(&writer, uint16_t, SBE_TICK_SCHEMA_ID);
    SBE_TICK_PUT(&writer, uint16_t, SBE_TICK_VERSION);
    SBE_TICK_PUT(&writer, uint64_t, seq);
    sbe_tick_put_u64(&writer, update->ts_event_ns != 0, update->ts_event_ns);
    sbe_tick_put_u64(&writer, update->ts_recv_ns != 0, update->ts_recv_ns);
    SBE_TICK_PUT(&writer, uint64_t, ts_pub_ns);
    SBE_TICK_PUT(&writer, uint32_t, channel);
    sbe_tick_message(&writer, update);
    assert_always((size_t)(writer.at - out) == bytes);
    return writer.failed ? 0 : bytes;
}

/* ---- Exactness ---- */

/* The exponents of what has been seen; 1: nothing that is given. */
struct sbe_tick_exact {
    int price_exponent;
    int size_exponent;
    bool is_mixed;
};

static inline void sbe_tick_match(int *exponent, bool *is_mixed, struct md_decimal decimal)
{
    if (md_is_given(decimal)) {
        *is_mixed |= *exponent != 1 && *exponent != decimal.exponent;
        *exponent = decimal.exponent;
    }
}

static inline void sbe_tick_match_levels(struct sbe_tick_exact *exact,
                                         const struct md_level *levels, uint32_t level_count)
{
    for (uint32_t i = 0; i < level_count && !exact->is_mixed; i++) {
        sbe_tick_match(&exact->price_exponent, &exact->is_mixed, levels[i].price);
        sbe_tick_match(&exact->size_exponent, &exact->is_mixed, levels[i].size);
    }
}

static bool sbe_tick_quote_is_exact(const struct md_quote *quote)
{
    struct sbe_tick_exact exact = {.price_exponent = 1, .size_exponent = 1};
    const struct md_decimal prices[] = {quote->last, quote->open, quote->high, quote->low,
                                        quote->prev_close};
    for (size_t i = 0; i < sizeof prices / sizeof prices[0]; i++) {
        sbe_tick_match(&exact.price_exponent, &exact.is_mixed, prices[i]);
    }
    sbe_tick_match(&exact.size_exponent, &exact.is_mixed, quote->volume);
    sbe_tick_match_levels(&exact, quote->bids, quote->bid_count);
    sbe_tick_match_levels(&exact, quote->asks, quote->ask_count);
    return !exact.is_mixed && (quote->status == NULL || quote->status[0] != '\0');
}

static bool sbe_tick_bar_is_exact(const struct md_bar *bar)
{
    int exponent = 1;
    bool is_mixed = false;
    const struct md_decimal prices[] = {bar->open, bar->high, bar->low, bar->close};
    for (size_t i = 0; i < sizeof prices / sizeof prices[0]; i++) {
        sbe_tick_match(&exponent, &is_mixed, prices[i]);
    }
    return !is_mixed;
}

bool sbe_tick_is_exact(const struct md_update *update)
{
    struct sbe_tick_exact exact = {.price_exponent = 1, .size_exponent = 1};
    const char *reason;
    switch (update->type) {
    case MD_QUOTE:
        return sbe_tick_quote_is_exact(&update->quote);
    case MD_TRADE:
        return true;
    case MD_BAR:
        return sbe_tick_bar_is_exact(&update->bar);
    case MD_DEPTH:
        sbe_tick_match_levels(&exact, update->depth.bids, update->depth.bid_count);
        sbe_tick_match_levels(&exact, update->depth.asks, update->depth.ask_count);
        return !exact.is_mixed;
    case MD_STATUS:
        reason = update->status.reason;
        return update->status.state != NULL && update->status.state[0] != '\0' &&
               (reason == NULL || reason[0] != '\0');
    case MD_TYPE_COUNT:
        break;
    }
    assert_always(!"a tick has one of the types above");
    return false;
}
