/*
 * options_origin: where the value of an option is from, in a few words: "default", "profile test",
 * "/etc/ringcast.yaml:3", "RINGCAST_PORT", "--port", "$CREDENTIALS_DIRECTORY/tokens".
 *
 * Owner    The caller.
 * Threads  Any, while no thread writes the options.
 */
#ifndef RINGCAST_SRC_OPTIONS_ORIGIN_H
#define RINGCAST_SRC_OPTIONS_ORIGIN_H

#include "src/config/options.h"

#define OPTIONS_ORIGIN_BYTES_MAX 512

/* In UTF-8, of printable characters. Longer ones are cut. */
void options_origin(const struct options *options, const struct option_spec *spec,
                    char out[OPTIONS_ORIGIN_BYTES_MAX]);

#endif
