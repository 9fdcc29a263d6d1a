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
 * Threads  One. Memory: as bench_options.h says.
 * Errors   What is wrong is printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_COMMAND_H
#define RINGCAST_TOOLS_BENCH_COMMAND_H

#include "tools/load/bench_options.h"

/* The exit code, or -1: go on. bench_options_deinit is to be called after any parse. */
int bench_command_parse(struct bench_options *options_out, int argc, char **argv);

#endif
