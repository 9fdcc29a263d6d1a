#include "codec/json_tick_reader.h"

#include <string.h>

#include "codec/decimal.h"

struct json_tick_text {
    const char *at;
    size_t bytes;
};

/* What is still to be read. */
struct json_tick_cursor {
    const char *at;
    const char *end;
};

static bool json_tick_take(struct json_tick_cursor *cursor, char expected)
{
    if (cursor->at == cursor->end || *cursor->at != expected) {
        return false;
    }
    cursor->at++;
    return true;
}

/* Between quotes; escapes stay as they are. */
static bool json_tick_take_string(struct json_tick_cursor *cursor, struct json_tick_text *text)
{
    if (!json_tick_take(cursor, '"')) {
        return false;
    }
    text->at = cursor->at;
    while (cursor->at < cursor->end && *cursor->at != '"') {
        cursor->at += *cursor->at == '\\' && cursor->end - cursor->at > 1 ? 2 : 1;
    }
    text->bytes = (size_t)(cursor->at - text->at);
    return json_tick_take(cursor, '"');
}

/* A number, true, false or null. */
static struct json_tick_text json_tick_take_word(struct json_tick_cursor *cursor)
{
    struct json_tick_text word = {.at = cursor->at};
    while (cursor->at < cursor->end && strchr(",]}", *cursor->at) == NULL) {
        cursor->at++;
    }
    word.bytes = (size_t)(cursor->at - word.at);
    return word;
}

static bool json_tick_is(struct json_tick_text text, const char *name)
{
    return text.bytes == strlen(name) && memcmp(text.at, name, text.bytes) == 0;
}

static bool json_tick_take_u64(struct json_tick_cursor *cursor, uint64_t *value_out)
{
    struct json_tick_text word = json_tick_take_word(cursor);
    uint64_t value = 0;
    for (size_t i = 0; i < word.bytes; i++) {
        unsigned digit = (unsigned char)word.at[i] - (unsigned)'0';
        if (digit > 9 || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, digit, &value)) {
            return false;
        }
    }
    *value_out = value;
    return word.bytes > 0;
}

static bool json_tick_take_decimal(struct json_tick_cursor *cursor, struct md_decimal *decimal_out)
{
    struct json_tick_text word = json_tick_take_word(cursor);
    *decimal_out = md_none;
    return json_tick_is(word, "null") || decimal_parse(word.at, word.bytes, decimal_out);
}

/* [[price,size],...] */
static bool json_tick_take_levels(struct json_tick_cursor *cursor, struct md_level *levels,
                                  uint32_t *count_out)
{
    uint32_t count = 0;
    if (!json_tick_take(cursor, '[')) {
        return false;
    }
    while (cursor->at < cursor->end && *cursor->at == '[') {
        if (count == JSON_TICK_READER_LEVELS_MAX) {
            return false;
        }
        struct md_level *level = &levels[count++];
        if (!json_tick_take(cursor, '[') || !json_tick_take_decimal(cursor, &level->price) ||
            !json_tick_take(cursor, ',') || !json_tick_take_decimal(cursor, &level->size) ||
            !json_tick_take(cursor, ']')) {
            return false;
        }
        json_tick_take(cursor, ',');
    }
    *count_out = count;
    return json_tick_take(cursor, ']');
}

static bool json_tick_copy_text(struct json_tick_cursor *cursor, char *out, size_t bytes_max)
{
    struct json_tick_text text;
    if (!json_tick_take_string(cursor, &text) || text.bytes > bytes_max ||
        memchr(text.at, '\\', text.bytes) != NULL) {
        return false;
    }
    memcpy(out, text.at, text.bytes);
    out[text.bytes] = '\0';
    return true;
}

struct json_tick_decimal_field {
    const char *name;
    struct md_decimal *decimal;
};

static bool json_tick_read_decimal_field(struct json_tick_cursor *cursor,
                                         struct json_tick_text name,
                                         const struct json_tick_decimal_field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (json_tick_is(name, fields[i].name)) {
            return json_tick_take_decimal(cursor, fields[i].decimal);
        }
    }
    return false;
}

static bool json_tick_read_quote_field(struct json_tick_reader *reader,
                                       struct json_tick_cursor *cursor, struct json_tick_text name)
{
    struct md_quote *quote = &reader->update.quote;
    struct json_tick_text filler;
    const struct json_tick_decimal_field fields[] = {
        {"last", &quote->last},         {"open", &quote->open},
        {"high", &quote->high},         {"low", &quote->low},
        {"volume", &quote->volume},     {"prev_close", &quote->prev_close},
        {"turnover", &quote->turnover},
    };
    if (json_tick_is(name, "bids")) {
        quote->bids = reader->bids;
        return json_tick_take_levels(cursor, reader->bids, &quote->bid_count);
    }
    if (json_tick_is(name, "asks")) {
        quote->asks = reader->asks;
        return json_tick_take_levels(cursor, reader->asks, &quote->ask_count);
    }
    if (json_tick_is(name, "status")) {
        quote->status = reader->status;
        return json_tick_copy_text(cursor, reader->status, JSON_TICK_READER_STATUS_BYTES_MAX);
    }
    if (json_tick_is(name, "pad")) {
        return json_tick_take_string(cursor, &filler);
    }
    return json_tick_read_decimal_field(cursor, name, fields, sizeof fields / sizeof fields[0]);
}

