#include "src/session/request.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "src/base/json_depth.h"
#include "src/session/reply.h"

/* ---- Faults ---- */

__attribute__((format(printf, 4, 5))) static bool request_fail(struct request_error *error,
                                                               enum protocol_code code,
                                                               const char *field,
                                                               const char *format, ...)
{
    error->code = code;
    snprintf(error->field, sizeof error->field, "%s", field);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return false;
}

static bool request_fail_at(struct request_error *error, enum protocol_code code, const char *array,
                            size_t index, const char *message)
{
    char field[sizeof error->field];
    snprintf(field, sizeof field, "%s[%zu]", array, index);
    return request_fail(error, code, field, "%s", message);
}

/* A client may leave a field out or say null. */
static json_t *request_get(const json_t *object, const char *key)
{
    json_t *value = json_object_get(object, key);
    return json_is_null(value) ? NULL : value;
}

/* ---- Text to JSON ---- */

static void request_make_ascii(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text < ' ' || *text > '~' ? '?' : *text;
    }
}

static bool request_load(struct request *request, const uint8_t *payload, size_t payload_bytes,
                         struct request_error *error)
{
    json_error_t fault;
    if (!json_depth_is_within((const char *)payload, payload_bytes, REQUEST_DEPTH_MAX)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "", "nested deeper than %d",
                            REQUEST_DEPTH_MAX);
    }
    request->root =
        json_loadb((const char *)payload, payload_bytes, JSON_REJECT_DUPLICATES, &fault);
    if (request->root == NULL) {
        request_make_ascii(fault.text); /* It quotes the message, cut anywhere. */
        return request_fail(error, PROTOCOL_BAD_REQUEST, "", "not JSON: %.100s (at byte %d)",
                            fault.text, fault.position);
    }
    if (!json_is_object((json_t *)request->root)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "", "not a JSON object");
    }
    return true;
}

/* ---- The envelope ---- */

static bool request_read_id(struct request *request, struct request_error *error)
{
    const json_t *id = request_get(request->root, "id");
    if (id == NULL) {
        return true;
    }
    if (json_is_integer(id)) {
        snprintf(request->id, sizeof request->id, "%" JSON_INTEGER_FORMAT, json_integer_value(id));
        return true;
    }
    if (json_is_string(id) && json_string_length(id) <= REQUEST_ID_BYTES_MAX) {
        size_t bytes = reply_escape(request->id, json_string_value(id), json_string_length(id));
        request->id[bytes] = '\0';
        return true;
    }
    return request_fail(error, PROTOCOL_BAD_REQUEST, "id",
                        "id must be an integer or a string of at most %d bytes",
                        REQUEST_ID_BYTES_MAX);
}

struct request_name {
    const char *name;
    enum request_type type; /* REQUEST_NONE: part of the protocol, but not offered yet */
};

static const struct request_name request_names[] = {
    {"SUBSCRIBE", REQUEST_SUBSCRIBE}, {"UNSUBSCRIBE", REQUEST_UNSUBSCRIBE},
    {"LIST", REQUEST_LIST},           {"PING", REQUEST_PING},
    {"AUTH", REQUEST_AUTH},           {"MODIFY", REQUEST_MODIFY},
    {"SNAPSHOT", REQUEST_SNAPSHOT},   {"RESUME", REQUEST_RESUME},
    {"REPLAY", REQUEST_REPLAY},       {"STATUS", REQUEST_STATUS},
    {"HEARTBEAT", REQUEST_HEARTBEAT},
};

static bool request_read_type(struct request *request, struct request_error *error)
{
    const char *name = json_string_value(request_get(request->root, "type"));
    if (name == NULL) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "type", "type must be a string");
    }
    for (size_t i = 0; i < sizeof request_names / sizeof request_names[0]; i++) {
        if (strcasecmp(name, request_names[i].name) != 0) {
            continue;
        }
        request->type = request_names[i].type;
        if (request->type == REQUEST_NONE) {
            return request_fail(error, PROTOCOL_NOT_AVAILABLE, "type",
                                "%s is not available in this version", request_names[i].name);
        }
        return true;
    }
    return request_fail(error, PROTOCOL_UNKNOWN_TYPE, "type",
                        "unknown type; valid: SUBSCRIBE, UNSUBSCRIBE, MODIFY, LIST, SNAPSHOT, "
                        "RESUME, REPLAY, PING, STATUS, HEARTBEAT, AUTH");
}

