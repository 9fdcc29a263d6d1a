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
    {"AUTH", REQUEST_AUTH},           {"MODIFY", REQUEST_NONE},
    {"SNAPSHOT", REQUEST_NONE},       {"RESUME", REQUEST_NONE},
    {"REPLAY", REQUEST_NONE},         {"STATUS", REQUEST_NONE},
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
                        "unknown type; valid: SUBSCRIBE, UNSUBSCRIBE, LIST, PING, AUTH");
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

static bool request_read_mode(const json_t *delivery, struct request_error *error)
{
    const json_t *mode = request_get(delivery, "mode");
    const char *name = json_string_value(mode);
    if (mode == NULL || (name != NULL && strcasecmp(name, "all") == 0)) {
        return true;
    }
    if (name != NULL && strcasecmp(name, "conflated") == 0) {
        return request_fail(error, PROTOCOL_NOT_AVAILABLE, "data.delivery.mode",
                            "conflated is not available in this version; valid: all");
    }
    return request_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery.mode", "mode must be all");
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
        {"interval_ms", PROTOCOL_NOT_AVAILABLE, "data.delivery.interval_ms"},
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
    return request_read_mode(delivery, error) && request_read_on_lag(request, delivery, error) &&
           request_refuse_missing(delivery, missing, sizeof missing / sizeof missing[0], error);
}

static bool request_read_settings(struct request *request, const json_t *data,
                                  struct request_error *error)
{
    static const struct request_missing missing[] = {
        {"depth", PROTOCOL_NOT_OFFERED, "data.depth"},
        {"bar", PROTOCOL_NOT_OFFERED, "data.bar"},
        {"since", PROTOCOL_NOT_AVAILABLE, "data.since"},
    };
    const json_t *snapshot = request_get(data, "snapshot");
    if (snapshot != NULL && !json_is_boolean(snapshot)) {
        return request_fail(error, PROTOCOL_BAD_REQUEST, "data.snapshot",
                            "snapshot must be true or false");
    }
    request->snapshot = snapshot == NULL || json_is_true(snapshot);
    return request_refuse_missing(data, missing, sizeof missing / sizeof missing[0], error) &&
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
    request->root = NULL;
    request->symbols = NULL;
    request->token = NULL;
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
