/*
 * sample_summary: what became of one number of many samples: average, extremes and trend.
 *
 * Threads  Pure functions.
 * Memory   None.
 */
#ifndef RINGCAST_SRC_SAMPLE_SUMMARY_H
#define RINGCAST_SRC_SAMPLE_SUMMARY_H

#include "src/guard/sample.h"

struct sample_summary {
    double avg, max, min;
    bool has_trend;        /* There are two samples of different times. */
    double trend_per_hour; /* slope of the line with the least squares of errors */
};

/* count > 0 */
struct sample_summary sample_summarize(const struct sample *samples, uint32_t count,
                                       enum sample_number number);

#endif