/* ---- Symbols and types ---- */

#define REQUEST_SLOTS 2048 /* to find a symbol that is given twice; a power of two */
#define REQUEST_PROBES_MAX 16

static_assert(REQUEST_SLOTS >= 2 * REQUEST_SYMBOLS_MAX, "half of the slots stay free");

/* Whether a symbol is one of those before it; otherwise it gets a slot. Where too many share their
 * slots, which only an adversary achieves, a repeated one is taken for new. */
static bool request_find_symbol(const struct request *request, const struct request_symbol *symbol,
                                uint16_t slots[REQUEST_SLOTS])
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < symbol->bytes; i++) {
        hash = (hash ^ (uint8_t)symbol->text[i]) * UINT64_C(0x100000001b3);
    }
    hash ^= hash >> 32;
    for (uint32_t probe = 0; probe < REQUEST_PROBES_MAX; probe++) {
        uint16_t *slot = &slots[(hash + probe) % REQUEST_SLOTS];
        if (*slot == 0) {
            *slot = (uint16_t)(1 + request->symbol_count);
            return false;
        }
        const struct request_symbol *other = &request->symbols[*slot - 1];
        if (other->bytes == symbol->bytes &&
            memcmp(other->text, symbol->text, symbol->bytes) == 0) {
            return true;
        }
    }
    return false;
}

/* Strings of an array, or one. false: no memory. */
static bool request_keep_symbols(struct request *request, const json_t *symbols)
{
    uint16_t slots[REQUEST_SLOTS] = {0};
    size_t count = json_is_array(symbols) ? json_array_size(symbols) : 1;
    size_t text_bytes = 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *symbol = json_is_array(symbols) ? json_array_get(symbols, i) : symbols;
        text_bytes += json_string_length(symbol) + 1;
    }
    request->symbols = malloc(count * sizeof *request->symbols + text_bytes);
    if (request->symbols == NULL) {
        return false;
    }
    char *text = (char *)&request->symbols[count];
    for (size_t i = 0; i < count; i++) {
        const json_t *string = json_is_array(symbols) ? json_array_get(symbols, i) : symbols;
        struct request_symbol symbol = {.text = text,
                                        .bytes = (uint32_t)json_string_length(string)};
        memcpy(text, json_string_value(string), symbol.bytes + 1);
        text += symbol.bytes + 1;
        symbol.is_repeated = request_find_symbol(request, &symbol, slots);
        request->symbols[request->symbol_count++] = symbol;
    }
    return true;
}

static bool request_fail_memory(struct request_error *error)
{
    error->retry = true;
    return request_fail(error, PROTOCOL_INTERNAL, "", "no memory for the message");
}

static bool request_read_symbols(struct request *request, const json_t *data,
                                 struct request_error *error)
{
    json_t *symbols = request_get(data, "symbols");
    if (symbols == NULL) {
        return true;
    }
    if (json_is_string(symbols)) {
        return request_keep_symbols(request, symbols) || request_fail_memory(error);
    }
    if (!json_is_array(symbols) || json_array_size(symbols) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                            "symbols must be an array of strings that is not empty");
    }
    if (json_array_size(symbols) > REQUEST_SYMBOLS_MAX) {
        return request_fail(error, PROTOCOL_LIMIT_EXCEEDED, "data.symbols",
                            "at most %d symbols a message", REQUEST_SYMBOLS_MAX);
    }
    for (size_t i = 0; i < json_array_size(symbols); i++) {
        if (!json_is_string(json_array_get(symbols, i))) {
            return request_fail_at(error, PROTOCOL_BAD_REQUEST, "data.symbols", i,
                                   "a symbol must be a string");
        }
    }
    if (!request_keep_symbols(request, symbols)) {
        return request_fail_memory(error);
    }
    json_array_clear(symbols); /* Much larger than what is kept. */
    return true;
}

static bool request_add_data_type(struct request *request, const json_t *name, const char *field,
                                  struct request_error *error)
{
    if (!json_is_string(name)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, field, "a data type must be a string");
    }
    enum md_type type = md_type_by_name(json_string_value(name), json_string_length(name));
    if (type == MD_TYPE_COUNT) {
        return request_fail(error, PROTOCOL_UNKNOWN_DATA_TYPE, field,
                            "unknown data type; valid: quote, trade, bar, depth, status");
    }
    request->types |= 1u << type;
    return true;
}

