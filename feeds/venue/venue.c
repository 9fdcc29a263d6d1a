#include "feeds/venue/venue.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "codec/decimal.h"

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
    venue->symbols = calloc(VENUE_SLOT_COUNT, sizeof *venue->symbols);
    if (venue->bids == NULL || venue->asks == NULL || venue->symbols == NULL) {
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
    free(venue->symbols);
    free(venue);
}

enum venue_status venue_decode(struct venue *venue, const char *text, size_t text_bytes,
                               uint64_t ts_recv_ns)
{
    enum venue_status status;
    json_error_t error;
    json_t *message = json_loadb(text, text_bytes, 0, &error);

    venue->fault = NULL;
    venue->symbol = NULL;
    venue->is_of_none = false;
    status = message == NULL ? venue_fault(venue, "it is not JSON")
                             : venue->ops->decode(venue, message, ts_recv_ns);
    json_decref(message);

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
    return venue_skip(venue, name, strlen(name));
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

enum venue_status venue_skip(struct venue *venue, const char *kind, size_t kind_bytes)
{
    kind_counts_add(&venue->skipped, kind, kind_bytes);
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
        return venue_fault(venue, "its symbol gets no channel: a bad name, or too many channels");
    }
    update->channel = *channel;
    if (update->type == MD_DEPTH) {
        venue_note_book(venue, symbol);
    }
    venue->sink->publish(venue->sink->context, update);
    kind_counts_add(&venue->ticks, kind, strlen(kind));
    return VENUE_TICK;
}

/* FNV-1a. */
static uint32_t venue_hash(const char *name, size_t name_bytes)
{
    uint32_t hash = UINT32_C(2166136261);
    for (size_t i = 0; i < name_bytes; i++) {
        hash = (hash ^ (uint8_t)name[i]) * UINT32_C(16777619);
    }
    return hash;
}

static struct venue_symbol *venue_symbol_find(struct venue *venue, const char *name,
                                              size_t name_bytes)
{
    static_assert((VENUE_SLOT_COUNT & (VENUE_SLOT_COUNT - 1)) == 0, "a mask wraps the search");
    uint32_t slot = venue_hash(name, name_bytes);
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
    const json_t *value = json_object_get(object, key);
    const char *code = json_string_value(value);
    size_t code_bytes = json_string_length(value);
    size_t suffix_bytes = strlen(venue->suffix);
    if (code == NULL || code_bytes == 0 || code_bytes + 1 + suffix_bytes > sizeof name) {
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
    return json_string_value(json_object_get(object, key));
}

static bool venue_decimal(const json_t *value, struct md_decimal *decimal_out)
{
    const char *text = json_string_value(value);
    size_t text_bytes = json_string_length(value);
    if (text == NULL) {
        return false;
    }
    if (decimal_parse(text, text_bytes, decimal_out)) {
        return true;
    }
    /* 123456789012.00000000 overflows as it is written, but not as what it means. */
    if (memchr(text, '.', text_bytes) == NULL) {
        return false;
    }
    while (text_bytes > 0 && text[text_bytes - 1] == '0') {
        text_bytes--;
    }
    return decimal_parse(text, text_bytes, decimal_out);
}

bool venue_price(const json_t *value, struct md_decimal *decimal_out)
{
    return venue_decimal(value, decimal_out) && decimal_out->mantissa > 0;
}

bool venue_size(const json_t *value, struct md_decimal *decimal_out)
{
    return venue_decimal(value, decimal_out) && decimal_out->mantissa >= 0;
}

bool venue_optional(const json_t *object, const char *key, struct md_decimal *decimal_out)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL || json_is_null(value)) {
        *decimal_out = md_none;
        return true;
    }
    return venue_size(value, decimal_out);
}

bool venue_integer(const json_t *object, const char *key, uint64_t *value_out)
{
    const json_t *value = json_object_get(object, key);
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *value_out = (uint64_t)json_integer_value(value);
    return true;
}

bool venue_time_ms(const json_t *object, const char *key, uint64_t *ns_out)
{
    uint64_t ms;
    if (!venue_integer(object, key, &ms) || ms > INT64_MAX / NS_PER_MS) {
        return false;
    }
    *ns_out = ms * NS_PER_MS;
    return true;
}

bool venue_levels(const json_t *array, struct md_level *levels, uint32_t *count_out)
{
    size_t count = json_array_size(array); /* 0 for what is no array */
    if (!json_is_array(array) || count > VENUE_LEVELS_MAX) {
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

static int venue_compare_bids(const void *left, const void *right)
{
    const struct md_level *a = left;
    const struct md_level *b = right;
    return decimal_compare(b->price, a->price);
}

static int venue_compare_asks(const void *left, const void *right)
{
    return venue_compare_bids(right, left);
}

void venue_sort(struct md_level *levels, uint32_t count, int better)
{
    uint32_t sorted = 1;
    while (sorted < count &&
           better * decimal_compare(levels[sorted - 1].price, levels[sorted].price) >= 0) {
        sorted++;
    }
    if (sorted < count) {
        qsort(levels, count, sizeof *levels, better > 0 ? venue_compare_bids : venue_compare_asks);
    }
}
