#include "src/request/request_url.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "codec/base/check.h"
#include "codec/handshake_head.h"
#include "src/request/request_fields.h"

#define REQUEST_URL_DIGITS_MAX 9
#define REQUEST_URL_TYPES_TEXT "unknown data type; valid: quote, trade, bar, depth, status"

/* Those of settings stand together, and in them those that are numbers, and those of delivery. */
enum request_url_key {
    REQUEST_URL_SYMBOLS,
    REQUEST_URL_TYPES,
    REQUEST_URL_SNAPSHOT,
    REQUEST_URL_BAR,
    REQUEST_URL_DEPTH,
    REQUEST_URL_INTERVAL,
    REQUEST_URL_MAX_LAG,
    REQUEST_URL_MODE,
    REQUEST_URL_ON_LAG,
    REQUEST_URL_TOKEN, /* of access control, which has read it */
    REQUEST_URL_OTHER, /* not used */
};
static_assert(REQUEST_URL_OTHER == REQUEST_URL_KEYS_COUNT, "a name for each");

const char *const request_url_keys[REQUEST_URL_KEYS_COUNT] = {
    [REQUEST_URL_SYMBOLS] = "symbols",    [REQUEST_URL_TYPES] = "types",
    [REQUEST_URL_SNAPSHOT] = "snapshot",  [REQUEST_URL_BAR] = "bar",
    [REQUEST_URL_DEPTH] = "depth",        [REQUEST_URL_INTERVAL] = "interval_ms",
    [REQUEST_URL_MAX_LAG] = "max_lag_ms", [REQUEST_URL_MODE] = "mode",
    [REQUEST_URL_ON_LAG] = "on_lag",      [REQUEST_URL_TOKEN] = "token",
};

/* A URL that is being read. */
struct request_url {
    struct request *request;
    struct request_error *error;
    struct handshake_slice path, query;
    uint32_t types;   /* of the query */
    bool asks;        /* It is to subscribe something. */
    json_t *data;     /* settings as SUBSCRIBE has them; NULL: none */
    json_t *delivery; /* borrowed from data */
    struct request_adding adding;
    char text[HANDSHAKE_TARGET_BYTES_MAX + 1]; /* the part at hand, decoded and terminated */
};

struct request_url_pair {
    enum request_url_key key;
    struct handshake_slice value;
};

static bool request_url_decode(struct request_url *url, struct handshake_slice part, bool is_query)
{
    size_t bytes = 0;
    assert_always(part.bytes < sizeof url->text);
    bool is_good = handshake_head_decode(part, is_query, url->text, &bytes);
    url->text[is_good ? bytes : 0] = '\0';
    return is_good;
}

/* ---- The query ---- */

/* Notes a key that is not used, for the warnings of the answer. */
static bool request_url_note(struct request_url *url)
{
    /* Near misses of those that subscribe; without an answer nobody would tell. */
    static const char *const meant[] = {"symbol", "type", "data_types"};
    struct request *request = url->request;
    for (size_t i = 0; i < sizeof meant / sizeof meant[0]; i++) {
        url->asks |= strcmp(url->text, meant[i]) == 0;
    }
    request->root = request->root == NULL ? json_object() : request->root;
    return json_object_set_new(request->root, url->text, json_null()) == 0 ||
           request_fields_fail_memory(url->error);
}

/* Takes the next pair off the query. Leaves its key, decoded, in url->text. */
static bool request_url_next_pair(struct request_url *url, struct handshake_slice *query,
                                  struct request_url_pair *pair_out)
{
    struct handshake_slice key;
    if (!handshake_head_next_part(query, '&', &pair_out->value)) {
        return false;
    }
    if (!handshake_head_next_part(&pair_out->value, '=', &key)) {
        key = pair_out->value; /* Both are empty. */
    }
    if (!request_url_decode(url, key, true)) {
        memcpy(url->text, key.text, key.bytes);
        url->text[key.bytes] = '\0';
    }
    unsigned i = 0;
    while (i < REQUEST_URL_KEYS_COUNT && strcmp(url->text, request_url_keys[i]) != 0) {
        i++;
    }
    pair_out->key = (enum request_url_key)i;
    return true;
}