static bool request_read_data_types(struct request *request, const json_t *data,
                                    struct request_error *error)
{
    char field[sizeof error->field];
    const json_t *types = request_get(data, "data_types");
    if (types == NULL) {
        return true;
    }
    if (json_is_string(types)) {
        return request_add_data_type(request, types, "data.data_types", error);
    }
    if (!json_is_array(types) || json_array_size(types) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.data_types",
                            "data_types must be an array of strings that is not empty");
    }
    for (size_t i = 0; i < json_array_size(types); i++) {
        snprintf(field, sizeof field, "data.data_types[%zu]", i);
        if (!request_add_data_type(request, json_array_get(types, i), field, error)) {
            return false;
        }
    }
    return true;
}

/* ---- Settings ---- */

static const char *const request_policy_names[] = {
    [LAG_SKIP] = "skip",
    [LAG_CONFLATE] = "conflate",
    [LAG_DISCONNECT] = "disconnect",
};

const char *request_policy_name(enum lag_policy policy)
{
    assert_always((unsigned)policy < sizeof request_policy_names / sizeof request_policy_names[0]);
    return request_policy_names[policy];
}

static bool request_read_on_lag(struct request *request, const json_t *delivery,
                                struct request_error *error)
{
    const json_t *on_lag = request_get(delivery, "on_lag");
    if (on_lag == NULL) {
        return true;
    }
    const char *name = json_string_value(on_lag);
    for (unsigned policy = LAG_SKIP; name != NULL && policy <= LAG_DISCONNECT; policy++) {
        if (strcasecmp(name, request_policy_names[policy]) == 0) {
            request->policy = (enum lag_policy)policy;
            request->has_policy = true;
            return true;
        }
    }
    return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.on_lag",
                        "on_lag must be skip, conflate or disconnect");
}

static bool request_read_max_lag(struct request *request, const json_t *delivery,
                                 struct request_error *error)
{
    const json_t *max_lag = request_get(delivery, "max_lag_ms");
    if (max_lag == NULL) {
        return true;
    }
    if (!json_is_integer(max_lag) || json_integer_value(max_lag) < 0 ||
        json_integer_value(max_lag) > REQUEST_MAX_LAG_MS_MAX) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.max_lag_ms",
                            "max_lag_ms must be 0 (none) to %d", REQUEST_MAX_LAG_MS_MAX);
    }
    request->has_max_lag = true;
    request->max_lag_ms = (uint16_t)json_integer_value(max_lag);
    return true;
}

/* mode conflated and interval_ms need each other. */
static bool request_read_mode(struct request *request, const json_t *delivery,
                              struct request_error *error)
{
    const json_t *mode = request_get(delivery, "mode");
    const json_t *interval = request_get(delivery, "interval_ms");
    const char *name = json_string_value(mode);
    bool is_conflated = name != NULL && strcasecmp(name, "conflated") == 0;
    if (mode != NULL && !is_conflated && (name == NULL || strcasecmp(name, "all") != 0)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.mode",
                            "mode must be all or conflated");
    }
    if (is_conflated && interval == NULL) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                            "mode conflated needs interval_ms: " VARIANT_INTERVALS_TEXT);
    }
    if (interval == NULL) {
        return true;
    }
    if (!is_conflated) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                            "interval_ms needs mode conflated");
    }
    if (!json_is_integer(interval)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.interval_ms",
                            "interval_ms must be an integer");
    }
    if (!variant_is_interval(json_integer_value(interval))) {
        return request_fail(error, PROTOCOL_NOT_OFFERED, "data.delivery.interval_ms",
                            "interval_ms must be " VARIANT_INTERVALS_TEXT);
    }
    request->variant.interval_ms = (uint16_t)json_integer_value(interval);
    return true;
}

