/*
 * stat_list: the servers of this host, a line each.
 *
 * Threads  One.
 * Memory   The caller's.
 */
#ifndef RINGCAST_TOOLS_STAT_LIST_H
#define RINGCAST_TOOLS_STAT_LIST_H

#include <stdio.h>

#include "tools/insight/insight_files.h"

void stat_list_print(FILE *out, const struct insight_file *files, size_t count);

/* {"id":"123","state":"alive",...} on a line for each. */
void stat_list_print_json(FILE *out, const struct insight_file *files, size_t count);

#endif
