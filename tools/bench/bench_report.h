/*
 * bench_report: the figures of a run on standard output, for people or for programs.
 *
 * Units    Text: microseconds; JSON: as the keys say.
 */
#ifndef RINGCAST_TOOLS_BENCH_REPORT_H
#define RINGCAST_TOOLS_BENCH_REPORT_H

#include "tools/bench/bench_result.h"

void bench_report_text(const struct bench_result *result);
/* exit_code: the program's, which says too whether the files could be written. */
void bench_report_json(const struct bench_result *result, int exit_code);

/* A step of --until, and the answer. good: connections served; bad: too many (0: none were). */
void bench_report_step(const struct bench_result *result, uint64_t value_ns, bool holds);
void bench_report_steps_end(const struct bench_options *options, uint32_t good, uint32_t bad);

#endif
