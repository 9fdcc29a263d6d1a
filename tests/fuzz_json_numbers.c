/* Clamping and quoting let a parser hold all numbers of a text, and change nothing else: what the
 * parser takes or refuses for another reason stays so. Input: JSON, or what is none. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_numbers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Quoted numbers are JSON where the text is, but for numbers that are too large. */
static void check_quoted(const char *text, size_t size)
{
    json_error_t error;
    size_t flags = JSON_DECODE_ANY | JSON_ALLOW_NUL;
    char *out = malloc(JSON_NUMBERS_QUOTED_MAX(size));
    assert_always(out != NULL);
    size_t quoted_bytes = json_numbers_quote(out, text, size);
    json_t *quoted = json_loadb(out, quoted_bytes, flags, NULL);
    json_t *plain = json_loadb(text, size, flags, &error);
    /* jansson passes over a NUL behind a number. */
    assert_always(plain == NULL || quoted != NULL || memchr(text, '\0', size) != NULL);
    assert_always(plain != NULL || quoted == NULL ||
                  json_error_code(&error) == json_error_numeric_overflow);
    json_decref(quoted);
    json_decref(plain);
    free(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_error_t before;
    json_error_t after;
    char *text = malloc(size + 1);
    assert_always(text != NULL);
    if (size > 0) {
        memcpy(text, data, size);
    }
    text[size] = '#';
    check_quoted(text, size);
    json_numbers_clamp(text, size);
    assert_always(text[size] == '#');
    json_t *as_it_was = json_loadb((const char *)data, size, JSON_DECODE_ANY, &before);
    json_t *clamped = json_loadb(text, size, JSON_DECODE_ANY, &after);
    if (as_it_was != NULL) {
        assert_always(size == 0 || memcmp(text, data, size) == 0);
    } else if (json_error_code(&before) == json_error_numeric_overflow) {
        assert_always(clamped != NULL || json_error_code(&after) != json_error_numeric_overflow);
    } else {
        assert_always(clamped == NULL);
    }
    json_decref(as_it_was);
    json_decref(clamped);
    free(text);
    return 0;
}
