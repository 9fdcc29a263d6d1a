/*
 * options_file: a configuration file taken into struct options, by the keys of the table.
 *
 * Owner    The caller. Texts of the file are kept by the options.
 * Threads  main, before any other.
 * Errors   Those of config_read. A key that is unknown or given twice, or a value that is not
 *          valid, is -EINVAL with one line that names file, line, key path and what is valid.
 */
#ifndef RINGCAST_SRC_OPTIONS_FILE_H
#define RINGCAST_SRC_OPTIONS_FILE_H

#include "src/config/options.h"

int options_file_take(struct options *options, const char *path, const cpu_set_t *cpus,
                      char error_out[OPTIONS_ERROR_BYTES_MAX]);

/* What a file would contain. */
struct options_file_text {
    const char *name; /* for errors */
    const char *text;
    size_t bytes;
    enum options_layer layer;
};

int options_file_take_text(struct options *options, const struct options_file_text *text,
                           const cpu_set_t *cpus, char error_out[OPTIONS_ERROR_BYTES_MAX]);

#endif
