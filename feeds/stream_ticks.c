#include "feeds/stream_ticks.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/bytes.h"
#include "codec/base/check.h"
#include "codec/sbe_tick_read.h"
#include "codec/utf8.h"
#include "feeds/json_field.h"

struct stream_ticks {
    struct sbe_tick_room room;
};

/* ---- Reading ---- */

int stream_ticks_create(struct stream_ticks **reader_out)
{
    struct stream_ticks *reader = calloc(1, sizeof *reader);
    if (reader == NULL) {
        return -ENOMEM;
    }
    reader->room.level_count_max = 2 * SBE_TICK_LEVELS_MAX;
    reader->room.texts_bytes = 2 * (SBE_TICK_TEXT_BYTES_MAX + 1);
    reader->room.levels = calloc(reader->room.level_count_max, sizeof *reader->room.levels);
    reader->room.texts = calloc(1, reader->room.texts_bytes);
    if (reader->room.levels == NULL || reader->room.texts == NULL) {
        stream_ticks_destroy(reader);
        return -ENOMEM;
    }
    *reader_out = reader;
    return 0;
}

void stream_ticks_destroy(struct stream_ticks *reader)
{
    if (reader == NULL) {
        return;
    }
    free(reader->room.levels);
    free(reader->room.texts);
    free(reader);
}

static inline bool stream_ticks_is_negative(struct md_decimal decimal)
{
    return decimal.mantissa < 0 && md_is_given(decimal);
}

static bool stream_ticks_any_negative(const struct md_level *levels, uint32_t level_count)
{
    bool is_negative = false;
    for (uint32_t i = 0; i < level_count; i++) {
        is_negative |= stream_ticks_is_negative(levels[i].size);
    }
    return is_negative;
}

/* What SBE can hold and is no tick: the rules of frame_ticks. NULL: it is one. */
static const char *stream_ticks_fault(const struct md_update *update)
{
    const struct md_quote *quote = &update->quote;
    const struct md_bar *bar = &update->bar;
    const struct md_depth *depth = &update->depth;
    if (update->ts_event_ns > INT64_MAX) {
        return "ts_event is after the year 2262";
    }
    switch (update->type) {
    case MD_QUOTE:
        return stream_ticks_is_negative(quote->volume) ||
                       stream_ticks_any_negative(quote->bids, quote->bid_count) ||
                       stream_ticks_any_negative(quote->asks, quote->ask_count)
                   ? "quote: volume or a size is negative"
                   : NULL;
    case MD_TRADE:
        return !md_is_given(update->trade.price) || stream_ticks_is_negative(update->trade.size)
                   ? "trade: price is null, or size is negative"
                   : NULL;
    case MD_BAR:
        return bar->interval[0] == '\0' || bar->start_ns == 0 || bar->start_ns > INT64_MAX ||
                       !md_is_given(bar->open) || !md_is_given(bar->high) ||
                       !md_is_given(bar->low) || !md_is_given(bar->close) ||
                       stream_ticks_is_negative(bar->volume)
                   ? "bar: interval, start, open, high, low or close is null, or volume is negative"
                   : NULL;
    case MD_DEPTH:
        return stream_ticks_any_negative(depth->bids, depth->bid_count) ||
                       stream_ticks_any_negative(depth->asks, depth->ask_count)
                   ? "depth: a size is negative"
                   : NULL;
    case MD_STATUS:
        return update->status.state == NULL ? "status: state is empty" : NULL;
    case MD_TYPE_COUNT:
        break;
    }
    assert_always(!"sbe_tick_read knows these types only");
    return NULL;
}

static enum stream_ticks_status stream_ticks_malformed(struct stream_tick *tick, const char *fault)
{
    tick->fault = fault;
    return STREAM_TICKS_MALFORMED;
}

enum stream_ticks_status stream_ticks_parse(struct stream_ticks *reader,
                                            const struct stream_ticks_table *table,
                                            const uint8_t *message, size_t message_bytes,
                                            struct stream_tick *tick_out)
{
    struct sbe_tick sbe;
    *tick_out = (struct stream_tick){0};
    if (message_bytes > 0 && message[0] == '{') {
        return STREAM_TICKS_JSON;
    }
    if (message_bytes < SBE_TICK_COMMON_BYTES) {
        return stream_ticks_malformed(tick_out, "the message is too short for one of SBE");
    }
    uint64_t q = bytes_load_le64(message + SBE_TICK_SEQ_AT);
    tick_out->q = q > INT64_MAX ? 0 : q;
    if (bytes_load_le16(message + SBE_TICK_SCHEMA_AT) != SBE_TICK_SCHEMA_ID) {
        return stream_ticks_malformed(tick_out, "the message is not of the schema 901");
    }
    if (q > INT64_MAX) {
        return stream_ticks_malformed(tick_out, "seq is above 9223372036854775807");
    }
    tick_out->channel = stream_ticks_find(table, bytes_load_le32(message + SBE_TICK_CHANNEL_AT));
    if (tick_out->channel == NULL) {
        return stream_ticks_malformed(tick_out, "no DEFINITION has named this ch");
    }
    if (bytes_load_le16(message + SBE_TICK_TEMPLATE_AT) != tick_out->channel->type + 1) {
        return stream_ticks_malformed(tick_out, "the DEFINITION of this ch names another type");
    }
    if (!sbe_tick_read(&sbe, &reader->room, message, message_bytes)) {
        return stream_ticks_malformed(tick_out,
                                      "a field of the SBE message is not as in docs/sbe.md");
    }
    tick_out->update = sbe.update;
    tick_out->fault = stream_ticks_fault(&tick_out->update);
    return tick_out->fault == NULL ? STREAM_TICKS_TICK : STREAM_TICKS_MALFORMED;
}

