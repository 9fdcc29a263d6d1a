/*
 * zero_copy: the size from which a send by reference costs less than a copy, as configured or as
 * measured on this machine's CPU.
 *
 * Owner    The caller.
 * Threads  main, before the cores: a measurement takes up to 0.2 s.
 * Memory   None.
 * Errors   A size that cannot be measured is 0, which means never; the log has the reason.
 */
#ifndef RINGCAST_SRC_ZERO_COPY_H
#define RINGCAST_SRC_ZERO_COPY_H

#include "ring/core/core.h"
#include "src/config/options.h"

struct core_zero_copy zero_copy_choose(const struct options *options);

#endif
