/*
 * bench_presets: the options for a kind of server, or of a stress test, by name.
 *
 * Threads  Constant.
 * Memory   Static.
 */
#ifndef RINGCAST_TOOLS_BENCH_PRESETS_H
#define RINGCAST_TOOLS_BENCH_PRESETS_H

#include <stdio.h>

struct bench_preset {
    const char *name;
    const char *about;
    const char *options; /* as in a scenario file */
};

/* NULL: there is none. */
const struct bench_preset *bench_presets_find(const char *name);

/* A line for each. */
void bench_presets_print(FILE *out);

#endif
