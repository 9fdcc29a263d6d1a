#include "tools/common/quantity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define EXACT_MAX 9007199254740992.0 /* 2^53: whole numbers of a double */
static_assert(QUANTITY_SECONDS_MAX * NS_PER_SECOND < (uint64_t)EXACT_MAX, "times are exact");

/* Digits with a fraction, and no other form that strtod(3) takes. NULL: it is none. */
static const char *quantity_number(const char *text, double *value_out)
{
    char *end;
    size_t bytes = strspn(text, "0123456789.");
    *value_out = strtod(text, &end);
    return bytes > 0 && end == text + bytes ? end : NULL;
}

bool quantity_time(const char *text, uint64_t plain_ns, uint64_t *value_ns_out)
{
    static const struct {
        const char *name;
        uint64_t ns;
    } units[] = {
        {"ns", 1},
        {"us", NS_PER_US},
        {"ms", NS_PER_MS},
        {"s", NS_PER_SECOND},
        {"m", 60 * NS_PER_SECOND},
        {"h", 3600 * NS_PER_SECOND},
    };
    double value;
    const char *unit = quantity_number(text, &value);
    uint64_t unit_ns = unit != NULL && *unit == 0 ? plain_ns : 0;
    for (size_t i = 0; unit != NULL && i < COUNT(units); i++) {
        if (strcmp(unit, units[i].name) == 0) {
            unit_ns = units[i].ns;
        }
    }
    double value_ns = value * (double)unit_ns;
    if (unit_ns == 0 || value_ns > (double)QUANTITY_SECONDS_MAX * (double)NS_PER_SECOND) {
        return false;
    }
    *value_ns_out = (uint64_t)round(value_ns);
    return true;
}

static bool quantity_scaled(const char *text, double step, uint64_t max, uint64_t *value_out)
{
    static const char letters[] = "kmg";
    double value;
    const char *unit = quantity_number(text, &value);
    if (unit == NULL) {
        return false;
    }
    if (*unit != 0) {
        const char *letter = strchr(letters, *unit | 0x20);
        if (letter == NULL || unit[1] != 0) {
            return false;
        }
        value *= pow(step, (double)(letter - letters + 1));
    }
    if (value != floor(value) || value > EXACT_MAX || value > (double)max) {
        return false;
    }
    *value_out = (uint64_t)value;
    return true;
}

bool quantity_count(const char *text, uint64_t max, uint64_t *value_out)
{
    return quantity_scaled(text, 1000.0, max, value_out);
}

bool quantity_bytes(const char *text, uint64_t max, uint64_t *value_out)
{
    return quantity_scaled(text, 1024.0, max, value_out);
}
