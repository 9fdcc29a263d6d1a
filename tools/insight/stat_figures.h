/*
 * stat_figures: the figures of an interval, for a line of `ringcast stat`.
 *
 * Threads  One.
 * Memory   The caller's.
 */
#ifndef RINGCAST_TOOLS_STAT_FIGURES_H
#define RINGCAST_TOOLS_STAT_FIGURES_H

#include "tools/insight/stat_sample.h"

enum stat_figure {
    STAT_OPEN,
    STAT_BLOCKED,
    STAT_PULLING,
    STAT_TICKS, /* in a second, as sends, lost and conflated frames */
    STAT_LAG,
    STAT_SENDS,
    STAT_FRAMES_OF_SEND,
    STAT_SHORT,
    STAT_FULL,
    STAT_LOST,
    STAT_CONFLATED,
    STAT_FLUSH_P50, /* us */
    STAT_FLUSH_P99,
    STAT_BUSY, /* percent */
    STAT_WAIT,
    STAT_FIGURES,
};

struct stat_figures {
    double values[STAT_FIGURES]; /* NAN: the file does not have it, or nothing was counted */
};

/* Of a core, or of COUNTERS_READ_ALL. */
void stat_figures_make(struct stat_figures *figures_out, const struct stat_sample *now,
                       const struct stat_sample *before, uint32_t core);

#endif
