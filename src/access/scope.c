#include "src/access/scope.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

#define SCOPE_TYPES_ALL ((1u << MD_TYPE_COUNT) - 1)

static_assert(MD_TYPE_COUNT < 32, "types are bits of a mask");
static_assert(PATTERN_BYTES_MAX <= UINT8_MAX, "a pattern's length is a byte");
static_assert(sizeof(struct scope) == 24, "as scope.h says");
static_assert(sizeof(struct scope_pattern) == 37, "as scope.h says");

const struct scope scope_of_all = {.types = SCOPE_TYPES_ALL};
const struct scope scope_of_none = {.types = 0};

static bool scope_key_is_listed(const char *key, const char *const *list)
{
    for (const char *const *at = list; at != NULL && *at != NULL; at++) {
        if (strcmp(*at, key) == 0) {
            return true;
        }
    }
    return false;
}

static bool scope_read_number(json_t *object, const char *key, uint32_t max, uint32_t *out,
                              char *error_out, size_t error_bytes)
{
    const json_t *value = json_object_get(object, key);
    if (value == NULL) {
        return true;
    }
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > (json_int_t)max) {
        snprintf(error_out, error_bytes, "%s must be a whole number from 1 to %u", key, max);
        return false;
    }
    *out = (uint32_t)number;
    return true;
}

static bool scope_read_types(json_t *object, uint32_t *types_out, char *error_out,
                             size_t error_bytes)
{
    const json_t *types = json_object_get(object, "types");
    *types_out = types == NULL ? SCOPE_TYPES_ALL : 0;
    bool good = types == NULL || json_is_array(types);
    for (size_t i = 0; good && types != NULL && i < json_array_size(types); i++) {
        const json_t *name = json_array_get(types, i);
        enum md_type type = json_is_string(name)
                                ? md_type_by_name(json_string_value(name), json_string_length(name))
                                : MD_TYPE_COUNT;
        good = type != MD_TYPE_COUNT;
        *types_out |= good ? 1u << type : 0;
    }
    if (!good) {
        snprintf(error_out, error_bytes,
                 "types must be an array of quote, trade, bar, depth, status");
    }
    return good;
}

static bool scope_read_patterns(const json_t *symbols, struct scope *scope, char *error_out,
                                size_t error_bytes)
{
    assert_always(scope->pattern_count == json_array_size(symbols));
    for (size_t i = 0; i < scope->pattern_count; i++) {
        const json_t *symbol = json_array_get(symbols, i);
        size_t bytes = json_string_length(symbol);
        if (!json_is_string(symbol) || bytes == 0 || bytes > PATTERN_BYTES_MAX) {
            snprintf(error_out, error_bytes,
                     "symbols[%zu] must be a symbol or pattern, 1 to %d "
                     "bytes",
                     i, PATTERN_BYTES_MAX);
            return false;
        }
        scope->patterns[i].bytes = (uint8_t)bytes;
        memcpy(scope->patterns[i].text, json_string_value(symbol), bytes);
    }
    return true;
}

/* Without symbols: one pattern that covers all. */
static struct scope *scope_create_patterns(const json_t *object, char *error_out,
                                           size_t error_bytes)
{
    const json_t *symbols = json_object_get(object, "symbols");
    size_t count = symbols == NULL ? 0 : json_array_size(symbols);
    if (symbols != NULL && (!json_is_array(symbols) || count > SCOPE_PATTERNS_MAX)) {
        snprintf(error_out, error_bytes, "symbols must be an array of at most %d strings",
                 SCOPE_PATTERNS_MAX);
        return NULL;
    }
    size_t bytes = sizeof(struct scope) + (count + 1) * sizeof(struct scope_pattern);
    struct scope *scope = calloc(1, bytes);
    if (scope == NULL) {
        snprintf(error_out, error_bytes, "no memory");
        return NULL;
    }
    scope->pattern_count = (uint32_t)count;
    if (symbols == NULL) {
        scope->pattern_count = 1;
        scope->patterns[0] = (struct scope_pattern){.bytes = 1, .text = "*"};
    } else if (!scope_read_patterns(symbols, scope, error_out, error_bytes)) {
        free(scope);
        return NULL;
    }
    return scope;
}

