/*
 * option_value: one text on its way into struct options, checked by the row it is for.
 *
 * Owner    The caller.
 * Threads  main, before any other.
 * Memory   A text is borrowed as long as the options live.
 * Errors   -EINVAL with one line that names the source, the value (never a secret) and
 *          what is valid.
 */
#ifndef RINGCAST_SRC_OPTION_VALUE_H
#define RINGCAST_SRC_OPTION_VALUE_H

#include "src/config/options.h"

struct option_value {
    const struct option_spec *spec;
    enum options_layer layer;
    /* "--port", "WEBSOCKET_PORT", "FILE:3: websocket.port": for errors. Lives as
     * long as the options, unless the layer is that of defaults or of options. */
    const char *source;
    const char *text; /* NULL: a flag without a value */
    const cpu_set_t *cpus;
    char *error_out;
};

/* Does nothing when a layer that wins over this one has set the option. */
int option_value_take(const struct option_value *value, struct options *options);
int option_value_refuse(const struct option_value *value, const char *valid);

/* A copy that lives as long as the options; NULL: no memory. */
const char *option_value_keep(struct options *options, const char *text, size_t text_bytes);

/* Keeps a line for the log of the start. Without memory, or after OPTIONS_WARNINGS_MAX, it is lost.
 */
__attribute__((format(printf, 2, 3))) void option_value_warn(struct options *options,
                                                             const char *format, ...);

#endif
