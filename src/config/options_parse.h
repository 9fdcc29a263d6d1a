/*
 * options_parse: the command line, the environment and a file (--config) into struct options.
 *
 * Owner    The caller deinits the options.
 * Threads  main, before any other.
 * Errors   -EINVAL, or what reading the file returns, with one line that names the option, the
 *          variable, or line and key, and the value and what is valid.
 */
#ifndef RINGCAST_SRC_OPTIONS_PARSE_H
#define RINGCAST_SRC_OPTIONS_PARSE_H

#include "src/config/options.h"

struct options_input {
    int argc;
    char *const *argv;        /* argv[0] is the program */
    char *const *environment; /* environ */
    const cpu_set_t *cpus;    /* the process's affinity mask */
};

/* Those of this process. cpus: where its affinity mask is put; CPU 0 if the kernel does not say. */
struct options_input options_input_here(int argc, char *const *argv, cpu_set_t *cpus);

/* Which file --config, or else its variable, names; NULL: none. */
int options_parse_config_path(const struct options_input *input, const char **path_out,
                              char error_out[OPTIONS_ERROR_BYTES_MAX]);

/* Default < profile < credential < file < environment < option. After --help or --version nothing
 * is checked. On failure *options_out is untouched. */
int options_parse(struct options *options_out, const struct options_input *input,
                  char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