/* ---- Channels ---- */

void stream_ticks_table_deinit(struct stream_ticks_table *table)
{
    free(table->channels);
    *table = (struct stream_ticks_table){0};
}

struct stream_ticks_channel *stream_ticks_find(const struct stream_ticks_table *table, uint64_t ch)
{
    return ch < table->channel_count && table->channels[ch].symbol_bytes > 0 ? &table->channels[ch]
                                                                             : NULL;
}

/* false: no memory. */
static bool stream_ticks_grow(struct stream_ticks_table *table, uint64_t ch)
{
    assert_always(ch < STREAM_TICKS_CHANNELS_MAX);
    uint32_t count = table->channel_count == 0 ? 64 : table->channel_count;
    while (count <= ch) {
        count *= 2;
    }
    struct stream_ticks_channel *channels = realloc(table->channels, count * sizeof *channels);
    if (channels == NULL) {
        return false;
    }
    memset(channels + table->channel_count, 0, (count - table->channel_count) * sizeof *channels);
    table->channels = channels;
    table->channel_count = count;
    return true;
}

const char *stream_ticks_bind(struct stream_ticks_table *table, uint64_t ch, const char *symbol,
                              size_t symbol_bytes, enum md_type type, uint32_t value)
{
    assert_always((unsigned)type < MD_TYPE_COUNT);
    const struct stream_ticks_channel *bound = stream_ticks_find(table, ch);
    if (ch >= STREAM_TICKS_CHANNELS_MAX) {
        return "ch is not an integer from 0 to 65535";
    }
    if (symbol_bytes == 0 || symbol_bytes > MD_SYMBOL_BYTES_MAX ||
        !utf8_is_valid((const uint8_t *)symbol, symbol_bytes)) {
        return "symbol is not a string of 1 to 32 bytes";
    }
    if (bound != NULL) {
        bool is_same = bound->type == type && bound->symbol_bytes == symbol_bytes &&
                       memcmp(bound->symbol, symbol, symbol_bytes) == 0;
        return is_same ? NULL : "this ch is bound to another symbol or type";
    }
    if (ch >= table->channel_count && !stream_ticks_grow(table, ch)) {
        return "there is no memory for another ch";
    }
    struct stream_ticks_channel *channel = &table->channels[ch];
    *channel = (struct stream_ticks_channel){
        .value = value, .type = type, .symbol_bytes = (uint8_t)symbol_bytes};
    memcpy(channel->symbol, symbol, symbol_bytes);
    return NULL;
}

const char *stream_ticks_define(struct stream_ticks_table *table, const char *text,
                                size_t text_bytes,
                                uint32_t (*value_of)(void *context, const char *symbol,
                                                     size_t symbol_bytes, enum md_type type),
                                void *context)
{
    json_t *message = json_loadb(text, text_bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    const json_t *channels = json_object_get(json_object_get(message, "data"), "channels");
    const char *fault =
        json_is_array(channels) ? NULL : "DEFINITION: data.channels is not an array";
    for (size_t i = 0; i < json_array_size(channels) && fault == NULL; i++) {
        const json_t *channel = json_array_get(channels, i);
        const char *symbol = json_field_text(json_object_get(channel, "symbol"));
        const char *name = json_field_text(json_object_get(channel, "type"));
        const json_t *ch = json_object_get(channel, "ch");
        size_t symbol_bytes = symbol == NULL ? 0 : strlen(symbol);
        enum md_type type = name == NULL ? MD_TYPE_COUNT : md_type_by_name(name, strlen(name));
        if (type == MD_TYPE_COUNT) {
            fault = "DEFINITION: type is none of quote, trade, bar, depth, status";
        } else if (!json_is_integer(ch) || json_integer_value(ch) < 0) {
            fault = "DEFINITION: ch is not an integer from 0 to 65535";
        } else {
            uint64_t number = (uint64_t)json_integer_value(ch);
            bool is_new = stream_ticks_find(table, number) == NULL;
            fault = stream_ticks_bind(table, number, symbol, symbol_bytes, type, 0);
            if (fault == NULL && is_new) {
                table->channels[number].value = value_of(context, symbol, symbol_bytes, type);
            }
        }
    }
    json_decref(message);
    return fault;
}

/* ---- Writing ---- */

size_t stream_ticks_put(uint8_t *out, size_t out_bytes, uint32_t ch, const struct md_update *update,
                        uint64_t q)
{
    if (out_bytes < STREAM_TICKS_LENGTH_BYTES) {
        return 0;
    }
    size_t bytes = sbe_tick_encode(out + STREAM_TICKS_LENGTH_BYTES,
                                   out_bytes - STREAM_TICKS_LENGTH_BYTES, ch, update, q, 0);
    if (bytes == 0 || bytes > STREAM_TICKS_MESSAGE_BYTES_MAX) {
        return 0;
    }
    bytes_store_le32(out, (uint32_t)bytes);
    return STREAM_TICKS_LENGTH_BYTES + bytes;
}

size_t stream_ticks_put_json(uint8_t *out, size_t out_bytes, const char *text, size_t text_bytes)
{
    if (text_bytes > STREAM_TICKS_MESSAGE_BYTES_MAX ||
        out_bytes < STREAM_TICKS_LENGTH_BYTES + text_bytes) {
        return 0;
    }
    bytes_store_le32(out, (uint32_t)text_bytes);
    memcpy(out + STREAM_TICKS_LENGTH_BYTES, text, text_bytes);
    return STREAM_TICKS_LENGTH_BYTES + text_bytes;
}
