#include "feeds/venue/venue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/decimal.h"
#include "codec/json_numbers.h"
#include "feeds/json_field.h"

#define VENUE_TIME_MS_END UINT64_C(100000000000000)    /* in microseconds: 1973 */
#define VENUE_TIME_US_END UINT64_C(100000000000000000) /* in nanoseconds: 1973 */

#define VENUE_SLOT_COUNT 16384 /* A quarter stays free, so that a search always ends. */

static_assert(VENUE_SYMBOLS_MAX <= VENUE_SLOT_COUNT * 3 / 4, "free slots end a search");

int venue_create(struct venue **venue_out, const struct venue_ops *ops, const char *suffix,
                 const struct feed_sink *sink, struct feed_counters *counters)
{
    suffix = suffix == NULL ? ops->suffix : suffix;
    assert_always(suffix[0] != '\0');
    assert_always(strlen(suffix) <= VENUE_SUFFIX_BYTES_MAX);

    struct venue *venue = calloc(1, sizeof *venue);
    if (venue == NULL) {
        return -ENOMEM;
    }
    venue->ops = ops;
    venue->sink = sink;
    venue->counters = counters;
    venue->stream = 1;
    strcpy(venue->suffix, suffix);
    venue->bids = calloc(VENUE_LEVELS_MAX, sizeof *venue->bids);
    venue->asks = calloc(VENUE_LEVELS_MAX, sizeof *venue->asks);
    venue->scratch = calloc(VENUE_LEVELS_MAX, sizeof *venue->scratch);
    venue->symbols = calloc(VENUE_SLOT_COUNT, sizeof *venue->symbols);
    if (venue->bids == NULL || venue->asks == NULL || venue->scratch == NULL ||
        venue->symbols == NULL) {
        venue_destroy(venue);
        return -ENOMEM;
    }
    *venue_out = venue;
    return 0;
}

void venue_destroy(struct venue *venue)
{
    if (venue == NULL) {
        return;
    }
    free(venue->bids);
    free(venue->asks);
    free(venue->scratch);
    free(venue->symbols);
    free(venue);
}

/* Not JSON, or a number in it is beyond those of jansson: then NULL and *is_json_out. */
static json_t *venue_load(const char *text, size_t text_bytes, bool *is_json_out)
{
    json_error_t error;
    json_t *message = json_loadb(text, text_bytes, JSON_ALLOW_NUL, &error);
    *is_json_out = message != NULL || json_error_code(&error) == json_error_numeric_overflow;
    return message;
}

/* With numbers as they are written, which jansson's may not be (1.10, 1e-30, 2^64 - 1). */
static json_t *venue_load_quoted(const char *text, size_t text_bytes)
{
    bool is_json;
    char *quoted = malloc(JSON_NUMBERS_QUOTED_MAX(text_bytes));
    if (quoted == NULL) {
        return NULL;
    }
    size_t quoted_bytes = json_numbers_quote(quoted, text, text_bytes);
    json_t *message = venue_load(quoted, quoted_bytes, &is_json);
    free(quoted);
    return message;
}

static enum venue_status venue_decode_json(struct venue *venue, const json_t *message,
                                           uint64_t ts_recv_ns)
{
    venue->fault = NULL;
    venue->symbol = NULL;
    venue->is_of_none = false;
    return message == NULL ? venue_fault(venue, "it is not JSON")
                           : venue->ops->decode(venue, message, ts_recv_ns);
}

enum venue_status venue_decode(struct venue *venue, const char *text, size_t text_bytes,
                               uint64_t ts_recv_ns)
{
    bool is_json;
    json_t *message = venue_load(text, text_bytes, &is_json);
    enum venue_status status = venue_decode_json(venue, message, ts_recv_ns);
    json_decref(message);
    if (status == VENUE_MALFORMED && is_json && !venue->is_of_none) {
        message = venue_load_quoted(text, text_bytes);
        status = venue_decode_json(venue, message, ts_recv_ns);
        json_decref(message);
    }

    venue->counters->ticks += status == VENUE_TICK;
    venue->counters->skipped += status == VENUE_SKIPPED;
    venue->counters->malformed += status == VENUE_MALFORMED;
    if (status == VENUE_MALFORMED && venue->symbol != NULL) {
        venue_lose(venue, venue->symbol, venue->type);
    } else if (status == VENUE_MALFORMED && !venue->is_of_none) {
        venue_lose_books(venue);
    }
    assert_debug((status == VENUE_MALFORMED) == (venue->fault != NULL));
    return status;
}

enum venue_status venue_decode_kind(struct venue *venue, const struct venue_kind *kinds,
                                    size_t kind_count, const char *name, const json_t *data,
                                    uint64_t ts_recv_ns)
{
    struct md_update update = {.ts_recv_ns = ts_recv_ns};
    for (size_t i = 0; i < kind_count; i++) {
        if (strcmp(name, kinds[i].name) != 0) {
            continue;
        }
        venue->symbol = venue_symbol_of(venue, data, venue->ops->symbol_key);
        venue->type = kinds[i].type;
        if (venue->symbol == NULL) {
            venue->is_of_none = venue_text(data, venue->ops->symbol_key) != NULL;
            return venue_fault(venue, venue->ops->symbol_fault);
        }
        return kinds[i].decode(venue, venue->symbol, data, &update);
    }
    return venue_skip(venue, name);
}

