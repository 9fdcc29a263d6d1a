/* No file may make the reader of time zones read out of bounds, and whatever it accepts has an
 * offset at any time. Input: a TZif file. */
#include <string.h>

#include "codec/base/check.h"
#include "src/base/time_zone.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int64_t times[] = {INT64_MIN, -1, 0, 1796000000, 4102444800, INT64_MAX};
    char error[TIME_ZONE_ERROR_BYTES_MAX];
    struct time_zone zone;
    memset(error, 'x', sizeof error);
    int status = time_zone_parse(&zone, data, size, error);
    assert_always(memchr(error, '\0', sizeof error) != NULL);
    assert_always((status == 0) == (error[0] == '\0'));
    if (status < 0) {
        return 0;
    }
    for (uint32_t i = 1; i < zone.change_count; i++) {
        assert_always(zone.changes[i - 1].at_s < zone.changes[i].at_s);
        assert_always(time_zone_offset(&zone, zone.changes[i].at_s) == zone.changes[i].offset_s);
    }
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++) {
        (void)time_zone_offset(&zone, times[i]);
    }
    time_zone_deinit(&zone);
    return 0;
}
