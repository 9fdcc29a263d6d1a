#include "codec/json_numbers.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"

static size_t json_numbers_digits(const char *text, size_t text_bytes)
{
    size_t bytes = 0;
    while (bytes < text_bytes && text[bytes] >= '0' && text[bytes] <= '9') {
        bytes++;
    }
    return bytes;
}

/* The bytes of the number that the text begins with; 0: it begins with none. */
static size_t json_numbers_token(const char *text, size_t text_bytes, bool *is_real_out)
{
    size_t bytes = text_bytes > 0 && text[0] == '-';
    bool is_zero = bytes < text_bytes && text[bytes] == '0'; /* 01 is no number. */
    size_t digits = is_zero ? 1 : json_numbers_digits(text + bytes, text_bytes - bytes);
    *is_real_out = false;
    if (digits == 0) {
        return 0;
    }
    bytes += digits;
    if (bytes < text_bytes && text[bytes] == '.') {
        digits = json_numbers_digits(text + bytes + 1, text_bytes - bytes - 1);
        *is_real_out |= digits > 0;
        bytes += digits > 0 ? 1 + digits : 0;
    }
    if (bytes < text_bytes && (text[bytes] == 'e' || text[bytes] == 'E')) {
        size_t sign = bytes + 1 < text_bytes && (text[bytes + 1] == '+' || text[bytes + 1] == '-');
        digits = json_numbers_digits(text + bytes + 1 + sign, text_bytes - bytes - 1 - sign);
        *is_real_out |= digits > 0;
        bytes += digits > 0 ? 1 + sign + digits : 0;
    }
    assert_always(bytes <= text_bytes);
    return bytes;
}

/* As parsers do it. What is nearer to 0 than a double can be is 0, and fits. */
static bool json_numbers_fits(char *token, size_t token_bytes, bool is_real)
{
    char after = token[token_bytes];
    token[token_bytes] = '\0';
    errno = 0;
    bool fits =
        is_real ? isfinite(strtod(token, NULL)) : (strtoll(token, NULL, 10), errno != ERANGE);
    token[token_bytes] = after;
    return fits;
}

static void json_numbers_replace(char *token, size_t token_bytes)
{
    const char *value = token[0] == '-' ? "-1e308" : "1e308";
    size_t value_bytes = strlen(value);
    assert_always(value_bytes <= token_bytes); /* No shorter number is beyond a double. */
    memcpy(token, value, value_bytes);
    memset(token + value_bytes, ' ', token_bytes - value_bytes);
}

void json_numbers_clamp(char *text, size_t text_bytes)
{
    bool in_string = false;
    for (size_t i = 0; i < text_bytes; i++) {
        char c = text[i];
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else {
            bool is_real;
            size_t bytes = json_numbers_token(text + i, text_bytes - i, &is_real);
            if (bytes > 0 && !json_numbers_fits(text + i, bytes, is_real)) {
                json_numbers_replace(text + i, bytes);
            }
            i += bytes > 0 ? bytes - 1 : 0;
        }
    }
}

size_t json_numbers_quote(char *out, const char *text, size_t text_bytes)
{
    static const char mark[] = "\"\\u0000";
    char *at = out;
    bool in_string = false;
    for (size_t i = 0; i < text_bytes;) {
        bool is_real;
        size_t bytes = in_string ? 0 : json_numbers_token(text + i, text_bytes - i, &is_real);
        bool is_number =
            bytes > 0 && json_numbers_digits(text + i + bytes, i + bytes < text_bytes) == 0;
        bytes = is_number ? bytes : in_string && text[i] == '\\' && i + 1 < text_bytes ? 2 : 1;
        in_string ^= text[i] == '"';
        memcpy(at, mark, is_number ? sizeof mark - 1 : 0);
        at += is_number ? sizeof mark - 1 : 0;
        memcpy(at, text + i, bytes);
        at += bytes;
        if (is_number) {
            *at++ = '"';
        }
        i += bytes;
    }
    assert_always((size_t)(at - out) <= JSON_NUMBERS_QUOTED_MAX(text_bytes));
    return (size_t)(at - out);
}

bool json_numbers_is_one(const char *text, size_t text_bytes)
{
    bool is_real;
    size_t bytes = json_numbers_token(text, text_bytes, &is_real);
    return bytes > 0 && bytes == text_bytes;
}
