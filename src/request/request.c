#include "src/request/request.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/json_member.h"
#include "codec/json_numbers.h"
#include "src/base/json_depth.h"
#include "src/base/json_load.h"
#include "src/base/json_plain.h"
#include "src/request/request_fields.h"

/* ---- Text to JSON ---- */

static void request_make_ascii(char *text)
{
    for (; *text != '\0'; text++) {
        *text = *text < ' ' || *text > '~' ? '?' : *text;
    }
}

static bool request_fail_load(json_error_t *fault, struct request_error *error)
{
    enum json_error_code code = json_error_code(fault);
    if (code == json_error_out_of_memory || fault->text[0] == '\0') {
        return request_fields_fail_memory(error);
    }
    if (code == json_error_null_character || code == json_error_null_byte_in_key) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "",
                                   "a string has \\u0000, which is not supported (at byte %d)",
                                   fault->position);
    }
    request_make_ascii(fault->text); /* It quotes the message, cut anywhere. */
    return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "", "%s%.100s (at byte %d)",
                               code == json_error_duplicate_key ? "" : "not JSON: ", fault->text,
                               fault->position);
}

static bool request_load(struct request *request, struct json_member text,
                         struct request_error *error)
{
    json_error_t fault;
    static_assert(JSON_PLAIN_DEPTH_MAX <= REQUEST_DEPTH_MAX, "what is plain is not too deep");
    request->root = json_plain_parse(text.text, text.bytes);
    if (request->root != NULL) {
        return true;
    }
    if (!json_depth_is_within(text.text, text.bytes, REQUEST_DEPTH_MAX)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "", "nested deeper than %d",
                                   REQUEST_DEPTH_MAX);
    }
    request->root = json_load(text.text, text.bytes, &fault);
    if (request->root == NULL) {
        return request_fail_load(&fault, error);
    }
    if (!json_is_object((json_t *)request->root)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "", "not a JSON object");
    }
    return true;
}

/* ---- The envelope ---- */

/* Looks for what is to be repeated as it came. false: there is none, or it is null. */
static bool request_find(struct json_member text, const char *key, struct json_member *value_out)
{
    return json_member_find(text.text, text.bytes, key, value_out) &&
           (value_out->bytes != strlen("null") || memcmp(value_out->text, "null", 4) != 0);
}

/* A number, or a string that a parser takes. false: it is another thing, or too long. */
static bool request_keep(struct json_member value, char kept_out[REQUEST_ECHO_TEXT_BYTES_MAX])
{
    size_t bytes = value.bytes;
    bool is_good = json_numbers_is_one(value.text, value.bytes);
    if (!is_good && value.text[0] == '"') {
        json_t *string = json_loadb(value.text, value.bytes, JSON_DECODE_ANY, NULL);
        is_good = string != NULL;
        bytes = json_string_length(string);
        json_decref(string);
    }
    if (!is_good || bytes > REQUEST_ECHO_BYTES_MAX) {
        return false;
    }
    assert_always(value.bytes < REQUEST_ECHO_TEXT_BYTES_MAX); /* 6 for each byte, at most. */
    memcpy(kept_out, value.text, value.bytes);
    kept_out[value.bytes] = '\0';
    return true;
}

/* Of PING, in data or beside it. */
static bool request_read_t0(struct request *request, struct json_member text,
                            struct request_error *error)
{
    struct json_member data;
    struct json_member t0;
    if (request->type != REQUEST_PING) {
        return true;
    }
    bool is_in_data = request_find(text, "data", &data) && request_find(data, "t0", &t0);
    if (!is_in_data && !request_find(text, "t0", &t0)) {
        return true;
    }
    return request_keep(t0, request->t0) ||
           request_fields_fail(error, PROTOCOL_BAD_REQUEST, is_in_data ? "data.t0" : "t0",
                               "t0 must be a number or a string of at most %d bytes",
                               REQUEST_ECHO_BYTES_MAX);
}

static bool request_judge_id(bool id_is_good, struct request_error *error)
{
    return id_is_good || request_fields_fail(error, PROTOCOL_BAD_REQUEST, "id",
                                             "id must be a number or a string of at most %d bytes",
                                             REQUEST_ECHO_BYTES_MAX);
}

static const char *const request_type_names[] = {
    [REQUEST_NONE] = "the server", /* of what no type is known */
    [REQUEST_SUBSCRIBE] = "SUBSCRIBE", [REQUEST_UNSUBSCRIBE] = "UNSUBSCRIBE",
    [REQUEST_LIST] = "LIST",           [REQUEST_PING] = "PING",
    [REQUEST_MODIFY] = "MODIFY",       [REQUEST_SNAPSHOT] = "SNAPSHOT",
    [REQUEST_RESUME] = "RESUME",       [REQUEST_REPLAY] = "REPLAY",
    [REQUEST_STATUS] = "STATUS",       [REQUEST_HEARTBEAT] = "HEARTBEAT",
    [REQUEST_AUTH] = "AUTH",           [REQUEST_SYMBOLS] = "SYMBOLS",
};

const char *request_type_name(enum request_type type)
{
    assert_always((unsigned)type < REQUEST_TYPE_COUNT);
    return request_type_names[type];
}

