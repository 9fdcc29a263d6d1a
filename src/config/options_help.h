/*
 * options_help: the help of the server, printed from the table of options and the feeds.
 *
 * --help prints the options that are used most, and the topics. `ringcast help TOPIC` prints one
 * topic: a group of options in full, or a text.
 *
 * Owner    The caller owns out.
 * Threads  main.
 * Errors   -EINVAL: there is no such topic. error_out names the nearest one and lists all.
 */
#ifndef RINGCAST_SRC_OPTIONS_HELP_H
#define RINGCAST_SRC_OPTIONS_HELP_H

#include <stdio.h>

#include "src/config/options.h"

#define OPTIONS_HELP_COLUMNS 80 /* the longest line */

/* The common options, and the list of topics. */
void options_help_print(FILE *out);

/* topic: "access", "all", or an option with or without its dashes. */
int options_help_print_topic(FILE *out, const char *topic, char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
