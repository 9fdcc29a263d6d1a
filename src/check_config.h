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

#include "src/config/options.h"

/* Whether the frame log and the connections fit into memory. Warns in the log when the logs of
 * further encodings might not. */
int check_config_memory(const struct options *options, char *error_out, size_t error_bytes);

/* What opening the listeners would refuse at any time; opens none. */
int check_config_listeners(const struct options *options, char *error_out, size_t error_bytes);

#endif