void venue_lose(struct venue *venue, struct venue_symbol *symbol, enum md_type type)
{
    if (symbol->channels[type] != UINT32_MAX) {
        venue->sink->lost(venue->sink->context, symbol->channels[type]);
    }
}

void venue_lose_books(struct venue *venue)
{
    while (venue->books != NULL) {
        struct venue_symbol *symbol = venue->books;
        venue->books = symbol->next_book;
        symbol->is_in_books = false;
        venue_lose(venue, symbol, MD_DEPTH);
    }
}

void venue_forget_sequences(struct venue *venue)
{
    venue->stream++; /* Sequences of another stream count for nothing. */
}

enum venue_status venue_fault(struct venue *venue, const char *fault)
{
    venue->fault = fault;
    return VENUE_MALFORMED;
}

enum venue_status venue_skip(struct venue *venue, const char *kind)
{
    kind_counts_add(&venue->skipped, kind, strlen(kind));
    return VENUE_SKIPPED;
}

static void venue_note_book(struct venue *venue, struct venue_symbol *symbol)
{
    if (!symbol->is_in_books) {
        symbol->is_in_books = true;
        symbol->next_book = venue->books;
        venue->books = symbol;
    }
}

enum venue_status venue_publish(struct venue *venue, struct venue_symbol *symbol, const char *kind,
                                struct md_update *update)
{
    uint32_t *channel = &symbol->channels[update->type];
    if (*channel == UINT32_MAX) {
        *channel = venue->sink->open_channel(venue->sink->context, symbol->name, symbol->name_bytes,
                                             update->type);
    }
    if (*channel == UINT32_MAX) {
        venue->is_of_none = true;
        return venue_fault(venue, "its symbol cannot have a channel: the name is not valid, or "
                                  "there are too many channels");
    }
    update->channel = *channel;
    if (update->type == MD_DEPTH) {
        venue_note_book(venue, symbol);
    }
    venue->sink->publish(venue->sink->context, update);
    kind_counts_add(&venue->ticks, kind, strlen(kind));
    return VENUE_TICK;
}

static struct venue_symbol *venue_symbol_find(struct venue *venue, const char *name,
                                              size_t name_bytes)
{
    static_assert((VENUE_SLOT_COUNT & (VENUE_SLOT_COUNT - 1)) == 0, "a mask wraps the search");
    uint64_t slot = keyed_hash_bytes(&venue->sink->hash, name, name_bytes);
    for (;; slot++) {
        struct venue_symbol *symbol = &venue->symbols[slot % VENUE_SLOT_COUNT];
        if (symbol->name_bytes == name_bytes && memcmp(symbol->name, name, name_bytes) == 0) {
            return symbol;
        }
        if (symbol->name_bytes != 0) {
            continue;
        }
        if (venue->symbol_count == VENUE_SYMBOLS_MAX) {
            return NULL;
        }
        venue->symbol_count++;
        symbol->name_bytes = (uint8_t)name_bytes;
        memcpy(symbol->name, name, name_bytes);
        memset(symbol->channels, 0xff, sizeof symbol->channels); /* none opened yet */
        return symbol;
    }
}

struct venue_symbol *venue_symbol_of(struct venue *venue, const json_t *object, const char *key)
{
    char name[MD_SYMBOL_BYTES_MAX];
    const char *code = venue_text(object, key);
    size_t code_bytes = code == NULL ? 0 : strlen(code);
    size_t suffix_bytes = strlen(venue->suffix);
    if (code_bytes == 0 || code_bytes + 1 + suffix_bytes > sizeof name) {
        return NULL;
    }
    for (size_t i = 0; i < code_bytes; i++) {
        bool is_lower = code[i] >= 'a' && code[i] <= 'z';
        name[i] = is_lower ? (char)(code[i] - 'a' + 'A') : code[i];
    }
    name[code_bytes] = '.';
    memcpy(name + code_bytes + 1, venue->suffix, suffix_bytes);
    return venue_symbol_find(venue, name, code_bytes + 1 + suffix_bytes);
}

const char *venue_text(const json_t *object, const char *key)
{
    return json_field_text(json_object_get(object, key));
}

bool venue_is_absent(const json_t *value)
{
    return value == NULL || json_is_null(value) ||
           (json_is_string(value) && json_string_length(value) == 0);
}

static bool venue_decimal(const json_t *value, struct md_decimal *decimal_out)
{
    size_t text_bytes;
    const char *text = json_field_number(value, &text_bytes);
    if (json_is_integer(value) && json_integer_value(value) >= -INT64_MAX) {
        *decimal_out = (struct md_decimal){.mantissa = json_integer_value(value)};
        return true;
    }
    return text != NULL && decimal_parse(text, text_bytes, decimal_out);
}

