#include "src/request/request_fields.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"

/* ---- Faults ---- */

bool request_fields_fail(struct request_error *error, enum protocol_code code, const char *field,
                         const char *format, ...)
{
    assert_debug(code != PROTOCOL_OK);
    error->code = code;
    snprintf(error->field, sizeof error->field, "%s", field);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

static bool request_fields_fail_at(struct request_error *error, enum protocol_code code,
                                   const char *array, size_t index, const char *message)
{
    char field[sizeof error->field];
    snprintf(field, sizeof field, "%s[%zu]", array, index);
    return request_fields_fail(error, code, field, "%s", message);
}

/* A client may leave a field out or say null. */
json_t *request_fields_get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

bool request_fields_fail_memory(struct request_error *error)
{
    error->retry = true;
    return request_fields_fail(error, PROTOCOL_INTERNAL, "", "no memory for the message");
}

/* ---- Symbols and types ---- */

#define REQUEST_PROBES_MAX 16

static_assert(REQUEST_SLOTS >= 2 * REQUEST_SYMBOLS_MAX, "half of the slots stay free");

/* Whether a symbol is one of those before it; otherwise it gets a slot. Where too many share their
 * slots, which only an adversary achieves, a repeated one is taken for new. */
static bool request_fields_find_symbol(const struct request *request,
                                       const struct request_symbol *symbol,
                                       struct request_adding *adding)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < symbol->bytes; i++) {
        hash = (hash ^ (uint8_t)symbol->text[i]) * UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    for (uint32_t probe = 0; probe < REQUEST_PROBES_MAX; probe++) {
        uint16_t *slot = &adding->slots[(hash + probe) & (adding->slot_count - 1)];
        if (*slot == 0) {
            *slot = (uint16_t)(1 + request->symbol_count);
            return false;
        }
        assert_always(*slot - 1u < request->symbol_count);
        const struct request_symbol *other = &request->symbols[*slot - 1];
        if (other->bytes == symbol->bytes && other->types == symbol->types &&
            variant_is_same(other->variant, symbol->variant) &&
            memcmp(other->text, symbol->text, symbol->bytes) == 0) {
            return true;
        }
    }
    return false;
}

bool request_fields_begin_symbols(struct request *request, struct request_adding *adding,
                                  size_t count, size_t text_bytes)
{
    assert_always(request->symbols == NULL);
    assert_always(count <= REQUEST_SYMBOLS_MAX);
    request->symbols = malloc(count * sizeof *request->symbols + text_bytes);
    if (request->symbols == NULL) {
        return false;
    }
    for (adding->slot_count = 2; adding->slot_count < 2 * count;) {
        adding->slot_count *= 2;
    }
    assert_always(adding->slot_count <= REQUEST_SLOTS);
    memset(adding->slots, 0, adding->slot_count * sizeof adding->slots[0]);
    adding->text = (char *)&request->symbols[count];
    adding->text_end = adding->text + text_bytes;
    return true;
}

void request_fields_add_symbol(struct request *request, struct request_adding *adding,
                               struct request_symbol symbol)
{
    assert_always((char *)&request->symbols[request->symbol_count + 1] <= adding->text);
    assert_always(symbol.bytes < (size_t)(adding->text_end - adding->text));
    memcpy(adding->text, symbol.text, symbol.bytes);
    symbol.text = adding->text;
    adding->text += symbol.bytes;
    *adding->text++ = '\0';
    symbol.is_repeated = request_fields_find_symbol(request, &symbol, adding);
    request->symbols[request->symbol_count++] = symbol;
}

/* Strings of an array, or one. false: no memory. */
static bool request_fields_keep_symbols(struct request *request, const json_t *symbols)
{
    struct request_adding adding;
    size_t count = json_is_array(symbols) ? json_array_size(symbols) : 1;
    size_t text_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *symbol = json_is_array(symbols) ? json_array_get(symbols, i) : symbols;
        text_bytes += json_string_length(symbol) + 1;
    }
    if (!request_fields_begin_symbols(request, &adding, count, text_bytes)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const json_t *symbol = json_is_array(symbols) ? json_array_get(symbols, i) : symbols;
        request_fields_add_symbol(
            request, &adding,
            (struct request_symbol){.text = json_string_value(symbol),
                                    .bytes = (uint32_t)json_string_length(symbol) & 0xffffff});
    }
    assert_always(adding.text == adding.text_end);
    return true;
}