static bool request_read_depth(struct request *request, const json_t *data,
                               struct request_error *error)
{
    const json_t *depth = request_get(data, "depth");
    if (depth == NULL) {
        return true;
    }
    if (!json_is_integer(depth)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.depth", "depth must be an integer");
    }
    if (!variant_is_depth(json_integer_value(depth))) {
        return request_fail(error, PROTOCOL_NOT_OFFERED, "data.depth",
                            "depth must be " VARIANT_DEPTHS_TEXT);
    }
    if (request->types != 0 && (request->types & (1u << MD_DEPTH)) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.depth",
                            "depth needs the data type depth");
    }
    request->variant.depth = (uint8_t)json_integer_value(depth);
    return true;
}

static bool request_read_bar(struct request *request, const json_t *data,
                             struct request_error *error)
{
    const json_t *bar = request_get(data, "bar");
    if (bar == NULL) {
        return true;
    }
    if (!json_is_string(bar)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.bar", "bar must be a string");
    }
    request->variant.bar = variant_bar_by_name(json_string_value(bar));
    if (request->variant.bar == 0) {
        return request_fail(error, PROTOCOL_NOT_OFFERED, "data.bar",
                            "bar must be " VARIANT_BARS_TEXT);
    }
    if (request->types != 0 && (request->types & (1u << MD_BAR)) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.bar", "bar needs the data type bar");
    }
    return true;
}

static bool request_read_delivery(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    const json_t *delivery = request_get(data, "delivery");
    if (delivery == NULL) {
        return true;
    }
    if (!json_is_object(delivery)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery",
                            "delivery must be an object");
    }
    return request_read_mode(request, delivery, error) &&
           request_read_on_lag(request, delivery, error) &&
           request_read_max_lag(request, delivery, error);
}

static bool request_read_epoch(struct request *request, const json_t *object, const char *field,
                               struct request_error *error)
{
    request->epoch = json_string_value(request_get(object, "epoch"));
    return request->epoch != NULL ||
           request_fail(error, PROTOCOL_BAD_REQUEST, field,
                        "epoch must be a string: the one that WELCOME or SUBSCRIBED told");
}

static bool request_is_seq(const json_t *value)
{
    return json_is_integer(value) && json_integer_value(value) >= 0;
}

/* A seq is of one channel. */
static bool request_read_since(struct request *request, const json_t *data,
                               struct request_error *error)
{
    const json_t *since = request_get(data, "since");
    size_t bytes;
    if (since == NULL) {
        return true;
    }
    if (!json_is_object(since)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.since",
                            "since must be an object with epoch and seq");
    }
    if (request->symbol_count != 1 || (request->types & (request->types - 1)) != 0 ||
        strchr(request_symbol(request, 0, &bytes), '*') != NULL) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.since",
                            "since needs one symbol and one data type; RESUME takes many");
    }
    if (!request_is_seq(request_get(since, "seq"))) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.since.seq",
                            "seq must be an integer, the last one received");
    }
    request->since_seq = (uint64_t)json_integer_value(request_get(since, "seq"));
    return request_read_epoch(request, since, "data.since.epoch", error);
}

static bool request_read_settings(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    const json_t *snapshot = request_get(data, "snapshot");
    if (snapshot != NULL && !json_is_boolean(snapshot)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.snapshot",
                            "snapshot must be true or false");
    }
    request->snapshot = snapshot == NULL || json_is_true(snapshot);
    return request_read_depth(request, data, error) && request_read_bar(request, data, error) &&
           request_read_delivery(request, data, error) && request_read_since(request, data, error);
}

/* ---- Messages ---- */

static bool request_read_names(struct request *request, const json_t *data,
                               struct request_error *error)
{
    if (data == NULL) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data",
                            "data with symbols and data_types is missing");
    }
    if (!request_read_symbols(request, data, error) ||
        !request_read_data_types(request, data, error)) {
        return false;
    }
    if (request->symbol_count == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols", "symbols is missing");
    }
    if (request->types == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.data_types",
                            "data_types is missing; valid: quote, trade, bar, depth, status");
    }
    return true;
}

static bool request_read_subscribe(struct request *request, const json_t *data,
                                   struct request_error *error)
{
    return request_read_names(request, data, error) && request_read_settings(request, data, error);
}

/* Of names that are subscribed, or might be. */
static bool request_read_variants(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    return request_read_names(request, data, error) && request_read_depth(request, data, error) &&
           request_read_bar(request, data, error) && request_read_delivery(request, data, error);
}

