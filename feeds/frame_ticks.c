#include "feeds/frame_ticks.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/json_numbers.h"
#include "feeds/json_field.h"

struct frame_ticks {
    json_t *message; /* the last one, which its tick borrows from */
    char *quoted;    /* the text with its numbers as strings */
    size_t quoted_capacity;
    struct md_level *bids; /* FRAME_TICKS_LEVELS_MAX each, touched as needed */
    struct md_level *asks;
};

/* A field that is a decimal, and where it belongs. */
struct frame_ticks_field {
    const char *key;
    struct md_decimal *decimal;
    bool is_size; /* It cannot be negative. */
};

int frame_ticks_create(struct frame_ticks **frames_out)
{
    struct frame_ticks *frames = calloc(1, sizeof *frames);
    if (frames == NULL) {
        return -ENOMEM;
    }
    frames->bids = calloc(FRAME_TICKS_LEVELS_MAX, sizeof *frames->bids);
    frames->asks = calloc(FRAME_TICKS_LEVELS_MAX, sizeof *frames->asks);
    if (frames->bids == NULL || frames->asks == NULL) {
        frame_ticks_destroy(frames);
        return -ENOMEM;
    }
    *frames_out = frames;
    return 0;
}

void frame_ticks_destroy(struct frame_ticks *frames)
{
    if (frames == NULL) {
        return;
    }
    json_decref(frames->message);
    free(frames->quoted);
    free(frames->bids);
    free(frames->asks);
    free(frames);
}

