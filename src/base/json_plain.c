#include "src/base/json_plain.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"

#define JSON_PLAIN_KEY_BYTES_MAX 32
#define JSON_PLAIN_DIGITS_MAX 18 /* An int64 holds any number of so many. */

struct json_plain {
    const char *at;
    const char *end;
    uint32_t depth;
};

/* The next character behind blanks; NUL, which is no part of plain text: there is none. */
static char json_plain_peek(struct json_plain *plain)
{
    assert_debug(plain->at <= plain->end);
    while (plain->at < plain->end &&
           (*plain->at == ' ' || *plain->at == '\n' || *plain->at == '\r' || *plain->at == '\t')) {
        plain->at++;
    }
    return plain->at < plain->end ? *plain->at : '\0';
}

/* Takes it, if it is this one. */
static bool json_plain_take(struct json_plain *plain, char wanted)
{
    bool is_there = json_plain_peek(plain) == wanted;
    plain->at += is_there;
    return is_there;
}

/* What is between the next two quotes. */
static bool json_plain_quoted(struct json_plain *plain, const char **text_out, size_t *bytes_out)
{
    if (!json_plain_take(plain, '"')) {
        return false;
    }
    const char *at = plain->at;
    *text_out = at;
    while (at < plain->end && *at >= ' ' && *at <= '~' && *at != '"' && *at != '\\') {
        at++;
    }
    if (at == plain->end || *at != '"') {
        return false;
    }
    *bytes_out = (size_t)(at - *text_out);
    plain->at = at + 1;
    return true;
}

static json_t *json_plain_string(struct json_plain *plain)
{
    const char *text;
    size_t bytes;
    return json_plain_quoted(plain, &text, &bytes) ? json_stringn_nocheck(text, bytes) : NULL;
}

static json_t *json_plain_integer(struct json_plain *plain)
{
    bool is_negative = json_plain_take(plain, '-');
    const char *digits = plain->at;
    json_int_t value = 0;
    size_t count = 0;
    for (; plain->at < plain->end && *plain->at >= '0' && *plain->at <= '9'; plain->at++) {
        if (++count > JSON_PLAIN_DIGITS_MAX) {
            return NULL;
        }
        value = value * 10 + (*plain->at - '0');
    }
    char next = plain->at < plain->end ? *plain->at : '\0';
    bool is_plain = count > 0 && (*digits != '0' || (count == 1 && !is_negative)) && next != '.' &&
                    next != 'e' && next != 'E';
    return is_plain ? json_integer(is_negative ? -value : value) : NULL;
}

static json_t *json_plain_word(struct json_plain *plain, const char *word, json_t *value)
{
    size_t bytes = strlen(word);
    if ((size_t)(plain->end - plain->at) < bytes || memcmp(plain->at, word, bytes) != 0) {
        return NULL;
    }
    plain->at += bytes;
    return value;
}

static json_t *json_plain_value(struct json_plain *plain);

static bool json_plain_elements(struct json_plain *plain, json_t *array)
{
    if (json_plain_take(plain, ']')) {
        return true;
    }
    do {
        if (json_array_append_new(array, json_plain_value(plain)) != 0) {
            return false;
        }
    } while (json_plain_take(plain, ','));
    return json_plain_take(plain, ']');
}

static bool json_plain_member(struct json_plain *plain, json_t *object)
{
    const char *text;
    size_t bytes;
    char key[JSON_PLAIN_KEY_BYTES_MAX + 1];
    if (!json_plain_quoted(plain, &text, &bytes) || bytes > JSON_PLAIN_KEY_BYTES_MAX ||
        !json_plain_take(plain, ':')) {
        return false;
    }
    memcpy(key, text, bytes);
    key[bytes] = '\0';
    size_t count = json_object_size(object);
    return json_object_set_new_nocheck(object, key, json_plain_value(plain)) == 0 &&
           json_object_size(object) > count; /* Else it has the key twice. */
}

static bool json_plain_members(struct json_plain *plain, json_t *object)
{
    if (json_plain_take(plain, '}')) {
        return true;
    }
    do {
        if (!json_plain_member(plain, object)) {
            return false;
        }
    } while (json_plain_take(plain, ','));
    return json_plain_take(plain, '}');
}

/* From its opening bracket on. */
static json_t *json_plain_nested(struct json_plain *plain, bool is_object)
{
    if (plain->depth == JSON_PLAIN_DEPTH_MAX) {
        return NULL;
    }
    json_t *nested = is_object ? json_object() : json_array();
    plain->depth++;
    plain->at++;
    if (nested != NULL &&
        !(is_object ? json_plain_members(plain, nested) : json_plain_elements(plain, nested))) {
        json_decref(nested);
        return NULL;
    }
    plain->depth--;
    return nested;
}

static json_t *json_plain_value(struct json_plain *plain)
{
    char first = json_plain_peek(plain);
    switch (first) {
    case '{':
    case '[':
        return json_plain_nested(plain, first == '{');
    case '"':
        return json_plain_string(plain);
    case 't':
        return json_plain_word(plain, "true", json_true());
    case 'f':
        return json_plain_word(plain, "false", json_false());
    case 'n':
        return json_plain_word(plain, "null", json_null());
    default:
        return json_plain_integer(plain);
    }
}

json_t *json_plain_parse(const char *text, size_t text_bytes)
{
    struct json_plain plain = {.at = text, .end = text + text_bytes};
    if (json_plain_peek(&plain) != '{') {
        return NULL;
    }
    json_t *root = json_plain_nested(&plain, true);
    if (root != NULL && (json_plain_peek(&plain), plain.at < plain.end)) {
        json_decref(root);
        return NULL;
    }
    assert_debug(root == NULL || plain.depth == 0);
    return root;
}
