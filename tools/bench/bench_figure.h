/*
 * bench_figure: numbers as the report prints them: 2 997 000, 14.5ms, 1.3 GB.
 *
 * Threads  Pure functions.
 * Memory   The returned struct.
 * Units    In the names. NAN, or a missing value, is printed as "-": it was not measured.
 */
#ifndef RINGCAST_TOOLS_BENCH_FIGURE_H
#define RINGCAST_TOOLS_BENCH_FIGURE_H

#include <stdint.h>

struct bench_figure {
    char text[32];
};

struct bench_figure bench_figure_real(int digits, double value);

/* Rounded to a whole number, with spaces between thousands. */
struct bench_figure bench_figure_count(double value);

/* Three digits and a unit that fits. */
struct bench_figure bench_figure_time(double value_ns);
struct bench_figure bench_figure_bytes(double value_bytes);

#endif
