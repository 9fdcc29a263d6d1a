/*
 * stat_table: intervals as lines of a table.
 *
 * Threads  One.
 * Memory   The caller's.
 */
#ifndef RINGCAST_TOOLS_STAT_TABLE_H
#define RINGCAST_TOOLS_STAT_TABLE_H

#include <stdint.h>
#include <stdio.h>

#include "tools/insight/stat_figures.h"

void stat_table_print_header(FILE *out);

/* core: its number, or COUNTERS_READ_ALL. */
void stat_table_print_line(FILE *out, uint64_t realtime_ns, uint32_t core,
                           const struct stat_figures *figures);

#endif
