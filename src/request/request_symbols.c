#include "src/request/request_symbols.h"

#include <assert.h>
#include <string.h>

#include "codec/md.h"
#include "src/base/pattern.h"

static_assert(REQUEST_SYMBOLS_LIMIT_MAX == 1000, "the messages say so");
static_assert(MD_SYMBOL_BYTES_MAX == 32 && PATTERN_STARS_MAX == 4, "likewise");

const char *request_symbols_fault(const struct request_symbols *symbols, const char **field_out)
{
    size_t pattern_bytes = strlen(symbols->pattern);
    bool is_pattern = pattern_is(symbols->pattern, pattern_bytes);
    *field_out = "pattern";
    if (pattern_bytes == 0 || (!is_pattern && pattern_bytes > MD_SYMBOL_BYTES_MAX) ||
        !pattern_is_good(symbols->pattern, pattern_bytes)) {
        return "pattern must be a symbol of 1 to 32 bytes, or a pattern with at most 4 * and 36 "
               "bytes";
    }
    *field_out = "after";
    if (strlen(symbols->after) > MD_SYMBOL_BYTES_MAX) {
        return "after must be a symbol: the next of the page before";
    }
    *field_out = "limit";
    if (symbols->limit < 1 || symbols->limit > REQUEST_SYMBOLS_LIMIT_MAX) {
        return "limit must be an integer from 1 to 1000";
    }
    return NULL;
}
