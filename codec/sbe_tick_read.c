#include "codec/sbe_tick_read.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/utf8.h"

#define SBE_TICK_READ_HEADER_BYTES 8
#define SBE_TICK_READ_LEVEL_BYTES 16

/* By enum md_type: a block of version 0, and the least of later ones. */
static const uint16_t sbe_tick_read_block_bytes[MD_TYPE_COUNT] = {
    [MD_QUOTE] = 96, [MD_TRADE] = 64, [MD_BAR] = 112, [MD_DEPTH] = 44, [MD_STATUS] = 36,
};

struct sbe_tick_reader {
    const struct sbe_tick_room *room;
    const uint8_t *block;
    const uint8_t *at; /* behind the block, then behind each group and text */
    const uint8_t *end;
    uint32_t level_count; /* written to the room */
    size_t texts_used;
    int8_t price_exponent;
    int8_t size_exponent;
    bool may_append; /* The version is a later one. */
    bool failed;
};

/* ---- Fields at an offset of the block ---- */

static uint8_t sbe_tick_read_u8(const struct sbe_tick_reader *reader, size_t offset)
{
    return reader->block[offset];
}

static uint32_t sbe_tick_read_u32(const struct sbe_tick_reader *reader, size_t offset)
{
    uint32_t value;
    memcpy(&value, reader->block + offset, sizeof value);
    return value;
}

static uint64_t sbe_tick_read_u64(const struct sbe_tick_reader *reader, size_t offset)
{
    uint64_t value;
    memcpy(&value, reader->block + offset, sizeof value);
    return value;
}

static uint64_t sbe_tick_read_time(const struct sbe_tick_reader *reader, size_t offset)
{
    uint64_t value = sbe_tick_read_u64(reader, offset);
    return value == UINT64_MAX ? 0 : value;
}

static int8_t sbe_tick_read_exponent(struct sbe_tick_reader *reader, size_t offset)
{
    int8_t exponent = (int8_t)reader->block[offset];
    reader->failed |= exponent > 0 || exponent < -DECIMAL_PLACES_MAX;
    return exponent;
}

static struct md_decimal sbe_tick_read_decimal(const uint8_t *at, int8_t exponent)
{
    struct md_decimal decimal = {.exponent = exponent};
    memcpy(&decimal.mantissa, at, sizeof decimal.mantissa);
    return decimal.mantissa == MD_NONE ? md_none : decimal;
}

static struct md_decimal sbe_tick_read_price(const struct sbe_tick_reader *reader, size_t offset)
{
    return sbe_tick_read_decimal(reader->block + offset, reader->price_exponent);
}

static struct md_decimal sbe_tick_read_size(const struct sbe_tick_reader *reader, size_t offset)
{
    return sbe_tick_read_decimal(reader->block + offset, reader->size_exponent);
}

/* Later versions append to a block and to the entries of a group. */
static bool sbe_tick_read_is_length(bool may_append, size_t bytes, size_t bytes_of_version_0)
{
    return bytes == bytes_of_version_0 || (may_append && bytes > bytes_of_version_0);
}

/* ---- What follows the block ---- */

static uint16_t sbe_tick_read_next_u16(struct sbe_tick_reader *reader)
{
    uint16_t value = 0;
    if (reader->end - reader->at < (ptrdiff_t)sizeof value) {
        reader->failed = true;
        return 0;
    }
    memcpy(&value, reader->at, sizeof value);
    reader->at += sizeof value;
    return value;
}

