/*
 * bench_files: the figures of a run as files: CSV, HdrHistogram log and percentiles, a picture, and
 * the JSON report of a stress test.
 *
 * Owner    main: opened before the run, so that a wrong path is found at once; written after it.
 * Errors   0 or a negative errno; the reason is printed.
 * Source   HdrHistogram log format 1.2 and its V2 compressed encoding
 *          (github.com/HdrHistogram/HdrHistogram, HistogramLogWriter and
 *          AbstractHistogram.encodeIntoCompressedByteBuffer).
 */
#ifndef RINGCAST_TOOLS_BENCH_FILES_H
#define RINGCAST_TOOLS_BENCH_FILES_H

#include "tools/bench/bench_result.h"

struct bench_files {
    int csv_fd; /* -1: not wanted, like: */
    int hdr_fd;
    int hgrm_fd;
    int report_dir_fd;
};

/* Opens the files of the options, and checks that gnuplot can draw. A file keeps its old contents
 * until the new ones are written. */
int bench_files_open(struct bench_files *files_out, const struct bench_options *options);

/* Writes and closes. */
int bench_files_write(const struct bench_files *files, const struct bench_result *result);

#endif
