/* No file may make the reader of market hours read out of bounds, and each is taken or refused with
 * its line. Input: the text of a file. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "src/base/market_hours.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_market_hours_use(const struct market_hours *hours)
{
    static const int64_t times[] = {0, 1796000000, 1796040000, 1796100000, 4102444800};
    uint32_t found = market_hours_find(hours, "600000.SH", strlen("600000.SH"));
    assert_always(found == MARKET_HOURS_NONE || found < market_hours_count(hours));
    for (uint32_t market = 0; market < market_hours_count(hours); market++) {
        for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
            (void)market_hours_is_open(hours, market, times[i]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char prefix[] = "fuzz.txt:";
    char error[MARKET_HOURS_ERROR_BYTES_MAX];
    struct market_hours *hours;
    char *text = malloc(size + 1);
    assert_always(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    int status = market_hours_parse(&hours, "fuzz.txt", text, error);
    assert_always(memchr(error, '\0', sizeof error) != NULL);
    if (status == 0) {
        fuzz_market_hours_use(hours);
        market_hours_destroy(hours);
    } else {
        assert_always(status == -EINVAL && strncmp(error, prefix, strlen(prefix)) == 0);
    }
    free(text);
    return 0;
}
