#include "feeds/json_scan.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/decimal.h"
#include "codec/utf8.h"

#define JSON_SCAN_PLAIN_DIGITS_MAX 18 /* They fit in a mantissa. */
#define JSON_SCAN_NUMBER_TEXT_MAX 64  /* of a string with escapes that stands for a number */
#define JSON_SCAN_NO_CODE UINT32_MAX

static bool json_scan_fail(struct json_scan *scan)
{
    scan->at = scan->end;
    scan->failed = true;
    return false;
}

static inline void json_scan_blanks(struct json_scan *scan)
{
    while (scan->at < scan->end &&
           (*scan->at == ' ' || *scan->at == '\t' || *scan->at == '\n' || *scan->at == '\r')) {
        scan->at++;
    }
}

static inline bool json_scan_is_next(const struct json_scan *scan, char c)
{
    return scan->at < scan->end && *scan->at == c;
}

/* ---- Strings ---- */

/* The four digits of \uXXXX. */
static uint32_t json_scan_hex(const char *text)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        char c = text[i];
        char letter = (char)(c | 0x20);
        if (c >= '0' && c <= '9') {
            code = code << 4 | (uint32_t)(c - '0');
        } else if (letter >= 'a' && letter <= 'f') {
            code = code << 4 | (uint32_t)(letter - 'a' + 10);
        } else {
            return JSON_SCAN_NO_CODE;
        }
    }
    return code;
}

/* \uXXXX, or two of them for a character above U+FFFF. */
static size_t json_scan_escape_u(const char *text, size_t text_bytes, uint32_t *code_out)
{
    uint32_t high = text_bytes < 6 ? JSON_SCAN_NO_CODE : json_scan_hex(text + 2);
    *code_out = high;
    if (high < 0xd800 || (high > 0xdfff && high != JSON_SCAN_NO_CODE)) {
        return 6;
    }
    if (high > 0xdbff || text_bytes < 12 || text[6] != '\\' || text[7] != 'u') {
        return 0; /* also for JSON_SCAN_NO_CODE */
    }
    uint32_t low = json_scan_hex(text + 8);
    if (low < 0xdc00 || low > 0xdfff) {
        return 0;
    }
    *code_out = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return 12;
}

/* The bytes of the escape that the text begins with, and what it stands for; 0: it is none. */
static size_t json_scan_escape(const char *text, size_t text_bytes, uint32_t *code_out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char codes[] = "\"\\/\b\f\n\r\t";
    assert_always(text_bytes > 0);
    if (text_bytes < 2) {
        return 0;
    }
    if (text[1] == 'u') {
        return json_scan_escape_u(text, text_bytes, code_out);
    }
    const char *letter = memchr(letters, text[1], sizeof letters - 1);
    *code_out = letter == NULL ? 0 : (uint8_t)codes[letter - letters];
    return letter == NULL ? 0 : 2;
}

/* From a quote to behind the next one. */
static inline bool json_scan_string(struct json_scan *scan, struct json_scan_value *value)
{
    const char *begin = scan->at + 1;
    const char *at = begin;
    uint8_t all = 0;
    value->kind = JSON_SCAN_STRING;
    value->has_escape = false;
    while (at < scan->end && *at != '"') {
        uint32_t code;
        size_t bytes = 1;
        all |= (uint8_t)*at;
        if ((uint8_t)*at < 0x20) {
            return json_scan_fail(scan);
        }
        if (*at == '\\') {
            value->has_escape = true;
            bytes = json_scan_escape(at, (size_t)(scan->end - at), &code);
            if (bytes == 0) {
                return json_scan_fail(scan);
            }
        }
        at += bytes;
    }
    value->text = begin;
    value->bytes = (size_t)(at - begin);
    if (at == scan->end || (all >= 0x80 && !utf8_is_valid((const uint8_t *)begin, value->bytes))) {
        return json_scan_fail(scan);
    }
    scan->at = at + 1;
    return true;
}

