/*
 * bench_json: the figures of a run for programs, on standard output or in a file.
 *
 * Units    In the names of the keys. A value that was not measured is null.
 */
#ifndef RINGCAST_TOOLS_BENCH_JSON_H
#define RINGCAST_TOOLS_BENCH_JSON_H

#include <stdio.h>

#include "tools/bench/bench_result.h"

void bench_json_run(const struct bench_result *result);

/* The same object into a file. Returns 0. */
int bench_json_write(const struct bench_result *result, FILE *file);

/* A step of --until; value_ns: NAN when nothing was received. */
void bench_json_step(const struct bench_result *result, double value_ns, bool holds);

/* The result. good: connections that are served; bad: too many (0: none were). */
void bench_json_answer(const struct bench_options *options, uint32_t good, uint32_t bad);

#endif
