/*
 * options_profile: values for an environment (development, test, production), which are a layer
 * between the defaults and a file.
 *
 * The profiles are the files config/deployment-PROFILE.yaml, as part of the program.
 *
 * Owner    options_parse.
 * Threads  main, before any other.
 * Memory   Texts are kept by the options.
 * Errors   -ENOMEM. An environment that no profile is for is a warning.
 */
#ifndef RINGCAST_SRC_OPTIONS_PROFILE_H
#define RINGCAST_SRC_OPTIONS_PROFILE_H

#include "src/config/options.h"

/* The name of the profile for options->environment: "production" for "prod"; NULL: none. */
const char *options_profile_name(const struct options *options);

/* Takes its values, where no other layer has set one. */
int options_profile_take(struct options *options, const cpu_set_t *cpus,
                         char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