static const struct md_level *sbe_tick_read_levels(struct sbe_tick_reader *reader,
                                                   uint32_t *count_out)
{
    size_t level_bytes = sbe_tick_read_next_u16(reader);
    size_t count = sbe_tick_read_next_u16(reader);
    struct md_level *levels = reader->room->levels + reader->level_count;
    *count_out = 0;
    if (reader->failed || count > SBE_TICK_LEVELS_MAX ||
        !sbe_tick_read_is_length(reader->may_append, level_bytes, SBE_TICK_READ_LEVEL_BYTES) ||
        (size_t)(reader->end - reader->at) < count * level_bytes ||
        reader->room->level_count_max - reader->level_count < count) {
        reader->failed = true;
        return levels;
    }
    for (size_t i = 0; i < count; i++, reader->at += level_bytes) {
        levels[i].price = sbe_tick_read_decimal(reader->at, reader->price_exponent);
        levels[i].size = sbe_tick_read_decimal(reader->at + 8, reader->size_exponent);
        reader->failed |= !md_is_given(levels[i].price);
    }
    reader->level_count += (uint32_t)count;
    assert_always(reader->at <= reader->end);
    *count_out = (uint32_t)count;
    return levels;
}

/* NULL: it is empty, which means that it is not given. */
static const char *sbe_tick_read_text(struct sbe_tick_reader *reader)
{
    size_t bytes = sbe_tick_read_next_u16(reader);
    char *text = reader->room->texts + reader->texts_used;
    if (reader->failed || bytes > SBE_TICK_TEXT_BYTES_MAX ||
        (size_t)(reader->end - reader->at) < bytes ||
        reader->room->texts_bytes - reader->texts_used <= bytes ||
        memchr(reader->at, 0, bytes) != NULL || !utf8_is_valid(reader->at, bytes)) {
        reader->failed = true;
        return NULL;
    }
    memcpy(text, reader->at, bytes);
    text[bytes] = 0;
    reader->at += bytes;
    reader->texts_used += bytes + 1;
    return bytes == 0 ? NULL : text;
}

/* ---- Messages ---- */

static void sbe_tick_read_quote(struct sbe_tick_reader *reader, struct md_quote *quote)
{
    int8_t turnover_exponent = sbe_tick_read_exponent(reader, 38);
    quote->last = sbe_tick_read_price(reader, 40);
    quote->open = sbe_tick_read_price(reader, 48);
    quote->high = sbe_tick_read_price(reader, 56);
    quote->low = sbe_tick_read_price(reader, 64);
    quote->prev_close = sbe_tick_read_price(reader, 72);
    quote->volume = sbe_tick_read_size(reader, 80);
    quote->turnover = sbe_tick_read_decimal(reader->block + 88, turnover_exponent);
    quote->bids = sbe_tick_read_levels(reader, &quote->bid_count);
    quote->asks = sbe_tick_read_levels(reader, &quote->ask_count);
    quote->status = sbe_tick_read_text(reader);
}

static void sbe_tick_read_trade(struct sbe_tick_reader *reader, struct md_trade *trade)
{
    uint8_t side = sbe_tick_read_u8(reader, 38);
    uint64_t id = sbe_tick_read_u64(reader, 56);
    reader->failed |= side != 1 && side != 2 && side != UINT8_MAX;
    trade->side = side == 1 ? MD_SIDE_BUY : side == 2 ? MD_SIDE_SELL : MD_SIDE_NONE;
    trade->price = sbe_tick_read_price(reader, 40);
    trade->size = sbe_tick_read_size(reader, 48);
    trade->has_id = id != UINT64_MAX;
    trade->id = id;
}

/* Filled up with zeros, of which there is one at least. */
static void sbe_tick_read_interval(struct sbe_tick_reader *reader,
                                   char interval[MD_INTERVAL_BYTES_MAX + 1])
{
    const size_t room = MD_INTERVAL_BYTES_MAX + 1;
    memcpy(interval, reader->block + 40, room);
    size_t bytes = strnlen(interval, room);
    reader->failed |= bytes == room || !utf8_is_valid((const uint8_t *)interval, bytes);
    for (size_t i = bytes; i < room; i++) {
        reader->failed |= interval[i] != 0;
    }
}

