/* Clamping lets a parser hold all numbers of a text, and changes nothing else: what the parser
 * takes or refuses for another reason stays so. Input: JSON, or what is none. */
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/json_numbers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