static bool json_tick_read_bar_field(struct json_tick_reader *reader,
                                     struct json_tick_cursor *cursor, struct json_tick_text name)
{
    struct md_bar *bar = &reader->update.bar;
    const struct json_tick_decimal_field fields[] = {
        {"open", &bar->open},   {"high", &bar->high},     {"low", &bar->low},
        {"close", &bar->close}, {"volume", &bar->volume}, {"turnover", &bar->turnover},
    };
    if (json_tick_is(name, "interval")) {
        return json_tick_copy_text(cursor, bar->interval, MD_INTERVAL_BYTES_MAX);
    }
    if (json_tick_is(name, "start")) {
        return json_tick_take_u64(cursor, &bar->start_ns);
    }
    if (json_tick_is(name, "count")) {
        bar->has_count = true;
        return json_tick_take_u64(cursor, &bar->count);
    }
    if (json_tick_is(name, "closed")) {
        struct json_tick_text word = json_tick_take_word(cursor);
        bar->closed = json_tick_is(word, "true");
        return bar->closed || json_tick_is(word, "false");
    }
    return json_tick_read_decimal_field(cursor, name, fields, sizeof fields / sizeof fields[0]);
}

static bool json_tick_read_data(struct json_tick_reader *reader, struct json_tick_cursor *cursor)
{
    if (!json_tick_take(cursor, '{')) {
        return false;
    }
    if (json_tick_take(cursor, '}')) {
        return true;
    }
    do {
        struct json_tick_text name;
        if (!json_tick_take_string(cursor, &name) || !json_tick_take(cursor, ':')) {
            return false;
        }
        bool is_read = reader->update.type == MD_QUOTE
                           ? json_tick_read_quote_field(reader, cursor, name)
                           : json_tick_read_bar_field(reader, cursor, name);
        if (!is_read) {
            return false;
        }
    } while (json_tick_take(cursor, ','));
    return json_tick_take(cursor, '}');
}

static void json_tick_clear(struct md_update *update)
{
    if (update->type == MD_QUOTE) {
        update->quote = (struct md_quote){
            .last = md_none,
            .open = md_none,
            .high = md_none,
            .low = md_none,
            .prev_close = md_none,
            .volume = md_none,
            .turnover = md_none,
        };
    } else {
        update->bar = (struct md_bar){
            .open = md_none,
            .high = md_none,
            .low = md_none,
            .close = md_none,
            .volume = md_none,
            .turnover = md_none,
        };
    }
}

static bool json_tick_read_member(struct json_tick_reader *reader, struct json_tick_cursor *cursor,
                                  struct json_tick_text name)
{
    struct md_update *update = &reader->update;
    struct json_tick_text text;
    uint64_t channel;
    if (json_tick_is(name, "type")) {
        if (!json_tick_take_string(cursor, &text)) {
            return false;
        }
        update->type = md_type_by_name(text.at, text.bytes);
        json_tick_clear(update);
        return update->type == MD_QUOTE || update->type == MD_BAR;
    }
    if (json_tick_is(name, "symbol")) {
        return json_tick_take_string(cursor, &text);
    }
    if (json_tick_is(name, "ch")) {
        bool is_read = json_tick_take_u64(cursor, &channel) && channel <= UINT32_MAX;
        update->channel = is_read ? (uint32_t)channel : 0;
        return is_read;
    }
    if (json_tick_is(name, "seq")) {
        return json_tick_take_u64(cursor, &reader->seq);
    }
    if (json_tick_is(name, "ts_event")) {
        return json_tick_take_u64(cursor, &update->ts_event_ns);
    }
    if (json_tick_is(name, "ts_recv")) {
        return json_tick_take_u64(cursor, &update->ts_recv_ns);
    }
    if (json_tick_is(name, "ts_pub")) {
        return json_tick_take_u64(cursor, &reader->ts_pub_ns);
    }
    return json_tick_is(name, "data") && json_tick_read_data(reader, cursor);
}

bool json_tick_read(struct json_tick_reader *reader, const uint8_t *payload, size_t payload_bytes)
{
    struct json_tick_cursor cursor = {
        .at = (const char *)payload,
        .end = (const char *)payload + payload_bytes,
    };
    reader->update = (struct md_update){.type = MD_TYPE_COUNT};
    reader->seq = 0;
    reader->ts_pub_ns = 0;
    if (!json_tick_take(&cursor, '{')) {
        return false;
    }
    do {
        struct json_tick_text name;
        bool is_first = reader->update.type == MD_TYPE_COUNT;
        if (!json_tick_take_string(&cursor, &name) || !json_tick_take(&cursor, ':') ||
            is_first != json_tick_is(name, "type") ||
            !json_tick_read_member(reader, &cursor, name)) {
            return false;
        }
    } while (json_tick_take(&cursor, ','));
    return json_tick_take(&cursor, '}') && cursor.at == cursor.end;
}