static void sbe_tick_read_bar(struct sbe_tick_reader *reader, struct md_bar *bar)
{
    int8_t turnover_exponent = sbe_tick_read_exponent(reader, 38);
    uint64_t count = sbe_tick_read_u64(reader, 104);
    uint8_t closed = sbe_tick_read_u8(reader, 39);
    reader->failed |= closed > 1;
    bar->closed = closed == 1;
    sbe_tick_read_interval(reader, bar->interval);
    bar->start_ns = sbe_tick_read_time(reader, 48);
    bar->open = sbe_tick_read_price(reader, 56);
    bar->high = sbe_tick_read_price(reader, 64);
    bar->low = sbe_tick_read_price(reader, 72);
    bar->close = sbe_tick_read_price(reader, 80);
    bar->volume = sbe_tick_read_size(reader, 88);
    bar->turnover = sbe_tick_read_decimal(reader->block + 96, turnover_exponent);
    bar->has_count = count != UINT64_MAX;
    bar->count = count;
}

static void sbe_tick_read_depth(struct sbe_tick_reader *reader, struct md_depth *depth)
{
    uint8_t action = sbe_tick_read_u8(reader, SBE_TICK_ACTION_AT - SBE_TICK_READ_HEADER_BYTES);
    uint32_t checksum = sbe_tick_read_u32(reader, 40);
    reader->failed |= action > 1;
    depth->action = action == 1 ? MD_DELTA : MD_SNAPSHOT;
    depth->has_checksum = checksum != UINT32_MAX;
    depth->checksum = checksum;
    depth->bids = sbe_tick_read_levels(reader, &depth->bid_count);
    depth->asks = sbe_tick_read_levels(reader, &depth->ask_count);
}

static void sbe_tick_read_body(struct sbe_tick_reader *reader, struct md_update *update)
{
    if (update->type == MD_STATUS) {
        update->status.state = sbe_tick_read_text(reader);
        update->status.reason = sbe_tick_read_text(reader);
        return;
    }
    reader->price_exponent = sbe_tick_read_exponent(reader, 36);
    reader->size_exponent = sbe_tick_read_exponent(reader, 37);
    if (update->type == MD_QUOTE) {
        sbe_tick_read_quote(reader, &update->quote);
    } else if (update->type == MD_TRADE) {
        sbe_tick_read_trade(reader, &update->trade);
    } else if (update->type == MD_BAR) {
        sbe_tick_read_bar(reader, &update->bar);
    } else {
        sbe_tick_read_depth(reader, &update->depth);
    }
}

bool sbe_tick_read(struct sbe_tick *tick_out, const struct sbe_tick_room *room,
                   const uint8_t *payload, size_t payload_bytes)
{
    uint16_t header[4]; /* block, template, schema, version */
    if (payload_bytes < SBE_TICK_COMMON_BYTES) {
        return false;
    }
    memcpy(header, payload, sizeof header);
    bool may_append = header[3] > 0;
    if (header[2] != SBE_TICK_SCHEMA_ID || header[1] < 1 || header[1] > MD_TYPE_COUNT ||
        !sbe_tick_read_is_length(may_append, header[0], sbe_tick_read_block_bytes[header[1] - 1]) ||
        payload_bytes - SBE_TICK_READ_HEADER_BYTES < header[0]) {
        return false;
    }
    struct sbe_tick_reader reader = {
        .room = room,
        .block = payload + SBE_TICK_READ_HEADER_BYTES,
        .at = payload + SBE_TICK_READ_HEADER_BYTES + header[0],
        .end = payload + payload_bytes,
        .may_append = may_append,
    };
    *tick_out = (struct sbe_tick){
        .seq = sbe_tick_read_u64(&reader, 0),
        .ts_pub_ns = sbe_tick_read_u64(&reader, 24),
        .update =
            {
                .type = (enum md_type)(header[1] - 1),
                .channel = sbe_tick_read_u32(&reader, 32),
                .ts_event_ns = sbe_tick_read_time(&reader, 8),
                .ts_recv_ns = sbe_tick_read_time(&reader, 16),
            },
    };
    sbe_tick_read_body(&reader, &tick_out->update);
    return !reader.failed && (reader.at == reader.end || may_append);
}
