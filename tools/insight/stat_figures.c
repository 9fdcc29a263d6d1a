#include "tools/insight/stat_figures.h"

#include <assert.h>
#include <math.h>

#include "codec/base/check.h"
#include "codec/base/units.h"

/* How a counter appears in a line. */
enum stat_figures_way { AS_IT_IS, EACH_SECOND, PERCENT };

static const struct {
    const char *name; /* of the counter; NULL: the figure is made of others, below */
    enum counters_scope scope;
    enum stat_figures_way way;
} stat_figures_sources[] = {
    [STAT_OPEN] = {"conns_open", COUNTERS_CORE, AS_IT_IS},
    [STAT_BLOCKED] = {"conns_blocked", COUNTERS_CORE, AS_IT_IS},
    [STAT_PULLING] = {"conns_pulling", COUNTERS_CORE, AS_IT_IS},
    [STAT_TICKS] = {"ticks", COUNTERS_PUBLISHER, EACH_SECOND},
    [STAT_SENDS] = {"sends", COUNTERS_CORE, EACH_SECOND},
    [STAT_SHORT] = {"sends_short", COUNTERS_CORE, EACH_SECOND},
    [STAT_FULL] = {"sends_full", COUNTERS_CORE, EACH_SECOND},
    [STAT_LOST] = {"frames_lost", COUNTERS_CORE, EACH_SECOND},
    [STAT_CONFLATED] = {"frames_conflated", COUNTERS_CORE, EACH_SECOND},
    [STAT_BUSY] = {"busy_ns", COUNTERS_CORE, PERCENT},
    [STAT_WAIT] = {"run_delay_ns", COUNTERS_CORE, PERCENT},
};
static_assert(sizeof stat_figures_sources / sizeof stat_figures_sources[0] == STAT_FIGURES,
              "each figure has its row");

/* NAN: the file does not have this number. */
static double stat_figures_counted(const struct stat_sample *now, const struct stat_sample *before,
                                   enum counters_scope scope, const char *name, uint32_t core)
{
    struct counters_entry entry;
    uint32_t instance = scope == COUNTERS_CORE ? core : COUNTERS_READ_ALL;
    if (!counters_read_find(&now->read, scope, name, &entry) || entry.kind == COUNTERS_HISTOGRAM ||
        (instance != COUNTERS_READ_ALL &&
         instance >= counters_read_instances(&now->read, &entry))) {
        return NAN;
    }
    return (double)stat_sample_value(now, before, &entry, instance);
}

static void stat_figures_add_flush(struct stat_figures *figures, const struct stat_sample *now,
                                   const struct stat_sample *before, uint32_t core)
{
    static struct counters_read_histogram flush;
    struct counters_entry entry;
    if (!counters_read_find(&now->read, COUNTERS_CORE, "flush", &entry) ||
        entry.kind != COUNTERS_HISTOGRAM) {
        return;
    }
    stat_sample_histogram(now, before, &entry, core, &flush);
    if (flush.count > 0) {
        figures->values[STAT_FLUSH_P50] =
            (double)counters_read_percentile(&flush, 0.5) / (double)NS_PER_US;
        figures->values[STAT_FLUSH_P99] =
            (double)counters_read_percentile(&flush, 0.99) / (double)NS_PER_US;
    }
}

void stat_figures_make(struct stat_figures *figures_out, const struct stat_sample *now,
                       const struct stat_sample *before, uint32_t core)
{
    double interval_ns = fmax(1.0, (double)(now->monotonic_ns - before->monotonic_ns));
    uint32_t core_count = core == COUNTERS_READ_ALL ? now->read.scopes[COUNTERS_CORE].count : 1;
    uint64_t lag;
    assert_always(now->monotonic_ns >= before->monotonic_ns);
    for (size_t i = 0; i < STAT_FIGURES; i++) {
        double value = NAN;
        if (stat_figures_sources[i].name != NULL) {
            value = stat_figures_counted(now, before, stat_figures_sources[i].scope,
                                         stat_figures_sources[i].name, core);
        }
        if (stat_figures_sources[i].way == EACH_SECOND) {
            value *= (double)NS_PER_SECOND / interval_ns;
        } else if (stat_figures_sources[i].way == PERCENT) {
            value *= 100.0 / interval_ns / core_count;
        }
        figures_out->values[i] = value;
    }
    double frames = stat_figures_counted(now, before, COUNTERS_CORE, "frames_out", core);
    double sends = stat_figures_counted(now, before, COUNTERS_CORE, "sends", core);
    if (sends > 0) {
        figures_out->values[STAT_FRAMES_OF_SEND] = frames / sends;
    }
    if (stat_sample_lag(now, core, &lag)) {
        figures_out->values[STAT_LAG] = (double)lag;
    }
    stat_figures_add_flush(figures_out, now, before, core);
}
