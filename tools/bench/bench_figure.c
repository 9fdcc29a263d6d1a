#include "tools/bench/bench_figure.h"

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "codec/base/check.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define GROUPED_MAX 1e18 /* of 19 digits and 6 blanks */

struct bench_figure bench_figure_real(int digits, double value)
{
    struct bench_figure figure = {"-"};
    if (isfinite(value)) {
        snprintf(figure.text, sizeof figure.text, "%.*f", digits, value);
    }
    return figure;
}

struct bench_figure bench_figure_count(double value)
{
    struct bench_figure figure = {"-"};
    char digits[32];
    if (!isfinite(value) || value < 0.0 || value > GROUPED_MAX) {
        return figure;
    }
    size_t count = (size_t)snprintf(digits, sizeof digits, "%.0f", value);
    char *out = figure.text;
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && (count - i) % 3 == 0) {
            *out++ = ' ';
        }
        *out++ = digits[i];
    }
    *out = 0;
    assert_always((size_t)(out - figure.text) < sizeof figure.text);
    return figure;
}

struct bench_figure_unit {
    double size;
    const char *name;
};

/* In the largest unit of which it has at least one; the last one is the smallest. */
static struct bench_figure bench_figure_scaled(double value, const struct bench_figure_unit *units,
                                               size_t unit_count)
{
    struct bench_figure figure = {"-"};
    size_t i = 0;
    if (!isfinite(value)) {
        return figure;
    }
    while (i + 1 < unit_count && value < units[i].size) {
        i++;
    }
    double scaled = value / units[i].size;
    bool is_whole = i + 1 == unit_count || scaled >= 99.95;
    snprintf(figure.text, sizeof figure.text, "%.*f%s",
             is_whole          ? 0
             : scaled >= 9.995 ? 1
                               : 2,
             scaled, units[i].name);
    return figure;
}

struct bench_figure bench_figure_time(double value_ns)
{
    static const struct bench_figure_unit units[] = {
        {1e9, "s"}, {1e6, "ms"}, {1e3, "us"}, {1.0, "ns"}};
    return bench_figure_scaled(value_ns, units, COUNT(units));
}

struct bench_figure bench_figure_bytes(double value_bytes)
{
    static const struct bench_figure_unit units[] = {
        {1e12, " TB"}, {1e9, " GB"}, {1e6, " MB"}, {1e3, " kB"}, {1.0, " B"}};
    return bench_figure_scaled(value_bytes, units, COUNT(units));
}