static bool request_url_add_types(struct request_url *url)
{
    struct handshake_slice list = {url->text, strlen(url->text)};
    struct handshake_slice word;
    while (handshake_head_next_part(&list, ',', &word)) {
        enum md_type type = md_type_by_name(word.text, word.bytes);
        if (type == MD_TYPE_COUNT) {
            return request_fields_fail(url->error, PROTOCOL_UNKNOWN_DATA_TYPE, "types",
                                       REQUEST_URL_TYPES_TEXT);
        }
        url->types |= 1u << type;
    }
    return true;
}

/* As JSON has it. What is no number or flag stays a string, for request_fields to refuse. */
static json_t *request_url_value(enum request_url_key key, const char *text)
{
    size_t bytes = strlen(text);
    bool is_number = key >= REQUEST_URL_DEPTH && key <= REQUEST_URL_MAX_LAG;
    if (is_number && bytes <= REQUEST_URL_DIGITS_MAX && strspn(text, "0123456789") == bytes) {
        return json_integer(strtol(text, NULL, 10));
    }
    if (key == REQUEST_URL_SNAPSHOT && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)) {
        return json_boolean(text[0] == 't');
    }
    return json_string(text);
}

static bool request_url_add_setting(struct request_url *url, enum request_url_key key)
{
    const char *name = request_url_keys[key];
    if (url->data == NULL) {
        url->data = json_object();
        url->delivery = json_object();
        if (json_object_set_new(url->data, "delivery", url->delivery) < 0) {
            return request_fields_fail_memory(url->error);
        }
    }
    json_t *object = key >= REQUEST_URL_INTERVAL ? url->delivery : url->data;
    if (json_object_get(object, name) != NULL) {
        return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, name, "%s is given twice",
                                   name);
    }
    return json_object_set_new(object, name, request_url_value(key, url->text)) == 0 ||
           request_fields_fail_memory(url->error);
}

/* All but symbols, which need to know their types. A key without a value counts as not given. */
static bool request_url_read_query(struct request_url *url)
{
    struct handshake_slice query = url->query;
    struct request_url_pair pair;
    while (request_url_next_pair(url, &query, &pair)) {
        if (pair.key == REQUEST_URL_OTHER) {
            if (url->text[0] != '\0' && !request_url_note(url)) {
                return false;
            }
            continue;
        }
        url->asks |= pair.key != REQUEST_URL_TOKEN;
        if (pair.key == REQUEST_URL_TOKEN || pair.key == REQUEST_URL_SYMBOLS) {
            continue;
        }
        const char *name = request_url_keys[pair.key];
        if (!request_url_decode(url, pair.value, true)) {
            return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, name,
                                       "not percent-encoded UTF-8");
        }
        if (url->text[0] != '\0' &&
            !(pair.key == REQUEST_URL_TYPES ? request_url_add_types(url)
                                            : request_url_add_setting(url, pair.key))) {
            return false;
        }
    }
    return true;
}

/* ---- Names ---- */

static bool request_url_add(struct request_url *url, const char *field,
                            struct request_symbol symbol)
{
    if (url->request->symbol_count == REQUEST_SYMBOLS_MAX) {
        return request_fields_fail(url->error, PROTOCOL_LIMIT_EXCEEDED, field,
                                   "at most %d names per URL", REQUEST_SYMBOLS_MAX);
    }
    url->request->types |= symbol.types;
    request_fields_add_symbol(url->request, &url->adding, symbol);
    return true;
}

