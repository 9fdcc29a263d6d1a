/*
 * bench_run: one run, from the first connect to the figures.
 *
 * Owner    main.
 * Threads  Main's; it starts the threads of the load generator and joins them.
 * Errors   0, or 1: the load generator could not start, and the reason is printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_RUN_H
#define RINGCAST_TOOLS_BENCH_RUN_H

#include "tools/bench/bench_result.h"

int bench_run(struct bench_result *result, const struct bench_options *options);

/* SIGINT or SIGTERM has arrived since the program began. */
bool bench_run_is_interrupted(void);

#endif