static bool request_read_type(struct request *request, struct request_error *error)
{
    const char *name = json_string_value(request_fields_get(request->root, "type"));
    if (name == NULL) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "type", "type must be a string");
    }
    for (unsigned i = REQUEST_NONE + 1; i < REQUEST_TYPE_COUNT; i++) {
        if (strcasecmp(name, request_type_names[i]) == 0) {
            request->type = (enum request_type)i;
            return true;
        }
    }
    return request_fields_fail(
        error, PROTOCOL_UNKNOWN_TYPE, "type",
        "unknown type; valid: SUBSCRIBE, UNSUBSCRIBE, MODIFY, LIST, SYMBOLS, SNAPSHOT, "
        "RESUME, REPLAY, PING, STATUS, HEARTBEAT, AUTH");
}

/* ---- Messages ---- */

static bool request_read_subscribe(struct request *request, const json_t *data,
                                   struct request_error *error)
{
    return request_fields_names(request, data, error) &&
           request_fields_settings(request, data, error);
}

static bool request_read_modify(struct request *request, const json_t *data,
                                struct request_error *error)
{
    if (!request_fields_variants(request, data, error)) {
        return false;
    }
    return request->has_on_lag || request->has_max_lag ||
           request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.delivery",
                               "delivery with on_lag or max_lag_ms is missing");
}

static bool request_read_cursor(const char *key, const json_t *value, struct request_error *error)
{
    size_t digits = strspn(key, "0123456789");
    if (digits == 0 || digits > 9 || key[digits] != '\0' || (key[0] == '0' && digits > 1)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.cursors",
                                   "a key of cursors must be the number of a channel, in decimal "
                                   "digits without leading zeros");
    }
    return request_fields_is_seq(value) ||
           request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.cursors",
                               "a cursor must be an integer, the last seq received of channel %s",
                               key);
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
    assert_always(request->cursor_count == json_object_size(cursors));
    json_object_clear(cursors);
    return true;
}

static bool request_read_resume(struct request *request, const json_t *data,
                                struct request_error *error)
{
    const char *key;
    json_t *value;
    json_t *cursors = data == NULL ? NULL : request_fields_get(data, "cursors");
    if (!json_is_object(cursors) || json_object_size(cursors) == 0) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.cursors",
            "cursors must be an object of channel numbers, each with its last seq");
    }
    if (json_object_size(cursors) > REQUEST_CURSORS_MAX) {
        return request_fields_fail(error, PROTOCOL_LIMIT_EXCEEDED, "data.cursors",
                                   "at most %d cursors per message; send several messages",
                                   REQUEST_CURSORS_MAX);
    }
    json_object_foreach(cursors, key, value)
    {
        if (!request_read_cursor(key, value, error)) {
            return false;
        }
    }
    if (!request_keep_cursors(request, cursors)) {
        return request_fields_fail_memory(error);
    }
    if (!request_fields_epoch(request, data, "data.epoch", error) ||
        !request_fields_delivery(request, data, error)) {
        return false;
    }
    return variant_is_none(request->variant) ||
           request_fields_fail(
               error, PROTOCOL_BAD_REQUEST, "data.delivery.mode",
               "the interval of a channel cannot be changed; SUBSCRIBE with another interval");
}

static bool request_read_range(struct request *request, const json_t *data,
                               struct request_error *error)
{
    const json_t *from = request_fields_get(data, "from");
    const json_t *to = request_fields_get(data, "to");
    if (!request_fields_is_seq(from)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.from",
                                   "from must be an integer: a seq, or nanoseconds since 1970");
    }
    bool is_by_seq = json_integer_value(from) < REQUEST_SEQ_MAX;
    if (is_by_seq && (request->symbol_count != 1 || (request->types & (request->types - 1)) != 0)) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.from",
            "a seq belongs to one symbol and one data type; give nanoseconds for several");
    }
    if (to != NULL && (!request_fields_is_seq(to) || json_integer_value(to) == 0 ||
                       json_integer_value(to) < json_integer_value(from) ||
                       is_by_seq != (json_integer_value(to) < REQUEST_SEQ_MAX))) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.to",
                                   "to must be of the same kind as from, not before it, and not 0");
    }
    request->range.is_by_seq = is_by_seq;
    request->range.from = (uint64_t)json_integer_value(from);
    request->range.to = (uint64_t)json_integer_value(to);
    return true;
}

static bool request_read_replay(struct request *request, const json_t *data,
                                struct request_error *error)
{
    if (!request_fields_variants(request, data, error) ||
        !request_read_range(request, data, error)) {
        return false;
    }
    const json_t *speed = request_fields_get(data, "speed");
    if (speed != NULL && (!json_is_number(speed) || !(json_number_value(speed) >= 0) ||
                          !(json_number_value(speed) <= REQUEST_SPEED_MAX))) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.speed",
            "speed must be 0 (as fast as you read) to %d; 1 is the original speed",
            REQUEST_SPEED_MAX);
    }
    request->range.speed = json_number_value(speed);
    return true;
}

