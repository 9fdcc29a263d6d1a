/*
 * bench_template: the message of --send, with {symbols} in it replaced.
 *
 * Owner    The caller. Threads: no state.
 * Memory   The text that is returned.
 */
#ifndef RINGCAST_TOOLS_BENCH_TEMPLATE_H
#define RINGCAST_TOOLS_BENCH_TEMPLATE_H

#define BENCH_TEMPLATE_PLACE "{symbols}"

/* Replaces the first {symbols} by "A,B". Where it is inside the only string of an array, that
 * string is repeated: ["{symbols}@trade"] becomes ["A@trade","B@trade"]. To be freed; NULL: out of
 * memory. */
char *bench_template_fill(const char *text, const char *symbols);

#endif
