#include "src/request.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "src/reply.h"

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

/* Recursion in the parser is bounded by what it is given. */
static bool request_is_shallow(const uint8_t *payload, size_t payload_bytes)
{
    uint32_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < payload_bytes; i++) {
        uint8_t byte = payload[i];
        if (in_string) {
            i += byte == '\\';
            in_string = byte != '"';
        } else if (byte == '"') {
            in_string = true;
        } else if (byte == '{' || byte == '[') {
            if (++depth > REQUEST_DEPTH_MAX) {
                return false;
            }
        } else if (byte == '}' || byte == ']') {
            depth -= depth > 0;
        }
    }
    return true;
}

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
    if (!request_is_shallow(payload, payload_bytes)) {
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
    {"AUTH", REQUEST_NONE},           {"MODIFY", REQUEST_NONE},
    {"SNAPSHOT", REQUEST_NONE},       {"RESUME", REQUEST_NONE},
    {"REPLAY", REQUEST_NONE},         {"STATUS", REQUEST_STATUS},
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
                        "unknown type; valid: SUBSCRIBE, UNSUBSCRIBE, LIST, PING, STATUS, "
                        "HEARTBEAT");
}

/* ---- Symbols and types ---- */

static bool request_read_symbols(struct request *request, const json_t *data,
                                 struct request_error *error)
{
    json_t *symbols = request_get(data, "symbols");
    if (symbols == NULL) {
        return true;
    }
    request->symbols = symbols;
    request->symbol_count = 1;
    if (json_is_string(symbols)) {
        return true;
    }
    if (!json_is_array(symbols) || json_array_size(symbols) == 0) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                            "symbols must be an array of strings that is not empty");
    }
    if (json_array_size(symbols) > REQUEST_SYMBOLS_MAX) {
        return request_fail(error, PROTOCOL_LIMIT_EXCEEDED, "data.symbols",
                            "at most %d symbols a message", REQUEST_SYMBOLS_MAX);
    }
    request->symbol_count = (uint32_t)json_array_size(symbols);
    for (size_t i = 0; i < request->symbol_count; i++) {
        if (!json_is_string(json_array_get(symbols, i))) {
            return request_fail_at(error, PROTOCOL_BAD_REQUEST, "data.symbols", i,
                                   "a symbol must be a string");
        }
    }
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

/* What is part of the protocol but not offered yet is refused, never ignored. */
struct request_missing {
    const char *key;
    enum protocol_code code;
    const char *field;
};

static bool request_refuse_missing(const json_t *object, const struct request_missing *missing,
                                   size_t missing_count, struct request_error *error)
{
    for (size_t i = 0; i < missing_count; i++) {
        if (request_get(object, missing[i].key) != NULL) {
            return request_fail(error, missing[i].code, missing[i].field,
                                "%s is not available in this version", missing[i].key);
        }
    }
    return true;
}

static bool request_read_delivery(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    static const struct request_missing missing[] = {
        {"max_lag_ms", PROTOCOL_NOT_AVAILABLE, "data.delivery.max_lag_ms"},
    };
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
           request_refuse_missing(delivery, missing, sizeof missing / sizeof missing[0], error);
}

static bool request_read_settings(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    static const struct request_missing missing[] = {
        {"since", PROTOCOL_NOT_AVAILABLE, "data.since"},
    };
    const json_t *snapshot = request_get(data, "snapshot");
    if (snapshot != NULL && !json_is_boolean(snapshot)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.snapshot",
                            "snapshot must be true or false");
    }
    request->snapshot = snapshot == NULL || json_is_true(snapshot);
    return request_refuse_missing(data, missing, sizeof missing / sizeof missing[0], error) &&
           request_read_depth(request, data, error) && request_read_bar(request, data, error) &&
           request_read_delivery(request, data, error);
}

/* ---- Messages ---- */

static bool request_read_subscribe(struct request *request, const json_t *data,
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
    return request_read_settings(request, data, error);
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
    request->root = NULL;
    request->symbols = NULL;
}

const char *request_symbol(const struct request *request, uint32_t index, size_t *bytes_out)
{
    assert_always(index < request->symbol_count);
    const json_t *symbol = request->symbols;
    if (json_is_array(symbol)) {
        symbol = json_array_get(symbol, index);
    }
    *bytes_out = json_string_length(symbol);
    return json_string_value(symbol);
}
