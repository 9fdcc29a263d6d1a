#include "src/guard/sample_summary.h"

#include "codec/base/check.h"
#include "codec/base/units.h"

#define SAMPLE_SUMMARY_HOUR_NS (3600.0 * (double)NS_PER_SECOND)

static double sample_summary_hours(const struct sample *samples, uint32_t index)
{
    assert_debug(samples[index].taken_ns >= samples[0].taken_ns);
    return (double)(samples[index].taken_ns - samples[0].taken_ns) / SAMPLE_SUMMARY_HOUR_NS;
}

struct sample_summary sample_summarize(const struct sample *samples, uint32_t count,
                                       enum sample_number number)
{
    assert_always(count > 0);
    assert_always(number < SAMPLE_NUMBERS);
    double first = samples[0].numbers[number];
    struct sample_summary summary = {.max = first, .min = first};
    double hours_mean = 0;
    for (uint32_t i = 0; i < count; i++) {
        double value = samples[i].numbers[number];
        summary.max = value > summary.max ? value : summary.max;
        summary.min = value < summary.min ? value : summary.min;
        summary.avg += value / count;
        hours_mean += sample_summary_hours(samples, i) / count;
    }
    double together = 0;
    double squares = 0;
    for (uint32_t i = 0; i < count; i++) {
        double hours = sample_summary_hours(samples, i) - hours_mean;
        together += hours * (samples[i].numbers[number] - summary.avg);
        squares += hours * hours;
    }
    summary.has_trend = squares > 0;
    summary.trend_per_hour = summary.has_trend ? together / squares : 0;
    return summary;
}
