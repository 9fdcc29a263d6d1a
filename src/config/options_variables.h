/*
 * options_variables: the environment into struct options.
 *
 * The option --NAME has the variable RINGCAST_NAME, in capitals and with _ for -. Some have an
 * older variable in their row of the table, too: RINGCAST_NAME wins over it. A variable that is set
 * to nothing counts as not set.
 *
 * Kubernetes sets NAME_PORT=tcp://ADDRESS:PORT and NAME_SERVICE_HOST in each container, for each
 * Service NAME of the namespace. Where such a name is that of an option's variable, the value is
 * ignored with a warning.
 *
 * Owner    options_parse; the caller deinits the options.
 * Threads  main, before any other.
 * Memory   Values are borrowed from the environment; names and warnings are kept by the options.
 * Errors   -EINVAL with one line that names the variable, the value (never a secret) and what is
 *          valid; -ENOMEM.
 * Source   Kubernetes, "Service": environment variables.
 */
#ifndef RINGCAST_SRC_OPTIONS_VARIABLES_H
#define RINGCAST_SRC_OPTIONS_VARIABLES_H

#include "src/config/options.h"

/* RINGCAST_ and an option's name, terminated. */
#define OPTIONS_VARIABLES_NAME_BYTES_MAX 48

/* "" for a row that has none: what is no option, and --help and --version. */
void options_variables_name(const struct option_spec *spec,
                            char name_out[OPTIONS_VARIABLES_NAME_BYTES_MAX]);

/* The value of a variable; NULL: it is not set, or to nothing. environment: NAME=VALUE texts, NULL
 * at the end, as environ is. */
const char *options_variables_value(char *const *environment, const char *name);

/* The same of an option's own variable. */
const char *options_variables_find(char *const *environment, const struct option_spec *spec);

/* Takes all; warns of RINGCAST_ variables that no option has. */
int options_variables_take(struct options *options, char *const *environment, const cpu_set_t *cpus,
                           char *error_out);

#endif