/* symbols=A,B; the types are known. */
static bool request_url_add_query(struct request_url *url)
{
    struct handshake_slice query = url->query;
    struct handshake_slice name;
    struct request_url_pair pair;
    while (request_url_next_pair(url, &query, &pair)) {
        if (pair.key != REQUEST_URL_SYMBOLS) {
            continue;
        }
        if (!request_url_decode(url, pair.value, true)) {
            return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, "symbols",
                                       "not percent-encoded UTF-8");
        }
        struct handshake_slice list = {url->text, strlen(url->text)};
        while (handshake_head_next_part(&list, ',', &name)) {
            struct request_symbol symbol = {
                .text = name.text, .bytes = name.bytes & 0xffffff, .types = url->types & 0x7f};
            if (!request_url_add(url, "symbols", symbol)) {
                return false;
            }
        }
    }
    return true;
}

/* "depth5", "bar1m", "quote": a type, and which of its variants. */
static bool request_url_read_type(const char *word, const char *field,
                                  struct request_symbol *symbol, struct request_error *error)
{
    size_t type_bytes = strcspn(word, "0123456789");
    const char *rest = word + type_bytes;
    enum md_type type = md_type_by_name(word, type_bytes);
    bool has_variant = *rest != '\0';
    if (type == MD_TYPE_COUNT || (has_variant && type != MD_DEPTH && type != MD_BAR)) {
        return request_fields_fail(error, PROTOCOL_UNKNOWN_DATA_TYPE, field,
                                   REQUEST_URL_TYPES_TEXT);
    }
    symbol->types = (1u << type) & 0x7f;
    if (has_variant && type == MD_BAR) {
        symbol->variant.bar = variant_bar_by_name(rest);
        return symbol->variant.bar != 0 ||
               request_fields_fail(error, PROTOCOL_NOT_OFFERED, field,
                                   "bar must be " VARIANT_BARS_TEXT ": bar1m");
    }
    if (has_variant) {
        size_t digits = strspn(rest, "0123456789");
        long depth = rest[digits] == '\0' && digits <= 3 ? strtol(rest, NULL, 10) : 0;
        symbol->variant.depth = variant_is_depth(depth) ? (uint8_t)depth : 0;
        return symbol->variant.depth != 0 ||
               request_fields_fail(error, PROTOCOL_NOT_OFFERED, field,
                                   "depth must be " VARIANT_DEPTHS_TEXT ": depth5");
    }
    return true;
}

/* Takes "@500ms" off the end of text. false: it is not offered. */
static bool request_url_read_interval(char *text, const char *field, struct request_symbol *symbol,
                                      struct request_error *error)
{
    char *at = strrchr(text, '@');
    size_t digits = at == NULL ? 0 : strspn(at + 1, "0123456789");
    if (digits == 0 || strcasecmp(at + 1 + digits, "ms") != 0) {
        return true;
    }
    long interval_ms = digits <= 5 ? strtol(at + 1, NULL, 10) : 0;
    if (!variant_is_interval(interval_ms)) {
        return request_fields_fail(error, PROTOCOL_NOT_OFFERED, field,
                                   "the interval must be " VARIANT_INTERVALS_TEXT " ms");
    }
    symbol->variant.interval_ms = (uint16_t)interval_ms;
    *at = '\0';
    return true;
}

/* SYMBOL@TYPE or SYMBOL@TYPE@INTERVALms. It is read from its end: a symbol may have a '@'. */
static bool request_url_add_name(struct request_url *url, const char *field)
{
    struct request_symbol symbol = {.text = url->text};
    if (!request_url_read_interval(url->text, field, &symbol, url->error)) {
        return false;
    }
    char *at = strrchr(url->text, '@');
    if (at == NULL) {
        return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, field,
                                   "write SYMBOL@TYPE, such as AAPL.US@quote");
    }
    *at = '\0';
    symbol.bytes = (uint32_t)(at - url->text) & 0xffffff;
    return request_url_read_type(at + 1, field, &symbol, url->error) &&
           request_url_add(url, field, symbol);
}