bool request_fields_symbols(struct request *request, const json_t *data,
                            struct request_error *error)
{
    json_t *symbols = request_fields_get(data, "symbols");
    if (symbols == NULL) {
        return true;
    }
    if (json_is_string(symbols)) {
        return request_fields_keep_symbols(request, symbols) || request_fields_fail_memory(error);
    }
    if (!json_is_array(symbols) || json_array_size(symbols) == 0) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                                   "symbols must be a non-empty array of strings");
    }
    if (json_array_size(symbols) > REQUEST_SYMBOLS_MAX) {
        return request_fields_fail(error, PROTOCOL_LIMIT_EXCEEDED, "data.symbols",
                                   "at most %d symbols per message", REQUEST_SYMBOLS_MAX);
    }
    for (size_t i = 0; i < json_array_size(symbols); i++) {
        if (!json_is_string(json_array_get(symbols, i))) {
            return request_fields_fail_at(error, PROTOCOL_BAD_REQUEST, "data.symbols", i,
                                          "a symbol must be a string");
        }
    }
    if (!request_fields_keep_symbols(request, symbols)) {
        return request_fields_fail_memory(error);
    }
    json_array_clear(symbols); /* Much larger than what is kept. */
    return true;
}

static bool request_fields_add_data_type(struct request *request, const json_t *name,
                                         const char *field, struct request_error *error)
{
    if (!json_is_string(name)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, field,
                                   "a data type must be a string");
    }
    enum md_type type = md_type_by_name(json_string_value(name), json_string_length(name));
    if (type == MD_TYPE_COUNT) {
        return request_fields_fail(error, PROTOCOL_UNKNOWN_DATA_TYPE, field,
                                   "unknown data type; valid: quote, trade, bar, depth, status");
    }
    request->types |= 1u << type;
    return true;
}

bool request_fields_data_types(struct request *request, const json_t *data,
                               struct request_error *error)
{
    char field[sizeof error->field];
    const json_t *types = request_fields_get(data, "data_types");
    if (types == NULL) {
        return true;
    }
    if (json_is_string(types)) {
        return request_fields_add_data_type(request, types, "data.data_types", error);
    }
    if (!json_is_array(types) || json_array_size(types) == 0) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.data_types",
                                   "data_types must be a non-empty array of strings");
    }
    for (size_t i = 0; i < json_array_size(types); i++) {
        snprintf(field, sizeof field, "data.data_types[%zu]", i);
        if (!request_fields_add_data_type(request, json_array_get(types, i), field, error)) {
            return false;
        }
    }
    return true;
}

bool request_fields_names(struct request *request, const json_t *data, struct request_error *error)
{
    if (data == NULL) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data",
                                   "data with symbols and data_types is missing");
    }
    if (!request_fields_symbols(request, data, error) ||
        !request_fields_data_types(request, data, error)) {
        return false;
    }
    if (request->symbol_count == 0) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                                   "symbols is missing");
    }
    if (request->types == 0) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.data_types",
            "data_types is missing; valid: quote, trade, bar, depth, status");
    }
    return true;
}

/* ---- Settings ---- */

static const char *const request_on_lag_names[] = {
    [REQUEST_SKIP] = "skip",
    [REQUEST_CONFLATE] = "conflate",
    [REQUEST_DISCONNECT] = "disconnect",
};

const char *request_on_lag_name(enum request_on_lag on_lag)
{
    assert_always(on_lag <= REQUEST_DISCONNECT);
    return request_on_lag_names[on_lag];
}

static bool request_fields_on_lag(struct request *request, const json_t *delivery,
                                  struct request_error *error)
{
    const json_t *on_lag = request_fields_get(delivery, "on_lag");
    if (on_lag == NULL) {
        return true;
    }
    const char *name = json_string_value(on_lag);
    for (unsigned i = REQUEST_SKIP; name != NULL && i <= REQUEST_DISCONNECT; i++) {
        if (strcasecmp(name, request_on_lag_names[i]) == 0) {
            request->on_lag = (enum request_on_lag)i;
            request->has_on_lag = true;
            return true;
        }
    }
    return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.on_lag",
                               "on_lag must be skip, conflate or disconnect");
}

static bool request_fields_max_lag(struct request *request, const json_t *delivery,
                                   struct request_error *error)
{
    const json_t *max_lag = request_fields_get(delivery, "max_lag_ms");
    if (max_lag == NULL) {
        return true;
    }
    if (!json_is_integer(max_lag) || json_integer_value(max_lag) < 0 ||
        json_integer_value(max_lag) > REQUEST_MAX_LAG_MS_MAX) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.max_lag_ms",
                                   "max_lag_ms must be 0 (no limit) to %d", REQUEST_MAX_LAG_MS_MAX);
    }
    request->has_max_lag = true;
    request->max_lag_ms = (uint16_t)json_integer_value(max_lag);
    return true;
}