bool venue_price(const json_t *value, struct md_decimal *decimal_out)
{
    return venue_decimal(value, decimal_out) && decimal_out->mantissa > 0;
}

bool venue_size(const json_t *value, struct md_decimal *decimal_out)
{
    return venue_decimal(value, decimal_out) && decimal_out->mantissa >= 0;
}

bool venue_optional_size(const json_t *object, const char *key, struct md_decimal *decimal_out)
{
    const json_t *value = json_object_get(object, key);
    *decimal_out = md_none;
    return venue_is_absent(value) || venue_size(value, decimal_out);
}

bool venue_optional_price(const json_t *object, const char *key, struct md_decimal *decimal_out)
{
    if (!venue_optional_size(object, key, decimal_out)) {
        return false;
    }
    *decimal_out = decimal_out->mantissa == 0 ? md_none : *decimal_out;
    return true;
}

bool venue_best(const json_t *object, const char *price_key, const char *size_key,
                struct md_level *level, uint32_t *count_out)
{
    if (!venue_optional_price(object, price_key, &level->price)) {
        return false;
    }
    *count_out = md_is_given(level->price);
    return *count_out == 0 || venue_optional_size(object, size_key, &level->size);
}

bool venue_integer(const json_t *object, const char *key, uint64_t *value_out)
{
    size_t text_bytes;
    const json_t *value = json_object_get(object, key);
    const char *text = json_field_number(value, &text_bytes);
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *value_out = (uint64_t)json_integer_value(value);
        return true;
    }
    return text != NULL && decimal_parse_u64(text, text_bytes, value_out);
}

bool venue_optional_integer(const json_t *object, const char *key, uint64_t *value_out,
                            bool *is_given_out)
{
    *is_given_out = !venue_is_absent(json_object_get(object, key));
    return !*is_given_out || venue_integer(object, key, value_out);
}

bool venue_time(const json_t *object, const char *key, uint64_t *ns_out)
{
    bool is_given;
    uint64_t time = 0;
    if (!venue_optional_integer(object, key, &time, &is_given)) {
        return false;
    }
    uint64_t unit_ns = time < VENUE_TIME_MS_END   ? NS_PER_MS
                       : time < VENUE_TIME_US_END ? NS_PER_US
                                                  : 1;
    if (time > INT64_MAX / unit_ns) {
        return false;
    }
    *ns_out = time * unit_ns;
    return true;
}

bool venue_levels(const json_t *array, struct md_level *levels, uint32_t *count_out)
{
    size_t count = json_array_size(array); /* 0 for what is no array */
    if ((!json_is_array(array) && !json_is_null(array)) || count > VENUE_LEVELS_MAX) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *level = json_array_get(array, i);
        if (!venue_price(json_array_get(level, 0), &levels[i].price) ||
            !venue_size(json_array_get(level, 1), &levels[i].size)) {
            return false;
        }
    }
    *count_out = (uint32_t)count;
    return true;
}

/* Merges runs of width that are in order into runs of twice that; of one price, in their order. */
static void venue_merge(struct md_level *out, const struct md_level *levels, uint32_t count,
                        uint32_t width, int better)
{
    for (uint32_t begin = 0; begin < count; begin += 2 * width) {
        uint32_t middle = begin + width < count ? begin + width : count;
        uint32_t end = middle + width < count ? middle + width : count;
        uint32_t left = begin;
        uint32_t right = middle;
        for (uint32_t i = begin; i < end; i++) {
            bool is_left = right == end ||
                           (left < middle &&
                            better * decimal_compare(levels[left].price, levels[right].price) >= 0);
            out[i] = is_left ? levels[left++] : levels[right++];
        }
    }
}

static void venue_sort(struct venue *venue, struct md_level *levels, uint32_t count, int better)
{
    struct md_level *from = levels;
    struct md_level *to = venue->scratch;
    for (uint32_t width = 1; width < count; width *= 2) {
        venue_merge(to, from, count, width, better);
        struct md_level *sorted = to;
        to = from;
        from = sorted;
    }
    if (from != levels) {
        memcpy(levels, from, count * sizeof *levels);
    }
}

void venue_order(struct venue *venue, struct md_level *levels, uint32_t *count, int better)
{
    uint32_t sorted = 1;
    assert_always(*count <= VENUE_LEVELS_MAX);
    while (sorted < *count &&
           better * decimal_compare(levels[sorted - 1].price, levels[sorted].price) >= 0) {
        sorted++;
    }
    if (sorted < *count) {
        venue_sort(venue, levels, *count, better);
    }
    uint32_t kept = 0;
    for (uint32_t i = 0; i < *count; i++) {
        bool is_last =
            i + 1 == *count || decimal_compare(levels[i].price, levels[i + 1].price) != 0;
        if (is_last && levels[i].size.mantissa != 0) {
            levels[kept++] = levels[i];
        }
    }
    *count = kept;
}