/* What a client may read or a producer publish. name: of the object; valid: its keys, for errors.
 */
static struct scope *scope_read(json_t *object, const char *name, const char *const *own,
                                const char *const *known, const char *valid, char *error_out,
                                size_t error_bytes)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object)) {
        snprintf(error_out, error_bytes, "%s must be an object", name);
        return NULL;
    }
    json_object_foreach(object, key, value)
    {
        if (!scope_key_is_listed(key, own) && !scope_key_is_listed(key, known)) {
            snprintf(error_out, error_bytes, "\"%.40s\" is not a key of %s; valid: %s", key, name,
                     valid);
            return NULL;
        }
    }
    struct scope *scope = scope_create_patterns(object, error_out, error_bytes);
    if (scope != NULL && !scope_read_types(object, &scope->types, error_out, error_bytes)) {
        scope_destroy(scope);
        return NULL;
    }
    return scope;
}

static bool scope_read_publish(json_t *object, struct scope *scope, char *error_out,
                               size_t error_bytes)
{
    static const char *const own[] = {"symbols", "types", NULL};
    char text[160] = "";
    json_t *publish = json_object_get(object, "publish");
    if (publish == NULL) {
        return true;
    }
    scope->publish = scope_read(publish, "it", own, NULL, "symbols, types", text, sizeof text);
    if (scope->publish == NULL) {
        snprintf(error_out, error_bytes, "publish: %s", text);
    }
    return scope->publish != NULL;
}

struct scope *scope_create(json_t *object, const char *const *known, char *error_out,
                           size_t error_bytes)
{
    static const char *const own[] = {
        "symbols", "types", "max_subscriptions", "messages_per_second", "publish", NULL};
    struct scope *scope = scope_read(
        object, "a scope", own, known,
        "symbols, types, max_subscriptions, messages_per_second, publish", error_out, error_bytes);
    if (scope == NULL) {
        return NULL;
    }
    if (!scope_read_number(object, "max_subscriptions", SCOPE_SUBSCRIPTIONS_MAX,
                           &scope->subscriptions_max, error_out, error_bytes) ||
        !scope_read_number(object, "messages_per_second", SCOPE_RATE_MAX,
                           &scope->messages_per_second, error_out, error_bytes) ||
        !scope_read_publish(object, scope, error_out, error_bytes)) {
        scope_destroy(scope);
        return NULL;
    }
    return scope;
}

void scope_destroy(struct scope *scope)
{
    assert_always(scope != &scope_of_all && scope != &scope_of_none);
    if (scope == NULL) {
        return;
    }
    assert_debug(scope->publish == NULL || scope->publish->publish == NULL);
    free(scope->publish);
    free(scope);
}

static bool scope_opens_same(const struct scope *left, const struct scope *right)
{
    return left->types == right->types && left->pattern_count == right->pattern_count &&
           memcmp(left->patterns, right->patterns,
                  left->pattern_count * sizeof left->patterns[0]) == 0;
}

bool scope_is_same(const struct scope *left, const struct scope *right)
{
    assert_always(left != NULL && right != NULL);
    bool can_both_publish = left->publish != NULL && right->publish != NULL;
    return scope_opens_same(left, right) &&
           (can_both_publish ? scope_opens_same(left->publish, right->publish)
                             : left->publish == right->publish);
}

bool scope_covers(const struct scope *scope, const char *text, size_t text_bytes, enum md_type type)
{
    assert_always(type < MD_TYPE_COUNT);
    if ((scope->types & (1u << type)) == 0) {
        return false;
    }
    if (scope == &scope_of_all) {
        return true;
    }
    for (uint32_t i = 0; i < scope->pattern_count; i++) {
        const struct scope_pattern *pattern = &scope->patterns[i];
        if (pattern_matches(pattern->text, pattern->bytes, text, text_bytes)) {
            return true;
        }
    }
    return false;
}