/* One character as UTF-8; returns its bytes. */
static size_t json_scan_utf8(uint32_t code, char bytes[4])
{
    size_t count = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const uint8_t leads[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = count - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    bytes[0] = (char)(leads[count] | code);
    return count;
}

size_t json_scan_text(const struct json_scan_value *string, char *out, size_t out_bytes)
{
    size_t length = 0;
    assert_always(string->kind == JSON_SCAN_STRING);
    if (!string->has_escape) {
        memcpy(out, string->text, string->bytes < out_bytes ? string->bytes : out_bytes);
        return string->bytes;
    }
    for (size_t at = 0; at < string->bytes;) {
        char bytes[4] = {string->text[at]};
        size_t count = 1;
        size_t passed = 1;
        if (string->text[at] == '\\') {
            uint32_t code;
            passed = json_scan_escape(string->text + at, string->bytes - at, &code);
            assert_always(passed > 0); /* It was checked. */
            count = json_scan_utf8(code, bytes);
        }
        for (size_t i = 0; i < count && length + i < out_bytes; i++) {
            out[length + i] = bytes[i];
        }
        length += count;
        at += passed;
    }
    return length;
}

/* ---- Numbers ---- */

static inline const char *json_scan_digits(const char *at, const char *end, uint64_t *value)
{
    while (at < end && *at >= '0' && *at <= '9') {
        *value = *value * 10 + (uint64_t)(*at++ - '0');
    }
    return at;
}

/* The exponent behind its letter; NULL: there is none. */
static const char *json_scan_exponent(const char *at, const char *end)
{
    uint64_t ignored = 0;
    at += at < end && (*at == '-' || *at == '+');
    const char *behind = json_scan_digits(at, end, &ignored);
    return behind == at ? NULL : behind;
}

static inline bool json_scan_number(struct json_scan *scan, struct json_scan_value *value)
{
    const char *end = scan->end;
    bool is_negative = *scan->at == '-';
    const char *begin = scan->at + is_negative;
    uint64_t mantissa = 0; /* has no meaning if there are too many digits */
    const char *at = json_scan_digits(begin, end, &mantissa);
    size_t digits = (size_t)(at - begin);
    size_t places = 0;
    if (digits == 0 || (*begin == '0' && digits > 1)) {
        return json_scan_fail(scan);
    }
    if (at < end && *at == '.') {
        const char *point = at;
        at = json_scan_digits(at + 1, end, &mantissa);
        places = (size_t)(at - point - 1);
        if (places == 0) {
            return json_scan_fail(scan);
        }
    }
    value->is_plain = digits + places <= JSON_SCAN_PLAIN_DIGITS_MAX;
    if (at < end && (*at == 'e' || *at == 'E')) {
        value->is_plain = false;
        at = json_scan_exponent(at + 1, end);
        if (at == NULL) {
            return json_scan_fail(scan);
        }
    }
    value->kind = JSON_SCAN_NUMBER;
    value->text = scan->at;
    value->bytes = (size_t)(at - scan->at);
    value->decimal.mantissa = (int64_t)(is_negative ? -mantissa : mantissa);
    value->decimal.exponent = (int8_t) - (int)places;
    scan->at = at;
    return true;
}

/* The text of a number, of either kind; NULL: the value is something else. */
static const char *json_scan_number_text(const struct json_scan_value *value,
                                         char decoded[JSON_SCAN_NUMBER_TEXT_MAX], size_t *bytes_out)
{
    bool is_string = value->kind == JSON_SCAN_STRING;
    if (!is_string && value->kind != JSON_SCAN_NUMBER) {
        return NULL;
    }
    *bytes_out = value->bytes;
    if (!is_string || !value->has_escape) {
        return value->text;
    }
    *bytes_out = json_scan_text(value, decoded, JSON_SCAN_NUMBER_TEXT_MAX);
    return *bytes_out <= JSON_SCAN_NUMBER_TEXT_MAX ? decoded : NULL;
}

bool json_scan_decimal(const struct json_scan_value *value, struct md_decimal *decimal_out)
{
    char decoded[JSON_SCAN_NUMBER_TEXT_MAX];
    size_t bytes;
    if (value->kind == JSON_SCAN_NUMBER && value->is_plain) {
        *decimal_out = value->decimal;
        return true;
    }
    const char *text = json_scan_number_text(value, decoded, &bytes);
    return text != NULL && decimal_parse(text, bytes, decimal_out);
}

bool json_scan_u64(const struct json_scan_value *value, uint64_t *value_out)
{
    char decoded[JSON_SCAN_NUMBER_TEXT_MAX];
    size_t bytes;
    if (value->kind == JSON_SCAN_NUMBER && value->is_plain && value->decimal.exponent == 0 &&
        value->decimal.mantissa >= 0) {
        *value_out = (uint64_t)value->decimal.mantissa;
        return true;
    }
    const char *text = json_scan_number_text(value, decoded, &bytes);
    return text != NULL && decimal_parse_u64(text, bytes, value_out);
}

/* ---- Walking ---- */

static bool json_scan_word(struct json_scan *scan, struct json_scan_value *value, const char *word,
                           enum json_scan_kind kind)
{
    size_t bytes = strlen(word);
    if ((size_t)(scan->end - scan->at) < bytes || memcmp(scan->at, word, bytes) != 0) {
        return json_scan_fail(scan);
    }
    scan->at += bytes;
    value->kind = kind;
    return true;
}

bool json_scan_value(struct json_scan *scan, struct json_scan_value *value_out)
{
    json_scan_blanks(scan);
    if (scan->at == scan->end) {
        return json_scan_fail(scan);
    }
    switch (*scan->at) {
    case '"':
        return json_scan_string(scan, value_out);
    case '[':
    case '{':
        value_out->kind = *scan->at++ == '[' ? JSON_SCAN_ARRAY : JSON_SCAN_OBJECT;
        return true;
    case 'n':
        return json_scan_word(scan, value_out, "null", JSON_SCAN_NULL);
    case 'f':
        return json_scan_word(scan, value_out, "false", JSON_SCAN_FALSE);
    case 't':
        return json_scan_word(scan, value_out, "true", JSON_SCAN_TRUE);
    default:
        return json_scan_number(scan, value_out);
    }
}

bool json_scan_more(struct json_scan *scan, enum json_scan_kind kind, bool *is_first)
{
    assert_debug(kind == JSON_SCAN_ARRAY || kind == JSON_SCAN_OBJECT);
    bool was_first = *is_first;
    *is_first = false;
    json_scan_blanks(scan);
    if (json_scan_is_next(scan, kind == JSON_SCAN_ARRAY ? ']' : '}')) {
        scan->at++;
        return false;
    }
    if (was_first) {
        return scan->at < scan->end || json_scan_fail(scan);
    }
    if (!json_scan_is_next(scan, ',')) {
        return json_scan_fail(scan);
    }
    scan->at++;
    return true;
}

bool json_scan_key(struct json_scan *scan, struct json_scan_value *key_out)
{
    json_scan_blanks(scan);
    if (!json_scan_is_next(scan, '"') || !json_scan_string(scan, key_out)) {
        return json_scan_fail(scan);
    }
    json_scan_blanks(scan);
    if (!json_scan_is_next(scan, ':')) {
        return json_scan_fail(scan);
    }
    scan->at++;
    return true;
}

static bool json_scan_skip(struct json_scan *scan, enum json_scan_kind kind, uint32_t depth)
{
    struct json_scan_value value;
    bool is_first = true;
    if (kind != JSON_SCAN_ARRAY && kind != JSON_SCAN_OBJECT) {
        return true;
    }
    if (depth == JSON_SCAN_DEPTH_MAX) {
        return json_scan_fail(scan);
    }
    while (json_scan_more(scan, kind, &is_first)) {
        if ((kind == JSON_SCAN_OBJECT && !json_scan_key(scan, &value)) ||
            !json_scan_value(scan, &value) || !json_scan_skip(scan, value.kind, depth + 1)) {
            return false;
        }
    }
    return !scan->failed;
}

bool json_scan_skip_rest(struct json_scan *scan, const struct json_scan_value *value)
{
    return json_scan_skip(scan, value->kind, 0);
}

bool json_scan_is_at_end(struct json_scan *scan)
{
    json_scan_blanks(scan);
    return !scan->failed && scan->at == scan->end;
}