static bool request_read_unsubscribe(struct request *request, const json_t *data,
                                     struct request_error *error)
{
    if (data == NULL) {
        return true;
    }
    if (!request_fields_symbols(request, data, error) ||
        !request_fields_data_types(request, data, error)) {
        return false;
    }
    if (request->symbol_count > 0 && request->types == 0) {
        return request_fields_fail(
            error, PROTOCOL_BAD_REQUEST, "data.data_types",
            "data_types is missing; valid: quote, trade, bar, depth, status");
    }
    if (!request_fields_depth(request, data, error) || !request_fields_bar(request, data, error) ||
        !request_fields_delivery(request, data, error)) {
        return false;
    }
    if (request->symbol_count == 0 && !variant_is_none(request->variant)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.symbols",
                                   "depth, bar and interval_ms need symbols");
    }
    return true;
}

static bool request_read_auth(struct request *request, const json_t *data,
                              struct request_error *error)
{
    const json_t *token = data == NULL ? NULL : request_fields_get(data, "token");
    if (!json_is_string(token)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.token",
                                   "token must be a string");
    }
    request->token = json_string_value(token);
    request->token_bytes = json_string_length(token);
    return true;
}

static bool request_read_symbols(struct request *request, const json_t *data,
                                 struct request_error *error)
{
    const json_t *pattern = request_fields_get(data, "pattern");
    const json_t *after = request_fields_get(data, "after");
    const json_t *limit = request_fields_get(data, "limit");
    struct request_symbols *listing = &request->listing;
    const char *name;
    char field[sizeof error->field];
    *listing = REQUEST_SYMBOLS_ALL;
    /* A value of another kind is as wrong as an empty or a long one. */
    listing->pattern = pattern == NULL           ? listing->pattern
                       : json_is_string(pattern) ? json_string_value(pattern)
                                                 : "";
    listing->limit = limit == NULL ? listing->limit : json_integer_value(limit);
    if (after != NULL && !json_is_string(after)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data.after",
                                   "after must be a string");
    }
    listing->after = after == NULL ? listing->after : json_string_value(after);
    const char *fault = request_symbols_fault(listing, &name);
    if (fault == NULL) {
        return true;
    }
    snprintf(field, sizeof field, "data.%s", name);
    return request_fields_fail(error, PROTOCOL_BAD_REQUEST, field, "%s", fault);
}

static bool request_read_data(struct request *request, struct request_error *error)
{
    const json_t *data = request_fields_get(request->root, "data");
    if (data != NULL && !json_is_object(data)) {
        return request_fields_fail(error, PROTOCOL_BAD_REQUEST, "data", "data must be an object");
    }
    switch (request->type) {
    case REQUEST_SUBSCRIBE:
        return request_read_subscribe(request, data, error);
    case REQUEST_UNSUBSCRIBE:
        return request_read_unsubscribe(request, data, error);
    case REQUEST_MODIFY:
        return request_read_modify(request, data, error);
    case REQUEST_SNAPSHOT:
        return request_fields_variants(request, data, error);
    case REQUEST_REPLAY:
        return request_read_replay(request, data, error);
    case REQUEST_RESUME:
        return request_read_resume(request, data, error);
    case REQUEST_AUTH:
        return request_read_auth(request, data, error);
    case REQUEST_SYMBOLS:
        return request_read_symbols(request, data, error);
    default:
        return true;
    }
}

bool request_parse(struct request *request, const uint8_t *payload, size_t payload_bytes,
                   struct request_error *error)
{
    *request = (struct request){.type = REQUEST_NONE};
    *error = (struct request_error){.code = PROTOCOL_OK};
    struct json_member text = {(const char *)payload, payload_bytes};
    struct json_member id;
    /* Before the rest, which may be no JSON. */
    bool id_is_good = !request_find(text, "id", &id) || request_keep(id, request->id);
    if (request_load(request, text, error) && request_judge_id(id_is_good, error) &&
        request_read_type(request, error) && request_read_data(request, error) &&
        request_read_t0(request, text, error)) {
        assert_debug(request->type != REQUEST_NONE);
        return true;
    }
    assert_always(error->code != PROTOCOL_OK);
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

uint32_t request_types_of(const struct request *request, uint32_t index)
{
    assert_always(index < request->symbol_count);
    uint32_t types = request->symbols[index].types;
    return types != 0 ? types : request->types;
}

struct variant request_variant_of(const struct request *request, uint32_t index, enum md_type type)
{
    assert_always(index < request->symbol_count);
    struct variant own = request->symbols[index].variant;
    struct variant all = request->variant;
    return (struct variant){
        .interval_ms = own.interval_ms != 0 ? own.interval_ms : all.interval_ms,
        .depth = type != MD_DEPTH ? 0
                 : own.depth != 0 ? own.depth
                                  : all.depth,
        .bar = type != MD_BAR ? 0
               : own.bar != 0 ? own.bar
                              : all.bar,
    };
}

const char *request_symbol(const struct request *request, uint32_t index, size_t *bytes_out)
{
    assert_always(index < request->symbol_count);
    *bytes_out = request->symbols[index].bytes;
    return request->symbols[index].text;
}
