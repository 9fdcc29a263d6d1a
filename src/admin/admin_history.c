#include "src/admin/admin_history.h"

#include <stdlib.h>

#include "codec/base/check.h"
#include "codec/base/units.h"
#include "src/admin/admin_sample.h"
#include "src/guard/guard.h"
#include "src/guard/sample_summary.h"

#define ADMIN_HISTORY_MINUTE_NS (60 * NS_PER_SECOND)
#define ADMIN_HISTORY_HOUR_NS (60 * ADMIN_HISTORY_MINUTE_NS)
#define ADMIN_HISTORY_HOURS_MAX 24

/* The samples of the last age_ns; the caller frees them. NULL: the page says why not. */
static struct sample *admin_history_read(struct admin_page *page, uint64_t age_ns,
                                         uint32_t *count_out)
{
    struct sample *samples = malloc(SAMPLE_HISTORY_COUNT_MAX * sizeof *samples);
    if (samples == NULL) {
        admin_page_error(page, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the samples");
        return NULL;
    }
    *count_out = guard_read_history(page->sources->guard, age_ns, samples);
    assert_always(*count_out <= SAMPLE_HISTORY_COUNT_MAX);
    return samples;
}

void admin_history_page(struct admin_page *page)
{
    uint64_t minutes;
    uint32_t count;
    if (!admin_page_number(page, "minutes", 1, SAMPLE_HISTORY_COUNT_MAX, SAMPLE_HISTORY_COUNT_MAX,
                           &minutes)) {
        return;
    }
    struct sample *samples = admin_history_read(page, minutes * ADMIN_HISTORY_MINUTE_NS, &count);
    if (samples == NULL) {
        return;
    }
    json_t *list = json_array();
    for (uint32_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "timestamp",
                                              admin_sample_timestamp(samples[i].wall_s), "system",
                                              admin_sample_system(&samples[i]), "application",
                                              admin_sample_application(&samples[i])));
    }
    free(samples);
    admin_page_json(page, MHD_HTTP_OK,
                    json_pack("{s:I, s:o}", "interval_seconds",
                              (json_int_t)(SAMPLE_HISTORY_INTERVAL_NS / NS_PER_SECOND), "samples",
                              list));
}

static json_t *admin_history_summary(const struct sample *samples, uint32_t count,
                                     const struct sample *newest, enum sample_number number)
{
    assert_always(count > 0);
    bool is_integer = sample_rows[number].is_integer;
    struct sample_summary summary = sample_summarize(samples, count, number);
    return json_pack("{s:f, s:o, s:o, s:o, s:o}", "avg", summary.avg, "max",
                     admin_sample_number(summary.max, is_integer), "min",
                     admin_sample_number(summary.min, is_integer), "current",
                     admin_sample_number(newest->numbers[number], is_integer), "trend_per_hour",
                     summary.has_trend ? json_real(summary.trend_per_hour) : json_null());
}

void admin_history_page_summary(struct admin_page *page)
{
    uint64_t hours;
    uint32_t count;
    struct sample newest;
    if (!admin_page_number(page, "hours", 1, ADMIN_HISTORY_HOURS_MAX, 1, &hours)) {
        return;
    }
    if (!guard_read_newest(page->sources->guard, &newest)) {
        admin_page_error(page, MHD_HTTP_SERVICE_UNAVAILABLE, "the server is starting");
        return;
    }
    struct sample *samples = admin_history_read(page, hours * ADMIN_HISTORY_HOUR_NS, &count);
    if (samples == NULL) {
        return;
    }
    /* A server that stood still for longer has only what it measured since. */
    const struct sample *summed = count == 0 ? &newest : samples;
    json_t *numbers = json_object();
    for (enum sample_number i = 0; i < SAMPLE_NUMBERS; i++) {
        json_object_set_new(numbers, sample_rows[i].name,
                            admin_history_summary(summed, count == 0 ? 1 : count, &newest, i));
    }
    free(samples);
    admin_page_json(page, MHD_HTTP_OK,
                    json_pack("{s:I, s:I, s:o}", "hours", (json_int_t)hours, "samples",
                              (json_int_t)count, "metrics", numbers));
}