static bool request_read_modify(struct request *request, const json_t *data,
                                struct request_error *error)
{
    if (!request_read_variants(request, data, error)) {
        return false;
    }
    return request->has_policy || request->has_max_lag ||
           request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery",
                        "delivery with on_lag or max_lag_ms is missing");
}

static bool request_read_cursor(const char *key, const json_t *value, struct request_error *error)
{
    size_t digits = strspn(key, "0123456789");
    if (digits == 0 || digits > 9 || key[digits] != '\0') {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.cursors",
                            "a key of cursors must be the number of a channel");
    }
    return request_is_seq(value) ||
           request_fail(error, PROTOCOL_BAD_REQUEST, "data.cursors",
                        "a cursor must be an integer, the last seq received of channel %s", key);
}

static bool request_keep_cursors(struct request *request, json_t *cursors)
{
    const char *key;
    json_t *value;
    request->cursors = malloc(json_object_size(cursors) * sizeof *request->cursors);
    if (request->cursors == NULL) {
        return false;
    }
    json_object_foreach(cursors, key, value)
    {
        request->cursors[request->cursor_count++] = (struct request_cursor){
            .channel = (uint32_t)strtoul(key, NULL, 10),
            .seq = (uint64_t)json_integer_value(value),
        };
    }
    json_object_clear(cursors);
    return true;
}

static bool request_read_resume(struct request *request, const json_t *data,
                                struct request_error *error)
{
    const char *key;
    json_t *value;
    json_t *cursors = data == NULL ? NULL : request_get(data, "cursors");
    if (!json_is_object(cursors) || json_object_size(cursors) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.cursors",
                            "cursors must be an object of channel numbers, each with its last seq");
    }
    if (json_object_size(cursors) > REQUEST_CURSORS_MAX) {
        return request_fail(error, PROTOCOL_LIMIT_EXCEEDED, "data.cursors",
                            "at most %d cursors a message; send several", REQUEST_CURSORS_MAX);
    }
    json_object_foreach(cursors, key, value)
    {
        if (!request_read_cursor(key, value, error)) {
            return false;
        }
    }
    if (!request_keep_cursors(request, cursors)) {
        return request_fail_memory(error);
    }
    if (!request_read_epoch(request, data, "data.epoch", error) ||
        !request_read_delivery(request, data, error)) {
        return false;
    }
    return variant_is_none(request->variant) ||
           request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.mode",
                        "the interval of a channel cannot be changed; SUBSCRIBE for another");
}

static bool request_read_range(struct request *request, const json_t *data,
                               struct request_error *error)
{
    const json_t *from = request_get(data, "from");
    const json_t *to = request_get(data, "to");
    if (!request_is_seq(from)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.from",
                            "from must be an integer: a seq, or nanoseconds since 1970");
    }
    bool is_by_seq = json_integer_value(from) < REQUEST_SEQ_MAX;
    if (is_by_seq && (request->symbol_count != 1 || (request->types & (request->types - 1)) != 0)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.from",
                            "a seq is of one symbol and one data type; give nanoseconds for more");
    }
    if (to != NULL && (!request_is_seq(to) || json_integer_value(to) == 0 ||
                       json_integer_value(to) < json_integer_value(from) ||
                       is_by_seq != (json_integer_value(to) < REQUEST_SEQ_MAX))) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.to",
                            "to must be of the same kind as from, not before it, and not 0");
    }
    request->replay.is_by_seq = is_by_seq;
    request->replay.from = (uint64_t)json_integer_value(from);
    request->replay.to = (uint64_t)json_integer_value(to);
    return true;
}

static bool request_read_replay(struct request *request, const json_t *data,
                                struct request_error *error)
{
    if (!request_read_variants(request, data, error) || !request_read_range(request, data, error)) {
        return false;
    }
    const json_t *speed = request_get(data, "speed");
    if (speed != NULL && (!json_is_number(speed) || !(json_number_value(speed) >= 0) ||
                          !(json_number_value(speed) <= REQUEST_SPEED_MAX))) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.speed",
                            "speed must be 0 (as fast as you read) to %d; 1: as it was published",
                            REQUEST_SPEED_MAX);
    }
    request->replay.speed = json_number_value(speed);
    return true;
}

