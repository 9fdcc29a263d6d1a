/*
 * bench_hgrm: a distribution of latencies as the text that HdrHistogram's plotter takes.
 *
 * Owner    The caller.
 * Threads  No state of its own.
 * Units    Milliseconds, with six decimals: the histogram's nanoseconds.
 * Source   hdr_percentiles_print() of HdrHistogram_c, in its classic form with 5 ticks for each
 * half distance, which wrk2 prints (github.com/HdrHistogram/HdrHistogram_c,
 * github.com/giltene/wrk2).
 */
#ifndef RINGCAST_TOOLS_BENCH_HGRM_H
#define RINGCAST_TOOLS_BENCH_HGRM_H

#include <stdio.h>

#include "tools/common/histogram.h"

void bench_hgrm_print(const struct histogram *latency, FILE *out);

#endif