/* NULL: it is not JSON, has a key twice, or there is no memory for it. */
static json_t *frame_ticks_load(struct frame_ticks *frames, const char *text, size_t text_bytes)
{
    size_t capacity = JSON_NUMBERS_QUOTED_MAX(text_bytes);
    if (capacity > frames->quoted_capacity) {
        char *quoted = realloc(frames->quoted, capacity);
        if (quoted == NULL) {
            return NULL;
        }
        frames->quoted = quoted;
        frames->quoted_capacity = capacity;
    }
    size_t quoted_bytes = json_numbers_quote(frames->quoted, text, text_bytes);
    assert_always(quoted_bytes <= capacity);
    return json_loadb(frames->quoted, quoted_bytes, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
}

static bool frame_ticks_is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

/* A string, or *text_out = NULL where it is absent. */
static bool frame_ticks_optional_text(const json_t *value, const char **text_out)
{
    *text_out = json_field_text(value);
    return *text_out != NULL || frame_ticks_is_absent(value);
}

static bool frame_ticks_decimal(const json_t *value, bool is_size, struct md_decimal *decimal_out)
{
    size_t text_bytes;
    const char *text = json_field_number(value, &text_bytes);
    return text != NULL && decimal_parse(text, text_bytes, decimal_out) &&
           !(is_size && decimal_out->mantissa < 0);
}

/* Each is md_none where it is absent. */
static bool frame_ticks_fields(const json_t *data, const struct frame_ticks_field *fields,
                               size_t field_count)
{
    for (size_t i = 0; i < field_count; i++) {
        const json_t *value = json_object_get(data, fields[i].key);
        *fields[i].decimal = md_none;
        if (!frame_ticks_is_absent(value) &&
            !frame_ticks_decimal(value, fields[i].is_size, fields[i].decimal)) {
            return false;
        }
    }
    return true;
}

/* An integer from 0 to max; 0 where it is absent. */
static bool frame_ticks_integer(const json_t *object, const char *key, uint64_t max,
                                uint64_t *value_out, bool *is_given_out)
{
    size_t text_bytes;
    const json_t *value = json_object_get(object, key);
    const char *text = json_field_number(value, &text_bytes);
    *value_out = 0;
    *is_given_out = !frame_ticks_is_absent(value);
    return !*is_given_out ||
           (text != NULL && decimal_parse_u64(text, text_bytes, value_out) && *value_out <= max);
}

static bool frame_ticks_time(const json_t *object, const char *key, uint64_t *ns_out)
{
    bool is_given;
    return frame_ticks_integer(object, key, INT64_MAX, ns_out, &is_given);
}

/* [price, size]; a size of null is not given. */
static bool frame_ticks_level(const json_t *value, struct md_level *level_out)
{
    const json_t *size = json_array_get(value, 1);
    level_out->size = md_none;
    return json_array_size(value) == 2 &&
           frame_ticks_decimal(json_array_get(value, 0), false, &level_out->price) &&
           (json_is_null(size) || frame_ticks_decimal(size, true, &level_out->size));
}

/* data[key]: every level, in order; none where it is absent. */
static bool frame_ticks_levels(const json_t *data, const char *key, struct md_level *levels,
                               uint32_t *count_out)
{
    const json_t *array = json_object_get(data, key);
    size_t count = json_array_size(array);
    *count_out = 0;
    if (!(json_is_array(array) || frame_ticks_is_absent(array)) || count > FRAME_TICKS_LEVELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (!frame_ticks_level(json_array_get(array, i), &levels[i])) {
            return false;
        }
    }
    *count_out = (uint32_t)count;
    return true;
}

static const char *frame_ticks_quote(struct frame_ticks *frames, const json_t *data,
                                     struct md_update *update)
{
    struct md_quote *quote = &update->quote;
    const struct frame_ticks_field fields[] = {
        {"last", &quote->last, false},
        {"open", &quote->open, false},
        {"high", &quote->high, false},
        {"low", &quote->low, false},
        {"prev_close", &quote->prev_close, false},
        {"volume", &quote->volume, true},
        {"turnover", &quote->turnover, false},
    };
    *quote = (struct md_quote){.bids = frames->bids, .asks = frames->asks};
    if (!frame_ticks_fields(data, fields, sizeof fields / sizeof fields[0])) {
        return "quote: a price, volume or turnover is not a decimal of at most 18 digits";
    }
    if (!frame_ticks_levels(data, "bids", frames->bids, &quote->bid_count) ||
        !frame_ticks_levels(data, "asks", frames->asks, &quote->ask_count)) {
        return "quote: bids or asks is not an array of at most " FRAME_TICKS_LEVELS_MAX_TEXT
               " [price, size]";
    }
    if (!frame_ticks_optional_text(json_object_get(data, "status"), &quote->status)) {
        return "quote: status is not a string";
    }
    return NULL;
}

static const char *frame_ticks_trade(const json_t *data, struct md_update *update)
{
    struct md_trade *trade = &update->trade;
    const char *side;
    const struct frame_ticks_field fields[] = {
        {"price", &trade->price, false},
        {"size", &trade->size, true},
    };
    *trade = (struct md_trade){0};
    if (!frame_ticks_fields(data, fields, sizeof fields / sizeof fields[0]) ||
        !md_is_given(trade->price)) {
        return "trade: price is missing, or price or size is not a decimal of at most 18 digits";
    }
    if (!frame_ticks_optional_text(json_object_get(data, "side"), &side) ||
        (side != NULL && strcmp(side, "buy") != 0 && strcmp(side, "sell") != 0)) {
        return "trade: side is neither buy nor sell";
    }
    if (side != NULL) {
        trade->side = strcmp(side, "buy") == 0 ? MD_SIDE_BUY : MD_SIDE_SELL;
    }
    if (!frame_ticks_integer(data, "id", UINT64_MAX, &trade->id, &trade->has_id)) {
        return "trade: id is not an integer from 0 to 18446744073709551615";
    }
    return NULL;
}

static const char *frame_ticks_bar(const json_t *data, struct md_update *update)
{
    struct md_bar *bar = &update->bar;
    const char *interval = json_field_text(json_object_get(data, "interval"));
    const json_t *closed = json_object_get(data, "closed");
    const struct frame_ticks_field fields[] = {
        {"open", &bar->open, false},    {"high", &bar->high, false},
        {"low", &bar->low, false},      {"close", &bar->close, false},
        {"volume", &bar->volume, true}, {"turnover", &bar->turnover, false},
    };
    *bar = (struct md_bar){.closed = json_is_true(closed)};
    if (interval == NULL || interval[0] == '\0' || strlen(interval) > MD_INTERVAL_BYTES_MAX) {
        return "bar: interval is not a string of 1 to 7 bytes";
    }
    strcpy(bar->interval, interval);
    if (!frame_ticks_time(data, "start", &bar->start_ns) || bar->start_ns == 0) {
        return "bar: start is not a time in nanoseconds";
    }
    if (!frame_ticks_fields(data, fields, sizeof fields / sizeof fields[0])) {
        return "bar: a price, volume or turnover is not a decimal of at most 18 digits";
    }
    if (!md_is_given(bar->open) || !md_is_given(bar->high) || !md_is_given(bar->low) ||
        !md_is_given(bar->close)) {
        return "bar: open, high, low or close is missing";
    }
    if (!frame_ticks_integer(data, "count", UINT64_MAX, &bar->count, &bar->has_count)) {
        return "bar: count is not an integer from 0 to 18446744073709551615";
    }
    if (!frame_ticks_is_absent(closed) && !json_is_boolean(closed)) {
        return "bar: closed is neither true nor false";
    }
    return NULL;
}

static const char *frame_ticks_depth(struct frame_ticks *frames, const json_t *data,
                                     struct md_update *update)
{
    struct md_depth *depth = &update->depth;
    const char *action = json_field_text(json_object_get(data, "action"));
    uint64_t checksum;
    *depth = (struct md_depth){.bids = frames->bids, .asks = frames->asks};
    if (action == NULL || (strcmp(action, "snapshot") != 0 && strcmp(action, "delta") != 0)) {
        return "depth: action is neither snapshot nor delta";
    }
    depth->action = strcmp(action, "snapshot") == 0 ? MD_SNAPSHOT : MD_DELTA;
    if (json_object_get(data, "bids") == NULL && json_object_get(data, "asks") == NULL) {
        return "depth: it has neither bids nor asks";
    }
    if (!frame_ticks_levels(data, "bids", frames->bids, &depth->bid_count) ||
        !frame_ticks_levels(data, "asks", frames->asks, &depth->ask_count)) {
        return "depth: bids or asks is not an array of at most " FRAME_TICKS_LEVELS_MAX_TEXT
               " [price, size]";
    }
    if (!frame_ticks_integer(data, "checksum", UINT32_MAX, &checksum, &depth->has_checksum)) {
        return "depth: checksum is not an integer from 0 to 4294967295";
    }
    depth->checksum = (uint32_t)checksum;
    return NULL;
}

static const char *frame_ticks_status_data(const json_t *data, struct md_update *update)
{
    update->status.state = json_field_text(json_object_get(data, "state"));
    if (update->status.state == NULL ||
        !frame_ticks_optional_text(json_object_get(data, "reason"), &update->status.reason)) {
        return "status: state is missing, or state or reason is not a string";
    }
    return NULL;
}

/* Of a type that is known: fills in the rest of the tick, or returns what is wrong with it. */
static const char *frame_ticks_data(struct frame_ticks *frames, const json_t *data,
                                    struct md_update *update)
{
    if (!json_is_object(data)) {
        return "it has no data, or data is not an object";
    }
    switch (update->type) {
    case MD_QUOTE:
        return frame_ticks_quote(frames, data, update);
    case MD_TRADE:
        return frame_ticks_trade(data, update);
    case MD_BAR:
        return frame_ticks_bar(data, update);
    case MD_DEPTH:
        return frame_ticks_depth(frames, data, update);
    case MD_STATUS:
        return frame_ticks_status_data(data, update);
    case MD_TYPE_COUNT:
        break;
    }
    assert_always(!"a tick has one of the types above");
    return NULL;
}

static const char *frame_ticks_envelope(const json_t *message, struct frame_tick *tick)
{
    bool is_given;
    const char *symbol = json_field_text(json_object_get(message, "symbol"));
    size_t symbol_bytes = symbol == NULL ? 0 : strlen(symbol);
    if (symbol_bytes == 0 || symbol_bytes > sizeof tick->symbol) {
        return "symbol is not a string of 1 to 32 bytes";
    }
    tick->symbol_bytes = (uint8_t)symbol_bytes;
    memcpy(tick->symbol, symbol, symbol_bytes);
    if (!frame_ticks_time(message, "ts_event", &tick->update.ts_event_ns)) {
        return "ts_event is not a time in nanoseconds";
    }
    if (!frame_ticks_integer(message, "seq", UINT64_MAX, &tick->seq, &is_given)) {
        return "seq is not an integer from 0 to 18446744073709551615";
    }
    if (!frame_ticks_integer(message, "q", INT64_MAX, &tick->q, &is_given) ||
        (is_given && tick->q == 0)) {
        return "q is not an integer from 1 to 9223372036854775807";
    }
    tick->is_book_part = !frame_ticks_is_absent(json_object_get(message, "as_of"));
    return NULL;
}

/* MD_TYPE_COUNT: none of a data frame. STATUS is a control frame, and status is a data frame. */
static enum md_type frame_ticks_type(const char *name)
{
    enum md_type type = md_type_by_name(name, strlen(name));
    return type != MD_TYPE_COUNT && strcmp(name, md_type_name(type)) == 0 ? type : MD_TYPE_COUNT;
}

enum frame_ticks_status frame_ticks_parse(struct frame_ticks *frames, const char *text,
                                          size_t text_bytes, struct frame_tick *tick_out)
{
    json_decref(frames->message);
    frames->message = frame_ticks_load(frames, text, text_bytes);
    const json_t *message = frames->message;
    const char *name = json_field_text(json_object_get(message, "type"));
    *tick_out = (struct frame_tick){0};
    if (message == NULL) {
        tick_out->fault = "it is not JSON, or has a key twice";
        return FRAME_TICKS_MALFORMED;
    }
    if (name == NULL || name[0] == '\0') {
        tick_out->fault = "it has no type";
        return FRAME_TICKS_MALFORMED;
    }
    memcpy(tick_out->kind, name, strnlen(name, FRAME_TICKS_KIND_BYTES_MAX));
    tick_out->update.type = frame_ticks_type(name);
    if (tick_out->update.type == MD_TYPE_COUNT) {
        return FRAME_TICKS_OTHER;
    }
    tick_out->fault = frame_ticks_envelope(message, tick_out);
    if (tick_out->fault == NULL) {
        tick_out->fault =
            frame_ticks_data(frames, json_object_get(message, "data"), &tick_out->update);
    }
    return tick_out->fault == NULL ? FRAME_TICKS_TICK : FRAME_TICKS_MALFORMED;
}