static bool request_url_add_path(struct request_url *url)
{
    struct handshake_slice path = url->path;
    struct handshake_slice part;
    char field[sizeof url->error->field];
    for (unsigned i = 0; handshake_head_next_part(&path, '/', &part); i++) {
        snprintf(field, sizeof field, "path[%u]", i);
        if (!request_url_decode(url, part, false)) {
            return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, field,
                                       "not percent-encoded UTF-8");
        }
        if (!request_url_add_name(url, field)) {
            return false;
        }
    }
    return true;
}

/* ---- The URL ---- */

/* The memory that its names may take. */
static bool request_url_begin(struct request_url *url, const char *text, size_t text_bytes)
{
    size_t count = 1; /* A name follows one of these at least, or is the first. */
    for (size_t i = 0; i < text_bytes; i++) {
        count += text[i] == '/' || text[i] == '=' || text[i] == ',' || text[i] == '%';
    }
    count = count < REQUEST_SYMBOLS_MAX ? count : REQUEST_SYMBOLS_MAX;
    return request_fields_begin_symbols(url->request, &url->adding, count, text_bytes + count) ||
           request_fields_fail_memory(url->error);
}

static bool request_url_add_names(struct request_url *url)
{
    if (!request_url_add_path(url)) {
        return false;
    }
    uint32_t path_count = url->request->symbol_count;
    if (!request_url_add_query(url)) {
        return false;
    }
    bool has_symbols = url->request->symbol_count > path_count;
    if (has_symbols && url->types == 0) {
        return request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, "types",
                                   "types is missing; valid: quote, trade, bar, depth, status");
    }
    bool is_complete = has_symbols || (path_count > 0 && url->types == 0);
    return is_complete || request_fields_fail(url->error, PROTOCOL_BAD_REQUEST, "symbols",
                                              "write names: /SYMBOL@TYPE, or symbols=A,B");
}

/* Paths of fields are SUBSCRIBE's: data.delivery.on_lag is on_lag here. */
static void request_url_name_field(struct request_error *error)
{
    const char *last = strrchr(error->field, '.');
    if (last != NULL) {
        memmove(error->field, last + 1, strlen(last));
    }
}

static bool request_url_read_settings(struct request_url *url)
{
    bool has_interval = json_object_get(url->delivery, "interval_ms") != NULL;
    if (has_interval && json_object_get(url->delivery, "mode") == NULL &&
        json_object_set_new(url->delivery, "mode", json_string("conflated")) < 0) {
        return request_fields_fail_memory(url->error);
    }
    bool is_good = request_fields_settings(url->request, url->data, url->error);
    request_url_name_field(url->error);
    return is_good;
}

static bool request_url_read(struct request_url *url, const char *text, size_t text_bytes)
{
    if (!request_url_read_query(url)) {
        return false;
    }
    if (!url->asks && url->path.bytes == 0) {
        return true;
    }
    url->request->type = REQUEST_SUBSCRIBE;
    return request_url_begin(url, text, text_bytes) && request_url_add_names(url) &&
           request_url_read_settings(url);
}

bool request_url_parse(struct request *request, const char *text, size_t text_bytes,
                       struct request_error *error)
{
    struct request_url url;
    assert_always(text_bytes <= HANDSHAKE_TARGET_BYTES_MAX);
    *request = (struct request){.type = REQUEST_NONE, .is_url = true};
    *error = (struct request_error){.code = PROTOCOL_OK};
    url.request = request;
    url.error = error;
    url.query = (struct handshake_slice){text, text_bytes};
    url.path = (struct handshake_slice){text, 0};
    url.types = 0;
    url.asks = false;
    url.data = NULL;
    url.delivery = NULL;
    handshake_head_next_part(&url.query, '?', &url.path);
    if (url.path.bytes > 0) { /* What stands between the first slash and one at the end. */
        url.path.text++;
        url.path.bytes--;
    }
    bool is_good = request_url_read(&url, text, text_bytes);
    json_decref(url.data);
    assert_always(is_good == (error->code == PROTOCOL_OK));
    return is_good;
}
