/*
 * options_print: the effective configuration as a file that --config reads again, and as a file of
 * variables (docker run --env-file).
 *
 * Each value has its origin beside it. Secrets, and texts that the form cannot hold, are comments
 * that say so.
 *
 * Owner    The caller owns out.
 * Threads  main.
 */
#ifndef RINGCAST_SRC_OPTIONS_PRINT_H
#define RINGCAST_SRC_OPTIONS_PRINT_H

#include <stdio.h>

#include "src/config/options.h"

/* What --print-config or else --print-env asks for. */
void options_print(FILE *out, const struct options *options);

void options_print_config(FILE *out, const struct options *options);

/* What has been set, be it to its default: it may override a profile. */
void options_print_env(FILE *out, const struct options *options);

#endif
