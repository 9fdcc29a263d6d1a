/*
 * bench_compare: the runs in two files of --json side by side, and which differences are beyond
 * noise.
 *
 * Owner    main.
 * Threads  main's.
 * Memory   The files, parsed, while it works.
 * Errors   Printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_COMPARE_H
#define RINGCAST_TOOLS_BENCH_COMPARE_H

#include "tools/load/bench_options.h"

/* Exit codes: 0 compared, 1 a file cannot be read, 2 not comparable, 3 no valid run in a file. */
int bench_compare(const struct bench_options *options);

#endif
