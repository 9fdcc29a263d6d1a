#include "src/base/pattern.h"

#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"

bool pattern_is(const char *text, size_t text_bytes)
{
    return memchr(text, '*', text_bytes) != NULL;
}

bool pattern_is_good(const char *pattern, size_t pattern_bytes)
{
    uint32_t stars = 0;
    for (size_t i = 0; i < pattern_bytes; i++) {
        stars += pattern[i] == '*';
    }
    return stars <= PATTERN_STARS_MAX && pattern_bytes <= PATTERN_BYTES_MAX;
}

/* Each '*' takes as few bytes as it can; when the rest does not fit, the last one takes one more.
 * An earlier one never has to: what it could give, the last one can take. */
bool pattern_matches(const char *pattern, size_t pattern_bytes, const char *symbol,
                     size_t symbol_bytes)
{
    size_t at = 0;
    size_t taken = 0;
    size_t star = SIZE_MAX; /* of the last '*' passed */
    size_t star_taken = 0;
    while (taken < symbol_bytes) {
        if (at < pattern_bytes && pattern[at] == '*') {
            star = at++;
            star_taken = taken;
        } else if (at < pattern_bytes && pattern[at] == symbol[taken]) {
            at++;
            taken++;
        } else if (star != SIZE_MAX) {
            at = star + 1;
            taken = ++star_taken;
        } else {
            return false;
        }
    }
    while (at < pattern_bytes && pattern[at] == '*') {
        at++;
    }
    assert_always(at <= pattern_bytes);
    assert_debug(taken == symbol_bytes);
    return at == pattern_bytes;
}
