#include "src/market/variant.h"

#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

static const struct {
    const char *name;
    uint64_t ns;
} variant_bars[VARIANT_BARS_COUNT] = {
    {"1s", NS_PER_SECOND},
    {"1m", 60 * NS_PER_SECOND},
    {"5m", 300 * NS_PER_SECOND},
};

static bool variant_is_one_of(int64_t value, const int64_t *values, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (values[i] == value) {
            return true;
        }
    }
    return false;
}

bool variant_is_depth(int64_t levels)
{
    static const int64_t depths[] = {5, 10, 20, 50};
    return variant_is_one_of(levels, depths, sizeof depths / sizeof depths[0]);
}

bool variant_is_interval(int64_t interval_ms)
{
    static const int64_t intervals[] = {100, 200, 250, 500, 1000, 2000, 5000};
    return variant_is_one_of(interval_ms, intervals, sizeof intervals / sizeof intervals[0]);
}

uint8_t variant_bar_by_name(const char *name)
{
    for (uint8_t i = 0; i < VARIANT_BARS_COUNT; i++) {
        if (strcmp(name, variant_bars[i].name) == 0) {
            return (uint8_t)(i + 1);
        }
    }
    return 0;
}

const char *variant_bar_name(uint8_t bar)
{
    assert_always(bar >= 1 && bar <= VARIANT_BARS_COUNT);
    return variant_bars[bar - 1].name;
}

uint64_t variant_bar_ns(uint8_t bar)
{
    assert_always(bar >= 1 && bar <= VARIANT_BARS_COUNT);
    return variant_bars[bar - 1].ns;
}