static bool request_read_unsubscribe(struct request *request, const json_t *data,
                                     struct request_error *error)
{
    if (data == NULL) {
        return true;
    }
    if (!request_read_symbols(request, data, error) ||
        !request_read_data_types(request, data, error)) {
        return false;
    }
    if (request->symbol_count > 0 && request->types == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.data_types",
                            "data_types is missing; valid: quote, trade, bar, depth, status");
    }
    if (!request_read_depth(request, data, error) || !request_read_bar(request, data, error) ||
        !request_read_delivery(request, data, error)) {
        return false;
    }
    if (request->symbol_count == 0 && !variant_is_none(request->variant)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                            "depth, bar and interval_ms need symbols");
    }
    return true;
}

static bool request_read_ping(struct request *request, const json_t *data,
                              struct request_error *error)
{
    const json_t *t0 = data == NULL ? NULL : request_get(data, "t0");
    const char *field = t0 == NULL ? "t0" : "data.t0";
    if (t0 == NULL) {
        t0 = request_get(request->root, "t0");
    }
    if (t0 == NULL) {
        return true;
    }
    size_t bytes = 0;
    if (json_is_number(t0) || json_is_string(t0)) {
        bytes = json_dumpb(t0, request->t0, sizeof request->t0 - 1, JSON_ENCODE_ANY);
    }
    if (bytes == 0 || bytes > sizeof request->t0 - 1) {
        request->t0[0] = '\0';
        return request_fail(error, PROTOCOL_BAD_REQUEST, field,
                            "t0 must be a number or a string of at most %zu bytes",
                            sizeof request->t0 - 3);
    }
    request->t0[bytes] = '\0';
    return true;
}

static bool request_read_auth(struct request *request, const json_t *data,
                              struct request_error *error)
{
    const json_t *token = data == NULL ? NULL : request_get(data, "token");
    if (!json_is_string(token)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.token", "token must be a string");
    }
    request->token = json_string_value(token);
    request->token_bytes = json_string_length(token);
    return true;
}

static bool request_read_data(struct request *request, struct request_error *error)
{
    const json_t *data = request_get(request->root, "data");
    if (data != NULL && !json_is_object(data)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data", "data must be an object");
    }
    switch (request->type) {
    case REQUEST_SUBSCRIBE:
        return request_read_subscribe(request, data, error);
    case REQUEST_UNSUBSCRIBE:
        return request_read_unsubscribe(request, data, error);
    case REQUEST_PING:
        return request_read_ping(request, data, error);
    case REQUEST_MODIFY:
        return request_read_modify(request, data, error);
    case REQUEST_SNAPSHOT:
        return request_read_variants(request, data, error);
    case REQUEST_REPLAY:
        return request_read_replay(request, data, error);
    case REQUEST_RESUME:
        return request_read_resume(request, data, error);
    case REQUEST_AUTH:
        return request_read_auth(request, data, error);
    default:
        return true;
    }
}

bool request_parse(struct request *request, const uint8_t *payload, size_t payload_bytes,
                   struct request_error *error)
{
    *request = (struct request){.type = REQUEST_NONE};
    *error = (struct request_error){.code = PROTOCOL_OK};
    if (request_load(request, payload, payload_bytes, error) && request_read_id(request, error) &&
        request_read_type(request, error) && request_read_data(request, error)) {
        return true;
    }
    request->type = REQUEST_NONE;
    return false;
}

void request_deinit(struct request *request)
{
    json_decref(request->root);
    free(request->symbols);
    free(request->cursors);
    request->root = NULL;
    request->symbols = NULL;
    request->token = NULL;
    request->cursors = NULL;
    request->epoch = NULL;
}

struct request_cursor request_cursor(const struct request *request, uint32_t index)
{
    assert_always(index < request->cursor_count);
    return request->cursors[index];
}

uint32_t request_units(size_t payload_bytes)
{
    return REQUEST_UNITS + (uint32_t)payload_bytes / REQUEST_UNIT_BYTES;
}

bool request_is_repeated(const struct request *request, uint32_t index)
{
    assert_always(index < request->symbol_count);
    return request->symbols[index].is_repeated;
}

const char *request_symbol(const struct request *request, uint32_t index, size_t *bytes_out)
{
    assert_always(index < request->symbol_count);
    *bytes_out = request->symbols[index].bytes;
    return request->symbols[index].text;
}
