/*
 * bench_command: the options of ringcast-bench from its command line and a scenario file.
 *
 * A scenario file has one option a line, without the dashes; # begins a comment:
 *
 *   connections 1000
 *   symbols S{000..199}
 *   subscriptions 20        # of each connection, drawn by
 *   zipf 1.0                # this popularity
 *   seq-pattern =           # empty
 *
 * Threads  One. Memory: as in bench_options.h.
 * Errors   Errors are printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_COMMAND_H
#define RINGCAST_TOOLS_BENCH_COMMAND_H

#include "tools/load/bench_options.h"

/* Returns the exit code, or -1 to go on. Call bench_options_deinit after any parse. */
int bench_command_parse(struct bench_options *options_out, int argc, char **argv);

#endif
