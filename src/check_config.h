/*
 * check_config: what a start refuses in good time, and --check-config as well: memory and
 * addresses.
 *
 * Threads  main, before any other.
 * Errors   A negative errno with error_out, which begins with the option ("--port: ...") and says
 *          what to do.
 */
#ifndef RINGCAST_SRC_CHECK_CONFIG_H
#define RINGCAST_SRC_CHECK_CONFIG_H

#include <stddef.h>

#include "ring/board/frame_log.h"
#include "src/config/options.h"

/* Whether the connections and the frame log of JSON, which is like log, fit into memory and into
 * --memory-max. Warns in the log when the logs of all encodings that may come do not. */
int check_config_memory(const struct options *options, const struct frame_log_options *log,
                        char *error_out, size_t error_bytes);

/* What opening the listeners would refuse at any time; opens none. */
int check_config_listeners(const struct options *options, char *error_out, size_t error_bytes);

#endif
