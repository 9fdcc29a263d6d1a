/*
 * options_alias: further keys of a file for rows of the table: names that other broadcasters use.
 *
 * Such files have some keys without a section. Each alias is therefore a key at the top level, in
 * the section websocket and in the section performance.
 *
 * Threads  Any; constant.
 */
#ifndef RINGCAST_SRC_OPTIONS_ALIAS_H
#define RINGCAST_SRC_OPTIONS_ALIAS_H

#include "src/config/options.h"

struct option_alias {
    const char *name; /* "gc_threshold_mb": the last part of the key */
    const char *key;  /* of the row: "memory_soft" */
    const char *unit; /* follows the value: "m"; "": none */
};

const struct option_alias *options_alias_table(size_t *count_out);

/* path: a key of a file. NULL: it is no alias. */
const struct option_alias *options_alias_find(const char *path);

#endif
