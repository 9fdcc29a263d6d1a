/*
 * bench_files: the figures of a run as files: CSV, HdrHistogram log, a picture.
 *
 * Errors   0 or a negative errno; what went wrong is printed.
 * Source   HdrHistogram log format 1.2 and its V2 compressed encoding
 *          (github.com/HdrHistogram/HdrHistogram, HistogramLogWriter and
 *          AbstractHistogram.encodeIntoCompressedByteBuffer).
 */
#ifndef RINGCAST_TOOLS_BENCH_FILES_H
#define RINGCAST_TOOLS_BENCH_FILES_H

#include "tools/bench_result.h"

/* Writes what the options ask for. */
int bench_files_write(const struct bench_result *result);

#endif
