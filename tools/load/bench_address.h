/*
 * bench_address: the addresses that the options name: the server's and ours; and what secures the
 * connections between them.
 *
 * Owner    main. Threads: one.
 * Memory   In the options; the contexts of TLS live as long as the process.
 * Errors   Errors are printed.
 */
#ifndef RINGCAST_TOOLS_BENCH_ADDRESS_H
#define RINGCAST_TOOLS_BENCH_ADDRESS_H

#include "tools/load/bench_options.h"

/* After bench_options_finish. Returns the exit code, or -1 to go on. */
int bench_address_finish(struct bench_options *options);

#endif
