/* No tick of a server makes the tools read out of bounds, whether it is JSON, text with numbers or
 * SBE. Input: the payload; the one before it has its fields where a good one has them. */
#include <string.h>

#include "codec/base/check.h"
#include "tools/common/pattern_scan.h"
#include "tools/common/sbe_scan.h"
#include "tools/common/tick_scan.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char before[] = "{\"type\":\"quote\",\"symbol\":\"A\",\"ch\":7,\"seq\":12,"
                             "\"ts_pub\":1732078800123461200,\"data\":{\"last\":12.34,"
                             "\"pad\":\"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\"}}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *good = (const uint8_t *)before;
    struct tick_scan scan = {0};
    struct tick_fields fields;
    assert_always(tick_scan(&scan, good, sizeof before - 1, &fields));
    if (tick_scan(&scan, data, size, &fields)) {
        assert_always(fields.seq_end <= size);
    }
    struct pattern_scan patterns = {.time_unit_ns = 1};
    struct pattern_place place;
    uint64_t time_ns;
    assert_always(pattern_scan_set(&patterns, PATTERN_CHANNEL, "\"ch\":") &&
                  pattern_scan_set(&patterns, PATTERN_SEQ, "\"seq\":") &&
                  pattern_scan_set(&patterns, PATTERN_TIME, "\"ts_pub\":"));
    assert_always(pattern_scan_place(&patterns, good, sizeof before - 1, &place));
    if (pattern_scan_place(&patterns, data, size, &place)) {
        assert_always(place.end <= size);
        (void)pattern_scan_time(&patterns, data, size, &place, &time_ns);
    }
    if (sbe_scan_place(data, size, &place)) {
        assert_always(place.end <= size);
        (void)sbe_scan_time(data, SBE_TICK_TS_PUB_AT, &time_ns);
        (void)sbe_scan_is_image(data, size);
    }
    return 0;
}