/* mode conflated and interval_ms need each other. */
static bool request_fields_mode(struct request *request, const json_t *delivery,
                                struct request_error *error)
{
    const json_t *mode = request_fields_get(delivery, "mode");
    const json_t *interval = request_fields_get(delivery, "interval_ms");
    const char *name = json_string_value(mode);
    bool is_conflated = name != NULL && strcasecmp(name, "conflated") == 0;
    if (mode != NULL && !is_conflated && (name == NULL || strcasecmp(name, "all") != 0)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.mode",
                                   "mode must be all or conflated");
    }
    if (is_conflated && interval == NULL) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                                   "mode conflated needs interval_ms: " VARIANT_INTERVALS_TEXT);
    }
    if (interval == NULL) {
        return true;
    }
    if (!is_conflated) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                                   "interval_ms needs mode conflated");
    }
    if (!json_is_integer(interval)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                                   "interval_ms must be an integer");
    }
    if (!variant_is_interval(json_integer_value(interval))) {
        return request_fields_fail(error, PROTOCOL_NOT_OFFERED, "data.delivery.interval_ms",
                                   "interval_ms must be " VARIANT_INTERVALS_TEXT);
    }
    request->variant.interval_ms = (uint16_t)json_integer_value(interval);
    return true;
}

bool request_fields_depth(struct request *request, const json_t *data, struct request_error *error)
{
    const json_t *depth = request_fields_get(data, "depth");
    if (depth == NULL) {
        return true;
    }
    if (!json_is_integer(depth)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.depth",
                                   "depth must be an integer");
    }
    if (!variant_is_depth(json_integer_value(depth))) {
        return request_fields_fail(error, PROTOCOL_NOT_OFFERED, "data.depth",
                                   "depth must be " VARIANT_DEPTHS_TEXT);
    }
    if (request->types != 0 && (request->types & (1u << MD_DEPTH)) == 0) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.depth",
                                   "depth needs the data type depth");
    }
    request->variant.depth = (uint8_t)json_integer_value(depth);
    return true;
}

bool request_fields_bar(struct request *request, const json_t *data, struct request_error *error)
{
    const json_t *bar = request_fields_get(data, "bar");
    if (bar == NULL) {
        return true;
    }
    if (!json_is_string(bar)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.bar", "bar must be a string");
    }
    request->variant.bar = variant_bar_by_name(json_string_value(bar));
    if (request->variant.bar == 0) {
        return request_fields_fail(error, PROTOCOL_NOT_OFFERED, "data.bar",
                                   "bar must be " VARIANT_BARS_TEXT);
    }
    if (request->types != 0 && (request->types & (1u << MD_BAR)) == 0) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.bar",
                                   "bar needs the data type bar");
    }
    return true;
}

bool request_fields_delivery(struct request *request, const json_t *data,
                             struct request_error *error)
{
    const json_t *delivery = request_fields_get(data, "delivery");
    if (delivery == NULL) {
        return true;
    }
    if (!json_is_object(delivery)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery",
                                   "delivery must be an object");
    }
    return request_fields_mode(request, delivery, error) &&
           request_fields_on_lag(request, delivery, error) &&
           request_fields_max_lag(request, delivery, error);
}

bool request_fields_is_seq(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

bool request_fields_epoch(struct request *request, const json_t *object, const char *field,
                          struct request_error *error)
{
    request->epoch = json_string_value(request_fields_get(object, "epoch"));
    return request->epoch != NULL ||
           request_fields_fail(error, PROTOCOL_BAD_REQUEST, field,
                               "epoch must be a string: the one in WELCOME or SUBSCRIBED");
}

/* A seq is of one channel. */
static bool request_fields_since(struct request *request, const json_t *data,
                                 struct request_error *error)
{
    const json_t *since = request_fields_get(data, "since");
    size_t bytes;
    if (since == NULL) {
        return true;
    }
    if (!json_is_object(since)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.since",
                                   "since must be an object with epoch and seq");
    }
    if (request->symbol_count != 1 || (request->types & (request->types - 1)) != 0 ||
        strchr(request_symbol(request, 0, &bytes), '*') != NULL) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.since",
            "since needs one symbol and one data type; use RESUME for several");
    }
    if (!request_fields_is_seq(request_fields_get(since, "seq"))) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.since.seq",
                                   "seq must be an integer, the last one received");
    }
    request->since_seq = (uint64_t)json_integer_value(request_fields_get(since, "seq"));
    return request_fields_epoch(request, since, "data.since.epoch", error);
}

bool request_fields_settings(struct request *request, const json_t *data,
                             struct request_error *error)
{
    const json_t *snapshot = request_fields_get(data, "snapshot");
    if (snapshot != NULL && !json_is_boolean(snapshot)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.snapshot",
                                   "snapshot must be true or false");
    }
    request->snapshot = snapshot == NULL || json_is_true(snapshot);
    return request_fields_depth(request, data, error) && request_fields_bar(request, data, error) &&
           request_fields_delivery(request, data, error) &&
           request_fields_since(request, data, error);
}

/* Of names that are subscribed, or might be. */
bool request_fields_variants(struct request *request, const json_t *data,
                             struct request_error *error)
{
    return request_fields_names(request, data, error) &&
           request_fields_depth(request, data, error) && request_fields_bar(request, data, error) &&
           request_fields_delivery(request, data, error);
}
