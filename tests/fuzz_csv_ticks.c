/* No header row and no row may make csv_ticks read or write out of bounds; what it takes is well
 * formed. Input: the header row, then rows, as in a file. */
#include <stdint.h>
#include <string.h>

#include "codec/base/check.h"
#include "feeds/replay/csv_ticks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_csv_ticks_check(const struct csv_tick *tick)
{
    struct md_update update;
    csv_ticks_to_update(tick, &update);
    assert_always(tick->symbol_bytes > 0);
    assert_always(tick->symbol_bytes <= MD_SYMBOL_BYTES_MAX);
    assert_always(update.type != MD_TRADE || md_is_given(update.trade.price));
    assert_always(update.type != MD_STATUS || update.status.state[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct csv_ticks csv;
    struct csv_tick tick;
    const char *fault;
    const char *text = (const char *)data;
    const char *end = text + size;
    for (bool has_header = false; text < end;) {
        const char *feed = memchr(text, '\n', (size_t)(end - text));
        size_t bytes = (size_t)((feed == NULL ? end : feed) - text);
        if (!has_header && !csv_ticks_parse_header(&csv, text, bytes, &fault)) {
            return 0;
        }
        if (has_header && csv_ticks_parse_row(&csv, text, bytes, &tick, &fault)) {
            fuzz_csv_ticks_check(&tick);
        }
        has_header = true;
        text += bytes + (feed != NULL);
    }
    return 0;
}
