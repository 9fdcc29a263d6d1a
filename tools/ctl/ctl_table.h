/*
 * ctl_table: JSON objects as the lines of a table that fits its width.
 *
 * Where the columns are wider than that, those that may be cut become narrower, the widest first;
 * a text that was cut ends with "~".
 *
 * Owner    The caller. Threads: one.
 * Memory   The cells, while it prints.
 * Errors   None: without memory nothing is printed.
 */
#ifndef RINGCAST_TOOLS_CTL_TABLE_H
#define RINGCAST_TOOLS_CTL_TABLE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CTL_TABLE_COLUMNS_MAX 16
#define CTL_TABLE_CELL_BYTES_MAX 256
#define CTL_TABLE_WIDTH_MIN 40 /* of a table; a terminal may be narrower */

struct ctl_column {
    const char *title;
    const char *key; /* of the objects */
    bool is_right;   /* aligned, as numbers are */
    bool is_cut;     /* It may be. */
};

/* The width of the terminal that is standard output; 80: it is none. */
size_t ctl_table_width(void);

/* rows: an array of objects; anything else has no lines. */
void ctl_table_print(FILE *out, size_t width, const struct ctl_column *columns, size_t column_count,
                     const json_t *rows);

/* A value as a cell shows it; "-": it is null or missing. It cannot control a terminal. */
void ctl_table_cell(const json_t *value, char out[CTL_TABLE_CELL_BYTES_MAX]);

#endif
