/* What decimal_parse takes is written and read again as the same value, and decimal_parse_u64 takes
 * it as the same integer. Input: the text. */
#include <stdint.h>

#include "codec/base/check.h"
#include "codec/decimal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct md_decimal decimal = md_none;
    uint64_t integer;
    bool is_integer = decimal_parse_u64((const char *)data, size, &integer);
    if (!decimal_parse((const char *)data, size, &decimal)) {
        assert_always(!md_is_given(decimal));
        assert_always(!is_integer || integer > INT64_MAX);
        return 0;
    }
    assert_always(md_is_given(decimal));
    char text[DECIMAL_TEXT_BYTES_MAX];
    size_t text_bytes = decimal_format(text, decimal);
    struct md_decimal again;
    assert_always(decimal_parse(text, text_bytes, &again));
    assert_always(again.mantissa == decimal.mantissa);
    assert_always(again.exponent == decimal.exponent);
    if (is_integer) {
        assert_always(integer <= INT64_MAX);
        assert_always(decimal_compare(decimal, (struct md_decimal){(int64_t)integer, 0}) == 0);
    }
    return 0;
}
