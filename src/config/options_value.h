/*
 * options_value: the value of an option out of struct options: as text that the option takes again,
 * as JSON, and compared with another.
 *
 * Owner    The caller; nothing is changed.
 * Threads  Any, while no thread writes the options.
 * Units    Of JSON: seconds and bytes, as numbers.
 * Errors   NULL from a function that makes JSON: no memory.
 */
#ifndef RINGCAST_SRC_OPTIONS_VALUE_H
#define RINGCAST_SRC_OPTIONS_VALUE_H

#include <jansson.h>
#include <stdbool.h>

#include "src/config/options.h"

#define OPTIONS_VALUE_TEXT_BYTES_MAX 512 /* of what is no text itself */

/* false: nothing has set it, and it has no default. */
bool options_value_is_set(const struct options *options, const struct option_spec *spec);

/* Of a row of the kind OPTION_LIST. */
const struct options_list *options_value_list(const struct options *options,
                                              const struct option_spec *spec);

/* Returns the text itself, or buffer ("64m", "0.5", "yes"); NULL: not set. Not of a list. */
const char *options_value_text(const struct options *options, const struct option_spec *spec,
                               char buffer[OPTIONS_VALUE_TEXT_BYTES_MAX]);

/* A number, text, true or false, a list; null: not set. A secret is "***". A text that is
 * not UTF-8 has \x and two digits for each byte that is wrong. */
json_t *options_value_json(const struct options *options, const struct option_spec *spec);

/* Whether both have the same value, or none; secrets and the texts of lists are compared, too. */
bool options_value_equal(const struct options *a, const struct options *b,
                         const struct option_spec *spec);

#endif
