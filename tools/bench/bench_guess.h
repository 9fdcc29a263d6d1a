/*
 * bench_guess: why a message could not be read, and which options would read it.
 *
 * Threads  One.
 * Memory   None of its own.
 */
#ifndef RINGCAST_TOOLS_BENCH_GUESS_H
#define RINGCAST_TOOLS_BENCH_GUESS_H

#include "tools/bench/bench_result.h"

/* Prints the message after a label, the patterns that are not in it, and what may be meant. */
void bench_guess_print(const struct bench_result *result, const char *label,
                       const struct bench_sample_text *sample);

/* Prints the beginning of a message, without anything that controls a terminal. */
void bench_guess_print_sample(const struct bench_sample_text *sample);

/* The unit in which a time would be about now; NULL: none. */
const char *bench_guess_unit(const struct bench_result *result, double time);

#endif
